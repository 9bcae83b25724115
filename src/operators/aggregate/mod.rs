//! GROUP BY over any number of groups.

mod in_memory;
mod spec;

pub(crate) use in_memory::Collect;
pub use in_memory::{Aggregate, AggregateOptions};

pub use spec::{AggregateCall, AggregateFunction, AggregateSpec, GroupAccumulator, LibraryFunction};
