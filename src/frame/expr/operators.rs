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
    eq Equal;
    /// Not equal; NULL when either is NULL.
    neq NotEqual;
    /// Less.
    lt Less;
    /// Less or equal.
    lt_eq LessOrEqual;
    /// Greater.
    gt Greater;
    /// Greater or equal.
    gt_eq GreaterOrEqual;
    /// Equal, where NULL is equal to NULL.
    eq_missing EqualMissing;
    /// Not equal, where NULL is equal to NULL.
    neq_missing NotEqualMissing;
    /// Both; the same as `&`.
    and And;
    /// Either; the same as `|`.
    or Or;
    /// To the power of: `**` in Python.
    pow Power;
    /// Division rounded down, as `//` in Python; NULL when a whole number is divided by 0.
    floor_div FloorDivide;
}

impl Expr {
    /// The opposite; the same as `!`.
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
