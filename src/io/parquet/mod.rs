//! Parquet: reading page at a time, writing row groups in parallel.
//!
//! Memory: a worker holds one window and at most two pages of each column it reads, whatever the size of a row group.

mod batch_rows;
mod bloom;
mod chunk;
mod columns;
#[cfg(test)]
mod damage_tests;
mod decompress;
mod encode;
mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
mod footer;
mod input;
mod morsels;
mod narrowing;
mod ordered;
mod page_header;
mod page_index;
mod pending;
mod pruning;
#[cfg(test)]
mod reading_tests;
mod row_group;
mod scan;
mod schema;
mod selection;
mod sink;
mod spare_page;
mod statistics;
mod table;

#[cfg(test)]
mod writing_tests;

pub use encode::{ParquetCompression, ParquetSinkOptions, ROW_GROUP_ROWS_MAX};
pub(in crate::io) use input::guarded;
pub use sink::ParquetSink;
pub use table::{ParquetOptions, ParquetTable};
