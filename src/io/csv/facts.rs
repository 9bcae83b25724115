//! What `inspect` tells of CSV files: how they are written, about how many rows they have, and what is odd about them.
//!
//! Memory: one sample of a MiB at a time, reserved.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compressed::read_failed;
use super::open::Definition;
use super::stream::{OpenText, Text, UTF8_MARK, open_text, read_fully};
use super::structure::{NO_QUOTE, QuoteState};
use crate::error::Result;
use crate::exec::{format_bytes, group_digits};
use crate::io::TableFacts;
use crate::memory::Memory;

/// Text that is looked at of one file.
const SAMPLE_BYTES: usize = 1 << 20;

/// Files that are looked at, spread over all of them.
const MOST_FILES: usize = 16;

/// What the start of the files says.
#[derive(Default)]
struct Sampled {
    n_files: usize,
    /// Whether all of the text of all files was looked at.
    is_whole: bool,
    text_bytes: u64,
    /// Bytes on disk that the text came from.
    disk_bytes: u64,
    n_rows: u64,
    n_ragged: u64,
    n_empty_lines: u64,
    n_quoted_newlines: u64,
    n_crlf: u64,
    n_lf: u64,
    has_nul: bool,
    has_mark: bool,
    is_streamed: bool,
    is_utf8: bool,
    /// A file whose last row has no newline.
    unended: Option<String>,
}

/// Looks at the files of `table`.
pub(super) fn facts(table: &Definition, memory: &Memory) -> Result<TableFacts> {
    let mut sampled = Sampled { is_whole: true, is_utf8: true, ..Sampled::default() };
    let step = table.paths.len().div_ceil(MOST_FILES).max(1);
    for path in table.paths.iter().step_by(step) {
        sampled.look_at(path, table, memory)?;
    }
    sampled.is_whole &= step == 1;
    let header_rows = if table.has_header { sampled.n_files as u64 } else { 0 };
    let n_rows = sampled.n_rows.saturating_sub(header_rows);
    let likely_rows = match (sampled.is_whole, sampled.disk_bytes) {
        (true, _) => Some((n_rows, String::new())),
        (false, 0) => None,
        (false, bytes) => {
            let rows = n_rows as f64 * table.file_bytes as f64 / bytes as f64;
            Some((rows as u64, format!("from the first {} of text", format_bytes(sampled.text_bytes))))
        }
    };
    let mut lines = vec![("dialect", sampled.dialect(table)), ("encoding", sampled.encoding())];
    if sampled.is_streamed && sampled.disk_bytes > 0 {
        let times = sampled.text_bytes as f64 / sampled.disk_bytes as f64;
        lines.push(("text", format!("about {}", format_bytes((table.file_bytes as f64 * times) as u64))));
    }
    lines.extend(table.hints.iter().map(|hint| ("oddity", hint.clone())));
    lines.extend(sampled.oddities().into_iter().map(|text| ("oddity", text)));
    Ok(TableFacts { format: "csv".into(), n_files: table.paths.len(), lines, likely_rows, column_bytes: Vec::new() })
}

impl Sampled {
    fn look_at(&mut self, path: &Path, table: &Definition, memory: &Memory) -> Result<()> {
        let failed = |error: std::io::Error| read_failed(path, &error);
        let read_bytes = Arc::new(AtomicU64::new(0));
        let OpenText { text, len } = open_text(path, table.access(memory), read_bytes.clone())?;
        let (mut reader, is_streamed, _held): (Box<dyn Read>, _, _) = match text {
            Text::Plain(file) => (Box::new(file), false, None),
            Text::Streamed { reader, reservation } => (reader, true, Some(reservation)),
        };
        let mut reservation = memory.reserve("Scan");
        reservation.try_grow(SAMPLE_BYTES as u64)?;
        let mut sample = vec![0; SAMPLE_BYTES];
        let n = read_fully(&mut *reader, &mut sample).map_err(failed)?;
        let is_whole = n < SAMPLE_BYTES;
        let on_disk = if is_streamed { read_bytes.load(Ordering::Relaxed) } else { n as u64 };
        self.is_whole &= is_whole;
        self.is_streamed |= is_streamed;
        self.disk_bytes += if is_whole { len } else { on_disk.min(len) };
        self.n_files += 1;
        self.count(&sample[..n], table);
        if is_whole && n > 0 && sample[n - 1] != b'\n' {
            self.n_rows += 1;
            self.unended.get_or_insert_with(|| path.display().to_string());
        }
        Ok(())
    }

    /// Counts rows and oddities in the text of one file.
    fn count(&mut self, text: &[u8], table: &Definition) {
        let body = text.strip_prefix(UTF8_MARK).unwrap_or(text);
        self.has_mark |= body.len() < text.len();
        self.text_bytes += text.len() as u64;
        // A character may be cut at the end of the sample.
        self.is_utf8 &= std::str::from_utf8(body).map_or_else(|error| error.valid_up_to() + 4 > body.len(), |_| true);
        self.has_nul |= memchr::memchr(0, body).is_some();
        let (mut state, mut n_fields, mut start, mut first_width) = (QuoteState::RECORD_START, 0, 0, None);
        for (idx, &byte) in body.iter().enumerate() {
            n_fields += usize::from(state.step(byte, table.dialect));
            if byte != b'\n' {
                continue;
            }
            if state.in_quote {
                self.n_quoted_newlines += 1;
                continue;
            }
            let line = &body[start..idx];
            if line.last() == Some(&b'\r') {
                self.n_crlf += 1
            } else {
                self.n_lf += 1
            }
            if line.trim_ascii().is_empty() && table.schema.fields().len() > 1 {
                self.n_empty_lines += 1;
            } else {
                self.n_rows += 1;
                self.n_ragged += u64::from(*first_width.get_or_insert(n_fields) != n_fields);
            }
            (n_fields, start) = (0, idx + 1);
        }
    }

    fn dialect(&self, table: &Definition) -> String {
        let delimiter = match table.dialect.delimiter {
            b',' => "comma".into(),
            b';' => "semicolon".into(),
            b'\t' => "tab".into(),
            b'|' => "pipe".into(),
            other => format!("{:?}", char::from(other)),
        };
        let header = if table.has_header { "header" } else { "no header" };
        let ends = match (self.n_crlf, self.n_lf) {
            (0, _) => "LF",
            (_, 0) => "CRLF",
            _ => "LF and CRLF",
        };
        let quote = match table.dialect.quote {
            NO_QUOTE => "no quotes".into(),
            quote => format!("quote {}", char::from(quote)),
        };
        format!("{delimiter}, {quote}, {header}, lines end in {ends}")
    }

    fn encoding(&self) -> String {
        let encoding = if self.is_utf8 { "UTF-8" } else { "not UTF-8" };
        let mark = if self.has_mark { " with a byte order mark" } else { "" };
        let streamed = if self.is_streamed { ", compressed or translated" } else { "" };
        format!("{encoding}{mark}{streamed}")
    }

    fn oddities(&self) -> Vec<String> {
        let within = if self.is_whole { "" } else { " in the part looked at" };
        let counted = |n: u64, what: &str| (n > 0).then(|| format!("{} {what}{within}", group_digits(n)));
        let mut found: Vec<String> = [
            counted(self.n_ragged, "rows with another number of fields than the first"),
            counted(self.n_empty_lines, "empty lines, which are passed over"),
            counted(self.n_quoted_newlines, "newlines inside quoted fields"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.n_crlf > 0 && self.n_lf > 0 {
            found.push(format!("lines end in LF and in CRLF{within}"));
        }
        if self.has_nul {
            found.push(format!("NUL bytes{within}"));
        }
        if let Some(path) = &self.unended {
            found.push(format!("the last row of {path} does not end in a newline: it may be cut off"));
        }
        found
    }
}
