//! Names of results.

use super::{Expr, Node};

/// Ways to name a result after the column it is made of; see [`Expr::name`].
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [1, 3], "b" => [2, 2])?.lazy();
/// let found = rows.select([all().max().name().prefix("max_")]).collect()?;
/// assert_eq!(found.get_column_names(), ["max_a", "max_b"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NameExpr(pub(super) Expr);

impl NameExpr {
    /// The column's name and `suffix`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "a" => [1], "b" => [2])?.lazy();
    /// let found = rows.select([all().sum().name().suffix("_sum")]).collect()?;
    /// assert_eq!(found.get_column_names(), ["a_sum", "b_sum"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn suffix(self, suffix: &str) -> Expr {
        Expr::new(Node::Affix { input: self.0, prefix: String::new(), suffix: suffix.to_string() })
    }

    /// `prefix` and the column's name.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2])?.lazy();
    /// let found = rows.select([col("n").min().name().prefix("least_")]).collect()?;
    /// assert_eq!(found.get_column_names(), ["least_n"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(self, prefix: &str) -> Expr {
        Expr::new(Node::Affix { input: self.0, prefix: prefix.to_string(), suffix: String::new() })
    }

    /// The column's own name, whatever it was called since.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2])?.lazy();
    /// let found = rows.select([col("n").alias("x").name().keep()]).collect()?;
    /// assert_eq!(found.get_column_names(), ["n"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keep(self) -> Expr {
        Expr::new(Node::Affix { input: self.0, prefix: String::new(), suffix: String::new() })
    }
}
