//! From the logical plan a front door wrote to the one that is lowered, and what EXPLAIN says about it.
//!
//! Memory: a plan takes a few MiB at most.

mod asof;
mod decimals;
mod domains;
mod explain;
mod footprint;
mod inputs;
mod intervals;
mod join_order;
mod marks;
mod membership;
mod only_value;
mod optimize;
mod outer_types;
mod reduce;
mod set_operations;
mod shared;
mod size;
mod timestamps;

pub use crate::physical::cardinality::estimate_rows;
pub use crate::physical::{options, statistics};
pub use asof::{ASOF_CONDITION, asof_condition};
pub use datafusion_expr::LogicalPlan;
pub use explain::{explain_json, explain_text};
pub use footprint::{Footprint, footprint};
pub use inputs::for_each_input;
#[cfg(test)]
pub(crate) use optimize::optimize_by_library;
pub use optimize::{Effort, optimize};
pub use size::check_size;
