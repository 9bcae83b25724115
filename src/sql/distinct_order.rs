//! `SELECT DISTINCT x + 1 .. ORDER BY x + 1`: the key is a column of the result, which the planner does not see.
//!
//! Such a key becomes the number of its column. Memory: none.

use datafusion_sql::sqlparser::ast::{Distinct, Expr, GroupByExpr, OrderByKind, Query, SelectItem, SetExpr, Value};

/// Orders a DISTINCT by its columns where these are what the keys say.
pub(super) fn order_by_columns(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let has_number = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    let is_plain = matches!(select.distinct, Some(Distinct::Distinct));
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !is_plain || is_grouped || !select.projection.iter().all(has_number) {
        return;
    }
    let items: Vec<Expr> = select.projection.iter().filter_map(expr_of).cloned().collect();
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_mut().map(|order| &mut order.kind) else { return };
    for key in keys.iter_mut().filter(|key| !matches!(key.expr, Expr::Identifier(_) | Expr::Value(_))) {
        if let Some(idx) = items.iter().position(|item| unnested(item) == unnested(&key.expr)) {
            key.expr = Expr::value(Value::Number((idx + 1).to_string(), false));
        }
    }
}

fn expr_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

fn unnested(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}
