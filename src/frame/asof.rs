//! As-of joins: each row with the nearest row of another frame.

use datafusion_common::ScalarValue;
use datafusion_expr::expr::Expr as Planned;

use super::expr::{Expr, IntoColumn, IntoColumns, col};
use super::joins::{Side, same_type, with_suffix};
use super::lazy::LazyFrame;
use super::resolve::parse_duration;
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::operators::asof::Direction;
use crate::physical::{AsofJoin, AsofMatch};
use crate::sql::plan_failure;

/// Where [`LazyFrame::join_asof`] looks for the other row.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "at" => [5])?.lazy();
/// let prices = df!(session, "at" => [1, 6], "price" => [10, 60])?.lazy();
/// let at = |strategy| {
///     let options = AsofOptions::new().with_strategy(strategy);
///     rows.clone().join_asof_on(prices.clone(), "at", options).collect().map(|found| found.texts("price"))
/// };
/// assert_eq!(at(AsofStrategy::Backward)?, ["10"]);
/// assert_eq!(at(AsofStrategy::Nearest)?, ["60"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AsofStrategy {
    /// The last row that is not after this one.
    #[default]
    Backward,
    /// The first row that is not before this one.
    Forward,
    /// The nearer one of both; of two that are equally near the one before.
    Nearest,
}

/// How far away the other row of [`LazyFrame::join_asof`] may be: a number where numbers are compared, `"90s"`, `"1h30m"` or
/// `"2d"` (or a [`std::time::Duration`]) where dates or times are.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "at" => ["2024-01-15 09:10"])?.lazy();
/// let rows = rows.select([col("at").str().to_datetime(None)]);
/// let prices = df!(session, "at" => ["2024-01-15 09:00"], "price" => [10])?.lazy();
/// let prices = prices.with_column(col("at").str().to_datetime(None));
/// let within = |tolerance: &str| {
///     let options = AsofOptions::new().with_tolerance(tolerance);
///     rows.clone().join_asof_on(prices.clone(), "at", options).collect().map(|found| found.texts("price"))
/// };
/// assert_eq!(within("5m")?, ["null"]);
/// assert_eq!(within("1h")?, ["10"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AsofTolerance(Given);

#[derive(Debug, Clone, PartialEq)]
enum Given {
    Value(ScalarValue),
    Text(String),
    Duration(std::time::Duration),
}

impl AsofTolerance {
    fn value(&self) -> Result<ScalarValue> {
        match &self.0 {
            Given::Value(value) => Ok(value.clone()),
            Given::Text(text) => Ok(ScalarValue::DurationNanosecond(Some(parse_duration(text)?))),
            Given::Duration(duration) => match i64::try_from(duration.as_nanos()) {
                Ok(nanos) => Ok(ScalarValue::DurationNanosecond(Some(nanos))),
                Err(_) => Err(Error::usage(format!("a tolerance of {duration:?} is too long"))),
            },
        }
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for AsofTolerance {
            fn from(number: $number) -> Self {
                AsofTolerance(Given::Value(ScalarValue::from(number)))
            }
        }
    )*}
}

from_numbers!(i32, i64, u32, u64, f32, f64);

impl From<&str> for AsofTolerance {
    fn from(text: &str) -> Self {
        AsofTolerance(Given::Text(text.to_string()))
    }
}

impl From<String> for AsofTolerance {
    fn from(text: String) -> Self {
        AsofTolerance(Given::Text(text))
    }
}

impl From<std::time::Duration> for AsofTolerance {
    fn from(duration: std::time::Duration) -> Self {
        AsofTolerance(Given::Duration(duration))
    }
}

/// How two frames are joined by nearness.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let trades = df!(
///     session,
///     "at" => ["2024-01-15 09:00:03", "2024-01-15 09:00:07", "2024-01-15 09:30:00"],
///     "stock" => ["A", "A", "B"]
/// )?
/// .lazy()
/// .with_columns([col("at").str().to_datetime(None)]);
/// let quotes = df!(
///     session,
///     "at" => ["2024-01-15 09:00:01", "2024-01-15 09:00:06", "2024-01-15 09:00:08", "2024-01-15 09:00:00"],
///     "stock" => ["A", "A", "A", "B"],
///     "price" => [10, 11, 12, 70]
/// )?
/// .lazy()
/// .with_columns([col("at").str().to_datetime(None)]);
/// let options = AsofOptions::new().with_by("stock").with_tolerance("10m");
/// let joined = trades.clone().join_asof_on(quotes.clone(), "at", options).sort("at", SortOptions::new()).collect()?;
/// assert_eq!(joined.get_column_names(), ["at", "stock", "price"]);
/// let prices = [0, 1, 2].map(|row| joined.text(row, "price"));
/// assert_eq!(prices, [Some("10".to_string()), Some("11".to_string()), None]);
///
/// let next = AsofOptions::new().with_by("stock").with_strategy(AsofStrategy::Forward);
/// let next = trades.clone().join_asof(quotes.clone(), "at", "at", next).sort("at", SortOptions::new()).collect()?;
/// assert_eq!(next.text(1, "price"), Some("12".to_string()));
///
/// // Times are not so and so many of anything.
/// let mistake = trades.join_asof_on(quotes, "at", AsofOptions::new().with_by("stock").with_tolerance(600));
/// assert!(mistake.collect_schema().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AsofOptions {
    left_by: Vec<Expr>,
    right_by: Vec<Expr>,
    strategy: AsofStrategy,
    tolerance: Option<AsofTolerance>,
    allow_exact_matches: bool,
    suffix: String,
    coalesce: bool,
}

impl AsofOptions {
    /// The last row that is not after this one, however far away.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let options = AsofOptions::new();
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["40", "40"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        AsofOptions {
            left_by: Vec::new(),
            right_by: Vec::new(),
            strategy: AsofStrategy::Backward,
            tolerance: None,
            allow_exact_matches: true,
            suffix: "_right".to_string(),
            coalesce: true,
        }
    }

    /// Columns of both frames in which the rows must be equal.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8], "stock" => ["A", "B"])?.lazy();
    /// let prices = df!(session, "at" => [1, 2], "stock" => ["B", "A"], "price" => [10, 20])?.lazy();
    /// let options = AsofOptions::new().with_by("stock");
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["20", "10"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_by(self, by: impl IntoColumns) -> Self {
        let by = by.into_columns();
        AsofOptions { left_by: by.clone(), right_by: by, ..self }
    }

    /// Columns of this frame that must be equal to those of [`AsofOptions::with_right_by`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8], "stock" => ["A", "B"])?.lazy();
    /// let prices = df!(session, "at" => [1, 2], "name" => ["B", "A"], "price" => [10, 20])?.lazy();
    /// let options = AsofOptions::new().with_left_by("stock").with_right_by("name");
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["20", "10"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_left_by(self, by: impl IntoColumns) -> Self {
        AsofOptions { left_by: by.into_columns(), ..self }
    }

    /// Columns of the other frame that must be equal to those of [`AsofOptions::with_left_by`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8], "stock" => ["A", "C"])?.lazy();
    /// let prices = df!(session, "at" => [1, 2], "name" => ["B", "A"], "price" => [10, 20])?.lazy();
    /// let options = AsofOptions::new().with_left_by("stock").with_right_by("name");
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["20", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_right_by(self, by: impl IntoColumns) -> Self {
        AsofOptions { right_by: by.into_columns(), ..self }
    }

    /// Where the other row is looked for.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let options = AsofOptions::new().with_strategy(AsofStrategy::Forward);
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["40", "90"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_strategy(self, strategy: AsofStrategy) -> Self {
        AsofOptions { strategy, ..self }
    }

    /// How far away it may be. A number goes with numbers and a duration with dates and times: nothing is converted.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let options = AsofOptions::new().with_tolerance(3);
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["40", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_tolerance(self, tolerance: impl Into<AsofTolerance>) -> Self {
        AsofOptions { tolerance: Some(tolerance.into()), ..self }
    }

    /// Whether a row at the very same place counts, as it does by default. Not with [`AsofStrategy::Nearest`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let options = AsofOptions::new().with_allow_exact_matches(false);
    /// let found = rows.join_asof_on(prices, "at", options).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["10", "40"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_allow_exact_matches(self, allow: bool) -> Self {
        AsofOptions { allow_exact_matches: allow, ..self }
    }

    /// What is added to the names of right columns that the left side has, too.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4], "price" => [41])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let options = AsofOptions::new().with_suffix("_asked");
    /// let found = rows.join_asof_on(prices, "at", options).collect()?;
    /// assert_eq!(found.get_column_names(), ["at", "price", "price_asked"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_suffix(self, suffix: impl Into<String>) -> Self {
        AsofOptions { suffix: suffix.into(), ..self }
    }

    /// Whether the place of the right row is left out, as it is by default.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [8])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let options = AsofOptions::new().with_coalesce(false);
    /// let found = rows.join_asof_on(prices, "at", options).collect()?;
    /// assert_eq!(found.texts("at_right"), ["4"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_coalesce(self, coalesce: bool) -> Self {
        AsofOptions { coalesce, ..self }
    }

    fn matching(&self, left_on: Planned, right_on: Planned) -> Result<AsofMatch> {
        let direction = match self.strategy {
            AsofStrategy::Backward => Direction::Backward,
            AsofStrategy::Forward => Direction::Forward,
            AsofStrategy::Nearest => Direction::Nearest,
        };
        let tolerance = self.tolerance.as_ref().map(AsofTolerance::value).transpose()?;
        Ok(AsofMatch { left_on, right_on, direction, strict: !self.allow_exact_matches, tolerance })
    }
}

impl Default for AsofOptions {
    fn default() -> Self {
        AsofOptions::new()
    }
}

impl LazyFrame {
    /// Every row with the row of `other` that is nearest to it: whose `right_on` is the last one that is not after
    /// `left_on`, unless the options say otherwise. Rows without such a row stay, with NULL.
    ///
    /// Neither frame needs to be sorted, and the rows come in any order. Of several rows of `other` at one place the last
    /// one is taken looking back, else the first one. A NULL in `left_on` or in the columns that must be equal has no other
    /// row.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [4, 8])?.lazy();
    /// let prices = df!(session, "since" => [1, 5], "price" => [10, 50])?.lazy();
    /// let found = rows.join_asof(prices, "at", "since", AsofOptions::new()).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["10", "50"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_asof(
        self,
        other: LazyFrame,
        left_on: impl IntoColumn,
        right_on: impl IntoColumn,
        options: AsofOptions,
    ) -> LazyFrame {
        let (left_on, right_on) = (left_on.into_column(), right_on.into_column());
        let right = other.checked();
        self.then(|left| joined(left, right?, [left_on, right_on], &options))
    }

    /// As [`LazyFrame::join_asof`] by the column `on`, which both have.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "at" => [2, 9])?.lazy();
    /// let prices = df!(session, "at" => [1, 4, 9], "price" => [10, 40, 90])?.lazy();
    /// let found = rows.join_asof_on(prices, "at", AsofOptions::new()).sort("at", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("price"), ["10", "90"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_asof_on(self, other: LazyFrame, on: &str, options: AsofOptions) -> LazyFrame {
        self.join_asof(other, col(on), col(on), options)
    }
}

fn joined(left: Rows, right: Rows, [left_on, right_on]: [Expr; 2], options: &AsofOptions) -> Result<Rows> {
    let keys = |by: &[Expr], on: Expr| by.iter().cloned().chain([on]).collect::<Vec<_>>();
    let left = Side::new(left, &keys(&options.left_by, left_on), "left")?;
    let right = Side::new(right, &keys(&options.right_by, right_on), "right")?;
    let (n_left, n_right) = (left.keys.len(), right.keys.len());
    if n_left != n_right {
        let message = format!("left_by and right_by are {} and {} columns", n_left - 1, n_right - 1);
        return Err(Error::usage(message).with_hint("with_by names columns that both frames have"));
    }
    let mut pairs = Vec::with_capacity(n_left);
    for (one, other) in left.keys.iter().zip(&right.keys) {
        pairs.push(same_type(&left, one, &right, other)?);
    }
    let Some((left_on, right_on)) = pairs.pop() else { return Err(Error::query("an as-of join by nothing")) };
    let matching = options.matching(left_on, right_on)?;
    let plan = AsofJoin::plan(left.plan.clone(), right.plan.clone(), pairs, matching, true).map_err(plan_failure)?;
    let is_dropped = |key: usize| key + 1 < n_right || options.coalesce;
    let plain = |column: &datafusion_common::Column| Planned::Column(column.clone()).alias(column.name.clone());
    let mut output: Vec<Planned> = left.columns.iter().map(plain).collect();
    let names: Vec<String> = left.columns.iter().map(|column| column.name.clone()).collect();
    for column in right.columns.iter().filter(|column| !right.is_key(column).is_some_and(is_dropped)) {
        output.push(with_suffix(column, &names, &options.suffix));
    }
    Rows::unordered(plan).project(output)
}
