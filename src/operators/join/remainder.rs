//! What is known only when the probe side has ended: build rows that are given alone, and pairs of spilled partitions.
//!
//! Memory: a page at a time for rows given alone. The table goes before the first pair of partitions comes, as soon as no
//! worker needs it any more.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;

use super::build::Built;
use super::matcher::Matcher;
use super::pairs::{Pair, PairJoiner, Task};
use super::plan::BUILD;
use super::spec::JoinType;
use super::{Shared, lock};
use crate::error::Result;
use crate::exec::{Batch, LocalSource, Sequence, Source, TaskContext};
use crate::row::{JoinTable, RowPage, RowPointers, SealedPages};

/// The source of what is left.
pub(super) struct Remainder {
    shared: Arc<Shared>,
    work: Arc<Work>,
}

/// What workers share.
struct Work {
    /// The table whose rows are given alone, if they are; each worker lets go of it at the end of its pages.
    built: Mutex<Option<Arc<Built>>>,
    next_page: AtomicUsize,
    /// Pairs of partitions and parts of them, the next one last.
    tasks: Mutex<Vec<Task>>,
    /// What all workers together may hold for them.
    pairs_bytes: u64,
    next_morsel: AtomicU64,
}

impl Remainder {
    /// What is left of the join, if anything is.
    pub(super) fn of(shared: &Arc<Shared>) -> Result<Option<Arc<dyn Source>>> {
        let built = lock(&shared.built).take();
        let (plan, seen) = (&shared.plan, &shared.seen);
        if plan.null_aware && plan.join_type == JoinType::BuildAnti {
            if seen.probe_null.load(Ordering::Relaxed) {
                return Ok(None);
            }
            if seen.probe_row.load(Ordering::Relaxed) {
                // A NULL key is not known to be without a match.
                std::mem::take(&mut *lock(&shared.null_rows));
            }
        }
        let gives_build_rows = plan.join_type.gives_build_rows();
        let built = built.filter(|built| gives_build_rows && built.table.n_rows() > 0);
        let has_null_rows = lock(&shared.null_rows).n_rows() > 0;
        let pairs = shared.take_pairs();
        if built.is_none() && !has_null_rows && pairs.is_empty() {
            return Ok(None);
        }
        // The table is gone before the first pair comes.
        let table_bytes = built.as_ref().map_or(0, |built| built.table.bytes());
        let work = Work {
            built: built.into(),
            next_page: AtomicUsize::new(0),
            tasks: Mutex::new(pairs.into_iter().map(Task::Pair).collect()),
            pairs_bytes: shared.share() + table_bytes / 2,
            next_morsel: AtomicU64::new(0),
        };
        Ok(Some(Arc::new(Remainder { shared: shared.clone(), work: Arc::new(work) })))
    }
}

impl Shared {
    /// Takes the spilled partitions of both sides.
    fn take_pairs(&self) -> Vec<Pair> {
        let [mut probe, mut build] = std::mem::take(&mut *lock(&self.spilled));
        let n_partitions = 1 << self.partition_bits;
        probe.resize_with(n_partitions, SealedPages::default);
        build.resize_with(n_partitions, SealedPages::default);
        let pair = |(probe, build): (SealedPages, SealedPages)| Pair {
            sides: [probe, build],
            used_bits: self.partition_bits,
            depth: 0,
            is_stuck: false,
        };
        let has_rows = |pair: &Pair| pair.sides.iter().any(|pages| pages.n_rows() > 0);
        probe.into_iter().zip(build).rev().map(pair).filter(has_rows).collect()
    }
}

impl Source for Remainder {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalRemainder {
            built: lock(&self.work.built).clone(),
            matcher: Matcher::new(self.shared.clone(), self.shared.plan.roles()),
            pairs_bytes: self.work.pairs_bytes / cx.n_workers.max(1) as u64,
            n_workers: cx.n_workers,
            joiner: None,
            shared: self.shared.clone(),
            work: self.work.clone(),
            sequence: Sequence::default(),
            is_in_morsel: false,
            ptrs: RowPointers::default(),
        }))
    }
}

struct LocalRemainder {
    shared: Arc<Shared>,
    work: Arc<Work>,
    built: Option<Arc<Built>>,
    matcher: Matcher,
    /// What this worker may hold for a pair of partitions.
    pairs_bytes: u64,
    n_workers: usize,
    joiner: Option<PairJoiner>,
    sequence: Sequence,
    is_in_morsel: bool,
    ptrs: RowPointers,
}

impl LocalSource for LocalRemainder {
    fn next(&mut self) -> Result<Option<Batch>> {
        let data = match self.next_rows()? {
            Some(data) => data,
            // Every morsel ends with a batch that says so.
            None if self.is_in_morsel => {
                self.is_in_morsel = false;
                let data = RecordBatch::new_empty(self.shared.plan.schema.clone());
                return Ok(Some(self.batch(data, true)));
            }
            None => return Ok(None),
        };
        if !self.is_in_morsel {
            let morsel = self.work.next_morsel.fetch_add(1, Ordering::Relaxed);
            (self.sequence, self.is_in_morsel) = (Sequence { morsel, batch: 0 }, true);
        }
        Ok(Some(self.batch(data, false)))
    }
}

impl LocalRemainder {
    fn batch(&mut self, data: RecordBatch, last_of_morsel: bool) -> Batch {
        let sequence = self.sequence;
        self.sequence.batch += 1;
        Batch { data, sequence, last_of_morsel }
    }

    fn next_rows(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(data) = self.next_of_table()? {
            return Ok(Some(data));
        }
        if let Some(data) = self.next_null_rows()? {
            return Ok(Some(data));
        }
        self.next_of_pairs()
    }

    /// Rows of spilled partitions.
    fn next_of_pairs(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(data) = self.joiner.as_mut().map_or(Ok(None), PairJoiner::next)? {
                return Ok(Some(data));
            }
            let Some(task) = lock(&self.work.tasks).pop() else { return Ok(None) };
            let new = || PairJoiner::new(self.shared.clone(), self.pairs_bytes, self.n_workers);
            let parts = self.joiner.get_or_insert_with(new).start(task)?;
            lock(&self.work.tasks).extend(parts.into_iter().rev());
        }
    }

    /// Rows of the table that are given alone.
    fn next_of_table(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(built) = &self.built {
            let page_idx = self.work.next_page.fetch_add(1, Ordering::Relaxed);
            if page_idx >= built.table.n_pages() {
                lock(&self.work.built).take();
                self.built = None;
                break;
            }
            if let Some(data) = page_batch(&mut self.matcher, &built.table, page_idx, &mut self.ptrs)? {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Build rows with a NULL key, which have no match.
    fn next_null_rows(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(page) = lock(&self.shared.null_rows).pop() else { return Ok(None) };
            let page = RowPage::restored(page.pin()?, &self.shared.plan.sides[BUILD].layout)?;
            let rows = page.rows(&mut self.ptrs);
            if let Some(data) = self.matcher.build_rows_batch(rows, &vec![false; rows.len()])? {
                return Ok(Some(data));
            }
        }
    }
}

/// The rows of a page of `table` that are given alone.
pub(super) fn page_batch(
    matcher: &mut Matcher,
    table: &JoinTable,
    page_idx: usize,
    ptrs: &mut RowPointers,
) -> Result<Option<RecordBatch>> {
    let rows = table.rows_of_page(page_idx, ptrs);
    matcher.build_rows_batch(rows, &table.are_matched(rows))
}
