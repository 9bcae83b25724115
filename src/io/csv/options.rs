//! What a user can say about a CSV file.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::reject_file::RejectFile;
use super::shared_schema::SharedSchema;
use super::structure::{Comment, NO_QUOTE};
use crate::error::{Error, Result};
use crate::io::suggest::closest;
use crate::memory::Memory;

/// How to read CSV files. The default finds out delimiter, quote, header and types from the first rows.
#[derive(Debug, Clone, Default)]
pub struct CsvOptions {
    /// The byte between fields; `None` picks among comma, semicolon, tab, `|` and a few rare ones.
    pub delimiter: Option<u8>,
    /// The byte around fields that hold delimiters or newlines; doubled inside such a field it stands for itself.
    pub quote: Quote,
    /// Whether the first row names the columns; `None` looks.
    pub header: Option<bool>,
    /// Lines at the start of each file that are passed over, whatever they hold.
    pub skip_rows: u64,
    /// Lines that begin with this (up to 8 ASCII characters) are no rows. `None`: every line is.
    pub comment: Option<String>,
    /// What happens to a row with more or fewer fields than there are columns.
    pub ragged: Ragged,
    /// How the files are encoded; `None` is UTF-8, or UTF-16 where a byte order mark says so.
    pub encoding: Option<Encoding>,
    /// Fractions are written with a comma: `1,5`. A point is no part of a number then.
    pub decimal_comma: bool,
    /// How dates are written, as in `%d.%m.%Y`; `None` is ISO 8601 only.
    pub date_format: Option<String>,
    /// How timestamps are written, as in `%d/%m/%Y %H:%M`; `None` is ISO 8601 only.
    pub timestamp_format: Option<String>,
    /// How the dates, timestamps or times of single columns are written. The columns must be declared.
    pub column_formats: Vec<(String, String)>,
    /// Texts that mean NULL besides the empty field. In text columns only unquoted fields count.
    pub null_values: Vec<String>,
    /// Rows to look at for the types; `None` is 10,000 rows or 1 MiB, whichever ends first.
    pub infer_rows: Option<u64>,
    /// Types that are declared instead of inferred, by column name.
    pub schema_overrides: Vec<(String, DataType)>,
    /// What happens to a row that cannot be read.
    pub on_bad_row: OnBadRow,
    /// The longest row; `None` is 16 MiB or an eighth of the governed memory, whichever is less.
    pub max_row_bytes: Option<u64>,
    /// Several tables are read with these options: a declared column has to be in one of them only.
    #[doc(hidden)]
    pub shared_schema: Option<Arc<SharedSchema>>,
    /// Test setting: bytes a worker reads at once, instead of the size that follows from the budget.
    #[doc(hidden)]
    pub block_bytes: Option<usize>,
}

/// What stands around fields that hold delimiters or newlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quote {
    /// `"`, or `'` where the first rows are quoted with it and have no `"`.
    #[default]
    Detect,
    /// This byte.
    Byte(u8),
    /// Nothing: quotes are text, and a field can hold neither a delimiter nor a newline.
    Off,
}

/// What happens to a row with the wrong number of fields. An empty line is no row in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ragged {
    /// It is a bad row, see [`OnBadRow`].
    #[default]
    Fail,
    /// What a short row lacks is NULL; a long one is a bad row.
    Pad,
    /// What a short row lacks is NULL; what a long one has too much is dropped.
    Fit,
}

/// What happens to a row with the wrong number of fields or with a value that does not fit its column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnBadRow {
    /// The query fails with an error that says where.
    #[default]
    Fail,
    /// The row is left out and counted.
    Skip,
    /// The row is left out, counted, and written to this CSV file: file, line, byte offset, column, reason, raw record.
    /// All tables of a query share one such file, and whoever runs the query publishes it.
    Reject(Arc<RejectFile>),
}

impl OnBadRow {
    /// The reject file, if there is one.
    pub(crate) fn rejects(&self) -> Option<&Arc<RejectFile>> {
        match self {
            OnBadRow::Reject(rejects) => Some(rejects),
            OnBadRow::Fail | OnBadRow::Skip => None,
        }
    }
}

/// How the bytes of a file stand for characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

/// Spellings that are usual elsewhere and not among the labels of the web.
const ALIASES: [(&str, &str); 14] = [
    ("latin-1", "latin1"),
    ("latin9", "iso-8859-15"),
    ("utf_8", "utf-8"),
    ("utf-8-sig", "utf-8"),
    ("utf16", "utf-16"),
    ("utf-16-le", "utf-16le"),
    ("utf-16-be", "utf-16be"),
    ("utf16le", "utf-16le"),
    ("utf16be", "utf-16be"),
    ("cp932", "shift_jis"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("mac-roman", "macintosh"),
];

/// What to offer for a name that is not known.
const KNOWN: [&str; 13] = [
    "utf-8",
    "utf-16le",
    "utf-16be",
    "latin1",
    "cp1250",
    "cp1251",
    "cp1252",
    "iso-8859-15",
    "shift_jis",
    "euc-jp",
    "gbk",
    "gb18030",
    "big5",
];

impl Encoding {
    /// The encoding of that name: `utf-8`, `utf-16le`, `latin1`, `cp1252`, `shift_jis` and the other names that the web
    /// and Python use. As on the web, `latin1` is read as `cp1252`, which has more characters and no fewer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for another name.
    pub fn parse(name: &str) -> Result<Encoding> {
        let lower = name.trim().to_ascii_lowercase();
        let hyphens = lower.replace('_', "-");
        let label = ALIASES.iter().find(|(alias, _)| *alias == lower || *alias == hyphens).map(|(_, label)| *label);
        let labels = [label.unwrap_or(&lower), &hyphens, &lower];
        let found = labels.iter().find_map(|label| encoding_rs::Encoding::for_label_no_replacement(label.as_bytes()));
        found.map(Encoding).ok_or_else(|| {
            let error = Error::usage(format!("{name:?} is not the name of an encoding that can be read"));
            match closest(&lower, KNOWN) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint(format!("known are {} and more", KNOWN.join(", "))),
            }
        })
    }

    /// Whether text in this encoding is read as it stands.
    pub(super) fn is_utf8(self) -> bool {
        self.0 == encoding_rs::UTF_8
    }

    pub(super) const UTF_16LE: Encoding = Encoding(encoding_rs::UTF_16LE);
    pub(super) const UTF_16BE: Encoding = Encoding(encoding_rs::UTF_16BE);

    /// A decoder that takes the text as it comes, without looking for a byte order mark.
    pub(super) fn decoder(self) -> encoding_rs::Decoder {
        self.0.new_decoder_without_bom_handling()
    }

    /// The usual name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The longest row when nothing else is said.
const MAX_ROW_BYTES: u64 = 16 << 20;

impl CsvOptions {
    /// The bound on one row.
    pub(super) fn max_row_bytes(&self, memory: &Memory) -> u64 {
        let bytes = self.max_row_bytes.unwrap_or_else(|| MAX_ROW_BYTES.min(memory.governed_bytes() / 8));
        bytes.clamp(1, 1 << 30)
    }

    /// Bytes of one block.
    pub(super) fn block_bytes(&self, memory: &Memory) -> usize {
        self.block_bytes.unwrap_or(memory.sizes().io_block_bytes).max(1)
    }

    /// The quote before any file is looked at.
    pub(super) fn quote_byte(&self) -> u8 {
        match self.quote {
            Quote::Detect => b'"',
            Quote::Byte(byte) => byte,
            Quote::Off => NO_QUOTE,
        }
    }

    /// Refuses characters that would mean two things.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`].
    pub(super) fn check(&self) -> Result<()> {
        let (quote, delimiter) = (self.quote_byte(), self.delimiter.unwrap_or(0));
        if quote == delimiter && self.quote != Quote::Detect {
            return Err(Error::usage(format!("{:?} cannot be both delimiter and quote", char::from(quote)))
                .with_hint("say --quote none when quotes are text"));
        }
        if matches!(delimiter, b'\n' | b'\r' | b'"') || !delimiter.is_ascii() || matches!(quote, b'\n' | b'\r') {
            return Err(Error::usage(format!("{:?} cannot be between fields or around them", char::from(delimiter)))
                .with_hint("give one ASCII character that is no newline"));
        }
        if self.decimal_comma && delimiter == b',' && quote == NO_QUOTE {
            return Err(Error::usage("a comma cannot be between fields and within them without quotes"));
        }
        Ok(())
    }

    /// How comments begin.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when that would be no comment or would clash with quote, delimiter or newline.
    pub(super) fn comment(&self) -> Result<Comment> {
        let Some(text) = &self.comment else { return Ok(Comment::NONE) };
        let refused = |why: String| Err(Error::usage(format!("comments cannot begin with {text:?}: {why}")));
        let bytes = text.as_bytes();
        if bytes.is_empty() || !text.is_ascii() || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return refused("give ASCII characters, for example '#'".into());
        }
        if bytes.contains(&self.quote_byte()) || self.delimiter.is_some_and(|delimiter| bytes.contains(&delimiter)) {
            return refused("it has the quote or the delimiter in it".into());
        }
        match Comment::new(bytes) {
            Some(comment) => Ok(comment),
            None => refused(format!("give at most {} characters", Comment::MAX_BYTES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_have_many_names() {
        for (name, want) in [
            ("latin-1", "windows-1252"),
            ("ISO-8859-1", "windows-1252"),
            ("cp1252", "windows-1252"),
            ("utf_16_le", "UTF-16LE"),
            ("UTF-16", "UTF-16LE"),
            ("cp949", "EUC-KR"),
            ("Shift_JIS", "Shift_JIS"),
            ("utf8", "UTF-8"),
            ("iso8859-15", "ISO-8859-15"),
        ] {
            assert_eq!(Encoding::parse(name).unwrap().name(), want, "{name}");
        }
        let error = Encoding::parse("cp1253x").unwrap_err();
        assert_eq!(error.hint(), Some("did you mean cp1250?"));
        assert!(Encoding::parse("nonsense").unwrap_err().hint().unwrap().starts_with("known are utf-8"));
    }

    #[test]
    fn comments_that_would_clash_are_refused() {
        for (comment, is_refused) in [("#", false), ("//", false), ("", true), ("\"", true), (";x", true), ("é", true)]
        {
            let options = CsvOptions { comment: Some(comment.into()), delimiter: Some(b';'), ..CsvOptions::default() };
            assert_eq!(options.comment().is_err(), is_refused, "{comment}");
        }
    }
}
