//! What is known of a column of a plan before it runs.

use datafusion_common::DFSchema;
use datafusion_expr::{Expr, LogicalPlan};

use super::expression::plain_column;
use super::table::FileTable;
use crate::io::ColumnStatistics;

/// Rows that `plan` can produce at most, when known.
pub fn max_rows(plan: &LogicalPlan) -> Option<u64> {
    match plan {
        LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<FileTable>()?.statistics().n_rows,
        LogicalPlan::EmptyRelation(empty) => Some(u64::from(empty.produce_one_row)),
        LogicalPlan::Values(values) => Some(values.values.len() as u64),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Some(1),
        LogicalPlan::Aggregate(aggregate) if !has_grouping_set(&aggregate.group_expr) => max_rows(&aggregate.input),
        LogicalPlan::Union(union) => union.inputs.iter().map(|input| max_rows(input)).sum(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().first().and_then(|input| max_rows(input)),
        _ => None,
    }
}

fn has_grouping_set(group_expr: &[Expr]) -> bool {
    group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

/// Statistics of `expr` over the rows of `plan`, when it is a plain column of a table. Rows may have been dropped since:
/// bounds still hold, the number of NULLs is then not known.
pub fn of_expression(expr: &Expr, plan: &LogicalPlan) -> Option<ColumnStatistics> {
    of_column(plain_column(expr, plan.schema())?, plan)
}

/// Statistics of the column number `column_idx` of `plan`.
pub fn of_column(column_idx: usize, plan: &LogicalPlan) -> Option<ColumnStatistics> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let table = scan.source.downcast_ref::<FileTable>()?;
            let idx = scan.projection.as_ref().map_or(Some(column_idx), |columns| columns.get(column_idx).copied())?;
            let statistics = table.statistics().columns.get(idx)?.clone();
            Some(if scan.filters.is_empty() { statistics } else { fewer_rows(statistics) })
        }
        LogicalPlan::Projection(projection) => {
            of_input_expression(projection.expr.get(column_idx)?, &projection.input, projection.input.schema())
        }
        LogicalPlan::Filter(filter) => of_column(column_idx, &filter.input).map(fewer_rows),
        LogicalPlan::Limit(limit) => of_column(column_idx, &limit.input).map(fewer_rows),
        LogicalPlan::Sort(sort) => of_column(column_idx, &sort.input),
        LogicalPlan::SubqueryAlias(alias) => of_column(column_idx, &alias.input),
        LogicalPlan::Distinct(datafusion_expr::Distinct::All(input)) => of_column(column_idx, input).map(fewer_rows),
        LogicalPlan::Aggregate(aggregate) if !has_grouping_set(&aggregate.group_expr) => {
            let key = aggregate.group_expr.get(column_idx)?;
            of_input_expression(key, &aggregate.input, aggregate.input.schema()).map(fewer_rows)
        }
        _ => None,
    }
}

fn of_input_expression(expr: &Expr, input: &LogicalPlan, schema: &DFSchema) -> Option<ColumnStatistics> {
    of_column(plain_column(expr, schema)?, input)
}

fn fewer_rows(statistics: ColumnStatistics) -> ColumnStatistics {
    let n_nulls = statistics.n_nulls.filter(|&n| n == 0);
    ColumnStatistics { n_nulls, ..statistics }
}
