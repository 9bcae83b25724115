//! From the logical plan a front door wrote to the one that is lowered, and what EXPLAIN says about it.
//!
//! Memory: a plan takes a few MiB at most.

mod asof;
mod decimals;
mod domains;
mod explain;
mod footprint;
mod intervals;
mod join_order;
mod marks;
mod membership;
mod only_value;
mod optimize;
mod reduce;
mod set_operations;
mod shared;

pub use crate::physical::cardinality::estimate_rows;
pub use crate::physical::{options, statistics};
pub use asof::{ASOF_CONDITION, asof_condition};
pub use datafusion_expr::LogicalPlan;
pub use explain::{explain_json, explain_text};
pub use footprint::{Footprint, footprint};
#[cfg(test)]
pub(crate) use optimize::optimize_by_library;
pub use optimize::{Effort, optimize};
