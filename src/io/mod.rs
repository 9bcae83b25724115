//! Files: bounded sources and atomic outputs.
//!
//! Memory: a source holds a fixed number of buffers a worker, sized by [`crate::memory::Sizes`]; an output likewise.

pub mod csv;
pub mod files;
mod suggest;
mod table;

pub use table::{
    ColumnStatistics, Comparison, ComparisonOp, OpenTable, RowFilter, Scan, ScanRequest, Table, TableStatistics,
};
