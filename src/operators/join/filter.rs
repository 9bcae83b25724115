//! Which keys the build side has, roughly: a probe row whose key is certainly not among them need not be spilled.
//!
//! A word for each key, and four bits in it: one memory access to add and one to ask. Made when the first worker finds that
//! there are many rows, since a build side that stays in memory says so itself; all rows written to partitions are in it.
//!
//! Memory: a fixed part of the governed memory under a reservation, or nothing when that is refused. With so many keys
//! that most bits are set, it is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::NAME;
use crate::memory::{Memory, Reservation};
use crate::row::Hash;

/// The part of the governed memory that the filter takes: enough for the keys of a build side of a few times that memory.
const PART: u64 = 32;

/// When more than this share of the bits is set, most keys pass and the filter is no use.
const MOST_SET: f64 = 0.6;

/// Keys that have been added.
pub(super) struct KeyFilter {
    words: Vec<AtomicU64>,
    mask: u64,
    _memory: Reservation,
}

impl KeyFilter {
    /// An empty one, if there is memory.
    pub(super) fn new(memory: &Memory) -> Option<Arc<Self>> {
        let n_words = (memory.governed_bytes() / PART / 8).max(64).next_power_of_two() / 2;
        let mut reservation = memory.reserve(NAME);
        reservation.try_grow(n_words * 8).ok()?;
        let words = (0..n_words).map(|_| AtomicU64::new(0)).collect();
        Some(Arc::new(KeyFilter { words, mask: n_words - 1, _memory: reservation }))
    }

    /// Adds keys by their hashes; all workers may do so at once.
    pub(super) fn add(&self, hashes: &[Hash]) {
        for &hash in hashes {
            let (word, bits) = self.place(hash);
            if word.load(Ordering::Relaxed) & bits != bits {
                word.fetch_or(bits, Ordering::Relaxed);
            }
        }
    }

    /// False when the key has certainly not been added.
    #[inline(always)]
    pub(super) fn may_have(&self, hash: Hash) -> bool {
        let (word, bits) = self.place(hash);
        word.load(Ordering::Relaxed) & bits == bits
    }

    /// Whether it tells keys apart well enough to be asked.
    pub(super) fn is_useful(&self) -> bool {
        let n_set: u64 = self.words.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum();
        (n_set as f64) < self.words.len() as f64 * 64.0 * MOST_SET
    }

    /// The word of a key, by the low bits of its hash, and its bits there, by others.
    #[inline(always)]
    fn place(&self, hash: Hash) -> (&AtomicU64, u64) {
        let bits = [34, 40, 46, 52].iter().fold(0, |bits, shift| bits | 1 << ((hash >> shift) & 63));
        (&self.words[(hash & self.mask) as usize], bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_keys_pass_and_most_others_do_not() {
        let filter = KeyFilter::new(&Memory::with_governed(1 << 20, 1)).unwrap();
        let hash = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let hashes: Vec<Hash> = (0..10_000).map(hash).collect();
        filter.add(&hashes);
        assert!(hashes.iter().all(|&hash| filter.may_have(hash)));
        let n_passed = (10_000..20_000).filter(|&n| filter.may_have(hash(n))).count();
        assert!(n_passed < 1000, "{n_passed}");
        assert!(filter.is_useful());
        filter.add(&(0..200_000).map(hash).collect::<Vec<_>>());
        assert!(!filter.is_useful());
    }
}
