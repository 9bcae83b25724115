//! `when(..).then(..).otherwise(..)`.

use super::{Expr, Node};

/// A condition that waits for its value.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, 2])?.lazy();
/// let waits = when(col("n").eq(1)); // a value follows
/// assert_eq!(rows.select([waits.then("one").otherwise("more").alias("s")]).collect()?.texts("s"), ["one", "more"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct When {
    branches: Vec<(Expr, Expr)>,
    condition: Expr,
}

/// Conditions with values; NULL where none holds, unless `otherwise` follows.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, 2])?.lazy();
/// let one = when(col("n").eq(1)).then("one"); // NULL elsewhere
/// assert_eq!(rows.select([one.alias("s")]).collect()?.texts("s"), ["one", "null"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Then {
    branches: Vec<(Expr, Expr)>,
}

/// Begins a choice between values: the value of the first condition that holds.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [Some(5), Some(50), None])?.lazy();
/// let size = when(col("n").gt(10)).then("large").when(col("n").is_null()).then("unknown").otherwise("small");
/// let values = [
///     size.alias("size"),
///     col("n").is_between(1, 5).alias("few"),
///     col("n").is_in([5, 7]).alias("known"),
///     coalesce([col("n"), lit(-1)]).clip(0, 20).alias("clipped"),
///     (col("n").cast(DataType::Float64) / 3).round(2).alias("third"),
///     function("to_hex", [col("n")]).alias("hex"),
/// ];
/// let shown = rows.select(values).collect()?;
/// assert_eq!((shown.text(1, "size"), shown.text(2, "size")), (Some("large".to_string()), Some("unknown".to_string())));
/// assert_eq!((shown.text(0, "few"), shown.text(2, "known")), (Some("true".to_string()), None));
/// assert_eq!((shown.text(1, "clipped"), shown.text(0, "third")), (Some("20".to_string()), Some("1.67".to_string())));
/// assert_eq!(shown.text(1, "hex"), Some("32".to_string()));
/// # Ok(())
/// # }
/// ```
pub fn when(condition: impl Into<Expr>) -> When {
    When { branches: Vec::new(), condition: condition.into() }
}

impl When {
    /// The value where the condition holds.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [5, 50])?.lazy();
    /// let found = rows.select([when(col("n").gt(10)).then(col("n") * 2).alias("twice")]).collect()?;
    /// assert_eq!(found.texts("twice"), ["null", "100"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then(mut self, value: impl Into<Expr>) -> Then {
        self.branches.push((self.condition, value.into()));
        Then { branches: self.branches }
    }
}

impl Then {
    /// Another condition, which counts where none before it holds.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [5, 50, 500])?.lazy();
    /// let size = when(col("n").gt(100)).then("large").when(col("n").gt(10)).then("medium").otherwise("small");
    /// let found = rows.select([size.alias("size")]).collect()?;
    /// assert_eq!(found.texts("size"), ["small", "medium", "large"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn when(self, condition: impl Into<Expr>) -> When {
        When { branches: self.branches, condition: condition.into() }
    }

    /// The value where no condition holds.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(-5), None])?.lazy();
    /// let found = rows.select([when(col("n").lt(0)).then(0).otherwise(col("n"))]).collect()?;
    /// assert_eq!(found.texts("literal"), ["0", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn otherwise(self, value: impl Into<Expr>) -> Expr {
        Expr::new(Node::Case { branches: self.branches, otherwise: Some(value.into()) })
    }

    /// Gives the result a name; NULL where no condition holds.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [5, 50])?.lazy();
    /// let found = rows.select([when(col("n").gt(10)).then("large").alias("size")]).collect()?;
    /// assert_eq!(found.texts("size"), ["null", "large"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::from(self).alias(name)
    }
}

impl From<Then> for Expr {
    fn from(then: Then) -> Self {
        Expr::new(Node::Case { branches: then.branches, otherwise: None })
    }
}
