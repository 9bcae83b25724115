//! Blocks of whole records, in file order, to any number of workers.
//!
//! Memory: each worker's [`BlockBuffer`]; for a compressed file, the rest of the last block as well.
//!
//! A plain file is cut at fixed offsets. The worker of a block reads it and a little more, and owns the records that
//! *start* in it; where the first of them starts it learns from the [`Chain`]. A compressed file can only be read from
//! front to back: workers take turns to decompress a block up to its last record boundary, and parse side by side.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::{memchr, memchr_iter, memrchr};

use super::chain::{Chain, Seam};
use super::compressed::read_failed;
use super::header::{Head, HeadBounds, read_names, too_long, unterminated};
use super::open::Definition;
use super::stream::{OpenText, Text, count_lines, open_text, read_fully, read_fully_at};
use super::structure::{CHUNK, QuoteState, find_boundaries};
use crate::error::{Error, Result};
use crate::io::SelectedFiles;
use crate::memory::{Memory, Reservation};

/// Bytes read beyond a block, for the rest of its last record. Longer records take another read.
const OVERLAP: usize = 4 * 1024;

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
    fn reset(&mut self, block_bytes: usize) {
        if self.bytes.len() as u64 > 2 * Self::bytes_for(block_bytes) {
            self.bytes = Vec::new();
            self.reservation.shrink(self.reservation.bytes());
        }
    }
}

/// Hands out the blocks of all files.
pub(super) struct Feed {
    table: Arc<Definition>,
    memory: Memory,
    counts_lines: bool,
    /// The only files to read, if not all.
    files: Option<Arc<SelectedFiles>>,
    cursor: Mutex<Cursor>,
    read_bytes: Arc<AtomicU64>,
}

struct Cursor {
    /// The number of the next file among those that are read.
    next_file: usize,
    /// The place of the current file in the table.
    file: usize,
    next_morsel: u64,
    current: Current,
}

enum Current {
    None,
    Plain { file: Arc<PlainFile>, next_block: u64 },
    Streamed(StreamedFile),
}

struct PlainFile {
    file: File,
    layout: Arc<Layout>,
    len: u64,
    /// Where the first record starts.
    start: u64,
    chain: Chain,
}

/// One block of a plain file, not read yet.
struct Claim {
    file: Arc<PlainFile>,
    block: u64,
    morsel: u64,
}

impl Feed {
    /// All blocks of all files of a table, or only of `files`.
    pub(super) fn new(
        table: Arc<Definition>,
        memory: Memory,
        counts_lines: bool,
        files: Option<Arc<SelectedFiles>>,
    ) -> Self {
        let cursor = Mutex::new(Cursor { next_file: 0, file: 0, next_morsel: 0, current: Current::None });
        Feed { table, memory, counts_lines, files, cursor, read_bytes: Arc::default() }
    }

    /// The ledger.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Bytes of files read so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// The next block, read into `buffer`.
    pub(super) fn next_block(&self, buffer: &mut BlockBuffer) -> Result<Option<Block>> {
        buffer.reset(self.table.block_bytes);
        let claim = {
            let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
            match self.claim(&mut cursor, buffer) {
                Ok(Claimed::Plain(claim)) => claim,
                Ok(Claimed::Read(block)) => return Ok(Some(block)),
                Ok(Claimed::End) => return Ok(None),
                Err(error) => {
                    (cursor.next_file, cursor.current) = (self.table.paths.len(), Current::None);
                    return Err(error.in_morsel(cursor.next_morsel));
                }
            }
        };
        let morsel = claim.morsel;
        self.read_plain(claim, buffer).map_err(|error| error.in_morsel(morsel))
    }

    fn claim(&self, cursor: &mut Cursor, buffer: &mut BlockBuffer) -> Result<Claimed> {
        loop {
            match &mut cursor.current {
                Current::Plain { file, next_block } if file.start + *next_block * self.block_bytes() < file.len => {
                    let claim = Claim { file: file.clone(), block: *next_block, morsel: cursor.next_morsel };
                    *next_block += 1;
                    self.end_claim(cursor);
                    return Ok(Claimed::Plain(claim));
                }
                Current::Streamed(file) => {
                    if let Some(block) = file.next_block(cursor.next_morsel, self.table.block_bytes, buffer)? {
                        self.end_claim(cursor);
                        return Ok(Claimed::Read(block));
                    }
                }
                _ => {}
            }
            let next = match &self.files {
                Some(files) => files.get(cursor.next_file),
                None => Some(cursor.next_file),
            };
            let Some((next, path)) = next.and_then(|next| Some((next, self.table.paths.get(next)?))) else {
                return Ok(Claimed::End);
            };
            cursor.current = self.open(path.clone(), self.table.looks_at(next))?;
            (cursor.file, cursor.next_file) = (next, cursor.next_file + 1);
        }
    }

    /// Notes whose the morsel is that was just claimed.
    fn end_claim(&self, cursor: &mut Cursor) {
        if let Some(files) = &self.files {
            files.begin(cursor.next_morsel, cursor.file);
        }
        cursor.next_morsel += 1;
    }

    fn block_bytes(&self) -> u64 {
        self.table.block_bytes as u64
    }

    /// Opens a file and reads its header.
    fn open(&self, path: PathBuf, was_looked_at: bool) -> Result<Current> {
        let OpenText { text, len } = open_text(&path, &self.memory, self.read_bytes.clone())?;
        let (dialect, max_row_bytes) = (self.table.dialect, self.table.max_row_bytes);
        let bounds = HeadBounds { dialect, max_row_bytes, memory: &self.memory };
        match text {
            Text::Plain(file) => {
                let head = Head::read(&mut &file, &path, bounds)?;
                let (layout, start) = self.layout(path, was_looked_at, &head)?;
                let n_lines = memchr_iter(b'\n', &head.bytes[..start]).count() as u64;
                let seam = Seam { state: QuoteState::RECORD_START, at_record_start: true, n_lines };
                let (start, chain) = (start as u64, Chain::new(seam));
                Ok(Current::Plain { file: Arc::new(PlainFile { file, layout, len, start, chain }), next_block: 0 })
            }
            Text::Streamed { mut reader, reservation } => {
                let mut head = Head::read(&mut *reader, &path, bounds)?;
                let (layout, start) = self.layout(path, was_looked_at, &head)?;
                let n_lines = memchr_iter(b'\n', &head.bytes[..start]).count() as u64;
                head.bytes.drain(..start);
                let (carry, carry_reserved, offset) = (head.bytes, head.reserved, start as u64);
                let is_end = head.is_whole_file;
                let table = self.table.clone();
                let memory = self.memory.clone();
                Ok(Current::Streamed(StreamedFile {
                    reader,
                    _reservation: reservation,
                    carry_reserved,
                    table,
                    memory,
                    layout,
                    carry,
                    offset,
                    n_lines,
                    is_end,
                }))
            }
        }
    }

    /// Which field is which column, and where the first row of data starts.
    fn layout(&self, path: PathBuf, was_looked_at: bool, head: &Head) -> Result<(Arc<Layout>, usize)> {
        let table = &self.table;
        let n_columns = table.schema.fields().len();
        if !table.has_header {
            let fields = (0..n_columns).map(Some).collect();
            return Ok((Arc::new(Layout { path, was_looked_at, n_fields: n_columns, fields }), head.record.0));
        }
        let names = read_names(&head.fields(table.dialect), &path, table.dialect.quote)?;
        let mut fields = vec![None; n_columns];
        for (idx, name) in names.iter().enumerate() {
            let Some(column) = table.columns.get(name) else { return Err(unknown_column(&path, name)) };
            fields[*column] = Some(idx);
        }
        Ok((Arc::new(Layout { path, was_looked_at, n_fields: names.len().max(1), fields }), head.second_record()))
    }

    fn read_plain(&self, claim: Claim, buffer: &mut BlockBuffer) -> Result<Option<Block>> {
        let Claim { file, block, morsel } = claim;
        let turn = file.chain.take_turn(block);
        let offset = file.start + block * self.block_bytes();
        let len = self.block_bytes().min(file.len - offset) as usize;
        let filled = (len as u64 + OVERLAP as u64).min(file.len - offset) as usize;
        buffer.make_room(self.table.block_bytes.max(filled))?;
        self.read_exact(&file, offset, &mut buffer.bytes[..filled])?;
        self.read_bytes.fetch_add(len as u64, Ordering::Relaxed);
        let text = &buffer.bytes[..len];
        let has_quotes = memchr(self.table.dialect.quote, text).is_some();
        let n_lines = if self.counts_lines { memchr_iter(b'\n', text).count() as u64 } else { 0 };
        let Some(start) = turn.wait() else { return Ok(None) };
        let span = self.look_for_records(&buffer.bytes, len, start, has_quotes);
        let ends_record = span.last == Some(len);
        turn.publish(Seam { state: span.state, at_record_start: ends_record, n_lines: start.n_lines + n_lines });

        let begin = if start.at_record_start { 0 } else { span.first.unwrap_or(len) };
        let (mut end, mut quotes_behind, mut failure) = (len, false, None);
        if begin < len && !ends_record {
            let last_row = span.last.unwrap_or(begin);
            let reach = Reach { file: &file, offset, last_row };
            match self.reach_record_end(reach, len, filled, span.state, buffer) {
                Ok(record_end) => {
                    end = record_end;
                    quotes_behind = memchr(self.table.dialect.quote, &buffer.bytes[len..end]).is_some();
                }
                Err(error) => (end, failure) = (last_row, Some(error)),
            }
        }
        let n_skipped = if self.counts_lines { memchr_iter(b'\n', &buffer.bytes[..begin]).count() as u64 } else { 0 };
        Ok(Some(Block {
            layout: file.layout.clone(),
            morsel,
            begin,
            end,
            offset,
            n_lines: start.n_lines + n_skipped,
            has_quotes: has_quotes || quotes_behind,
            failure,
        }))
    }

    fn read_exact(&self, file: &PlainFile, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let path = &file.layout.path;
        let n = read_fully_at(&file.file, buffer, offset).map_err(|error| Error::read_failed(path, &error))?;
        if n < buffer.len() {
            return Err(Error::data(format!("{} became shorter while it was read", path.display())));
        }
        Ok(())
    }

    /// First and last record boundary of a block, and the state at its end.
    fn look_for_records(&self, data: &[u8], len: usize, start: Seam, has_quotes: bool) -> Span {
        let dialect = self.table.dialect;
        let mut state = start.state;
        if has_quotes {
            let found = find_boundaries(data, 0, len, dialect, &mut state, false);
            return Span { first: found.first, last: found.last, state };
        }
        if state.in_quote {
            return Span { first: None, last: None, state };
        }
        let text = &data[..len];
        let last_byte = text[len - 1];
        state.may_open = last_byte == b'\n' || last_byte == dialect.delimiter;
        let first = memchr(b'\n', text).map(|at| at + 1);
        Span { first, last: memrchr(b'\n', text).map(|at| at + 1), state }
    }

    /// Reads on behind a block until the record that starts at `last_row` ends; returns where.
    fn reach_record_end(
        &self,
        reach: Reach<'_>,
        len: usize,
        mut filled: usize,
        mut state: QuoteState,
        buffer: &mut BlockBuffer,
    ) -> Result<usize> {
        let Reach { file, offset, last_row } = reach;
        let (path, max) = (&file.layout.path, self.table.max_row_bytes);
        let mut at = len;
        loop {
            let found = find_boundaries(&buffer.bytes, at, filled, self.table.dialect, &mut state, true);
            let is_end = offset + filled as u64 == file.len;
            let end = found.first.unwrap_or(filled + usize::from(is_end));
            if (end - last_row) as u64 > max + 1 {
                let line = count_lines(path, offset + last_row as u64, &self.memory)? + 1;
                return Err(too_long(path, line, max));
            }
            if found.first.is_some() {
                return Ok(end);
            }
            if is_end {
                return finish_last_row(&mut buffer.bytes, last_row, filled, state, self.table.dialect)
                    .map_err(|open| self.unterminated(path, offset + open as u64));
            }
            at = filled;
            let more = (filled as u64).min(file.len - offset - filled as u64) as usize;
            buffer.make_room(filled + more)?;
            self.read_exact(file, offset + filled as u64, &mut buffer.bytes[filled..filled + more])?;
            filled += more;
        }
    }

    fn unterminated(&self, path: &std::path::Path, offset: u64) -> Error {
        match count_lines(path, offset, &self.memory) {
            Ok(n_lines) => unterminated(path, n_lines + 1),
            Err(error) => error,
        }
    }
}

enum Claimed {
    Plain(Claim),
    Read(Block),
    End,
}

struct Span {
    first: Option<usize>,
    last: Option<usize>,
    state: QuoteState,
}

/// A block's last record, which ends behind the block.
struct Reach<'a> {
    file: &'a PlainFile,
    offset: u64,
    last_row: usize,
}

/// Gives the last row of a file the newline it lacks. The error is the position of a quote that is never closed.
fn finish_last_row(
    bytes: &mut [u8],
    row_start: usize,
    filled: usize,
    state: QuoteState,
    dialect: super::structure::Dialect,
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

fn unknown_column(path: &std::path::Path, name: &str) -> Error {
    Error::data(format!(
        "{}, line 1: column {name:?} is not in any of the files that were looked at for the schema",
        path.display()
    ))
    .with_hint(format!("declare it, for example: --schema {name}=string"))
}

/// A file that can only be read from front to back.
struct StreamedFile {
    reader: Box<dyn Read + Send>,
    /// Covers the decoder.
    _reservation: Reservation,
    /// Covers `carry`.
    carry_reserved: Reservation,
    table: Arc<Definition>,
    memory: Memory,
    layout: Arc<Layout>,
    /// Text behind the last block: the start of a record.
    carry: Vec<u8>,
    /// Where `carry` stands in the text.
    offset: u64,
    n_lines: u64,
    is_end: bool,
}

impl StreamedFile {
    fn next_block(&mut self, morsel: u64, block_bytes: usize, buffer: &mut BlockBuffer) -> Result<Option<Block>> {
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
            let has_quotes = memchr(dialect.quote, &buffer.bytes[..filled]).is_some();
            let mut state = QuoteState::RECORD_START;
            let last = match has_quotes {
                true => find_boundaries(&buffer.bytes, 0, filled, dialect, &mut state, false).last,
                false => memrchr(b'\n', &buffer.bytes[..filled]).map(|at| at + 1),
            };
            let last_row = last.unwrap_or(0);
            if (filled - last_row) as u64 > self.table.max_row_bytes {
                let n_lines = count_lines(&self.layout.path, self.offset + last_row as u64, &self.memory)?;
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
        finish_last_row(bytes, last_row, filled, state, self.table.dialect).map_err(|open| {
            match count_lines(&self.layout.path, self.offset + open as u64, &self.memory) {
                Ok(n_lines) => unterminated(&self.layout.path, n_lines + 1),
                Err(error) => error,
            }
        })
    }

    /// Ends the file at `end`, because of what is wrong with the text behind it.
    fn end_before(&mut self, end: usize, error: Error, morsel: u64, buffer: &BlockBuffer) -> Result<Block> {
        self.is_end = true;
        let has_quotes = memchr(self.table.dialect.quote, &buffer.bytes[..end]).is_some();
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
        Ok(Block { layout, morsel, begin: 0, end, offset, n_lines, has_quotes, failure: None })
    }
}
