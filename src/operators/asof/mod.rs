//! As-of joins: for each left row the nearest right row before it (or after it, or on either side) on a line, within equal
//! keys.
//!
//! A sort of both sides together by (keys, place, side) comes before; it gives rows of equal keys to one worker, in order.
//! The worker then only has to remember the last right row. Looking ahead is looking back in a sort from the largest place
//! to the smallest. For the nearest of both directions, left rows wait for the next right row.
//!
//! Memory, for each worker: a batch, a copy of one right row, and a share of columns for waiting left rows, beyond which
//! these lie on evictable pages. Output goes on in batches of bounded bytes, however long the one right row is.
//!
//! The surprising part: which of several right rows at one place is taken is defined: looking back the last one of the
//! input, looking ahead and for the nearest the first one.

mod output;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::datatypes::SchemaRef;

use self::stream::LocalAsof;
use super::join::JoinColumn;
use super::range_join::active::Active;
use super::tagged::{LEFT, TaggedLayout};
use crate::error::Result;
use crate::exec::{LocalTransform, OperatorReport, QueryContext, Report, TaskContext, Transform};
use crate::memory::PageOwner;
use crate::row::{Layout, LayoutBuilder, RowPageFormat};

/// The operator's name in EXPLAIN and in messages.
pub const NAME: &str = "AsofJoin";

/// The part of governed memory that columns of waiting rows may take, of all workers; beyond it they go to pages.
const COLUMNS_PART: u64 = 8;

/// Where the right row is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
pub enum Direction {
    /// At the left row's place or before it.
    Backward,
    /// At the left row's place or after it.
    Forward,
    /// On either side; of two that are equally far the one before.
    Nearest,
}

/// How far the right row may be at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// In units of the type: steps of integers, dates, times and decimals.
    Steps(i128),
    /// Of floats.
    Float(f64),
}

/// A whole join.
#[derive(Clone)]
pub struct AsofSpec {
    /// The sorted input: by keys, then by place, then right rows before left rows, unless [`AsofSpec::strict`]. Looking
    /// [`Direction::Forward`] places descend.
    pub input: TaggedLayout,
    /// Where the right row is looked for.
    pub direction: Direction,
    /// Whether a right row at the same place does not count. Not with [`Direction::Nearest`].
    pub strict: bool,
    /// How far away it may be.
    pub tolerance: Option<Tolerance>,
    /// Whether left rows without a right row come out, with NULL.
    pub keeps_left: bool,
    /// The columns of the output, [`JoinColumn::Probe`] of the left side and [`JoinColumn::Build`] of the right side,
    /// numbered as in the input's sides.
    pub output: Vec<JoinColumn>,
    /// Their names and types, as many.
    pub schema: SchemaRef,
}

/// See the module.
pub struct AsofJoin {
    spec: Arc<AsofSpec>,
    /// Of waiting rows: their place, then the columns of the left side.
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    columns_bytes: u64,
    next_stream: AtomicU32,
}

impl AsofJoin {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A column of a type that cannot be written to pages.
    pub fn new(spec: AsofSpec, cx: &QueryContext) -> Result<Arc<Self>> {
        Self::with_columns(spec, cx, cx.memory.governed_bytes() / COLUMNS_PART)
    }

    /// With so many bytes for columns of all workers.
    fn with_columns(spec: AsofSpec, cx: &QueryContext, columns_bytes: u64) -> Result<Arc<Self>> {
        let input = &spec.input;
        let mut builder = LayoutBuilder::default();
        for column in [input.place()].into_iter().chain(input.first[LEFT]..input.first[LEFT] + input.n_columns[LEFT]) {
            builder = builder.payload(input.schema.field(column).data_type().clone());
        }
        let layout = builder.build()?;
        let owner = cx.pages.owner(NAME, RowPageFormat::new(&layout));
        let next_stream = AtomicU32::new(0);
        Ok(Arc::new(AsofJoin { spec: Arc::new(spec), layout, owner, columns_bytes, next_stream }))
    }
}

impl Report for AsofJoin {
    fn report(&self) -> OperatorReport {
        OperatorReport::of_pages(self.owner.counters())
    }
}

impl Transform for AsofJoin {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let share_bytes = self.columns_bytes / cx.n_workers.max(1) as u64;
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let cx = QueryContext { memory: cx.memory.clone(), pages: cx.pages.clone(), cancel: cx.cancel.clone() };
        let waiting = Active::new(self.layout.clone(), self.owner.clone(), share_bytes, stream, &cx);
        Ok(Box::new(LocalAsof::new(self.spec.clone(), waiting, cx)))
    }
}
