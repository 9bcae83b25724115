//! The key beyond which no row can be among the first `n` any more.
//!
//! Memory: one key.

use std::cmp::Ordering as Order;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// A bound on the keys that are still of interest, lowered as workers see more rows.
#[derive(Default)]
pub(super) struct Cutoff {
    /// Inverted first 8 bytes of the key, so that the default is no bound.
    inverted_prefix: AtomicU64,
    /// How often the key was lowered: keys may get smaller behind their first 8 bytes.
    version: AtomicU64,
    key: Mutex<Option<Vec<u8>>>,
}

/// The bound at one moment.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    version: u64,
    prefix: u64,
    key: Vec<u8>,
}

impl Cutoff {
    /// Rows with keys beyond `key` are of no interest.
    pub(super) fn lower(&self, key: &[u8]) {
        let mut held = self.lock();
        if held.as_ref().is_none_or(|held| key < &held[..]) {
            *held = Some(key.to_vec());
            self.inverted_prefix.store(!key_prefix(key), Ordering::Relaxed);
            self.version.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The first 8 bytes of the bound; all ones without one.
    pub(super) fn prefix(&self) -> u64 {
        !self.inverted_prefix.load(Ordering::Relaxed)
    }

    /// The bound, if there is one; `known` is what the caller has from last time.
    pub(super) fn refresh(&self, known: &mut Option<Bound>) {
        let version = self.version.load(Ordering::Relaxed);
        if version == known.as_ref().map_or(0, |known| known.version) {
            return;
        }
        // A key that is even newer than its version is only copied once more.
        *known = self.lock().as_ref().map(|key| Bound { version, prefix: key_prefix(key), key: key.clone() });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.key.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Bound {
    /// Whether a row with this key is still of interest.
    pub(super) fn admits(&self, key: &[u8]) -> bool {
        match key_prefix(key).cmp(&self.prefix) {
            Order::Less => true,
            Order::Greater => false,
            Order::Equal => key <= &self.key[..],
        }
    }
}

/// The first 8 bytes of a key as a number of the same order.
pub(super) fn key_prefix(key: &[u8]) -> u64 {
    let mut prefix = [0; 8];
    let len = key.len().min(8);
    prefix[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_tightens_behind_the_first_eight_bytes() {
        let (cutoff, mut bound) = (Cutoff::default(), None);
        cutoff.refresh(&mut bound);
        assert!(bound.is_none());
        for (lowered, admitted, refused) in
            [("same key 5", "same key 5", "same key 6"), ("same key 3", "same key 3", "same key 4")]
        {
            cutoff.lower(lowered.as_bytes());
            cutoff.refresh(&mut bound);
            let admits = |key: &str| bound.as_ref().unwrap().admits(key.as_bytes());
            assert!(admits(admitted) && !admits(refused), "{lowered}");
        }
        cutoff.lower(b"same key 9");
        cutoff.refresh(&mut bound);
        assert!(!bound.unwrap().admits(b"same key 4"), "a bound is never raised");
    }
}
