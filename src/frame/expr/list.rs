//! Functions of lists.

use super::{Expr, Function, ListFunction};

/// Functions of lists; see [`Expr::list`].
#[derive(Debug, Clone)]
pub struct ListExpr(pub(super) Expr);

impl ListExpr {
    fn call(self, function: ListFunction, args: impl IntoIterator<Item = Expr>) -> Expr {
        Expr::call(Function::List(function), std::iter::once(self.0).chain(args).collect())
    }

    /// The element at `index`, from 0; a negative one counts from the end. NULL beyond the ends.
    pub fn get(self, index: impl Into<Expr>) -> Expr {
        self.call(ListFunction::Get, [index.into()])
    }

    /// The first element.
    pub fn first(self) -> Expr {
        self.get(0)
    }

    /// The last element.
    pub fn last(self) -> Expr {
        self.get(-1)
    }

    /// Elements.
    pub fn len(self) -> Expr {
        self.call(ListFunction::Len, [])
    }

    /// Whether `value` is an element.
    pub fn contains(self, value: impl Into<Expr>) -> Expr {
        self.call(ListFunction::Contains, [value.into()])
    }

    /// The elements as one text with `separator` between them.
    pub fn join(self, separator: &str) -> Expr {
        self.call(ListFunction::Join, [separator.into()])
    }
}
