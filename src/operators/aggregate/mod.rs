//! GROUP BY over any number of groups.
//!
//! Phase one: each worker keeps a table of groups, keys and states inline in rows on pages, in partitions by the top bits
//! of the hash. When memory is refused, or its share is used up, the worker unpins all its pages and starts anew. Input
//! whose keys are nearly all different stops probing and only appends. Phase two takes partitions in order, merges their
//! pages into one table, frees each page after merging (so memory follows groups, not rows), splits by further hash bits
//! what does not fit, and emits.
//!
//! Memory: pages and hash entries up to the grant; beyond it, pages are evicted. Keys with few values skip hashing
//! through a map of codes of at most 512 KiB a worker.

mod codes;
mod correlation;
mod dense;
mod extremes;
mod library;
mod merge;
mod moments;
mod narrow;
mod plan;
mod sink;
mod source;
mod spec;
mod state;
mod streamed;
mod sums;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub use narrow::{NarrowCaches, NarrowKeys};
pub use spec::{AggregateCall, AggregateFunction, AggregateSpec, GroupAccumulator, LibraryFunction};
pub use state::is_native;
pub(super) use streamed::{GroupedRows, Streamed};

use self::plan::AggregatePlan;
use crate::error::Result;
use crate::exec::{OperatorReport, QueryContext, Report, Sink, Source};
use crate::io::ColumnStatistics;
use crate::memory::{BlockingPlace, OverBudget, OwnerCounters, PageOwner};
use crate::row::{RowPageFormat, SealedPages};

/// An aggregation: a sink for its input and a source of its groups, over one shared state.
pub struct Aggregate {
    shared: Arc<Shared>,
}

/// What the two halves share.
struct Shared {
    plan: AggregatePlan,
    /// Of pages with rows in the spilled layout.
    owner: Arc<PageOwner>,
    /// Of pages with rows of tables; the same one when the layouts are the same.
    table_owner: Arc<PageOwner>,
    cx: QueryContext,
    place: BlockingPlace,
    partition_bits: u32,
    partitions: Mutex<Vec<SealedPages>>,
    /// Groups of partitions that are merged together, set when the sink is finished.
    morsels: Mutex<Vec<SealedPages>>,
    next_morsel: AtomicUsize,
    n_input_rows: AtomicU64,
    deepest: AtomicU64,
}

/// Settings that do not change the answer.
#[derive(Debug, Clone, Default)]
pub struct AggregateOptions {
    /// For each key, what is known of its values, so that it can be kept in fewer bytes. May be empty.
    pub key_statistics: Vec<Option<ColumnStatistics>>,
}

impl Aggregate {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A function or type that is not supported.
    pub fn new(spec: AggregateSpec, options: AggregateOptions, cx: &QueryContext) -> Result<Arc<Self>> {
        let plan = AggregatePlan::new(spec, &options, &cx.memory)?;
        let owner = cx.pages.owner("Aggregate", RowPageFormat::new(&plan.spilled_layout));
        // A page is written to disk by the layout of its rows, so each layout has its owner.
        let table_owner = match plan.has_library() {
            true => cx.pages.owner("Aggregate", RowPageFormat::new(&plan.layout)),
            false => owner.clone(),
        };
        let partition_bits = if plan.spec.keys.is_empty() { 0 } else { partition_bits(cx) };
        let shared = Shared {
            plan,
            owner,
            table_owner,
            cx: cx.clone(),
            place: cx.memory.enter_blocking(),
            partition_bits,
            partitions: Mutex::new((0..1usize << partition_bits).map(|_| SealedPages::default()).collect()),
            morsels: Mutex::default(),
            next_morsel: AtomicUsize::new(0),
            n_input_rows: AtomicU64::new(0),
            deepest: AtomicU64::new(0),
        };
        Ok(Arc::new(Aggregate { shared: Arc::new(shared) }))
    }

    /// Where the input goes.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(sink::AggregateSink { shared: self.shared.clone() })
    }

    /// Where the groups come from, after the sink is finished.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(source::AggregateSource { shared: self.shared.clone() })
    }
}

impl Report for Aggregate {
    fn report(&self) -> OperatorReport {
        let counters = self.shared.owner.counters();
        let tables = match self.shared.plan.has_library() {
            true => self.shared.table_owner.counters(),
            false => OwnerCounters::default(),
        };
        OperatorReport {
            peak_bytes: counters.peak_resident_bytes + tables.peak_resident_bytes,
            spilled_raw_bytes: counters.spilled_raw_bytes + tables.spilled_raw_bytes,
            spilled_stored_bytes: counters.spilled_stored_bytes + tables.spilled_stored_bytes,
            restored_bytes: counters.restored_bytes + tables.restored_bytes,
            n_partitions: 1 << self.shared.partition_bits,
            depth: self.shared.deepest.load(Ordering::Relaxed),
            ..OperatorReport::default()
        }
    }
}

/// As many partitions as write pages fit into a quarter of the governed memory, between 8 and 256.
fn partition_bits(cx: &QueryContext) -> u32 {
    let sizes = cx.memory.sizes();
    let write_pages = cx.memory.governed_bytes() / 4 / (sizes.threads * sizes.page_bytes) as u64;
    write_pages.max(1).ilog2().clamp(3, 8)
}

impl Shared {
    /// Bytes that all workers together may hold in pages and hash entries: the rest is for batches, readers and writers.
    /// A reader may need a page of each column, packed and unpacked, for each worker.
    fn share(&self) -> u64 {
        let free = self.cx.memory.limit_bytes().saturating_sub(self.cx.memory.reserved_outside_pages());
        self.cx.memory.sizes().beside_readers(free, self.plan.spec.input.fields().len())
    }

    /// What one worker may hold while it groups its input.
    fn input_share(&self, n_workers: usize) -> u64 {
        self.place.share_for_input(self.share()) / n_workers.max(1) as u64
    }

    /// What one worker may hold while it merges partitions.
    fn output_share(&self, n_workers: usize) -> u64 {
        self.place.share_for_output(self.share()) / n_workers.max(1) as u64
    }

    /// The refusal of a worker that has used up its share.
    fn refusal(&self) -> OverBudget {
        self.cx.memory.refuse("Aggregate", self.owner.page_bytes() as u64)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
