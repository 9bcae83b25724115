//! Methods over the values of a row that fit any or most types.

use arrow::datatypes::DataType;

use super::{Expr, Function, Node};

/// Which ends belong to an interval.
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
    pub fn is_null(self) -> Expr {
        self.unary(Function::IsNull)
    }

    /// Whether it is not NULL.
    pub fn is_not_null(self) -> Expr {
        self.unary(Function::IsNotNull)
    }

    /// Whether it is NaN; NULL stays NULL.
    pub fn is_nan(self) -> Expr {
        self.unary(Function::IsNan)
    }

    /// Whether it is not NaN; NULL stays NULL.
    pub fn is_not_nan(self) -> Expr {
        self.unary(Function::IsNotNan)
    }

    /// Whether it is neither NaN nor infinite; NULL stays NULL.
    pub fn is_finite(self) -> Expr {
        self.unary(Function::IsFinite)
    }

    /// Whether it is one of `values`; NULL stays NULL.
    pub fn is_in<T: Into<Expr>>(self, values: impl IntoIterator<Item = T>) -> Expr {
        Expr::new(Node::IsIn(self, values.into_iter().map(Into::into).collect()))
    }

    /// Whether it lies between `low` and `high`, both included.
    pub fn is_between(self, low: impl Into<Expr>, high: impl Into<Expr>) -> Expr {
        self.is_between_closed(low, high, ClosedInterval::Both)
    }

    /// Whether it lies between `low` and `high`, with the ends that `closed` names.
    pub fn is_between_closed(self, low: impl Into<Expr>, high: impl Into<Expr>, closed: ClosedInterval) -> Expr {
        Expr::call(Function::Between(closed), vec![self, low.into(), high.into()])
    }

    /// Converts to another type. A value that cannot be converted is an error.
    pub fn cast(self, to: DataType) -> Expr {
        Expr::new(Node::Cast { input: self, to, strict: true })
    }

    /// Converts to another type. A value that cannot be converted becomes NULL (`strict=False` in Polars).
    pub fn cast_or_null(self, to: DataType) -> Expr {
        Expr::new(Node::Cast { input: self, to, strict: false })
    }

    /// Values below `low` become `low`, values above `high` become `high`.
    pub fn clip(self, low: impl Into<Expr>, high: impl Into<Expr>) -> Expr {
        Expr::call(Function::Clip { low: true, high: true }, vec![self, low.into(), high.into()])
    }

    /// Values below `low` become `low`.
    pub fn clip_min(self, low: impl Into<Expr>) -> Expr {
        Expr::call(Function::Clip { low: true, high: false }, vec![self, low.into()])
    }

    /// Values above `high` become `high`.
    pub fn clip_max(self, high: impl Into<Expr>) -> Expr {
        Expr::call(Function::Clip { low: false, high: true }, vec![self, high.into()])
    }

    /// `value` where it is NULL.
    pub fn fill_null(self, value: impl Into<Expr>) -> Expr {
        Expr::call(Function::FillNull, vec![self, value.into()])
    }

    /// Rounds to so many digits after the point; a half goes to the even neighbour.
    pub fn round(self, decimals: u32) -> Expr {
        self.unary(Function::Round(i64::from(decimals)))
    }

    /// The next whole number below.
    pub fn floor(self) -> Expr {
        self.unary(Function::Floor)
    }

    /// The next whole number above.
    pub fn ceil(self) -> Expr {
        self.unary(Function::Ceil)
    }

    /// Without its sign.
    pub fn abs(self) -> Expr {
        self.unary(Function::Abs)
    }

    /// The square root.
    pub fn sqrt(self) -> Expr {
        self.unary(Function::Sqrt)
    }

    /// `e` to this power.
    pub fn exp(self) -> Expr {
        self.unary(Function::Exp)
    }

    /// The natural logarithm.
    pub fn ln(self) -> Expr {
        self.unary(Function::Ln)
    }
}
