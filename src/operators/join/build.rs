//! The build side: rows are collected, then a table is made over as many as fit.
//!
//! Memory: while collecting, a scratch block and the write pages of each worker; full pages are unpinned. A worker begins
//! with one list of pages and partitions its rows when there are more than a small part of memory. When the side is
//! complete, the smallest partitions are pinned up to the share, with the entries of their table; the others stay where
//! they are. A refusal on the way only makes one more partition stay.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;

use super::filter::KeyFilter;
use super::known_keys::KnownKeys;
use super::plan::BUILD;
use super::rows::{PartitionWriter, Repeats, Stage};
use super::{NAME, Shared, lock};
use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::row::{Columns, Hash, JoinTable, Layout, RowPage, RowPointers, SealedPages, hash_rows};

pub(super) struct JoinBuild {
    pub(super) shared: Arc<Shared>,
    /// Keys whose values are noted, by their place among the keys.
    pub(super) known: Arc<[(usize, Arc<KnownKeys>)]>,
}

/// What workers have collected: rows that are not partitioned, and partitions.
#[derive(Default)]
pub(super) struct Collected {
    mixed: SealedPages,
    partitions: Vec<SealedPages>,
    null_rows: SealedPages,
}

/// The build side when it is complete.
pub(super) struct Built {
    /// Over the rows that are in memory.
    pub(super) table: JoinTable,
    /// By partition, whether its rows are spilled.
    pub(super) is_spilled: Vec<bool>,
    /// Whether any are.
    pub(super) has_spilled: bool,
    /// What keys spilled rows may have, where that is known.
    pub(super) filter: Option<Arc<KeyFilter>>,
    /// Rows with a key that can match.
    pub(super) n_rows: usize,
    /// Whether there is any row at all.
    pub(super) is_empty: bool,
}

struct LocalBuild {
    shared: Arc<Shared>,
    known: Arc<[(usize, Arc<KnownKeys>)]>,
    stage: Stage,
    writer: PartitionWriter,
    /// Without partitions as long as `writer` has few pages.
    is_partitioned: bool,
    mixed_bytes: usize,
    null_rows: Option<PartitionWriter>,
}

/// The part of the share that rows may take before they are partitioned, over all workers.
const MIXED_PART: u64 = 8;

impl Sink for JoinBuild {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let shared = self.shared.clone();
        let side = &shared.plan.sides[BUILD];
        let least = 4 * cx.sizes().page_bytes;
        let mixed_bytes = ((shared.share() / MIXED_PART) as usize / cx.n_workers.max(1)).max(least);
        let repeats = match shared.plan.needs_keys_alone() {
            true => Repeats::Dropped { most_bytes: mixed_bytes as u64, n_rows: 0, n_new: 0 },
            false => Repeats::Kept,
        };
        Ok(Box::new(LocalBuild {
            stage: Stage::new(&side.layout, cx)?,
            writer: PartitionWriter::new(&side.layout, &shared.owners[BUILD], 0, 0).with_repeats(repeats),
            is_partitioned: shared.partition_bits == 0,
            mixed_bytes,
            null_rows: None,
            known: self.known.clone(),
            shared,
        }))
    }

    fn finish(&self, cx: &TaskContext) -> Result<()> {
        self.known.iter().for_each(|(_, keys)| keys.complete());
        let collected = std::mem::take(&mut *lock(&self.shared.collected));
        Residency::of(&self.shared, collected).decide(cx)
    }
}

impl LocalSink for LocalBuild {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let shared = self.shared.clone();
        let columns = batch.data.columns();
        let (keys, nulls) = shared.plan.keys(BUILD, columns)?;
        let rows = shared.plan.row_columns(BUILD, keys, columns);
        let Some(nulls) = nulls else { return self.append(&rows, batch.n_rows()) };
        shared.seen.build_null.store(true, Ordering::Relaxed);
        let n_valid = batch.n_rows() - nulls.null_count();
        let valid = BooleanArray::new(nulls.into_inner(), None);
        if shared.plan.join_type.mirrored().gives_probe_row(false) {
            let null_rows = filter_all(&rows, &arrow::compute::not(&valid)?)?;
            self.append_null_rows(&null_rows, batch.n_rows() - n_valid)?;
        }
        self.append(&filter_all(&rows, &valid)?, n_valid)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let pages = self.writer.finish()?;
        let mut collected = lock(&self.shared.collected);
        match pages.len() {
            1 => pages.into_iter().for_each(|pages| collected.mixed.append(pages)),
            n => {
                collected.partitions.resize_with(n, SealedPages::default);
                collected.partitions.iter_mut().zip(pages).for_each(|(all, mine)| all.append(mine));
            }
        }
        for pages in self.null_rows.map(PartitionWriter::finish).transpose()?.into_iter().flatten() {
            collected.null_rows.append(pages);
        }
        Ok(())
    }
}

fn filter_all(columns: &[ArrayRef], kept: &BooleanArray) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| Ok(filter(column, kept)?)).collect()
}

impl LocalBuild {
    fn append(&mut self, rows: &[ArrayRef], n_rows: usize) -> Result<Flow> {
        self.known.iter().for_each(|(key, known)| known.add(&rows[*key]));
        append_all(&mut self.stage, &mut self.writer, rows, n_rows, &self.shared.plan.sides[BUILD].layout)?;
        if !self.is_partitioned && self.writer.bytes() > self.mixed_bytes {
            self.partition()?;
        }
        Ok(Flow::More)
    }

    fn append_null_rows(&mut self, rows: &[ArrayRef], n_rows: usize) -> Result<()> {
        let side = &self.shared.plan.sides[BUILD];
        let new = || PartitionWriter::new(&side.layout, &self.shared.owners[BUILD], 0, 0);
        append_all(&mut self.stage, self.null_rows.get_or_insert_with(new), rows, n_rows, &side.layout)
    }

    /// Partitions the rows so far and those to come.
    fn partition(&mut self) -> Result<()> {
        let shared = &self.shared;
        let layout = &shared.plan.sides[BUILD].layout;
        let writer = PartitionWriter::new(layout, &shared.owners[BUILD], 0, shared.partition_bits);
        let writer = writer.with_filter(shared.filter()).with_repeats(self.writer.repeats());
        let mixed = std::mem::replace(&mut self.writer, writer).finish()?;
        for pages in mixed {
            split_pages(pages, layout, &mut self.writer, shared)?;
        }
        self.is_partitioned = true;
        Ok(())
    }
}

fn append_all(
    stage: &mut Stage,
    writer: &mut PartitionWriter,
    rows: &[ArrayRef],
    n_rows: usize,
    layout: &Layout,
) -> Result<()> {
    let columns = Columns::new(layout, rows)?;
    let mut done = 0;
    while done < n_rows {
        done += stage.fill(&columns, done, n_rows)?;
        writer.append(stage.rows(), stage.hashes())?;
    }
    Ok(())
}

/// Moves all rows of `pages` to `writer`, a page at a time.
pub(super) fn split_pages(
    pages: SealedPages,
    layout: &Layout,
    writer: &mut PartitionWriter,
    shared: &Shared,
) -> Result<()> {
    let (mut ptrs, mut hashes) = (RowPointers::default(), Vec::new());
    for page in pages.into_pages() {
        shared.check()?;
        let page = RowPage::restored(page.pin()?, layout)?;
        let rows = page.rows(&mut ptrs);
        hash_rows(layout, rows, &mut hashes);
        writer.append(rows, &hashes)?;
    }
    Ok(())
}

/// Decides which rows are in memory while the probe side streams past.
struct Residency<'a> {
    shared: &'a Shared,
    n_rows: usize,
    has_null_rows: bool,
    /// Pages of rows, each list with its partition; rows of any partition have none.
    waiting: Vec<(Option<usize>, SealedPages)>,
    resident: Vec<(Option<usize>, Vec<RowPage>)>,
    spilled: Vec<SealedPages>,
    budget_bytes: u64,
}

impl<'a> Residency<'a> {
    fn of(shared: &'a Shared, collected: Collected) -> Self {
        let Collected { mixed, partitions, null_rows } = collected;
        let has_null_rows = null_rows.n_rows() > 0;
        *lock(&shared.null_rows) = null_rows;
        // Without bits there is one partition, and nothing to split.
        let mut waiting = vec![((shared.partition_bits == 0).then_some(0), mixed)];
        waiting.extend(partitions.into_iter().enumerate().map(|(idx, pages)| (Some(idx), pages)));
        waiting.retain(|(_, pages)| pages.n_rows() > 0);
        Residency {
            shared,
            n_rows: waiting.iter().map(|(_, pages)| pages.n_rows()).sum(),
            has_null_rows,
            waiting,
            resident: Vec::new(),
            spilled: (0..1usize << shared.partition_bits).map(|_| SealedPages::default()).collect(),
            budget_bytes: shared.share(),
        }
    }

    fn decide(mut self, cx: &TaskContext) -> Result<()> {
        let total_bytes: usize = self.waiting.iter().map(|(_, pages)| pages.bytes()).sum();
        if total_bytes as u64 + JoinTable::entry_bytes(self.n_rows) > self.budget_bytes {
            self.partition_all(cx)?;
        }
        let table = loop {
            self.pin_what_fits(cx)?;
            self.check_places()?;
            if let Some(table) = self.make_table(cx)? {
                break table;
            }
        };
        self.enter_rows(&table)?;
        let shared = self.shared;
        shared.entry_bytes.store(JoinTable::entry_bytes(table.n_rows()), Ordering::Relaxed);
        let is_spilled: Vec<bool> = self.spilled.iter().map(|pages| pages.n_rows() > 0).collect();
        let has_spilled = is_spilled.contains(&true);
        let filter = lock(&shared.filter).take().flatten();
        let built = Built {
            table,
            has_spilled,
            filter: filter.filter(|filter| has_spilled && filter.is_useful()),
            is_spilled,
            n_rows: self.n_rows,
            is_empty: self.n_rows == 0 && !self.has_null_rows && !shared.seen.build_null.load(Ordering::Relaxed),
        };
        lock(&shared.spilled)[BUILD] = self.spilled;
        *lock(&shared.built) = Some(Arc::new(built));
        Ok(())
    }

    /// Probe rows of a spilled partition never see the table, so none of its build rows may be there.
    fn check_places(&self) -> Result<()> {
        let is_spilled = |idx: usize| self.spilled[idx].n_rows() > 0;
        let any_spilled = (0..self.spilled.len()).any(is_spilled);
        match self.resident.iter().any(|(partition, _)| partition.map_or(any_spilled, is_spilled)) {
            true => Err(crate::Error::query("a join keeps rows of one partition in two places; this is a bug")),
            false => Ok(()),
        }
    }

    /// Before the first partition is spilled: unpins everything and partitions the rows that are not.
    fn partition_all(&mut self, cx: &TaskContext) -> Result<()> {
        for list in std::mem::take(&mut self.resident) {
            self.unpin(list)?;
        }
        if self.shared.partition_bits > 0 {
            self.split_mixed()?;
        }
        // Every spilled partition needs a write page a worker for its probe rows.
        let write_pages = (cx.n_workers << self.shared.partition_bits) * cx.sizes().page_bytes;
        self.budget_bytes = self.budget_bytes.saturating_sub(write_pages as u64);
        Ok(())
    }

    /// Lets resident rows wait again.
    fn unpin(&mut self, (partition, pages): (Option<usize>, Vec<RowPage>)) -> Result<()> {
        let mut sealed = SealedPages::default();
        for page in pages {
            sealed.push(page, 0, partition.unwrap_or(0) as u32)?;
        }
        self.waiting.push((partition, sealed));
        Ok(())
    }

    /// Partitions the rows that are not; each partition is one list then.
    fn split_mixed(&mut self) -> Result<()> {
        let shared = self.shared;
        let layout = &shared.plan.sides[BUILD].layout;
        let writer = PartitionWriter::new(layout, &shared.owners[BUILD], 0, shared.partition_bits);
        let mut writer = writer.with_filter(shared.filter());
        let mut partitions: Vec<SealedPages> = Vec::new();
        partitions.resize_with(1 << shared.partition_bits, SealedPages::default);
        for (partition, pages) in std::mem::take(&mut self.waiting) {
            match partition {
                Some(idx) => partitions[idx].append(pages),
                None => split_pages(pages, layout, &mut writer, shared)?,
            }
        }
        partitions.iter_mut().zip(writer.finish()?).for_each(|(all, mixed)| all.append(mixed));
        self.waiting = partitions.into_iter().enumerate().map(|(idx, pages)| (Some(idx), pages)).collect();
        self.waiting.retain(|(_, pages)| pages.n_rows() > 0);
        Ok(())
    }

    /// Pins lists of pages, the smallest first, as long as they fit; the others stay.
    fn pin_what_fits(&mut self, cx: &TaskContext) -> Result<()> {
        let resident = self.resident.iter().flat_map(|(_, pages)| pages);
        let (mut bytes, mut n_rows) =
            resident.fold((0, 0), |(bytes, n_rows), page| (bytes + page.len(), n_rows + page.n_rows()));
        self.waiting.sort_by_key(|(partition, pages)| (partition.is_some(), pages.bytes()));
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        while let Some((partition, pages)) = waiting.next() {
            (bytes, n_rows) = (bytes + pages.bytes(), n_rows + pages.n_rows());
            let fits = bytes as u64 + JoinTable::entry_bytes(n_rows) <= self.budget_bytes;
            let pinned = match fits {
                true => pages.pin_all(&self.shared.plan.sides[BUILD].layout)?,
                false => Err(pages),
            };
            match pinned {
                Ok(pages) => self.resident.push((partition, pages)),
                Err(pages) => {
                    self.waiting = std::iter::once((partition, pages)).chain(waiting).collect();
                    return self.spill_waiting(cx);
                }
            }
        }
        Ok(())
    }

    /// Gives up on what is waiting, and on resident rows of the same partitions. As long as there are rows that are not
    /// partitioned, waiting or resident, all are partitioned instead, and what fits is pinned anew.
    fn spill_waiting(&mut self, cx: &TaskContext) -> Result<()> {
        let waiting = self.waiting.iter().map(|(partition, _)| partition);
        let mut all = waiting.chain(self.resident.iter().map(|(partition, _)| partition));
        if all.any(Option::is_none) {
            self.partition_all(cx)?;
            return self.pin_what_fits(cx);
        }
        let gone: Vec<Option<usize>> = self.waiting.iter().map(|(partition, _)| *partition).collect();
        let (stays, goes): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.resident).into_iter().partition(|(partition, _)| !gone.contains(partition));
        self.resident = stays;
        for list in goes {
            self.unpin(list)?;
        }
        for (partition, pages) in std::mem::take(&mut self.waiting) {
            self.spilled[partition.unwrap_or(0)].append(pages);
        }
        Ok(())
    }

    /// A table over the pinned pages; without one, the largest list of them has been unpinned and it is to be tried again.
    fn make_table(&mut self, cx: &TaskContext) -> Result<Option<JoinTable>> {
        let shared = self.shared;
        let side = &shared.plan.sides[BUILD];
        let groups: Vec<(Option<usize>, usize)> =
            self.resident.iter().map(|(partition, pages)| (*partition, pages.len())).collect();
        let pages = std::mem::take(&mut self.resident).into_iter().flat_map(|(_, pages)| pages).collect();
        let (pages, refused) =
            match JoinTable::new(side.layout.clone(), side.link, pages, shared.cx.memory.reserve(NAME)) {
                Ok(table) => return Ok(Some(table)),
                Err(refused) => refused,
            };
        let mut pages = pages.into_iter();
        self.resident =
            groups.into_iter().map(|(partition, n)| (partition, pages.by_ref().take(n).collect())).collect();
        let Some(largest) = self.resident.pop() else { return Err(refused) };
        self.unpin(largest)?;
        self.spill_waiting(cx)?;
        Ok(None)
    }

    /// Enters all rows, on all workers.
    fn enter_rows(&self, table: &JoinTable) -> Result<()> {
        let enter = |scratch: &mut (RowPointers, Vec<Hash>), page_idx: usize| {
            self.shared.check()?;
            table.enter_page(page_idx, &mut scratch.0, &mut scratch.1);
            Ok(())
        };
        if rayon::current_thread_index().is_none() || table.n_pages() < 8 {
            let mut scratch = Default::default();
            return (0..table.n_pages()).try_for_each(|page_idx| enter(&mut scratch, page_idx));
        }
        use rayon::iter::{IntoParallelIterator, ParallelIterator};
        (0..table.n_pages()).into_par_iter().try_for_each_init(Default::default, enter)
    }
}

#[cfg(test)]
#[path = "tests/residency.rs"]
mod tests;
