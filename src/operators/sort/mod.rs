//! ORDER BY over inputs of any size.

mod spec;

pub use spec::{SortKey, SortSpec};
