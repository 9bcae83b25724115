//! Methods over the values of a row that fit any or most types.

use arrow::datatypes::DataType;

use super::{Expr, Function, Node};

/// Which ends belong to an interval.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
/// let inner = col("n").is_between_closed(1, 3, ClosedInterval::None);
/// assert_eq!(rows.filter(inner).collect()?.texts("n"), ["2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClosedInterval {
    /// Both.
    #[default]
    Both,
    /// The lower one.
    Left,
    /// The upper one.
    Right,
    /// Neither.
    None,
}

impl Expr {
    /// Whether it is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [Some(1.5), Some(f64::NAN), None])?.lazy();
    /// let found = rows.select([col("f").is_null()]).collect()?;
    /// assert_eq!(found.texts("f"), ["false", "false", "true"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_null(self) -> Expr {
        self.unary(Function::IsNull)
    }

    /// Whether it is not NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [Some(1.5), Some(f64::NAN), None])?.lazy();
    /// let found = rows.filter(col("f").is_not_null()).collect()?;
    /// assert_eq!(found.texts("f"), ["1.5", "NaN"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_not_null(self) -> Expr {
        self.unary(Function::IsNotNull)
    }

    /// Whether it is NaN; NULL stays NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [Some(1.5), Some(f64::NAN), None])?.lazy();
    /// let found = rows.select([col("f").is_nan()]).collect()?;
    /// assert_eq!(found.texts("f"), ["false", "true", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_nan(self) -> Expr {
        self.unary(Function::IsNan)
    }

    /// Whether it is not NaN; NULL stays NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [Some(1.5), Some(f64::NAN), None])?.lazy();
    /// let found = rows.select([col("f").is_not_nan()]).collect()?;
    /// assert_eq!(found.texts("f"), ["true", "false", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_not_nan(self) -> Expr {
        self.unary(Function::IsNotNan)
    }

    /// Whether it is neither NaN nor infinite; NULL stays NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [1.5, f64::INFINITY, f64::NAN])?.lazy();
    /// let found = rows.select([col("f").is_finite()]).collect()?;
    /// assert_eq!(found.texts("f"), ["true", "false", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_finite(self) -> Expr {
        self.unary(Function::IsFinite)
    }

    /// Whether it is one of `values`; NULL stays NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"])?.lazy();
    /// let found = rows.filter(col("city").is_in(["Oslo", "Bern"])).collect()?;
    /// assert_eq!(found.texts("city"), ["Oslo", "Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_in<T: Into<Expr>>(self, values: impl IntoIterator<Item = T>) -> Expr {
        Expr::new(Node::IsIn(self, values.into_iter().map(Into::into).collect()))
    }

    /// Whether it lies between `low` and `high`, both included.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3, 4])?.lazy();
    /// let found = rows.filter(col("n").is_between(2, 3)).collect()?;
    /// assert_eq!(found.texts("n"), ["2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_between(self, low: impl Into<Expr>, high: impl Into<Expr>) -> Expr {
        self.is_between_closed(low, high, ClosedInterval::Both)
    }

    /// Whether it lies between `low` and `high`, with the ends that `closed` names.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3, 4])?.lazy();
    /// let found = rows.filter(col("n").is_between_closed(2, 4, ClosedInterval::Left)).collect()?;
    /// assert_eq!(found.texts("n"), ["2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_between_closed(self, low: impl Into<Expr>, high: impl Into<Expr>, closed: ClosedInterval) -> Expr {
        Expr::call(Function::Between(closed), vec![self, low.into(), high.into()])
    }

    /// Converts to another type. A value that cannot be converted is an error.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "code" => ["007", "12"])?.lazy();
    /// let found = rows.select([col("code").cast(DataType::Int64)]).collect()?;
    /// assert_eq!(found.texts("code"), ["7", "12"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cast(self, to: DataType) -> Expr {
        Expr::new(Node::Cast { input: self, to, strict: true })
    }

    /// Converts to another type. A value that cannot be converted becomes NULL (`strict=False` in Polars).
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "code" => ["7", "n/a"])?.lazy();
    /// let found = rows.select([col("code").cast_or_null(DataType::Int64)]).collect()?;
    /// assert_eq!(found.texts("code"), ["7", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cast_or_null(self, to: DataType) -> Expr {
        Expr::new(Node::Cast { input: self, to, strict: false })
    }

    /// Values below `low` become `low`, values above `high` become `high`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [-5, 5, 50])?.lazy();
    /// let found = rows.select([col("n").clip(0, 10)]).collect()?;
    /// assert_eq!(found.texts("n"), ["0", "5", "10"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clip(self, low: impl Into<Expr>, high: impl Into<Expr>) -> Expr {
        Expr::call(Function::Clip { low: true, high: true }, vec![self, low.into(), high.into()])
    }

    /// Values below `low` become `low`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [-5, 5])?.lazy();
    /// let found = rows.select([col("n").clip_min(0)]).collect()?;
    /// assert_eq!(found.texts("n"), ["0", "5"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clip_min(self, low: impl Into<Expr>) -> Expr {
        Expr::call(Function::Clip { low: true, high: false }, vec![self, low.into()])
    }

    /// Values above `high` become `high`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [5, 50])?.lazy();
    /// let found = rows.select([col("n").clip_max(10)]).collect()?;
    /// assert_eq!(found.texts("n"), ["5", "10"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clip_max(self, high: impl Into<Expr>) -> Expr {
        Expr::call(Function::Clip { low: false, high: true }, vec![self, high.into()])
    }

    /// `value` where it is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None])?.lazy();
    /// let found = rows.select([col("n").fill_null(col("n").max())]).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fill_null(self, value: impl Into<Expr>) -> Expr {
        Expr::call(Function::FillNull, vec![self, value.into()])
    }

    /// Rounds to so many digits after the point; a half goes to the even neighbour.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [2.345, 0.125, 0.375])?.lazy();
    /// let found = rows.select([col("f").round(2)]).collect()?;
    /// assert_eq!(found.texts("f"), ["2.35", "0.12", "0.38"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn round(self, decimals: u32) -> Expr {
        self.unary(Function::Round(i64::from(decimals)))
    }

    /// The next whole number below.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [2.7, -2.7])?.lazy();
    /// let found = rows.select([col("f").floor()]).collect()?;
    /// assert_eq!(found.texts("f"), ["2.0", "-3.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn floor(self) -> Expr {
        self.unary(Function::Floor)
    }

    /// The next whole number above.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "f" => [2.2, -2.2])?.lazy();
    /// let found = rows.select([col("f").ceil()]).collect()?;
    /// assert_eq!(found.texts("f"), ["3.0", "-2.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ceil(self) -> Expr {
        self.unary(Function::Ceil)
    }

    /// Without its sign.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [-3, 3])?.lazy();
    /// let found = rows.select([col("n").abs()]).collect()?;
    /// assert_eq!(found.texts("n"), ["3", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn abs(self) -> Expr {
        self.unary(Function::Abs)
    }

    /// The square root.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [9, 2])?.lazy();
    /// let found = rows.select([col("n").sqrt().round(3)]).collect()?;
    /// assert_eq!(found.texts("n"), ["3.0", "1.414"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sqrt(self) -> Expr {
        self.unary(Function::Sqrt)
    }

    /// `e` to this power.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [0, 1])?.lazy();
    /// let found = rows.select([col("n").exp().round(4)]).collect()?;
    /// assert_eq!(found.texts("n"), ["1.0", "2.7183"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exp(self) -> Expr {
        self.unary(Function::Exp)
    }

    /// The natural logarithm.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 10])?.lazy();
    /// let found = rows.select([col("n").ln().round(4)]).collect()?;
    /// assert_eq!(found.texts("n"), ["0.0", "2.3026"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ln(self) -> Expr {
        self.unary(Function::Ln)
    }
}
