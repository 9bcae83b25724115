//! ORDER BY over inputs of any size.
//!
//! Each worker turns its batches into rows with a key whose bytes sort like the ORDER BY, and keeps them pinned. When
//! memory is refused, or its share is used up, it sorts them and writes them in order to fresh pages: a run, which the
//! pool evicts as memory is needed. At the end the runs are merged, a slice of the key space at a time, by all workers at
//! once; slices are numbered in key order, so that the place of a batch in the output is known. When there are more runs
//! than pages to merge them with, the smallest are merged first into longer ones.
//!
//! Memory: three quarters of what is governed, at most; see [`SortState::share`]. What never exceeds it is never written.
//! The surprising part: equal keys come in the order of the input at any thread count and budget, because the place in the
//! input is part of the key. It also tells apart rows that would otherwise be compared to the end. A caller may ask that
//! rows with equal first keys stay together: no slice then begins inside such a group, see [`SortSpec::n_grouping_keys`].

mod buffer;
mod cutoff;
mod decode;
mod encode;
mod group_limit;
mod groups;
mod input;
mod levels;
mod prefix;
mod shape;
mod sink;
mod slices;
mod source;
mod spec;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

pub use group_limit::GroupLimit;
pub use spec::{SortKey, SortSpec};

use self::cutoff::Cutoff;
use self::encode::{KeyEncoder, Keys};
use self::levels::Collected;
use self::shape::RowShape;
use self::slices::SlicedMerge;
use crate::error::Result;
use crate::exec::{OperatorReport, QueryContext, Report, Sink, Source};
use crate::memory::{BlockingPlace, PageOwner};
use crate::row::{KeyField, KeySpread, RowPageFormat};

/// A sort: a sink for its input and a source of its rows in order, over one shared state.
pub struct Sort {
    state: Arc<SortState>,
}

/// What the two halves share.
pub(crate) struct SortState {
    name: &'static str,
    spec: SortSpec,
    /// Whether workers drop rows beyond the limit as they go.
    forgets: bool,
    /// How many first rows of each group are wanted, if not all.
    group_limit: Option<GroupLimit>,
    encoder: KeyEncoder,
    cx: QueryContext,
    place: BlockingPlace,
    /// Known with the first row.
    rows: OnceLock<RowsOf>,
    /// Known with the first run.
    index: OnceLock<KeyField>,
    phase: Mutex<Phase>,
    cutoff: Cutoff,
    next_stream: AtomicU64,
    n_runs: AtomicU64,
    n_levels: AtomicU64,
}

/// The shape of the rows and the account of their pages.
pub(super) struct RowsOf {
    shape: Arc<RowShape>,
    owner: Arc<PageOwner>,
}

enum Phase {
    Collecting(Collected),
    Merging(Arc<SlicedMerge>),
}

impl Sort {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A key of a type that has no order.
    pub fn new(spec: SortSpec, cx: &QueryContext) -> Result<Arc<Self>> {
        Ok(Arc::new(Sort { state: SortState::new("Sort", spec, (false, None), cx)? }))
    }

    /// A sort with a limit whose workers drop rows beyond it as they go.
    pub(super) fn forgetting(name: &'static str, spec: SortSpec, cx: &QueryContext) -> Result<Arc<Self>> {
        Ok(Arc::new(Sort { state: SortState::new(name, spec, (true, None), cx)? }))
    }

    /// A sort that may leave out rows beyond the first of each group ([`SortSpec::n_grouping_keys`]), but need not.
    ///
    /// # Errors
    /// As [`Sort::new`].
    pub fn of_groups(spec: SortSpec, limit: GroupLimit, cx: &QueryContext) -> Result<Arc<Self>> {
        Ok(Arc::new(Sort { state: SortState::new("Sort", spec, (false, Some(limit)), cx)? }))
    }

    /// Where the input goes.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(sink::SortSink { state: self.state.clone() })
    }

    /// Where the rows come from in order, after the sink is finished.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(source::SortSource { state: self.state.clone() })
    }
}

impl Report for Sort {
    fn report(&self) -> OperatorReport {
        self.state.report()
    }
}

impl SortState {
    fn new(
        name: &'static str,
        spec: SortSpec,
        (forgets, group_limit): (bool, Option<GroupLimit>),
        cx: &QueryContext,
    ) -> Result<Arc<Self>> {
        let encoder = KeyEncoder::new(&spec)?;
        Ok(Arc::new(SortState {
            name,
            forgets,
            group_limit,
            encoder,
            spec,
            cx: cx.clone(),
            place: cx.memory.enter_blocking(),
            rows: OnceLock::new(),
            index: OnceLock::new(),
            phase: Mutex::new(Phase::Collecting(Collected::default())),
            cutoff: Cutoff::default(),
            next_stream: AtomicU64::new(0),
            n_runs: AtomicU64::new(0),
            n_levels: AtomicU64::new(0),
        }))
    }

    pub(crate) fn report(&self) -> OperatorReport {
        let counters = self.rows.get().map(|rows| rows.owner.counters()).unwrap_or_default();
        OperatorReport {
            n_runs: self.n_runs.load(Ordering::Relaxed),
            depth: self.n_levels.load(Ordering::Relaxed),
            ..OperatorReport::of_pages(counters)
        }
    }

    /// Bytes that all workers together may keep pinned: three quarters of what is not reserved for anything but pages. The
    /// rest is for batches, readers and writers.
    fn share(&self) -> u64 {
        let memory = &self.cx.memory;
        memory.limit_bytes().saturating_sub(memory.reserved_outside_pages()) / 4 * 3
    }

    /// The share while rows are collected.
    fn input_share(&self) -> u64 {
        self.place.share_for_input(self.share())
    }

    /// The share while rows are given away.
    fn output_share(&self) -> u64 {
        self.place.share_for_output(self.share())
    }

    /// The shape of the rows, decided by the first keys that any worker has.
    fn rows_of(&self, keys: &Keys) -> Result<&RowsOf> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let longest = self.encoder.fixed_bytes().unwrap_or_else(|| keys.max_len());
        let shape = RowShape::new(&self.spec, &self.encoder, RowShape::inline_bytes(longest))?;
        let owner = self.cx.pages.owner(self.name, RowPageFormat::new(&shape.layout));
        Ok(self.rows.get_or_init(|| RowsOf { shape: Arc::new(shape), owner }))
    }

    /// The key with the index that all runs of this sort have, decided by the first run.
    fn index_key(&self, spread: &KeySpread, of: &RowsOf) -> KeyField {
        *self.index.get_or_init(|| of.shape.key.indexed_for(spread))
    }

    /// The number of the next run.
    fn take_stream(&self) -> u32 {
        self.n_runs.fetch_add(1, Ordering::Relaxed);
        self.next_stream.fetch_add(1, Ordering::Relaxed) as u32
    }

    fn lock_phase(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
