//! Groups that wait for their aggregates.

use datafusion_expr::{Expr as Planned, LogicalPlanBuilder};

use super::expr::{Aggregate, Expr, IntoColumns, Node, OverOptions, len, row_number};
use super::lazy::LazyFrame;
use super::rows::Rows;
use crate::error::Result;
use crate::sql::plan_failure;

/// Groups of rows; see [`LazyFrame::group_by`].
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
    pub fn agg(self, exprs: impl IntoColumns) -> LazyFrame {
        let exprs = exprs.into_columns();
        let LazyGroupBy { frame, keys, stable } = self;
        frame.then(|rows| match stable {
            true => stable_groups(rows, &keys, exprs),
            false => rows.aggregate(&keys, &exprs),
        })
    }

    /// The rows of each group, as the column `len`.
    pub fn len(self) -> LazyFrame {
        self.agg([len()])
    }

    /// The first `n` rows of each group, with all columns.
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
