//! `when(..).then(..).otherwise(..)`.

use super::{Expr, Node};

/// A condition that waits for its value.
#[derive(Debug, Clone)]
pub struct When {
    branches: Vec<(Expr, Expr)>,
    condition: Expr,
}

/// Conditions with values; NULL where none holds, unless `otherwise` follows.
#[derive(Debug, Clone)]
pub struct Then {
    branches: Vec<(Expr, Expr)>,
}

/// Begins a choice between values: the value of the first condition that holds.
pub fn when(condition: impl Into<Expr>) -> When {
    When { branches: Vec::new(), condition: condition.into() }
}

impl When {
    /// The value where the condition holds.
    pub fn then(mut self, value: impl Into<Expr>) -> Then {
        self.branches.push((self.condition, value.into()));
        Then { branches: self.branches }
    }
}

impl Then {
    /// Another condition, which counts where none before it holds.
    pub fn when(self, condition: impl Into<Expr>) -> When {
        When { branches: self.branches, condition: condition.into() }
    }

    /// The value where no condition holds.
    pub fn otherwise(self, value: impl Into<Expr>) -> Expr {
        Expr::new(Node::Case { branches: self.branches, otherwise: Some(value.into()) })
    }

    /// Gives the result a name; NULL where no condition holds.
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::from(self).alias(name)
    }
}

impl From<Then> for Expr {
    fn from(then: Then) -> Self {
        Expr::new(Node::Case { branches: then.branches, otherwise: None })
    }
}
