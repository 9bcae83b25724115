//! What an ordered aggregation computes.

use std::fmt;

use arrow::datatypes::{FieldRef, SchemaRef};

use super::percentile::Rounding;
use crate::operators::aggregate::AggregateFunction;

/// A whole ordered aggregation.
#[derive(Debug, Clone)]
pub struct OrderedSpec {
    /// Schema of the input, which is sorted by `keys`, then `tag`, then what the calls want.
    pub input: SchemaRef,
    /// Input columns that form the group key, at least one: without GROUP BY a constant.
    pub keys: Vec<usize>,
    /// Whether the key is a constant that is not part of the output, and there is a row even without input.
    pub is_ungrouped: bool,
    /// The UInt16 column that says which order a row is for; `None` when there is one order.
    pub tag: Option<usize>,
    /// The aggregates.
    pub calls: Vec<OrderedCall>,
    /// Schema of the output: the keys, then one column a call.
    pub output: SchemaRef,
}

/// One aggregate call.
#[derive(Debug, Clone)]
pub struct OrderedCall {
    /// The function.
    pub function: OrderedFunction,
    /// Input columns that are its arguments.
    pub args: Vec<usize>,
    /// A Boolean input column: only rows where it is true count.
    pub filter: Option<usize>,
    /// Whether of rows with equal arguments only the first counts; such rows come one after the other.
    pub is_distinct: bool,
    /// Which rows it reads.
    pub tag: u16,
    /// Name and type of the result.
    pub output: FieldRef,
}

/// The functions that look at the rows of a group in an order.
#[derive(Clone)]
pub enum OrderedFunction {
    /// An ordinary aggregate; its rows may come in any order.
    Ordinary(AggregateFunction),
    /// The value in the middle, or the mean of the two in the middle.
    Median,
    /// The value at this part of the way from the smallest to the largest, interpolated.
    Percentile(f64),
    /// The first value that is not below this part of all values; of any type.
    PercentileDisc(f64),
    /// One of the two values at this part of the way.
    PercentileRounded(f64, Rounding),
    /// The most frequent value; of several the smallest.
    Mode,
    /// All values as a list.
    ArrayAgg {
        /// Whether NULLs are left out.
        ignore_nulls: bool,
    },
    /// All values that are not NULL, put together.
    StringAgg {
        /// What comes between two values.
        separator: String,
    },
    /// The `n`-th value, from the end when negative.
    Nth {
        /// From 1, or from -1 backwards.
        n: i64,
        /// Whether NULLs are not counted.
        ignore_nulls: bool,
    },
}

impl OrderedFunction {
    /// Whether rows whose first argument is NULL do not count.
    pub(super) fn skips_nulls(&self) -> bool {
        use OrderedFunction::*;
        match self {
            Median | Percentile(_) | PercentileDisc(_) | PercentileRounded(..) | Mode | StringAgg { .. } => true,
            ArrayAgg { ignore_nulls } | Nth { ignore_nulls, .. } => *ignore_nulls,
            Ordinary(_) => false,
        }
    }
}

impl fmt::Debug for OrderedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use OrderedFunction::*;
        match self {
            Ordinary(function) => write!(f, "{function:?}"),
            Median => f.write_str("median"),
            Percentile(part) => write!(f, "percentile_cont({part})"),
            PercentileDisc(part) => write!(f, "percentile_disc({part})"),
            PercentileRounded(part, rounding) => write!(f, "percentile({part}, {rounding:?})"),
            Mode => f.write_str("mode"),
            ArrayAgg { .. } => f.write_str("array_agg"),
            StringAgg { .. } => f.write_str("string_agg"),
            Nth { n, .. } => write!(f, "nth_value({n})"),
        }
    }
}
