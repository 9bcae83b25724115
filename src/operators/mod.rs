//! Operators: what happens to batches between the files and the result.
//!
//! They refer to columns by index; expressions were computed by a projection before. They know no DataFusion types.

pub mod aggregate;
pub mod asof;
pub mod equality;
pub mod expand;
pub mod expression;
pub mod filter;
pub mod if_empty;
pub mod join;
pub mod limit;
pub mod ordered_aggregate;
pub mod project;
pub mod quantile;
pub mod range_join;
pub mod rank;
pub mod repeat;
pub mod sample;
pub mod seen;
pub mod sort;
pub mod stored;
pub mod tagged;
pub mod top_n;
pub mod union;
pub mod unnest;
pub mod value_bytes;
pub mod values;
pub mod window;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
pub(crate) mod trial;
