//! The blocks of a file that can only be read from front to back: compressed, or in another encoding.
//!
//! Memory: the text behind the last block, at most a row and a block.

use std::io::Read;
use std::sync::Arc;

use memchr::{memchr_iter, memrchr};

use super::block::{Block, BlockBuffer, Layout, finish_last_row};
use super::compressed::read_failed;
use super::header::{Head, too_long, unterminated};
use super::open::Definition;
use super::stream::read_fully;
use super::structure::{QuoteState, find_boundaries};
use crate::error::{Error, Result};
use crate::memory::Reservation;

/// A file that can only be read from front to back.
pub(super) struct StreamedFile {
    reader: Box<dyn Read + Send>,
    /// Covers the decoder.
    _reservation: Reservation,
    /// Covers `carry`.
    carry_reserved: Reservation,
    table: Arc<Definition>,
    layout: Arc<Layout>,
    /// Text behind the last block: the start of a record.
    carry: Vec<u8>,
    /// Where `carry` stands in the text.
    offset: u64,
    n_lines: u64,
    n_blocks: u64,
    is_end: bool,
}

impl StreamedFile {
    /// A file of which `head` has been read; its rows begin at `start`.
    pub(super) fn new(
        reader: Box<dyn Read + Send>,
        reservation: Reservation,
        mut head: Head,
        start: usize,
        parts: (Arc<Definition>, Arc<Layout>),
    ) -> Self {
        let (table, layout) = parts;
        let n_lines = memchr_iter(b'\n', &head.bytes[..start]).count() as u64;
        head.bytes.drain(..start);
        StreamedFile {
            reader,
            _reservation: reservation,
            carry_reserved: head.reserved,
            table,
            layout,
            carry: head.bytes,
            offset: start as u64,
            n_lines,
            n_blocks: 0,
            is_end: head.is_whole_file,
        }
    }

    /// The next block, read into `buffer`; `None` at the end.
    pub(super) fn next_block(
        &mut self,
        morsel: u64,
        block_bytes: usize,
        buffer: &mut BlockBuffer,
    ) -> Result<Option<Block>> {
        let dialect = self.table.dialect;
        let mut filled = self.carry.len();
        let mut want = filled + block_bytes;
        buffer.make_room(want)?;
        buffer.bytes[..filled].copy_from_slice(&self.carry);
        loop {
            if !self.is_end {
                buffer.make_room(want)?;
                let read = read_fully(&mut *self.reader, &mut buffer.bytes[filled..want]);
                filled += read.map_err(|error| read_failed(&self.layout.path, &error))?;
                self.is_end = filled < want;
            }
            if filled == 0 {
                return Ok(None);
            }
            let has_quotes = dialect.quotes_in(&buffer.bytes[..filled]);
            let mut state = QuoteState::RECORD_START;
            let last = match has_quotes {
                true => find_boundaries(&buffer.bytes, 0, filled, dialect, &mut state, false).last,
                false => memrchr(b'\n', &buffer.bytes[..filled]).map(|at| at + 1),
            };
            let last_row = last.unwrap_or(0);
            if (filled - last_row) as u64 > self.table.max_row_bytes {
                let n_lines = self.n_lines_before(&buffer.bytes, last_row);
                let error = too_long(&self.layout.path, n_lines + 1, self.table.max_row_bytes);
                return self.end_before(last_row, error, morsel, buffer).map(Some);
            }
            let end = match last {
                Some(end) if end == filled || !self.is_end => end,
                _ if self.is_end => match self.finish(&mut buffer.bytes, last_row, filled, state) {
                    Ok(end) => end,
                    Err(error) => return self.end_before(last_row, error, morsel, buffer).map(Some),
                },
                _ => {
                    want = 2 * filled;
                    continue;
                }
            };
            return self.cut(morsel, end, filled, has_quotes, buffer).map(Some);
        }
    }

    fn finish(&self, bytes: &mut [u8], last_row: usize, filled: usize, state: QuoteState) -> Result<usize> {
        finish_last_row(bytes, last_row, filled, state, self.table.dialect)
            .map_err(|open| unterminated(&self.layout.path, self.n_lines_before(bytes, open) + 1))
    }

    /// Newlines before a place in the block in hand.
    fn n_lines_before(&self, bytes: &[u8], at: usize) -> u64 {
        self.n_lines + memchr_iter(b'\n', &bytes[..at]).count() as u64
    }

    /// Ends the file at `end`, because of what is wrong with the text behind it.
    fn end_before(&mut self, end: usize, error: Error, morsel: u64, buffer: &BlockBuffer) -> Result<Block> {
        self.is_end = true;
        let has_quotes = self.table.dialect.quotes_in(&buffer.bytes[..end]);
        let block = self.cut(morsel, end, end, has_quotes, buffer)?;
        Ok(Block { failure: Some(error), ..block })
    }

    /// Ends a block at `end` and keeps the text behind it for the next one.
    fn cut(&mut self, morsel: u64, end: usize, filled: usize, has_quotes: bool, buffer: &BlockBuffer) -> Result<Block> {
        let rest = &buffer.bytes[end.min(filled)..filled];
        if rest.len() > self.carry.capacity() {
            self.carry = Vec::new();
            self.carry_reserved.try_resize(rest.len() as u64)?;
            self.carry.reserve_exact(rest.len());
        }
        self.carry.clear();
        self.carry.extend_from_slice(rest);
        let (layout, offset, n_lines) = (self.layout.clone(), self.offset, self.n_lines);
        self.offset += end as u64;
        self.n_lines += memchr_iter(b'\n', &buffer.bytes[..end]).count() as u64;
        let place = (0, self.n_blocks);
        self.n_blocks += 1;
        Ok(Block { layout, morsel, place, begin: 0, end, offset, n_lines, has_quotes, failure: None })
    }
}
