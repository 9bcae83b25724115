//! Files: bounded sources and atomic outputs.
//!
//! Memory: a source holds a fixed number of buffers a worker, sized by [`crate::memory::Sizes`]; an output likewise.

pub mod csv;
mod drift;
pub mod files;
pub mod hive;
pub mod ipc;
pub mod ndjson;
mod open;
mod output;
mod output_file;
pub mod parquet;
pub mod partitioned;
mod selected_files;
mod suggest;
mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;

pub use open::{FileTables, HiveFolders};
pub use output::{Discard, Output, OutputFormat};
pub use output_file::OutputFile;
pub use selected_files::SelectedFiles;
pub use table::{
    ColumnStatistics, Comparison, ComparisonOp, OpenTable, RowFilter, Scan, ScanRequest, Table, TableStatistics,
};
