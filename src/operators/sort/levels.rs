//! From collected rows to runs that can all be merged at once.
//!
//! Memory: what the rows hold already; and for merging, a bank of pages that is filled before merging starts. The fan-in
//! of a merge follows from the bank: more runs than that are merged in levels, the smallest runs first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::buffer::{Unsorted, keep_first};
use super::slices::{SlicedMerge, Sources, choose_borders, slice_rows};
use super::source::{BATCH_ROWS, batch_bounds};
use super::{Phase, RowsOf, SortState};
use crate::error::{Error, Result};
use crate::memory::PinnedPage;
use crate::row::{
    Condenser, IndexKey, KeyField, KeySpread, MergeInputs, MergeRun, PageBank, PieceBounds, RowMerge, Run, RunWriter,
    SharedRun, Slice, SortedRows,
};

/// Pages beside those of its runs that a merge into a run needs: those whose rows are being handed on, and the one being
/// written.
const PAGES_BESIDE: usize = 4;
/// A merge of fewer runs than this is not worth having another thread.
const MIN_FAN_IN: usize = 6;

/// What was collected.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) runs: Vec<Run>,
    pub(super) rests: Vec<(Unsorted, PinnedPage)>,
    pub(super) spread: KeySpread,
}

impl SortState {
    /// Writes rows as a run; the page that was lent comes back.
    pub(super) fn write_run(&self, rows: Unsorted, spare: PinnedPage) -> Result<PinnedPage> {
        let Some(of) = self.rows.get() else { return Ok(spare) };
        let (key, spread) = (self.index_key(&rows.spread, of), rows.spread);
        let (mut rows, _entries) = rows.sort(key, &Condenser::new(&spread));
        if let Some(last_key) = keep_first(&mut rows, key, self.spec.limit) {
            self.cutoff.lower(&last_key);
        }
        self.keep_first_of_groups(&mut rows);
        self.write_sorted(rows, spare, spread)
    }

    /// Writes rows that are in order as a run; the page that was lent comes back.
    pub(super) fn write_sorted(&self, rows: SortedRows, spare: PinnedPage, spread: KeySpread) -> Result<PinnedPage> {
        let Some(of) = self.rows.get() else { return Ok(spare) };
        let index = self.cx.memory.reserve(self.name);
        let (layout, owner, key) = (of.shape.layout.clone(), of.owner.clone(), self.index_key(&spread, of));
        let mut writer = RunWriter::new(layout, key, owner, spare, self.take_stream(), rows.len(), index);
        rows.for_each_piece(|piece| writer.append(piece))?;
        let (run, spare) = writer.finish()?;
        if let Phase::Collecting(collected) = &mut *self.lock_phase() {
            collected.runs.push(run);
            collected.spread.merge(&spread);
        }
        Ok(spare)
    }

    /// Takes what a worker has left at the end of its input.
    pub(super) fn add_rest(&self, rows: Unsorted, spare: PinnedPage) -> Result<()> {
        if rows.n_rows > 0
            && let Phase::Collecting(collected) = &mut *self.lock_phase()
        {
            collected.spread.merge(&rows.spread);
            collected.rests.push((rows, spare));
        }
        Ok(())
    }

    /// Called when all rows are there: makes them ready to be handed out by `n_workers`.
    pub(super) fn start_merging(&self, n_workers: usize) -> Result<()> {
        let collected = match &mut *self.lock_phase() {
            Phase::Collecting(collected) => std::mem::take(collected),
            Phase::Merging(_) => return Err(Error::query("a sort was finished twice")),
        };
        let merge = match self.rows.get() {
            None => SlicedMerge::empty(),
            Some(of) if collected.runs.is_empty() => self.merge_pinned(of, collected)?,
            Some(of) => self.merge_runs(of, collected, n_workers)?,
        };
        *self.lock_phase() = Phase::Merging(Arc::new(merge));
        Ok(())
    }

    /// Everything fits: the rows stay where they are.
    fn merge_pinned(&self, of: &RowsOf, collected: Collected) -> Result<SlicedMerge> {
        let condenser = Condenser::new(&collected.spread);
        let key = of.shape.key.indexed_for(&collected.spread);
        let sort = |(rows, _spare): (Unsorted, PinnedPage)| Ok(rows.sort(key, &condenser));
        let (runs, memory): (Vec<_>, Vec<_>) = on_threads(collected.rests, sort)?.into_iter().unzip();
        self.n_runs.fetch_add(runs.len() as u64, Ordering::Relaxed);
        let bank = PageBank::fill(of.owner.clone(), 0, Vec::new());
        let inputs = self.inputs(of, key, condenser, bank);
        let sources = Sources::Pinned(runs);
        let borders = self.slice_borders(of, &sources, key, &collected.spread);
        Ok(SlicedMerge::new(inputs, sources, memory, usize::MAX, borders))
    }

    /// The rows that were left over become runs too; then the runs are merged until the rest can be merged at once.
    fn merge_runs(&self, of: &RowsOf, mut collected: Collected, n_workers: usize) -> Result<SlicedMerge> {
        let rests = std::mem::take(&mut collected.rests);
        let known = collected.spread;
        *self.lock_phase() = Phase::Collecting(collected);
        let spares = on_threads(rests, |(rows, spare)| self.write_run(rows, spare))?;
        let mut runs = match &mut *self.lock_phase() {
            Phase::Collecting(collected) => std::mem::take(&mut collected.runs),
            Phase::Merging(_) => Vec::new(),
        };
        let key = self.index_key(&known, of);
        let condenser = Condenser::new(&known);
        let (bank, memory) = self.fill_bank(of, runs.len(), n_workers, spares)?;
        let final_width = self.final_fan_in(of, bank.n_pages(), n_workers);
        let inputs = self.inputs(of, key, condenser, bank);
        let mut level = 1;
        while runs.len() > final_width {
            (runs, level) = (self.merge_some(&inputs, runs, final_width, n_workers)?, level + 1);
        }
        self.n_levels.store(level, Ordering::Relaxed);
        // Fewer workers than there are when the bank is too small for all: one that finds no page would fail.
        let n_pages = inputs.bank.n_pages();
        let has_pages = |&n_workers: &usize| self.pages_to_merge(of, runs.len(), n_workers) <= n_pages;
        let n_workers = (1..=n_workers).rev().find(has_pages).unwrap_or(1);
        let sources = Sources::Runs { runs, indexed: key.can_index(&known) };
        let borders = self.slice_borders(of, &sources, key, &known);
        Ok(SlicedMerge::new(inputs, sources, vec![memory], n_workers, borders))
    }

    fn inputs(&self, of: &RowsOf, key: KeyField, condenser: Condenser, bank: PageBank) -> MergeInputs {
        MergeInputs { layout: of.shape.layout.clone(), key, condenser, runs: Vec::new(), bank: Arc::new(bank) }
    }

    /// Fills the bank for merging `n_runs` with all workers, as far as the share goes, and reserves what cursors need
    /// beside their pages.
    fn fill_bank(
        &self,
        of: &RowsOf,
        n_runs: usize,
        n_workers: usize,
        spares: Vec<PinnedPage>,
    ) -> Result<(PageBank, crate::memory::Reservation)> {
        let page_bytes = of.owner.page_bytes();
        let per_run = RowMerge::bytes_per_run(&of.shape.layout, page_bytes);
        // Half of the share, because whoever takes the rows collects them too: into row groups, or a table.
        let affordable = self.output_share() as usize / 2 / (page_bytes + per_run);
        let wanted = self.pages_to_merge(of, n_runs, n_workers);
        let least = 2 + self.pages_beside();
        let mut memory = self.cx.memory.reserve(self.name);
        let mut n_pages = wanted.min(affordable).max(least);
        while let Err(refused) = memory.try_resize((n_pages * per_run) as u64) {
            if n_pages == least {
                return Err(refused.into());
            }
            n_pages = (n_pages / 2).max(least);
        }
        let bank = PageBank::fill(of.owner.clone(), n_pages, spares);
        if bank.n_pages() < least {
            let missing = (least - bank.n_pages()) * page_bytes;
            return Err(self.cx.memory.refuse(self.name, missing as u64).into());
        }
        Ok((bank, memory))
    }

    /// Pages for merging `n_runs` with `n_workers`. Workers take neighbouring slices. Where a slice has less than a page of
    /// each run, they share most pages; at worst each holds a page of every run, and so does every border between them.
    fn pages_to_merge(&self, of: &RowsOf, n_runs: usize, n_workers: usize) -> usize {
        let rows_per_page = (of.owner.page_bytes() / of.shape.layout.row_bytes()).max(1);
        let slice_rows = slice_rows(n_runs, self.batch_rows(of));
        // The size of a slice of whole groups is not known.
        let shared = match self.spec.n_grouping_keys {
            0 => n_runs + n_workers * slice_rows / rows_per_page,
            _ => usize::MAX,
        };
        shared.min((2 * n_workers - 1) * n_runs) + n_workers * self.pages_beside()
    }

    /// Pages beside those of its runs that a merge into batches needs, at least as many as one into a run.
    fn pages_beside(&self) -> usize {
        // A page more than a batch has may be used up while the last of its rows is taken.
        PAGES_BESIDE.max(batch_bounds(self.cx.memory.sizes()).max_pages + 1)
    }

    /// Rows of a usual batch of the output.
    fn batch_rows(&self, of: &RowsOf) -> usize {
        let sizes = self.cx.memory.sizes();
        (sizes.batch_bytes / of.shape.layout.row_bytes().max(1)).clamp(1, sizes.batch_rows.min(BATCH_ROWS))
    }

    /// Where slices begin: each a few batches long and, with grouping keys, at the start of a group. None with a limit,
    /// since only whoever knows how many rows came before can stop in time.
    fn slice_borders(&self, of: &RowsOf, sources: &Sources, key: KeyField, spread: &KeySpread) -> Vec<IndexKey> {
        match self.spec.limit {
            Some(_) => Vec::new(),
            None => choose_borders(sources, self.batch_rows(of), |sample| self.group_start(key, spread, sample)),
        }
    }

    /// The most runs that can be merged at once by as many workers as it pays to have.
    fn final_fan_in(&self, of: &RowsOf, n_pages: usize, n_workers: usize) -> usize {
        let fan_in = |n_workers: usize| {
            (1..=n_pages).rev().find(|&n_runs| self.pages_to_merge(of, n_runs, n_workers) <= n_pages).unwrap_or(0)
        };
        (1..=n_workers).rev().map(fan_in).find(|&fan_in| fan_in >= MIN_FAN_IN).unwrap_or(fan_in(1)).max(2)
    }

    /// Merges the smallest runs, on all threads, as far as needed for the rest to be `width` runs.
    fn merge_some(&self, inputs: &MergeInputs, runs: Vec<Run>, width: usize, n_workers: usize) -> Result<Vec<Run>> {
        let n_pages = inputs.bank.n_pages();
        let n_threads = n_workers.min(n_pages / (MIN_FAN_IN + PAGES_BESIDE)).max(1);
        let most = (n_pages / n_threads).saturating_sub(PAGES_BESIDE).max(2);
        let groups = group_smallest(runs, width, most);
        let merged = on_n_threads(n_threads, groups.merge, |runs| self.merge_into_one(inputs, runs))?;
        Ok(groups.keep.into_iter().chain(merged).collect())
    }

    fn merge_into_one(&self, inputs: &MergeInputs, runs: Vec<Run>) -> Result<Run> {
        self.cx.cancel.check()?;
        let Some(of) = self.rows.get() else { return Err(Error::query("a merge without rows")) };
        let n_rows = runs.iter().map(Run::n_rows).sum();
        let share = |run| MergeRun::Pages(SharedRun::new(run, Arc::new([])));
        let inputs = inputs.with_runs(runs.into_iter().map(share).collect());
        let (spare, index) = (inputs.bank.take()?, self.cx.memory.reserve(self.name));
        let (layout, owner) = (of.shape.layout.clone(), of.owner.clone());
        let mut writer = RunWriter::new(layout, inputs.key, owner, spare, self.take_stream(), n_rows, index);
        let bounds = PieceBounds { max_rows: 1024, max_bytes: of.owner.page_bytes(), max_pages: 2 };
        let mut left = self.spec.limit.map_or(n_rows, |limit| n_rows.min(usize::try_from(limit).unwrap_or(usize::MAX)));
        let mut merge = RowMerge::new(Arc::new(inputs), Slice::default())?;
        while left > 0 && !merge.is_done() {
            self.cx.cancel.check()?;
            let rows = merge.next_piece(bounds)?;
            let rows = rows.slice(0, rows.len().min(left));
            left -= rows.len();
            writer.append(rows)?;
        }
        let (run, spare) = writer.finish()?;
        merge.bank().put(spare);
        Ok(run)
    }
}

/// Runs to merge with one another, and those to leave alone.
struct Groups {
    merge: Vec<Vec<Run>>,
    keep: Vec<Run>,
}

/// Chooses groups of the smallest runs so that `width` runs are left, or as many as one level gives. No group has more
/// than `most` runs; each group of `n` makes `n - 1` runs fewer.
fn group_smallest(mut runs: Vec<Run>, width: usize, most: usize) -> Groups {
    runs.sort_by_key(|run| std::cmp::Reverse(run.n_rows()));
    let mut excess = runs.len().saturating_sub(width);
    let mut merge = Vec::new();
    while excess > 0 && runs.len() >= 2 {
        let n = most.min(excess + 1).min(runs.len());
        merge.push(runs.split_off(runs.len() - n));
        excess -= n - 1;
    }
    Groups { merge, keep: runs }
}

/// Runs `work` on every job, each on its own thread.
fn on_threads<J: Send, R: Send>(jobs: Vec<J>, work: impl Fn(J) -> Result<R> + Sync) -> Result<Vec<R>> {
    on_n_threads(jobs.len(), jobs, work)
}

/// Runs `work` on every job, on at most `n_threads` threads; the results come in any order.
fn on_n_threads<J: Send, R: Send>(
    n_threads: usize,
    jobs: Vec<J>,
    work: impl Fn(J) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    if jobs.len() <= 1 || n_threads <= 1 {
        return jobs.into_iter().map(work).collect();
    }
    let jobs = Mutex::new(jobs);
    let next = || jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
    let run = || {
        let mut results = Vec::new();
        while let Some(job) = next() {
            results.push(work(job)?);
        }
        Ok(results)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(run)).collect();
        let mut all = Vec::new();
        let mut failed = None;
        for thread in threads {
            match thread.join() {
                Ok(Ok(results)) => all.extend(results),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        failed.map_or(Ok(all), Err)
    })
}
