//! What the parser accepts and the planner would pass over in silence: refused by name, or rewritten into what is
//! supported. Also how deep expressions may be, and names for columns that are selected twice.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, GroupByWithModifier, Ident, Join, JoinConstraint, JoinOperator, LimitClause,
    OrderByKind, Query, Select, SelectFlavor, SelectItem, TableFactor, TableWithJoins, UnaryOperator, Value,
    ValueWithSpan, VisitMut, VisitorMut, WildcardAdditionalOptions,
};
use datafusion_sql::sqlparser::tokenizer::Span;

use super::headers::name_of;
use crate::error::{Error, Result};

/// How deep an expression may be; a chain of n conditions is n deep. The stacks are made for this.
pub(super) const DEEPEST: usize = 2000;

/// Checks a query with all its subqueries.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] naming the clause.
pub(super) fn check(query: &mut Query) -> Result<()> {
    match query.visit(&mut Clauses { depth: 0 }) {
        ControlFlow::Break(error) => return Err(error),
        ControlFlow::Continue(()) => {}
    }
    super::group_keys::tell_list_from_order(query);
    Ok(())
}

struct Clauses {
    depth: usize,
}

impl VisitorMut for Clauses {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let limit_by =
            matches!(&query.limit_clause, Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty());
        super::distinct_order::order_by_columns(query);
        super::group_keys::tell_apart(query);
        let order = query.order_by.as_ref();
        let with_fill = order.is_some_and(|order| match &order.kind {
            OrderByKind::Expressions(keys) => keys.iter().any(|key| key.with_fill.is_some()),
            OrderByKind::All(_) => false,
        });
        refuse(&[
            (!query.locks.is_empty(), "FOR UPDATE or FOR SHARE"),
            (query.for_clause.is_some(), "FOR XML or FOR JSON"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (query.fetch.is_some(), "FETCH FIRST (write LIMIT)"),
            (limit_by, "LIMIT .. BY"),
            (order.is_some_and(|order| order.interpolate.is_some()), "INTERPOLATE"),
            (with_fill, "WITH FILL"),
        ])
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if select.flavor == SelectFlavor::FromFirstNoSelect && select.projection.is_empty() {
            select.projection.push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
        }
        refuse(&[
            (select.prewhere.is_some(), "PREWHERE (write WHERE)"),
            (select.top.is_some(), "TOP (write LIMIT)"),
            (select.exclude.is_some(), "EXCLUDE after the list (write it right after *)"),
            (select.into.is_some(), "INTO"),
            (select.select_modifiers.is_some(), "a modifier after SELECT"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!select.sort_by.is_empty(), "SORT BY (write ORDER BY)"),
            (select.value_table_mode.is_some(), "SELECT AS VALUE or AS STRUCT"),
        ])?;
        select.from.iter_mut().try_for_each(check_joins)?;
        expand_group_by(&mut select.group_by)
    }

    /// Arithmetic of numbers has become numbers, which may be the same.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        name_twins(select).map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Error> {
        match table {
            TableFactor::Table {
                name,
                args,
                alias,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                let alias = alias.as_ref().filter(|alias| !alias.explicit && alias.name.quote_style.is_none());
                let is_final = alias.is_some_and(|alias| alias.name.value.eq_ignore_ascii_case("final"));
                refuse(&[
                    (is_final, "FINAL"),
                    (sample.is_some(), "TABLESAMPLE"),
                    (!with_hints.is_empty() || !index_hints.is_empty(), "a hint after a table"),
                    (version.is_some(), "FOR SYSTEM_TIME or another version of a table"),
                    (*with_ordinality, "WITH ORDINALITY"),
                    (!partitions.is_empty(), "PARTITION after a table"),
                    (json_path.is_some(), "a path into a table"),
                ])?;
                match args {
                    Some(args) => super::read_csv::rewrite(name, &mut args.args),
                    None => ControlFlow::Continue(()),
                }
            }
            TableFactor::NestedJoin { table_with_joins, .. } => check_joins(table_with_joins),
            TableFactor::Derived { sample, .. } => refuse(&[(sample.is_some(), "TABLESAMPLE")]),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let error = Error::usage(format!("an expression with more than {DEEPEST} operators inside each other"));
            return ControlFlow::Break(error.with_hint("write a long chain of conditions as x IN (..) if it is one"));
        }
        super::field_access::as_name(expr);
        match expr {
            Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) => {
                let error = Error::usage(format!("{name} is a parameter, and there are no values for parameters"));
                ControlFlow::Break(located(error, *span))
            }
            // The planner takes it for a search, and it has to match the whole text.
            Expr::SimilarTo { .. } => refuse(&[(true, "SIMILAR TO (write s ~ '^(..)$')")]),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        self.depth -= 1;
        super::power::rewrite(expr);
        if let Some(exact) = exact_arithmetic(expr) {
            *expr = exact;
        }
        ControlFlow::Continue(())
    }
}

/// `0.06 + 0.01` over numbers as they are written is 0.07, and not the sum of the two nearest floats, which is below it.
fn exact_arithmetic(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let ((left, left_scale), (right, right_scale)) = (written_number(left)?, written_number(right)?);
    let at_scale = |value: i128, scale: u32, wanted: u32| value.checked_mul(10i128.checked_pow(wanted - scale)?);
    let scale = left_scale.max(right_scale);
    let (value, scale) = match op {
        BinaryOperator::Plus | BinaryOperator::Minus => {
            let (left, right) = (at_scale(left, left_scale, scale)?, at_scale(right, right_scale, scale)?);
            let value = if *op == BinaryOperator::Plus { left.checked_add(right) } else { left.checked_sub(right) };
            (value?, scale)
        }
        BinaryOperator::Multiply => (left.checked_mul(right)?, left_scale + right_scale),
        _ => return None,
    };
    // Whole numbers have arithmetic of their own, which says when it overflows.
    if scale == 0 || value.unsigned_abs() >= MOST_EXACT {
        return None;
    }
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let number = Expr::Value(Value::Number(format!("{whole}.{fraction}"), false).with_empty_span());
    let negative = || Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number.clone()) };
    Some(if value < 0 { negative() } else { number })
}

/// Integers up to here are exact as floats.
const MOST_EXACT: u128 = 1 << 53;

/// The digits of a number as it is written, and how many of them are behind the point.
fn written_number(expr: &Expr) -> Option<(i128, u32)> {
    match expr {
        Expr::Nested(inner) => written_number(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let (value, scale) = written_number(expr)?;
            Some((-value, scale))
        }
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            Some((format!("{whole}{fraction}").parse().ok()?, u32::try_from(fraction.len()).ok()?))
        }
        _ => None,
    }
}

/// The planner takes the common column from the left side, which is NULL for rows that only the right side has.
fn check_joins(table: &mut TableWithJoins) -> ControlFlow<Error> {
    table.joins.iter_mut().try_for_each(super::asof::rewrite)?;
    let kept_from_right = |join: &Join| match &join.join_operator {
        JoinOperator::Right(by) | JoinOperator::RightOuter(by) | JoinOperator::FullOuter(by) => {
            matches!(by, JoinConstraint::Using(_) | JoinConstraint::Natural)
        }
        _ => false,
    };
    let found = table.joins.iter().any(kept_from_right);
    refuse(&[(found, "RIGHT or FULL JOIN with USING or NATURAL (write ON, and coalesce for the common column)")])
}

/// The first clause that is there is an error.
fn refuse(clauses: &[(bool, &str)]) -> ControlFlow<Error> {
    match clauses.iter().find(|(present, _)| *present) {
        Some((_, clause)) => ControlFlow::Break(Error::usage(format!("{clause} is not supported"))),
        None => ControlFlow::Continue(()),
    }
}

/// `GROUP BY a, b WITH ROLLUP` is `GROUP BY ROLLUP (a, b)`.
fn expand_group_by(group_by: &mut GroupByExpr) -> ControlFlow<Error> {
    let (keys, modifiers) = match group_by {
        GroupByExpr::All(modifiers) => (None, modifiers),
        GroupByExpr::Expressions(keys, modifiers) => (Some(keys), modifiers),
    };
    let one_by_one = |keys: &mut Vec<Expr>| std::mem::take(keys).into_iter().map(|key| vec![key]).collect();
    match (modifiers.as_slice(), keys) {
        ([], _) => {}
        ([GroupByWithModifier::Rollup], Some(keys)) => *keys = vec![Expr::Rollup(one_by_one(keys))],
        ([GroupByWithModifier::Cube], Some(keys)) => *keys = vec![Expr::Cube(one_by_one(keys))],
        ([first, ..], _) => return refuse(&[(true, &format!("GROUP BY .. {first}"))]),
    }
    modifiers.clear();
    ControlFlow::Continue(())
}

/// Gives columns without a name of their own a number when an earlier one has their name: `x, x` becomes `x, x_1`.
fn name_twins(select: &mut Select) -> Result<()> {
    let items = &mut select.projection;
    let mut taken = HashSet::new();
    for item in items.iter() {
        if let SelectItem::ExprWithAlias { alias, .. } = item
            && !taken.insert(folded(alias))
        {
            return Err(located(twice(&folded(alias)), alias.span));
        }
    }
    for item in items.iter_mut() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let name = name_of(expr);
        // The planner's names have no parentheses: `(a + b) * c` would be a twin of `a + b * c`.
        if taken.insert(bare(&name)) {
            taken.insert(name);
            continue;
        }
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let new_name = std::iter::once(name.clone()).chain(numbered).find(|new| !taken.contains(new));
        let new_name = new_name.unwrap_or_default();
        taken.insert(new_name.clone());
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', new_name) };
    }
    Ok(())
}

fn twice(name: &str) -> Error {
    Error::usage(format!("two columns of the result are called {name:?}"))
        .with_hint("give one of them another name with AS")
}

/// A name without what tells expressions apart but not their names.
fn bare(name: &str) -> String {
    // All subqueries have one name.
    let select = "(select";
    let has_query = name.as_bytes().windows(select.len()).any(|part| part.eq_ignore_ascii_case(select.as_bytes()));
    if has_query {
        return "<subquery>".to_string();
    }
    name.chars().filter(|letter| !matches!(letter, '(' | ')' | ' ')).collect()
}

/// Names without quotes are lower case.
pub(super) fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn located(error: Error, span: Span) -> Error {
    match span.start.line {
        0 => error,
        line => error.with_location(format!("sql:{line}:{}", span.start.column)),
    }
}
