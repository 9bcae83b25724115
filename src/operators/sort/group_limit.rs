//! Leaving out rows that cannot be among the first few of their group, while rows are collected.
//!
//! Each worker remembers, for the groups it has seen last, how the best keys begin. A row that comes after so many rows of
//! its own group as are wanted is dropped before it is written anywhere. What is forgotten (a slot that another group
//! takes) or not decided by the beginning of a key is kept: more rows than wanted may come out, never fewer. A run that is
//! written is cut once more, exactly.
//!
//! Memory: a table of fixed size under a reservation, for each worker; without room for it nothing is dropped here. A table
//! that drops little is given back.
//!
//! The surprising part: a table is larger than any cache, so the slots of a block of rows are fetched before the first of
//! them is looked at.

use super::SortState;
use super::encode::{KeyEncoder, Keys, PLACE_BYTES};
use crate::memory::{Memory, Reservation};
use crate::row::{SortedRows, prefetch};

/// How many first rows of each group are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimit {
    /// So many.
    pub n_rows: usize,
    /// And those that are equal to the last of them in the order.
    pub with_ties: bool,
}

/// The part of governed memory that the tables of all workers may take.
const MEMORY_PART: u64 = 6;
/// The most bytes of a table.
const MAX_BYTES: u64 = 256 << 20;
/// With more wanted rows than this, remembering their keys costs more than sorting them.
const MAX_ROWS: usize = 64;
/// Bytes of a key behind its group that are looked at.
const KEY_BYTES: usize = 16;
/// Bytes of a group that are looked at: what a slot has beside two counts.
const GROUP_BYTES: usize = 14;
/// Rows whose slots are fetched together.
const BLOCK_ROWS: usize = 64;
/// A table is given back when, after so many rows a slot, fewer than one row in [`MIN_DROPPED_PART`] was dropped.
const TRIAL_ROWS_PER_SLOT: u64 = 16;
const MIN_DROPPED_PART: u64 = 8;

/// What one worker remembers.
pub(super) struct GroupTops {
    limit: GroupLimit,
    n_keys: usize,
    n_slots: usize,
    /// Slots, one after the other: a [`Group`], then the beginnings of its best keys, ascending.
    words: Vec<u128>,
    n_seen: u64,
    n_dropped: u64,
    /// Reused for each block of rows.
    block: Vec<Seen>,
    _memory: Reservation,
}

/// The bytes of a group, how many they are, and in the last byte how many best keys there are; 0 in an empty slot.
type Group = u128;

/// What is looked at of one row.
struct Seen {
    row: u32,
    first_slot: u32,
    group: Group,
    key: u128,
}

impl GroupTops {
    /// `None` when nothing can be dropped, or there is no memory for it.
    pub(super) fn new(state: &SortState, memory: &Memory, n_workers: usize) -> Option<Self> {
        let n_keys = state.spec.n_grouping_keys;
        let limit = state.group_limit.filter(|limit| (1..=MAX_ROWS).contains(&limit.n_rows))?;
        if !state.encoder.can_group_by(n_keys) {
            return None;
        }
        let slot_bytes = (1 + limit.n_rows) * size_of::<u128>();
        let share = (memory.governed_bytes() / MEMORY_PART / n_workers as u64).min(MAX_BYTES);
        let n_slots = (share as usize / slot_bytes).checked_ilog2().map(|bits| 1usize << bits).filter(|&n| n > 1)?;
        let mut reservation = memory.reserve(state.name);
        reservation.try_grow((n_slots * slot_bytes) as u64).ok()?;
        let words = vec![0; n_slots * (1 + limit.n_rows)];
        let block = Vec::with_capacity(BLOCK_ROWS);
        Some(GroupTops { limit, n_keys, n_slots, words, n_seen: 0, n_dropped: 0, block, _memory: reservation })
    }

    /// Whether the table is not worth its memory: the groups are more than its slots, or of a row or two.
    pub(super) fn is_useless(&self) -> bool {
        self.n_seen >= TRIAL_ROWS_PER_SLOT * self.n_slots as u64 && self.n_dropped < self.n_seen / MIN_DROPPED_PART
    }

    /// The rows that may be among the first of their group.
    pub(super) fn admit(&mut self, keys: &Keys, encoder: &KeyEncoder) -> Vec<u32> {
        let mut admitted = Vec::with_capacity(keys.len());
        let mut block = std::mem::take(&mut self.block);
        for start in (0..keys.len()).step_by(BLOCK_ROWS) {
            let rows = start..keys.len().min(start + BLOCK_ROWS);
            self.look_at(rows, keys, encoder, &mut block);
            admitted.extend(block.drain(..).filter(|seen| self.admits(seen)).map(|seen| seen.row));
        }
        self.block = block;
        self.n_seen += keys.len() as u64;
        self.n_dropped += (keys.len() - admitted.len()) as u64;
        admitted
    }

    fn look_at(&self, rows: std::ops::Range<usize>, keys: &Keys, encoder: &KeyEncoder, block: &mut Vec<Seen>) {
        let tail = if self.limit.with_ties { PLACE_BYTES + encoder.flag_bytes } else { 0 };
        for row in rows {
            let key = keys.key(row);
            let n_bytes = encoder.grouping_bytes(key, self.n_keys);
            // A group of 0 is in no slot: the row is kept.
            let (mut group, mut rest) = (0, 0);
            if n_bytes <= GROUP_BYTES && n_bytes + tail <= key.len() {
                group = beginning::<GROUP_BYTES>(&key[..n_bytes]) | (1 + n_bytes as u128) << 8;
                rest = beginning::<KEY_BYTES>(&key[n_bytes..key.len() - tail]);
            }
            let first_slot = (fold(group) & (self.n_slots as u64 - 1)) as u32;
            prefetch(&raw const self.words[first_slot as usize * (1 + self.limit.n_rows)]);
            block.push(Seen { row: row as u32, first_slot, group, key: rest });
        }
    }

    /// The slot of a group: one of two, that of another group only when both are taken.
    fn slot_of(&mut self, seen: &Seen) -> &mut [u128] {
        let n_words = 1 + self.limit.n_rows;
        let (first, second) = (seen.first_slot as usize, seen.first_slot as usize ^ 1);
        let held = |idx: usize| self.words[idx * n_words] & !0xFF;
        let idx = match () {
            () if held(first) == seen.group => first,
            () if held(second) == seen.group => second,
            () if held(first) == 0 => first,
            () if held(second) == 0 => second,
            // Something that differs from row to row says which of them goes.
            () if seen.row & 1 == 0 => first,
            () => second,
        };
        &mut self.words[idx * n_words..][..n_words]
    }

    fn admits(&mut self, seen: &Seen) -> bool {
        if seen.group == 0 {
            return true;
        }
        let (n_wanted, key) = (self.limit.n_rows, seen.key);
        let Some((slot, best)) = self.slot_of(seen).split_first_mut() else { return true };
        if *slot & !0xFF != seen.group {
            *slot = seen.group;
        }
        let n_best = (*slot & 0xFF) as usize;
        if n_best == n_wanted {
            if key >= best[n_best - 1] {
                // Keys that begin alike are not told apart.
                return key == best[n_best - 1];
            }
        } else {
            *slot += 1;
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

/// The first `N` bytes, of at most 16, as a number of the same order.
fn beginning<const N: usize>(bytes: &[u8]) -> u128 {
    let mut first = [0; 16];
    let len = bytes.len().min(N);
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
