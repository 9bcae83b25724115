//! Functions of a row and the rows around it, and aggregates that stand in every row of their group.

use super::{Expr, IntoColumns, Node, Running};
use crate::frame::SortOptions;

/// How equal values are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RankMethod {
    /// The mean of their places.
    #[default]
    Average,
    /// The first of their places.
    Min,
    /// The last of their places.
    Max,
    /// The same, and the next value has the next number.
    Dense,
    /// One after the other in the order of the rows.
    Ordinal,
}

/// The rows an expression is taken over.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(
///     session,
///     "city" => ["Rome", "Oslo", "Rome"],
///     "n" => [1, 2, 5]
/// )?
/// .lazy();
/// let largest_first = SortOptions::new().with_order_descending(true);
/// let shown = rows
///     .with_columns([
///         (col("n") / col("n").sum().over("city")).alias("share"),
///         col("n").shift(1).over("city").alias("before"),
///         col("n").cum_sum().alias("so_far"),
///         col("n").rank(RankMethod::Min, true).alias("rank"),
///         row_number().over_with(OverOptions::partition_by("city").order_by("n", largest_first)).alias("place"),
///     ])
///     .collect()?;
/// // Rows stay where they are.
/// assert_eq!((shown.text(1, "share"), shown.text(2, "before")), (Some("1.0".to_string()), Some("1".to_string())));
/// assert_eq!((shown.text(2, "so_far"), shown.text(0, "rank")), (Some("8".to_string()), Some("3".to_string())));
/// assert_eq!(shown.text(2, "place"), Some("1".to_string()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct OverOptions {
    pub(in crate::frame) partition: Vec<Expr>,
    pub(in crate::frame) order: Vec<(Expr, SortOptions)>,
}

impl OverOptions {
    /// Rows that are equal in `partition`.
    pub fn partition_by(partition: impl IntoColumns) -> Self {
        OverOptions { partition: partition.into_columns(), order: Vec::new() }
    }

    /// In the order of `by`.
    pub fn order_by(mut self, by: impl IntoColumns, options: SortOptions) -> Self {
        self.order.extend(by.into_columns().into_iter().map(|expr| (expr, options)));
        self
    }
}

/// The number of the row, from 1, in its partition: `row_number().over("city")`.
pub fn row_number() -> Expr {
    Expr::new(Node::Running(Running::RowNumber, vec![])).alias("row_number")
}

impl Expr {
    fn running(self, running: Running) -> Expr {
        Expr::new(Node::Running(running, vec![self]))
    }

    /// Takes the expression over the rows that are equal in `partition`; every row keeps its place.
    pub fn over(self, partition: impl IntoColumns) -> Expr {
        self.over_with(OverOptions::partition_by(partition))
    }

    /// Takes the expression over the rows that `options` says, in the order it says.
    pub fn over_with(self, options: OverOptions) -> Expr {
        Expr::new(Node::Over { input: self, options })
    }

    /// The value `n` rows before; NULL where there is none. A negative number looks ahead.
    pub fn shift(self, n: i64) -> Expr {
        self.running(Running::Shift(n))
    }

    /// The value less the one `n` rows before.
    pub fn diff(self, n: i64) -> Expr {
        self.running(Running::Diff(n))
    }

    /// The sum of the values up to this row; NULL where the value is NULL.
    pub fn cum_sum(self) -> Expr {
        self.running(Running::CumSum)
    }

    /// Values up to this row that are not NULL.
    pub fn cum_count(self) -> Expr {
        self.running(Running::CumCount)
    }

    /// The least value up to this row; NULL where the value is NULL.
    pub fn cum_min(self) -> Expr {
        self.running(Running::CumMin)
    }

    /// The greatest value up to this row; NULL where the value is NULL.
    pub fn cum_max(self) -> Expr {
        self.running(Running::CumMax)
    }

    /// The place of the value among the others, from 1; NULL of NULL.
    pub fn rank(self, method: RankMethod, descending: bool) -> Expr {
        self.running(Running::Rank { method, descending })
    }
}
