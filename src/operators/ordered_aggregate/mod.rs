//! Aggregates that need the rows of a group in an order: median, percentiles, mode, DISTINCT, array_agg, string_agg,
//! nth_value.
//!
//! ```text
//! input ── Arrange: a copy of each row per order, tagged ──> Sort by keys, tag, order ──> OrderedAggregate: group by group
//! ```
//!
//! The sort spills, so a group may be of any size. Here rows pass by in order: equal values come one after the other, which
//! is all that DISTINCT and mode need; the values a percentile may still pick wait in a spool on pages that can be evicted.
//! Several orders in one query share one sort: every row is copied once an order. Ordinary aggregates of the same query are
//! computed from the rows of the first order, with the states that [`super::aggregate`] has.
//!
//! Memory: one batch a worker, one page a percentile, and the one result of array_agg or string_agg that is being made,
//! which is reserved before it is. Values in a spool are pages like any other.
//!
//! The surprising part: a morsel holds whole groups ([`super::sort::SortSpec::n_grouping_keys`]), so its end closes the
//! last group, and workers never talk to one another.

mod arrange;
mod collect;
mod groups;
mod mode;
mod nth;
mod percentile;
mod selection;
mod spec;
mod spool;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::datatypes::Schema;

pub use arrange::{Arrange, ArrangedColumn};
pub use percentile::{Pick, Rounding, has_middle};
pub use spec::{OrderedCall, OrderedFunction, OrderedSpec};

use self::groups::GroupFinder;
use self::percentile::PercentileCall;
use self::selection::{Selected, Selection};
use self::spool::Shelf;
use super::aggregate::{AggregateCall, GroupedRows, NarrowKeys, Streamed};
use crate::error::{Error, Result};
use crate::exec::{
    Batch, Emit, Flow, LocalSource, LocalTransform, OperatorReport, QueryContext, Report, Sequence, Source,
    TaskContext, Transform,
};

/// The last step of an ordered aggregation: sorted rows become groups.
pub struct OrderedAggregate {
    spec: Arc<OrderedSpec>,
    /// How the keys of the input are kept.
    narrow: Option<Arc<NarrowKeys>>,
    has_rows: Arc<AtomicBool>,
    /// For each call where its values wait, if they do.
    shelves: Arc<[Option<Shelf>]>,
}

/// Computes one call: takes the rows of a batch and gives the results of the groups that are complete.
trait GroupCall: Send {
    fn push(&mut self, rows: &Selected) -> Result<ArrayRef>;
}

/// Calls that read the same rows.
struct Unit {
    selection: Selection,
    work: Work,
    /// Which calls they are.
    calls: Vec<usize>,
}

enum Work {
    One(Box<dyn GroupCall>),
    Ordinary { streamed: Box<Streamed>, group_of: Vec<u32> },
}

struct LocalOrdered {
    spec: Arc<OrderedSpec>,
    narrow: Option<Arc<NarrowKeys>>,
    has_rows: Arc<AtomicBool>,
    finder: GroupFinder,
    units: Vec<Unit>,
}

impl OrderedAggregate {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A type that cannot be kept in rows.
    pub fn new(spec: OrderedSpec, cx: &QueryContext) -> Result<Self> {
        use OrderedFunction::{Median, Percentile, PercentileDisc, PercentileRounded};
        let shelf = |call: &OrderedCall| match (&call.function, call.args.first()) {
            (Median | Percentile(_) | PercentileDisc(_) | PercentileRounded(..), Some(&arg)) => {
                Shelf::new(spec.input.field(arg).data_type(), cx).map(Some)
            }
            _ => Ok(None),
        };
        let shelves = spec.calls.iter().map(shelf).collect::<Result<_>>()?;
        Ok(OrderedAggregate { spec: Arc::new(spec), narrow: None, has_rows: Arc::default(), shelves })
    }

    /// Takes keys in a narrow form and gives them as they are.
    pub fn widening(self, keys: Arc<NarrowKeys>) -> Self {
        OrderedAggregate { narrow: Some(keys), ..self }
    }
}

impl Report for OrderedAggregate {
    fn report(&self) -> OperatorReport {
        let mut report = OperatorReport::default();
        for counters in self.shelves.iter().flatten().map(Shelf::counters) {
            report.peak_bytes += counters.peak_resident_bytes;
            report.spilled_raw_bytes += counters.spilled_raw_bytes;
            report.spilled_stored_bytes += counters.spilled_stored_bytes;
            report.restored_bytes += counters.restored_bytes;
        }
        report
    }
}

impl Transform for OrderedAggregate {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalOrdered {
            finder: GroupFinder::new(&self.spec),
            units: units(&self.spec, &self.shelves, cx)?,
            spec: self.spec.clone(),
            narrow: self.narrow.clone(),
            has_rows: self.has_rows.clone(),
        }))
    }

    /// Without GROUP BY there is a row even when there was no input.
    fn remainder(&self) -> Result<Option<Arc<dyn Source>>> {
        let is_missing = self.spec.is_ungrouped && !self.has_rows.load(Ordering::Relaxed);
        Ok(is_missing.then(|| {
            Arc::new(NoInput { spec: self.spec.clone(), shelves: self.shelves.clone(), done: AtomicBool::new(false) })
                as Arc<dyn Source>
        }))
    }
}

impl LocalTransform for LocalOrdered {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        if batch.n_rows() > 0 {
            self.has_rows.store(true, Ordering::Relaxed);
        }
        let found = self.finder.find(&batch.data, batch.last_of_morsel)?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.spec.calls.len()];
        for unit in &mut self.units {
            let selected = unit.selection.select(batch.data.columns(), &found)?;
            for (&call, result) in unit.calls.iter().zip(unit.work.push(&selected)?) {
                columns[call] = Some(result);
            }
        }
        let columns = columns.into_iter().map(|column| column.ok_or_else(|| Error::query("a call has no result")));
        if found.n_closed == 0 && !batch.last_of_morsel {
            return Ok(Flow::More);
        }
        let keys = match &self.narrow {
            _ if self.spec.is_ungrouped => Vec::new(),
            Some(narrow) => narrow.decode(found.closed_keys)?,
            None => found.closed_keys,
        };
        let columns = keys.into_iter().map(Ok).chain(columns).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(found.n_closed));
        emit(batch.with_data(RecordBatch::try_new_with_options(self.spec.output.clone(), columns, &options)?))
    }
}

impl Work {
    fn push(&mut self, rows: &Selected) -> Result<Vec<ArrayRef>> {
        match self {
            Work::One(call) => Ok(vec![call.push(rows)?]),
            Work::Ordinary { streamed, group_of } => {
                group_of.clear();
                for segment in &rows.segments {
                    group_of.resize(group_of.len() + segment.len, segment.group as u32);
                }
                let (n_groups, n_closed) = (rows.n_groups, rows.n_closed);
                streamed.push(&GroupedRows { columns: &rows.columns, group_of, n_groups, n_closed })
            }
        }
    }
}

/// The units of a spec: one a call, but one for all ordinary calls.
fn units(spec: &OrderedSpec, shelves: &[Option<Shelf>], cx: &TaskContext) -> Result<Vec<Unit>> {
    let is_plain = |call: &OrderedCall| matches!(call.function, OrderedFunction::Ordinary(_)) && !call.is_distinct;
    let mut units = Vec::new();
    let plain: Vec<usize> = (0..spec.calls.len()).filter(|&idx| is_plain(&spec.calls[idx])).collect();
    if let Some(&first) = plain.first() {
        let calls: Vec<AggregateCall> = plain.iter().filter_map(|&idx| ordinary(&spec.calls[idx])).collect();
        let (columns, calls) = only_needed(calls);
        let fields: Vec<_> = columns.iter().map(|&column| spec.input.fields()[column].clone()).collect();
        let streamed = Box::new(Streamed::new(&Schema::new(fields), &calls, cx)?);
        let selection = Selection::all(spec, columns, spec.calls[first].tag);
        units.push(Unit { selection, work: Work::Ordinary { streamed, group_of: Vec::new() }, calls: plain });
    }
    for (idx, call) in spec.calls.iter().enumerate().filter(|(_, call)| !is_plain(call)) {
        units.push(Unit {
            selection: Selection::of_call(spec, call),
            work: work_of(spec, call, shelves[idx].as_ref(), cx)?,
            calls: vec![idx],
        });
    }
    Ok(units)
}

fn ordinary(call: &OrderedCall) -> Option<AggregateCall> {
    let OrderedFunction::Ordinary(function) = &call.function else { return None };
    let (args, filter, output) = (call.args.clone(), call.filter, call.output.clone());
    Some(AggregateCall { function: function.clone(), args, filter, output })
}

/// What computes a call that has its rows to itself: its arguments are the columns, filtered already.
fn work_of(spec: &OrderedSpec, call: &OrderedCall, shelf: Option<&Shelf>, cx: &TaskContext) -> Result<Work> {
    let arg_type = || match call.args.first() {
        Some(&arg) => Ok(spec.input.field(arg).data_type().clone()),
        None => Err(Error::query(format!("{:?} has no argument", call.function))),
    };
    let output = call.output.data_type().clone();
    let pick = |pick| match shelf {
        Some(shelf) => PercentileCall::new(pick, arg_type()?, shelf.clone()),
        None => Err(Error::query(format!("{:?} has no argument", call.function))),
    };
    Ok(Work::One(match &call.function {
        OrderedFunction::Median => Box::new(pick(Pick::Median)?),
        OrderedFunction::Percentile(part) => Box::new(pick(Pick::At(*part))?),
        OrderedFunction::PercentileDisc(part) => Box::new(pick(Pick::Value(*part))?),
        OrderedFunction::PercentileRounded(part, rounding) => Box::new(pick(Pick::Rounded(*part, *rounding))?),
        OrderedFunction::Mode => Box::new(mode::ModeCall::new(arg_type()?)),
        OrderedFunction::ArrayAgg { .. } => Box::new(collect::ArrayAggCall::new(output, &cx.memory)?),
        OrderedFunction::StringAgg { separator } => {
            Box::new(collect::StringAggCall::new(separator.clone(), output, &cx.memory))
        }
        OrderedFunction::Nth { n, .. } => Box::new(nth::NthCall::new(*n, arg_type()?, &cx.memory)?),
        OrderedFunction::Ordinary(_) => {
            let fields: Vec<_> = call.args.iter().map(|&arg| spec.input.fields()[arg].clone()).collect();
            let input = Schema::new(fields);
            let calls: Vec<AggregateCall> = ordinary(call).into_iter().map(by_position).collect();
            let streamed = Box::new(Streamed::new(&input, &calls, cx)?);
            return Ok(Work::Ordinary { streamed, group_of: Vec::new() });
        }
    }))
}

/// The columns that `calls` read, and the calls by their places among them.
fn only_needed(mut calls: Vec<AggregateCall>) -> (Vec<usize>, Vec<AggregateCall>) {
    let read = calls.iter().flat_map(|call| call.args.iter().copied().chain(call.filter));
    let columns: Vec<usize> = read.collect::<BTreeSet<usize>>().into_iter().collect();
    for call in &mut calls {
        let places = call.args.iter_mut().chain(&mut call.filter);
        places.for_each(|column| *column = columns.binary_search(column).unwrap_or_default());
    }
    (columns, calls)
}

fn by_position(call: AggregateCall) -> AggregateCall {
    AggregateCall { args: (0..call.args.len()).collect(), filter: None, ..call }
}

/// The row of an aggregation without GROUP BY over no rows.
struct NoInput {
    spec: Arc<OrderedSpec>,
    shelves: Arc<[Option<Shelf>]>,
    done: AtomicBool,
}

struct LocalNoInput(Option<Batch>);

impl Source for NoInput {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        if self.done.swap(true, Ordering::Relaxed) {
            return Ok(Box::new(LocalNoInput(None)));
        }
        let mut columns: Vec<ArrayRef> =
            self.spec.calls.iter().map(|call| new_empty_array(call.output.data_type())).collect();
        for unit in &mut units(&self.spec, &self.shelves, cx)? {
            let columns_read = unit.selection.columns().iter();
            let empty = columns_read.map(|&column| new_empty_array(self.spec.input.field(column).data_type()));
            let rows = Selected { columns: empty.collect(), segments: Vec::new(), n_groups: 1, n_closed: 1 };
            for (&call, result) in unit.calls.iter().zip(unit.work.push(&rows)?) {
                columns[call] = result;
            }
        }
        let data = RecordBatch::try_new(self.spec.output.clone(), columns)?;
        let batch = Batch { data, sequence: Sequence::default(), last_of_morsel: true };
        Ok(Box::new(LocalNoInput(Some(batch))))
    }
}

impl LocalSource for LocalNoInput {
    fn next(&mut self) -> Result<Option<Batch>> {
        Ok(self.0.take())
    }
}
