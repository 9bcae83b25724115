//! Groups that wait for their aggregates.

use datafusion_expr::{Expr as Planned, LogicalPlanBuilder};

use super::expr::{Aggregate, Expr, IntoColumns, Node, OverOptions, len, row_number};
use super::lazy::LazyFrame;
use super::rows::Rows;
use crate::error::Result;
use crate::sql::plan_failure;

/// Groups of rows; see [`LazyFrame::group_by`].
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let sales = df!(
///     session,
///     "city" => ["Rome", "Oslo", "Rome", "Rome"],
///     "day" => ["2024-01-15", "2024-01-16", "2024-02-01", "2024-02-03"],
///     "n" => [Some(1), Some(2), Some(3), None]
/// )?
/// .lazy();
/// let month = col("day").str().to_date(None).dt().month().alias("month");
/// let by_month = sales
///     .clone()
///     .group_by([col("city"), month])
///     .agg([
///         len(),
///         col("n").sum(),
///         col("n").mean().name().suffix("_mean"),
///         col("n").filter(col("n").gt(1)).count().alias("large"),
///         (col("n").max() - col("n").min()).alias("range"),
///     ])
///     .sort(["city", "month"], SortOptions::new());
/// let rows = by_month.collect()?;
/// assert_eq!(rows.get_column_names(), ["city", "month", "len", "n", "n_mean", "large", "range"]);
/// assert_eq!(rows.text(2, "n"), Some("3".to_string()));
/// let first = sales.clone().group_by_stable("city").agg([col("day").first()]).collect()?;
/// assert_eq!(first.text(0, "city"), Some("Rome".to_string()));
/// assert_eq!(sales.clone().group_by("city").len().collect()?.height(), 2);
/// assert_eq!(sales.group_by("city").head(1).collect()?.shape(), (2, 3));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LazyGroupBy {
    frame: LazyFrame,
    keys: Vec<Expr>,
    stable: bool,
}

/// The place of a group's first row, while groups are put in that order.
const FIRST_ROW: &str = "__brimful_first_row";

impl LazyGroupBy {
    pub(super) fn new(frame: LazyFrame, keys: Vec<Expr>, stable: bool) -> Self {
        LazyGroupBy { frame, keys, stable }
    }

    /// One row for each group: its keys, then these. A column without an aggregate becomes a list of its values.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.group_by_stable("city").agg([col("n").max().alias("most"), len()]).collect()?;
    /// assert_eq!(found.texts("most"), ["5", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn agg(self, exprs: impl IntoColumns) -> LazyFrame {
        let exprs = exprs.into_columns();
        let LazyGroupBy { frame, keys, stable } = self;
        frame.then_over(exprs, |rows, exprs| match stable {
            true => stable_groups(rows, &keys, exprs.to_vec()),
            false => rows.aggregate(&keys, exprs),
        })
    }

    /// The rows of each group, as the column `len`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.group_by_stable("city").len().collect()?;
    /// assert_eq!(found.texts("len"), ["2", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(self) -> LazyFrame {
        self.agg([len()])
    }

    /// The first `n` rows of each group, with all columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Rome", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.group_by("city").head(2).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn head(self, n: u64) -> LazyFrame {
        let LazyGroupBy { frame, keys, .. } = self;
        let number = row_number().over_with(OverOptions::partition_by(keys));
        frame.filter(number.lt_eq(Expr::from(n).cast(arrow::datatypes::DataType::Int64)))
    }
}

fn stable_groups(rows: Rows, keys: &[Expr], mut exprs: Vec<Expr>) -> Result<Rows> {
    let (rows, row) = rows.counted()?;
    let Planned::Column(column) = &row else { return rows.aggregate(keys, &exprs) };
    let first = Expr::new(Node::Aggregate(Aggregate::Min, vec![Expr::new(Node::Column(column.name.clone()))]));
    exprs.push(first.alias(FIRST_ROW));
    let groups = rows.aggregate(keys, &exprs)?;
    let (first, kept): (Vec<_>, Vec<_>) = groups.columns().into_iter().partition(|column| column.name == FIRST_ROW);
    let order = first.into_iter().map(|column| Planned::Column(column).sort(true, false)).collect::<Vec<_>>();
    let plan = LogicalPlanBuilder::from(groups.plan)
        .sort(order)
        .and_then(|sorted| sorted.project(kept.into_iter().map(Planned::Column)))
        .and_then(LogicalPlanBuilder::build);
    Ok(Rows::ordered(plan.map_err(plan_failure)?))
}
