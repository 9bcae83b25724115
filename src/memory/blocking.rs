//! How many blocking operators hold memory at once.
//!
//! In a chain of operators two are alive together at most: one that gives its rows away and one that takes them. Each that
//! knows of the other asks for half. Memory: one counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A blocking operator's place among those of its session, from the inputs up. Leaves when dropped.
pub struct BlockingPlace {
    all: Arc<AtomicUsize>,
    n_below: usize,
}

impl BlockingPlace {
    /// Enters above those that are there already: operators are made from the inputs up.
    pub(super) fn enter(all: &Arc<AtomicUsize>) -> Self {
        BlockingPlace { n_below: all.fetch_add(1, Ordering::Relaxed), all: all.clone() }
    }

    /// The share of `bytes` for collecting rows, which another blocking operator below may be giving away.
    pub fn share_for_input(&self, bytes: u64) -> u64 {
        if self.n_below > 0 { bytes / 2 } else { bytes }
    }

    /// The share of `bytes` for rows that stay while any other blocking operator works.
    pub fn share_beside(&self, bytes: u64) -> u64 {
        if self.all.load(Ordering::Relaxed) > 1 { bytes / 2 } else { bytes }
    }

    /// The share of `bytes` for giving rows away, which another blocking operator above may be collecting.
    pub fn share_for_output(&self, bytes: u64) -> u64 {
        if self.all.load(Ordering::Relaxed) > self.n_below + 1 { bytes / 2 } else { bytes }
    }
}

impl Drop for BlockingPlace {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
