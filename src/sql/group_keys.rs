//! GROUP BY keys that are casts of one another: `GROUP BY x, CAST(x AS BIGINT)`.
//!
//! The planner calls a cast by the name of what it casts, so both keys would have one name. Such a cast is wrapped in a
//! function that changes nothing and is simplified away, wherever the query has it.
//!
//! Memory: none.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, VisitMut, visit_expressions_mut,
};

use super::clauses::{folded, name_of};

/// Tells such keys of `query` apart.
pub(super) fn tell_apart(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let wrapped = twins(select);
    if wrapped.is_empty() {
        return;
    }
    let names: Vec<Option<String>> = select.projection.iter().map(item_name).collect();
    for (idx, item) in select.projection.iter_mut().enumerate() {
        let before = item.clone();
        wrap_all(item, &wrapped);
        if *item == before {
            continue;
        }
        if let SelectItem::UnnamedExpr(expr) = item {
            let name = names[idx].clone().unwrap_or_default();
            let numbered = (1..).map(|number| format!("{name}_{number}"));
            let is_free =
                |name: &String| !names.iter().enumerate().any(|(at, known)| at != idx && known.as_ref() == Some(name));
            let name = std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name);
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
    wrap_all(&mut select.group_by, &wrapped);
    wrap_all(&mut select.having, &wrapped);
    wrap_all(&mut select.qualify, &wrapped);
    wrap_all(&mut query.order_by, &wrapped);
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(name_of(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

/// The keys that are casts of what another key is, or is a cast of.
fn twins(select: &Select) -> Vec<Expr> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return vec![] };
    let keys: Vec<&Expr> = keys.iter().map(|key| meant(key, &select.projection)).collect();
    let is_twin = |idx: usize| {
        let others = keys.iter().enumerate().filter(|(at, other)| *at != idx && bare(other) == bare(keys[idx]));
        matches!(keys[idx], Expr::Cast { .. }) && others.count() > 0
    };
    (0..keys.len()).filter(|&idx| is_twin(idx)).map(|idx| keys[idx].clone()).collect()
}

/// What a key stands for: it may be the number or the name of a column of the result.
fn meant<'a>(key: &'a Expr, items: &'a [SelectItem]) -> &'a Expr {
    let item = match key {
        Expr::Nested(inner) => return meant(inner, items),
        Expr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => {
            number.parse::<usize>().ok().and_then(|number| items.get(number.checked_sub(1)?))
        }
        Expr::Identifier(name) => items
            .iter()
            .find(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if folded(alias) == folded(name))),
        _ => None,
    };
    match item {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => expr,
        _ => key,
    }
}

/// What is cast.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => bare(expr),
        other => other,
    }
}

fn wrap_all(node: &mut impl VisitMut, casts: &[Expr]) {
    let _ = visit_expressions_mut(node, |expr| {
        // Each one in more layers than the one before it, for a name of its own.
        if let Some(idx) = casts.iter().position(|cast| cast == expr) {
            for _ in 0..=idx {
                *expr = wrapped(expr.clone());
            }
        }
        ControlFlow::<()>::Continue(())
    });
}

fn wrapped(expr: Expr) -> Expr {
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))];
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
