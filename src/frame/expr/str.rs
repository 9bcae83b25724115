//! Functions of texts.

use arrow::datatypes::DataType;

use super::construct::DATETIME;
use super::{Expr, Function, StrFunction};

/// Functions of texts; see [`Expr::str`]. Patterns are regular expressions; positions and lengths count characters.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "s" => ["DEV-00012", " dev-7 "])?.lazy();
/// let s = || col("s").str();
/// let shown = rows
///     .select([
///         s().split("-").list().get(1).alias("second"),
///         s().strip_chars().str().to_uppercase().alias("clean"),
///         s().contains("[0-9]{5}").alias("five"),
///         s().extract("([0-9]+)", 1).cast(DataType::Int64).alias("number"),
///         s().replace_all("-", "_").str().slice(0, 4).alias("start"),
///         s().strptime_or_null(DataType::Date32, Some("%d.%m.%Y")).alias("day"),
///     ])
///     .collect()?;
/// assert_eq!(shown.text(0, "second"), Some("00012".to_string()));
/// assert_eq!(shown.text(1, "clean"), Some("DEV-7".to_string()));
/// assert_eq!((shown.text(0, "five"), shown.text(1, "number")), (Some("true".to_string()), Some("7".to_string())));
/// assert_eq!((shown.text(0, "start"), shown.text(0, "day")), (Some("DEV_".to_string()), None));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StrExpr(pub(super) Expr);

impl StrExpr {
    fn call(self, function: StrFunction, args: impl IntoIterator<Item = Expr>) -> Expr {
        Expr::call(Function::Str(function), std::iter::once(self.0).chain(args).collect())
    }

    /// The parts between `separator`, as a list.
    pub fn split(self, separator: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Split, [separator.into()])
    }

    /// Whether it begins with `prefix`.
    pub fn starts_with(self, prefix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StartsWith, [prefix.into()])
    }

    /// Whether it ends with `suffix`.
    pub fn ends_with(self, suffix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::EndsWith, [suffix.into()])
    }

    /// Whether a part of it matches `pattern`.
    pub fn contains(self, pattern: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Contains { literal: false }, [pattern.into()])
    }

    /// Whether `text` is a part of it.
    pub fn contains_literal(self, text: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Contains { literal: true }, [text.into()])
    }

    /// Replaces the first match of `pattern`; `$1` in `value` is what the first group matched.
    pub fn replace(self, pattern: impl Into<Expr>, value: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Replace { all: false, literal: false }, [pattern.into(), value.into()])
    }

    /// Replaces every match of `pattern`.
    pub fn replace_all(self, pattern: impl Into<Expr>, value: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Replace { all: true, literal: false }, [pattern.into(), value.into()])
    }

    /// Replaces `text` wherever it stands.
    pub fn replace_all_literal(self, text: impl Into<Expr>, value: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Replace { all: true, literal: true }, [text.into(), value.into()])
    }

    /// `length` characters from `offset` on, from 0; a negative offset counts from the end.
    pub fn slice(self, offset: impl Into<Expr>, length: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Slice, [offset.into(), length.into()])
    }

    /// The first `n` characters.
    pub fn head(self, n: u32) -> Expr {
        self.slice(0, n)
    }

    /// Characters.
    pub fn len_chars(self) -> Expr {
        self.call(StrFunction::LenChars, [])
    }

    /// Bytes.
    pub fn len_bytes(self) -> Expr {
        self.call(StrFunction::LenBytes, [])
    }

    /// In lower case.
    pub fn to_lowercase(self) -> Expr {
        self.call(StrFunction::ToLowercase, [])
    }

    /// In upper case.
    pub fn to_uppercase(self) -> Expr {
        self.call(StrFunction::ToUppercase, [])
    }

    /// Without white space at both ends.
    pub fn strip_chars(self) -> Expr {
        self.call(StrFunction::StripChars { start: true, end: true }, [])
    }

    /// Without any of the characters of `chars` at both ends.
    pub fn strip_chars_of(self, chars: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StripChars { start: true, end: true }, [chars.into()])
    }

    /// Without white space at the beginning.
    pub fn strip_chars_start(self) -> Expr {
        self.call(StrFunction::StripChars { start: true, end: false }, [])
    }

    /// Without white space at the end.
    pub fn strip_chars_end(self) -> Expr {
        self.call(StrFunction::StripChars { start: false, end: true }, [])
    }

    /// Without `prefix`, if it begins with it.
    pub fn strip_prefix(self, prefix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StripPrefix, [prefix.into()])
    }

    /// Without `suffix`, if it ends with it.
    pub fn strip_suffix(self, suffix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StripSuffix, [suffix.into()])
    }

    /// Zeros in front, up to `length` characters; a sign stays in front.
    pub fn zfill(self, length: impl Into<Expr>) -> Expr {
        self.call(StrFunction::ZFill, [length.into()])
    }

    /// What group `group` of `pattern` matched; group 0 is the whole match. NULL without a match.
    pub fn extract(self, pattern: &str, group: usize) -> Expr {
        self.call(StrFunction::Extract { group }, [pattern.into()])
    }

    /// Reads a date, a datetime or a time. `None` as the format means ISO 8601. A text that cannot be read is an error.
    pub fn strptime(self, to: DataType, format: Option<&str>) -> Expr {
        self.call(StrFunction::Strptime { to, format: format.map(str::to_string), strict: true }, [])
    }

    /// As [`StrExpr::strptime`]; a text that cannot be read becomes NULL (`strict=False` in Polars).
    pub fn strptime_or_null(self, to: DataType, format: Option<&str>) -> Expr {
        self.call(StrFunction::Strptime { to, format: format.map(str::to_string), strict: false }, [])
    }

    /// Reads a date; see [`StrExpr::strptime`].
    pub fn to_date(self, format: Option<&str>) -> Expr {
        self.strptime(DataType::Date32, format)
    }

    /// Reads a datetime in microseconds; see [`StrExpr::strptime`].
    pub fn to_datetime(self, format: Option<&str>) -> Expr {
        self.strptime(DATETIME, format)
    }
}
