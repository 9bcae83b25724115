//! A block of rows outside the pages: where a piece of a batch is turned into rows before its place is known.
//!
//! Memory: rows of one piece, at most [`RowScratch::MAX_ROWS`] of them plus their long values; bounded by the batch they
//! come from, and reused.

use std::sync::Arc;

use super::columns::Columns;
use super::layout::Layout;
use super::pointer::{RowPtr, Rows};
use super::scatter::{add_heap_bytes, scatter};
use crate::error::Result;

/// Rows of one piece of a batch, with their long values behind them.
pub struct RowScratch {
    layout: Arc<Layout>,
    /// Words, so that rows are aligned to 8 bytes.
    block: Vec<u64>,
    ptrs: Vec<RowPtr>,
    heap_at: Vec<usize>,
}

// SAFETY: the pointers point into `block`, which moves with them (its heap allocation does not).
unsafe impl Send for RowScratch {}

impl RowScratch {
    /// The most rows of a piece: small enough that a piece of usual rows stays in the second-level cache.
    pub const MAX_ROWS: usize = 2048;

    /// An empty block for rows of `layout`.
    pub fn new(layout: Arc<Layout>) -> Self {
        RowScratch { layout, block: Vec::new(), ptrs: Vec::new(), heap_at: Vec::new() }
    }

    /// Bytes that [`RowScratch::fill`] needs for these rows.
    pub fn bytes_for(&mut self, columns: &Columns, start: usize, len: usize) -> usize {
        self.heap_at.clear();
        self.heap_at.resize(len, 0);
        if self.layout.has_heap() {
            add_heap_bytes(columns, start, &mut self.heap_at);
        }
        len * (self.layout.row_bytes + 2 * size_of::<usize>()) + self.heap_at.iter().sum::<usize>()
    }

    /// Gives the block back when it is larger than `most_bytes`, after a piece of unusually long values.
    pub fn shrink_to(&mut self, most_bytes: usize) {
        if self.bytes() > most_bytes {
            self.block = Vec::new();
            self.ptrs.clear();
        }
    }

    /// Turns rows `start..start + len` of the batch into rows; states are zero.
    ///
    /// # Errors
    /// None that depends on data so far; kept so that wider values can be refused.
    pub fn fill(&mut self, columns: &Columns, start: usize, len: usize) -> Result<()> {
        let row_bytes = self.layout.row_bytes;
        self.heap_at.clear();
        self.heap_at.resize(len, 0);
        if self.layout.has_heap() {
            add_heap_bytes(columns, start, &mut self.heap_at);
        }
        let mut end = len * row_bytes;
        for at in &mut self.heap_at {
            let bytes = *at;
            *at = end;
            end += bytes;
        }
        self.block.clear();
        self.block.reserve_exact(end.div_ceil(8));
        self.block.resize(end.div_ceil(8), 0);
        let base: RowPtr = self.block.as_mut_ptr().cast();
        self.ptrs.clear();
        // SAFETY: the block has at least len * row_bytes bytes, so every row starts inside it.
        self.ptrs.extend((0..len).map(|idx| unsafe { base.add(idx * row_bytes) }));
        for (idx, at) in self.heap_at.iter_mut().enumerate() {
            *at -= idx * row_bytes;
        }
        // SAFETY: each row has row_bytes zeroed bytes, and its heap begins `heap_at` bytes after its start with room for
        // its long values, which is what was counted above.
        unsafe { scatter(&self.layout, columns, start, &self.ptrs, &mut self.heap_at) };
        Ok(())
    }

    /// One row without any fields: the group of an aggregation without keys.
    pub fn fill_empty(&mut self) {
        self.block.clear();
        self.block.resize(self.layout.row_bytes / 8, 0);
        self.ptrs.clear();
        self.ptrs.push(self.block.as_mut_ptr().cast());
    }

    /// Copies the states of `from` to the rows, which are as many. Both layouts place the states alike: this one is the
    /// other with trailing fields.
    pub fn copy_states(&mut self, from: Rows<'_>) {
        let (at, bytes) = (self.layout.states_at, self.layout.state_bytes);
        for (&target, &source) in self.ptrs.iter().zip(from.ptrs) {
            // SAFETY: both rows have `bytes` of states at `at`, and they are different rows.
            unsafe { std::ptr::copy_nonoverlapping(source.add(at), target.add(at), bytes) };
        }
    }

    /// The rows.
    pub fn rows(&self) -> Rows<'_> {
        // SAFETY: `fill` initialized every row, and the block is not changed while `self` is borrowed.
        unsafe { Rows::new(&self.ptrs) }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.block.capacity() * 8 + self.ptrs.capacity() * 8 + self.heap_at.capacity() * 8
    }
}
