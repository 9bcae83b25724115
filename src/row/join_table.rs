//! A hash table that says which build rows have the key of a probe row.
//!
//! An entry is 64 bits: a 16-bit salt from the hash and the 48-bit address of the first row with a key; rows with the same
//! key are chained through a word in the row, whose top bit says whether the row has been matched. All workers may enter
//! rows at once, by compare and swap; a finished table is only read, except for the bits.
//!
//! Memory: the pinned pages that it is made over, and its entries under a reservation.
//! The surprising part: a chain has exactly the rows of one key, so only its first row is ever compared, and a key that
//! a million rows have costs one comparison a probe row.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hash::{Hash, hash_rows, same_key};
use super::layout::{Layout, StateOffset};
use super::page::{RowPage, RowPointers, row_heap_bytes};
use super::pointer::{RowPtr, Rows};
use super::table::{PTR_MASK, prefetch, salt_of};
use crate::error::{Error, Result};
use crate::memory::{Reservation, ZeroedWords};

const MIN_ENTRIES: usize = 64;

/// Rows that are left out before whoever asks for pairs has a chance to stop.
const MOST_SKIPPED: usize = 1 << 16;

/// The bit of a link that says that the row has been matched.
const MATCHED: u64 = 1 << 63;

/// Rows of pinned pages, found by key.
pub struct JoinTable {
    layout: Arc<Layout>,
    link: StateOffset<u64>,
    pages: Vec<RowPage>,
    /// Accessed through `first_entry` only; here to be freed.
    _entries: ZeroedWords,
    first_entry: *const AtomicU64,
    mask: usize,
    /// A row whose fields are all NULL, for probe rows without a match.
    null_row: Box<[u64]>,
    /// Whether any row may have heap bytes.
    has_heap: bool,
    /// Tells tables apart, so that places found in one are never looked at through another.
    id: u64,
    memory: Reservation,
}

// SAFETY: the pointers point into memory that the table owns; links and entries are only accessed as atomics.
unsafe impl Send for JoinTable {}
// SAFETY: as above.
unsafe impl Sync for JoinTable {}

/// The build rows that match the rows of one probe piece: first the chains, then pair by pair.
#[derive(Default)]
pub struct Matches {
    table: u64,
    /// For each probe row the next build row of its chain, or null.
    heads: Vec<RowPtr>,
    /// The probe row that is next.
    at: usize,
    /// The pairs handed out last.
    probe: Vec<u32>,
    build: Vec<RowPtr>,
    n_repeats: u64,
}

// SAFETY: the pointers are only followed together with the table they came from.
unsafe impl Send for Matches {}

/// How many pairs are handed out at once.
#[derive(Clone, Copy)]
pub struct PairBounds<'a> {
    /// Pairs at most.
    pub max_rows: usize,
    /// No further pair once they have so many bytes.
    pub max_bytes: usize,
    /// Bytes of each probe row; empty when they are not worth counting.
    pub probe_bytes: &'a [u32],
    /// Pairs of one probe row at most; what is left of its chain is for the next round.
    pub max_of_row: usize,
    /// Whether build rows that have been matched are left out.
    pub only_unmatched: bool,
    /// Whether pairs are counted whose key several rows of both sides have; the bit for matched rows tells. Every pair
    /// must be one of the result.
    pub counts_repeats: bool,
}

impl JoinTable {
    /// Bytes of entries for so many rows.
    pub fn entry_bytes(n_rows: usize) -> u64 {
        if n_rows == 0 { 0 } else { ((n_rows + n_rows / 2).next_power_of_two().max(MIN_ENTRIES) * 8) as u64 }
    }

    /// A table over `pages` of `layout`, whose rows are still to be entered; `link` is a state of theirs. The entries are
    /// charged to `memory`, an empty reservation.
    ///
    /// # Errors
    /// When there is no memory for the entries; the pages come back.
    pub fn new(
        layout: Arc<Layout>,
        link: StateOffset<u64>,
        pages: Vec<RowPage>,
        mut memory: Reservation,
    ) -> Result<Self, (Vec<RowPage>, Error)> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let bytes = Self::entry_bytes(pages.iter().map(RowPage::n_rows).sum());
        if let Err(refused) = memory.try_grow(bytes) {
            return Err((pages, refused.into()));
        }
        let len = (bytes as usize / 8).max(1);
        let Some(mut entries) = ZeroedWords::new(len) else {
            let refused = memory.memory().refuse("Join", bytes);
            return Err((pages, refused.into()));
        };
        Ok(JoinTable {
            first_entry: entries.as_mut_ptr().cast_const().cast(),
            mask: len - 1,
            _entries: entries,
            null_row: vec![0; layout.row_bytes / 8].into(),
            has_heap: layout.has_heap() && pages.iter().any(RowPage::has_heap),
            layout,
            link,
            pages,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            memory,
        })
    }

    /// Enters the rows of one page. Each page is entered once, by any worker, before anything is looked up.
    pub fn enter_page(&self, page_idx: usize, ptrs: &mut RowPointers, hashes: &mut Vec<Hash>) {
        const PIECE_ROWS: usize = 2048;
        let rows = self.pages[page_idx].rows(ptrs);
        for start in (0..rows.len()).step_by(PIECE_ROWS) {
            let piece = rows.slice(start, PIECE_ROWS.min(rows.len() - start));
            hash_rows(&self.layout, piece, hashes);
            hashes.iter().for_each(|&hash| self.prefetch_entry(hash));
            for (&row, &hash) in piece.ptrs.iter().zip(hashes.iter()) {
                // SAFETY: these are rows of the table's layout on its own pages.
                unsafe { self.enter(row, hash) };
            }
        }
    }

    #[inline(always)]
    unsafe fn enter(&self, row: RowPtr, hash: Hash) {
        let salt = salt_of(hash);
        let entry_of_row = salt | row as u64;
        let mut slot = hash as usize & self.mask;
        loop {
            let entry = self.entry(slot).load(Ordering::Acquire);
            let next = (entry & PTR_MASK) as RowPtr;
            // SAFETY: entries point to rows of the table's layout on its own pages.
            let is_own = entry == 0 || (entry & !PTR_MASK == salt && unsafe { same_key(&self.layout, next, row) });
            if !is_own {
                slot = (slot + 1) & self.mask;
                continue;
            }
            // SAFETY: the row has a link, and no other worker enters it.
            let link = unsafe { self.link_of(row) };
            link.store(link.load(Ordering::Relaxed) & MATCHED | next as u64, Ordering::Relaxed);
            let swapped = self.entry(slot).compare_exchange(entry, entry_of_row, Ordering::AcqRel, Ordering::Acquire);
            if swapped.is_ok() {
                return;
            }
        }
    }

    /// Adds the chains of `rows`, which have the same key fields, to `matches`.
    pub fn look_up(&self, rows: Rows<'_>, hashes: &[Hash], matches: &mut Matches) {
        debug_assert_eq!(matches.table, self.id);
        if self.pages.is_empty() {
            matches.heads.resize(matches.heads.len() + rows.len(), std::ptr::null_mut());
            return;
        }
        hashes.iter().for_each(|&hash| self.prefetch_entry(hash));
        for &hash in hashes {
            let entry = self.entry(hash as usize & self.mask).load(Ordering::Relaxed);
            let row = (entry & PTR_MASK) as *const u8;
            prefetch(row);
            prefetch(row.wrapping_add(self.layout.row_bytes - 1));
        }
        // SAFETY: the caller's rows have the key fields of this layout.
        let heads = rows.ptrs.iter().zip(hashes).map(|(&row, &hash)| unsafe { self.find(row, hash) });
        matches.heads.extend(heads);
    }

    #[inline(always)]
    unsafe fn find(&self, row: RowPtr, hash: Hash) -> RowPtr {
        let salt = salt_of(hash);
        let mut slot = hash as usize & self.mask;
        loop {
            let entry = self.entry(slot).load(Ordering::Relaxed);
            if entry == 0 {
                return std::ptr::null_mut();
            }
            let head = (entry & PTR_MASK) as RowPtr;
            // SAFETY: entries point to rows of the table's layout; the caller's row has its key fields.
            if entry & !PTR_MASK == salt && unsafe { same_key(&self.layout, head, row) } {
                return head;
            }
            slot = (slot + 1) & self.mask;
        }
    }

    #[inline(always)]
    fn entry(&self, slot: usize) -> &AtomicU64 {
        debug_assert!(slot <= self.mask);
        // SAFETY: there are `mask + 1` entries, which live as long as the table and are only accessed as atomics.
        unsafe { &*self.first_entry.add(slot) }
    }

    #[inline(always)]
    fn prefetch_entry(&self, hash: Hash) {
        prefetch(self.first_entry.wrapping_add(hash as usize & self.mask));
    }

    /// # Safety
    /// `row` must be a row of the table.
    #[inline(always)]
    unsafe fn link_of(&self, row: RowPtr) -> &AtomicU64 {
        // SAFETY: the layout that made `link` checked bounds and alignment; links are only accessed as atomics.
        unsafe { &*row.add(self.link.offset).cast() }
    }

    /// # Safety
    /// As [`JoinTable::link_of`].
    #[inline(always)]
    unsafe fn next_of(&self, row: RowPtr) -> RowPtr {
        // SAFETY: the caller's promise.
        (unsafe { self.link_of(row) }.load(Ordering::Relaxed) & PTR_MASK) as RowPtr
    }

    /// # Safety
    /// As [`JoinTable::link_of`].
    #[inline(always)]
    unsafe fn is_matched(&self, row: RowPtr) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.link_of(row) }.load(Ordering::Relaxed) & MATCHED != 0
    }

    /// Whether a row of a chain of several has been in a pair before. Rows that are alone in their chain are left alone.
    ///
    /// # Safety
    /// As [`JoinTable::link_of`].
    #[inline(always)]
    unsafe fn is_repeat(&self, row: RowPtr, is_first: bool) -> bool {
        // SAFETY: the caller's promise.
        let link = unsafe { self.link_of(row) };
        let before = link.load(Ordering::Relaxed);
        if is_first && before & PTR_MASK == 0 {
            return false;
        }
        before & MATCHED != 0 || link.fetch_or(MATCHED, Ordering::Relaxed) & MATCHED != 0
    }

    fn null_row(&self) -> RowPtr {
        self.null_row.as_ptr().cast_mut().cast()
    }

    /// Rows on all pages.
    pub fn n_rows(&self) -> usize {
        self.pages.iter().map(RowPage::n_rows).sum()
    }

    /// Bytes of pages and entries.
    pub fn bytes(&self) -> u64 {
        self.pages.iter().map(|page| page.len() as u64).sum::<u64>() + self.memory.bytes()
    }

    /// Pages.
    pub fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// The rows of one page.
    pub fn rows_of_page<'a>(&'a self, page_idx: usize, ptrs: &'a mut RowPointers) -> Rows<'a> {
        self.pages[page_idx].rows(ptrs)
    }

    /// For each of `rows`, which are the table's own, whether it has been matched.
    pub fn are_matched(&self, rows: Rows<'_>) -> Vec<bool> {
        matched_bits(rows, self.link)
    }
}

/// For each of `rows` whether the bit for matched rows is set in its `link`.
pub fn matched_bits(rows: Rows<'_>, link: StateOffset<u64>) -> Vec<bool> {
    // SAFETY: the layout that made `link` checked bounds and alignment.
    let link_of = |row: RowPtr| unsafe { &*row.add(link.offset).cast::<AtomicU64>() };
    rows.ptrs.iter().map(|&row| link_of(row).load(Ordering::Relaxed) & MATCHED != 0).collect()
}

/// Sets the bit for matched rows in the `link` of those of `rows` that have matched.
pub fn set_matched_bits(rows: Rows<'_>, link: StateOffset<u64>, matched: &[bool]) {
    for (&row, _) in rows.ptrs.iter().zip(matched).filter(|(_, matched)| **matched) {
        // SAFETY: the layout that made `link` checked bounds and alignment; links are only accessed as atomics.
        unsafe { &*row.add(link.offset).cast::<AtomicU64>() }.fetch_or(MATCHED, Ordering::Relaxed);
    }
}

impl Matches {
    /// Starts a new piece, whose rows will be looked up in `table`.
    pub fn begin(&mut self, table: &JoinTable) {
        self.table = table.id;
        self.heads.clear();
        self.at = 0;
        self.probe.clear();
        self.build.clear();
    }

    /// Whether the probe row has a chain that has not been followed yet.
    pub fn has_chain(&self, probe_idx: usize) -> bool {
        !self.heads[probe_idx].is_null()
    }

    /// For each probe row whether it has a chain, before any pair was taken.
    pub fn found(&self) -> Vec<bool> {
        self.heads.iter().map(|head| !head.is_null()).collect()
    }

    /// Forgets the chain of a probe row.
    pub fn forget(&mut self, probe_idx: usize) {
        self.heads[probe_idx] = std::ptr::null_mut();
    }

    /// Takes the next pairs; false when there are none, while none may have been found yet. With `outer` a probe row without a chain is paired with NULLs.
    pub fn next_pairs(&mut self, table: &JoinTable, bounds: &PairBounds<'_>, outer: bool) -> bool {
        assert_eq!(self.table, table.id, "pairs are taken from the table they were looked up in");
        self.probe.clear();
        self.build.clear();
        let (mut bytes, mut n_skipped) = (0, 0);
        while self.at < self.heads.len() {
            let mut row = self.heads[self.at];
            if row.is_null() && outer {
                row = table.null_row();
            }
            let mut n_left = bounds.max_of_row;
            let mut is_first = true;
            while !row.is_null() {
                if self.probe.len() >= bounds.max_rows || bytes >= bounds.max_bytes {
                    self.heads[self.at] = row;
                    return true;
                }
                // SAFETY: chains lead through rows of the table.
                if bounds.only_unmatched && unsafe { table.is_matched(row) } {
                    // SAFETY: as above.
                    row = unsafe { table.next_of(row) };
                    n_skipped += 1;
                    if n_skipped == MOST_SKIPPED {
                        self.heads[self.at] = row;
                        return true;
                    }
                    continue;
                }
                if n_left == 0 {
                    break;
                }
                n_left -= 1;
                if bounds.counts_repeats {
                    // SAFETY: as above, or the row is the table's NULL row, which has the link of a last row.
                    self.n_repeats += u64::from(unsafe { table.is_repeat(row, is_first) });
                    is_first = false;
                }
                self.probe.push(self.at as u32);
                self.build.push(row);
                // SAFETY: chains lead through rows of the table, and its NULL row has the link of a last row.
                unsafe {
                    bytes += table.layout.row_bytes;
                    if table.has_heap {
                        bytes += row_heap_bytes(&table.layout, row);
                    }
                    row = table.next_of(row);
                }
                bytes += bounds.probe_bytes.get(self.at).map_or(0, |&bytes| bytes as usize);
            }
            self.heads[self.at] = row;
            self.at += 1;
        }
        !self.probe.is_empty()
    }

    /// Begins another round over what is left of the chains; false when nothing is.
    pub fn next_round(&mut self) -> bool {
        self.at = 0;
        self.heads.iter().any(|head| !head.is_null())
    }

    /// Pairs counted since the last call whose build row had been in a pair with another probe row, among build rows of
    /// one key.
    pub fn take_repeats(&mut self) -> u64 {
        std::mem::take(&mut self.n_repeats)
    }

    /// The probe rows of the pairs taken last, ascending.
    pub fn probe_idxs(&self) -> &[u32] {
        &self.probe
    }

    /// The build rows of the pairs taken last.
    pub fn build_rows<'a>(&'a self, table: &'a JoinTable) -> Rows<'a> {
        assert_eq!(self.table, table.id, "rows are read from the table they were looked up in");
        // SAFETY: the rows lie on pages of the table; only their links change, and only as atomics.
        unsafe { Rows::new(&self.build) }
    }

    /// Keeps the pairs for which `is_kept` says so.
    pub fn keep(&mut self, is_kept: impl Fn(usize) -> bool) {
        let mut n_kept = 0;
        for idx in 0..self.probe.len() {
            if is_kept(idx) {
                self.probe[n_kept] = self.probe[idx];
                self.build[n_kept] = self.build[idx];
                n_kept += 1;
            }
        }
        self.probe.truncate(n_kept);
        self.build.truncate(n_kept);
    }

    /// Notes that the build rows of the pairs taken last have been matched.
    pub fn mark_pairs(&self, table: &JoinTable) {
        assert_eq!(self.table, table.id, "rows are marked in the table they were looked up in");
        for &row in self.build.iter().filter(|&&row| row != table.null_row()) {
            // SAFETY: a row of the table.
            let link = unsafe { table.link_of(row) };
            if link.load(Ordering::Relaxed) & MATCHED == 0 {
                link.fetch_or(MATCHED, Ordering::Relaxed);
            }
        }
    }

    /// Notes that all rows of all chains have been matched. A chain whose first row has been is left alone: whoever
    /// marked that one marks the others.
    pub fn mark_chains(&mut self, table: &JoinTable) {
        assert_eq!(self.table, table.id, "rows are marked in the table they were looked up in");
        for head in &mut self.heads {
            let mut row = std::mem::replace(head, std::ptr::null_mut());
            while !row.is_null() {
                // SAFETY: chains lead through rows of the table.
                let before = unsafe { table.link_of(row) }.fetch_or(MATCHED, Ordering::Relaxed);
                if before & MATCHED != 0 {
                    break;
                }
                row = (before & PTR_MASK) as RowPtr;
            }
        }
    }
}
