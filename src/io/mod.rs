//! Files: bounded sources and atomic outputs.
//!
//! Memory: a source holds a fixed number of buffers a worker, sized by [`crate::memory::Sizes`]; an output likewise.

mod output_file;
pub mod parquet;
mod reorder;
mod table;

pub use output_file::OutputFile;
pub use table::{
    ColumnStatistics, Comparison, ComparisonOp, OpenTable, RowFilter, Scan, ScanRequest, Table, TableStatistics,
};
