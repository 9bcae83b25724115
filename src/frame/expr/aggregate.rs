//! Aggregates: one value of many rows.
//!
//! In [`crate::frame::LazyGroupBy::agg`] over the rows of a group, in `select` over all rows, and beside columns that are not
//! aggregated the one value stands in every row.

use super::{Aggregate, Expr, IntoColumn, Node};

/// Which value a quantile is when it lies between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuantileMethod {
    /// The nearer one; from the middle the upper one.
    #[default]
    Nearest,
    /// The lower one.
    Lower,
    /// The upper one.
    Higher,
    /// The mean of both.
    Midpoint,
    /// Between the two, by how near it is to each.
    Linear,
    /// The smallest value with at least that share of values at or below it (`percentile_disc` in SQL).
    Discrete,
}

/// Rows.
pub fn len() -> Expr {
    Expr::new(Node::Aggregate(Aggregate::Rows, vec![])).alias("len")
}

/// The Pearson correlation of two columns.
pub fn corr(a: impl IntoColumn, b: impl IntoColumn) -> Expr {
    Expr::new(Node::Aggregate(Aggregate::Corr, vec![a.into_column(), b.into_column()]))
}

macro_rules! aggregates {
    ($($(#[$doc:meta])* $name:ident $aggregate:ident;)*) => {
        impl Expr {$(
            $(#[$doc])*
            pub fn $name(self) -> Expr {
                self.aggregate(Aggregate::$aggregate)
            }
        )*}
    };
}

aggregates! {
    /// Values, NULL or not.
    len Len;
    /// Values that are not NULL.
    count Count;
    /// NULLs.
    null_count NullCount;
    /// The sum; 0 of nothing. Of Booleans, how many are true.
    sum Sum;
    /// The mean.
    mean Mean;
    /// The least value.
    min Min;
    /// The greatest value.
    max Max;
    /// The middle value, or the mean of the two in the middle. Exact, over groups of any size.
    median Median;
    /// Different values; NULL counts as one.
    n_unique NUnique;
    /// The first value in the order of the rows, which may be NULL.
    first First;
    /// The last value in the order of the rows, which may be NULL.
    last Last;
    /// The most frequent value; of several the smallest. (A list of all of them in Polars.)
    mode Mode;
    /// Whether all values are true; NULL does not count.
    all All;
    /// Whether any value is true; NULL does not count.
    any Any;
    /// All values as a list. It has to fit into memory.
    implode Implode;
}

impl Expr {
    fn aggregate(self, aggregate: Aggregate) -> Expr {
        Expr::new(Node::Aggregate(aggregate, vec![self]))
    }

    /// The value that a share `quantile` of values lies below, from 0 to 1. Exact, over groups of any size.
    pub fn quantile(self, quantile: f64, method: QuantileMethod) -> Expr {
        self.aggregate(Aggregate::Quantile(quantile, method))
    }

    /// The standard deviation; `ddof` is 1 for a sample and 0 for a population.
    pub fn std(self, ddof: u8) -> Expr {
        self.aggregate(Aggregate::Std(ddof))
    }

    /// The variance; `ddof` is 1 for a sample and 0 for a population.
    pub fn var(self, ddof: u8) -> Expr {
        self.aggregate(Aggregate::Var(ddof))
    }
}
