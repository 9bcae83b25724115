//! Lowering: from a logical plan to pipelines of our operators.
//!
//! Memory: a plan takes a few MiB at most. Expressions are evaluated a batch at a time and hold nothing in between.
//! This is the only folder that sees both the planner's types and our operators.

mod aggregate;
mod asof;
pub mod cardinality;
mod comparison;
pub(crate) mod constants;
mod decimal;
mod distinct;
mod expression;
mod failure;
mod grouping_sets;
mod holistic;
mod huge;
mod join;
pub(crate) mod known_keys;
mod library;
mod lower;
mod numbered;
mod options;
mod quantile;
mod range_join;
mod recursion;
mod repeat;
mod scan;
pub(crate) mod selectivity;
mod shared;
mod sort;
pub mod statistics;
mod table;
pub(crate) mod text;
mod unnest;
mod window;
mod window_frame;
mod window_library;
mod window_limit;
mod zeros;

pub use asof::{AsofJoin, AsofMatch};
pub(crate) use failure::{unsupported, value_failure};
pub use huge::bounded;
pub use lower::{lower, lower_clustered};
pub use numbered::NumberRows;
pub use options::options;
pub use recursion::{WorkRole, WorkTable};
pub use repeat::RepeatRows;
pub use shared::SharedPlan;
pub use table::FileTable;
