//! Lowering: from a logical plan to pipelines of our operators.
//!
//! Memory: a plan takes a few MiB at most. Expressions are evaluated a batch at a time and hold nothing in between.
//! This is the only folder that sees both the planner's types and our operators.

mod aggregate;
mod comparison;
pub(crate) mod constants;
mod distinct;
mod expression;
mod failure;
mod grouping_sets;
mod holistic;
mod library;
mod lower;
mod options;
mod quantile;
mod scan;
mod sort;
pub mod statistics;
mod table;
pub(crate) mod text;

pub use lower::lower;
pub use options::options;
pub use table::FileTable;
