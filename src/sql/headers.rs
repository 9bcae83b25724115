//! Names for result columns without one where the planner's own would lie or could not be read: it leaves casts and OVER out,
//! and spells intervals as it keeps them. They are called what was written, without quotes and table names; a cast of a
//! column has the column's name, as in PostgreSQL.
//!
//! Memory: none.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, ObjectNamePart, visit_expressions, visit_expressions_mut,
};

use super::clauses::folded;

/// Whether the planner's own name of `expr` would be such a one.
pub(super) fn misnamed(expr: &Expr) -> bool {
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
