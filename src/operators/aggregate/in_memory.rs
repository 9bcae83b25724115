//! A plain aggregation that holds its whole input. It stands in until the spilling one takes its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{self, cast, concat, concat_batches, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema};
use arrow::row::{RowConverter, SortField};

use super::{AggregateCall, AggregateFunction, AggregateSpec};
use crate::error::{Error, Result};
use crate::exec::*;
use crate::io::ColumnStatistics;
use crate::operators::values::Values;

/// What lowering knows beyond the spec.
#[derive(Debug, Clone, Default)]
pub struct AggregateOptions {
    /// What is known of each key beforehand.
    pub key_statistics: Vec<Option<ColumnStatistics>>,
}

/// The aggregation.
pub struct Aggregate {
    spec: AggregateSpec,
    input: Arc<Mutex<Vec<RecordBatch>>>,
    this: std::sync::Weak<Aggregate>,
}

impl Aggregate {
    /// Prepares.
    pub fn new(spec: AggregateSpec, _options: AggregateOptions, _cx: &QueryContext) -> Result<Arc<Self>> {
        Ok(Arc::new_cyclic(|this| Aggregate { spec, input: Arc::default(), this: this.clone() }))
    }

    /// Takes the input.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Collect { schema: self.spec.input.clone(), input: self.input.clone() })
    }

    /// Gives the result.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(Result_ { aggregate: self.this.upgrade() })
    }

    fn run(&self) -> Result<RecordBatch> {
        let input = self.input.lock().map_err(|_| Error::query("poisoned"))?;
        let input = concat_batches(&self.spec.input, input.iter())?;
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|&idx| input.column(idx).clone()).collect();
        let mut groups: Vec<Vec<u32>> = Vec::new();
        if keys.is_empty() {
            groups.push((0..input.num_rows() as u32).collect());
        } else {
            let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
            let rows = RowConverter::new(fields)?.convert_columns(&keys)?;
            let mut known = HashMap::new();
            for (row_idx, row) in rows.iter().enumerate() {
                let group = *known.entry(row.owned()).or_insert_with(|| {
                    groups.push(vec![]);
                    groups.len() - 1
                });
                groups[group].push(row_idx as u32);
            }
        }
        let firsts: UInt32Array = groups.iter().filter_map(|group| group.first().copied()).collect();
        let mut columns = Vec::new();
        for key in &keys {
            columns.push(take(key, &firsts, None)?);
        }
        for call in &self.spec.calls {
            columns.push(run_call(call, &input, &groups)?);
        }
        crate::operators::expression::assemble(&self.spec.output, columns, groups.len())
    }
}

impl Report for Aggregate {
    fn report(&self) -> OperatorReport {
        OperatorReport::default()
    }
}

fn run_call(call: &AggregateCall, input: &RecordBatch, groups: &[Vec<u32>]) -> Result<ArrayRef> {
    let args: Vec<ArrayRef> = call.args.iter().map(|&idx| input.column(idx).clone()).collect();
    let filter: Option<BooleanArray> = call.filter.map(|idx| input.column(idx).as_boolean().clone());
    if let AggregateFunction::Library(function) = &call.function {
        let mut whole = function.accumulator()?;
        let mut idxs = vec![0; input.num_rows()];
        for (group_idx, group) in groups.iter().enumerate() {
            group.iter().for_each(|&row| idxs[row as usize] = group_idx);
        }
        // Through a partial state, as a spilling aggregation does.
        let mut partial = function.accumulator()?;
        partial.update(&args, &idxs, filter.as_ref(), groups.len())?;
        whole.merge(&partial.take_states()?, &(0..groups.len()).collect::<Vec<_>>(), groups.len())?;
        return whole.take_results();
    }
    let values = groups.iter().map(|group| {
        let kept = |row: &u32| filter.as_ref().is_none_or(|f| f.is_valid(*row as usize) && f.value(*row as usize));
        let rows: UInt32Array = group.iter().copied().filter(kept).collect();
        let args = args.iter().map(|arg| Ok(take(arg, &rows, None)?)).collect::<Result<Vec<_>>>()?;
        one_group(call, &args, rows.len())
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    if values.is_empty() {
        return Ok(new_null_array(call.output.data_type(), 0));
    }
    Ok(concat(&values)?)
}

fn one_group(call: &AggregateCall, args: &[ArrayRef], n_rows: usize) -> Result<ArrayRef> {
    use AggregateFunction::*;
    let count = |n: usize| -> ArrayRef { Arc::new(arrow::array::Int64Array::from(vec![n as i64])) };
    let value: ArrayRef = match &call.function {
        CountStar => count(n_rows),
        Count => count(n_rows - args[0].logical_null_count()),
        Sum if *args[0].data_type() == DataType::Int64 => {
            Arc::new(arrow::array::Int64Array::from(vec![compute::sum(args[0].as_primitive::<Int64Type>())]))
        }
        Sum => Arc::new(Float64Array::from(vec![compute::sum(
            cast(&args[0], &DataType::Float64)?.as_primitive::<Float64Type>(),
        )])),
        Avg => {
            let sum = compute::sum(cast(&args[0], &DataType::Float64)?.as_primitive::<Float64Type>());
            Arc::new(Float64Array::from(vec![sum.map(|sum| sum / (n_rows - args[0].null_count()) as f64)]))
        }
        Min | Max => {
            let options = compute::SortOptions { descending: matches!(call.function, Max), nulls_first: false };
            let order = compute::sort_to_indices(&args[0], Some(options), Some(1))?;
            if order.is_empty() { new_null_array(args[0].data_type(), 1) } else { take(&args[0], &order, None)? }
        }
        BoolAnd => Arc::new(BooleanArray::from(vec![compute::min_boolean(args[0].as_boolean())])),
        BoolOr => Arc::new(BooleanArray::from(vec![compute::max_boolean(args[0].as_boolean())])),
        other => return Err(Error::query(format!("{other:?} needs the real aggregation"))),
    };
    Ok(cast(&value, call.output.data_type())?)
}

/// Collects batches.
pub(crate) struct Collect {
    pub(crate) schema: Arc<Schema>,
    pub(crate) input: Arc<Mutex<Vec<RecordBatch>>>,
}

struct LocalCollect {
    schema: Arc<Schema>,
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
        let declared = crate::operators::expression::assemble(&self.schema, columns, batch.n_rows())?;
        self.input.lock().map_err(|_| Error::query("poisoned"))?.push(declared);
        Ok(Flow::More)
    }
    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Result_ {
    aggregate: Option<Arc<Aggregate>>,
}

impl Source for Result_ {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let aggregate = self.aggregate.as_ref().ok_or_else(|| Error::query("gone"))?;
        Values::new(aggregate.run()?).local(cx)
    }
}
