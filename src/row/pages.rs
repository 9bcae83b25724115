//! Rows appended to pages, and the pages once they are handed to the pool.
//!
//! Memory: the writer keeps its pages pinned until [`PagesWriter::seal`] or [`PagesWriter::unpin_full`].

use std::sync::Arc;

use super::columns::Columns;
use super::layout::Layout;
use super::page::{RowPage, RowPointers, row_heap_bytes};
use super::pointer::{RowPtr, Rows};
use super::scatter::{add_heap_bytes, scatter};
use crate::error::Result;
use crate::memory::{OverBudget, Page, PageOwner};

/// Rows of a batch that are written at once: few enough that they stay in the first-level cache while their columns are
/// written one after the other.
const PIECE_ROWS: usize = 512;

/// Appends rows to pages of one owner.
pub struct PagesWriter {
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    full: Vec<RowPage>,
    current: Option<RowPage>,
    n_rows: usize,
    /// Places and heap bytes of the rows being written.
    ptrs: RowPointers,
    heap: Vec<usize>,
}

/// Unpinned pages of rows of one layout.
#[derive(Default)]
pub struct SealedPages {
    pages: Vec<Page>,
    n_rows: usize,
}

impl PagesWriter {
    /// A writer without pages.
    pub fn new(layout: Arc<Layout>, owner: Arc<PageOwner>) -> Self {
        let (ptrs, heap) = (RowPointers::default(), Vec::new());
        PagesWriter { layout, owner, full: Vec::new(), current: None, n_rows: 0, ptrs, heap }
    }

    /// Rows written and not yet sealed.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Bytes of pinned pages.
    pub fn pinned_bytes(&self) -> usize {
        self.pages().map(RowPage::len).sum()
    }

    /// Appends all of `rows`.
    ///
    /// # Errors
    /// [`OverBudget`] when there is no page for the next row; the rows before it are written, and their number is the
    /// first part of the error.
    pub fn append(&mut self, rows: Rows<'_>) -> Result<(), (usize, OverBudget)> {
        for (idx, &row) in rows.ptrs.iter().enumerate() {
            // SAFETY: `Rows` are live rows; the caller made them with this layout.
            unsafe { self.push(row) }.map_err(|refused| (idx, refused))?;
        }
        Ok(())
    }

    /// Writes rows `start..start + len` of a batch, at once to their pages.
    ///
    /// # Errors
    /// As [`PagesWriter::append`].
    pub fn append_columns(&mut self, columns: &Columns, start: usize, len: usize) -> Result<(), (usize, OverBudget)> {
        let mut n_done = 0;
        while n_done < len {
            let room = self.current.as_ref().map_or(0, RowPage::room);
            let piece = room.clamp(1, PIECE_ROWS).min(len - n_done);
            self.heap.clear();
            self.heap.resize(piece, 0);
            if self.layout.has_heap() {
                add_heap_bytes(columns, start + n_done, &mut self.heap);
            }
            if !self.current.as_ref().is_some_and(|page| page.has_room(self.heap[0])) {
                self.next_page(self.heap[0]).map_err(|refused| (n_done, refused))?;
            }
            let Some(page) = &mut self.current else { unreachable!("next_page leaves a page") };
            let n_rows = page.claim_rows(&mut self.heap, &mut self.ptrs.ptrs);
            // SAFETY: the rows were just claimed and zeroed, with room for their heap bytes where `heap` says.
            unsafe { scatter(&self.layout, columns, start + n_done, &self.ptrs.ptrs, &mut self.heap[..n_rows]) };
            self.n_rows += n_rows;
            n_done += n_rows;
        }
        Ok(())
    }

    /// Copies one row and returns its place.
    ///
    /// # Safety
    /// `row` must be a live row of this writer's layout.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, row: RowPtr) -> Result<RowPtr, OverBudget> {
        // SAFETY: the caller's promise.
        let heap = unsafe { row_heap_bytes(&self.layout, row) };
        if !self.current.as_ref().is_some_and(|page| page.has_room(heap)) {
            self.next_page(heap)?;
        }
        match &mut self.current {
            Some(page) => {
                self.n_rows += 1;
                // SAFETY: there is room, just checked or just made.
                Ok(unsafe { page.push(&self.layout, row, heap) })
            }
            None => unreachable!("next_page leaves a page"),
        }
    }

    #[cold]
    fn next_page(&mut self, heap: usize) -> Result<(), OverBudget> {
        let bytes = RowPage::bytes_for_row(&self.layout, heap);
        let page = self.owner.allocate(bytes)?;
        let before = self.current.replace(RowPage::empty(page, &self.layout));
        self.full.extend(before);
        Ok(())
    }

    /// Unpins the pages that are full.
    ///
    /// # Errors
    /// As [`RowPage::unpin`].
    pub fn unpin_full(&mut self, priority: u32, stream: u32, into: &mut SealedPages) -> Result<()> {
        for page in self.full.drain(..) {
            self.n_rows -= page.n_rows();
            into.push(page, priority, stream)?;
        }
        Ok(())
    }

    /// Unpins all pages.
    ///
    /// # Errors
    /// As [`RowPage::unpin`].
    pub fn seal(&mut self, priority: u32, stream: u32, into: &mut SealedPages) -> Result<()> {
        self.unpin_full(priority, stream, into)?;
        if let Some(page) = self.current.take() {
            into.push(page, priority, stream)?;
        }
        self.n_rows = 0;
        Ok(())
    }

    /// All rows in the order of writing.
    pub fn rows<'a>(&'a self, ptrs: &'a mut RowPointers) -> Rows<'a> {
        ptrs.ptrs.clear();
        for page in self.full.iter().chain(&self.current) {
            page.add_rows(&mut ptrs.ptrs);
        }
        // SAFETY: the rows live as long as the pages are borrowed.
        unsafe { Rows::new(&ptrs.ptrs) }
    }

    /// The pinned pages, in the order of writing.
    pub(super) fn pages(&self) -> impl Iterator<Item = &RowPage> {
        self.full.iter().chain(&self.current)
    }

    /// Takes the pinned pages out, in the order of writing.
    pub fn take_pages(&mut self) -> Vec<RowPage> {
        self.n_rows = 0;
        let mut pages = std::mem::take(&mut self.full);
        pages.extend(self.current.take());
        pages
    }
}

impl SealedPages {
    /// Unpins a page and keeps it.
    ///
    /// # Errors
    /// As [`RowPage::unpin`].
    pub fn push(&mut self, page: RowPage, priority: u32, stream: u32) -> Result<()> {
        let n_rows = page.n_rows();
        if n_rows > 0 {
            self.pages.push(page.unpin(priority, stream)?);
            self.n_rows += n_rows;
        }
        Ok(())
    }

    /// Adds the pages of `other`.
    pub fn append(&mut self, mut other: SealedPages) {
        self.pages.append(&mut other.pages);
        self.n_rows += other.n_rows;
    }

    /// Rows on all pages.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Pages.
    pub fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of all pages when in memory.
    pub fn bytes(&self) -> usize {
        self.pages.iter().map(Page::len).sum()
    }

    /// Pins all pages, or none when memory is refused; they come back then.
    ///
    /// # Errors
    /// When a page cannot be brought back from disk.
    pub fn pin_all(self, layout: &Layout) -> Result<Result<Vec<RowPage>, SealedPages>> {
        let mut pinned = Vec::new();
        let mut n_left = self.n_rows;
        let mut waiting = self.pages.into_iter();
        while let Some(page) = waiting.next() {
            match page.try_pin() {
                Ok(page) => {
                    let page = RowPage::restored(page, layout)?;
                    n_left -= page.n_rows();
                    pinned.push(page);
                }
                Err((page, error)) if error.kind() == crate::ErrorKind::Budget => {
                    let pages = std::iter::once(page).chain(waiting).collect();
                    let mut sealed = SealedPages { pages, n_rows: n_left };
                    for page in pinned {
                        sealed.push(page, 0, 0)?;
                    }
                    return Ok(Err(sealed));
                }
                Err((_, error)) => return Err(error),
            }
        }
        Ok(Ok(pinned))
    }

    /// Takes one page out; it is no longer known how many rows the others have, except whether there are any.
    pub fn pop(&mut self) -> Option<Page> {
        let page = self.pages.pop();
        self.n_rows = self.n_rows.min(self.pages.len());
        page
    }

    /// The pages, to be pinned one at a time.
    pub fn into_pages(self) -> Vec<Page> {
        self.pages
    }
}
