//! What a window operator computes.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{FieldRef, SchemaRef};

use crate::error::Result;
use crate::operators::sort::SortKey;

/// All window functions of one PARTITION BY and one ORDER BY. Rows come sorted by both, a partition in one morsel. Output
/// columns: those of the input, then one a call.
#[derive(Debug, Clone)]
pub struct WindowSpec {
    /// Schema of the input.
    pub input: SchemaRef,
    /// Input columns that make a partition.
    pub partition: Vec<usize>,
    /// The order inside a partition; calls may use only the first keys of it.
    pub order: Vec<SortKey>,
    /// The frames that calls refer to.
    pub frames: Vec<Frame>,
    /// The functions.
    pub calls: Vec<WindowCall>,
}

/// One call of a window function.
#[derive(Debug, Clone)]
pub struct WindowCall {
    /// The function.
    pub function: WindowFunction,
    /// Input columns that are its arguments.
    pub args: Vec<usize>,
    /// Index into [`WindowSpec::frames`].
    pub frame: usize,
    /// Name and type of the result.
    pub output: FieldRef,
}

/// Which rows around the current one a call sees.
#[derive(Debug, Clone)]
pub struct Frame {
    /// What offsets count.
    pub unit: Unit,
    /// The first row.
    pub start: Bound,
    /// The last row.
    pub end: Bound,
    /// Rows that are equal in so many order keys are peers.
    pub n_order: usize,
}

impl Frame {
    /// What functions get that look at no frame.
    pub fn up_to_current_row(n_order: usize) -> Self {
        Frame { unit: Unit::Rows, start: Bound::Unbounded, end: Bound::Offset(0), n_order }
    }

    /// Whether all rows have the same frame by both, as far as that is plain to see.
    pub fn is_same(&self, other: &Frame) -> bool {
        let same = |a: &Bound, b: &Bound| match (a, b) {
            (Bound::Unbounded, Bound::Unbounded) => true,
            (Bound::Offset(a), Bound::Offset(b)) => a == b,
            _ => false,
        };
        let bounds = same(&self.start, &other.start) && same(&self.end, &other.end);
        bounds && self.unit == other.unit && self.n_order == other.n_order
    }
}

/// What the offsets of a frame count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Rows.
    Rows,
    /// Groups of peers.
    Groups,
    /// Values of the order key.
    Range,
}

/// One end of a frame.
#[derive(Clone)]
pub enum Bound {
    /// The end of the partition.
    Unbounded,
    /// So many rows or groups after the current one; negative before it. With [`Unit::Range`] only 0, the peers.
    Offset(i64),
    /// The value of the order key at which the frame ends, for every row ([`Unit::Range`]).
    Value(Arc<dyn FrameEdges>),
}

/// The values of the order key at which frames begin or end.
pub trait FrameEdges: Send + Sync {
    /// One for every row of `batch`.
    fn evaluate(&self, batch: &RecordBatch) -> Result<EdgeKeys>;

    /// Whether that of a row never comes before that of an earlier one. Where it does, the earlier one holds for both.
    fn never_goes_back(&self) -> bool;
}

/// What [`FrameEdges`] gives.
#[derive(Debug, Clone)]
pub struct EdgeKeys {
    /// NULL where the row's key is NULL.
    pub keys: ArrayRef,
    /// Rows whose edge comes before everything that a key can be; their `keys` are the first such value.
    pub before_all: Option<BooleanBuffer>,
    /// Rows whose edge comes after everything that a key can be; their `keys` are the last such value.
    pub after_all: Option<BooleanBuffer>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Unbounded => f.write_str("unbounded"),
            Bound::Offset(by) => write!(f, "{by:+}"),
            Bound::Value(_) => f.write_str("value"),
        }
    }
}

/// The functions.
#[derive(Debug, Clone)]
pub enum WindowFunction {
    /// The number of the row in its partition.
    RowNumber,
    /// The number of the first peer.
    Rank,
    /// The number of the group of peers.
    DenseRank,
    /// `(rank - 1) / (rows - 1)`.
    PercentRank,
    /// Rows up to the last peer, as a part of all.
    CumeDist,
    /// The number of one of so many parts of about the same number of rows.
    Ntile(u64),
    /// The argument so many rows later (`lead`), or earlier when negative (`lag`). `default` is one value of the
    /// argument's type, for rows that have no such row.
    Shift { by: i64, default: Option<ArrayRef>, ignore_nulls: bool },
    /// The first value of the frame.
    First { ignore_nulls: bool },
    /// The last value of the frame.
    Last { ignore_nulls: bool },
    /// The n-th value of the frame, from 1.
    Nth { n: u64, ignore_nulls: bool },
    /// An aggregate of ours over the frame.
    Fold(FoldFunction),
    /// An aggregate of the library over the frame.
    Library {
        /// The function.
        function: Arc<dyn WindowAggregate>,
        /// Whether the last argument is a condition (`FILTER (WHERE ..)`).
        has_filter: bool,
    },
}

impl WindowFunction {
    /// Whether the result depends on the frame.
    pub fn uses_frame(&self) -> bool {
        use WindowFunction::*;
        matches!(self, First { .. } | Last { .. } | Nth { .. } | Fold(_) | Library { .. })
    }
}

/// Aggregates that can be combined from those of parts of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldFunction {
    /// `count(*)`; no argument.
    CountStar,
    /// Rows whose argument is not NULL.
    Count,
    /// The sum of Int64, UInt64, Float64 or Decimal128.
    Sum,
    /// The mean of Float64.
    Avg,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// Variance of Float64, with `n - 1` when `sample`.
    Var { sample: bool },
    /// Standard deviation.
    StdDev { sample: bool },
}

/// An aggregate function of a library.
pub trait WindowAggregate: Send + Sync {
    /// A new accumulator for a frame that only grows at its end, unless `slides`.
    fn accumulator(&self, slides: bool) -> Result<Box<dyn FrameAccumulator>>;
}

impl fmt::Debug for dyn WindowAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function of the library")
    }
}

/// The state of an aggregate over one frame.
pub trait FrameAccumulator: Send {
    /// Forgets all rows.
    fn reset(&mut self) -> Result<()>;

    /// Adds rows at the end of the frame.
    fn add(&mut self, args: &[ArrayRef], n_rows: usize) -> Result<()>;

    /// Whether [`FrameAccumulator::remove`] works; else the frame is added anew.
    fn can_remove(&self) -> bool;

    /// Removes the first rows of the frame.
    fn remove(&mut self, args: &[ArrayRef], n_rows: usize) -> Result<()>;

    /// Appends the result for the rows in the frame to the results; gives the bytes it takes.
    fn push_result(&mut self) -> Result<usize>;

    /// Appends the last result once more; gives the bytes it takes in an array.
    fn repeat_result(&mut self) -> Result<usize>;

    /// Takes the results out.
    fn take_results(&mut self) -> Result<ArrayRef>;

    /// Bytes held now, without the results.
    fn bytes(&self) -> usize;
}
