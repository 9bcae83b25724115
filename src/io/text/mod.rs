//! Results as text: CSV, JSON lines, and tables for people; to a file or to standard output.
//!
//! Memory: two blocks of text a worker, and in order-keeping queries a reorder window, all reserved.
//! Workers format side by side, each into its own buffer; only writing is done one at a time.

mod calendar;
mod cells;
mod compression;
mod csv;
mod destination;
mod json;
mod rows;
mod table;

pub use compression::TextCompression;
pub use csv::CsvFormat;
pub use destination::Destination;
pub use json::JsonLinesFormat;
pub use rows::{RowFormat, RowSink};
pub use table::TableSink;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::exec::{QueryContext, Sink};

/// A format of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// Comma-separated values after RFC 4180, with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Columns drawn for a person, only the first and last rows of a long result.
    Table,
}

/// A sink that writes batches of `schema` as text. `ordered` keeps the order of the batches' sequence numbers.
///
/// # Errors
/// When the format cannot hold a column of `schema`, or the destination cannot be made.
pub fn text_sink(
    format: TextFormat,
    destination: Destination,
    schema: SchemaRef,
    ordered: bool,
    cx: &QueryContext,
) -> Result<Arc<dyn Sink>> {
    Ok(match format {
        TextFormat::Csv => Arc::new(RowSink::new(CsvFormat::new(schema), destination, ordered, cx)),
        TextFormat::JsonLines => Arc::new(RowSink::new(JsonLinesFormat::new(schema), destination, ordered, cx)),
        TextFormat::Table => Arc::new(TableSink::new(schema, destination, ordered, cx)),
    })
}
