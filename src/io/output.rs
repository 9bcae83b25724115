//! Where the result of a query goes and in which format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::ipc::{IpcLayout, IpcSink};
use super::parquet::{ParquetSink, ParquetSinkOptions};
use super::partitioned::PartitionedOutput;
use super::text::{Destination, TextCompression, TextFormat, text_sink};
use crate::error::{Error, Result};
use crate::exec::{Batch, Flow, LocalSink, QueryContext, Sink, TaskContext};

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// Drawn for a person; only the first and last rows of a long result.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Parquet, compressed with zstd.
    Parquet,
    /// An Arrow IPC file, or a stream of it on standard output.
    Ipc,
    /// An Arrow IPC stream.
    IpcStream,
}

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout(OutputFormat),
    /// A file, which appears when it is complete.
    File(PathBuf, OutputFormat),
    /// A folder of files, by the values of some columns; it appears when all of them are complete.
    Partitioned(PartitionedOutput),
    /// Nowhere: the rows are only counted.
    Discard,
}

impl OutputFormat {
    /// The format that the name of a file states; `.txt` states none, for a table drawn there would hide rows. Texts may be compressed, and then end in `.gz` or `.zst` besides.
    pub fn from_path(path: &Path) -> Option<Self> {
        if TextCompression::from_path(path) != TextCompression::None {
            return Self::from_path(&path.with_extension(""))
                .filter(|format| matches!(format, OutputFormat::Csv | OutputFormat::JsonLines));
        }
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "csv" => OutputFormat::Csv,
            "json" | "jsonl" | "ndjson" => OutputFormat::JsonLines,
            "parquet" | "pq" => OutputFormat::Parquet,
            "arrow" | "feather" | "ipc" => OutputFormat::Ipc,
            "arrows" => OutputFormat::IpcStream,
            _ => return None,
        })
    }

    fn text(self) -> Option<TextFormat> {
        match self {
            OutputFormat::Table => Some(TextFormat::Table),
            OutputFormat::Csv => Some(TextFormat::Csv),
            OutputFormat::JsonLines => Some(TextFormat::JsonLines),
            OutputFormat::Parquet | OutputFormat::Ipc | OutputFormat::IpcStream => None,
        }
    }

    /// How Arrow data is laid out in a file of this format.
    pub(super) fn ipc_layout(self) -> Option<IpcLayout> {
        match self {
            OutputFormat::Ipc => Some(IpcLayout::File),
            OutputFormat::IpcStream => Some(IpcLayout::Stream),
            _ => None,
        }
    }
}

impl Output {
    /// The columns by which the rows of a result of `schema` must come sorted; equal values must come in one morsel.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for a column that is not there or cannot be partitioned by.
    pub fn clustering(&self, schema: &Schema) -> Result<Vec<usize>> {
        match self {
            Output::Partitioned(to) => to.clustering(schema),
            Output::Stdout(_) | Output::File(..) | Output::Discard => Ok(Vec::new()),
        }
    }

    /// The sink for a result of `schema`. `ordered` keeps the order of the batches' sequence numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when a file cannot be made, [`crate::ErrorKind::Usage`] for Parquet on standard output.
    pub fn sink(&self, schema: SchemaRef, ordered: bool, cx: &QueryContext) -> Result<Arc<dyn Sink>> {
        match self {
            Output::Discard => Ok(Arc::new(Discard)),
            Output::Partitioned(to) => to.sink(schema),
            Output::Stdout(format) => match (format.text(), format.ipc_layout()) {
                (Some(text), _) => text_sink(text, Destination::stdout()?, schema, ordered, cx),
                // The end of a file would say where its parts are, which nobody can seek in.
                (None, Some(_)) => {
                    let layout = IpcLayout::Stream;
                    Ok(Arc::new(IpcSink::new(Destination::stdout()?, schema, layout, ordered, cx)))
                }
                (None, None) => Err(Error::usage("Parquet cannot be written to standard output")
                    .with_hint("name a file: -o result.parquet")),
            },
            Output::File(path, format) => match (format.text(), format.ipc_layout()) {
                (Some(text), _) => text_sink(text, Destination::file(path)?, schema, ordered, cx),
                (None, Some(layout)) => {
                    Ok(Arc::new(IpcSink::new(Destination::file(path)?, schema, layout, ordered, cx)))
                }
                (None, None) => parquet_sink(path, schema, ordered, cx),
            },
        }
    }
}

fn parquet_sink(path: &Path, schema: SchemaRef, ordered: bool, cx: &QueryContext) -> Result<Arc<dyn Sink>> {
    let options = ParquetSinkOptions::default();
    Ok(Arc::new(ParquetSink::new(path, schema, &options, ordered, &cx.memory)?))
}

/// Takes rows and forgets them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl Sink for Discard {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(Discard))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for Discard {
    fn push(&mut self, _batch: Batch) -> Result<Flow> {
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_a_drawing_that_hides_rows() {
        for (name, want) in [
            ("a.csv", Some(OutputFormat::Csv)),
            ("a.csv.gz", Some(OutputFormat::Csv)),
            ("a.txt", None),
            ("a.txt.gz", None),
            ("a.parquet.gz", None),
        ] {
            assert_eq!(OutputFormat::from_path(Path::new(name)), want, "{name}");
        }
    }
}
