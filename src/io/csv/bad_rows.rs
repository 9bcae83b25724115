//! Rows that cannot be read: an error, or counted and left out, or counted and written to a reject file.
//!
//! The set of rejected rows is the same at any number of threads; their order in the reject file is file order within a
//! morsel only, and every entry carries its line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::DataType;

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
}

impl BadRows {
    pub(super) fn new(table: Arc<Definition>, memory: Memory) -> Self {
        BadRows { table, memory, n_rows: AtomicU64::new(0) }
    }

    /// Opens the reject file, if one is wanted.
    pub(super) fn begin(&self) -> Result<()> {
        self.table.on_bad_row.rejects().map_or(Ok(()), |rejects| rejects.begin())
    }

    /// Rows left out so far.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows.load(Ordering::Relaxed)
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
        let Some(rejects) = self.table.on_bad_row.rejects() else { return Ok(()) };
        rejects.append(|out| {
            let (mut line, mut counted_to) = (block.n_lines + 1, block.begin);
            for row in rows {
                line += memchr::memchr_iter(b'\n', &data[counted_to..row.start]).count() as u64;
                counted_to = row.start;
                out.append_record(&[
                    block.layout.path.as_os_str().as_encoded_bytes(),
                    line.to_string().as_bytes(),
                    (block.offset + row.start as u64).to_string().as_bytes(),
                    self.column_name(row).unwrap_or_default().as_bytes(),
                    self.reason(block, data, row).as_bytes(),
                    data[row.start..row.end].trim_ascii_end(),
                ])?;
            }
            Ok(())
        })
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
        Ok(error.with_hint(self.hint(block, row)))
    }

    fn hint(&self, block: &Block, row: &BadRow) -> String {
        match row.problem {
            Problem::Value { column, reason: Reason::Type, .. } => {
                let name = self.table.schema.field(column).name();
                if !self.table.is_inferred[column] {
                    return format!(
                        "declare another type with --schema {name}=string, or leave such rows out with --on-bad-row skip"
                    );
                }
                if !block.layout.was_looked_at {
                    return format!(
                        "the type was inferred from other files, because there are many: declare it with \
                         --schema {name}=string, or leave such rows out with --on-bad-row skip"
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
