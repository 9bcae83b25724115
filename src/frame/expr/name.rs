//! Names of results.

use super::{Expr, Node};

/// Ways to name a result after the column it is made of; see [`Expr::name`].
#[derive(Debug, Clone)]
pub struct NameExpr(pub(super) Expr);

impl NameExpr {
    /// The column's name and `suffix`.
    pub fn suffix(self, suffix: &str) -> Expr {
        Expr::new(Node::Affix { input: self.0, prefix: String::new(), suffix: suffix.to_string() })
    }

    /// `prefix` and the column's name.
    pub fn prefix(self, prefix: &str) -> Expr {
        Expr::new(Node::Affix { input: self.0, prefix: prefix.to_string(), suffix: String::new() })
    }

    /// The column's own name, whatever it was called since.
    pub fn keep(self) -> Expr {
        Expr::new(Node::Affix { input: self.0, prefix: String::new(), suffix: String::new() })
    }
}
