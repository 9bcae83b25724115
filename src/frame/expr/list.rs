//! Functions of lists.

use super::{Expr, Function, ListFunction};

/// Functions of lists; see [`Expr::list`].
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "s" => ["a b", "c"])?.lazy();
/// let words = col("s").str().split(" ").list();
/// assert_eq!(rows.select([words.len()]).collect()?.texts("s"), ["2", "1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ListExpr(pub(super) Expr);

impl ListExpr {
    fn call(self, function: ListFunction, args: impl IntoIterator<Item = Expr>) -> Expr {
        Expr::call(Function::List(function), std::iter::once(self.0).chain(args).collect())
    }

    /// The element at `index`, from 0; a negative one counts from the end. NULL beyond the ends.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a-b-c", "x"])?.lazy();
    /// let found = rows.select([col("s").str().split("-").list().get(-2)]).collect()?;
    /// assert_eq!(found.texts("s"), ["b", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(self, index: impl Into<Expr>) -> Expr {
        self.call(ListFunction::Get, [index.into()])
    }

    /// The first element.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a-b-c", "x"])?.lazy();
    /// let found = rows.select([col("s").str().split("-").list().first()]).collect()?;
    /// assert_eq!(found.texts("s"), ["a", "x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn first(self) -> Expr {
        self.get(0)
    }

    /// The last element.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a-b-c", "x"])?.lazy();
    /// let found = rows.select([col("s").str().split("-").list().last()]).collect()?;
    /// assert_eq!(found.texts("s"), ["c", "x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last(self) -> Expr {
        self.get(-1)
    }

    /// Elements.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a-b-c", "x"])?.lazy();
    /// let found = rows.select([col("s").str().split("-").list().len()]).collect()?;
    /// assert_eq!(found.texts("s"), ["3", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(self) -> Expr {
        self.call(ListFunction::Len, [])
    }

    /// Whether `value` is an element.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a-b-c", "x"])?.lazy();
    /// let found = rows.select([col("s").str().split("-").list().contains("b")]).collect()?;
    /// assert_eq!(found.texts("s"), ["true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains(self, value: impl Into<Expr>) -> Expr {
        self.call(ListFunction::Contains, [value.into()])
    }

    /// The elements as one text with `separator` between them.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a-b-c", "x"])?.lazy();
    /// let found = rows.select([col("s").str().split("-").list().join("/")]).collect()?;
    /// assert_eq!(found.texts("s"), ["a/b/c", "x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(self, separator: &str) -> Expr {
        self.call(ListFunction::Join, [separator.into()])
    }
}
