//! Joins over inputs of any size, of every type, with the smaller input as the build side.
//!
//! The build side is written as rows to unpinned pages; once it is complete, as many partitions of it as memory allows
//! are pinned, the smallest first, and one hash table is made over them. The probe side streams past: rows whose partition
//! is in the table are joined at once, the others are spilled. What is left are pairs of partitions, joined one after the
//! other with the smaller side as the table, and split by further hash bits where neither side fits. A key with too many
//! rows on both sides is joined a chunk of one side at a time, against all of the other.
//!
//! Memory: a table of at most the share that this operator may have, write pages for the partitions, and a few batches.
//!
//! Why there is no operator for joins without equal keys: they are joins with one empty key, all of whose rows are
//! candidates, which the chunks bound in memory. Where it is enough to know that a key is there, it is kept once.
//!
//! The surprising parts. Rows are not partitioned before there are enough of them: a small build side stays in a few
//! pages. Both sides' rows have the same form, so that a pair of partitions may be joined either way round. The marks of
//! matched rows are kept in the rows, on either side, so that nothing grows with the input.

mod build;
mod filter;
mod known_keys;
mod matcher;
mod pairs;
mod plan;
mod probe;
mod remainder;
mod rows;
mod spec;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use known_keys::KnownKeys;
pub use spec::{JoinColumn, JoinSpec, JoinType, Residual};

use self::build::Built;
use self::filter::KeyFilter;
use self::plan::{BUILD, JoinPlan, PROBE};
use crate::error::{Error, Result};
use crate::exec::{OperatorReport, QueryContext, Report, Sink, Transform};
use crate::memory::{BlockingPlace, PageOwner};
use crate::row::{RowPageFormat, SealedPages};

/// The operator's name in EXPLAIN and in messages.
const NAME: &str = "Join";

/// Settings that do not change the answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct JoinOptions {
    /// Bytes that tables may take at most, instead of what memory allows.
    pub most_bytes: Option<u64>,
    /// Bits of the hash by which spilled rows are partitioned first.
    pub partition_bits: Option<u32>,
}

/// A join: a sink for the build side, and a transform of the probe side, over one shared state.
pub struct HashJoin {
    shared: Arc<Shared>,
}

struct Shared {
    plan: JoinPlan,
    cx: QueryContext,
    place: BlockingPlace,
    /// Of the pages of either side.
    owners: [Arc<PageOwner>; 2],
    options: JoinOptions,
    partition_bits: u32,
    /// Build rows, until the build side is complete.
    collected: Mutex<build::Collected>,
    /// Of the rows in partitions, from when there are any; empty when there was no memory for it.
    filter: Mutex<Option<Option<Arc<KeyFilter>>>>,
    /// The table, from then until the probe side is complete.
    built: Mutex<Option<Arc<Built>>>,
    /// By partition, the spilled rows of either side.
    spilled: Mutex<[Vec<SealedPages>; 2]>,
    /// Build rows whose NULL keys match nothing, if they are needed.
    null_rows: Mutex<SealedPages>,
    seen: Seen,
    /// Whether blocking operators of the probe side run after the build side is complete.
    builds_first: AtomicBool,
    entry_bytes: AtomicU64,
    deepest: AtomicU64,
    /// Pairs whose key several rows of both sides have, less those that one side's rows account for.
    repeats: AtomicU64,
}

/// What NOT IN has to know of a side as a whole.
#[derive(Default)]
struct Seen {
    build_null: AtomicBool,
    probe_null: AtomicBool,
    probe_row: AtomicBool,
}

impl HashJoin {
    /// Prepares `spec`.
    ///
    /// # Errors
    /// A type that cannot be kept in rows, or keys of different types.
    pub fn new(spec: &JoinSpec, options: JoinOptions, cx: &QueryContext) -> Result<Arc<Self>> {
        let plan = JoinPlan::new(spec)?;
        let owner = |side: usize| cx.pages.owner(NAME, RowPageFormat::new(&plan.sides[side].layout));
        let owners = [owner(PROBE), owner(BUILD)];
        let wanted_bits = options.partition_bits.unwrap_or_else(|| partition_bits(cx));
        let partition_bits = if plan.n_keys == 0 { 0 } else { wanted_bits };
        let shared = Shared {
            plan,
            cx: cx.clone(),
            place: cx.memory.enter_blocking(),
            owners,
            options,
            partition_bits,
            collected: Mutex::default(),
            filter: Mutex::default(),
            built: Mutex::default(),
            spilled: Mutex::default(),
            null_rows: Mutex::default(),
            seen: Seen::default(),
            builds_first: AtomicBool::new(false),
            entry_bytes: AtomicU64::new(0),
            deepest: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
        };
        Ok(Arc::new(HashJoin { shared: Arc::new(shared) }))
    }

    /// The build side is completed before blocking operators of the probe side run, which need memory too.
    pub fn build_first(&self) {
        self.shared.builds_first.store(true, Ordering::Relaxed);
    }

    /// Where the build side goes.
    pub fn build_sink(&self) -> Arc<dyn Sink> {
        self.build_sink_noting(Vec::new())
    }

    /// The same, and the values of some keys, by their place among the keys, are noted for the scans of the probe side.
    pub fn build_sink_noting(&self, known: Vec<(usize, Arc<KnownKeys>)>) -> Arc<dyn Sink> {
        Arc::new(build::JoinBuild { shared: self.shared.clone(), known: known.into() })
    }

    /// What the probe side goes through, after the build side is complete.
    pub fn probe(&self) -> Arc<dyn Transform> {
        Arc::new(probe::JoinProbe { shared: self.shared.clone() })
    }
}

impl Report for HashJoin {
    fn report(&self) -> OperatorReport {
        let [probe, build] = [PROBE, BUILD].map(|side| self.shared.owners[side].counters());
        OperatorReport {
            peak_bytes: probe.peak_resident_bytes
                + build.peak_resident_bytes
                + self.shared.entry_bytes.load(Ordering::Relaxed),
            spilled_raw_bytes: probe.spilled_raw_bytes + build.spilled_raw_bytes,
            spilled_stored_bytes: probe.spilled_stored_bytes + build.spilled_stored_bytes,
            restored_bytes: probe.restored_bytes + build.restored_bytes,
            n_partitions: 1 << self.shared.partition_bits,
            depth: self.shared.deepest.load(Ordering::Relaxed),
            n_repeated_pairs: self.shared.counts_repeats().then(|| self.shared.repeats.load(Ordering::Relaxed)),
            ..OperatorReport::default()
        }
    }
}

/// As many partitions as write pages fit into an eighth of the governed memory, between 4 and 64.
fn partition_bits(cx: &QueryContext) -> u32 {
    let sizes = cx.memory.sizes();
    let write_pages = cx.memory.governed_bytes() / 8 / (sizes.threads * sizes.page_bytes) as u64;
    write_pages.max(1).ilog2().clamp(2, 6)
}

impl Shared {
    /// Bytes that tables of this join may take now: what is free or can be evicted, less what batches, readers and
    /// operators above need.
    fn share(&self) -> u64 {
        let obtainable = self.cx.memory.available_bytes() + self.cx.pages.evictable_bytes();
        let obtainable = obtainable.min(self.cx.memory.limit_bytes());
        let most = self.cx.memory.sizes().beside_readers(obtainable, self.plan.sides[PROBE].inputs.len());
        let share = match self.builds_first.load(Ordering::Relaxed) {
            true => self.place.share_beside(most),
            false => self.place.share_for_output(most),
        };
        share.min(self.options.most_bytes.unwrap_or(u64::MAX))
    }

    /// Whether every pair of rows with equal keys is one of the result, so that it can be told which keys several rows
    /// of both sides have.
    fn counts_repeats(&self) -> bool {
        self.plan.join_type.gives_pairs() && self.plan.n_keys > 0 && self.plan.residual.is_none()
    }

    /// Whether to go on; asked for every page and every few pairs, since a join may work long without giving a row.
    fn check(&self) -> Result<()> {
        self.cx.cancel.check()?;
        self.cx.memory.check_overrun()
    }

    /// The filter that every build row in a partition is added to.
    fn filter(&self) -> Option<Arc<KeyFilter>> {
        lock(&self.filter).get_or_insert_with(|| KeyFilter::new(&self.cx.memory)).clone()
    }

    fn built(&self) -> Result<Arc<Built>> {
        lock(&self.built).clone().ok_or_else(|| Error::query("a join was probed before its build side was complete"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
