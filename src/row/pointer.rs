//! References to rows in pinned pages.

use std::marker::PhantomData;

use bytemuck::Pod;

use super::layout::{INLINE_BYTES, StateOffset};
use super::page::RowPointers;

/// The start of a row. Valid as long as the page or scratch block it points into is.
pub(super) type RowPtr = *mut u8;

/// Some rows of one layout, borrowed from what holds their pages.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub(super) ptrs: &'a [RowPtr],
    pages: PhantomData<&'a [u8]>,
}

impl<'a> Rows<'a> {
    /// # Safety
    /// Every pointer must be the start of an initialized row that lives and does not change during `'a`.
    pub(super) unsafe fn new(ptrs: &'a [RowPtr]) -> Self {
        Rows { ptrs, pages: PhantomData }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ptrs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ptrs.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowRef<'a>> + 'a {
        self.ptrs.iter().map(|&ptr| RowRef { ptr, page: PhantomData })
    }

    /// Some of them.
    pub fn slice(&self, start: usize, len: usize) -> Rows<'a> {
        Rows { ptrs: &self.ptrs[start..start + len], pages: PhantomData }
    }

    /// Those at `idxs`, with `ptrs` as the buffer for their places.
    pub fn pick<'b>(&self, idxs: &[u32], ptrs: &'b mut RowPointers) -> Rows<'b>
    where
        'a: 'b,
    {
        ptrs.ptrs.clear();
        ptrs.ptrs.extend(idxs.iter().map(|&idx| self.ptrs[idx as usize]));
        Rows { ptrs: &ptrs.ptrs, pages: PhantomData }
    }

    /// One of them.
    pub fn get(&self, idx: usize) -> RowRef<'a> {
        RowRef { ptr: self.ptrs[idx], page: PhantomData }
    }
}

/// One row, for reading.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    pub(super) ptr: RowPtr,
    pub(super) page: PhantomData<&'a [u8]>,
}

impl RowRef<'_> {
    /// A copy of a state.
    #[inline(always)]
    pub fn state<S: Pod>(&self, at: StateOffset<S>) -> S {
        // SAFETY: the layout that made `at` checked that the state lies inside the row and is aligned.
        unsafe { self.ptr.add(at.offset).cast::<S>().read() }
    }
}

/// One row, for changing its states.
pub struct RowMut<'a> {
    pub(super) ptr: RowPtr,
    pub(super) page: PhantomData<&'a mut [u8]>,
}

impl RowMut<'_> {
    /// A state in place.
    #[inline(always)]
    pub fn state<S: Pod>(&mut self, at: StateOffset<S>) -> &mut S {
        // SAFETY: the layout that made `at` checked bounds and alignment; `&mut self` makes the access exclusive.
        unsafe { &mut *self.ptr.add(at.offset).cast::<S>() }
    }
}

#[inline(always)]
pub(super) unsafe fn read_u64(row: RowPtr, offset: usize) -> u64 {
    // SAFETY: the caller passes an offset at least 8 bytes before the end of the row.
    unsafe { row.add(offset).cast::<u64>().read_unaligned() }
}

/// The length of the value in a slot.
#[inline(always)]
pub(super) unsafe fn slot_len(row: RowPtr, offset: usize) -> usize {
    // SAFETY: the caller passes the offset of a slot.
    unsafe { row.add(offset).cast::<u32>().read_unaligned() as usize }
}

/// The bytes of the value in a slot.
#[inline(always)]
pub(super) unsafe fn slot_bytes<'a>(row: RowPtr, offset: usize) -> &'a [u8] {
    // SAFETY: the caller passes the offset of a slot of a row that lives for 'a; a long value lies at its distance from
    // the start of the row, in the same page.
    unsafe {
        let len = slot_len(row, offset);
        let start = if len <= INLINE_BYTES { row.add(offset + 4) } else { row.add(read_u64(row, offset + 8) as usize) };
        std::slice::from_raw_parts(start, len)
    }
}

/// Bytes of heap that a row uses.
#[inline]
pub(super) unsafe fn heap_bytes(row: RowPtr, slots: &[usize]) -> usize {
    let long = |&offset: &usize| {
        // SAFETY: the caller passes the slots of the row's layout.
        let len = unsafe { slot_len(row, offset) };
        if len > INLINE_BYTES { len } else { 0 }
    };
    slots.iter().map(long).sum()
}
