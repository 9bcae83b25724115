//! Names of result columns as a person would write them: `sum(v1)`, not `sum(sales.csv.v1)`; `a + 1`, not `a + Int64(1)`.

use std::collections::{HashMap, HashSet};

use datafusion_common::{Column, DataFusionError};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion_sql::sqlparser::ast::Query;

use super::headers::names_of;
use crate::physical::text::Namer;

/// Renames output columns whose name is an expression with table names in it. Names stay unique:
/// where two would be the same, both stay long. What `query` writes gives some names that the plan does not have.
pub(super) fn shorten_output_names(plan: LogicalPlan, query: &Query) -> Result<LogicalPlan, DataFusionError> {
    let namer = Namer::of(&plan);
    let columns = plan.schema().columns();
    let written = names_of(query, columns.len());
    let name = |(column, written): (&Column, Option<String>)| written.unwrap_or_else(|| shortened(&namer, column));
    let mut short: Vec<String> = columns.iter().zip(written).map(name).collect();
    let mut n_columns: HashMap<String, usize> = HashMap::new();
    for name in short.iter().cloned() {
        *n_columns.entry(name).or_default() += 1;
    }
    for (short, column) in short.iter_mut().zip(&columns).filter(|(short, _)| n_columns[*short] > 1) {
        short.clone_from(&column.name);
    }
    let unique: HashSet<&String> = short.iter().collect();
    let changed = short.iter().zip(&columns).any(|(short, column)| *short != column.name);
    if !changed || unique.len() < columns.len() {
        return Ok(plan);
    }
    let exprs = columns.into_iter().zip(short).map(|(column, short)| rename(column, short)).collect::<Vec<_>>();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// A field of a struct is called what it is called there: `user.name` is `name`.
fn shortened(namer: &Namer, column: &Column) -> String {
    let field = column.name.strip_suffix(']').and_then(|path| path.rsplit_once('['));
    match field {
        Some((path, field)) if column.relation.is_none() && namer.has_relation(path) && !path.contains('(') => {
            field.to_string()
        }
        _ => namer.name(&column.name),
    }
}

fn rename(column: Column, name: String) -> Expr {
    if column.name == name { Expr::Column(column) } else { Expr::Column(column).alias(name) }
}
