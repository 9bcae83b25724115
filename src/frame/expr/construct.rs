//! Where expressions begin: columns, values, and functions of several expressions.

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use datafusion_common::ScalarValue;

use super::{Expr, Function, IntoColumns, Node, Selection};

/// The column of that name; `"*"` means all.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, 2])?.lazy();
/// let found = rows.select([col("n") * 10]).collect()?;
/// assert_eq!(found.texts("n"), ["10", "20"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn col(name: impl Into<String>) -> Expr {
    let name = name.into();
    match name.as_str() {
        "*" => all(),
        _ => Expr::new(Node::Column(name)),
    }
}

/// Several columns: what is done to them is done to each.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [1, 2], "b" => [3, 4], "c" => [5, 6])?.lazy();
/// let found = rows.select([cols(["a", "b"]).sum()]).collect()?;
/// assert_eq!(found.texts("b"), ["7"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn cols<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Expr {
    Expr::new(Node::Columns(Selection::Named(names.into_iter().map(Into::into).collect())))
}

/// All columns: what is done to them is done to each.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [Some(1), None], "b" => [None, None::<i64>])?.lazy();
/// let found = rows.select([all().null_count()]).collect()?;
/// assert_eq!(found.texts("a"), ["1"]);
/// assert_eq!(found.texts("b"), ["2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn all() -> Expr {
    Expr::new(Node::Columns(Selection::AllExcept(Vec::new())))
}

impl Expr {
    /// Leaves some columns out of [`all`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1], "name" => ["Ada"], "note" => ["x"])?.lazy();
    /// let found = rows.select([all().exclude(["note"])]).collect()?;
    /// assert_eq!(found.get_column_names(), ["id", "name"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exclude<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Expr {
        let left_out = names.into_iter().map(Into::into);
        match self.node.as_ref() {
            Node::Columns(Selection::AllExcept(before)) => {
                let names = before.iter().cloned().chain(left_out).collect();
                Expr::new(Node::Columns(Selection::AllExcept(names)))
            }
            Node::Columns(Selection::Named(names)) => {
                let left_out: Vec<String> = left_out.collect();
                let names = names.iter().filter(|name| !left_out.contains(name)).cloned().collect();
                Expr::new(Node::Columns(Selection::Named(names)))
            }
            _ => self,
        }
    }
}

/// A value.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "price" => [2.5, 4.0])?.lazy();
/// let found = rows.with_columns([lit("EUR").alias("currency")]).collect()?;
/// assert_eq!(found.texts("currency"), ["EUR", "EUR"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lit(value: impl Into<Expr>) -> Expr {
    value.into()
}

/// NULL.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, -1])?.lazy();
/// let found = rows.select([when(col("n").gt(0)).then(col("n")).otherwise(null())]).collect()?;
/// assert_eq!(found.texts("n"), ["1", "null"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn null() -> Expr {
    literal(ScalarValue::Null)
}

pub(in crate::frame) fn literal(value: ScalarValue) -> Expr {
    Expr::new(Node::Literal(value))
}

/// The first of the expressions that is not NULL.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "mobile" => [None, Some("077")], "home" => [Some("030"), Some("031")])?.lazy();
/// let found = rows.select([coalesce(["mobile", "home"])]).collect()?;
/// assert_eq!(found.texts("mobile"), ["030", "077"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn coalesce(exprs: impl IntoColumns) -> Expr {
    Expr::call(Function::Coalesce, exprs.into_columns())
}

/// Texts one after the other with `separator` between them; NULL when one of them is. Other types are written as text.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "city" => ["Rome", "Oslo"], "n" => [Some(1), None])?.lazy();
/// let found = rows.select([concat_str(["city", "n"], "-")]).collect()?;
/// assert_eq!(found.texts("city"), ["Rome-1", "null"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn concat_str(exprs: impl IntoColumns, separator: &str) -> Expr {
    let function = Function::ConcatStr { separator: separator.to_string(), ignore_nulls: false };
    Expr::call(function, exprs.into_columns())
}

/// A date from year, month and day, which may be columns.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "month" => [1, 12])?.lazy();
/// let found = rows.select([date(2024, col("month"), 1).alias("first")]).collect()?;
/// assert_eq!(found.texts("first"), ["2024-01-01", "2024-12-01"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn date(year: impl Into<Expr>, month: impl Into<Expr>, day: impl Into<Expr>) -> Expr {
    datetime(year, month, day).cast(DataType::Date32)
}

/// Midnight of a day from year, month and day, which may be columns.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "day" => [28, 29])?.lazy();
/// let found = rows.select([datetime(2024, 2, col("day")).alias("at")]).collect()?;
/// assert_eq!(found.texts("at"), ["2024-02-28T00:00:00", "2024-02-29T00:00:00"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn datetime(year: impl Into<Expr>, month: impl Into<Expr>, day: impl Into<Expr>) -> Expr {
    Expr::call(Function::Datetime, vec![year.into(), month.into(), day.into()])
}

/// A moment from year, month, day, hour, minute and second, which may be columns.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "hour" => [8, 17])?.lazy();
/// let found = rows.select([datetime_at((2024, 1, 15), (col("hour"), 30, 0)).alias("at")]).collect()?;
/// assert_eq!(found.texts("at"), ["2024-01-15T08:30:00", "2024-01-15T17:30:00"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn datetime_at(
    (year, month, day): (impl Into<Expr>, impl Into<Expr>, impl Into<Expr>),
    (hour, minute, second): (impl Into<Expr>, impl Into<Expr>, impl Into<Expr>),
) -> Expr {
    let args = vec![year.into(), month.into(), day.into(), hour.into(), minute.into(), second.into()];
    Expr::call(Function::Datetime, args)
}

/// Any function of SQL by its name, for those that have no method here.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "s" => ["kitten"])?.lazy();
/// let found = rows.select([function("levenshtein", [col("s"), lit("sitting")]).alias("steps")]).collect()?;
/// assert_eq!(found.texts("steps"), ["3"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn function(name: impl Into<String>, args: impl IntoIterator<Item = Expr>) -> Expr {
    Expr::new(Node::Named(name.into(), args.into_iter().collect()))
}

macro_rules! literals {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Expr {
            fn from(value: $from) -> Self {
                literal(ScalarValue::$variant(Some(value)))
            }
        }

        impl From<Option<$from>> for Expr {
            fn from(value: Option<$from>) -> Self {
                literal(ScalarValue::$variant(value))
            }
        }
    )*};
}

literals!(
    bool => Boolean,
    i8 => Int8,
    i16 => Int16,
    i64 => Int64,
    u8 => UInt8,
    u16 => UInt16,
    u32 => UInt32,
    u64 => UInt64,
    f32 => Float32,
    f64 => Float64,
    String => Utf8,
);

/// A whole number without a suffix is an `i32` in Rust; here it is a value of 64 bits.
impl From<i32> for Expr {
    fn from(value: i32) -> Self {
        literal(ScalarValue::Int64(Some(i64::from(value))))
    }
}

impl From<usize> for Expr {
    fn from(value: usize) -> Self {
        literal(ScalarValue::UInt64(Some(value as u64)))
    }
}

impl From<&str> for Expr {
    fn from(value: &str) -> Self {
        literal(ScalarValue::Utf8(Some(value.to_string())))
    }
}

impl From<&String> for Expr {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl From<NaiveDate> for Expr {
    fn from(value: NaiveDate) -> Self {
        let days = value.signed_duration_since(NaiveDate::default()).num_days();
        // A date of the calendar fits: there are 262,142 years of them either way.
        literal(ScalarValue::Date32(i32::try_from(days).ok()))
    }
}

impl From<NaiveDateTime> for Expr {
    fn from(value: NaiveDateTime) -> Self {
        literal(ScalarValue::TimestampMicrosecond(Some(value.and_utc().timestamp_micros()), None))
    }
}

impl From<DateTime<Utc>> for Expr {
    fn from(value: DateTime<Utc>) -> Self {
        literal(ScalarValue::TimestampMicrosecond(Some(value.timestamp_micros()), Some("UTC".into())))
    }
}

impl From<NaiveTime> for Expr {
    fn from(value: NaiveTime) -> Self {
        let micros = i64::from(value.num_seconds_from_midnight()) * 1_000_000 + i64::from(value.nanosecond()) / 1000;
        literal(ScalarValue::Time64Microsecond(Some(micros)))
    }
}

impl From<chrono::TimeDelta> for Expr {
    fn from(value: chrono::TimeDelta) -> Self {
        literal(ScalarValue::DurationMicrosecond(value.num_microseconds()))
    }
}

impl From<&Expr> for Expr {
    fn from(value: &Expr) -> Self {
        value.clone()
    }
}

/// What texts are read as when nothing else is said.
pub(in crate::frame) const DATETIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
