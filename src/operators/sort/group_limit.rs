//! Leaving out rows that cannot be among the first few of their group, while rows are collected.
//!
//! Each worker remembers, for the groups it has seen last, how the best keys begin. A row that comes after so many rows of
//! its own group as are wanted is dropped before it is written anywhere. What is forgotten (a slot that another group
//! takes) or not decided by the beginning of a key is kept: more rows than wanted may come out, never fewer. A run that is
//! written is cut once more, exactly.
//!
//! Memory: a table of fixed size under a reservation, for each worker; without room for it nothing is dropped here.

use super::SortState;
use super::encode::{KeyEncoder, Keys, PLACE_BYTES};
use crate::memory::{Memory, Reservation};
use crate::row::SortedRows;

/// How many first rows of each group are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimit {
    /// So many.
    pub n_rows: usize,
    /// And those that are equal to the last of them in the order.
    pub with_ties: bool,
}

/// The part of governed memory that the tables of all workers may take.
const MEMORY_PART: u64 = 16;
/// The most bytes of a table: more than that misses every cache.
const MAX_BYTES: u64 = 32 << 20;
/// With more wanted rows than this, remembering their keys costs more than sorting them.
const MAX_ROWS: usize = 64;
/// Bytes of a group, and of the key behind it, that are looked at.
const BYTES: usize = 16;

/// What one worker remembers.
pub(super) struct GroupTops {
    limit: GroupLimit,
    n_keys: usize,
    slots: Vec<Slot>,
    /// The beginnings of the best keys of each slot's group, ascending.
    best: Vec<u128>,
    _memory: Reservation,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    group: u128,
    /// Bytes of the group; 0 is an empty slot.
    n_bytes: u8,
    n_best: u8,
}

impl GroupTops {
    /// `None` when nothing can be dropped, or there is no memory for it.
    pub(super) fn new(state: &SortState, memory: &Memory, n_workers: usize) -> Option<Self> {
        let n_keys = state.spec.n_grouping_keys;
        let limit = state.group_limit.filter(|limit| (1..=MAX_ROWS).contains(&limit.n_rows))?;
        if !state.encoder.can_group_by(n_keys) {
            return None;
        }
        let slot_bytes = size_of::<Slot>() + limit.n_rows * size_of::<u128>();
        let share = (memory.governed_bytes() / MEMORY_PART / n_workers as u64).min(MAX_BYTES);
        let n_slots = (share as usize / slot_bytes).checked_ilog2().map(|bits| 1usize << bits).filter(|&n| n > 1)?;
        let mut reservation = memory.reserve(state.name);
        reservation.try_grow((n_slots * slot_bytes) as u64).ok()?;
        let (slots, best) = (vec![Slot::default(); n_slots], vec![0; n_slots * limit.n_rows]);
        Some(GroupTops { limit, n_keys, slots, best, _memory: reservation })
    }

    /// The rows that may be among the first of their group.
    pub(super) fn admit(&mut self, keys: &Keys, encoder: &KeyEncoder) -> Vec<u32> {
        let tail = if self.limit.with_ties { PLACE_BYTES + encoder.flag_bytes } else { 0 };
        let mut admitted = Vec::with_capacity(keys.len());
        for row in 0..keys.len() {
            let key = keys.key(row);
            let n_bytes = encoder.grouping_bytes(key, self.n_keys);
            let is_known = n_bytes <= BYTES && n_bytes + tail <= key.len();
            if !is_known || self.admits(&key[..n_bytes], &key[n_bytes..key.len() - tail]) {
                admitted.push(row as u32);
            }
        }
        admitted
    }

    /// The slot of a group: one of two, that of another group only when both are taken.
    fn slot_of(&self, group: u128, n_bytes: u8) -> usize {
        let hash = fold(group);
        let first = hash as usize & (self.slots.len() - 1);
        let second = first ^ 1;
        let has = |idx: usize| self.slots[idx].group == group && self.slots[idx].n_bytes == n_bytes;
        match () {
            () if has(first) => first,
            () if has(second) => second,
            () if self.slots[first].n_bytes == 0 => first,
            () if self.slots[second].n_bytes == 0 => second,
            // Another bit of the hash says which of them goes.
            () if hash >> 63 == 0 => first,
            () => second,
        }
    }

    fn admits(&mut self, group: &[u8], key: &[u8]) -> bool {
        let (n_bytes, group, key) = (group.len() as u8, beginning(group), beginning(key));
        let idx = self.slot_of(group, n_bytes);
        let n_wanted = self.limit.n_rows;
        let (slot, best) = (&mut self.slots[idx], &mut self.best[idx * n_wanted..][..n_wanted]);
        if slot.n_bytes != n_bytes || slot.group != group {
            *slot = Slot { group, n_bytes, n_best: 0 };
        }
        let n_best = slot.n_best as usize;
        if n_best == n_wanted {
            if key >= best[n_best - 1] {
                // Keys that begin alike are not told apart.
                return key == best[n_best - 1];
            }
        } else {
            slot.n_best += 1;
        }
        let mut at = n_best.min(n_wanted - 1);
        while at > 0 && best[at - 1] > key {
            best[at] = best[at - 1];
            at -= 1;
        }
        best[at] = key;
        true
    }
}

/// The first bytes as a number of the same order.
fn beginning(bytes: &[u8]) -> u128 {
    let mut first = [0; BYTES];
    let len = bytes.len().min(BYTES);
    first[..len].copy_from_slice(&bytes[..len]);
    u128::from_be_bytes(first)
}

/// A hash whose low bits depend on all bits.
fn fold(group: u128) -> u64 {
    let product = u128::from(group as u64 ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
    let mixed = (product as u64) ^ (product >> 64) as u64 ^ (group >> 64) as u64;
    let product = u128::from(mixed) * 0xA076_1D64_78BD_642F;
    (product as u64) ^ (product >> 64) as u64
}

impl SortState {
    /// Drops the rows of a run that come after the first of their group.
    pub(super) fn keep_first_of_groups(&self, rows: &mut SortedRows) {
        let n_keys = self.spec.n_grouping_keys;
        let limit = self.group_limit.filter(|limit| !limit.with_ties && self.encoder.can_group_by(n_keys));
        let (Some(limit), Some(of)) = (limit, self.rows.get()) else { return };
        let key = of.shape.key;
        let (mut group, mut n_rows) = (Vec::new(), 0);
        rows.retain(|row| {
            let (inline, _) = key.bytes(row);
            let n_bytes = self.encoder.grouping_bytes(inline, n_keys);
            // A group that goes on behind the inline part is not told from the next.
            if n_bytes >= inline.len() || group != inline[..n_bytes] {
                group.clear();
                group.extend_from_slice(&inline[..n_bytes.min(inline.len())]);
                n_rows = 0;
            }
            n_rows += 1;
            n_rows <= limit.n_rows
        });
    }
}
