//! One file of a partition while it is written.
//!
//! Memory: for texts, a block; for Parquet, the row group under construction as `parquet` reserves it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::exec::{Batch, LocalSink, QueryContext, Sink, TaskContext};
use crate::io::ipc::IpcSink;
use crate::io::parquet::{ParquetSink, ParquetSinkOptions};
use crate::io::text::{CsvFormat, Destination, JsonLinesFormat, RowFormat};
use crate::io::{OutputFile, OutputFormat};
use crate::spill::Disk;

/// Rows that are formatted at a time.
const CHUNK_ROWS: usize = 1024;

/// How the files of an output are written.
pub(super) struct FileSettings {
    pub(super) disk: Arc<Disk>,
    pub(super) format: OutputFormat,
    pub(super) parquet: ParquetSinkOptions,
    /// Of the files: without the partition columns.
    pub(super) schema: SchemaRef,
}

/// A file that rows are added to.
pub(super) enum PartFile {
    Csv(TextFile<CsvFormat>),
    JsonLines(TextFile<JsonLinesFormat>),
    /// Whole batches: Parquet and Arrow.
    Batches(BatchFile),
}

/// Lines that are written a block at a time.
pub(super) struct TextFile<F> {
    format: F,
    file: OutputFile,
    text: Vec<u8>,
    block_bytes: usize,
}

/// A file that a sink of its own writes.
pub(super) struct BatchFile {
    sink: Box<dyn Sink>,
    rows: Box<dyn LocalSink>,
}

impl FileSettings {
    /// The ending of the files' names.
    pub(super) fn extension(&self) -> Result<&'static str> {
        match self.format {
            OutputFormat::Csv => Ok("csv"),
            OutputFormat::JsonLines => Ok("ndjson"),
            OutputFormat::Parquet => Ok("parquet"),
            OutputFormat::Ipc => Ok("arrow"),
            OutputFormat::IpcStream => Ok("arrows"),
            OutputFormat::Table => Err(Error::usage("a partitioned output cannot be a drawn table")
                .with_hint("csv, json, parquet and arrow can")),
        }
    }

    /// Begins the file `part-0` in `folder`, or the next number if there is one.
    pub(super) fn begin(&self, folder: &Path, cx: &TaskContext) -> Result<PartFile> {
        let extension = self.extension()?;
        let mut number = 0;
        let file = loop {
            let path = folder.join(format!("part-{number}.{extension}"));
            match OutputFile::create_in_staging(self.disk.clone(), &path) {
                Ok(file) => break file,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(crate::io::output_file::write_error(&path, &error)),
            }
        };
        let schema = self.schema.clone();
        let block_bytes = cx.sizes().io_block_bytes;
        Ok(match self.format {
            OutputFormat::Csv => PartFile::Csv(TextFile::begin(CsvFormat::new(schema), file, block_bytes)?),
            OutputFormat::JsonLines => {
                PartFile::JsonLines(TextFile::begin(JsonLinesFormat::new(schema), file, block_bytes)?)
            }
            _ => {
                let sink = self.sink(file, cx)?;
                let rows = sink.local(cx)?;
                PartFile::Batches(BatchFile { sink, rows })
            }
        })
    }

    fn sink(&self, file: OutputFile, cx: &TaskContext) -> Result<Box<dyn Sink>> {
        let schema = self.schema.clone();
        Ok(match self.format.ipc_layout() {
            Some(layout) => {
                let TaskContext { memory, pages, cancel, .. } = cx.clone();
                let cx = QueryContext { memory, pages, cancel };
                Box::new(IpcSink::new(Destination::to(file), schema, layout, false, &cx))
            }
            None => Box::new(ParquetSink::into_output(file, schema, &self.parquet, false, &cx.memory)?),
        })
    }
}

impl PartFile {
    /// Adds `rows`.
    pub(super) fn write(&mut self, rows: RecordBatch) -> Result<()> {
        match self {
            PartFile::Csv(file) => file.write(&rows),
            PartFile::JsonLines(file) => file.write(&rows),
            PartFile::Batches(file) => file.rows.push(Batch::only(rows)).map(|_| ()),
        }
    }

    /// Completes the file.
    pub(super) fn finish(self, cx: &TaskContext) -> Result<()> {
        match self {
            PartFile::Csv(file) => file.finish(),
            PartFile::JsonLines(file) => file.finish(),
            PartFile::Batches(BatchFile { sink, rows }) => {
                rows.combine()?;
                sink.finish(cx)
            }
        }
    }
}

impl<F: RowFormat> TextFile<F> {
    fn begin(format: F, file: OutputFile, block_bytes: usize) -> Result<Self> {
        let text = format.header()?;
        Ok(TextFile { format, file, text, block_bytes })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        for start in (0..rows.num_rows()).step_by(CHUNK_ROWS) {
            let chunk = rows.slice(start, CHUNK_ROWS.min(rows.num_rows() - start));
            self.format.format(&chunk, &mut self.text)?;
            if self.text.len() >= self.block_bytes {
                self.file.append(&self.text)?;
                self.text.clear();
                self.text.shrink_to(2 * self.block_bytes);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.file.append(&self.text)?;
        self.file.commit()
    }
}
