//! Putting pinned rows in the order of their keys.
//!
//! What is sorted is 16 bytes a row: the condensed key and the row's address. Rows whose condensed keys are equal are
//! looked at again, with the bits that differ among them alone. Memory: [`SortedRows::ENTRY_BYTES`] a row, which the
//! caller reserves, beside the pages.

use super::key::{Condenser, IndexKey, KeyField, KeySpread};
use super::page::RowPage;
use super::pointer::{RowPtr, RowRef, Rows};

/// Groups of equal condensed keys up to this size are sorted by comparing whole keys; larger ones are condensed again.
/// A handful of rows costs less to compare than to look at three times.
const COMPARE_UP_TO: usize = 16;

/// Rows that are condensed again at once: few enough for the stack, however deep it goes.
const CONDENSE_ROWS: usize = 64;

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) condensed: u64,
    pub(super) row: RowPtr,
}

/// Pinned rows in the order of their keys.
pub struct SortedRows {
    /// Holds what the entries point to.
    pages: Vec<RowPage>,
    key: KeyField,
    entries: Vec<Entry>,
    has_heap: bool,
}

// SAFETY: the pointers point into the pages, which move with them; rows are only read.
unsafe impl Send for SortedRows {}
// SAFETY: shared access only reads.
unsafe impl Sync for SortedRows {}

impl SortedRows {
    /// Bytes that sorting needs for each row.
    pub const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;

    /// Sorts all rows of `pages` by `key`, with a `condenser` made for a spread that covers them.
    pub fn sort(pages: Vec<RowPage>, key: KeyField, condenser: &Condenser) -> Self {
        let n_rows = pages.iter().map(RowPage::n_rows).sum();
        let mut entries: Vec<Entry> = Vec::with_capacity(n_rows);
        let mut ptrs = Vec::new();
        for page in &pages {
            ptrs.clear();
            page.add_rows(&mut ptrs);
            // SAFETY: the rows of the page are alive and of the key's layout, as the caller says by passing the key.
            unsafe { condenser.condense(key, &ptrs, |condensed, row| entries.push(Entry { condensed, row })) };
        }
        // SAFETY: as above; the pages are held.
        unsafe { sort_entries(key, &mut entries) };
        let has_heap = pages.iter().any(RowPage::has_heap);
        SortedRows { pages, key, entries, has_heap }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether any row may have heap bytes.
    pub(super) fn has_heap(&self) -> bool {
        self.has_heap
    }

    /// Forgets all rows from `n_rows` on.
    pub fn truncate(&mut self, n_rows: usize) {
        self.entries.truncate(n_rows);
    }

    /// Forgets all rows but those that `keeps` says, which is asked in order.
    pub fn retain(&mut self, mut keeps: impl FnMut(RowRef<'_>) -> bool) {
        self.entries.retain(|entry| keeps(RowRef { ptr: entry.row, page: std::marker::PhantomData }));
    }

    /// Bytes of the pages that are held.
    pub fn page_bytes(&self) -> usize {
        self.pages.iter().map(RowPage::len).sum()
    }

    /// One row.
    pub fn row(&self, idx: usize) -> RowRef<'_> {
        RowRef { ptr: self.entries[idx].row, page: std::marker::PhantomData }
    }

    /// The index key of a row.
    pub fn index_key(&self, idx: usize) -> IndexKey {
        // SAFETY: entries point to live rows of the key's layout.
        unsafe { self.key.index_key(self.entries[idx].row) }
    }

    /// The number of rows whose index key comes before `border`.
    pub fn n_below(&self, border: &IndexKey) -> usize {
        // SAFETY: entries point to live rows of the key's layout.
        self.entries.partition_point(|entry| unsafe { self.key.index_key(entry.row) } < *border)
    }

    /// Calls `take` with the rows in order, a piece at a time.
    ///
    /// # Errors
    /// The first error of `take`.
    pub fn for_each_piece<E>(&self, mut take: impl FnMut(Rows<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut ptrs = Vec::with_capacity(PIECE_ROWS);
        for piece in self.entries.chunks(PIECE_ROWS) {
            ptrs.clear();
            ptrs.extend(piece.iter().map(|entry| entry.row));
            // SAFETY: the rows live as long as `self` is borrowed.
            take(unsafe { Rows::new(&ptrs) })?;
        }
        Ok(())
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Rows that are handed on at once: few enough that their places stay in the first-level cache.
const PIECE_ROWS: usize = 512;

/// # Safety
/// Entries must point to live rows of the key's layout.
unsafe fn sort_entries(key: KeyField, entries: &mut [Entry]) {
    entries.sort_unstable_by_key(|entry| entry.condensed);
    let mut at = 0;
    while at < entries.len() {
        let condensed = entries[at].condensed;
        let len = entries[at..].iter().take_while(|entry| entry.condensed == condensed).count();
        if len > 1 {
            // SAFETY: the caller's promise.
            unsafe { sort_equals(key, &mut entries[at..at + len]) };
        }
        at += len;
    }
}

/// Sorts rows whose condensed keys are equal, and leaves them with equal condensed keys.
///
/// # Safety
/// As [`sort_entries`].
unsafe fn sort_equals(key: KeyField, entries: &mut [Entry]) {
    // SAFETY: the caller's promise.
    let spread = match entries.len() {
        ..=COMPARE_UP_TO => None,
        _ => Some(unsafe { KeySpread::of_rows(key, entries.iter().map(|entry| entry.row)) }),
    };
    let Some(spread) = spread.filter(|spread| !spread.is_constant()) else {
        // SAFETY: the caller's promise.
        entries.sort_unstable_by(|a, b| unsafe { key.compare(a.row, b.row) });
        return;
    };
    let condensed = entries[0].condensed;
    let condenser = Condenser::new(&spread);
    let mut rows = [entries[0].row; CONDENSE_ROWS];
    for piece in entries.chunks_mut(CONDENSE_ROWS) {
        let rows = &mut rows[..piece.len()];
        rows.iter_mut().zip(&*piece).for_each(|(row, entry)| *row = entry.row);
        let mut refilled = piece.iter_mut();
        let refill = |condensed, _row| {
            if let Some(entry) = refilled.next() {
                entry.condensed = condensed;
            }
        };
        // SAFETY: the caller's promise.
        unsafe { condenser.condense(key, rows, refill) };
    }
    // SAFETY: the caller's promise. The bits that differ here are not those that differed before, so this ends.
    unsafe { sort_entries(key, entries) };
    entries.iter_mut().for_each(|entry| entry.condensed = condensed);
}
