//! Blocks of whole lines, in file order, to any number of workers.
//!
//! Memory: each worker's [`LineBuffer`]; for a compressed file, the rest of the last block as well.
//!
//! A plain file is cut at fixed offsets; the worker of a block owns the lines that *start* in it, which the byte before
//! the block tells. A compressed file can only be read from front to back: workers take turns to decompress a block.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::{memchr, memchr_iter, memrchr};

use super::open::Definition;
use crate::error::{Error, Result};
use crate::io::SelectedFiles;
use crate::io::csv::{Lines, Place, open_lines, read_failed, read_fully, read_fully_at};
use crate::memory::{Memory, Reservation};

/// Bytes read beyond a block, for the rest of its last line. Longer lines take another read.
const OVERLAP: usize = 4 * 1024;

/// The mark that says UTF-8.
const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Whole lines in a [`LineBuffer`].
pub(super) struct Block {
    pub(super) path: Arc<PathBuf>,
    pub(super) morsel: u64,
    /// The file's place in the table and the block's in the file: the same in every scan.
    pub(super) place: Place,
    /// The lines are `buffer[begin..end]`; the last byte is a newline.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Where `buffer[0]` stands in the file's text.
    pub(super) offset: u64,
    /// Newlines in the file before `buffer[0]`, where they were counted on the way.
    pub(super) n_lines: Option<u64>,
    /// What is wrong with the text behind `end`; the rows before it count all the same.
    pub(super) failure: Option<Error>,
}

/// Room for one block.
pub(super) struct LineBuffer {
    pub(super) bytes: Vec<u8>,
    reservation: Reservation,
}

impl LineBuffer {
    pub(super) fn new(memory: &Memory) -> Self {
        LineBuffer { bytes: Vec::new(), reservation: memory.reserve("Scan") }
    }

    /// Bytes that a buffer for blocks of `block_bytes` takes.
    pub(super) fn bytes_for(block_bytes: usize) -> u64 {
        (block_bytes + OVERLAP + 2) as u64
    }

    /// Makes room for `n` bytes and a newline; what is there stays.
    pub(super) fn make_room(&mut self, n: usize) -> Result<()> {
        let need = n + 1;
        if self.bytes.len() < need {
            let held = self.reservation.bytes();
            self.reservation.try_resize(held + need as u64)?;
            self.bytes.reserve_exact(need - self.bytes.len());
            self.bytes.resize(need, 0);
            self.reservation.shrink(held);
        }
        Ok(())
    }

    /// Gives back what a long line needed.
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
    files: Option<Arc<SelectedFiles>>,
    cursor: Mutex<Position>,
    read_bytes: Arc<AtomicU64>,
}

struct Position {
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
    path: Arc<PathBuf>,
    len: u64,
    /// Where the first line starts.
    start: u64,
}

struct StreamedFile {
    reader: Box<dyn Read + Send>,
    path: Arc<PathBuf>,
    /// Covers the decoder.
    _reservation: Reservation,
    /// Text behind the last block: the start of a line.
    carry: Vec<u8>,
    carry_reserved: Reservation,
    /// Where `carry` stands in the text.
    offset: u64,
    n_lines: u64,
    n_blocks: u64,
    is_end: bool,
}

enum Claimed {
    Plain { file: Arc<PlainFile>, place: Place, morsel: u64 },
    Read(Block),
    End,
}

impl Feed {
    pub(super) fn new(table: Arc<Definition>, memory: Memory, files: Option<Arc<SelectedFiles>>) -> Self {
        let cursor = Mutex::new(Position { next_file: 0, file: 0, next_morsel: 0, current: Current::None });
        Feed { table, memory, files, cursor, read_bytes: Arc::default() }
    }

    /// Bytes of files read so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// The next block, read into `buffer`.
    pub(super) fn next_block(&self, buffer: &mut LineBuffer) -> Result<Option<Block>> {
        buffer.reset(self.table.block_bytes);
        let claimed = {
            let mut cursor = self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
            self.claim(&mut cursor, buffer).map_err(|error| {
                (cursor.next_file, cursor.current) = (usize::MAX, Current::None);
                error.in_morsel(cursor.next_morsel)
            })?
        };
        match claimed {
            Claimed::End => Ok(None),
            Claimed::Read(block) => Ok(Some(block)),
            Claimed::Plain { file, place, morsel } => {
                self.read_plain(&file, place, morsel, buffer).map(Some).map_err(|error| error.in_morsel(morsel))
            }
        }
    }

    fn claim(&self, cursor: &mut Position, buffer: &mut LineBuffer) -> Result<Claimed> {
        loop {
            let morsel = cursor.next_morsel;
            match &mut cursor.current {
                Current::Plain { file, next_block } if file.start + *next_block * self.block_bytes() < file.len => {
                    let claimed = Claimed::Plain { file: file.clone(), place: (cursor.file, *next_block), morsel };
                    *next_block += 1;
                    self.end_claim(cursor);
                    return Ok(claimed);
                }
                Current::Streamed(file) => {
                    if let Some(block) = file.next_block(morsel, &self.table, buffer)? {
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
            cursor.current = self.open(path)?;
            (cursor.file, cursor.next_file) = (next, cursor.next_file + 1);
        }
    }

    /// Notes whose the morsel is that was just claimed.
    fn end_claim(&self, cursor: &mut Position) {
        if let Some(files) = &self.files {
            files.begin(cursor.next_morsel, cursor.file);
        }
        cursor.next_morsel += 1;
    }

    fn block_bytes(&self) -> u64 {
        self.table.block_bytes as u64
    }

    fn open(&self, path: &Path) -> Result<Current> {
        let (lines, len) = open_lines(path, &self.memory, self.read_bytes.clone())?;
        let path = Arc::new(path.to_path_buf());
        match lines {
            Lines::Plain(file) => {
                let mut mark = [0; UTF8_MARK.len()];
                let n = read_fully_at(&file, &mut mark, 0).map_err(|error| read_failed(&path, &error))?;
                let start = if &mark[..n] == UTF8_MARK { n as u64 } else { 0 };
                Ok(Current::Plain { file: Arc::new(PlainFile { file, path, len, start }), next_block: 0 })
            }
            Lines::Streamed(reader, reservation) => Ok(Current::Streamed(StreamedFile {
                reader,
                path,
                _reservation: reservation,
                carry: Vec::new(),
                carry_reserved: self.memory.reserve("Scan"),
                offset: 0,
                n_lines: 0,
                n_blocks: 0,
                is_end: false,
            })),
        }
    }

    /// Reads the lines that start in a block. The buffer begins one byte before the block, unless the file does.
    fn read_plain(&self, file: &PlainFile, place: Place, morsel: u64, buffer: &mut LineBuffer) -> Result<Block> {
        let start = file.start + place.1 * self.block_bytes();
        let before = u64::from(start > file.start);
        let len = self.block_bytes().min(file.len - start) as usize + before as usize;
        let offset = start - before;
        let mut filled = (len as u64 + OVERLAP as u64).min(file.len - offset) as usize;
        buffer.make_room(self.table.block_bytes.max(filled))?;
        self.read_exact(file, offset, &mut buffer.bytes[..filled])?;
        self.read_bytes.fetch_add(len as u64 - before, Ordering::Relaxed);

        let path = file.path.clone();
        let made = |begin, end, failure| Block { path, morsel, place, begin, end, offset, n_lines: None, failure };
        let begin = match before {
            0 => 0,
            _ => memchr(b'\n', &buffer.bytes[..len]).map_or(len, |at| at + 1),
        };
        if begin >= len {
            return Ok(made(len, len, None));
        }
        let mut at = len - 1;
        loop {
            if let Some(found) = memchr(b'\n', &buffer.bytes[at..filled]) {
                return Ok(made(begin, at + found + 1, None));
            }
            if offset + filled as u64 == file.len {
                buffer.make_room(filled)?;
                buffer.bytes[filled] = b'\n';
                return Ok(made(begin, filled + 1, None));
            }
            let last = memrchr(b'\n', &buffer.bytes[begin..filled]).map_or(begin, |at| begin + at + 1);
            if (filled - last) as u64 > self.table.max_row_bytes {
                let line = crate::io::csv::count_lines(&file.path, offset + last as u64, &self.memory)? + 1;
                let error = too_long(&file.path, line, self.table.max_row_bytes);
                return Ok(made(begin, last, Some(error)));
            }
            at = filled;
            let want = ((2 * filled) as u64).min(file.len - offset) as usize;
            buffer.make_room(want)?;
            self.read_exact(file, offset + filled as u64, &mut buffer.bytes[filled..want])?;
            filled = want;
        }
    }

    fn read_exact(&self, file: &PlainFile, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let n = read_fully_at(&file.file, buffer, offset).map_err(|error| read_failed(&file.path, &error))?;
        if n < buffer.len() {
            return Err(Error::data(format!("{} became shorter while it was read", file.path.display())));
        }
        Ok(())
    }
}

/// A row beyond the bound.
pub(super) fn too_long(path: &Path, line: u64, max_row_bytes: u64) -> Error {
    Error::data(format!("{}, line {line}: this row is longer than {max_row_bytes} bytes", path.display()))
        .with_hint("every line must be one JSON object; if rows are really that long, raise --max-row-bytes")
}

impl StreamedFile {
    fn next_block(&mut self, morsel: u64, table: &Definition, buffer: &mut LineBuffer) -> Result<Option<Block>> {
        let mut filled = self.carry.len();
        let mut want = filled + table.block_bytes;
        buffer.make_room(want)?;
        buffer.bytes[..filled].copy_from_slice(&self.carry);
        loop {
            if !self.is_end {
                buffer.make_room(want)?;
                let read = read_fully(&mut *self.reader, &mut buffer.bytes[filled..want]);
                filled += read.map_err(|error| read_failed(&self.path, &error))?;
                self.is_end = filled < want;
            }
            if filled == 0 {
                return Ok(None);
            }
            let last = memrchr(b'\n', &buffer.bytes[..filled]).map(|at| at + 1);
            if (filled - last.unwrap_or(0)) as u64 > table.max_row_bytes {
                let end = last.unwrap_or(0);
                let line = self.n_lines + memchr_iter(b'\n', &buffer.bytes[..end]).count() as u64 + 1;
                let failure = too_long(&self.path, line, table.max_row_bytes);
                self.is_end = true;
                let block = self.cut(morsel, end, end, buffer)?;
                return Ok(Some(Block { failure: Some(failure), ..block }));
            }
            match last {
                Some(end) if end == filled || !self.is_end => return self.cut(morsel, end, filled, buffer).map(Some),
                _ if self.is_end => {
                    buffer.make_room(filled)?;
                    buffer.bytes[filled] = b'\n';
                    return self.cut(morsel, filled + 1, filled, buffer).map(Some);
                }
                _ => want = 2 * filled,
            }
        }
    }

    /// Ends a block at `end` and keeps the text behind it for the next one.
    fn cut(&mut self, morsel: u64, end: usize, filled: usize, buffer: &LineBuffer) -> Result<Block> {
        let rest = &buffer.bytes[end.min(filled)..filled];
        if rest.len() > self.carry.capacity() {
            self.carry = Vec::new();
            self.carry_reserved.try_resize(rest.len() as u64)?;
            self.carry.reserve_exact(rest.len());
        }
        self.carry.clear();
        self.carry.extend_from_slice(rest);
        let (offset, n_lines) = (self.offset, Some(self.n_lines));
        self.offset += end as u64;
        self.n_lines += memchr_iter(b'\n', &buffer.bytes[..end]).count() as u64;
        // The feed knows the place of the file.
        let place = (0, self.n_blocks);
        self.n_blocks += 1;
        let begin = if offset == 0 && buffer.bytes[..end].starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
        Ok(Block { path: self.path.clone(), morsel, place, begin, end, offset, n_lines, failure: None })
    }
}
