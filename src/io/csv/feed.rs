//! Blocks of whole records, in file order, to any number of workers.
//!
//! Memory: each worker's [`BlockBuffer`]; for a compressed file, the rest of the last block as well.
//!
//! A plain file is cut at fixed offsets. The worker of a block reads it and a little more, and owns the records that
//! *start* in it; where the first of them starts it learns from the [`Chain`]. A compressed file can only be read from
//! front to back: workers take turns to decompress a block up to its last record boundary, and parse side by side.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::{memchr, memchr_iter, memrchr};

use super::block::{Block, BlockBuffer, Layout, OVERLAP, finish_last_row};
use super::chain::{Chain, Seam};
use super::header::{Head, HeadBounds, read_names, too_long, unterminated};
use super::open::Definition;
use super::stream::{OpenText, Text, count_lines, open_text, read_fully_at};
use super::streamed::StreamedFile;
use super::structure::{QuoteState, find_boundaries};
use crate::error::{Error, Result};
use crate::io::SelectedFiles;
use crate::memory::Memory;

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
    /// The place of the file in the table.
    file_idx: usize,
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
                    let (block, file_idx, morsel) = (*next_block, cursor.file, cursor.next_morsel);
                    let claim = Claim { file: file.clone(), block, file_idx, morsel };
                    *next_block += 1;
                    self.end_claim(cursor);
                    return Ok(Claimed::Plain(claim));
                }
                Current::Streamed(file) => {
                    if let Some(block) = file.next_block(cursor.next_morsel, self.table.block_bytes, buffer)? {
                        let place = (cursor.file, block.place.1);
                        self.end_claim(cursor);
                        return Ok(Claimed::Read(Block { place, ..block }));
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
        let access = self.table.access(&self.memory);
        let OpenText { text, len } = open_text(&path, access, self.read_bytes.clone())?;
        let Definition { dialect, skip_rows, max_row_bytes, .. } = *self.table;
        let bounds = HeadBounds { dialect, skip_rows, max_row_bytes, access };
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
                let head = Head::read(&mut *reader, &path, bounds)?;
                let (layout, start) = self.layout(path, was_looked_at, &head)?;
                let parts = (self.table.clone(), layout);
                Ok(Current::Streamed(StreamedFile::new(reader, reservation, head, start, parts)))
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
        let names = read_names(head, &path, table.dialect)?;
        let mut fields = vec![None; n_columns];
        for (idx, name) in names.iter().enumerate() {
            let Some(column) = table.columns.get(name) else { return Err(unknown_column(&path, head.line(), name)) };
            fields[*column] = Some(idx);
        }
        Ok((Arc::new(Layout { path, was_looked_at, n_fields: names.len().max(1), fields }), head.second_record()))
    }

    fn read_plain(&self, claim: Claim, buffer: &mut BlockBuffer) -> Result<Option<Block>> {
        let Claim { file, block, file_idx, morsel } = claim;
        let turn = file.chain.take_turn(block);
        let offset = file.start + block * self.block_bytes();
        let len = self.block_bytes().min(file.len - offset) as usize;
        let filled = (len as u64 + OVERLAP as u64).min(file.len - offset) as usize;
        buffer.make_room(self.table.block_bytes.max(filled))?;
        self.read_exact(&file, offset, &mut buffer.bytes[..filled])?;
        self.read_bytes.fetch_add(len as u64, Ordering::Relaxed);
        let text = &buffer.bytes[..len];
        let has_quotes = self.table.dialect.quotes_in(text);
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
                    quotes_behind = self.table.dialect.quotes_in(&buffer.bytes[len..end]);
                }
                Err(error) => (end, failure) = (last_row, Some(error)),
            }
        }
        let n_skipped = if self.counts_lines { memchr_iter(b'\n', &buffer.bytes[..begin]).count() as u64 } else { 0 };
        Ok(Some(Block {
            layout: file.layout.clone(),
            morsel,
            place: (file_idx, block),
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
        if has_quotes || dialect.has_comments() {
            let found = find_boundaries(data, 0, len, dialect, &mut state, false);
            return Span { first: found.first, last: found.last, state };
        }
        if state.in_quote {
            return Span { first: None, last: None, state };
        }
        let text = &data[..len];
        state = QuoteState::behind_plain(text[len - 1], dialect);
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
                let line = self.line_at(path, offset + last_row as u64)?;
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

    fn unterminated(&self, path: &Path, offset: u64) -> Error {
        self.line_at(path, offset).map_or_else(|error| error, |line| unterminated(path, line))
    }

    fn line_at(&self, path: &Path, offset: u64) -> Result<u64> {
        Ok(count_lines(path, offset, self.table.access(&self.memory))? + 1)
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

fn unknown_column(path: &Path, line: u64, name: &str) -> Error {
    Error::data(format!(
        "{}, line {line}: column {name:?} is not in any of the files that were looked at for the schema",
        path.display()
    ))
    .with_hint(format!("declare it, for example: --schema {name}=string"))
}
