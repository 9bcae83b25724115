//! Rows that cannot be read: an error, or counted and left out, or counted and written to a reject file.
//!
//! The set of rejected rows is the same at any number of threads; their order in the reject file is file order within a
//! morsel only, and every entry carries its line.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::datatypes::DataType;
use tempfile::NamedTempFile;

use super::column::Reason;
use super::feed::Block;
use super::open::Definition;
use super::options::OnBadRow;
use super::stream::count_lines;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// Characters of a value that a message shows.
const SHOWN: usize = 40;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Problem {
    /// The wrong number of fields.
    Fields { found: usize },
    /// A value of this column of the table, at this place in the buffer.
    Value { column: usize, start: usize, end: usize, reason: Reason },
}

/// A bad row: where its record is in the buffer, and what is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct BadRow {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) problem: Problem,
}

/// What is done with bad rows in one scan.
pub(super) struct BadRows {
    table: Arc<Definition>,
    memory: Memory,
    n_rows: AtomicU64,
    rejects: Mutex<Rejects>,
}

enum Rejects {
    None,
    Open { to: PathBuf, file: BufWriter<NamedTempFile> },
}

impl BadRows {
    /// Prepares the reject file, if one is wanted.
    pub(super) fn new(table: Arc<Definition>, memory: Memory) -> Result<Self> {
        let rejects = match &table.on_bad_row {
            OnBadRow::Reject(to) => Rejects::create(to)?,
            OnBadRow::Fail | OnBadRow::Skip => Rejects::None,
        };
        Ok(BadRows { table, memory, n_rows: AtomicU64::new(0), rejects: Mutex::new(rejects) })
    }

    /// Rows left out so far.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Rejects> {
        self.rejects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deals with bad rows of one block, in file order.
    ///
    /// # Errors
    /// The first of them when bad rows are errors; a reject file that cannot be written.
    pub(super) fn push(&self, block: &Block, data: &[u8], rows: &[BadRow]) -> Result<()> {
        let Some(first) = rows.first() else { return Ok(()) };
        if self.table.on_bad_row == OnBadRow::Fail {
            return Err(self.error(block, data, first)?);
        }
        self.n_rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let Rejects::Open { to, file } = &mut *self.lock() else { return Ok(()) };
        let (mut line, mut counted_to) = (block.n_lines + 1, block.begin);
        for row in rows {
            line += memchr::memchr_iter(b'\n', &data[counted_to..row.start]).count() as u64;
            counted_to = row.start;
            let offset = block.offset + row.start as u64;
            let record = [
                block.layout.path.display().to_string(),
                line.to_string(),
                offset.to_string(),
                self.column_name(row).unwrap_or_default().to_owned(),
                self.reason(block, data, row),
                String::from_utf8_lossy(data[row.start..row.end].trim_ascii_end()).into_owned(),
            ];
            write_record(file, &record).map_err(|error| Error::write_failed(to, &error))?;
        }
        Ok(())
    }

    fn column_name(&self, row: &BadRow) -> Option<&str> {
        match row.problem {
            Problem::Value { column, .. } => Some(self.table.schema.field(column).name()),
            Problem::Fields { .. } => None,
        }
    }

    fn reason(&self, block: &Block, data: &[u8], row: &BadRow) -> String {
        match row.problem {
            Problem::Fields { found } => {
                let (want, s) = (block.layout.n_fields, if found == 1 { "" } else { "s" });
                format!("{found} field{s} where {want} are expected")
            }
            Problem::Value { start, end, reason, column } => {
                let shown = shorten(&data[start..end]);
                match reason {
                    Reason::Type => {
                        let data_type = type_name(self.table.schema.field(column).data_type());
                        format!("{shown} does not fit the type {data_type}")
                    }
                    Reason::TextAfterQuote => format!("{shown} has text after the closing quote"),
                    Reason::Encoding => format!("{shown} is not UTF-8"),
                }
            }
        }
    }

    fn error(&self, block: &Block, data: &[u8], row: &BadRow) -> Result<Error> {
        let at = match row.problem {
            Problem::Value { start, .. } => start,
            Problem::Fields { .. } => row.start,
        };
        let path = &block.layout.path;
        let line = count_lines(path, block.offset + at as u64, &self.memory)? + 1;
        let column = self.column_name(row).map(|name| format!(", column {name:?}")).unwrap_or_default();
        let reason = self.reason(block, data, row);
        let error = Error::data(format!("{}, line {line}{column}: {reason}", path.display()));
        Ok(error.with_hint(self.hint(row)))
    }

    fn hint(&self, row: &BadRow) -> String {
        match row.problem {
            Problem::Value { column, reason: Reason::Type, .. } => {
                let name = self.table.schema.field(column).name();
                if !self.table.is_inferred[column] {
                    return format!(
                        "declare another type with --schema {name}=string, or leave such rows out with --on-bad-row skip"
                    );
                }
                format!(
                    "the type was inferred from the first rows: look at more with --infer-rows {}, declare it with \
                     --schema {name}=string, or leave such rows out with --on-bad-row skip",
                    self.table.n_inferred_rows.saturating_mul(10).max(100_000),
                )
            }
            Problem::Value { reason: Reason::Encoding, .. } => {
                "convert the file first, for example: iconv -f LATIN1 -t UTF-8".into()
            }
            Problem::Value { reason: Reason::TextAfterQuote, .. } => {
                "a quote inside a quoted field is written twice; or leave such rows out with --on-bad-row skip".into()
            }
            Problem::Fields { .. } => {
                "check delimiter and quotes of that row (--delimiter, --quote), or leave such rows out with \
                 --on-bad-row skip"
                    .into()
            }
        }
    }

    /// Puts the reject file in its place.
    pub(super) fn finish(&self) -> Result<()> {
        match std::mem::replace(&mut *self.lock(), Rejects::None) {
            Rejects::None => Ok(()),
            Rejects::Open { to, file } => persist(&to, file).map_err(|error| Error::write_failed(&to, &error)),
        }
    }
}

impl Drop for BadRows {
    /// A query that stopped early keeps what it rejected so far.
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

impl Rejects {
    fn create(to: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::write_failed(to, &error);
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut file = BufWriter::new(NamedTempFile::new_in(folder).map_err(failed)?);
        let header = ["file", "line", "byte_offset", "column", "reason", "raw"].map(String::from);
        write_record(&mut file, &header).map_err(failed)?;
        Ok(Rejects::Open { to: to.to_owned(), file })
    }
}

fn persist(to: &Path, file: BufWriter<NamedTempFile>) -> std::io::Result<()> {
    let file = file.into_inner().map_err(|error| error.into_error())?;
    file.as_file().sync_all()?;
    file.persist(to).map_err(|error| error.error)?;
    Ok(())
}

fn write_record(out: &mut impl Write, fields: &[String]) -> std::io::Result<()> {
    for (idx, field) in fields.iter().enumerate() {
        let separator = if idx + 1 == fields.len() { "\n" } else { "," };
        if field.contains([',', '"', '\n', '\r']) {
            write!(out, "\"{}\"{separator}", field.replace('"', "\"\""))?;
        } else {
            write!(out, "{field}{separator}")?;
        }
    }
    Ok(())
}

/// A value as a message shows it.
fn shorten(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// What a user calls a type.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        other => other.to_string().to_lowercase(),
    }
}
