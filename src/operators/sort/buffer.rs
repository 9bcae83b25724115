//! The rows of one worker, pinned until they are sorted.
//!
//! Memory: the worker's share. What sorting will need is reserved while rows come in, and one page is held back from the
//! start, so that a worker that is refused memory can always write its rows away as a run.

use std::sync::Arc;

use super::shape::RowShape;
use crate::error::Result;
use crate::memory::{Memory, OverBudget, PageOwner, PinnedPage, Reservation};
use crate::row::{Columns, Condenser, KeyField, KeySpread, PagesWriter, RowPage, RowScratch, SortedRows};

/// A page that may be refused by a test setting or for the moment is asked for so many times.
const ATTEMPTS: usize = 4;

/// Rows of one worker.
pub(crate) struct RowBuffer {
    pub(super) shape: Arc<RowShape>,
    owner: Arc<PageOwner>,
    writer: PagesWriter,
    scratch: RowScratch,
    scratch_memory: Reservation,
    entries: Reservation,
    spread: KeySpread,
}

/// Rows that were collected and not yet sorted.
pub(crate) struct Unsorted {
    pub(super) pages: Vec<RowPage>,
    pub(super) n_rows: usize,
    pub(super) spread: KeySpread,
    /// Covers what sorting needs.
    pub(super) entries: Reservation,
}

impl RowBuffer {
    pub(crate) fn new(shape: Arc<RowShape>, owner: Arc<PageOwner>, memory: &Memory) -> Self {
        RowBuffer {
            writer: PagesWriter::new(shape.layout.clone(), owner.clone()),
            scratch: RowScratch::new(shape.layout.clone()),
            scratch_memory: memory.reserve(owner.name()),
            entries: memory.reserve(owner.name()),
            spread: KeySpread::default(),
            shape,
            owner,
        }
    }

    /// Rows held.
    pub(crate) fn n_rows(&self) -> usize {
        self.writer.n_rows()
    }

    /// Bytes held, with those that sorting will need.
    pub(crate) fn bytes(&self) -> u64 {
        self.writer.pinned_bytes() as u64 + self.entries.bytes()
    }

    /// Takes over what is known of the keys that will come.
    pub(super) fn spread_mut(&mut self) -> &mut KeySpread {
        &mut self.spread
    }

    /// Appends rows `start..start + len` of a batch, at most [`RowScratch::MAX_ROWS`]; returns how many were appended
    /// before memory was refused.
    pub(super) fn append(
        &mut self,
        columns: &Columns,
        start: usize,
        len: usize,
    ) -> Result<(usize, Option<OverBudget>)> {
        if let Err(refused) = self.entries.try_grow(len as u64 * SortedRows::ENTRY_BYTES) {
            return Ok((0, Some(refused)));
        }
        self.scratch.fill(columns, start, len)?;
        let bytes = self.scratch.bytes() as u64;
        if bytes > self.scratch_memory.bytes()
            && let Err(refused) = self.scratch_memory.try_resize(bytes)
        {
            self.entries.shrink(len as u64 * SortedRows::ENTRY_BYTES);
            return Ok((0, Some(refused)));
        }
        match self.writer.append(self.scratch.rows()) {
            Ok(()) => Ok((len, None)),
            Err((n_rows, refused)) => {
                self.entries.shrink((len - n_rows) as u64 * SortedRows::ENTRY_BYTES);
                Ok((n_rows, Some(refused)))
            }
        }
    }

    /// Copies rows in that came out of here; returns whether there was room for all.
    pub(super) fn append_rows(&mut self, rows: &SortedRows) -> bool {
        let n_bytes = rows.len() as u64 * SortedRows::ENTRY_BYTES;
        self.entries.try_grow(n_bytes).is_ok() && rows.for_each_piece(|piece| self.writer.append(piece)).is_ok()
    }

    /// Takes the rows out. What is known of the keys stays: the rest of the batch that was refused is yet to come.
    pub(crate) fn take(&mut self) -> Unsorted {
        let empty = self.entries.memory().reserve(self.owner.name());
        let entries = std::mem::replace(&mut self.entries, empty);
        let n_rows = self.writer.n_rows();
        Unsorted { pages: self.writer.take_pages(), n_rows, spread: self.spread, entries }
    }
}

impl Unsorted {
    /// The rows in order, with a condenser for a spread that covers them.
    pub(crate) fn sort(self, key: KeyField, condenser: &Condenser) -> (SortedRows, Reservation) {
        (SortedRows::sort(self.pages, key, condenser), self.entries)
    }
}

/// Forgets the rows beyond the first `limit`; returns the key of the last of those, if there are so many.
pub(super) fn keep_first(rows: &mut SortedRows, key: KeyField, limit: Option<u64>) -> Option<Vec<u8>> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|&limit| limit <= rows.len())?;
    rows.truncate(limit);
    let last = limit.checked_sub(1).map(|last| key.bytes(rows.row(last)));
    Some(last.map_or(Vec::new(), |(inline, rest)| [inline, rest].concat()))
}

/// A page held back from the start.
///
/// # Errors
/// A budget error when the pool has none.
pub(super) fn spare_page(owner: &Arc<PageOwner>) -> Result<PinnedPage> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match owner.allocate(owner.page_bytes()) {
            Ok(page) => return Ok(page),
            Err(refused) if attempt == ATTEMPTS => return Err(refused.into()),
            Err(_) => {}
        }
    }
}
