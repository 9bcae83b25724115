//! Batches of files with the values of their folders beside them.
//!
//! Memory: the added columns of one batch, at most half of what a batch may take: batches are cut where values are long.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Fields, Schema, SchemaRef};

use super::partitions::Partitions;
use super::table::Origin;
use crate::error::{Error, Result};
use crate::exec::{Batch, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::io::scan_columns::passing;
use crate::io::{RowFilter, Scan, SelectedFiles};

/// What becomes of the batches of the files.
pub(super) struct HiveScan {
    /// Where each output column comes from: a place among the columns of the files' batches, or a folder's column.
    pub(super) output: Vec<Origin>,
    /// Which output columns are wanted as dictionaries.
    pub(super) dictionaries: Vec<bool>,
    /// Conditions over columns of files and folders.
    pub(super) mixed: Vec<(Arc<dyn RowFilter>, AskedColumns)>,
    /// Of the output.
    pub(super) schema: SchemaRef,
    pub(super) partitions: Arc<Partitions>,
    pub(super) selected: Arc<SelectedFiles>,
}

/// What a condition looks at.
pub(super) struct AskedColumns {
    pub(super) columns: Vec<Origin>,
    pub(super) schema: SchemaRef,
}

impl HiveScan {
    /// The scan of the files `inner` with this scan's columns.
    pub(super) fn over(self, inner: Scan) -> Scan {
        let report = Arc::new(HiveReport { inner: inner.report, scan: Arc::new(self) });
        let source = Arc::new(HiveSource { inner: inner.source, scan: report.scan.clone() });
        Scan { source, report, bytes_per_worker: inner.bytes_per_worker }
    }

    /// A column of `n_rows` rows of the files' `batch`, which came out of `folder`.
    fn column(&self, origin: Origin, batch: &RecordBatch, folder: usize) -> Result<ArrayRef> {
        match origin {
            Origin::File(idx) => Ok(batch.column(idx).clone()),
            Origin::Partition(idx) => {
                let rows = UInt32Array::from(vec![folder as u32; batch.num_rows()]);
                Ok(take(self.partitions.values(idx), &rows, None)?)
            }
        }
    }

    /// The rows of `batch` that pass the conditions.
    fn filter(&self, batch: RecordBatch, folder: usize) -> Result<RecordBatch> {
        passing(batch, &self.mixed, |batch, asked| {
            let columns = asked.columns.iter().map(|&origin| self.column(origin, batch, folder));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(asked.schema.clone(), columns.collect::<Result<_>>()?, &options)?)
        })
    }

    /// The output columns of `batch`.
    fn produce(&self, batch: &RecordBatch, folder: usize) -> Result<RecordBatch> {
        let columns = self.output.iter().zip(&self.dictionaries).map(|(&origin, &wants_dictionary)| match origin {
            Origin::Partition(idx) if wants_dictionary => {
                let values = self.partitions.values(idx).slice(folder, 1);
                let keys = match values.is_null(0) {
                    true => Int32Array::new_null(batch.num_rows()),
                    false => Int32Array::from(vec![0; batch.num_rows()]),
                };
                Ok(Arc::new(DictionaryArray::try_new(keys, values)?) as ArrayRef)
            }
            _ => self.column(origin, batch, folder),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema_of(&columns), columns, &options)?)
    }

    /// The output schema with the types that the columns really have.
    fn schema_of(&self, columns: &[ArrayRef]) -> SchemaRef {
        let declared = self.schema.fields();
        if declared.iter().zip(columns).all(|(field, column)| field.data_type() == column.data_type()) {
            return self.schema.clone();
        }
        let fields = declared.iter().zip(columns);
        let fields = fields.map(|(field, column)| Field::clone(field).with_data_type(column.data_type().clone()));
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }

    /// Bytes that the values of `folder` add to a row.
    fn row_bytes(&self, folder: usize) -> usize {
        let added = self.output.iter().zip(&self.dictionaries).filter_map(|(origin, &is_dictionary)| match *origin {
            Origin::Partition(_) if is_dictionary => Some(size_of::<i32>()),
            Origin::Partition(idx) => {
                let value = self.partitions.values(idx).slice(folder, 1);
                Some(size_of::<i32>() + value.to_data().get_slice_memory_size().unwrap_or(0))
            }
            Origin::File(_) => None,
        });
        added.sum()
    }
}

struct HiveReport {
    inner: Arc<dyn Report>,
    scan: Arc<HiveScan>,
}

impl Report for HiveReport {
    /// Files are taken to be of one size: the share of them that is read is that of the bytes.
    fn report(&self) -> OperatorReport {
        let report = self.inner.report();
        let (n_read, n_files) = (self.scan.selected.len() as u128, self.scan.partitions.n_files().max(1) as u128);
        let total_bytes = (u128::from(report.total_bytes) * n_read / n_files) as u64;
        OperatorReport { total_bytes: total_bytes.max(report.read_bytes), ..report }
    }
}

struct HiveSource {
    inner: Arc<dyn Source>,
    scan: Arc<HiveScan>,
}

impl Source for HiveSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let sizes = cx.sizes();
        Ok(Box::new(HiveReader {
            inner: self.inner.local(cx)?,
            scan: self.scan.clone(),
            most_added_bytes: sizes.batch_bytes / 2,
            rest: None,
            next: Sequence::default(),
        }))
    }
}

struct HiveReader {
    inner: Box<dyn LocalSource>,
    scan: Arc<HiveScan>,
    most_added_bytes: usize,
    /// What is left of a batch that was cut, and its folder.
    rest: Option<(Batch, usize)>,
    /// The place of the next batch.
    next: Sequence,
}

impl LocalSource for HiveReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some((batch, folder)) = self.rest.take() {
                return self.emit(batch, folder).map(Some);
            }
            let Some(batch) = self.inner.next()? else { return Ok(None) };
            let morsel = batch.sequence.morsel;
            if morsel != self.next.morsel {
                self.next = Sequence { morsel, batch: 0 };
            }
            let file = self.scan.selected.file_of(morsel);
            let file = file.ok_or_else(|| Error::query("rows came out of a file that nobody began"))?;
            let folder = self.scan.partitions.folder_of(file);
            let data = self.scan.filter(batch.data.clone(), folder).map_err(|error| error.in_morsel(morsel))?;
            if data.num_rows() > 0 || batch.last_of_morsel {
                self.rest = Some((batch.with_data(data), folder));
            }
        }
    }
}

impl HiveReader {
    /// The first rows of `batch`; the others are kept for the next call.
    fn emit(&mut self, batch: Batch, folder: usize) -> Result<Batch> {
        let n_rows = batch.n_rows();
        let room = (self.most_added_bytes / self.scan.row_bytes(folder).max(1)).max(1);
        let first = batch.data.slice(0, n_rows.min(room));
        let data = self.scan.produce(&first, folder).map_err(|error| error.in_morsel(batch.sequence.morsel))?;
        let last_of_morsel = batch.last_of_morsel && n_rows <= room;
        let emitted = Batch { data, sequence: self.next, last_of_morsel };
        self.next.batch += 1;
        if n_rows > room {
            self.rest = Some((batch.with_data(batch.data.slice(room, n_rows - room)), folder));
        }
        Ok(emitted)
    }
}
