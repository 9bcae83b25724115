//! Rows in memory as a table.
//!
//! Memory: that of the rows, which their frame has reserved; a scan with filters adds the rows of a batch that pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::data_frame::DataFrame;
use crate::error::Result;
use crate::exec::{Batch, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::io::{ColumnStatistics, Scan, ScanColumns, ScanRequest, Table, TableStatistics};
use crate::memory::{Reservation, Sizes};

/// The rows of a [`DataFrame`].
///
/// Categories (dictionaries) come out as what they stand for: operators make dictionaries where these pay.
pub(super) struct MemoryTable {
    frame: DataFrame,
    batch_bytes: usize,
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
        let batch_bytes = frame.session().memory().sizes().batch_bytes;
        MemoryTable { frame, batch_bytes }
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
        // A piece of the frame is not copied; what passes a filter is, and categories that become values are.
        let is_copied = !request.filters.is_empty() || self.schema() != self.frame.schema();
        let bytes_per_worker = if is_copied { 2 * self.batch_bytes as u64 } else { 0 };
        let columns = ScanColumns::new(&request.projection, &request.filters);
        let rows = MemoryRows { frame: self.frame.clone(), columns, next: AtomicUsize::new(0), bytes_per_worker };
        Ok(Scan { source: Arc::new(rows.shared()), report: Arc::new(NoReport), bytes_per_worker })
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
    columns: ScanColumns,
    next: AtomicUsize,
    bytes_per_worker: u64,
}

struct MemorySource(Arc<MemoryRows>);

struct LocalMemory {
    rows: Arc<MemoryRows>,
    current: Option<(usize, usize)>,
    sizes: Sizes,
    sequence: Sequence,
    _reservation: Reservation,
}

impl MemoryRows {
    fn shared(self) -> MemorySource {
        MemorySource(Arc::new(self))
    }

    fn read(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        self.columns.finish(plain_columns(rows, self.columns.columns())?)
    }

    /// Rows of `batch` that fit into a piece, as its rows are on average: lists and dictionaries have no exact size a row.
    fn piece_rows(&self, batch: &RecordBatch, sizes: Sizes) -> usize {
        let bytes_of = |column: usize| batch.column(column).to_data().get_slice_memory_size().unwrap_or(0);
        let row_bytes = self
            .columns
            .columns()
            .iter()
            .map(|&column| bytes_of(column))
            .sum::<usize>()
            .div_ceil(batch.num_rows().max(1));
        (sizes.batch_bytes / row_bytes.max(1)).clamp(1, sizes.batch_rows)
    }
}

/// Some columns of `rows`, which may be none, as their values are.
fn plain_columns(rows: &RecordBatch, columns: &[usize]) -> Result<RecordBatch> {
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
        let mut reservation = cx.memory.reserve("Scan");
        reservation.try_grow(self.0.bytes_per_worker)?;
        Ok(Box::new(LocalMemory {
            rows: self.0.clone(),
            current: None,
            sizes: cx.sizes(),
            sequence: Sequence::default(),
            _reservation: reservation,
        }))
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
        let n_rows = self.rows.piece_rows(batch, self.sizes).min(batch.num_rows() - start);
        let data = self.rows.read(&batch.slice(start, n_rows))?;
        let last_of_morsel = start + n_rows == batch.num_rows();
        let sequence = self.sequence;
        self.sequence.batch += 1;
        self.current = (!last_of_morsel).then_some((idx, start + n_rows));
        Ok(Some(Batch { data, sequence, last_of_morsel }))
    }
}
