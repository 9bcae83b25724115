//! From batches to rows, and from rows to partitions: what both sides of a join do with their input.
//!
//! Memory: a scratch block for one piece of a batch, and one write page a partition; full pages are unpinned.

use std::sync::Arc;

use super::NAME;
use super::filter::KeyFilter;
use crate::error::Result;
use crate::exec::TaskContext;
use crate::memory::{PageOwner, Reservation};
use crate::row::{Columns, Hash, Layout, RowScratch, RowTable, Rows, SealedPages, hash_rows};

/// Turns pieces of a batch into rows and hashes their keys.
pub(super) struct Stage {
    layout: Arc<Layout>,
    scratch: RowScratch,
    memory: Reservation,
    hashes: Vec<Hash>,
    /// Rows of a piece.
    piece_rows: usize,
    /// Bytes of a piece, unless a single row is larger.
    piece_bytes: usize,
}

impl Stage {
    pub(super) fn new(layout: &Arc<Layout>, cx: &TaskContext) -> Result<Self> {
        let row_bytes = layout.row_bytes() + size_of::<Hash>() * 4;
        let piece_rows = (cx.sizes().batch_bytes / row_bytes).clamp(16, RowScratch::MAX_ROWS);
        let mut memory = cx.memory.reserve(NAME);
        memory.try_grow((piece_rows * row_bytes) as u64)?;
        Ok(Stage {
            layout: layout.clone(),
            scratch: RowScratch::new(layout.clone()),
            memory,
            hashes: Vec::new(),
            piece_rows,
            piece_bytes: (piece_rows * row_bytes).max(cx.sizes().batch_bytes),
        })
    }

    /// Fills in rows of a batch of `n_rows` from `start` on, as many as make a piece; returns how many.
    ///
    /// # Errors
    /// When there is no memory for a single row.
    pub(super) fn fill(&mut self, columns: &Columns, start: usize, n_rows: usize) -> Result<usize> {
        let mut len = self.piece_rows.min(n_rows - start);
        let mut bytes = self.scratch.bytes_for(columns, start, len);
        while bytes > self.piece_bytes && len > 1 {
            len = len.div_ceil(2);
            bytes = self.scratch.bytes_for(columns, start, len);
        }
        self.scratch.shrink_to(self.piece_bytes * 2);
        let bytes = (bytes.max(self.scratch.bytes()) + len * size_of::<Hash>()) as u64;
        if bytes > self.memory.bytes() {
            self.memory.try_resize(bytes)?;
        }
        self.scratch.fill(columns, start, len)?;
        hash_rows(&self.layout, self.scratch.rows(), &mut self.hashes);
        Ok(len)
    }

    /// The rows of the piece.
    pub(super) fn rows(&self) -> Rows<'_> {
        self.scratch.rows()
    }

    /// Their hashes.
    pub(super) fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// Writes rows to unpinned pages, by partition.
pub(super) struct PartitionWriter {
    table: RowTable,
    sealed: Vec<SealedPages>,
    filter: Option<Arc<KeyFilter>>,
}

impl PartitionWriter {
    /// Partitions by `partition_bits` bits of the hash after the top `skip_bits`.
    pub(super) fn new(layout: &Arc<Layout>, owner: &Arc<PageOwner>, skip_bits: u32, partition_bits: u32) -> Self {
        let memory = owner.pool().memory().reserve(NAME);
        PartitionWriter {
            table: RowTable::new(layout.clone(), owner, skip_bits, partition_bits, memory),
            sealed: (0..1usize << partition_bits).map(|_| SealedPages::default()).collect(),
            filter: None,
        }
    }

    /// Adds the keys of all rows to `filter`.
    pub(super) fn with_filter(self, filter: Option<Arc<KeyFilter>>) -> Self {
        PartitionWriter { filter, ..self }
    }

    /// Appends all rows, handing pages to the pool when memory is refused.
    ///
    /// # Errors
    /// When there is no memory for a single page.
    pub(super) fn append(&mut self, rows: Rows<'_>, hashes: &[Hash]) -> Result<()> {
        if let Some(filter) = &self.filter {
            filter.add(hashes);
        }
        let mut done = 0;
        while done < rows.len() {
            let located = self.table.append(rows.slice(done, rows.len() - done), &hashes[done..]);
            done += located.n_rows;
            match located.refused {
                None => self.table.unpin_full(&mut self.sealed)?,
                Some(refused) if located.n_rows == 0 && self.table.pinned_bytes() == 0 => return Err(refused.into()),
                Some(_) => self.table.seal(&mut self.sealed)?,
            }
        }
        Ok(())
    }

    /// Bytes of all pages.
    pub(super) fn bytes(&self) -> usize {
        self.table.pinned_bytes() + self.sealed.iter().map(SealedPages::bytes).sum::<usize>()
    }

    /// The pages of each partition.
    pub(super) fn finish(mut self) -> Result<Vec<SealedPages>> {
        self.table.seal(&mut self.sealed)?;
        Ok(self.sealed)
    }
}

/// The partition of a hash.
#[inline(always)]
pub(super) fn partition_of(hash: Hash, partition_bits: u32) -> usize {
    if partition_bits == 0 { 0 } else { (hash >> (64 - partition_bits)) as usize }
}
