//! Casts of one expression: `GROUP BY x, CAST(x AS BIGINT)`, `avg(x), avg(CAST(x AS BIGINT))`.
//!
//! The planner calls a cast by the name of what it casts, so both keys would have one name. Such a cast is wrapped in a
//! function that changes nothing and is simplified away, wherever the query has it.
//!
//! Memory: none.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, OrderByKind, Query, Select, SelectItem, SetExpr, Value, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

use super::clauses::folded;
use super::headers::name_of;

/// The function that changes nothing.
const WRAPPER: &str = "coalesce";

/// Tells such keys of `query` apart.
pub(super) fn tell_apart(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let mut wrapped =
        Wrapped { everywhere: layers(twins(select)), in_calls: layers(casts_of_one(select)), n_wrapped: 0, depth: 0 };
    if wrapped.everywhere.is_empty() && wrapped.in_calls.is_empty() {
        return;
    }
    let names: Vec<Option<String>> = select.projection.iter().map(item_name).collect();
    for (idx, item) in select.projection.iter_mut().enumerate() {
        let n_before = wrapped.n_wrapped;
        let _ = VisitMut::visit(item, &mut wrapped);
        if wrapped.n_wrapped == n_before {
            continue;
        }
        if let SelectItem::UnnamedExpr(expr) = item {
            let expr = std::mem::replace(expr, Expr::value(Value::Null));
            let name = names[idx].clone().unwrap_or_default();
            let numbered = (1..).map(|number| format!("{name}_{number}"));
            let is_free =
                |name: &String| !names.iter().enumerate().any(|(at, known)| at != idx && known.as_ref() == Some(name));
            let name = std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name);
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
        }
    }
    wrapped.visit_behind_list(query);
}

/// Tells casts of columns in the list from the columns themselves where ORDER BY computes with these: to sort by what is not
/// in the list the planner puts it there, under the name that the cast has already.
pub(super) fn tell_list_from_order(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(OrderByKind::Expressions(keys)) = query.order_by.as_ref().map(|order| &order.kind) else { return };
    if keys.iter().all(|key| matches!(key.expr, Expr::Identifier(_) | Expr::Value(_))) {
        return;
    }
    let casts = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) if is_cast_of_column(expr) => Some((expr.clone(), 1)),
        _ => None,
    });
    let mut wrapped = Wrapped { everywhere: casts.collect(), in_calls: HashMap::new(), n_wrapped: 0, depth: 0 };
    let _ = VisitMut::visit(&mut select.projection, &mut wrapped);
    wrapped.visit_behind_list(query);
}

/// What [`wrapped`] was made of.
pub(super) fn unwrapped(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(call) = expr else { return None };
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] if call.name.to_string() == WRAPPER => Some(expr),
        _ => None,
    }
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

/// The casts of columns inside calls of the list and HAVING whose operand stands in such a call without that cast too.
fn casts_of_one(select: &Select) -> Vec<Expr> {
    let mut calls = InCalls::default();
    let _ = select.projection.visit(&mut calls);
    let _ = select.having.visit(&mut calls);
    let is_twin = |found: &&Found| found.casts.len() > 1 || found.n_uses > found.n_casts;
    let found = calls.order.iter().filter_map(|column| calls.columns.get(column));
    found.filter(is_twin).flat_map(|found| found.casts.clone()).collect()
}

/// The columns that stand inside calls.
#[derive(Default)]
struct InCalls {
    columns: HashMap<Expr, Found>,
    /// Those that are cast, in the order of the text.
    order: Vec<Expr>,
    depth: usize,
}

/// What is made of one column inside calls.
#[derive(Default)]
struct Found {
    /// The different casts of it.
    casts: Vec<Expr>,
    n_casts: usize,
    /// How often it stands there, in a cast or not.
    n_uses: usize,
}

impl Visitor for InCalls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth += usize::from(matches!(expr, Expr::Function(_)));
        if self.depth == 0 {
            return ControlFlow::Continue(());
        }
        if is_column(expr) {
            self.columns.entry(expr.clone()).or_default().n_uses += 1;
        } else if is_cast_of_column(expr) {
            let found = self.columns.entry(bare(expr).clone()).or_default();
            if found.casts.is_empty() {
                self.order.push(bare(expr).clone());
            }
            found.n_casts += 1;
            if !found.casts.contains(expr) {
                found.casts.push(expr.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.depth -= usize::from(matches!(expr, Expr::Function(_)));
        ControlFlow::Continue(())
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

/// Nothing larger is looked up: what is as deep as a query may be would be hashed at every level of it.
fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_cast_of_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast { .. }) && is_column(bare(expr))
}

/// In how many layers each of `casts` is wrapped: those of one operand differ, for a name of their own.
fn layers(casts: Vec<Expr>) -> HashMap<Expr, usize> {
    let mut n_of_operand: HashMap<Expr, usize> = HashMap::new();
    let layer = |cast: Expr| {
        let n_layers = n_of_operand.entry(bare(&cast).clone()).or_default();
        *n_layers += 1;
        (cast, *n_layers)
    };
    casts.into_iter().map(layer).collect()
}

/// Casts that are wrapped, and in how many layers.
struct Wrapped {
    everywhere: HashMap<Expr, usize>,
    /// Only inside calls.
    in_calls: HashMap<Expr, usize>,
    n_wrapped: usize,
    depth: usize,
}

impl Wrapped {
    /// Wraps in all clauses that come after the list.
    fn visit_behind_list(&mut self, query: &mut Query) {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let _ = VisitMut::visit(&mut select.group_by, self);
            let _ = VisitMut::visit(&mut select.having, self);
            let _ = VisitMut::visit(&mut select.qualify, self);
        }
        let _ = VisitMut::visit(&mut query.order_by, self);
    }
}

impl VisitorMut for Wrapped {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth += usize::from(matches!(expr, Expr::Function(_)));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Cast { .. }) {
            let in_calls = if self.depth > 0 && is_cast_of_column(expr) { self.in_calls.get(expr) } else { None };
            for _ in 0..self.everywhere.get(expr).or(in_calls).copied().unwrap_or(0) {
                *expr = wrapped(std::mem::replace(expr, Expr::value(Value::Null)));
                self.n_wrapped += 1;
            }
        } else {
            self.depth -= usize::from(matches!(expr, Expr::Function(_)));
        }
        ControlFlow::Continue(())
    }
}

fn wrapped(expr: Expr) -> Expr {
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))];
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(WRAPPER)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: vec![] }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
