//! Phase two: partitions are merged one at a time, and split when their groups do not fit.
//!
//! Memory: one table of distinct groups up to the worker's share, and one page of input, whose memory is kept from page to
//! page so that there is always room for the next. Each page is freed after it was merged. A partition that does not fit is
//! split into 16 by the next bits of the hash, again and again while bits last: its table is unpinned first, so that the
//! pages of the parts find room.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::library::{LibrarySealer, LibraryStates, append_all};
use super::plan::Call;
use crate::error::{Error, Result};
use crate::memory::{OverBudget, Page, PinnedPage, Reservation};
use crate::row::{Hash, RowPage, RowPointers, RowTable, Rows, SealedPages, hash_rows};

/// Bits of the hash by which a partition is split.
const SPLIT_BITS: u32 = 4;

/// Rows that belong together, and how many bits of their hashes have been used to find them.
pub(super) struct Partition {
    pub(super) pages: SealedPages,
    pub(super) used_bits: u32,
    pub(super) depth: u64,
}

/// What became of a partition.
pub(super) enum Merged {
    /// Its distinct groups.
    Groups(Box<MergedGroups>),
    /// It did not fit; its parts are to be merged instead.
    Split(Vec<Partition>),
}

/// The groups of a merged partition.
pub(super) struct MergedGroups {
    pub(super) table: RowTable,
    pub(super) library: Option<LibraryStates>,
}

/// Merges partitions on behalf of one worker.
pub(super) struct Merger {
    shared: Arc<Shared>,
    share_bytes: u64,
    ptrs: RowPointers,
    hashes: Vec<Hash>,
    /// Memory for the next page.
    spare: Option<PinnedPage>,
}

/// Why merging stopped: what is left, from which row of the page it stopped at.
struct Stopped {
    refused: OverBudget,
    page: RowPage,
    from_row: usize,
}

impl Merger {
    pub(super) fn new(shared: Arc<Shared>, share_bytes: u64) -> Self {
        let spare = shared.owner.allocate(shared.owner.page_bytes()).ok();
        Merger { shared, share_bytes, ptrs: RowPointers::default(), hashes: Vec::new(), spare }
    }

    /// Brings a page of spilled rows into memory.
    fn pin(&mut self, page: Page) -> Result<RowPage> {
        let pinned = match self.spare.take() {
            Some(spare) => {
                let (pinned, spare) = page.pin_into(spare)?;
                self.spare = spare;
                pinned
            }
            None => page.pin()?,
        };
        RowPage::restored(pinned, &self.shared.plan.spilled_layout)
    }

    /// Keeps the memory of a page that was read for the next one.
    fn done_with(&mut self, page: RowPage) {
        if self.spare.is_none() && page.len() == self.shared.owner.page_bytes() {
            self.spare = Some(page.into_memory());
        }
    }

    fn reservation(&self) -> Reservation {
        self.shared.cx.memory.reserve("Aggregate")
    }

    /// Merges the pages of `partition`.
    pub(super) fn merge(&mut self, partition: Partition) -> Result<Merged> {
        self.shared.deepest.fetch_max(partition.depth, Ordering::Relaxed);
        let plan = &self.shared.plan;
        let mut table = RowTable::new(plan.layout.clone(), &self.shared.table_owner, 0, 0, self.reservation());
        let mut library = LibraryStates::new(plan, self.reservation())?;
        let (used_bits, depth) = (partition.used_bits, partition.depth);
        let mut pages = partition.pages.into_pages().into_iter();
        while let Some(page) = pages.next() {
            self.shared.cx.cancel.check()?;
            let page = self.pin(page)?;
            match self.merge_page(&page, &mut table, &mut library)? {
                None => self.done_with(page),
                Some((refused, from_row)) => {
                    let stopped = Stopped { refused, page, from_row };
                    let rest = Rest { table, library, stopped, pages: pages.collect() };
                    return self.split(rest, used_bits, depth + 1).map(Merged::Split);
                }
            }
        }
        Ok(Merged::Groups(Box::new(MergedGroups { table, library })))
    }

    /// Merges one page; says why and at which row it stopped, if it did.
    fn merge_page(
        &mut self,
        page: &RowPage,
        table: &mut RowTable,
        library: &mut Option<LibraryStates>,
    ) -> Result<Option<(OverBudget, usize)>> {
        let shared = self.shared.clone();
        let plan = &shared.plan;
        let rows = page.rows(&mut self.ptrs);
        hash_rows(&plan.layout, rows, &mut self.hashes);
        let mut done = 0;
        while done < rows.len() {
            let states = library.as_ref().map_or(0, LibraryStates::bytes);
            if table.held_bytes() + states > self.share_bytes && table.n_rows() > 0 {
                return Ok(Some((shared.refusal(), done)));
            }
            let piece = rows.slice(done, PIECE_ROWS.min(rows.len() - done));
            let located = table.find_or_insert(piece, &self.hashes[done..done + piece.len()]);
            let merged = piece.slice(0, located.n_rows);
            combine(plan, table, merged)?;
            done += located.n_rows;
            let refused = match library {
                Some(library) => library.merge(plan, table, merged, self.share_bytes / 3)?,
                None => None,
            };
            if let Some(refused) = located.refused.or(refused) {
                return Ok(Some((refused, done)));
            }
        }
        Ok(None)
    }

    /// Sorts what was merged and what is left into parts.
    fn split(&mut self, rest: Rest, used_bits: u32, depth: u64) -> Result<Vec<Partition>> {
        let Rest { mut table, library, stopped, pages } = rest;
        let only_group = library.as_ref().is_some_and(|library| library.n_groups() <= 1);
        if used_bits + SPLIT_BITS > 64 || only_group || table.n_rows() == 0 {
            return Err(Error::from(stopped.refused));
        }
        let shared = self.shared.clone();
        let plan = &shared.plan;
        let mut parts: Vec<SealedPages> = (0..1 << SPLIT_BITS).map(|_| SealedPages::default()).collect();
        let mut merged = [SealedPages::default()];
        table.drop_entries();
        match library {
            Some(mut library) => {
                let mut sealer = LibrarySealer::new(plan, &shared.owner, used_bits, SPLIT_BITS, self.reservation());
                library.seal(plan, &mut table, &mut sealer, &mut parts)?;
            }
            None => table.seal(&mut merged)?,
        }
        drop(table);
        let mut splitter = self.splitter(used_bits);
        self.split_page(&mut splitter, &stopped.page, stopped.from_row, &mut parts)?;
        self.done_with(stopped.page);
        for page in merged.into_iter().flat_map(SealedPages::into_pages).chain(pages) {
            shared.cx.cancel.check()?;
            let page = self.pin(page)?;
            self.split_page(&mut splitter, &page, 0, &mut parts)?;
            self.done_with(page);
        }
        splitter.seal(&mut parts)?;
        let part = |pages| Partition { pages, used_bits: used_bits + SPLIT_BITS, depth };
        Ok(parts.into_iter().filter(|pages| pages.n_rows() > 0).map(part).collect())
    }

    fn splitter(&self, used_bits: u32) -> RowTable {
        let layout = self.shared.plan.spilled_layout.clone();
        RowTable::new(layout, &self.shared.owner, used_bits, SPLIT_BITS, self.reservation())
    }

    fn split_page(
        &mut self,
        splitter: &mut RowTable,
        page: &RowPage,
        from_row: usize,
        parts: &mut [SealedPages],
    ) -> Result<()> {
        let rows = page.rows(&mut self.ptrs);
        let rows = rows.slice(from_row, rows.len() - from_row);
        hash_rows(&self.shared.plan.layout, rows, &mut self.hashes);
        append_all(splitter, rows, &self.hashes, parts)
    }
}

/// Rows merged at once, so that their groups stay in cache between the calls.
const PIECE_ROWS: usize = 2048;

/// A partition that did not fit, in the middle of merging.
struct Rest {
    table: RowTable,
    library: Option<LibraryStates>,
    stopped: Stopped,
    pages: Vec<Page>,
}

fn combine(plan: &super::plan::AggregatePlan, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
    for call in &plan.calls {
        if let Call::Native(state) = call {
            state.combine(table, rows)?;
        }
    }
    Ok(())
}
