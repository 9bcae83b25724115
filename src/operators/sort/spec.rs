//! What a sort or top-n orders by.

use arrow::datatypes::SchemaRef;

/// One key of an ORDER BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// Input column.
    pub column: usize,
    /// Largest first.
    pub descending: bool,
    /// NULLs before all values, whatever the direction.
    pub nulls_first: bool,
}

/// A whole sort.
#[derive(Debug, Clone)]
pub struct SortSpec {
    /// Schema of input and output.
    pub schema: SchemaRef,
    /// The keys, most significant first.
    pub keys: Vec<SortKey>,
    /// Only so many of the first rows are wanted (offset included).
    pub limit: Option<u64>,
    /// Rows that are equal in so many of the first keys come in one morsel, and so to one worker. Equal is what the order
    /// says: NULL with NULL, -0.0 with 0.0, NaN with NaN.
    pub n_grouping_keys: usize,
}
