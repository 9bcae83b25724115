//! What is known at the start of each block of a file, handed from block to block.
//!
//! A worker that has taken block `n` waits for the worker of block `n - 1`, which publishes as soon as it has looked for
//! quotes and before it parses anything; so the wait is short, and as blocks are taken in order there is no deadlock. A
//! worker that fails lets those of later blocks go: they end quietly, and its error is the one the user sees. Earlier
//! blocks are read all the same, because their rows may be all that a LIMIT wants.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::structure::QuoteState;

/// What is known between two blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seam {
    pub(super) state: QuoteState,
    /// A record starts exactly here.
    pub(super) at_record_start: bool,
    /// Newlines before this point, when they are counted.
    pub(super) n_lines: u64,
}

/// The seams of one file.
pub(super) struct Chain {
    progress: Mutex<Progress>,
    changed: Condvar,
}

struct Progress {
    /// The block whose start `seam` describes.
    next_block: u64,
    seam: Seam,
    /// The first block whose end will never be known.
    failed: u64,
}

/// The duty to publish the end of a block.
pub(super) struct Turn<'a> {
    chain: &'a Chain,
    block: u64,
    is_done: bool,
}

impl Chain {
    /// A file whose first block starts at `seam`.
    pub(super) fn new(seam: Seam) -> Self {
        let progress = Progress { next_block: 0, seam, failed: u64::MAX };
        Chain { progress: Mutex::new(progress), changed: Condvar::new() }
    }

    /// Takes on `block`. Every block must be taken, in order.
    pub(super) fn take_turn(&self, block: u64) -> Turn<'_> {
        Turn { chain: self, block, is_done: false }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The start of this block; `None` when the worker of an earlier one failed.
    pub(super) fn wait(&self) -> Option<Seam> {
        let mut progress = self.chain.lock();
        while progress.next_block != self.block && progress.failed >= self.block {
            progress = self.chain.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        (progress.next_block == self.block).then_some(progress.seam)
    }

    /// Tells the next block where it starts.
    pub(super) fn publish(mut self, seam: Seam) {
        let mut progress = self.chain.lock();
        (progress.next_block, progress.seam) = (self.block + 1, seam);
        self.is_done = true;
        drop(progress);
        self.chain.changed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut progress = self.chain.lock();
            progress.failed = progress.failed.min(self.block);
            drop(progress);
            self.chain.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Seam = Seam { state: QuoteState::RECORD_START, at_record_start: true, n_lines: 0 };

    #[test]
    fn blocks_get_their_start_in_order_whoever_comes_first() {
        let chain = Chain::new(START);
        std::thread::scope(|scope| {
            for block in (0..20).rev() {
                let turn = chain.take_turn(block);
                scope.spawn(move || {
                    let seam = turn.wait().unwrap();
                    assert_eq!(seam.n_lines, block);
                    turn.publish(Seam { n_lines: block + 1, ..seam });
                });
            }
        });
    }

    #[test]
    fn a_failed_block_lets_the_others_go() {
        let chain = Chain::new(START);
        std::thread::scope(|scope| {
            let waiting = chain.take_turn(1);
            let handle = scope.spawn(move || waiting.wait());
            drop(chain.take_turn(0));
            assert_eq!(handle.join().unwrap(), None);
        });
    }

    #[test]
    fn blocks_before_a_failed_one_go_on() {
        let chain = Chain::new(START);
        let (first, second) = (chain.take_turn(0), chain.take_turn(1));
        drop(chain.take_turn(2));
        first.publish(START);
        assert_eq!(second.wait(), Some(START));
    }
}
