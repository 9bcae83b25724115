//! Files: bounded sources and atomic outputs.
//!
//! Memory: a source holds a fixed number of buffers a worker, sized by [`crate::memory::Sizes`]; an output likewise.

pub mod csv;
mod drift;
mod facts;
pub mod files;
pub mod hive;
pub mod ipc;
pub mod ndjson;
mod open;
mod output;
mod output_file;
pub mod parquet;
pub mod partitioned;
mod read_rows;
pub mod run_folder;
mod scan_columns;
mod selected_files;
pub(crate) mod stdin;
pub(crate) mod suggest;
mod table;
mod tee;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub(crate) mod type_names;
mod written_files;

pub use facts::TableFacts;
pub use open::{FileTables, HiveFolders};
pub use output::{Discard, Output, OutputFormat};
pub use output_file::OutputFile;
pub(crate) use output_file::is_pipe_or_device;
pub(crate) use read_rows::ReadRows;
pub(crate) use scan_columns::ScanColumns;
pub use selected_files::SelectedFiles;
pub(crate) use suggest::closest;
pub use table::{
    ColumnStatistics, Comparison, ComparisonOp, OpenTable, RowFilter, Scan, ScanRequest, Table, TableStatistics,
};
pub use tee::Tee;
pub use written_files::{WrittenFile, WrittenFiles};
