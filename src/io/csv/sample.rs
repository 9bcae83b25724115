//! The first rows of a file, for its dialect and its types.
//!
//! Memory: one block, and a table of field positions.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::BlockBuffer;
use super::column::Forms;
use super::compressed::read_failed;
use super::header::{Head, HeadBounds, read_names};
use super::hints::LooksLike;
use super::infer::{Guess, looks_like_header};
use super::options::{CsvOptions, Quote};
use super::sniff::{Known, sniff_dialect};
use super::stream::{Access, OpenText, Text, open_text, read_fully};
use super::structure::{Comment, Dialect, QuoteState, find_boundaries};
use super::tokens::Tokens;
use crate::error::Result;
use crate::memory::Reservation;

/// Rows and bytes that are looked at when the user says nothing.
const INFER_ROWS: u64 = 10_000;
const INFER_BYTES: u64 = 1 << 20;

/// Bytes for the delimiter.
const SNIFF_BYTES: usize = 64 * 1024;

/// What the start of one file says.
pub(super) struct Sample {
    pub(super) path: PathBuf,
    /// The fields of the first record as they stand there.
    pub(super) first: Vec<(String, Guess)>,
    pub(super) names: Vec<String>,
    /// The columns below the first record.
    pub(super) below: Vec<Guess>,
    /// What the values look like that made columns text.
    pub(super) looks: Vec<Option<LooksLike>>,
    /// The first field below the first record is 0.
    pub(super) starts_at_zero: bool,
    pub(super) n_rows: u64,
}

/// Looks at the starts of files.
pub(super) struct Sampler<'a> {
    pub(super) options: &'a CsvOptions,
    pub(super) access: Access<'a>,
    pub(super) max_row_bytes: u64,
}

impl Sampler<'_> {
    /// The dialect of the first file that holds anything.
    pub(super) fn find_dialect(&self, paths: &[&PathBuf], comment: Comment) -> Result<Dialect> {
        let delimiter = self.options.delimiter.unwrap_or(b',');
        let dialect = Dialect { delimiter, quote: self.options.quote_byte(), comment };
        let known = Known {
            dialect,
            has_delimiter: self.options.delimiter.is_some(),
            has_quote: self.options.quote != Quote::Detect,
            decimal_comma: self.options.decimal_comma,
        };
        if known.has_delimiter && known.has_quote {
            return Ok(dialect);
        }
        for path in paths {
            let (mut reader, _reservation) = self.open(path)?;
            let head = Head::read_at_least(SNIFF_BYTES, &mut *reader, path, self.bounds(dialect))?;
            if head.record.0 < head.record.1 {
                return Ok(sniff_dialect(&head.bytes[head.record.0..], known, head.is_whole_file));
            }
        }
        Ok(dialect)
    }

    fn bounds(&self, dialect: Dialect) -> HeadBounds<'_> {
        let (skip_rows, max_row_bytes) = (self.options.skip_rows, self.max_row_bytes);
        HeadBounds { dialect, skip_rows, max_row_bytes, access: self.access }
    }

    /// A reader, and what covers its decoder.
    fn open(&self, path: &Path) -> Result<(Box<dyn Read>, Option<Reservation>)> {
        let OpenText { text, .. } = open_text(path, self.access, Arc::default())?;
        Ok(match text {
            Text::Plain(file) => (Box::new(file), None),
            Text::Streamed { reader, reservation } => (reader, Some(reservation)),
        })
    }

    /// The samples of the files that hold anything.
    pub(super) fn look_at(&self, paths: &[&PathBuf], dialect: Dialect, forms: &Forms) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let n_paths = paths.len().max(1) as u64;
        for path in paths {
            let share = if samples.is_empty() { 1 } else { n_paths };
            let n_rows = self.options.infer_rows.unwrap_or(INFER_ROWS);
            let n_rows = if share == 1 { n_rows.max(1) } else { (n_rows / share).max(100) };
            let n_bytes = match self.options.infer_rows {
                Some(_) => u64::MAX,
                None => (INFER_BYTES / share).max(16 * 1024),
            };
            if let Some(sample) = self.look_at_file(path, dialect, forms, Most { n_rows, n_bytes })? {
                add_sample(&mut samples, sample);
            }
        }
        Ok(samples)
    }

    fn look_at_file(&self, path: &Path, dialect: Dialect, forms: &Forms, most: Most) -> Result<Option<Sample>> {
        let (mut reader, _reservation) = self.open(path)?;
        let head = Head::read(&mut *reader, path, self.bounds(dialect))?;
        let fields = head.fields(dialect);
        if fields.is_empty() {
            return Ok(None);
        }
        let names = read_names(&head, path, dialect)?;
        let first = fields.iter().map(|field| (String::from_utf8_lossy(field).into(), Guess::of(field, forms)));
        let first = first.collect();
        let (below, looks) = (vec![Guess::Nothing; fields.len()], vec![None; fields.len()]);
        let mut sample = Sample { path: path.to_owned(), first, names, below, looks, starts_at_zero: false, n_rows: 0 };
        let mut tokens = Tokens::new(fields.len(), dialect, self.options.ragged);
        let mut buffer = BlockBuffer::new(self.access.memory);
        let rest = &head.bytes[head.second_record()..];
        let (mut filled, mut is_end) = (rest.len(), head.is_whole_file);
        buffer.make_room(filled)?;
        buffer.bytes[..filled].copy_from_slice(rest);
        let Most { n_rows, mut n_bytes } = most;
        loop {
            let mut state = QuoteState::RECORD_START;
            let found = find_boundaries(&buffer.bytes, 0, filled, dialect, &mut state, false);
            let mut end = found.last.unwrap_or(0);
            if is_end && end < filled && !state.in_quote {
                buffer.bytes[filled] = b'\n';
                end = filled + 1;
            }
            sample.look_at_rows(&mut tokens, &buffer.bytes[..], end, n_rows, (dialect, forms));
            n_bytes = n_bytes.saturating_sub(end as u64);
            if is_end || n_bytes == 0 || sample.n_rows >= n_rows || filled as u64 > self.max_row_bytes + n_bytes {
                return Ok(Some(sample));
            }
            buffer.bytes.copy_within(end..filled, 0);
            filled -= end;
            let want = (2 * filled).max(SNIFF_BYTES);
            buffer.make_room(want)?;
            let n = read_fully(&mut *reader, &mut buffer.bytes[filled..want]);
            filled += n.map_err(|error| read_failed(path, &error))?;
            is_end = filled < want;
        }
    }
}

/// How much of a file is looked at.
struct Most {
    n_rows: u64,
    n_bytes: u64,
}

impl Sample {
    fn look_at_rows(&mut self, tokens: &mut Tokens, data: &[u8], end: usize, n_rows: u64, how: (Dialect, &Forms)) {
        let (dialect, forms) = how;
        let has_quotes = dialect.quotes_in(&data[..end]);
        let mut at = 0;
        while at < end && self.n_rows < n_rows {
            at = tokens.find_rows(data, at, end, has_quotes);
            for run in &tokens.runs {
                let rows = tokens.rows(data, *run);
                if self.n_rows == 0 && rows.n_rows > 0 {
                    let (start, end) = rows.field(0, 0);
                    self.starts_at_zero = data[start..end] == *b"0";
                }
                for row in 0..rows.n_rows.min((n_rows - self.n_rows) as usize) {
                    for (column, guess) in self.below.iter_mut().enumerate() {
                        if *guess != Guess::Text {
                            let (start, end) = rows.field(row, column);
                            let before = *guess;
                            *guess = guess.widen(Guess::of(&data[start..end], forms));
                            if *guess == Guess::Text {
                                self.looks[column] = LooksLike::of(&data[start..end], before);
                            }
                        }
                    }
                    self.n_rows += 1;
                }
            }
        }
    }
}

/// Adds what a file says to an earlier file with the same header, or to the others: however many files there are, one
/// sample is kept for each header.
fn add_sample(samples: &mut Vec<Sample>, sample: Sample) {
    let has_header = |known: &Sample| looks_like_header(&known.first, &known.below, known.starts_at_zero);
    let is_same = |known: &&mut Sample| known.names == sample.names && has_header(known);
    match samples.iter_mut().find(is_same) {
        Some(known) => {
            known.below.iter_mut().zip(&sample.below).for_each(|(guess, more)| *guess = guess.widen(*more));
            for (look, other) in known.looks.iter_mut().zip(sample.looks) {
                *look = look.take().or(other);
            }
            known.starts_at_zero |= sample.starts_at_zero;
            known.n_rows += sample.n_rows;
        }
        None => samples.push(sample),
    }
}
