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
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a,b", "c"])?.lazy();
    /// let found = rows.select([col("s").str().split(",")]).collect()?;
    /// assert_eq!(found.texts("s"), ["[a, b]", "[c]"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(self, separator: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Split, [separator.into()])
    }

    /// Whether it begins with `prefix`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["DEV-1", "ops-2"])?.lazy();
    /// let found = rows.select([col("s").str().starts_with("DEV")]).collect()?;
    /// assert_eq!(found.texts("s"), ["true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn starts_with(self, prefix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StartsWith, [prefix.into()])
    }

    /// Whether it ends with `suffix`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a.csv", "b.txt"])?.lazy();
    /// let found = rows.select([col("s").str().ends_with(".csv")]).collect()?;
    /// assert_eq!(found.texts("s"), ["true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ends_with(self, suffix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::EndsWith, [suffix.into()])
    }

    /// Whether a part of it matches `pattern`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["DEV-00012", "DEV-7"])?.lazy();
    /// let found = rows.select([col("s").str().contains("[0-9]{5}")]).collect()?;
    /// assert_eq!(found.texts("s"), ["true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(self, pattern: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Contains { literal: false }, [pattern.into()])
    }

    /// Whether `text` is a part of it.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["1.5", "105"])?.lazy();
    /// let found = rows.select([col("s").str().contains_literal(".")]).collect()?;
    /// assert_eq!(found.texts("s"), ["true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains_literal(self, text: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Contains { literal: true }, [text.into()])
    }

    /// Replaces the first match of `pattern`; `$1` in `value` is what the first group matched.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["2024-01", "2023-12"])?.lazy();
    /// let found = rows.select([col("s").str().replace("([0-9]+)-([0-9]+)", "$2/$1")]).collect()?;
    /// assert_eq!(found.texts("s"), ["01/2024", "12/2023"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace(self, pattern: impl Into<Expr>, value: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Replace { all: false, literal: false }, [pattern.into(), value.into()])
    }

    /// Replaces every match of `pattern`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a1b22"])?.lazy();
    /// let found = rows.select([col("s").str().replace_all("[0-9]+", "#")]).collect()?;
    /// assert_eq!(found.texts("s"), ["a#b#"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_all(self, pattern: impl Into<Expr>, value: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Replace { all: true, literal: false }, [pattern.into(), value.into()])
    }

    /// Replaces `text` wherever it stands.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["1.234.567"])?.lazy();
    /// let found = rows.select([col("s").str().replace_all_literal(".", "")]).collect()?;
    /// assert_eq!(found.texts("s"), ["1234567"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_all_literal(self, text: impl Into<Expr>, value: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Replace { all: true, literal: true }, [text.into(), value.into()])
    }

    /// `length` characters from `offset` on, from 0; a negative offset counts from the end.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["abcdef"])?.lazy();
    /// let found = rows.select([col("s").str().slice(-3, 2)]).collect()?;
    /// assert_eq!(found.texts("s"), ["de"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slice(self, offset: impl Into<Expr>, length: impl Into<Expr>) -> Expr {
        self.call(StrFunction::Slice, [offset.into(), length.into()])
    }

    /// The first `n` characters.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["Zürich"])?.lazy();
    /// let found = rows.select([col("s").str().head(3)]).collect()?;
    /// assert_eq!(found.texts("s"), ["Zür"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn head(self, n: u32) -> Expr {
        self.slice(0, n)
    }

    /// Characters.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["Zürich"])?.lazy();
    /// let found = rows.select([col("s").str().len_chars()]).collect()?;
    /// assert_eq!(found.texts("s"), ["6"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len_chars(self) -> Expr {
        self.call(StrFunction::LenChars, [])
    }

    /// Bytes.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["Zürich"])?.lazy();
    /// let found = rows.select([col("s").str().len_bytes()]).collect()?;
    /// assert_eq!(found.texts("s"), ["7"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len_bytes(self) -> Expr {
        self.call(StrFunction::LenBytes, [])
    }

    /// In lower case.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["ÄB"])?.lazy();
    /// let found = rows.select([col("s").str().to_lowercase()]).collect()?;
    /// assert_eq!(found.texts("s"), ["äb"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_lowercase(self) -> Expr {
        self.call(StrFunction::ToLowercase, [])
    }

    /// In upper case.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["äb"])?.lazy();
    /// let found = rows.select([col("s").str().to_uppercase()]).collect()?;
    /// assert_eq!(found.texts("s"), ["ÄB"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_uppercase(self) -> Expr {
        self.call(StrFunction::ToUppercase, [])
    }

    /// Without white space at both ends.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["  a b "])?.lazy();
    /// let found = rows.select([col("s").str().strip_chars()]).collect()?;
    /// assert_eq!(found.texts("s"), ["a b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strip_chars(self) -> Expr {
        self.call(StrFunction::StripChars { start: true, end: true }, [])
    }

    /// Without any of the characters of `chars` at both ends.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["--a-b-"])?.lazy();
    /// let found = rows.select([col("s").str().strip_chars_of("-")]).collect()?;
    /// assert_eq!(found.texts("s"), ["a-b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strip_chars_of(self, chars: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StripChars { start: true, end: true }, [chars.into()])
    }

    /// Without white space at the beginning.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["  a "])?.lazy();
    /// let found = rows.select([col("s").str().strip_chars_start()]).collect()?;
    /// assert_eq!(found.texts("s"), ["a "]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strip_chars_start(self) -> Expr {
        self.call(StrFunction::StripChars { start: true, end: false }, [])
    }

    /// Without white space at the end.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["  a "])?.lazy();
    /// let found = rows.select([col("s").str().strip_chars_end()]).collect()?;
    /// assert_eq!(found.texts("s"), ["  a"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strip_chars_end(self) -> Expr {
        self.call(StrFunction::StripChars { start: false, end: true }, [])
    }

    /// Without `prefix`, if it begins with it.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["re-use", "use"])?.lazy();
    /// let found = rows.select([col("s").str().strip_prefix("re-")]).collect()?;
    /// assert_eq!(found.texts("s"), ["use", "use"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strip_prefix(self, prefix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StripPrefix, [prefix.into()])
    }

    /// Without `suffix`, if it ends with it.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a.csv", "b.txt"])?.lazy();
    /// let found = rows.select([col("s").str().strip_suffix(".csv")]).collect()?;
    /// assert_eq!(found.texts("s"), ["a", "b.txt"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strip_suffix(self, suffix: impl Into<Expr>) -> Expr {
        self.call(StrFunction::StripSuffix, [suffix.into()])
    }

    /// Zeros in front, up to `length` characters; a sign stays in front.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["7", "-7"])?.lazy();
    /// let found = rows.select([col("s").str().zfill(3)]).collect()?;
    /// assert_eq!(found.texts("s"), ["007", "-07"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn zfill(self, length: impl Into<Expr>) -> Expr {
        self.call(StrFunction::ZFill, [length.into()])
    }

    /// What group `group` of `pattern` matched; group 0 is the whole match. NULL without a match.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["id=42", "none"])?.lazy();
    /// let found = rows.select([col("s").str().extract("id=([0-9]+)", 1)]).collect()?;
    /// assert_eq!(found.texts("s"), ["42", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn extract(self, pattern: &str, group: usize) -> Expr {
        self.call(StrFunction::Extract { group }, [pattern.into()])
    }

    /// Reads a date, a datetime or a time. Without a format that is ISO 8601 (`2024-01-15`, `2024-01-15T08:30:00`), also with `/`,
    /// or the day first (`15.01.2024`, `15/01/2024 08:30`). A text that cannot be read is an error.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["15.01.2024"])?.lazy();
    /// let found = rows.select([col("s").str().strptime(DataType::Date32, Some("%d.%m.%Y"))]).collect()?;
    /// assert_eq!(found.texts("s"), ["2024-01-15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strptime(self, to: DataType, format: Option<&str>) -> Expr {
        self.call(StrFunction::Strptime { to, format: format.map(str::to_string), strict: true }, [])
    }

    /// As [`StrExpr::strptime`]; a text that cannot be read becomes NULL (`strict=False` in Polars).
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["2024-01-15", "soon"])?.lazy();
    /// let found = rows.select([col("s").str().strptime_or_null(DataType::Date32, None)]).collect()?;
    /// assert_eq!(found.texts("s"), ["2024-01-15", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strptime_or_null(self, to: DataType, format: Option<&str>) -> Expr {
        self.call(StrFunction::Strptime { to, format: format.map(str::to_string), strict: false }, [])
    }

    /// Reads a date; see [`StrExpr::strptime`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["01/15/2024"])?.lazy();
    /// let found = rows.select([col("s").str().to_date(Some("%m/%d/%Y"))]).collect()?;
    /// assert_eq!(found.texts("s"), ["2024-01-15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_date(self, format: Option<&str>) -> Expr {
        self.strptime(DataType::Date32, format)
    }

    /// Reads a datetime in microseconds; see [`StrExpr::strptime`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["2024-01-15 08:30"])?.lazy();
    /// let found = rows.select([col("s").str().to_datetime(None)]).collect()?;
    /// assert_eq!(found.texts("s"), ["2024-01-15T08:30:00"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_datetime(self, format: Option<&str>) -> Expr {
        self.strptime(DATETIME, format)
    }
}
