//! Memory for the results of some rows: strings and lists, of which one may be repeated in every row.
//!
//! Memory: what it reserves, which is twice the results, because they are collected before they become an array.

use crate::error::{Error, Result};
use crate::exec::QueryContext;
use crate::memory::Reservation;

/// Reserved at once at least, if there is so much.
const STEP_BYTES: u64 = 64 << 10;
/// What the offsets of an array can count.
const MAX_BYTES: u64 = i32::MAX as u64;

/// See the module.
pub(super) struct ResultMemory {
    memory: Reservation,
    bytes: u64,
}

impl ResultMemory {
    pub(super) fn new(cx: &QueryContext) -> Self {
        ResultMemory { memory: cx.memory.reserve("Window"), bytes: 0 }
    }

    /// The results before were handed on.
    pub(super) fn start(&mut self) {
        self.bytes = 0;
        self.memory.shrink(self.memory.bytes());
    }

    /// Reserves what another result takes.
    ///
    /// # Errors
    /// When they do not fit into memory or an array.
    pub(super) fn add(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > MAX_BYTES {
            return Err(Error::query("the results of a window function for a few rows take more than 2 GiB")
                .with_hint("shorten its argument, for example with left(..)"));
        }
        let missing = (2 * self.bytes).saturating_sub(self.memory.bytes());
        if missing > 0 && self.memory.try_grow(missing.max(STEP_BYTES)).is_err() {
            self.memory.try_grow(missing)?;
        }
        Ok(())
    }

    /// The results are an array and nothing else any more.
    pub(super) fn finish(&mut self) {
        self.memory.shrink(self.memory.bytes().saturating_sub(self.bytes));
    }
}
