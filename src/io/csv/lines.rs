//! What other formats of lines share with CSV: how files become text, and where bad rows go.
//!
//! Memory: as `stream` and `reject_file` say.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::reject_file::{AppendRecord, RejectFile};
use super::stream::{Access, OpenText, Text, open_text};
use super::{compressed, dates, numbers, stream};
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

/// The bytes of a file as UTF-8 text, whatever its compression.
pub(in crate::io) enum Lines {
    /// The file is the text.
    Plain(File),
    /// The text can only be read from front to back; the reservation covers the decoder.
    Streamed(Box<dyn Read + Send>, Reservation),
}

/// Opens a file; also returns its bytes on disk. `read_bytes` counts what is read of a streamed one.
pub(in crate::io) fn open_lines(path: &Path, memory: &Memory, read_bytes: Arc<AtomicU64>) -> Result<(Lines, u64)> {
    let OpenText { text, len } = open_text(path, Access { memory, encoding: None }, read_bytes)?;
    Ok(match text {
        Text::Plain(file) => (Lines::Plain(file), len),
        Text::Streamed { reader, reservation } => (Lines::Streamed(reader, reservation), len),
    })
}

/// The number of newlines in the first `offset` bytes of a file's text. Reads the file again, so for errors only.
pub(in crate::io) fn count_lines(path: &Path, offset: u64, memory: &Memory) -> Result<u64> {
    stream::count_lines(path, offset, Access { memory, encoding: None })
}

/// The error for an input that cannot be read, with what to try when it is a damaged compressed file.
pub(in crate::io) fn read_failed(path: &Path, error: &io::Error) -> Error {
    compressed::read_failed(path, error)
}

/// Reads until `buffer` is full or the stream ends.
pub(in crate::io) fn read_fully(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    stream::read_fully(reader, buffer)
}

/// Reads from `offset` on until `buffer` is full or the file ends.
pub(in crate::io) fn read_fully_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    stream::read_fully_at(file, buffer, offset)
}

/// Days since 1970-01-01.
pub(in crate::io) fn parse_date(text: &[u8]) -> Option<i32> {
    dates::parse_date(text)
}

/// Nanoseconds since 1970-01-01, in UTC when there is a zone, and whether there is one.
pub(in crate::io) fn parse_timestamp(text: &[u8]) -> Option<(i128, bool)> {
    dates::parse_timestamp(text).map(|at| (at.nanoseconds, at.has_zone))
}

/// A decimal, as an integer of units of its last digit. `None` when digits would be lost.
pub(in crate::io) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    numbers::parse_decimal(text, b'.', precision, scale)
}

/// The double that the digits of a number in JSON are; `None` where it would say less than they do.
pub(in crate::io) fn lossless_f64(digits: &[u8]) -> Option<f64> {
    numbers::lossless_f64(digits)
}

/// A rejected row: file, line, byte offset, column, reason, raw record.
pub(in crate::io) type RejectedRow<'a> = [&'a [u8]; 6];

impl RejectFile {
    /// Opens the file before the first row is rejected, so that a target that cannot be written shows early.
    pub(in crate::io) fn begin_scan(&self) -> Result<()> {
        self.begin()
    }

    /// Adds a row.
    pub(in crate::io) fn add(&self, row: &RejectedRow<'_>) -> Result<()> {
        self.append(|out: &mut dyn AppendRecord| out.append_record(row))
    }
}
