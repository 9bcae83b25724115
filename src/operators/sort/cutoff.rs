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
    key: Mutex<Option<Vec<u8>>>,
}

/// The bound at one moment.
#[derive(Debug, Clone)]
pub(super) struct Bound {
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
        }
    }

    /// The first 8 bytes of the bound; all ones without one.
    pub(super) fn prefix(&self) -> u64 {
        !self.inverted_prefix.load(Ordering::Relaxed)
    }

    /// The bound, if there is one; `known` is what the caller has from last time.
    pub(super) fn refresh(&self, known: &mut Option<Bound>) {
        let prefix = self.prefix();
        if prefix == u64::MAX || known.as_ref().is_some_and(|known| known.prefix == prefix) {
            return;
        }
        *known = self.lock().as_ref().map(|key| Bound { prefix: key_prefix(key), key: key.clone() });
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
