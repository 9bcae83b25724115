//! What an aggregation computes: keys, calls, and the contract for functions that come from a library.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{FieldRef, SchemaRef};

use crate::error::Result;

/// A whole aggregation. Output columns: the keys, then one per call.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// Schema of the input batches. Columns may arrive as dictionaries of the declared type.
    pub input: SchemaRef,
    /// Input columns that form the group key; empty for an ungrouped aggregation, which yields one row.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// Schema of the output.
    pub output: SchemaRef,
}

/// One aggregate call.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// The function.
    pub function: AggregateFunction,
    /// Input columns that are its arguments.
    pub args: Vec<usize>,
    /// A Boolean input column: only rows where it is true count (`FILTER (WHERE ...)`).
    pub filter: Option<usize>,
    /// Name and type of the result.
    pub output: FieldRef,
}

/// The functions with states of fixed size, and everything else.
#[derive(Clone)]
pub enum AggregateFunction {
    /// `count(*)`.
    CountStar,
    /// `count(x)`: rows where `x` is not NULL.
    Count,
    /// Sum in the output type (Int64, UInt64, Float64 or Decimal128).
    Sum,
    /// Mean as Float64 of any number, or as Decimal128.
    Avg,
    /// Smallest value of any orderable type.
    Min,
    /// Largest value of any orderable type.
    Max,
    /// Variance, with `n - 1` when `sample`, else `n`.
    Var { sample: bool },
    /// Standard deviation.
    StdDev { sample: bool },
    /// Covariance of two arguments.
    Covar { sample: bool },
    /// Pearson correlation of two arguments.
    Corr,
    /// Whether all non-NULL values are true.
    BoolAnd,
    /// Whether any non-NULL value is true.
    BoolOr,
    /// Any other function, through accumulators that are not ours (first, last, approx_distinct and so on).
    Library(Arc<dyn LibraryFunction>),
}

/// A function of a library whose state is a number of Arrow columns.
pub trait LibraryFunction: Send + Sync {
    /// Its name for messages.
    fn name(&self) -> &str;

    /// The columns that hold a partial state.
    fn state_fields(&self) -> Result<Vec<FieldRef>>;

    /// Accumulators for any number of groups.
    fn accumulator(&self) -> Result<Box<dyn GroupAccumulator>>;
}

/// Accumulators of one library function, one per group, groups numbered from 0 without gaps.
pub trait GroupAccumulator: Send {
    /// Adds rows; row `i` belongs to `group_idxs[i]`; rows where `filter` is not true do not count.
    fn update(
        &mut self,
        args: &[ArrayRef],
        group_idxs: &[usize],
        filter: Option<&arrow::array::BooleanArray>,
        n_groups: usize,
    ) -> Result<()>;

    /// Adds partial states; row `i` of `states` belongs to `group_idxs[i]`.
    fn merge(&mut self, states: &[ArrayRef], group_idxs: &[usize], n_groups: usize) -> Result<()>;

    /// Takes the states of all groups out, in order; the accumulator is empty afterwards.
    fn take_states(&mut self) -> Result<Vec<ArrayRef>>;

    /// Takes the results of all groups out, in order; the accumulator is empty afterwards.
    fn take_results(&mut self) -> Result<ArrayRef>;

    /// Takes the results of the first `n_groups` groups out; the one after them becomes group 0.
    fn take_first_results(&mut self, n_groups: usize) -> Result<ArrayRef>;

    /// Bytes held now.
    fn bytes(&self) -> usize;
}

impl fmt::Debug for AggregateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use AggregateFunction::*;
        let name = match self {
            CountStar => "count(*)",
            Count => "count",
            Sum => "sum",
            Avg => "avg",
            Min => "min",
            Max => "max",
            Var { sample: true } => "var_samp",
            Var { sample: false } => "var_pop",
            StdDev { sample: true } => "stddev_samp",
            StdDev { sample: false } => "stddev_pop",
            Covar { sample: true } => "covar_samp",
            Covar { sample: false } => "covar_pop",
            Corr => "corr",
            BoolAnd => "bool_and",
            BoolOr => "bool_or",
            Library(function) => function.name(),
        };
        f.write_str(name)
    }
}
