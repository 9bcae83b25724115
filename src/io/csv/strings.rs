//! Quoted fields, and text columns.

use std::borrow::Cow;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::column::{ColumnBuilder, Misfit, NullTexts, Reason, Validity};
use super::structure::NO_QUOTE;
use super::tokens::Rows;
use crate::error::Result;

/// Bytes that a short value is copied with, whatever its length.
const SHORT: usize = 16;

/// What is wrong with a field that begins with a quote and cannot be unquoted.
pub(super) fn why_not(quote: u8) -> Reason {
    if quote == NO_QUOTE { Reason::Encoding } else { Reason::TextAfterQuote }
}

/// What stands between the quotes of a quoted field, or `None` when text follows the closing quote or there are none.
pub(super) fn unquote(field: &[u8], quote: u8) -> Option<Cow<'_, [u8]>> {
    if quote == NO_QUOTE {
        return None;
    }
    let inner = field.get(1..)?;
    let first = inner.iter().position(|&byte| byte == quote)?;
    if first + 1 == inner.len() {
        return Some(Cow::Borrowed(&inner[..first]));
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        let at = rest.iter().position(|&byte| byte == quote)?;
        text.extend_from_slice(&rest[..at]);
        match &rest[at + 1..] {
            [] => return Some(Cow::Owned(text)),
            [next, more @ ..] if *next == quote => {
                text.push(quote);
                rest = more;
            }
            _ => return None,
        }
    }
}

/// A column of text.
pub(super) struct TextBuilder {
    /// The values one after the other, then room that is already zeroed.
    values: Vec<u8>,
    n_bytes: usize,
    offsets: Vec<i32>,
    validity: Validity,
    quote: u8,
    nulls: NullTexts,
}

impl TextBuilder {
    pub(super) fn new(quote: u8, nulls: NullTexts) -> Self {
        let (values, offsets, validity) = (Vec::new(), vec![0], Validity::new());
        TextBuilder { values, n_bytes: 0, offsets, validity, quote, nulls }
    }

    /// Room for `bytes` more and for one short copy behind them.
    fn make_room(&mut self, bytes: usize) {
        let need = self.n_bytes + bytes + SHORT;
        if self.values.len() < need {
            self.values.resize(need.max(self.values.len() + self.values.len() / 2), 0);
        }
    }

    fn push_quoted(&mut self, row: usize, field: &[u8], misfits: &mut Vec<Misfit>) {
        match unquote(field, self.quote) {
            Some(text) => {
                self.values[self.n_bytes..self.n_bytes + text.len()].copy_from_slice(&text);
                self.n_bytes += text.len();
            }
            None => misfits.push(Misfit { row, reason: why_not(self.quote) }),
        }
    }

    /// Checks what was appended since `n_before` values; only text that is not ASCII is looked at value by value.
    fn check_encoding(&self, n_before: usize, misfits: &mut Vec<Misfit>) {
        let start = self.offsets[n_before] as usize;
        let appended = &self.values[start..self.n_bytes];
        if appended.is_ascii() {
            return;
        }
        let offsets = &self.offsets[n_before..];
        if let Ok(text) = std::str::from_utf8(appended)
            && offsets.iter().all(|&offset| text.is_char_boundary(offset as usize - start))
        {
            return;
        }
        for (row, range) in offsets.windows(2).enumerate() {
            if std::str::from_utf8(&self.values[range[0] as usize..range[1] as usize]).is_err() {
                misfits.push(Misfit { row, reason: Reason::Encoding });
            }
        }
    }
}

impl ColumnBuilder for TextBuilder {
    fn append(&mut self, rows: &Rows<'_>, column: usize, misfits: &mut Vec<Misfit>) {
        let n_before = self.offsets.len() - 1;
        self.make_room((0..rows.n_rows).map(|row| rows.field(row, column)).map(|(start, end)| end - start).sum());
        self.offsets.reserve(rows.n_rows);
        for row in 0..rows.n_rows {
            let (start, end) = rows.field(row, column);
            let len = end - start;
            let field = &rows.data[start..end];
            if field.first() == Some(&self.quote) {
                self.push_quoted(row, field, misfits);
            } else if len == 0 || self.nulls.contains(field) {
                self.validity.push_null(row);
            } else {
                match (
                    rows.data[start..].first_chunk::<SHORT>(),
                    self.values[self.n_bytes..].first_chunk_mut::<SHORT>(),
                ) {
                    (Some(from), Some(to)) if len <= SHORT => *to = *from,
                    _ => self.values[self.n_bytes..self.n_bytes + len].copy_from_slice(field),
                }
                self.n_bytes += len;
            }
            self.offsets.push(self.n_bytes as i32);
        }
        self.validity.close_run(rows.n_rows);
        self.check_encoding(n_before, misfits);
    }

    fn append_nulls(&mut self, n: usize) {
        self.offsets.extend(std::iter::repeat_n(self.n_bytes as i32, n));
        self.validity.append_nulls(n);
    }

    fn truncate(&mut self, n: usize) {
        self.offsets.truncate(n + 1);
        self.n_bytes = self.offsets.last().copied().unwrap_or(0) as usize;
        self.validity.truncate(n);
    }

    fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let n_values = self.offsets.len();
        let mut values = std::mem::take(&mut self.values);
        values.truncate(self.n_bytes);
        self.n_bytes = 0;
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(n_values));
        self.offsets.push(0);
        let nulls: Option<NullBuffer> = self.validity.finish();
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(std::sync::Arc::new(StringArray::try_new(offsets, Buffer::from_vec(values), nulls)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_off_and_double_quotes_become_one() {
        let check = |field: &str, want: Option<&str>| {
            assert_eq!(unquote(field.as_bytes(), b'"').as_deref(), want.map(str::as_bytes), "{field}");
        };
        check(r#""""#, Some(""));
        check(r#""a,b""#, Some("a,b"));
        check(r#""a""b""#, Some(r#"a"b"#));
        check(r#""""""#, Some(r#"""#));
        check(r#""a"b"#, None);
        check(r#""a"#, None);
    }
}
