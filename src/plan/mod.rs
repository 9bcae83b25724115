//! From the logical plan a front door wrote to the one that is lowered, and what EXPLAIN says about it.
//!
//! Memory: a plan takes a few MiB at most.

mod explain;
mod only_value;
mod optimize;

pub use crate::physical::{options, statistics};
pub use explain::{explain_json, explain_text};
pub use optimize::{Effort, optimize};
