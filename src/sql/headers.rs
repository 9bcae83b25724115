//! Names for result columns without one where the planner's own would lie or could not be read: it leaves casts and OVER out,
//! and spells intervals as it keeps them. They are called what was written, without quotes and table names; a cast of a
//! column has the column's name, as in PostgreSQL. The names are put on the finished result and are unknown inside the query,
//! where ORDER BY would take them for what they are made of.
//!
//! Memory: a name a column.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectNamePart, Query, SelectItem, SetExpr, visit_expressions, visit_expressions_mut,
};

use super::clauses::folded;
use super::group_keys::unwrapped;

/// Names for the columns of a result, of which it has `n_columns`; `None` keeps the planner's.
pub(super) fn names_of(query: &Query, n_columns: usize) -> Vec<Option<String>> {
    let mut names = vec![None; n_columns];
    let items = items_of(&query.body);
    let is_one = |item: &&SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    // What stands behind a `*` is counted from the end.
    let n_first = items.iter().take_while(is_one).count();
    let n_last = items.iter().rev().take_while(is_one).count();
    if n_first == items.len() && n_first != n_columns || items.len() > n_columns + 1 {
        return names;
    }
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) if misnamed(expr) => Some(name_of(expr)),
        _ => None,
    };
    names.iter_mut().zip(&items[..n_first]).for_each(|(place, item)| *place = name(item));
    names
        .iter_mut()
        .rev()
        .zip(items[items.len() - n_last..].iter().rev())
        .for_each(|(place, item)| *place = name(item));
    names
}

/// The list of a query; of a set operation that of the first one.
fn items_of(body: &SetExpr) -> &[SelectItem] {
    match body {
        SetExpr::Select(select) => &select.projection,
        SetExpr::Query(query) => items_of(&query.body),
        SetExpr::SetOperation { left, .. } => items_of(left),
        _ => &[],
    }
}

/// Whether the planner's own name of `expr` would be such a one.
fn misnamed(expr: &Expr) -> bool {
    let (mut found, mut has_query) = (false, false);
    let _ = visit_expressions(expr, |part| {
        found |= match part {
            Expr::Cast { .. } | Expr::Interval(_) => true,
            Expr::Function(call) => call.over.is_some(),
            Expr::BinaryOp { op, .. } => *op == BinaryOperator::BitwiseXor,
            _ => false,
        };
        has_query |= matches!(part, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. });
        ControlFlow::<()>::Continue(())
    });
    found && !has_query
}

/// The name that a column gets when it is given none.
pub(super) fn name_of(expr: &Expr) -> String {
    if let Some(inner) = unwrapped(expr) {
        return name_of(inner);
    }
    match expr {
        Expr::Identifier(name) => folded(name),
        Expr::CompoundIdentifier(names) => names.last().map(folded).unwrap_or_default(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => name_of(expr),
        other => as_written(other),
    }
}

/// The text of an expression without quotes around names, tables in front of them and upper-case function names.
fn as_written(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _ = visit_expressions_mut(&mut expr, |part| {
        while let Some(inner) = unwrapped(part) {
            *part = inner.clone();
        }
        match part {
            Expr::Identifier(name) => *name = Ident::new(folded(name)),
            Expr::CompoundIdentifier(names) => {
                let name = names.last().map(folded).unwrap_or_default();
                *part = Expr::Identifier(Ident::new(name));
            }
            Expr::Function(call) => {
                for name in &mut call.name.0 {
                    if let ObjectNamePart::Identifier(name) = name {
                        *name = Ident::new(folded(name));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    expr.to_string()
}
