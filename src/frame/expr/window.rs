//! Functions of a row and the rows around it, and aggregates that stand in every row of their group.

use super::{Expr, IntoColumns, Node, Running};
use crate::frame::SortOptions;

/// How equal values are ranked.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [10, 20, 20, 30])?.lazy();
/// let found = rows.select([
///     col("n").rank(RankMethod::Min, false).alias("min"),
///     col("n").rank(RankMethod::Dense, false).alias("dense"),
///     col("n").rank(RankMethod::Ordinal, false).alias("ordinal"),
/// ]).collect()?;
/// assert_eq!(found.texts("min"), ["1", "2", "2", "4"]);
/// assert_eq!(found.texts("dense"), ["1", "2", "2", "3"]);
/// assert_eq!(found.texts("ordinal"), ["1", "2", "3", "4"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RankMethod {
    /// The mean of their places.
    #[default]
    Average,
    /// The first of their places.
    Min,
    /// The last of their places.
    Max,
    /// The same, and the next value has the next number.
    Dense,
    /// One after the other in the order of the rows.
    Ordinal,
}

/// The rows an expression is taken over.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(
///     session,
///     "city" => ["Rome", "Oslo", "Rome"],
///     "n" => [1, 2, 5]
/// )?
/// .lazy();
/// let largest_first = SortOptions::new().with_order_descending(true);
/// let shown = rows
///     .with_columns([
///         (col("n") / col("n").sum().over("city")).alias("share"),
///         col("n").shift(1).over("city").alias("before"),
///         col("n").cum_sum().alias("so_far"),
///         col("n").rank(RankMethod::Min, true).alias("rank"),
///         row_number().over_with(OverOptions::partition_by("city").order_by("n", largest_first)).alias("place"),
///     ])
///     .collect()?;
/// // Rows stay where they are.
/// assert_eq!((shown.text(1, "share"), shown.text(2, "before")), (Some("1.0".to_string()), Some("1".to_string())));
/// assert_eq!((shown.text(2, "so_far"), shown.text(0, "rank")), (Some("8".to_string()), Some("3".to_string())));
/// assert_eq!(shown.text(2, "place"), Some("1".to_string()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct OverOptions {
    pub(in crate::frame) partition: Vec<Expr>,
    pub(in crate::frame) order: Vec<(Expr, SortOptions)>,
}

impl OverOptions {
    /// Rows that are equal in `partition`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.select([col("n").sum().over_with(OverOptions::partition_by("city"))]).collect()?;
    /// assert_eq!(found.texts("n"), ["6", "2", "6"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn partition_by(partition: impl IntoColumns) -> Self {
        OverOptions { partition: partition.into_columns(), order: Vec::new() }
    }

    /// In the order of `by`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "day" => [3, 1, 2], "n" => [30, 10, 20])?.lazy();
    /// let by_day = OverOptions::default().order_by("day", SortOptions::new());
    /// let found = rows.select([col("n").cum_sum().over_with(by_day)]).collect()?;
    /// assert_eq!(found.texts("n"), ["60", "10", "30"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn order_by(mut self, by: impl IntoColumns, options: SortOptions) -> Self {
        self.order.extend(by.into_columns().into_iter().map(|expr| (expr, options)));
        self
    }
}

/// The number of the row, from 1, in its partition: `row_number().over("city")`.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
/// let found = rows.select([row_number().over("city")]).collect()?;
/// assert_eq!(found.texts("row_number"), ["1", "1", "2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn row_number() -> Expr {
    Expr::new(Node::Running(Running::RowNumber, vec![])).alias("row_number")
}

impl Expr {
    fn running(self, running: Running) -> Expr {
        Expr::new(Node::Running(running, vec![self]))
    }

    /// Takes the expression over the rows that are equal in `partition`; every row keeps its place.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.select([(col("n") / col("n").sum()).over("city").round(3)]).collect()?;
    /// assert_eq!(found.texts("n"), ["0.167", "1.0", "0.833"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over(self, partition: impl IntoColumns) -> Expr {
        self.over_with(OverOptions::partition_by(partition))
    }

    /// Takes the expression over the rows that `options` says, in the order it says.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let largest_first = SortOptions::new().with_order_descending(true);
    /// let options = OverOptions::partition_by("city").order_by("n", largest_first);
    /// let found = rows.select([col("n").first().over_with(options)]).collect()?;
    /// assert_eq!(found.texts("n"), ["5", "2", "5"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over_with(self, options: OverOptions) -> Expr {
        Expr::new(Node::Over { input: self, options })
    }

    /// The value `n` rows before; NULL where there is none. A negative number looks ahead.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.select([col("n").shift(1)]).collect()?;
    /// assert_eq!(found.texts("n"), ["null", "1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shift(self, n: i64) -> Expr {
        self.running(Running::Shift(n))
    }

    /// The value less the one `n` rows before.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [10, 13, 11])?.lazy();
    /// let found = rows.select([col("n").diff(1)]).collect()?;
    /// assert_eq!(found.texts("n"), ["null", "3", "-2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn diff(self, n: i64) -> Expr {
        self.running(Running::Diff(n))
    }

    /// The sum of the values up to this row; NULL where the value is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.select([col("n").cum_sum()]).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "3", "6"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cum_sum(self) -> Expr {
        self.running(Running::CumSum)
    }

    /// Values up to this row that are not NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None, Some(4), Some(4)])?.lazy();
    /// let found = rows.select([col("n").cum_count()]).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "1", "2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cum_count(self) -> Expr {
        self.running(Running::CumCount)
    }

    /// The least value up to this row; NULL where the value is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [3, 4, 1])?.lazy();
    /// let found = rows.select([col("n").cum_min()]).collect()?;
    /// assert_eq!(found.texts("n"), ["3", "3", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cum_min(self) -> Expr {
        self.running(Running::CumMin)
    }

    /// The greatest value up to this row; NULL where the value is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [3, 1, 4])?.lazy();
    /// let found = rows.select([col("n").cum_max()]).collect()?;
    /// assert_eq!(found.texts("n"), ["3", "3", "4"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cum_max(self) -> Expr {
        self.running(Running::CumMax)
    }

    /// The place of the value among the others, from 1; NULL of NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [20, 10, 20])?.lazy();
    /// let found = rows.select([col("n").rank(RankMethod::Average, false)]).collect()?;
    /// assert_eq!(found.texts("n"), ["2.5", "1.0", "2.5"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rank(self, method: RankMethod, descending: bool) -> Expr {
        self.running(Running::Rank { method, descending })
    }
}
