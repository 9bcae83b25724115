//! Casts of one expression: `GROUP BY x, CAST(x AS BIGINT)`, `avg(x), avg(CAST(x AS BIGINT))`.
//!
//! The planner calls a cast by the name of what it casts, so both keys would have one name. Such a cast is wrapped in a
//! function that changes nothing and is simplified away, wherever the query has it.
//!
//! Memory: none.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, VisitMut, visit_expressions,
    visit_expressions_mut,
};

use super::clauses::folded;
use super::headers::name_of;

/// Tells such keys of `query` apart.
pub(super) fn tell_apart(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let mut wrapped = twins(select);
    wrapped.extend(casts_of_one(select).into_iter().filter(|cast| !wrapped.contains(cast)).collect::<Vec<_>>());
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

/// The casts inside calls of the list and HAVING whose operand stands in such a call without that cast too.
fn casts_of_one(select: &Select) -> Vec<Expr> {
    let mut calls: Vec<Vec<Expr>> = Vec::new();
    let mut collect = |expr: &Expr| {
        if matches!(expr, Expr::Function(_)) {
            calls.push(parts_of(expr));
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = visit_expressions(&select.projection, &mut collect);
    let _ = visit_expressions(&select.having, &mut collect);
    let mut casts: Vec<&Expr> = Vec::new();
    for cast in calls.iter().flatten().filter(|part| matches!(part, Expr::Cast { .. })) {
        if !matches!(bare(cast), Expr::Value(_)) && !casts.contains(&cast) {
            casts.push(cast);
        }
    }
    let stands_alone = |operand: &Expr| {
        calls.iter().any(|parts| {
            let n_casts = parts.iter().filter(|part| operand_of(part) == Some(operand)).count();
            parts.iter().filter(|part| *part == operand).count() > n_casts
        })
    };
    let is_twin = |cast: &&&Expr| {
        let other_casts = casts.iter().any(|other| other != *cast && bare(other) == bare(cast));
        other_casts || stands_alone(bare(cast))
    };
    casts.iter().filter(is_twin).map(|cast| (*cast).clone()).collect()
}

/// An expression with all that it is made of.
fn parts_of(expr: &Expr) -> Vec<Expr> {
    let mut parts = Vec::new();
    let _ = visit_expressions(expr, |part| {
        parts.push(part.clone());
        ControlFlow::<()>::Continue(())
    });
    parts
}

/// What a cast is of.
fn operand_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Cast { expr, .. } => Some(unnested(expr)),
        _ => None,
    }
}

fn unnested(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unnested(inner),
        other => other,
    }
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
