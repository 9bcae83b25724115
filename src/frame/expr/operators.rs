//! Operators: arithmetic, comparison, logic.

use std::ops;

use super::{Expr, Node, Op};

fn binary(left: impl Into<Expr>, op: Op, right: impl Into<Expr>) -> Expr {
    Expr::new(Node::Binary { left: left.into(), op, right: right.into() })
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Expr {$(
            $(#[$doc])*
            pub fn $name(self, other: impl Into<Expr>) -> Expr {
                binary(self, Op::$op, other)
            }
        )*}
    };
}

methods! {
    /// Equal; NULL when either is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "a" => [Some(1), Some(2), None], "b" => [Some(1), None, None])?.lazy();
    /// let found = rows.select([col("a").eq(col("b"))]).collect()?;
    /// assert_eq!(found.texts("a"), ["true", "null", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    eq Equal;
    /// Not equal; NULL when either is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo"])?.lazy();
    /// let found = rows.select([col("city").neq("Rome")]).collect()?;
    /// assert_eq!(found.texts("city"), ["false", "true"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    neq NotEqual;
    /// Less.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.select([col("n").lt(2)]).collect()?;
    /// assert_eq!(found.texts("n"), ["true", "false", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    lt Less;
    /// Less or equal.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "day" => ["2024-01-15", "2024-01-16"])?.lazy();
    /// let found = rows.select([col("day").str().to_date(None).lt_eq("2024-01-15")]).collect()?;
    /// assert_eq!(found.texts("day"), ["true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    lt_eq LessOrEqual;
    /// Greater.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.filter(col("n").gt(1)).collect()?;
    /// assert_eq!(found.texts("n"), ["2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    gt Greater;
    /// Greater or equal.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.filter(col("n").gt_eq(col("n").mean())).collect()?;
    /// assert_eq!(found.texts("n"), ["2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    gt_eq GreaterOrEqual;
    /// Equal, where NULL is equal to NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "a" => [Some(1), Some(2), None], "b" => [Some(1), None, None])?.lazy();
    /// let found = rows.select([col("a").eq_missing(col("b"))]).collect()?;
    /// assert_eq!(found.texts("a"), ["true", "false", "true"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    eq_missing EqualMissing;
    /// Not equal, where NULL is equal to NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "a" => [Some(1), Some(2), None], "b" => [Some(1), None, None])?.lazy();
    /// let found = rows.select([col("a").neq_missing(col("b"))]).collect()?;
    /// assert_eq!(found.texts("a"), ["false", "true", "false"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    neq_missing NotEqualMissing;
    /// Both; the same as `&`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.filter(col("n").gt(1).and(col("n").lt(3))).collect()?;
    /// assert_eq!(found.texts("n"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    and And;
    /// Either; the same as `|`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.filter(col("n").lt(2).or(col("n").gt(2))).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    or Or;
    /// To the power of: `**` in Python.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
    /// let found = rows.select([col("n").pow(2)]).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "4", "9"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pow Power;
    /// Division rounded down, as `//` in Python; NULL when a whole number is divided by 0.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [7, -7])?.lazy();
    /// let found = rows.select([col("n").floor_div(2)]).collect()?;
    /// assert_eq!(found.texts("n"), ["3", "-4"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    floor_div FloorDivide;
}

impl Expr {
    /// The opposite; the same as `!`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "paid" => [Some(true), Some(false), None])?.lazy();
    /// let found = rows.select([col("paid").not()]).collect()?;
    /// assert_eq!(found.texts("paid"), ["false", "true", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "it is implemented, too")]
    pub fn not(self) -> Expr {
        Expr::new(Node::Not(self))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<T: Into<Expr>> ops::$trait<T> for Expr {
            type Output = Expr;

            fn $method(self, other: T) -> Expr {
                binary(self, Op::$op, other)
            }
        }

        impl ops::$trait<Expr> for i32 {
            type Output = Expr;

            fn $method(self, other: Expr) -> Expr {
                binary(self, Op::$op, other)
            }
        }

        impl ops::$trait<Expr> for i64 {
            type Output = Expr;

            fn $method(self, other: Expr) -> Expr {
                binary(self, Op::$op, other)
            }
        }

        impl ops::$trait<Expr> for f64 {
            type Output = Expr;

            fn $method(self, other: Expr) -> Expr {
                binary(self, Op::$op, other)
            }
        }
    )*};
}

operators! {
    Add add Plus;
    Sub sub Minus;
    Mul mul Times;
    Div div TrueDivide;
    Rem rem Modulo;
}

impl<T: Into<Expr>> ops::BitAnd<T> for Expr {
    type Output = Expr;

    fn bitand(self, other: T) -> Expr {
        self.and(other)
    }
}

impl<T: Into<Expr>> ops::BitOr<T> for Expr {
    type Output = Expr;

    fn bitor(self, other: T) -> Expr {
        self.or(other)
    }
}

impl ops::Not for Expr {
    type Output = Expr;

    fn not(self) -> Expr {
        Expr::not(self)
    }
}

impl ops::Neg for Expr {
    type Output = Expr;

    fn neg(self) -> Expr {
        Expr::new(Node::Negative(self))
    }
}
