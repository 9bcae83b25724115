//! A hash table over rows on pages.
//!
//! An entry is 64 bits: a 16-bit salt from the hash and the 48-bit address of the row. Probing is linear. The rows stay
//! pinned while the table stands; [`RowTable::seal`] hands them to the pool, partition by partition, and empties it.
//! Entry arrays and salts follow Kuiper et al., "Robust External Hash Aggregation in the Solid State Age" (ICDE 2024).
//!
//! Memory: pages through their owner; entries under a reservation that covers old and new array while it doubles.

use std::marker::PhantomData;
use std::sync::Arc;

use super::hash::{Hash, hash_rows, same_key};
use super::layout::Layout;
use super::page::RowPointers;
use super::pages::{PagesWriter, SealedPages};
use super::pointer::{RowMut, RowPtr, RowRef, Rows};
use crate::error::Result;
use crate::memory::{OverBudget, PageOwner, Reservation, ZeroedWords};

const PTR_BITS: u32 = 48;
pub(super) const PTR_MASK: u64 = (1 << PTR_BITS) - 1;
const MIN_ENTRIES: usize = 1 << 12;
/// Rows of a wave: three waves of entries and rows (two lines each) fit into a first-level cache of 48 KiB.
const WAVE_ROWS: usize = 64;

/// A hash table of rows, in `2^partition_bits` partitions.
pub struct RowTable {
    layout: Arc<Layout>,
    partitions: Vec<PagesWriter>,
    /// The partition of a hash is `(hash << skip_bits) >> partition_shift`.
    skip_bits: u32,
    partition_bits: u32,
    entries: ZeroedWords,
    /// Rows with an entry.
    n_rows: usize,
    /// Rows on pinned pages, which is more after [`RowTable::append`].
    n_pinned: usize,
    /// Counts seals: places from before a seal are not valid after it.
    generation: u64,
    memory: Reservation,
    /// Places of the rows of the last piece, and which of them are new.
    located: Vec<RowPtr>,
    is_new: Vec<bool>,
    /// For each row of the piece being looked up, the entry where its search goes on.
    candidates: Vec<usize>,
}

// SAFETY: the pointers point into pages that the table owns and that move with it.
unsafe impl Send for RowTable {}

/// What a piece of rows became. Rows from `n_rows` on were refused and must be offered again.
pub struct Located {
    /// How many rows have their place, from the front.
    pub n_rows: usize,
    /// Why the next one has none.
    pub refused: Option<OverBudget>,
}

impl RowTable {
    /// An empty table. Partitions are chosen by `partition_bits` bits of the hash after skipping the top `skip_bits`.
    /// Entries are charged to `memory`, an empty reservation.
    pub fn new(
        layout: Arc<Layout>,
        owner: &Arc<PageOwner>,
        skip_bits: u32,
        partition_bits: u32,
        memory: Reservation,
    ) -> Self {
        let writer = |_| PagesWriter::new(layout.clone(), owner.clone());
        RowTable {
            partitions: (0..1usize << partition_bits).map(writer).collect(),
            layout,
            skip_bits,
            partition_bits,
            entries: ZeroedWords::empty(),
            n_rows: 0,
            n_pinned: 0,
            generation: 1,
            memory,
            located: Vec::new(),
            is_new: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Rows that can be found.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Bytes of pinned pages.
    pub fn pinned_bytes(&self) -> usize {
        self.partitions.iter().map(PagesWriter::pinned_bytes).sum()
    }

    /// Bytes of pinned pages and entries.
    pub fn held_bytes(&self) -> u64 {
        self.pinned_bytes() as u64 + self.memory.bytes()
    }

    /// Finds the row of each key or copies the row in as a new group.
    ///
    /// Rows go in waves through three steps, each a wave ahead of the next, so that cache misses overlap: the entries are
    /// fetched; the first entry whose salt fits is found and its row fetched; the keys are compared. A step may look at
    /// entries before the wave before it has entered its new rows: an entry, once taken, does not change.
    pub fn find_or_insert(&mut self, rows: Rows<'_>, hashes: &[Hash]) -> Located {
        self.located.clear();
        self.is_new.clear();
        if let Err(refused) = self.make_room(rows.len()) {
            return Located { n_rows: 0, refused: Some(refused) };
        }
        self.candidates.clear();
        let hashes = &hashes[..rows.len()];
        let (mut fetched, mut searched) = (0, 0);
        for start in (0..rows.len()).step_by(WAVE_ROWS) {
            fetched = self.fetch_entries(hashes, fetched, start + 3 * WAVE_ROWS);
            searched = self.find_candidates(hashes, searched, start + 2 * WAVE_ROWS);
            let wave = start..(start + WAVE_ROWS).min(rows.len());
            // SAFETY: `rows` are live rows of the table's layout, and entries point to rows of pinned pages.
            if let Err(refused) = unsafe { self.settle(rows, hashes, wave) } {
                return Located { n_rows: self.located.len(), refused: Some(refused) };
            }
        }
        Located { n_rows: rows.len(), refused: None }
    }

    /// Starts loading the entries of rows `from..to`; returns how far it came.
    fn fetch_entries(&self, hashes: &[Hash], from: usize, to: usize) -> usize {
        let (to, mask) = (to.min(hashes.len()), self.entries.len() - 1);
        for &hash in &hashes[from..to] {
            prefetch(&raw const self.entries[hash as usize & mask]);
        }
        to
    }

    /// Finds the first entry of rows `from..to` that is free or has the right salt, and starts loading its row; returns
    /// how far it came.
    fn find_candidates(&mut self, hashes: &[Hash], from: usize, to: usize) -> usize {
        let (to, mask) = (to.min(hashes.len()), self.entries.len() - 1);
        let last_byte = self.layout.row_bytes - 1;
        for &hash in &hashes[from..to] {
            let salt = salt_of(hash);
            let mut slot = hash as usize & mask;
            let mut entry = self.entries[slot];
            while entry != 0 && entry & !PTR_MASK != salt {
                slot = (slot + 1) & mask;
                entry = self.entries[slot];
            }
            self.candidates.push(slot);
            let row = (entry & PTR_MASK) as *const u8;
            prefetch(row);
            // Most rows of up to 64 bytes lie in two cache lines, and their states in the second.
            prefetch(row.wrapping_add(last_byte));
        }
        to
    }

    /// Compares the keys of rows `wave` with those of their candidates, and enters what is new.
    ///
    /// # Safety
    /// `rows` must be live rows of the table's layout, with `hashes`.
    unsafe fn settle(
        &mut self,
        rows: Rows<'_>,
        hashes: &[Hash],
        wave: std::ops::Range<usize>,
    ) -> Result<(), OverBudget> {
        for idx in wave {
            // SAFETY: the caller's promise.
            let (ptr, is_new) = unsafe { self.find_or_insert_one(rows.ptrs[idx], hashes[idx], self.candidates[idx])? };
            self.located.push(ptr);
            self.is_new.push(is_new);
        }
        Ok(())
    }

    /// Looks for the row's key from the entry `slot` on.
    #[inline(always)]
    unsafe fn find_or_insert_one(
        &mut self,
        row: RowPtr,
        hash: Hash,
        mut slot: usize,
    ) -> Result<(RowPtr, bool), OverBudget> {
        let salt = salt_of(hash);
        let mask = self.entries.len() - 1;
        loop {
            let entry = self.entries[slot];
            if entry == 0 {
                // SAFETY: the caller's promise.
                let ptr = unsafe { self.insert(row, hash)? };
                self.entries[slot] = salt | ptr as u64;
                self.n_rows += 1;
                return Ok((ptr, true));
            }
            if entry & !PTR_MASK == salt {
                let ptr = (entry & PTR_MASK) as RowPtr;
                // SAFETY: an entry points to a row of the table's layout on a pinned page.
                if unsafe { same_key(&self.layout, ptr, row) } {
                    return Ok((ptr, false));
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Copies every row in without looking for its key: for inputs whose keys are nearly all different.
    pub fn append(&mut self, rows: Rows<'_>, hashes: &[Hash]) -> Located {
        self.located.clear();
        self.is_new.clear();
        for (&row, &hash) in rows.ptrs.iter().zip(hashes) {
            // SAFETY: `rows` are live rows of the table's layout.
            match unsafe { self.insert(row, hash) } {
                Ok(ptr) => self.located.push(ptr),
                Err(refused) => return Located { n_rows: self.located.len(), refused: Some(refused) },
            }
        }
        self.is_new.resize(rows.len(), true);
        Located { n_rows: rows.len(), refused: None }
    }

    #[inline(always)]
    unsafe fn insert(&mut self, row: RowPtr, hash: Hash) -> Result<RowPtr, OverBudget> {
        let partition = self.partition_of(hash);
        // SAFETY: the caller passes a live row of the table's layout.
        let ptr = unsafe { self.partitions[partition].push(row)? };
        self.n_pinned += 1;
        Ok(ptr)
    }

    #[inline(always)]
    fn partition_of(&self, hash: Hash) -> usize {
        if self.partition_bits == 0 { 0 } else { ((hash << self.skip_bits) >> (64 - self.partition_bits)) as usize }
    }

    /// Makes the rows located last those of `places`, which came from [`RowTable::located`] of this table since it was
    /// last sealed.
    pub(super) fn relocate(&mut self, places: impl Iterator<Item = RowPtr>) {
        self.located.clear();
        self.located.extend(places);
    }

    /// Lets the one row located last stand for `n` rows.
    pub fn repeat_located(&mut self, n: usize) {
        if let Some(&only) = self.located.first() {
            self.located.clear();
            self.located.resize(n, only);
        }
    }

    /// The rows located last, for changing their states.
    pub fn for_each_located(&mut self, mut change: impl FnMut(usize, RowMut<'_>)) {
        for (idx, &ptr) in self.located.iter().enumerate() {
            change(idx, RowMut { ptr, page: PhantomData });
        }
    }

    /// The rows located last, each with its value; there are as many values.
    #[inline(always)]
    pub fn for_each_with<T: Copy>(&mut self, values: &[T], mut change: impl FnMut(RowMut<'_>, T)) {
        for (&ptr, &value) in self.located.iter().zip(values) {
            change(RowMut { ptr, page: PhantomData }, value);
        }
    }

    /// Like [`RowTable::for_each_located`], but only rows that were there before, beside their namesakes in `rows`: the
    /// rows that were offered.
    pub fn for_each_found(&mut self, rows: Rows<'_>, mut change: impl FnMut(RowMut<'_>, RowRef<'_>)) {
        let offered = self.located.iter().zip(&self.is_new).zip(rows.ptrs);
        for ((&ptr, _), &row) in offered.filter(|((_, is_new), _)| !**is_new) {
            change(RowMut { ptr, page: PhantomData }, RowRef { ptr: row, page: PhantomData });
        }
    }

    /// How many rows were located last.
    pub fn n_located(&self) -> usize {
        self.located.len()
    }

    /// How many of the rows located last are new.
    pub fn n_new(&self) -> usize {
        self.is_new.iter().filter(|&&is_new| is_new).count()
    }

    /// How many of the rows located last are the one before them.
    pub fn n_repeated(&self) -> usize {
        self.located.windows(2).filter(|pair| pair[0] == pair[1]).count()
    }

    /// Which of the rows located last are new.
    pub fn is_new(&self) -> &[bool] {
        &self.is_new
    }

    /// Whether all rows located last are the same row, which is then changed once for all.
    pub fn located_one(&mut self) -> Option<RowMut<'_>> {
        let (&first, rest) = self.located.split_first()?;
        rest.iter().all(|&ptr| ptr == first).then_some(RowMut { ptr: first, page: PhantomData })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the rows located last are.
    pub(super) fn located(&self) -> &[RowPtr] {
        &self.located
    }

    /// All rows, partition by partition.
    pub fn rows<'a>(&'a self, partition: usize, ptrs: &'a mut RowPointers) -> Rows<'a> {
        self.partitions[partition].rows(ptrs)
    }

    /// Number of partitions.
    pub fn n_partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Takes all pinned pages out, partition by partition, and empties the table.
    pub fn take_pages(&mut self) -> Vec<Vec<super::RowPage>> {
        self.forget();
        self.n_pinned = 0;
        self.partitions.iter_mut().map(PagesWriter::take_pages).collect()
    }

    /// Unpins the pages that are full and forgets the keys entered so far, so this is for [`RowTable::append`]; partition
    /// `p` goes to `into[p]`.
    ///
    /// # Errors
    /// As [`super::RowPage::unpin`].
    pub fn unpin_full(&mut self, into: &mut [SealedPages]) -> Result<()> {
        self.forget();
        for (idx, (writer, sealed)) in self.partitions.iter_mut().zip(into).enumerate() {
            writer.unpin_full(idx as u32, idx as u32, sealed)?;
        }
        self.n_pinned = self.partitions.iter().map(PagesWriter::n_rows).sum();
        Ok(())
    }

    /// As [`RowTable::unpin_full`], and goes on with entries for `n_groups`, if there is memory for them, however many were
    /// forgotten.
    ///
    /// # Errors
    /// As [`super::RowPage::unpin`].
    pub fn forget_groups(&mut self, n_groups: usize, into: &mut [SealedPages]) -> Result<()> {
        self.unpin_full(into)?;
        let len = (n_groups * 3 / 2).next_power_of_two().max(MIN_ENTRIES);
        if self.entries.len() != len {
            self.drop_entries();
            let bytes = len as u64 * 8;
            if self.memory.try_grow(bytes).is_ok() {
                match ZeroedWords::new(len) {
                    Some(entries) => self.entries = entries,
                    None => self.memory.shrink(bytes),
                }
            }
        }
        Ok(())
    }

    /// Unpins all pages and empties the table. Partition `p` goes to `into[p]`; the partition that will be processed last
    /// is evicted first.
    ///
    /// # Errors
    /// As [`super::RowPage::unpin`].
    pub fn seal(&mut self, into: &mut [SealedPages]) -> Result<()> {
        self.forget();
        for (idx, (writer, sealed)) in self.partitions.iter_mut().zip(into).enumerate() {
            writer.seal(idx as u32, idx as u32, sealed)?;
        }
        self.n_pinned = 0;
        Ok(())
    }

    /// Drops every place that points into pages about to be unpinned.
    fn forget(&mut self) {
        self.located.clear();
        self.is_new.clear();
        if self.n_rows > 0 {
            self.entries.fill(0);
            self.n_rows = 0;
        }
        self.generation += 1;
    }

    /// Gives the entries back and forgets the keys.
    pub fn drop_entries(&mut self) {
        self.forget();
        self.entries = ZeroedWords::empty();
        self.memory.shrink(self.memory.bytes());
    }

    /// Grows the entries until `more` rows fit at a fill of at most two thirds. Rows that were forgotten and are still
    /// pinned are then entered again: the table need not know them, but may.
    fn make_room(&mut self, more: usize) -> Result<(), OverBudget> {
        let n_entries = |n_rows: usize| (n_rows + more) * 3 / 2;
        if n_entries(self.n_rows) <= self.entries.len() {
            return Ok(());
        }
        let len = n_entries(self.n_pinned).next_power_of_two().max(MIN_ENTRIES);
        let (old_bytes, new_bytes) = (self.entries.len() as u64 * 8, len as u64 * 8);
        self.memory.try_grow(new_bytes)?;
        let Some(mut entries) = ZeroedWords::new(len) else {
            self.memory.shrink(new_bytes);
            return Err(self.memory.memory().refuse("Aggregate", new_bytes));
        };
        self.n_rows = self.refill(&mut entries);
        self.entries = entries;
        self.memory.shrink(old_bytes);
        Ok(())
    }

    /// Enters every pinned row anew; hashes are computed again from the rows. Returns how many there are.
    fn refill(&self, entries: &mut [u64]) -> usize {
        let mask = entries.len() - 1;
        let mut ptrs = RowPointers::default();
        let mut hashes = Vec::new();
        for writer in &self.partitions {
            for page in writer.pages() {
                let rows = page.rows(&mut ptrs);
                hash_rows(&self.layout, rows, &mut hashes);
                for (&row, &hash) in rows.ptrs.iter().zip(&hashes) {
                    let mut slot = hash as usize & mask;
                    while entries[slot] != 0 {
                        slot = (slot + 1) & mask;
                    }
                    entries[slot] = salt_of(hash) | row as u64;
                }
            }
        }
        self.n_pinned
    }
}

/// The salt of a hash, in the top 16 bits; taken from bits that choose neither the slot nor the partition.
#[inline(always)]
pub(super) fn salt_of(hash: Hash) -> u64 {
    (hash >> 32) << PTR_BITS
}

/// Fetches the cache line at `address` ahead of its use.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; any address is allowed, mapped or not.
    unsafe {
        std::arch::x86_64::_mm_prefetch(address.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
