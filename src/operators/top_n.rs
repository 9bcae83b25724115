//! The first rows of an order. It stands in until the real one takes its place.

pub use super::sort::Sort as TopN;
