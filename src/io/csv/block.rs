//! Whole records in a buffer.
//!
//! Memory: a [`BlockBuffer`] is reserved before it grows; one that held a row longer than a block gives that back.

use std::path::PathBuf;
use std::sync::Arc;

use memchr::memchr_iter;

use super::stream::{Access, count_lines};
use super::structure::{CHUNK, Dialect, QuoteState};
use crate::error::{Error, Result};
use crate::io::stdin;
use crate::memory::{Memory, Reservation};

/// Bytes read beyond a block, for the rest of its last record. Longer records take another read.
pub(super) const OVERLAP: usize = 4 * 1024;

/// Which field of a file is which column of the table.
pub(super) struct Layout {
    pub(super) path: PathBuf,
    /// Whether the file was looked at for the types.
    pub(super) was_looked_at: bool,
    pub(super) n_fields: usize,
    /// One entry a column of the table.
    pub(super) fields: Vec<Option<usize>>,
}

/// Whole records in a [`BlockBuffer`].
pub(super) struct Block {
    pub(super) layout: Arc<Layout>,
    pub(super) morsel: u64,
    /// The file's place in the table and the block's in the file: the same in every scan.
    pub(super) place: (usize, u64),
    /// The records are `buffer[begin..end]`; the last byte is a newline.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Where `buffer[0]` stands in the file's text.
    pub(super) offset: u64,
    /// Newlines in the file before `begin`, when they are counted.
    pub(super) n_lines: u64,
    pub(super) has_quotes: bool,
    /// What is wrong with the text behind `end`; the rows before it count all the same.
    pub(super) failure: Option<Error>,
}

impl Block {
    /// The line of a place in the buffer, whose text is `data`. Reads the file again up to there, unless it is a stream:
    /// there lines are counted on the way.
    pub(super) fn line_of(&self, data: &[u8], at: usize, access: Access<'_>) -> Result<u64> {
        let path = &self.layout.path;
        let n_lines = match stdin::is_stream(path) {
            true => self.n_lines + memchr_iter(b'\n', &data[self.begin..at]).count() as u64,
            false => count_lines(path, self.offset + at as u64, access)?,
        };
        Ok(n_lines + 1)
    }
}

/// Room for one block, and for vector loads behind it.
pub(super) struct BlockBuffer {
    pub(super) bytes: Vec<u8>,
    reservation: Reservation,
}

impl BlockBuffer {
    pub(super) fn new(memory: &Memory) -> Self {
        BlockBuffer { bytes: Vec::new(), reservation: memory.reserve("Scan") }
    }

    /// Bytes a buffer for blocks of `block_bytes` takes.
    pub(super) fn bytes_for(block_bytes: usize) -> u64 {
        (block_bytes + OVERLAP + 1 + CHUNK) as u64
    }

    /// Makes room for `n` bytes; what is there stays.
    pub(super) fn make_room(&mut self, n: usize) -> Result<()> {
        let need = n + 1 + CHUNK;
        if self.bytes.len() < need {
            let held = self.reservation.bytes();
            self.reservation.try_resize(held + need as u64)?;
            self.bytes.reserve_exact(need - self.bytes.len());
            self.bytes.resize(need, 0);
            self.reservation.shrink(held);
        }
        Ok(())
    }

    /// Gives back what a long row needed.
    pub(super) fn reset(&mut self, block_bytes: usize) {
        if self.bytes.len() as u64 > 2 * Self::bytes_for(block_bytes) {
            self.bytes = Vec::new();
            self.reservation.shrink(self.reservation.bytes());
        }
    }
}

/// Gives the last row of a file the newline it lacks. The error is the position of a quote that is never closed.
pub(super) fn finish_last_row(
    bytes: &mut [u8],
    row_start: usize,
    filled: usize,
    state: QuoteState,
    dialect: Dialect,
) -> Result<usize, usize> {
    if !state.in_quote {
        bytes[filled] = b'\n';
        return Ok(filled + 1);
    }
    let (mut state, mut opened) = (QuoteState::RECORD_START, row_start);
    for (idx, &byte) in bytes.iter().enumerate().take(filled).skip(row_start) {
        let was_in_quote = state.in_quote;
        let followed_quote = state.may_open && idx > row_start && bytes[idx - 1] == dialect.quote;
        state.step(byte, dialect);
        if state.in_quote && !was_in_quote && !followed_quote {
            opened = idx;
        }
    }
    Err(opened)
}
