//! Rows in memory as a table.
//!
//! Memory: that of the rows, which their frame has reserved.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{and_kleene, cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::data_frame::DataFrame;
use crate::error::Result;
use crate::exec::{Batch, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::io::{ColumnStatistics, RowFilter, Scan, ScanRequest, Table, TableStatistics};

/// The rows of a [`DataFrame`].
///
/// Categories (dictionaries) come out as what they stand for: operators make dictionaries where these pay.
pub(super) struct MemoryTable {
    frame: DataFrame,
}

/// A column as its values are.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain_type(value),
        other => other.clone(),
    }
}

impl MemoryTable {
    pub(super) fn new(frame: DataFrame) -> Self {
        MemoryTable { frame }
    }
}

impl Table for MemoryTable {
    fn schema(&self) -> SchemaRef {
        let schema = self.frame.schema();
        let plain = |field: &FieldRef| Field::clone(field).with_data_type(plain_type(field.data_type()));
        Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
    }

    fn statistics(&self) -> TableStatistics {
        let nulls =
            |idx: usize| self.frame.batches().iter().map(move |batch| batch.column(idx).logical_null_count() as u64);
        let column = |idx: usize| ColumnStatistics { n_nulls: Some(nulls(idx).sum()), ..ColumnStatistics::default() };
        TableStatistics {
            n_rows: Some(self.frame.height() as u64),
            file_bytes: 0,
            columns: (0..self.frame.width()).map(column).collect(),
        }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        let rows = MemoryRows { frame: self.frame.clone(), request, next: AtomicUsize::new(0) };
        Ok(Scan { source: Arc::new(rows.shared()), report: Arc::new(NoReport), bytes_per_worker: 0 })
    }

    fn describe(&self) -> String {
        format!("DataFrame of {} rows", self.frame.height())
    }
}

struct NoReport;

impl Report for NoReport {
    fn report(&self) -> OperatorReport {
        OperatorReport::default()
    }
}

/// What the workers of one scan share: a batch of the frame is a morsel.
struct MemoryRows {
    frame: DataFrame,
    request: ScanRequest,
    next: AtomicUsize,
}

struct MemorySource(Arc<MemoryRows>);

struct LocalMemory {
    rows: Arc<MemoryRows>,
    current: Option<(usize, usize)>,
    batch_rows: usize,
    sequence: Sequence,
}

impl MemoryRows {
    fn shared(self) -> MemorySource {
        MemorySource(Arc::new(self))
    }

    fn read(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut kept: Option<BooleanArray> = None;
        for filter in &self.request.filters {
            let mask = filter.evaluate(&columns_of(rows, filter.as_ref())?)?;
            kept = Some(match kept {
                Some(before) => and_kleene(&before, &mask)?,
                None => mask,
            });
        }
        let batch = projected(rows, &self.request.projection)?;
        Ok(match kept {
            Some(mask) => filter_record_batch(&batch, &mask)?,
            None => batch,
        })
    }
}

fn columns_of(rows: &RecordBatch, filter: &dyn RowFilter) -> Result<RecordBatch> {
    projected(rows, filter.columns())
}

/// Some columns of `rows`, which may be none.
fn projected(rows: &RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for &column in columns {
        let (field, array) = (rows.schema_ref().field(column).clone(), rows.column(column));
        let plain = plain_type(field.data_type());
        arrays.push(if plain == *field.data_type() { array.clone() } else { cast(array, &plain)? });
        fields.push(field.with_data_type(plain));
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}

impl Source for MemorySource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let batch_rows = cx.sizes().batch_rows;
        Ok(Box::new(LocalMemory { rows: self.0.clone(), current: None, batch_rows, sequence: Sequence::default() }))
    }
}

impl LocalSource for LocalMemory {
    fn next(&mut self) -> Result<Option<Batch>> {
        let (idx, start) = match self.current.take() {
            Some(current) => current,
            None => {
                let idx = self.rows.next.fetch_add(1, Ordering::Relaxed);
                self.sequence = Sequence { morsel: idx as u64, batch: 0 };
                (idx, 0)
            }
        };
        let Some(batch) = self.rows.frame.batches().get(idx) else { return Ok(None) };
        let n_rows = self.batch_rows.min(batch.num_rows() - start);
        let data = self.rows.read(&batch.slice(start, n_rows))?;
        let last_of_morsel = start + n_rows == batch.num_rows();
        let sequence = self.sequence;
        self.sequence.batch += 1;
        self.current = (!last_of_morsel).then_some((idx, start + n_rows));
        Ok(Some(Batch { data, sequence, last_of_morsel }))
    }
}
