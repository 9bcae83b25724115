//! Names of result columns as a person would write them: `sum(v1)`, not `sum(sales.csv.v1)`; `a + 1`, not `a + Int64(1)`.

use std::collections::HashSet;

use datafusion_common::{Column, DataFusionError};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use crate::physical::text::Namer;

/// Renames output columns whose name is an expression with table names in it. Names stay unique.
pub(super) fn shorten_output_names(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let namer = Namer::of(&plan);
    let columns = plan.schema().columns();
    let short: Vec<String> = columns.iter().map(|column| namer.name(&column.name)).collect();
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
