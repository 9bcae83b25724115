//! Joins by order: of rows whose intervals on a line have a point in common, within equal keys.
//!
//! `a.x BETWEEN b.lo AND b.hi`, `a.lo <= b.hi AND b.lo <= a.hi` and `a.t < b.t` are all of this form: a row stands on the
//! line from its place to its last place, which may be the same, or the end of the line. A sort of both sides together by
//! (keys, place) comes before; it gives rows of equal keys to one worker, in order. The worker sweeps along the line and
//! keeps the rows of either side that reach as far: a row that arrives meets the kept rows of the other side, and those
//! that end before it are dropped. So rows that are far from one another are never compared.
//!
//! Memory, for each worker: a few batches and their places; a share of columns for kept rows ([`COLUMNS_PART`]), beyond
//! which these lie on evictable pages; and [`active::HEADER_BYTES`] for every chunk of them. The output streams.
//!
//! The surprising parts. The chunk of kept rows is ordered by last place, so that the rows which an arriving one meets are
//! its first ones: what has ended costs nothing but its bytes. Both conditions are checked for every pair that is found, so
//! it does not matter whether an interval ends before it begins, nor whether the two conditions speak of different things.

pub(in crate::operators) mod active;
mod output;
mod piece;
mod sweep;
#[cfg(test)]
pub(in crate::operators) mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::datatypes::SchemaRef;

use self::active::Active;
use self::sweep::LocalRangeJoin;
use super::join::{JoinColumn, JoinType, Residual};
use super::tagged::{LEFT, RIGHT, TaggedLayout};
use crate::error::Result;
use crate::exec::{LocalTransform, OperatorReport, QueryContext, Report, TaskContext, Transform};
use crate::memory::PageOwner;
use crate::row::{Layout, LayoutBuilder, RowPageFormat};

/// The operator's name in EXPLAIN and in messages.
pub const NAME: &str = "RangeJoin";

/// The part of governed memory that columns of kept rows may take, of all workers; beyond it they go to pages.
const COLUMNS_PART: u64 = 8;

/// Where the rows of a side end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Where they begin.
    Place,
    /// At the last place, a column.
    Last,
    /// Nowhere.
    Forever,
}

/// A whole join. The left side is the probe side of [`JoinType`] and [`JoinColumn`], the right side the build side.
#[derive(Clone)]
pub struct RangeJoinSpec {
    /// The sorted input.
    pub input: TaggedLayout,
    /// Whether the input is sorted by place from the largest to the smallest.
    pub descending: bool,
    /// Where rows of the left and the right side end.
    pub until: [Until; 2],
    /// Whether the place of a row of the left (right) side must be before the last place of the other, and not at it.
    pub strict: [bool; 2],
    /// Which rows it gives.
    pub join_type: JoinType,
    /// Whether NULL keys are equal to each other; else they match nothing.
    pub null_equal: bool,
    /// What else must hold. Columns are numbered as in the input's sides.
    pub residual: Option<Residual>,
    /// The columns of the output, likewise.
    pub output: Vec<JoinColumn>,
    /// Their names and types, as many.
    pub schema: SchemaRef,
}

/// See the module.
pub struct RangeJoin {
    plan: Arc<Plan>,
    owners: [Arc<PageOwner>; 2],
    columns_bytes: u64,
    next_stream: AtomicU32,
}

/// What is decided before it runs.
struct Plan {
    spec: RangeJoinSpec,
    /// Of kept rows: their place, their last place if it is a column, then the columns of their side.
    layouts: [Arc<Layout>; 2],
}

impl RangeJoin {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A column of a type that cannot be written to pages.
    pub fn new(spec: RangeJoinSpec, cx: &QueryContext) -> Result<Arc<Self>> {
        Self::with_columns(spec, cx, cx.memory.governed_bytes() / COLUMNS_PART)
    }

    /// With so many bytes for columns of all workers.
    fn with_columns(spec: RangeJoinSpec, cx: &QueryContext, columns_bytes: u64) -> Result<Arc<Self>> {
        let layouts = [layout_of(&spec, LEFT)?, layout_of(&spec, RIGHT)?];
        let owners = [LEFT, RIGHT].map(|side| cx.pages.owner(NAME, RowPageFormat::new(&layouts[side])));
        let plan = Arc::new(Plan { spec, layouts });
        Ok(Arc::new(RangeJoin { plan, owners, columns_bytes, next_stream: AtomicU32::new(0) }))
    }
}

fn layout_of(spec: &RangeJoinSpec, side: usize) -> Result<Arc<Layout>> {
    let input = &spec.input;
    let mut builder = LayoutBuilder::default();
    let last = input.last.filter(|_| spec.until[side] == Until::Last);
    let columns = input.first[side]..input.first[side] + input.n_columns[side];
    for column in [input.place()].into_iter().chain(last).chain(columns) {
        builder = builder.payload(input.schema.field(column).data_type().clone());
    }
    builder.build()
}

impl Plan {
    /// Of a chunk of kept rows of `side`, the column after which those of the side come.
    fn n_places(&self, side: usize) -> usize {
        if self.spec.until[side] == Until::Last { 2 } else { 1 }
    }

    /// Whether rows of `side` come out alone, matched or not.
    fn gives_alone(&self, side: usize, matched: bool) -> bool {
        let join_type = self.spec.join_type;
        if side == LEFT { join_type.gives_probe_row(matched) } else { join_type.mirrored().gives_probe_row(matched) }
    }

    /// Whether it matters which rows of `side` have a match.
    fn marks(&self, side: usize) -> bool {
        self.gives_alone(side, true) || self.gives_alone(side, false)
    }

    /// Whether pairs have to be looked at, and not only counted.
    fn needs_pairs(&self) -> bool {
        self.spec.join_type.gives_pairs() || self.spec.residual.is_some()
    }

    /// Whether a row of `side` at `from..=until` meets one of the other side.
    #[inline(always)]
    fn meets(&self, side: usize, (from, until): (i128, i128), (other_from, other_until): (i128, i128)) -> bool {
        let strict = &self.spec.strict;
        is_before(from, other_until, strict[side]) && is_before(other_from, until, strict[1 - side])
    }
}

#[inline(always)]
fn is_before(place: i128, last: i128, strict: bool) -> bool {
    if strict { place < last } else { place <= last }
}

impl Report for RangeJoin {
    fn report(&self) -> OperatorReport {
        let [left, right] = [LEFT, RIGHT].map(|side| self.owners[side].counters());
        OperatorReport {
            peak_bytes: left.peak_resident_bytes + right.peak_resident_bytes,
            spilled_raw_bytes: left.spilled_raw_bytes + right.spilled_raw_bytes,
            spilled_stored_bytes: left.spilled_stored_bytes + right.spilled_stored_bytes,
            restored_bytes: left.restored_bytes + right.restored_bytes,
            ..OperatorReport::default()
        }
    }
}

impl Transform for RangeJoin {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let share_bytes = self.columns_bytes / 2 / cx.n_workers.max(1) as u64;
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let query = QueryContext { memory: cx.memory.clone(), pages: cx.pages.clone(), cancel: cx.cancel.clone() };
        let active = |side: usize| {
            let layout = self.plan.layouts[side].clone();
            Active::new(layout, self.owners[side].clone(), share_bytes, stream, &query)
        };
        Ok(Box::new(LocalRangeJoin::new(self.plan.clone(), [active(LEFT), active(RIGHT)], query)))
    }
}
