//! GROUP BY over any number of groups.

mod spec;

pub use spec::{AggregateCall, AggregateFunction, AggregateSpec, GroupAccumulator, LibraryFunction};
