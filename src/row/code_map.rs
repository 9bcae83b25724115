//! From small key codes straight to rows, for keys with few values: no hashing, no comparing.
//!
//! Memory: 8 bytes a code; whoever allows more than [`CodeMap::FEW_CODES`] of them reserves them.

use std::marker::PhantomData;

use super::pointer::{RowMut, RowPtr};
use super::table::RowTable;

/// Remembers the row of each code for as long as a table is not sealed.
#[derive(Default)]
pub struct CodeMap {
    rows: Vec<RowPtr>,
    generation: u64,
}

// SAFETY: the pointers are only handed back to the table they came from, and only while it is in the same generation.
unsafe impl Send for CodeMap {}

/// The rows of codes that are known, for changing their states.
pub struct CodedGroups<'a> {
    rows: &'a [RowPtr],
    table: PhantomData<&'a mut RowTable>,
}

impl CodedGroups<'_> {
    /// The row of every code that `counts` says occurs, with its count.
    pub fn for_each(&mut self, counts: &[u32], mut change: impl FnMut(usize, u32, RowMut<'_>)) {
        for (code, (&count, &ptr)) in counts.iter().zip(self.rows).enumerate() {
            debug_assert!(count == 0 || !ptr.is_null(), "a code that occurs has a row");
            if count > 0 && !ptr.is_null() {
                change(code, count, RowMut { ptr, page: PhantomData });
            }
        }
    }
}

impl CodeMap {
    /// So many codes need no reservation. 512 KiB of pointers stay in the second-level cache.
    pub const FEW_CODES: usize = 1 << 16;

    /// Forgets everything and takes codes below `n_codes`.
    pub fn reset(&mut self, n_codes: usize) {
        self.rows.clear();
        if self.rows.capacity() < n_codes || self.rows.capacity() > 2 * n_codes {
            // The old memory goes before the new comes.
            self.rows = Vec::new();
            self.rows.reserve_exact(n_codes);
        }
        self.rows.resize(n_codes, std::ptr::null_mut());
    }

    /// Bytes of so many codes.
    pub fn bytes_for(n_codes: usize) -> u64 {
        (n_codes * size_of::<RowPtr>()) as u64
    }

    /// Collects the positions of codes that have no row yet, each code once.
    pub fn missing(&mut self, table: &RowTable, codes: &[u32], positions: &mut Vec<u32>) {
        positions.clear();
        if self.generation != table.generation() {
            self.generation = table.generation();
            self.rows.fill(std::ptr::null_mut());
        }
        let absent = codes.iter().any(|&code| self.rows[code as usize].is_null());
        if !absent {
            return;
        }
        // A code that was met is marked by a dangling pointer until it is learnt.
        let marked = std::ptr::dangling_mut();
        for (position, &code) in codes.iter().enumerate() {
            let row = &mut self.rows[code as usize];
            if row.is_null() {
                *row = marked;
                positions.push(position as u32);
            }
        }
        for &position in positions.iter() {
            self.rows[codes[position as usize] as usize] = std::ptr::null_mut();
        }
    }

    /// Takes over the rows that `table` located last: row `i` belongs to `codes[positions[i]]`.
    pub fn learn(&mut self, table: &RowTable, codes: &[u32], positions: &[u32]) {
        for (&position, &row) in positions.iter().zip(table.located()) {
            self.rows[codes[position as usize] as usize] = row;
        }
    }

    /// The groups of all codes, none of which is missing; `None` when the table was sealed since the codes were looked up.
    pub fn groups<'a>(&'a self, table: &'a mut RowTable) -> Option<CodedGroups<'a>> {
        (self.generation == table.generation()).then_some(CodedGroups { rows: &self.rows, table: PhantomData })
    }

    /// Lets `table` locate the rows of `codes`, none of which is missing. False, with nothing done, when the table was
    /// sealed since the codes were looked up: their rows have left memory.
    #[must_use]
    pub fn locate(&self, table: &mut RowTable, codes: &[u32]) -> bool {
        let is_current = self.generation == table.generation();
        if is_current {
            table.relocate(codes.iter().map(|&code| self.rows[code as usize]));
        }
        is_current
    }
}
