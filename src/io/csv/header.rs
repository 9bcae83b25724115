//! The first record of a file and the names in it.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use memchr::{memchr, memchr_iter};

use super::compressed::read_failed;
use super::stream::{Access, UTF8_MARK, read_fully};
use super::strings::unquote;
use super::structure::{Dialect, QuoteState};
use crate::error::{Error, Result};
use crate::memory::Reservation;

/// Bytes read to find the first record; most headers are far shorter.
const HEAD_BYTES: usize = 16 * 1024;

/// How the start of a file is read.
#[derive(Clone, Copy)]
pub(super) struct HeadBounds<'a> {
    pub(super) dialect: Dialect,
    /// Lines before everything else.
    pub(super) skip_rows: u64,
    pub(super) max_row_bytes: u64,
    pub(super) access: Access<'a>,
}

/// The start of a file.
pub(super) struct Head {
    /// The bytes read so far, from the first byte of the file on.
    pub(super) bytes: Vec<u8>,
    /// Where the first record starts (after a byte order mark, lines to skip, comments and empty lines) and where its
    /// newline is. Equal to the length of the file when there is no record.
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
        let HeadBounds { dialect, max_row_bytes, access, .. } = bounds;
        let mut reserved = access.memory.reserve("Scan");
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
            if kept == 0 && access.encoding.is_none() {
                refuse_unmarked_utf16(&bytes, path)?;
            }
            if let Some(record) = find_first_record(&bytes, bounds) {
                return Ok(Head { bytes, record, is_whole_file, reserved });
            }
            if !bytes.contains(&b'\n') && has_carriage_returns_only(&bytes, dialect) {
                return Err(carriage_returns_only(path));
            }
            let start = first_byte(&bytes, bounds);
            if is_whole_file {
                return Self::of_one_line(bytes, start, path, dialect, reserved);
            }
            if bytes.len() as u64 > max_row_bytes {
                return Err(too_long(path, line_of(&bytes, start.unwrap_or(bytes.len())), max_row_bytes));
            }
            want *= 2;
        }
    }

    /// A file without any complete record: it is empty, or its only line has no newline.
    fn of_one_line(
        bytes: Vec<u8>,
        start: Option<usize>,
        path: &Path,
        dialect: Dialect,
        reserved: Reservation,
    ) -> Result<Head> {
        let start = start.unwrap_or(bytes.len());
        let mut state = QuoteState::RECORD_START;
        bytes[start..].iter().for_each(|&byte| _ = state.step(byte, dialect));
        if state.in_quote {
            return Err(unterminated(path, line_of(&bytes, start)));
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

    /// The line of the first record.
    pub(super) fn line(&self) -> u64 {
        line_of(&self.bytes, self.record.0)
    }

    /// Where the record after the first starts.
    pub(super) fn second_record(&self) -> usize {
        (self.record.1 + 1).min(self.bytes.len())
    }
}

/// The line that the byte at `at` stands in.
fn line_of(bytes: &[u8], at: usize) -> u64 {
    memchr_iter(b'\n', &bytes[..at]).count() as u64 + 1
}

/// The first byte that belongs to a record; `None` when it comes behind `bytes`.
fn first_byte(bytes: &[u8], bounds: HeadBounds<'_>) -> Option<usize> {
    let mut at = if bytes.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 };
    for _ in 0..bounds.skip_rows {
        at += memchr(b'\n', &bytes[at..])? + 1;
    }
    loop {
        let rest = &bytes[at..];
        match rest {
            [b'\n', ..] => at += 1,
            [b'\r', b'\n', ..] => at += 2,
            _ if bounds.dialect.comment.begins(rest) => at += memchr(b'\n', rest)? + 1,
            _ => return Some(at),
        }
    }
}

fn find_first_record(bytes: &[u8], bounds: HeadBounds<'_>) -> Option<(usize, usize)> {
    let start = first_byte(bytes, bounds)?;
    let mut state = QuoteState::RECORD_START;
    for (idx, &byte) in bytes.iter().enumerate().skip(start) {
        state.step(byte, bounds.dialect);
        if byte == b'\n' && !state.in_quote {
            return Some((start, idx));
        }
    }
    None
}

/// Every other of the first bytes is NUL in UTF-16, and a file without a byte order mark does not say so.
fn refuse_unmarked_utf16(bytes: &[u8], path: &Path) -> Result<()> {
    const LOOKED_AT: usize = 32;
    let (pairs, _) = bytes[..bytes.len().min(LOOKED_AT)].as_chunks::<2>();
    let encoding = match pairs.len() >= 2 {
        true if pairs.iter().all(|pair| pair[0] != 0 && pair[1] == 0) => "utf-16le",
        true if pairs.iter().all(|pair| pair[0] == 0 && pair[1] != 0) => "utf-16be",
        _ => return Ok(()),
    };
    Err(Error::data(format!("{} looks like UTF-16 without a byte order mark", path.display()))
        .with_hint(format!("if it is: --encoding {encoding}")))
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
pub(super) fn read_names(head: &Head, path: &Path, dialect: Dialect) -> Result<Vec<String>> {
    let (fields, quote) = (head.fields(dialect), dialect.quote);
    let mut seen = HashSet::with_capacity(fields.len());
    let mut names = Vec::with_capacity(fields.len());
    for (idx, field) in fields.iter().enumerate() {
        let bytes = match field.first() {
            Some(&first) if first == quote => unquote(field, quote).unwrap_or((*field).into()),
            _ => (*field).into(),
        };
        let Ok(name) = std::str::from_utf8(&bytes) else {
            let (path, line) = (path.display(), head.line());
            return Err(Error::data(format!("{path}, line {line}: the name of column {} is not UTF-8", idx + 1))
                .with_hint(ENCODING_HINT));
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

/// What to do about text that is not UTF-8.
pub(super) const ENCODING_HINT: &str = "say how the file is encoded, for example --encoding cp1252 for Western Europe \
     (cp1250, cp1251, shift_jis, gb18030 and others are known too)";

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
        .with_hint("add the closing quote, or say --quote none if quotes are text here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::csv::structure::Comment;
    use crate::memory::Memory;

    const DIALECT: Dialect = Dialect { delimiter: b',', quote: b'"', comment: Comment::NONE };

    fn head(text: &[u8], dialect: Dialect, skip_rows: u64) -> Head {
        let memory = Memory::with_governed(1 << 24, 1);
        let access = Access { memory: &memory, encoding: None };
        let bounds = HeadBounds { dialect, skip_rows, max_row_bytes: 1 << 20, access };
        Head::read(&mut &*text, Path::new("x.csv"), bounds).unwrap()
    }

    #[test]
    fn names_are_unique_and_never_empty() {
        let names = read_names(&head(b"a, \"b,\"a\",,a_1\n", DIALECT, 0), Path::new("x.csv"), DIALECT).unwrap();
        assert_eq!(names, ["a", "\"b", "a_1", "column_4", "a_1_1"]);
    }

    #[test]
    fn the_first_record_may_hold_newlines_and_follow_empty_lines() {
        let head = head(b"\xEF\xBB\xBF\r\n\n\"a\nb\",c\r\n1,2\n", DIALECT, 0);
        assert_eq!(head.fields(DIALECT), [&b"\"a\nb\""[..], b"c"]);
        assert_eq!(&head.bytes[head.second_record()..], b"1,2\n");
    }

    #[test]
    fn the_first_record_may_follow_comments_and_lines_to_skip() {
        let dialect = Dialect { comment: Comment::new(b"#").unwrap(), ..DIALECT };
        let long = format!("a \"title\n\n#{}\n\nx,y\n1,2\n", "-".repeat(100_000));
        let head = head(long.as_bytes(), dialect, 2);
        assert_eq!((head.fields(dialect), head.line()), (vec![&b"x"[..], b"y"], 5));
        assert!(self::head(b"# only\n# comments", dialect, 0).fields(dialect).is_empty());
    }
}
