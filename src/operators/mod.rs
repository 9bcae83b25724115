//! Operators: what happens to batches between the files and the result.
//!
//! They refer to columns by index; expressions were computed by a projection before. They know no DataFusion types.

pub mod aggregate;
pub mod expand;
pub mod expression;
pub mod filter;
pub mod if_empty;
pub mod limit;
pub mod project;
pub mod sort;
pub mod top_n;
pub mod union;
pub mod values;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
pub(crate) mod trial;
