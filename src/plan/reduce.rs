//! Groups that no join will ask for are not formed.
//!
//! `l_quantity < (SELECT avg(l_quantity) FROM lineitem WHERE l_partkey = p_partkey)` becomes a join with an aggregation
//! over all parts, also when the query is about a few. Where the other side of a join gets its key from a table that
//! conditions leave few rows of, the input of the aggregation is reduced to the keys of that table by a semi join.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, JoinConstraint, NullEquality, Result};
use datafusion_expr::{
    Aggregate, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, TableScan,
};

use crate::physical::cardinality::{estimate, expected_distinct};

/// A reduction has to leave out four groups of five.
const MOST_SHARE: f64 = 0.2;

/// Reduces what `plan` aggregates.
///
/// # Errors
/// Only when the plan contradicts itself.
pub(super) fn reduce_aggregates(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut n_reduced = 0;
    let reduce = |node: LogicalPlan| match node {
        LogicalPlan::Join(join) => reduce_join(join, &mut n_reduced),
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up(reduce).data()
}

fn reduce_join(mut join: Join, n_reduced: &mut usize) -> Result<Transformed<LogicalPlan>> {
    use JoinType::*;
    if join.null_equality != NullEquality::NullEqualsNothing || join.null_aware {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let mut changed = false;
    for idx in 0..join.on.len() {
        let (left, right) = join.on[idx].clone();
        if matches!(join.join_type, Inner | Left | LeftSemi | LeftAnti)
            && let Some(reduced) = reduce_side(&join.right, &right, &join.left, &left, n_reduced)?
        {
            join.right = Arc::new(reduced);
            changed = true;
        }
        if matches!(join.join_type, Inner | Right | LeftSemi)
            && let Some(reduced) = reduce_side(&join.left, &left, &join.right, &right, n_reduced)?
        {
            join.left = Arc::new(reduced);
            changed = true;
        }
        if changed {
            break;
        }
    }
    let plan = LogicalPlan::Join(join);
    Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
}

/// `side` with fewer groups, when its `key` is one that it groups by and `other` gets its `other_key` from few rows.
fn reduce_side(
    side: &LogicalPlan,
    key: &Expr,
    other: &LogicalPlan,
    other_key: &Expr,
    n_reduced: &mut usize,
) -> Result<Option<LogicalPlan>> {
    let (Expr::Column(key), Expr::Column(other_key)) = (key, other_key) else { return Ok(None) };
    let Some((aggregate, group_key)) = aggregate_below(side, key) else { return Ok(None) };
    let input = estimate(&aggregate.input);
    let Some(idx) = aggregate.input.schema().maybe_index_of_column(&group_key) else { return Ok(None) };
    let n_groups = expected_distinct(input.columns[idx].distinct, input.rows);
    let mut equal = vec![other_key.clone()];
    collect_equal(other, &mut equal);
    let Some((scan, column)) = smallest_scan(other, &equal, MOST_SHARE * n_groups) else { return Ok(None) };
    *n_reduced += 1;
    let keys = LogicalPlanBuilder::from(LogicalPlan::TableScan(scan)).project([Expr::Column(column.clone())])?;
    let alias = format!("__wanted_{n_reduced}");
    let keys = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(keys.build()?), alias.clone())?);
    let wanted = Column::new(Some(alias), column.name);
    let reduced = Join::try_new(
        aggregate.input.clone(),
        Arc::new(keys),
        vec![(Expr::Column(group_key), Expr::Column(wanted))],
        None,
        JoinType::LeftSemi,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    with_aggregate_input(side, LogicalPlan::Join(reduced)).map(Some)
}

/// The aggregation that `plan` is, under other names, and its input's column that `key` is.
fn aggregate_below<'a>(plan: &'a LogicalPlan, key: &Column) -> Option<(&'a Aggregate, Column)> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let idx = alias.schema.maybe_index_of_column(key)?;
            aggregate_below(&alias.input, &alias.input.schema().columns()[idx])
        }
        LogicalPlan::Projection(Projection { expr, input, schema, .. }) => {
            match unaliased(&expr[schema.maybe_index_of_column(key)?]) {
                Expr::Column(column) => aggregate_below(input, column),
                _ => None,
            }
        }
        LogicalPlan::Filter(filter) => aggregate_below(&filter.input, key),
        LogicalPlan::Aggregate(aggregate) => {
            let idx = aggregate.schema.maybe_index_of_column(key)?;
            match aggregate.group_expr.get(idx).map(unaliased)? {
                Expr::Column(column) => Some((aggregate, column.clone())),
                _ => None,
            }
        }
        _ => None,
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// `plan` with another input for the aggregation that it is.
fn with_aggregate_input(plan: &LogicalPlan, input: LogicalPlan) -> Result<LogicalPlan> {
    let input = match plan {
        LogicalPlan::Aggregate(_) => input,
        other => with_aggregate_input(other.inputs()[0], input)?,
    };
    plan.with_new_exprs(plan.expressions(), vec![input])
}

/// Adds the columns that are equal to one of `equal` in every row of `plan`.
fn collect_equal(plan: &LogicalPlan, equal: &mut Vec<Column>) {
    loop {
        let before = equal.len();
        add_equal(plan, equal);
        if equal.len() == before {
            return;
        }
    }
}

fn add_equal(plan: &LogicalPlan, equal: &mut Vec<Column>) {
    match plan {
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi) => {
            for (left, right) in &join.on {
                if let (Expr::Column(left), Expr::Column(right)) = (left, right) {
                    match (equal.contains(left), equal.contains(right)) {
                        (true, false) => equal.push(right.clone()),
                        (false, true) => equal.push(left.clone()),
                        _ => {}
                    }
                }
            }
            add_equal(&join.left, equal);
            add_equal(&join.right, equal);
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::LeftAnti => add_equal(&join.left, equal),
        LogicalPlan::Filter(filter) => add_equal(&filter.input, equal),
        LogicalPlan::Projection(projection) => {
            let passed = projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)));
            if passed {
                add_equal(&projection.input, equal);
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (outer, inner) = (alias.schema.columns(), alias.input.schema().columns());
            for (outer, inner) in outer.iter().zip(inner) {
                if equal.contains(outer) && !equal.contains(&inner) {
                    equal.push(inner);
                }
            }
            add_equal(&alias.input, equal);
        }
        _ => {}
    }
}

/// The filtered table below `plan` with one of `columns` and the fewest rows, at most `most_rows`.
fn smallest_scan(plan: &LogicalPlan, columns: &[Column], most_rows: f64) -> Option<(TableScan, Column)> {
    match plan {
        LogicalPlan::TableScan(scan) if !scan.filters.is_empty() && scan.fetch.is_none() => {
            let column = scan.projected_schema.columns().into_iter().find(|column| columns.contains(column))?;
            let fixed = scan.filters.iter().any(Expr::is_volatile);
            (!fixed && estimate(plan).rows <= most_rows).then(|| (scan.clone(), column))
        }
        LogicalPlan::Join(join) => {
            let right = match join.join_type {
                JoinType::Inner | JoinType::LeftSemi => smallest_scan(&join.right, columns, most_rows),
                JoinType::LeftAnti => None,
                _ => return None,
            };
            let left = smallest_scan(&join.left, columns, most_rows);
            let rows = |found: &(TableScan, Column)| estimate(&LogicalPlan::TableScan(found.0.clone())).rows;
            left.into_iter().chain(right).min_by(|one, other| rows(one).total_cmp(&rows(other)))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            smallest_scan(plan.inputs()[0], columns, most_rows)
        }
        _ => None,
    }
}
