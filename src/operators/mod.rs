//! Operators: what happens to batches between the files and the result.
//!
//! They refer to columns by index; expressions were computed by a projection before. They know no DataFusion types.

pub mod aggregate;
pub mod sort;
pub mod top_n;
