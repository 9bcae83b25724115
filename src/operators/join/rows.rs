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
    repeats: Repeats,
}

/// What becomes of rows whose key has been written before.
#[derive(Clone, Copy)]
pub(super) enum Repeats {
    /// They are written too.
    Kept,
    /// They are dropped as long as that pays: the keys of up to so many bytes of rows are remembered. Some may be kept.
    Dropped { most_bytes: u64, n_rows: usize, n_new: usize },
}

/// Rows after which dropping repeats is judged.
const JUDGED_AFTER_ROWS: usize = 1 << 16;
/// From this share of new keys on, looking them up costs more than it saves.
const MOSTLY_NEW: f64 = 0.7;

impl PartitionWriter {
    /// Partitions by `partition_bits` bits of the hash after the top `skip_bits`.
    pub(super) fn new(layout: &Arc<Layout>, owner: &Arc<PageOwner>, skip_bits: u32, partition_bits: u32) -> Self {
        let memory = owner.pool().memory().reserve(NAME);
        PartitionWriter {
            table: RowTable::new(layout.clone(), owner, skip_bits, partition_bits, memory),
            sealed: (0..1usize << partition_bits).map(|_| SealedPages::default()).collect(),
            filter: None,
            repeats: Repeats::Kept,
        }
    }

    /// Treats repeated keys in this way.
    pub(super) fn with_repeats(self, repeats: Repeats) -> Self {
        PartitionWriter { repeats, ..self }
    }

    /// How repeated keys are treated by now.
    pub(super) fn repeats(&self) -> Repeats {
        self.repeats
    }

    /// Adds the keys of all rows to `filter`.
    pub(super) fn with_filter(self, filter: Option<Arc<KeyFilter>>) -> Self {
        PartitionWriter { filter, ..self }
    }

    /// Writes rows, and drops those whose key has been written lately. Rows that are refused are the caller's again.
    fn append_new(&mut self, rows: Rows<'_>, hashes: &[Hash]) -> Result<usize> {
        let Repeats::Dropped { most_bytes, n_rows, n_new } = &mut self.repeats else { return Ok(0) };
        let located = self.table.find_or_insert(rows, hashes);
        *n_rows += located.n_rows;
        *n_new += self.table.n_new();
        let (is_refused, is_full) = (located.refused.is_some(), self.table.held_bytes() > *most_bytes);
        let pays = *n_rows < JUDGED_AFTER_ROWS || (*n_new as f64) < *n_rows as f64 * MOSTLY_NEW;
        if *n_rows >= JUDGED_AFTER_ROWS {
            (*n_rows, *n_new) = (0, 0);
        }
        if is_refused || is_full || !pays {
            self.table.seal(&mut self.sealed)?;
        }
        if is_refused && located.n_rows == 0 || !pays {
            self.repeats = Repeats::Kept;
            self.table.drop_entries();
        }
        Ok(located.n_rows)
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
            if matches!(self.repeats, Repeats::Dropped { .. }) {
                done += self.append_new(rows.slice(done, rows.len() - done), &hashes[done..])?;
                continue;
            }
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
