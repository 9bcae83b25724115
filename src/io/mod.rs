//! Files: bounded sources and atomic outputs.
//!
//! Memory: a source holds a fixed number of buffers a worker, sized by [`crate::memory::Sizes`]; an output likewise.

pub mod csv;
mod facts;
pub mod files;
mod open;
mod output;
mod output_file;
pub mod parquet;
pub mod run_folder;
pub(crate) mod stdin;
pub(crate) mod suggest;
mod table;
mod tee;
pub mod text;
pub(crate) mod type_names;

pub use facts::TableFacts;
pub use open::FileTables;
pub use output::{Discard, Output, OutputFormat};
pub use output_file::OutputFile;
pub(crate) use suggest::closest;
pub use table::{
    ColumnStatistics, Comparison, ComparisonOp, OpenTable, RowFilter, Scan, ScanRequest, Table, TableStatistics,
};
pub use tee::Tee;
