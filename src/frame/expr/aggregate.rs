//! Aggregates: one value of many rows.
//!
//! In [`crate::frame::LazyGroupBy::agg`] over the rows of a group, in `select` over all rows, and beside columns that are not
//! aggregated the one value stands in every row.

use super::{Aggregate, Expr, IntoColumn, Node};

/// Which value a quantile is when it lies between two.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, 2, 3, 10])?.lazy();
/// let half = |method| col("n").quantile(0.5, method);
/// let found = rows.select([
///     half(QuantileMethod::Lower).alias("lower"),
///     half(QuantileMethod::Higher).alias("higher"),
///     half(QuantileMethod::Midpoint).alias("midpoint"),
/// ]).collect()?;
/// assert_eq!(["lower", "higher", "midpoint"].map(|name| found.text(0, name).unwrap()), ["2.0", "3.0", "2.5"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuantileMethod {
    /// The nearer one; from the middle the upper one.
    #[default]
    Nearest,
    /// The lower one.
    Lower,
    /// The upper one.
    Higher,
    /// The mean of both.
    Midpoint,
    /// Between the two, by how near it is to each.
    Linear,
    /// The smallest value with at least that share of values at or below it (`percentile_disc` in SQL).
    Discrete,
}

/// Rows.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"])?.lazy();
/// let found = rows.group_by_stable("city").agg([len()]).collect()?;
/// assert_eq!(found.texts("len"), ["2", "1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn len() -> Expr {
    Expr::new(Node::Aggregate(Aggregate::Rows, vec![])).alias("len")
}

/// The Pearson correlation of two columns.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [1, 2, 3], "b" => [3, 2, 1])?.lazy();
/// let found = rows.select([corr("a", "b").round(6)]).collect()?;
/// assert_eq!(found.texts("a"), ["-1.0"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn corr(a: impl IntoColumn, b: impl IntoColumn) -> Expr {
    Expr::new(Node::Aggregate(Aggregate::Corr, vec![a.into_column(), b.into_column()]))
}

macro_rules! aggregates {
    ($($(#[$doc:meta])* $name:ident $aggregate:ident;)*) => {
        impl Expr {$(
            $(#[$doc])*
            pub fn $name(self) -> Expr {
                self.aggregate(Aggregate::$aggregate)
            }
        )*}
    };
}

aggregates! {
    /// Values, NULL or not.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None, Some(4), Some(4)])?.lazy();
    /// let found = rows.select([col("n").len()]).collect()?;
    /// assert_eq!(found.texts("n"), ["4"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    len Len;
    /// Values that are not NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None, Some(4), Some(4)])?.lazy();
    /// let found = rows.select([col("n").count()]).collect()?;
    /// assert_eq!(found.texts("n"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    count Count;
    /// NULLs.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None, Some(4), Some(4)])?.lazy();
    /// let found = rows.select([col("n").null_count()]).collect()?;
    /// assert_eq!(found.texts("n"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    null_count NullCount;
    /// The sum; 0 of nothing. Of Booleans, how many are true.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None, Some(4)], "paid" => [true, false, true])?.lazy();
    /// let found = rows.select([col("n").sum(), col("paid").sum()]).collect()?;
    /// assert_eq!(found.texts("n"), ["5"]);
    /// assert_eq!(found.texts("paid"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    sum Sum;
    /// The mean; of decimals as a float, of dates as a datetime.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "day" => ["2024-01-15", "2024-01-18"])?.lazy();
    /// let found = rows.select([col("day").str().to_date(None).mean()]).collect()?;
    /// assert_eq!(found.texts("day"), ["2024-01-16T12:00:00"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    mean Mean;
    /// The least value; NaN only when there is nothing else.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Bern", "Oslo"])?.lazy();
    /// let found = rows.select([col("city").min()]).collect()?;
    /// assert_eq!(found.texts("city"), ["Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    min Min;
    /// The greatest value; NaN only when there is nothing else.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [1.5, f64::NAN, 0.5])?.lazy();
    /// let found = rows.select([col("f").max()]).collect()?;
    /// assert_eq!(found.texts("f"), ["1.5"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    max Max;
    /// The middle value, or the mean of the two in the middle. Exact, over groups of any size.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3, 10])?.lazy();
    /// let found = rows.select([col("n").median()]).collect()?;
    /// assert_eq!(found.texts("n"), ["2.5"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    median Median;
    /// Different values; NULL counts as one.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None, Some(4), Some(4)])?.lazy();
    /// let found = rows.select([col("n").n_unique()]).collect()?;
    /// assert_eq!(found.texts("n"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    n_unique NUnique;
    /// The first value in the order of the rows, which may be NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.group_by_stable("city").agg([col("n").first()]).collect()?;
    /// assert_eq!(found.texts("n"), ["3", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    first First;
    /// The last value in the order of the rows, which may be NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.group_by_stable("city").agg([col("n").last()]).collect()?;
    /// assert_eq!(found.texts("n"), ["2", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    last Last;
    /// The most frequent value; of several the smallest. (A list of all of them in Polars.)
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [7, 2, 7, 5])?.lazy();
    /// let found = rows.select([col("n").mode()]).collect()?;
    /// assert_eq!(found.texts("n"), ["7"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    mode Mode;
    /// Whether all values are true; NULL does not count.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "ok" => [Some(true), None])?.lazy();
    /// let found = rows.select([col("ok").all()]).collect()?;
    /// assert_eq!(found.texts("ok"), ["true"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    all All;
    /// Whether any value is true; NULL does not count.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "ok" => [Some(false), None])?.lazy();
    /// let found = rows.select([col("ok").any()]).collect()?;
    /// assert_eq!(found.texts("ok"), ["false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    any Any;
    /// All values as a list. It has to fit into memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.group_by_stable("city").agg([col("n").implode()]).collect()?;
    /// assert_eq!(found.texts("n"), ["[3, 2]", "[1]"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    implode Implode;
}

impl Expr {
    fn aggregate(self, aggregate: Aggregate) -> Expr {
        Expr::new(Node::Aggregate(aggregate, vec![self]))
    }

    /// The value that a share `quantile` of values lies below, from 0 to 1. Exact, over groups of any size.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3, 10])?.lazy();
    /// let at = |part, method| col("n").quantile(part, method);
    /// let found = rows.select([
    ///     at(0.5, QuantileMethod::Linear).alias("between"),
    ///     at(0.9, QuantileMethod::Lower).alias("below"),
    /// ]).collect()?;
    /// assert_eq!(found.texts("between"), ["2.5"]);
    /// assert_eq!(found.texts("below"), ["3.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quantile(self, quantile: f64, method: QuantileMethod) -> Expr {
        self.aggregate(Aggregate::Quantile(quantile, method))
    }

    /// The standard deviation; `ddof` is 1 for a sample and 0 for a population. NULL of `ddof` values or fewer.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [2, 4, 4, 4, 5, 5, 7, 9])?.lazy();
    /// let found = rows.select([col("n").std(0)]).collect()?;
    /// assert_eq!(found.texts("n"), ["2.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn std(self, ddof: u8) -> Expr {
        self.aggregate(Aggregate::Std(ddof))
    }

    /// The variance; `ddof` is 1 for a sample and 0 for a population. NULL of `ddof` values or fewer.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.select([col("n").var(1)]).collect()?;
    /// assert_eq!(found.texts("n"), ["1.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn var(self, ddof: u8) -> Expr {
        self.aggregate(Aggregate::Var(ddof))
    }
}
