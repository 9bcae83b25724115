//! The lazy frame: pipelines in Rust, with the names and the meaning that they have in Polars.
//!
//! A [`LazyFrame`] begins with files ([`Session::scan_csv`], [`Session::scan_parquet`], [`Session::scan`]) or with rows in
//! memory ([`Session::from_batches`]); verbs add to its plan; nothing is read until [`LazyFrame::collect`],
//! [`LazyFrame::collect_batches`] or a sink asks for rows. The plan is optimized and run as that of a SQL query is: only the
//! columns that are needed are read, conditions skip row groups, and whatever does not fit into the budget spills.
//!
//! ```
//! use brimful::frame::{SortOptions, col, len};
//! use brimful::{Session, SessionOptions, df};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = Session::new(SessionOptions::default())?;
//! let trips = df!(
//!     session,
//!     "city" => ["Oslo", "Rome", "Oslo", "Rome"],
//!     "km" => [2.5, 8.0, 4.5, 1.0],
//!     "price" => [9.0, 21.0, 14.0, 6.0],
//! )?;
//! let by_city = trips
//!     .lazy() // or session.scan_csv("trips/*.csv")
//!     .filter(col("km").gt(1.0))
//!     .with_columns([(col("price") / col("km")).alias("price_per_km")])
//!     .group_by("city")
//!     .agg([len().alias("trips"), col("price_per_km").mean()])
//!     .sort("city", SortOptions::new());
//! let rows = by_city.collect()?;
//! assert_eq!(rows.get_column_names(), ["city", "trips", "price_per_km"]);
//! assert_eq!(rows.text(1, "trips"), Some("1".to_string()));
//!
//! // A name that is not there is told before anything is read.
//! let mistake = by_city.select(["price_pr_km"]).collect().unwrap_err();
//! assert_eq!(mistake.hint(), Some("did you mean \"price_per_km\"?"));
//! # Ok(())
//! # }
//! ```
//!
//! # Coming from Polars
//!
//! Names, arguments and results are those of Polars, so that a pipeline can be carried over line by line. Where Polars and
//! SQL disagree a frame follows Polars: `/` never rounds, `len` counts rows and `count` values, `n_unique` counts NULL as a
//! value, the sum of nothing is 0, `std` divides by n - 1, NULLs sort first in either direction, `%` and `floor_div` round
//! down and give NULL for a whole number by 0, a join has its keys once and adds `_right` to names that clash, `min` and `max`
//! pass over NaN unless there is nothing else, the mean of decimals is a float and that of dates a datetime.
//!
//! What differs from Polars:
//!
//! | in Polars | here |
//! |---|---|
//! | `pl.scan_csv(path)` | `session.scan_csv(path)`: a frame belongs to a [`Session`], which has the budget |
//! | `collect()` may take all memory | it fails when the rows do not fit into the budget, and offers the sinks |
//! | `collect(engine="streaming")` | everything streams and spills; there is no other engine |
//! | `collect_batches` (unstable) | [`LazyFrame::collect_batches`]: bounded, in order, ends when it is dropped |
//! | counts are `u32`, ranks too | counts, lengths, ranks and row numbers are `Int64`; a row index is `UInt64` |
//! | sums of `i32` are `i32` and wrap | sums of whole numbers have 64 bits; overflow is an error |
//! | `month()` is `i8`, `weekday()` too | parts of dates are `Int32` |
//! | a form of dates is inferred for a column | [`StrExpr::strptime`](expr::StrExpr::strptime) without a format reads ISO 8601 and day-first dates value by value |
//! | `min_horizontal` and its like | [`function`]`("least", ..)` and `"greatest"` |
//! | `rolling_mean` and its like | windows of SQL with a frame: [`LazyFrame::create_view`], then [`Session::sql`] |
//! | `read_csv`, `read_ndjson`, `read_ipc`, `read_parquet` | the same, with `_with` for options |
//! | a quantile is a number | [`QuantileMethod::Discrete`] besides: of any type, as `percentile_disc` in SQL |
//! | `mode` is a list of all modes | one value: the smallest of the most frequent, and never NULL |
//! | `scan_csv` reads dates as text | dates are found out; [`CsvScanOptions::with_try_parse_dates`] says no |
//! | `unpivot` gives column after column | the rows of one input row stay together |
//! | `group_by(maintain_order=True)` | [`LazyFrame::group_by_stable`] |
//! | `unique` keeps the order on request | [`UniqueKeep::First`] and `Last` do, `Any` does not |
//! | `sample(n)` of a frame in memory | of any frame, lazily: [`LazyFrame::sample_n`], [`LazyFrame::sample_fraction`] |
//! | `sort(maintain_order=True)` | rows that are equal in the keys always keep their order |
//! | `cast(strict=False)` | [`Expr::cast_or_null`], [`StrExpr::strptime_or_null`](expr::StrExpr::strptime_or_null) |
//! | `join_asof` wants sorted frames and keeps the order | it sorts both, and rows come in any order |
//! | a text in `then("a")` is a column | it is a text; a column is `col("a")` |
//! | `over` of a mean over all rows is cheap | windows sort, and medians over windows keep a partition in memory |
//! | `list.get(9)` is an error | NULL beyond the ends |
//! | `implode`, and columns in `agg` without an aggregate | the same; the list of one group has to fit into memory |
//!
//! What has no method here can be had from SQL by its name: [`function`], and [`Session::sql`] runs whole queries.
//!
//! Memory: a plan takes a few MiB at most; rows only where [`DataFrame`] and [`BatchIter`] say so.
//!
//! In the code: `expr/` is what the user writes, `resolve/` gives it a meaning over a schema, `rows` keeps the plan and knows
//! about order, and each group of verbs has a file.

mod asof;
mod batches;
mod cleaning;
mod collect;
mod concat;
mod counted;
mod data_frame;
mod describe;
pub mod expr;
mod from_values;
mod group_by;
mod joins;
mod lazy;
mod memory_table;
mod reshape;
mod resolve;
mod rows;
mod run;
mod scan_options;
mod session_verbs;
mod sort_options;

pub use arrow::datatypes::{DataType, TimeUnit};
pub use asof::{AsofOptions, AsofStrategy, AsofTolerance};
pub use batches::BatchIter;
pub use cleaning::UniqueKeep;
pub use concat::{ConcatHow, concat};
pub use data_frame::DataFrame;
pub use expr::{
    ClosedInterval, Expr, IntoColumn, IntoColumns, OverOptions, QuantileMethod, RankMethod, all, coalesce, col, cols,
    concat_str, corr, date, datetime, datetime_at, function, len, lit, null, row_number, when,
};
pub use from_values::{ColumnValue, IntoArray, MaybeValue};
pub use group_by::LazyGroupBy;
pub use joins::{JoinArgs, JoinType};
pub use lazy::LazyFrame;
pub use reshape::PivotAgg;
pub(crate) use resolve::parse_duration;
pub use scan_options::{CsvScanOptions, NdjsonScanOptions, ParquetScanOptions};
pub use sort_options::{SortMultipleOptions, SortOptions};

#[cfg(doc)]
use crate::session::Session;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
