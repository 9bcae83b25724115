//! A plain sort that holds its whole input. It stands in until the spilling one takes its place.

use std::sync::{Arc, Mutex, Weak};

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take_record_batch};

use arrow::datatypes::SchemaRef;

use super::SortSpec;
use crate::error::{Error, Result};
use crate::exec::*;
use crate::operators::expression::assemble;
use crate::operators::values::Values;

/// The sort.
pub struct Sort {
    spec: SortSpec,
    input: Arc<Mutex<Vec<RecordBatch>>>,
    this: Weak<Sort>,
}

impl Sort {
    /// Prepares.
    pub fn new(spec: SortSpec, _cx: &QueryContext) -> Result<Arc<Self>> {
        Ok(Arc::new_cyclic(|this| Sort { spec, input: Arc::default(), this: this.clone() }))
    }

    /// Takes the input.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Collect { schema: self.spec.schema.clone(), input: self.input.clone() })
    }

    /// Gives the result.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(Sorted { sort: self.this.upgrade() })
    }

    fn run(&self) -> Result<RecordBatch> {
        let input = self.input.lock().map_err(|_| Error::query("poisoned"))?;
        let input = concat_batches(&self.spec.schema, input.iter())?;
        let columns = self.spec.keys.iter().map(|key| SortColumn {
            values: input.column(key.column).clone(),
            options: Some(SortOptions { descending: key.descending, nulls_first: key.nulls_first }),
        });
        let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), self.spec.limit.map(|n| n as usize))?;
        Ok(take_record_batch(&input, &order)?)
    }
}

impl Report for Sort {
    fn report(&self) -> OperatorReport {
        OperatorReport::default()
    }
}

struct Sorted {
    sort: Option<Arc<Sort>>,
}

impl Source for Sorted {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        Values::new(self.sort.as_ref().ok_or_else(|| Error::query("gone"))?.run()?).local(cx)
    }
}

/// Collects batches.
struct Collect {
    schema: SchemaRef,
    input: Arc<Mutex<Vec<RecordBatch>>>,
}

struct LocalCollect {
    schema: SchemaRef,
    input: Arc<Mutex<Vec<RecordBatch>>>,
}

impl Sink for Collect {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalCollect { schema: self.schema.clone(), input: self.input.clone() }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for LocalCollect {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let columns = batch.data.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| Ok(cast(column, field.data_type())?)).collect::<Result<_>>()?;
        let declared = assemble(&self.schema, columns, batch.n_rows())?;
        self.input.lock().map_err(|_| Error::query("poisoned"))?.push(declared);
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
