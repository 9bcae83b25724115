//! A sorted run: rows in key order on unpinned pages, and the index that tells which page holds which keys.
//!
//! Memory: the writer holds one page, and one more that it gives back at the end; every full page is unpinned at once.
//! When the pool has no page left, the writer writes its page out itself and goes on in the same memory, so that writing
//! a run never fails for want of memory. The index takes [`INDEX_BYTES`] a page under a reservation.

use std::sync::Arc;

use super::key::{IndexKey, KeyField};
use super::layout::Layout;
use super::page::{RowPage, row_heap_bytes};
use super::pointer::{RowPtr, Rows};
use crate::error::Result;
use crate::memory::{Page, PageOwner, PinnedPage, Reservation};

/// What a page of a run costs while it is not in memory, beside its handle: its place in the index.
const INDEX_BYTES: u64 = 40;

/// How far ahead of its copying a row is fetched into the cache. So many rows take longer than a memory access.
const PREFETCH_ROWS: usize = 16;

/// Pages later in a run are evicted first; of two runs, those with the higher keys, as far as that is known.
const PRIORITIES: usize = 1000;

/// Rows in key order on unpinned pages.
pub struct Run {
    pub(super) pages: Vec<RunPage>,
    pub(super) last: IndexKey,
    n_rows: usize,
    memory: Reservation,
}

/// One page of a run.
pub(super) struct RunPage {
    pub(super) page: Page,
    pub(super) first: IndexKey,
    pub(super) n_rows: u32,
}

/// Writes one run.
pub struct RunWriter {
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    key: KeyField,
    current: Option<RowPage>,
    /// Kept back until nothing else is left.
    spare: Option<PinnedPage>,
    first: IndexKey,
    last: Option<RowPtr>,
    run: Run,
    stream: u32,
    expected_rows: usize,
}

// SAFETY: `last` points into `current`, whose memory does not move.
unsafe impl Send for RunWriter {}

impl Run {
    /// Rows of the run.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Pages of the run.
    pub fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of all pages when in memory.
    pub fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.page.len()).sum()
    }

    /// The first key of each page and the rows of that page.
    pub fn index(&self) -> impl Iterator<Item = (&IndexKey, usize)> {
        self.pages.iter().map(|page| (&page.first, page.n_rows as usize))
    }

    /// The pages, and the reservation for what they cost while they are not in memory.
    pub(super) fn into_parts(self) -> (Vec<RunPage>, IndexKey, Reservation) {
        (self.pages, self.last, self.memory)
    }
}

impl RunWriter {
    /// A writer that falls back on `spare`, a standard page, when the pool has none left. The pages lie together on disk
    /// by `stream`; `expected_rows` only decides which pages are evicted first. `memory` is an empty reservation.
    pub fn new(
        layout: Arc<Layout>,
        key: KeyField,
        owner: Arc<PageOwner>,
        spare: PinnedPage,
        stream: u32,
        expected_rows: usize,
        memory: Reservation,
    ) -> Self {
        let run = Run { pages: Vec::new(), last: [0; 2], n_rows: 0, memory };
        let spare = Some(spare);
        RunWriter { layout, owner, key, current: None, spare, first: run.last, last: None, run, stream, expected_rows }
    }

    /// Appends rows, which come in key order.
    ///
    /// # Errors
    /// A failing disk, or a budget error for a single row that is larger than a page.
    pub fn append(&mut self, rows: Rows<'_>) -> Result<()> {
        for (idx, &row) in rows.ptrs.iter().enumerate() {
            if let Some(&ahead) = rows.ptrs.get(idx + PREFETCH_ROWS) {
                prefetch_row(ahead, self.layout.row_bytes);
            }
            // SAFETY: `Rows` are live rows; the caller made them with this layout.
            unsafe { self.push(row)? };
        }
        Ok(())
    }

    /// # Safety
    /// `row` must be a live row of this writer's layout.
    #[inline(always)]
    unsafe fn push(&mut self, row: RowPtr) -> Result<()> {
        // SAFETY: the caller's promise.
        let heap = unsafe { row_heap_bytes(&self.layout, row) };
        if !self.current.as_ref().is_some_and(|page| page.has_room(heap)) {
            self.next_page(heap)?;
            // SAFETY: the caller's promise.
            self.first = unsafe { self.key.index_key(row) };
        }
        if let Some(page) = &mut self.current {
            // SAFETY: there is room, just checked or just made.
            self.last = Some(unsafe { page.push(&self.layout, row, heap) });
        }
        Ok(())
    }

    #[cold]
    fn next_page(&mut self, heap: usize) -> Result<()> {
        let bytes = RowPage::bytes_for_row(&self.layout, heap);
        let page = match self.owner.allocate(bytes) {
            Ok(page) => {
                self.unpin_current()?;
                page
            }
            Err(refused) => {
                let memory = self.store_current()?.filter(|memory| bytes <= memory.len());
                match memory.or_else(|| self.spare.take_if(|spare| bytes <= spare.len())) {
                    Some(page) => page,
                    // What was stored may have freed enough for a row larger than a page.
                    None => self.owner.allocate(bytes).map_err(|_| refused)?,
                }
            }
        };
        self.current = Some(RowPage::empty(page, &self.layout));
        Ok(())
    }

    fn unpin_current(&mut self) -> Result<()> {
        let Some(page) = self.current.take() else { return Ok(()) };
        let n_rows = page.n_rows();
        let priority = 1 + self.run.n_rows * PRIORITIES / self.expected_rows.max(1);
        self.close(n_rows)?;
        let page = page.unpin(priority as u32, self.stream)?;
        self.run.pages.push(RunPage { page, first: self.first, n_rows: n_rows as u32 });
        Ok(())
    }

    /// Writes the current page out and returns its memory, unless that became the spare page.
    fn store_current(&mut self) -> Result<Option<PinnedPage>> {
        let Some(page) = self.current.take() else { return Ok(None) };
        let n_rows = page.n_rows();
        self.close(n_rows)?;
        let (page, memory) = page.store_now(self.stream)?;
        self.run.pages.push(RunPage { page, first: self.first, n_rows: n_rows as u32 });
        Ok(Some(memory))
    }

    /// Takes note of the last row of the current page. The index is charged as far as there is room: it is a hundredth of
    /// what the page gives back.
    fn close(&mut self, n_rows: usize) -> Result<()> {
        if let Some(last) = self.last.take() {
            // SAFETY: the row is the last one of the current page, which is still held.
            self.run.last = unsafe { self.key.index_key(last) };
        }
        self.run.n_rows += n_rows;
        let _ = self.run.memory.try_grow(INDEX_BYTES);
        Ok(())
    }

    /// The run, and the spare page.
    ///
    /// # Errors
    /// As [`RunWriter::append`].
    pub fn finish(mut self) -> Result<(Run, PinnedPage)> {
        let spare = match self.spare.take() {
            Some(spare) => {
                self.unpin_current()?;
                spare
            }
            None => match self.store_current()?.filter(|memory| memory.len() == self.owner.page_bytes()) {
                Some(memory) => memory,
                None => self.owner.allocate(self.owner.page_bytes())?,
            },
        };
        Ok((self.run, spare))
    }
}

/// Starts loading a row into the cache.
#[inline(always)]
pub(super) fn prefetch_row(row: RowPtr, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(64).take(4).chain([bytes - 1]) {
        // SAFETY: a prefetch is a hint; any address is allowed, mapped or not.
        unsafe {
            std::arch::x86_64::_mm_prefetch(row.wrapping_add(line).cast(), std::arch::x86_64::_MM_HINT_T0);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (row, bytes);
}
