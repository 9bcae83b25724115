//! ORDER BY over inputs of any size.

mod in_memory;
mod spec;

pub use in_memory::Sort;

pub use spec::{SortKey, SortSpec};
