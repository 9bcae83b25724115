//! Names of result columns as a person would write them: `sum(v1)`, not `sum(sales.csv.v1)`; `a + 1`, not `a + Int64(1)`.

use std::collections::HashSet;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{Column, DataFusionError};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::physical::text::shorten;

/// Renames output columns whose name is an expression with table names in it. Names stay unique.
pub(super) fn shorten_output_names(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let relations = relations(&plan)?;
    let columns = plan.schema().columns();
    let short: Vec<String> = columns.iter().map(|column| shorten_name(&column.name, &relations)).collect();
    let unique: HashSet<&String> = short.iter().collect();
    let changed = short.iter().zip(&columns).any(|(short, column)| *short != column.name);
    if !changed || unique.len() < columns.len() {
        return Ok(plan);
    }
    let exprs = columns.into_iter().zip(short).map(|(column, short)| rename(column, short)).collect::<Vec<_>>();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

fn rename(column: Column, name: String) -> Expr {
    if column.name == name { Expr::Column(column) } else { Expr::Column(column).alias(name) }
}

/// The tables and aliases of the query, longest first, so that no name is cut in the middle.
fn relations(plan: &LogicalPlan) -> Result<Vec<String>, DataFusionError> {
    let mut relations = HashSet::new();
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => relations.insert(scan.table_name.to_string()),
            LogicalPlan::SubqueryAlias(alias) => relations.insert(alias.alias.to_string()),
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut relations: Vec<String> = relations.into_iter().collect();
    relations.sort_by_key(|name| std::cmp::Reverse(name.len()));
    Ok(relations)
}

/// Only names that are expressions are shortened: a column may be called anything.
fn shorten_name(name: &str, relations: &[String]) -> String {
    if name.contains('(') || name.contains(' ') { shorten(name, relations) } else { name.to_string() }
}
