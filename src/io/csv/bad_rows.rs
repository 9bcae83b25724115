//! Rows that cannot be read: an error, or counted and left out, or counted and written to a reject file.
//!
//! The set of rejected rows is the same at any number of threads; their order in the reject file is file order within a
//! morsel only, and every entry carries its line. A query that reads a file several times leaves out the same rows each
//! time, but counts and rejects each of them once: see [`super::seen_rows`].

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::block::Block;
use super::column::Reason;
use super::header::ENCODING_HINT;
use super::open::Definition;
use super::options::OnBadRow;
use super::seen_rows::{Kind, Seen};
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
    seen: Arc<Seen>,
    /// This scan tells how many there were, for all scans of the query.
    reports: bool,
}

impl BadRows {
    /// `seen` is what the scans of the query have in common, and whether this is the first of them.
    pub(super) fn new(table: Arc<Definition>, memory: Memory, (seen, reports): (Arc<Seen>, bool)) -> Self {
        BadRows { table, memory, seen, reports }
    }

    /// Opens the reject file, if one is wanted.
    pub(super) fn begin(&self) -> Result<()> {
        self.table.on_bad_row.rejects().map_or(Ok(()), |rejects| rejects.begin())
    }

    /// Rows left out so far, if this scan is the one that tells.
    pub(super) fn n_rows(&self) -> u64 {
        if self.reports { self.seen.n_rows() } else { 0 }
    }

    /// A block has been read to its end.
    pub(super) fn complete(&self, place: (usize, u64)) {
        if self.table.on_bad_row != OnBadRow::Fail {
            self.seen.complete(place);
        }
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
        let kind = match first.problem {
            Problem::Fields { .. } => Kind::Fields,
            Problem::Value { .. } => Kind::Values,
        };
        let place = |row: &BadRow| block.offset + row.start as u64;
        let rows = &rows[self.seen.n_known(block.place, kind, rows.iter().map(place))..];
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
                let are = if want == 1 { "is" } else { "are" };
                format!("{found} field{s} where {want} {are} expected")
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
        let line = block.line_of(data, at, self.table.access(&self.memory))?;
        let column = self.column_name(row).map(|name| format!(", column {name:?}")).unwrap_or_default();
        let reason = self.reason(block, data, row);
        let error = Error::data(format!("{}, line {line}{column}: {reason}", path.display()));
        Ok(error.with_hint(self.hint(block, data, row)))
    }

    fn hint(&self, block: &Block, data: &[u8], row: &BadRow) -> String {
        match row.problem {
            Problem::Value { column, reason: Reason::Type, start, end } => {
                let form = self.form_hint(column, &data[start..end]).unwrap_or_default();
                form + &self.type_hint(block, column)
            }
            Problem::Value { reason: Reason::Encoding, .. } => match self.table.encoding {
                None => ENCODING_HINT.into(),
                Some(_) => format!("this file is not in the encoding that was declared; {ENCODING_HINT}"),
            },
            Problem::Value { reason: Reason::TextAfterQuote, .. } => {
                "a quote inside a quoted field is written twice; or leave such rows out with --on-bad-row skip".into()
            }
            Problem::Fields { found } => {
                let policy = if found < block.layout.n_fields { "pad" } else { "fit" };
                let before_header = match self.table.has_header && block.layout.n_fields < found {
                    true if self.table.schema.field(0).name().starts_with('#') => {
                        "if lines that begin with # are comments, say --comment '#'; "
                    }
                    true => "if lines stand before the header, pass over them with --skip-rows; ",
                    false => "",
                };
                format!(
                    "{before_header}check delimiter and quotes of that row (--delimiter, --quote), make it fit with \
                     --ragged {policy}, or leave such rows out with --on-bad-row skip"
                )
            }
        }
    }

    fn type_hint(&self, block: &Block, column: usize) -> String {
        let name = self.table.schema.field(column).name();
        // A shell takes the name apart at spaces.
        let declared = match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        {
            true => format!("--schema {name}=string"),
            false => format!("--schema '{name}=string'"),
        };
        if !self.table.is_inferred[column] {
            return format!("declare another type with {declared}, or leave such rows out with --on-bad-row skip");
        }
        if !block.layout.was_looked_at {
            return format!(
                "the type was inferred from other files, because there are many: declare it with {declared}, or leave \
                 such rows out with --on-bad-row skip"
            );
        }
        format!(
            "the type was inferred from the first rows: look at more with --infer-rows {}, declare it with {declared}, \
             or leave such rows out with --on-bad-row skip",
            self.table.n_inferred_rows.saturating_mul(10).max(100_000),
        )
    }

    /// What to say first when the value is of the type, but in another form.
    fn form_hint(&self, column: usize, value: &[u8]) -> Option<String> {
        let data_type = self.table.schema.field(column).data_type();
        let value = value.trim_ascii().trim_ascii_start();
        let is_comma =
            value.contains(&b',') && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b',' | b'-' | b'"'));
        let is_iso = value.get(4) == Some(&b'-') || self.table.formats[column].is_some();
        let is_date = !is_iso && value.iter().filter(|byte| matches!(byte, b'/' | b'.' | b'-')).count() == 2;
        let text = match data_type {
            DataType::Float64 | DataType::Float32 | DataType::Decimal128(_, _)
                if is_comma && !self.table.forms.decimal_comma =>
            {
                "if that is a decimal comma, say --decimal-comma; otherwise "
            }
            DataType::Date32 if is_date => "if dates are in that form, spell it out with --date-format; otherwise ",
            DataType::Timestamp(_, _) if is_date => {
                "if timestamps are in that form, spell it out with --timestamp-format; otherwise "
            }
            _ => return None,
        };
        Some(text.into())
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
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        other => other.to_string().to_lowercase(),
    }
}
