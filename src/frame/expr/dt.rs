//! Functions of dates and times.

use super::{DtFunction, Expr, Function};

/// Functions of dates and times; see [`Expr::dt`].
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "text" => ["2024-02-29 22:15:30"])?.lazy();
/// let t = || col("t").dt();
/// let shown = rows
///     .select([col("text").str().to_datetime(None).alias("t")])
///     .filter(col("t").gt("2024-01-15") & col("t").lt(datetime(2024, 3, 1)))
///     .select([
///         t().date().alias("day"),
///         t().weekday().alias("weekday"),
///         t().truncate("1mo").alias("month"),
///         t().strftime("%H:%M").alias("clock"),
///         (col("t") - datetime(2024, 2, 29)).dt().total_minutes().alias("minutes"),
///     ])
///     .collect()?;
/// assert_eq!((shown.text(0, "day"), shown.text(0, "weekday")), (Some("2024-02-29".to_string()), Some("4".to_string())));
/// assert_eq!((shown.text(0, "clock"), shown.text(0, "minutes")), (Some("22:15".to_string()), Some("1335".to_string())));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DtExpr(pub(super) Expr);

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident $part:literal;)*) => {
        impl DtExpr {$(
            $(#[$doc])*
            pub fn $name(self) -> Expr {
                self.call(DtFunction::Part($part))
            }
        )*}
    };
}

parts! {
    /// The year.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().year()]).collect()?;
    /// assert_eq!(found.texts("t"), ["2024"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    year "year";
    /// The quarter, from 1.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().quarter()]).collect()?;
    /// assert_eq!(found.texts("t"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    quarter "quarter";
    /// The month, from 1.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().month()]).collect()?;
    /// assert_eq!(found.texts("t"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    month "month";
    /// The week of the year by ISO 8601.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().week()]).collect()?;
    /// assert_eq!(found.texts("t"), ["9"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    week "week";
    /// The day of the month, from 1.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().day()]).collect()?;
    /// assert_eq!(found.texts("t"), ["29"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    day "day";
    /// The day of the year, from 1.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().ordinal_day()]).collect()?;
    /// assert_eq!(found.texts("t"), ["60"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ordinal_day "doy";
    /// The hour, 0 to 23.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().hour()]).collect()?;
    /// assert_eq!(found.texts("t"), ["22"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    hour "hour";
    /// The minute.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().minute()]).collect()?;
    /// assert_eq!(found.texts("t"), ["15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    minute "minute";
    /// The second, without its fraction.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().second()]).collect()?;
    /// assert_eq!(found.texts("t"), ["30"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    second "second";
}

impl DtExpr {
    fn call(self, function: DtFunction) -> Expr {
        Expr::call(Function::Dt(function), vec![self.0])
    }

    /// The day of the week: Monday is 1, Sunday 7.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().weekday()]).collect()?;
    /// assert_eq!(found.texts("t"), ["4"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weekday(self) -> Expr {
        self.call(DtFunction::Weekday)
    }

    /// The day without its time.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().date()]).collect()?;
    /// assert_eq!(found.texts("t"), ["2024-02-29"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn date(self) -> Expr {
        self.call(DtFunction::Date)
    }

    /// The time without its day.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().time()]).collect()?;
    /// assert_eq!(found.texts("t"), ["22:15:30"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time(self) -> Expr {
        self.call(DtFunction::Time)
    }

    /// The beginning of the period that it lies in: `1s`, `15m`, `1h`, `1d`, `1w` (from Monday), `1mo`, `1q`, `1y`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().truncate("15m")]).collect()?;
    /// assert_eq!(found.texts("t"), ["2024-02-29T22:15:00"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn truncate(self, every: &str) -> Expr {
        self.call(DtFunction::Truncate(every.to_string()))
    }

    /// As text: `%Y-%m-%d %H:%M:%S`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().strftime("%d.%m.%Y %H:%M")]).collect()?;
    /// assert_eq!(found.texts("t"), ["29.02.2024 22:15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strftime(self, format: &str) -> Expr {
        self.call(DtFunction::Strftime(format.to_string()))
    }

    /// As text; the same as [`DtExpr::strftime`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().to_string("%Y%m%d")]).collect()?;
    /// assert_eq!(found.texts("t"), ["20240229"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_string(self, format: &str) -> Expr {
        self.strftime(format)
    }

    /// Whole days of a duration.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let left = datetime(2024, 3, 2) - col("t").str().to_datetime(None);
    /// let found = rows.select([left.dt().total_days().alias("until_march_2")]).collect()?;
    /// assert_eq!(found.texts("until_march_2"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total_days(self) -> Expr {
        self.call(DtFunction::Total(86_400_000_000))
    }

    /// Whole hours of a duration.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let left = datetime(2024, 3, 2) - col("t").str().to_datetime(None);
    /// let found = rows.select([left.dt().total_hours().alias("until_march_2")]).collect()?;
    /// assert_eq!(found.texts("until_march_2"), ["25"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total_hours(self) -> Expr {
        self.call(DtFunction::Total(3_600_000_000))
    }

    /// Whole minutes of a duration.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let left = datetime(2024, 3, 2) - col("t").str().to_datetime(None);
    /// let found = rows.select([left.dt().total_minutes().alias("until_march_2")]).collect()?;
    /// assert_eq!(found.texts("until_march_2"), ["1544"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total_minutes(self) -> Expr {
        self.call(DtFunction::Total(60_000_000))
    }

    /// Whole seconds of a duration.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["2024-02-29 22:15:30"])?.lazy();
    /// let left = datetime(2024, 3, 2) - col("t").str().to_datetime(None);
    /// let found = rows.select([left.dt().total_seconds().alias("until_march_2")]).collect()?;
    /// assert_eq!(found.texts("until_march_2"), ["92670"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total_seconds(self) -> Expr {
        self.call(DtFunction::Total(1_000_000))
    }

    /// Seconds since 1970-01-01.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "t" => ["1970-01-02 00:00:01"])?.lazy();
    /// let found = rows.select([col("t").str().to_datetime(None).dt().epoch_seconds()]).collect()?;
    /// assert_eq!(found.texts("t"), ["86401"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn epoch_seconds(self) -> Expr {
        self.call(DtFunction::Epoch(1_000_000))
    }
}
