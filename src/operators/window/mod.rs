//! Window functions over partitions of any size.
//!
//! A sort by (PARTITION BY, ORDER BY) comes before; it gives a partition to one worker, in order. Each worker then streams:
//! a batch waits in the log until the frames of its rows are complete, gets its results, and goes on. The log keeps rows on
//! pages that may be evicted, so neither a partition nor a frame has to fit.
//!
//! Memory, for each worker: a share of columns in the log ([`COLUMNS_PART`]); a few columns of one batch for every reader;
//! for aggregates what [`fold`] says. Where results are strings or lists a batch goes on in parts ([`stream`]). Not bounded
//! by anything but the data are only aggregates of the library whose state grows with the frame ([`library`]), which are
//! refused when they do not fit, and the strings that min and max have found.
//! The surprising part: no frame ever goes back, so one pass of each cursor over the log computes all of them, and sliding
//! aggregates never subtract.

pub(in crate::operators) mod borders;
mod fold;
mod folds;
mod frames;
mod library;
pub(in crate::operators) mod log;
mod piece;
mod plan;
mod position;
mod ranking;
mod results;
mod spec;
mod stream;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::*;

pub use spec::{
    Bound, EdgeKeys, FoldFunction, Frame, FrameAccumulator, FrameEdges, Unit, WindowAggregate, WindowCall,
    WindowFunction, WindowSpec,
};

use self::fold::{Fold, Folding};
use self::folds::{Count, DecimalSum, Extreme, ExtremeBytes, FloatSum, IntegerSum, Spread};
use self::frames::FrameRows;
use self::library::LibraryFrames;
use self::log::Log;
use self::piece::Piece;
use self::plan::WindowPlan;
use self::position::{Positional, Target};
use self::ranking::{Kind, Ranking};
use self::stream::{Call, FrameEvaluator, LocalWindow};
use crate::error::{Error, Result};
use crate::exec::{LocalTransform, OperatorReport, QueryContext, Report, TaskContext, Transform};
use crate::memory::PageOwner;
use crate::row::RowPageFormat;

/// The part of governed memory that columns in the logs of all workers may take; beyond it they go to pages.
const COLUMNS_PART: u64 = 8;

/// See the module.
pub struct Window {
    plan: Arc<WindowPlan>,
    owner: Arc<PageOwner>,
    next_stream: AtomicU32,
    columns_bytes: u64,
}

impl Window {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A column of a type that cannot be written to pages.
    pub fn new(spec: WindowSpec, cx: &QueryContext) -> Result<Arc<Self>> {
        Self::with_columns(spec, cx, cx.memory.governed_bytes() / COLUMNS_PART)
    }

    /// With so many bytes for columns in all logs.
    fn with_columns(spec: WindowSpec, cx: &QueryContext, columns_bytes: u64) -> Result<Arc<Self>> {
        let plan = WindowPlan::new(spec)?;
        let owner = cx.pages.owner("Window", RowPageFormat::new(&plan.layout));
        Ok(Arc::new(Window { plan: Arc::new(plan), owner, next_stream: AtomicU32::new(0), columns_bytes }))
    }

    /// What comes out.
    pub fn schema(&self) -> SchemaRef {
        self.plan.output.clone()
    }
}

impl Report for Window {
    fn report(&self) -> OperatorReport {
        let counters = self.owner.counters();
        OperatorReport::of_pages(counters)
    }
}

impl Transform for Window {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let share_bytes = self.columns_bytes / cx.n_workers.max(1) as u64;
        let cx = QueryContext { memory: cx.memory.clone(), pages: cx.pages.clone(), cancel: cx.cancel.clone() };
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let log = Log::new(self.plan.layout.clone(), self.owner.clone(), share_bytes, stream, &cx);
        let calls = self.plan.spec.calls.iter().map(|call| make_call(call, &self.plan, &cx)).collect::<Result<_>>()?;
        Ok(Box::new(LocalWindow::new(self.plan.clone(), log, calls, cx)))
    }
}

/// Whether [`FoldFunction`] `function` can be computed from an argument of this type (of none without one).
pub fn is_foldable(function: FoldFunction, argument: Option<&DataType>) -> bool {
    use DataType::*;
    match (function, argument) {
        (FoldFunction::CountStar, None) | (FoldFunction::Count, Some(_)) => true,
        (FoldFunction::Sum, Some(argument)) => matches!(argument, Int64 | UInt64 | Float64 | Decimal128(..)),
        (FoldFunction::Avg | FoldFunction::Var { .. } | FoldFunction::StdDev { .. }, Some(argument)) => {
            *argument == Float64
        }
        (FoldFunction::Min | FoldFunction::Max, Some(argument)) => {
            matches!(argument, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView)
                || matches!(argument, Date32 | Date64 | Timestamp(..) | Decimal128(..) | Time32(_) | Time64(_))
                || matches!(argument, Float32 | Float64)
                || argument.is_integer()
        }
        _ => false,
    }
}

fn make_call(call: &WindowCall, plan: &WindowPlan, cx: &QueryContext) -> Result<Call> {
    let spec = &plan.spec;
    let frame = &spec.frames[call.frame];
    let order = plan.order(frame.n_order);
    let kind = match &call.function {
        WindowFunction::RowNumber => Kind::RowNumber,
        WindowFunction::Rank => Kind::Rank,
        WindowFunction::DenseRank => Kind::DenseRank,
        WindowFunction::PercentRank => Kind::PercentRank,
        WindowFunction::CumeDist => Kind::CumeDist,
        WindowFunction::Ntile(n_parts) => Kind::Ntile(*n_parts),
        _ => return make_value_call(call, plan, cx),
    };
    Ok(Call::Plain(Box::new(Ranking::new(kind, order))))
}

fn make_value_call(call: &WindowCall, plan: &WindowPlan, cx: &QueryContext) -> Result<Call> {
    let input = &plan.spec.input;
    let grows_only = matches!(plan.spec.frames[call.frame].start, Bound::Unbounded);
    let column = call.args.first().copied().unwrap_or(0);
    let data_type = || input.field(column).data_type().clone();
    let (target, ignore_nulls, default) = match &call.function {
        WindowFunction::Shift { by, default, ignore_nulls } => (Target::Shift(*by), *ignore_nulls, default.clone()),
        WindowFunction::First { ignore_nulls } => (Target::First, *ignore_nulls, None),
        WindowFunction::Last { ignore_nulls } => (Target::Last, *ignore_nulls, None),
        WindowFunction::Nth { n, ignore_nulls } => (Target::Nth(*n), *ignore_nulls, None),
        WindowFunction::Fold(function) => {
            return Ok(Call::Framed(call.frame, make_fold(*function, column, &data_type(), grows_only, call, cx)?));
        }
        WindowFunction::Library { function, has_filter } => {
            let frames = LibraryFrames::new(function, call.args.clone(), *has_filter, grows_only, cx)?;
            return Ok(Call::Framed(call.frame, Box::new(frames)));
        }
        _ => return Err(Error::query("a ranking function is no function of values")),
    };
    let positional = Positional::new(target, (ignore_nulls, grows_only), default, (column, data_type()), cx);
    Ok(Call::Framed(call.frame, Box::new(positional)))
}

fn make_fold(
    function: FoldFunction,
    column: usize,
    data_type: &DataType,
    grows_only: bool,
    call: &WindowCall,
    cx: &QueryContext,
) -> Result<Box<dyn FrameEvaluator>> {
    fn folding<F: Fold>(fold: F, (column, grows_only): (usize, bool), cx: &QueryContext) -> Box<dyn FrameEvaluator> {
        Box::new(Folding::new(fold, column, grows_only, cx))
    }
    let place = (column, grows_only);
    Ok(match (function, data_type) {
        (FoldFunction::CountStar, _) => Box::new(CountRows),
        (FoldFunction::Count, _) => folding(Count, place, cx),
        (FoldFunction::Sum, DataType::Int64) => folding(IntegerSum::<Int64Type>(PhantomData), place, cx),
        (FoldFunction::Sum, DataType::UInt64) => folding(IntegerSum::<UInt64Type>(PhantomData), place, cx),
        (FoldFunction::Sum, DataType::Float64) => folding(FloatSum { mean: false }, place, cx),
        (FoldFunction::Avg, DataType::Float64) => folding(FloatSum { mean: true }, place, cx),
        (FoldFunction::Sum, DataType::Decimal128(..)) => match *call.output.data_type() {
            DataType::Decimal128(precision, scale) => folding(DecimalSum { precision, scale }, place, cx),
            ref other => return Err(Error::query(format!("a sum of decimals cannot be {other}"))),
        },
        (FoldFunction::Var { sample }, _) => folding(Spread { sample, root: false }, place, cx),
        (FoldFunction::StdDev { sample }, _) => folding(Spread { sample, root: true }, place, cx),
        (FoldFunction::Min | FoldFunction::Max, _) => {
            make_extreme(function == FoldFunction::Max, place, data_type, cx)?
        }
        (function, other) => return Err(Error::query(format!("{function:?} over {other} is not a native function"))),
    })
}

fn make_extreme(
    largest: bool,
    (column, grows_only): (usize, bool),
    data_type: &DataType,
    cx: &QueryContext,
) -> Result<Box<dyn FrameEvaluator>> {
    macro_rules! extreme {
        ($arrow:ty) => {{
            let fold = Extreme::<$arrow> { largest, data_type: data_type.clone(), of: PhantomData };
            Box::new(Folding::new(fold, column, grows_only, cx))
        }};
    }
    use DataType::*;
    Ok(match data_type {
        Int8 => extreme!(Int8Type),
        Int16 => extreme!(Int16Type),
        Int32 => extreme!(Int32Type),
        Int64 => extreme!(Int64Type),
        UInt8 => extreme!(UInt8Type),
        UInt16 => extreme!(UInt16Type),
        UInt32 => extreme!(UInt32Type),
        UInt64 => extreme!(UInt64Type),
        Float32 => extreme!(Float32Type),
        Float64 => extreme!(Float64Type),
        Date32 => extreme!(Date32Type),
        Date64 => extreme!(Date64Type),
        Time32(TimeUnit::Second) => extreme!(Time32SecondType),
        Time32(_) => extreme!(Time32MillisecondType),
        Time64(TimeUnit::Microsecond) => extreme!(Time64MicrosecondType),
        Time64(_) => extreme!(Time64NanosecondType),
        Timestamp(TimeUnit::Second, _) => extreme!(TimestampSecondType),
        Timestamp(TimeUnit::Millisecond, _) => extreme!(TimestampMillisecondType),
        Timestamp(TimeUnit::Microsecond, _) => extreme!(TimestampMicrosecondType),
        Timestamp(TimeUnit::Nanosecond, _) => extreme!(TimestampNanosecondType),
        Decimal128(..) => extreme!(Decimal128Type),
        _ => {
            let fold = ExtremeBytes { largest, data_type: data_type.clone() };
            Box::new(Folding::new(fold, column, grows_only, cx))
        }
    })
}

/// count(*): the rows of the frame.
struct CountRows;

impl FrameEvaluator for CountRows {
    fn evaluate(&mut self, _piece: &Piece, frame: &FrameRows, _log: &mut Log) -> Result<ArrayRef> {
        let counts = frame.starts.iter().zip(&frame.ends).map(|(start, end)| (end - start) as i64);
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }

    fn needs_from(&self) -> u64 {
        u64::MAX
    }
}

macro_rules! frame_evaluator {
    ($($name:ty, $($bound:ident: $trait:path)?);*) => {
        $(impl$(<$bound: $trait>)? FrameEvaluator for $name {
            fn evaluate(&mut self, piece: &Piece, frame: &FrameRows, log: &mut Log) -> Result<ArrayRef> {
                <$name>::evaluate(self, piece, frame, log)
            }

            fn needs_from(&self) -> u64 {
                <$name>::needs_from(self)
            }
        })*
    };
}

frame_evaluator!(Folding<F>, F: Fold; Positional, ; LibraryFrames, );
