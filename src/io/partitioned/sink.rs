//! Rows that come sorted by the partition columns, each run of equal values into its own folder.
//!
//! Memory: a worker holds one open file; two blocks of text are reserved for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::partition;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::PartitionedOutput;
use super::files::{FileSettings, PartFile};
use super::staging::Staging;
use crate::error::{Error, Result};
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::io::hive::folder_name;
use crate::memory::Reservation;
use crate::spill::Disk;

/// The longest name of a folder that file systems take.
const MAX_NAME_BYTES: usize = 255;

/// Writes partitions into a folder that takes its place when all are complete.
pub(super) struct PartitionedSink {
    shared: Arc<Shared>,
    /// `None` once in place.
    staging: Mutex<Option<Staging>>,
}

struct Shared {
    files: FileSettings,
    root: PathBuf,
    target: PathBuf,
    schema: SchemaRef,
    /// The partition columns, outermost first.
    keys: Vec<usize>,
    /// The columns of the files.
    kept: Vec<usize>,
}

struct LocalPartitions {
    shared: Arc<Shared>,
    cx: TaskContext,
    open: Option<OpenPartition>,
    _reservation: Reservation,
}

struct OpenPartition {
    /// The names of its folders.
    names: Vec<String>,
    file: PartFile,
}

impl PartitionedSink {
    pub(super) fn new(to: &PartitionedOutput, disk: Arc<Disk>, schema: SchemaRef, keys: Vec<usize>) -> Result<Self> {
        let kept: Vec<usize> = (0..schema.fields().len()).filter(|column| !keys.contains(column)).collect();
        let fields: Vec<_> = kept.iter().map(|&column| schema.fields()[column].clone()).collect();
        let files = FileSettings {
            disk: disk.clone(),
            format: to.format,
            parquet: to.parquet.clone(),
            schema: Arc::new(Schema::new(fields)),
        };
        files.extension()?;
        let staging = Staging::create(disk, &to.folder, to.overwrite)?;
        let (root, target) = (staging.path().to_path_buf(), staging.target().to_path_buf());
        let shared = Arc::new(Shared { files, root, target, schema, keys, kept });
        Ok(PartitionedSink { shared, staging: Mutex::new(Some(staging)) })
    }
}

impl Sink for PartitionedSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let mut reservation = cx.memory.reserve("Output");
        reservation.try_grow(2 * cx.sizes().io_block_bytes as u64)?;
        let (shared, cx) = (self.shared.clone(), cx.clone());
        Ok(Box::new(LocalPartitions { shared, cx, open: None, _reservation: reservation }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        match self.staging.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(staging) => staging.commit(),
            None => Ok(()),
        }
    }
}

impl LocalSink for LocalPartitions {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        if batch.n_rows() == 0 {
            return Ok(Flow::More);
        }
        let shared = self.shared.clone();
        let keys: Vec<ArrayRef> = shared.keys.iter().map(|&key| batch.data.column(key).clone()).collect();
        let rows = batch.data.project(&shared.kept)?;
        for range in partition(&keys)?.ranges() {
            self.write(&keys, range.start, rows.slice(range.start, range.len()))?;
        }
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.finish_open()
    }
}

impl LocalPartitions {
    /// Adds `rows`, all of the partition of row `row` of `keys`.
    fn write(&mut self, keys: &[ArrayRef], row: usize, rows: RecordBatch) -> Result<()> {
        let names = self.shared.folder_names(keys, row)?;
        if let Some(open) = self.open.as_mut().filter(|open| open.names == names) {
            return open.file.write(rows);
        }
        self.finish_open()?;
        self.cx.cancel.check()?;
        let folder = self.shared.make_folders(&names)?;
        let mut file = self.shared.files.begin(&folder, &self.cx)?;
        file.write(rows)?;
        self.open = Some(OpenPartition { names, file });
        Ok(())
    }

    fn finish_open(&mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), |open| open.file.finish(&self.cx))
    }
}

impl Shared {
    fn folder_names(&self, keys: &[ArrayRef], row: usize) -> Result<Vec<String>> {
        let names = self.keys.iter().zip(keys).map(|(&column, values)| {
            let key = self.schema.field(column).name();
            let value = text_of(values, row)?;
            let name = folder_name(key, value.as_deref());
            if name.len() > MAX_NAME_BYTES {
                return Err(Error::query(format!(
                    "a value of column {key:?} is too long for the name of a folder: {} bytes where {MAX_NAME_BYTES} fit",
                    name.len()
                ))
                .with_hint("partition by a shorter column, for example by the first letters or a hash of this one"));
            }
            Ok(name)
        });
        names.collect()
    }

    fn make_folders(&self, names: &[String]) -> Result<PathBuf> {
        let mut folder = self.root.clone();
        for name in names {
            folder.push(name);
            match self.files.disk.create_dir(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(crate::io::output_file::write_error(&self.target.join(name), &error));
                }
                _ => {}
            }
        }
        Ok(folder)
    }
}

/// The text of one value; `None` for NULL.
fn text_of(values: &ArrayRef, row: usize) -> Result<Option<String>> {
    if values.is_null(row) || values.data_type() == &DataType::Null {
        return Ok(None);
    }
    if let Some(texts) = values.as_string_opt::<i32>() {
        return Ok(Some(texts.value(row).to_string()));
    }
    let options = FormatOptions::default();
    Ok(Some(ArrayFormatter::try_new(values.as_ref(), &options)?.value(row).try_to_string()?))
}
