//! A page full of rows: rows from the front, their long values from the back.

use std::marker::PhantomData;

use super::layout::{INLINE_BYTES, Layout};
use super::pointer::{RowPtr, Rows, heap_bytes, read_u64, slot_len};
use crate::error::{Error, Result};
use crate::memory::{Page, PinnedPage};

/// What a page says about itself, at its start.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct PageHeader {
    pub(super) n_rows: u64,
    /// Offset of the first byte of heap.
    pub(super) heap_at: u64,
}

pub(super) const HEADER_BYTES: usize = size_of::<PageHeader>();

/// A pinned page of rows of one layout.
pub struct RowPage {
    page: PinnedPage,
    row_bytes: usize,
    n_rows: usize,
    heap_at: usize,
}

impl RowPage {
    /// An empty page.
    pub fn empty(page: PinnedPage, layout: &Layout) -> Self {
        let heap_at = page.len() & !7;
        RowPage { page, row_bytes: layout.row_bytes, n_rows: 0, heap_at }
    }

    /// A page that was filled, unpinned and pinned again.
    ///
    /// # Errors
    /// When the page does not hold rows of this size.
    pub fn restored(page: PinnedPage, layout: &Layout) -> Result<Self> {
        let header: PageHeader = bytemuck::pod_read_unaligned(&page.bytes()[..HEADER_BYTES]);
        let (n_rows, heap_at) = (header.n_rows as usize, header.heap_at as usize);
        let rows_end = n_rows.checked_mul(layout.row_bytes).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        match rows_end {
            Some(end) if end <= heap_at && heap_at <= page.len() => {
                Ok(RowPage { page, row_bytes: layout.row_bytes, n_rows, heap_at })
            }
            _ => Err(Error::disk("a page of rows came back damaged")),
        }
    }

    /// Bytes a page needs to hold one row with so many heap bytes.
    pub fn bytes_for_row(layout: &Layout, heap: usize) -> usize {
        HEADER_BYTES + layout.row_bytes + heap + 8
    }

    /// Rows on the page.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Bytes of the page.
    pub fn len(&self) -> usize {
        self.page.len()
    }

    /// Whether the page has no rows.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Whether a row with so many heap bytes fits.
    #[inline(always)]
    pub(super) fn has_room(&self, heap: usize) -> bool {
        HEADER_BYTES + (self.n_rows + 1) * self.row_bytes + heap <= self.heap_at
    }

    /// Copies a row with `heap` heap bytes here and returns its new place.
    ///
    /// # Safety
    /// `row` must be a live row of `layout`, and [`RowPage::has_room`] must hold.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, layout: &Layout, row: RowPtr, heap: usize) -> RowPtr {
        // SAFETY: there is room for the fixed part behind the last row and for the heap before the last heap piece.
        unsafe {
            let target = self.page.start().add(HEADER_BYTES + self.n_rows * self.row_bytes);
            copy_words(row, target, self.row_bytes);
            self.n_rows += 1;
            if heap > 0 {
                self.heap_at -= heap;
                let heap_start = self.page.start().add(self.heap_at);
                copy_heap(layout, row, target, heap_start);
            }
            target
        }
    }

    /// Makes room for rows with so many heap bytes each, as many as fit, and zeroes them. Their places go to `ptrs`; what
    /// `heap` says of each becomes the distance from the row to its heap. Returns how many fit.
    pub(super) fn claim_rows(&mut self, heap: &mut [usize], ptrs: &mut Vec<RowPtr>) -> usize {
        let first = HEADER_BYTES + self.n_rows * self.row_bytes;
        ptrs.clear();
        for heap in heap.iter_mut() {
            if !self.has_room(*heap) {
                break;
            }
            let at = HEADER_BYTES + self.n_rows * self.row_bytes;
            self.heap_at -= *heap;
            *heap = self.heap_at - at;
            // SAFETY: there is room for the row, as was just checked.
            ptrs.push(unsafe { self.page.start().add(at) });
            self.n_rows += 1;
        }
        let end = HEADER_BYTES + self.n_rows * self.row_bytes;
        self.page.bytes_mut()[first..end].fill(0);
        ptrs.len()
    }

    /// Rows without heap bytes that still fit.
    pub(super) fn room(&self) -> usize {
        (self.heap_at - HEADER_BYTES) / self.row_bytes - self.n_rows
    }

    /// Whether any row has heap bytes.
    pub(super) fn has_heap(&self) -> bool {
        self.heap_at < self.page.len() & !7
    }

    /// Appends the places of all rows to `ptrs`.
    pub(super) fn add_rows(&self, ptrs: &mut Vec<RowPtr>) {
        let first = self.page.start();
        // SAFETY: the rows lie inside the page, which `restored` checked or `push` made so.
        ptrs.extend((0..self.n_rows).map(|idx| unsafe { first.add(HEADER_BYTES + idx * self.row_bytes) }));
    }

    /// All rows, with `ptrs` as the buffer for their places.
    pub fn rows<'a>(&'a self, ptrs: &'a mut RowPointers) -> Rows<'a> {
        ptrs.ptrs.clear();
        self.add_rows(&mut ptrs.ptrs);
        // SAFETY: the rows live as long as the page is borrowed.
        unsafe { Rows::new(&ptrs.ptrs) }
    }

    /// Lets the pool evict the page; see [`PinnedPage::unpin`].
    ///
    /// # Errors
    /// As there.
    pub fn unpin(mut self, priority: u32, stream: u32) -> Result<Page> {
        self.write_header();
        self.page.unpin(priority, stream)
    }

    /// Writes the page out at once and keeps its memory; see [`PinnedPage::store_now`].
    ///
    /// # Errors
    /// As there.
    pub fn store_now(mut self, stream: u32) -> Result<(Page, PinnedPage)> {
        self.write_header();
        self.page.store_now(stream)
    }

    /// The page's memory; its rows are forgotten.
    pub fn into_memory(self) -> PinnedPage {
        self.page
    }

    /// The place of a row.
    pub(super) fn row(&self, idx: usize) -> RowPtr {
        debug_assert!(idx < self.n_rows);
        // SAFETY: the rows lie inside the page, which `restored` checked or `push` made so.
        unsafe { self.page.start().add(HEADER_BYTES + idx * self.row_bytes) }
    }

    fn write_header(&mut self) {
        let header = PageHeader { n_rows: self.n_rows as u64, heap_at: self.heap_at as u64 };
        self.page.bytes_mut()[..HEADER_BYTES].copy_from_slice(bytemuck::bytes_of(&header));
    }
}

/// A buffer for the places of rows.
#[derive(Default)]
pub struct RowPointers {
    pub(super) ptrs: Vec<RowPtr>,
    not_shared: PhantomData<*mut u8>,
}

// SAFETY: the buffer's contents are only read through `Rows`, which borrows the pages they point into.
unsafe impl Send for RowPointers {}

/// Copies a row's fixed part, which is a multiple of 8 bytes and aligned to 8 on both sides.
#[inline(always)]
unsafe fn copy_words(from: RowPtr, to: RowPtr, bytes: usize) {
    // SAFETY: the caller has `bytes` on both sides, and they are different rows.
    unsafe {
        let (from, to) = (from.cast::<u64>(), to.cast::<u64>());
        for word in 0..bytes / 8 {
            to.add(word).write(from.add(word).read());
        }
    }
}

/// Copies the long values of `row` to `heap` and lets the slots of `target` say so.
unsafe fn copy_heap(layout: &Layout, row: RowPtr, target: RowPtr, mut heap: RowPtr) {
    for &offset in &layout.slots {
        // SAFETY: the offsets are slots of the layout; the heap has room for all long values.
        unsafe {
            let len = slot_len(row, offset);
            if len > INLINE_BYTES {
                std::ptr::copy_nonoverlapping(row.add(read_u64(row, offset + 8) as usize), heap, len);
                let distance = heap.offset_from_unsigned(target) as u64;
                target.add(offset + 8).cast::<u64>().write_unaligned(distance);
                heap = heap.add(len);
            }
        }
    }
}

/// Heap bytes of a row of `layout`.
#[inline(always)]
pub(super) unsafe fn row_heap_bytes(layout: &Layout, row: RowPtr) -> usize {
    if layout.slots.is_empty() {
        return 0;
    }
    // SAFETY: the caller passes a live row of `layout`.
    unsafe { heap_bytes(row, &layout.slots) }
}
