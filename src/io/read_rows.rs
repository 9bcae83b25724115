//! How many rows a scan has read before any filter, and whether these are all that its files have.
//!
//! Files of text do not say how many rows they have; a scan that came to the end of every block knows. One that was
//! stopped early, by a LIMIT or because nothing more was wanted, does not.
//!
//! Memory: three words.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The rows of a scan, counted by all of its workers.
#[derive(Default)]
pub(crate) struct ReadRows {
    n_rows: AtomicU64,
    /// Blocks that a worker has taken and not read to their end.
    n_open: AtomicU64,
    /// Whether a worker asked for a block and there was none.
    at_end: AtomicBool,
}

impl ReadRows {
    /// A worker has asked for a block.
    pub(crate) fn take_block(&self, is_there: bool) {
        if is_there {
            self.n_open.fetch_add(1, Ordering::Relaxed);
        } else {
            self.at_end.store(true, Ordering::Relaxed);
        }
    }

    /// Rows of a block were read, and perhaps all of them.
    pub(crate) fn add(&self, n_rows: usize, ends_block: bool) {
        self.n_rows.fetch_add(n_rows as u64, Ordering::Relaxed);
        if ends_block {
            self.n_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The rows of all blocks, once all have been read.
    pub(crate) fn all(&self) -> Option<u64> {
        let is_done = self.at_end.load(Ordering::Relaxed) && self.n_open.load(Ordering::Relaxed) == 0;
        is_done.then(|| self.n_rows.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_are_known_when_every_block_was_read_to_its_end() {
        let rows = ReadRows::default();
        rows.take_block(true);
        rows.take_block(true);
        rows.add(10, true);
        rows.add(5, false);
        assert_eq!(rows.all(), None);
        rows.take_block(false);
        assert_eq!(rows.all(), None, "one block is being read");
        rows.add(2, true);
        assert_eq!(rows.all(), Some(17));
    }
}
