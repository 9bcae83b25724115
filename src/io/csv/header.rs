//! The first record of a file and the names in it.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use super::compressed::read_failed;
use super::stream::{UTF8_MARK, read_fully};
use super::strings::unquote;
use super::structure::{Dialect, QuoteState};
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

/// Bytes read to find the first record; most headers are far shorter.
const HEAD_BYTES: usize = 16 * 1024;

/// How the start of a file is read.
#[derive(Clone, Copy)]
pub(super) struct HeadBounds<'a> {
    pub(super) dialect: Dialect,
    pub(super) max_row_bytes: u64,
    pub(super) memory: &'a Memory,
}

/// The start of a file.
pub(super) struct Head {
    /// The bytes read so far, from the first byte of the file on.
    pub(super) bytes: Vec<u8>,
    /// Where the first record starts (after a byte order mark and empty lines) and where its newline is. Equal to the
    /// length of the file when there is no record.
    pub(super) record: (usize, usize),
    /// The whole file is in `bytes`.
    pub(super) is_whole_file: bool,
    /// Covers `bytes`.
    pub(super) reserved: Reservation,
}

impl Head {
    /// Reads until the first record is complete.
    pub(super) fn read(reader: &mut dyn Read, path: &Path, bounds: HeadBounds<'_>) -> Result<Head> {
        Self::read_at_least(HEAD_BYTES, reader, path, bounds)
    }

    /// Reads `n_bytes`, and until the first record is complete.
    pub(super) fn read_at_least(
        n_bytes: usize,
        reader: &mut dyn Read,
        path: &Path,
        bounds: HeadBounds<'_>,
    ) -> Result<Head> {
        let HeadBounds { dialect, max_row_bytes, memory } = bounds;
        let mut reserved = memory.reserve("Scan");
        let (mut bytes, mut want) = (Vec::new(), n_bytes);
        loop {
            let kept = bytes.len();
            // Old and new bytes are there together for a moment.
            reserved.try_resize((kept + want) as u64)?;
            bytes.reserve_exact(want - kept);
            bytes.resize(want, 0);
            reserved.try_resize(want as u64)?;
            let n = read_fully(reader, &mut bytes[kept..]).map_err(|error| read_failed(path, &error))?;
            bytes.truncate(kept + n);
            let is_whole_file = bytes.len() < want;
            if let Some(record) = find_first_record(&bytes, dialect) {
                return Ok(Head { bytes, record, is_whole_file, reserved });
            }
            if has_carriage_returns_only(&bytes, dialect) {
                return Err(carriage_returns_only(path));
            }
            if is_whole_file {
                return Self::of_one_line(bytes, path, dialect, reserved);
            }
            if bytes.len() as u64 > max_row_bytes {
                return Err(too_long(path, 1, max_row_bytes));
            }
            want *= 2;
        }
    }

    /// A file without any complete record: it is empty, or its only line has no newline.
    fn of_one_line(bytes: Vec<u8>, path: &Path, dialect: Dialect, reserved: Reservation) -> Result<Head> {
        let start = first_byte(&bytes);
        let mut state = QuoteState::RECORD_START;
        bytes[start..].iter().for_each(|&byte| _ = state.step(byte, dialect));
        if state.in_quote {
            return Err(unterminated(path, 1));
        }
        Ok(Head { record: (start, bytes.len()), bytes, is_whole_file: true, reserved })
    }

    /// The fields of the first record as they stand in the file; none when there is no record.
    pub(super) fn fields(&self, dialect: Dialect) -> Vec<&[u8]> {
        let record = &self.bytes[self.record.0..self.record.1];
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        if record.is_empty() {
            return Vec::new();
        }
        split(record, dialect)
    }

    /// Where the record after the first starts.
    pub(super) fn second_record(&self) -> usize {
        (self.record.1 + 1).min(self.bytes.len())
    }
}

/// The first byte that belongs to a record.
fn first_byte(bytes: &[u8]) -> usize {
    let mut at = if bytes.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
    loop {
        match &bytes[at..] {
            [b'\n', ..] => at += 1,
            [b'\r', b'\n', ..] => at += 2,
            _ => return at,
        }
    }
}

fn find_first_record(bytes: &[u8], dialect: Dialect) -> Option<(usize, usize)> {
    let start = first_byte(bytes);
    let mut state = QuoteState::RECORD_START;
    for (idx, &byte) in bytes.iter().enumerate().skip(start) {
        state.step(byte, dialect);
        if byte == b'\n' && !state.in_quote {
            return Some((start, idx));
        }
    }
    None
}

/// Whether text without a newline has a carriage return outside quotes, other than at its end.
fn has_carriage_returns_only(bytes: &[u8], dialect: Dialect) -> bool {
    let mut state = QuoteState::RECORD_START;
    bytes.iter().enumerate().any(|(idx, &byte)| {
        state.step(byte, dialect);
        byte == b'\r' && !state.in_quote && idx + 1 < bytes.len()
    })
}

/// Lines as old spreadsheets end them.
fn carriage_returns_only(path: &Path) -> Error {
    let path = path.display();
    Error::data(format!("{path} ends its lines with carriage returns only, and has no newline"))
        .with_hint(format!("convert it first, for example: tr '\\r' '\\n' < {path} > lines.csv"))
}

/// The fields of one record without its newline.
pub(super) fn split(record: &[u8], dialect: Dialect) -> Vec<&[u8]> {
    let (mut state, mut start, mut fields) = (QuoteState::RECORD_START, 0, Vec::new());
    for (idx, &byte) in record.iter().enumerate() {
        if state.step(byte, dialect) {
            fields.push(&record[start..idx]);
            start = idx + 1;
        }
    }
    fields.push(&record[start..]);
    fields
}

/// The names in a header. A field without text becomes `column_3`; a name that was there before gets a number.
pub(super) fn read_names(fields: &[&[u8]], path: &Path, quote: u8) -> Result<Vec<String>> {
    let mut seen = HashSet::with_capacity(fields.len());
    let mut names = Vec::with_capacity(fields.len());
    for (idx, field) in fields.iter().enumerate() {
        let bytes = match field.first() {
            Some(&first) if first == quote => unquote(field, quote).unwrap_or((*field).into()),
            _ => (*field).into(),
        };
        let Ok(name) = std::str::from_utf8(&bytes) else {
            return Err(Error::data(format!(
                "{}, line 1: the name of column {} is not UTF-8",
                path.display(),
                idx + 1
            ))
            .with_hint("convert the file first, for example: iconv -f LATIN1 -t UTF-8"));
        };
        let name = match name.trim() {
            "" => numbered_name(idx),
            name => name.to_owned(),
        };
        let unique = (1..).map(|n| format!("{name}_{n}"));
        let name = std::iter::once(name.clone()).chain(unique).find(|name| seen.insert(name.clone()));
        names.extend(name);
    }
    Ok(names)
}

/// What a column without a name is called.
pub(super) fn numbered_name(idx: usize) -> String {
    format!("column_{}", idx + 1)
}

/// A row beyond the bound.
pub(super) fn too_long(path: &Path, line: u64, max_row_bytes: u64) -> Error {
    Error::data(format!("{}, line {line}: this row is longer than {max_row_bytes} bytes", path.display())).with_hint(
        "a quote that is never closed may have swallowed the rows after it; if rows are really that long, raise \
         --max-row-bytes",
    )
}

/// A quote that nothing closes.
pub(super) fn unterminated(path: &Path, line: u64) -> Error {
    Error::data(format!("{}, line {line}: the quote that opens here is never closed", path.display()))
        .with_hint("add the closing quote, or choose another quote character with --quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_never_empty() {
        let fields: Vec<&[u8]> = vec![b"a", b" \"b", b"\"a\"", b"", b"a_1"];
        let names = read_names(&fields, Path::new("x.csv"), b'"').unwrap();
        assert_eq!(names, ["a", "\"b", "a_1", "column_4", "a_1_1"]);
    }

    #[test]
    fn the_first_record_may_hold_newlines_and_follow_empty_lines() {
        let dialect = Dialect { delimiter: b',', quote: b'"' };
        let text = b"\xEF\xBB\xBF\r\n\n\"a\nb\",c\r\n1,2\n";
        let memory = Memory::with_governed(1 << 24, 1);
        let bounds = HeadBounds { dialect, max_row_bytes: 1 << 20, memory: &memory };
        let head = Head::read(&mut &text[..], Path::new("x.csv"), bounds).unwrap();
        assert_eq!(head.fields(dialect), [&b"\"a\nb\""[..], b"c"]);
        assert_eq!(&head.bytes[head.second_record()..], b"1,2\n");
    }
}
