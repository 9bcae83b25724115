//! Options by name, as text: what the command line, `read_csv(..)` in SQL and pipeline files have in common.

use super::options::{CsvOptions, Encoding, OnBadRow, Quote, Ragged};
use crate::error::{Error, Result};
use crate::io::suggest::closest;
use crate::io::type_names::{DeclaredColumn, parse_columns};
use crate::memory::parse_bytes;

/// The names that [`CsvOptions::set`] knows.
const NAMES: [&str; 15] = [
    "delimiter",
    "quote",
    "header",
    "skip_rows",
    "comment",
    "ragged",
    "encoding",
    "decimal_comma",
    "date_format",
    "timestamp_format",
    "null_value",
    "infer_rows",
    "schema",
    "on_bad_row",
    "max_row_bytes",
];

/// What other tools call them.
const ALIASES: [(&str, &str); 8] = [
    ("delim", "delimiter"),
    ("sep", "delimiter"),
    ("separator", "delimiter"),
    ("skip", "skip_rows"),
    ("nullstr", "null_value"),
    ("dateformat", "date_format"),
    ("timestampformat", "timestamp_format"),
    ("types", "schema"),
];

impl CsvOptions {
    /// Sets one option by the name that its flag has, with `_` or `-`: `set("delimiter", ";")`. Columns that are declared
    /// with `schema` take the place of all that were declared before.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for a name or a value that is not known.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let plain = name.to_ascii_lowercase().replace('-', "_");
        let plain = ALIASES.iter().find(|(alias, _)| *alias == plain).map_or(plain.as_str(), |(_, name)| name);
        let done = match plain {
            "delimiter" => parse_delimiter(value).map(|byte| self.delimiter = Some(byte)),
            "quote" => parse_quote(value).map(|quote| self.quote = quote),
            "header" => parse_yes_no(value).map(|header| self.header = Some(header)),
            "skip_rows" => parse_count(value).map(|n_rows| self.skip_rows = n_rows),
            "comment" => {
                self.comment = Some(value.into());
                Ok(())
            }
            "ragged" => parse_ragged(value).map(|ragged| self.ragged = ragged),
            "encoding" => parse_encoding(value).map(|encoding| self.encoding = Some(encoding)),
            "decimal_comma" => parse_yes_no(value).map(|is_on| self.decimal_comma = is_on),
            "date_format" => {
                self.date_format = Some(value.into());
                Ok(())
            }
            "timestamp_format" => {
                self.timestamp_format = Some(value.into());
                Ok(())
            }
            "null_value" => {
                self.null_values.push(value.into());
                Ok(())
            }
            "infer_rows" => parse_count(value).map(|n_rows| self.infer_rows = Some(n_rows)),
            "schema" => parse_columns(value).map(|columns| {
                self.schema_overrides.clear();
                self.column_formats.clear();
                self.shared_schema = None;
                self.declare(columns.into_iter());
            }),
            "on_bad_row" => parse_fail_or_skip(value).map(|policy| self.on_bad_row = policy),
            "max_row_bytes" => {
                parse_bytes(value).map(|bytes| self.max_row_bytes = Some(bytes)).map_err(|error| error.to_string())
            }
            _ => {
                let error = Error::usage(format!("there is no option {name:?} for reading CSV"));
                return Err(match closest(plain, NAMES) {
                    Some(near) => error.with_hint(format!("did you mean {near}?")),
                    None => error.with_hint(format!("there are {}", NAMES.join(", "))),
                });
            }
        };
        done.map_err(|why| Error::usage(format!("{value:?} is no value of the option {plain}: {why}")))
    }

    /// Declares columns.
    pub(crate) fn declare(&mut self, columns: impl Iterator<Item = DeclaredColumn>) {
        for column in columns {
            self.column_formats.extend(column.format.map(|format| (column.name.clone(), format)));
            self.schema_overrides.push((column.name, column.data_type));
        }
    }
}

fn parse_fail_or_skip(text: &str) -> Result<OnBadRow, String> {
    match text {
        "fail" => Ok(OnBadRow::Fail),
        "skip" => Ok(OnBadRow::Skip),
        _ => Err("give fail or skip; --on-bad-row reject=FILE is for all tables of a query".into()),
    }
}

fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a whole number".into())
}

/// The character around fields.
pub(crate) fn parse_quote(text: &str) -> Result<Quote, String> {
    match text.as_bytes() {
        b"none" | b"" => Ok(Quote::Off),
        [byte] if byte.is_ascii_punctuation() && *byte != b',' => Ok(Quote::Byte(*byte)),
        _ => Err("give one ASCII punctuation character, or none".into()),
    }
}

/// What happens to rows of another width.
pub(crate) fn parse_ragged(text: &str) -> Result<Ragged, String> {
    match text {
        "fail" => Ok(Ragged::Fail),
        "pad" => Ok(Ragged::Pad),
        "fit" => Ok(Ragged::Fit),
        _ => Err("give fail, pad or fit".into()),
    }
}

/// An encoding by its name.
pub(crate) fn parse_encoding(text: &str) -> Result<Encoding, String> {
    Encoding::parse(text).map_err(|error| error.to_string())
}

/// A truth value.
pub(crate) fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("give yes or no".into()),
    }
}

/// The character between fields.
pub(crate) fn parse_delimiter(text: &str) -> Result<u8, String> {
    let code = text.strip_prefix("\\x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    match (text, text.as_bytes(), code) {
        ("\\t" | "tab", _, _) => Ok(b'\t'),
        (_, &[byte], _) | (_, _, Some(byte)) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(byte),
        _ => Err("give one ASCII character, tab, or the code of one as in \\x01".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_set_by_name() {
        let mut options = CsvOptions::default();
        for (name, value) in [
            ("delim", ";"),
            ("skip-rows", "2"),
            ("Header", "no"),
            ("schema", "a=varchar,d=date(%d.%m.%Y)"),
            ("null_value", "NA"),
            ("null_value", "-"),
            ("decimal_comma", "true"),
        ] {
            options.set(name, value).unwrap();
        }
        assert_eq!((options.delimiter, options.skip_rows, options.header), (Some(b';'), 2, Some(false)));
        assert_eq!((options.schema_overrides.len(), options.column_formats.len()), (2, 1));
        assert_eq!((options.null_values.len(), options.decimal_comma), (2, true));
        assert_eq!(options.set("delimeter", ";").unwrap_err().hint(), Some("did you mean delimiter?"));
        for (name, value) in [("delimiter", "||"), ("skip_rows", "-1"), ("ragged", "x"), ("on_bad_row", "reject=x")] {
            assert_eq!(options.set(name, value).unwrap_err().kind(), crate::ErrorKind::Usage);
        }
    }

    #[test]
    fn every_name_is_known() {
        for name in NAMES.into_iter().chain(ALIASES.map(|(alias, _)| alias)) {
            let error = CsvOptions::default().set(name, "no such value \u{0}").err();
            assert!(error.is_none_or(|error| !error.to_string().contains("there is no option")), "{name}");
        }
    }
}
