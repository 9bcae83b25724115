//! The lazy frame: pipelines in Rust, with the names and the meaning that they have in Polars.
mod batches;
mod cleaning;
mod collect;
mod concat;
mod data_frame;
mod describe;
pub mod expr;
mod group_by;
mod joins;
mod lazy;
mod memory_table;
mod reshape;
mod resolve;
mod rows;
mod run;
mod session_verbs;
mod sort_options;

pub use arrow::datatypes::{DataType, TimeUnit};
pub use batches::BatchIter;
pub use cleaning::UniqueKeep;
pub use concat::{ConcatHow, concat};
pub use data_frame::DataFrame;
pub use expr::{
    ClosedInterval, Expr, IntoColumn, IntoColumns, OverOptions, QuantileMethod, RankMethod, all, coalesce, col, cols,
    concat_str, corr, date, datetime, datetime_at, function, len, lit, null, row_number, when,
};
pub use group_by::LazyGroupBy;
pub use joins::{JoinArgs, JoinType};
pub use lazy::LazyFrame;
pub use reshape::PivotAgg;
pub use session_verbs::CsvScanOptions;
pub use sort_options::{SortMultipleOptions, SortOptions};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
