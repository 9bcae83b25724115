//! Dates and texts beside timestamps take the unit of the timestamp, and so are compared exactly in all years.
//!
//! Memory: none beside the plan.
//! The planner would compare them in nanoseconds, which end in 2262, so that 9999-12-31, a common way to say "no end", fails.
//! A date that hours are added to becomes a timestamp, which keeps them.
//! A text in the place of a timestamp has the coarsest unit that has a place for all of its digits; `TIMESTAMP '..'`
//! microseconds, or nanoseconds if it has more digits.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result, ScalarValue};
use datafusion_expr::expr::{Between, BinaryExpr, Case, InList, InSubquery, ScalarFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator};

/// Functions that give one of their arguments, or compare them.
const MEETING: [&str; 4] = ["coalesce", "greatest", "least", "nullif"];

/// Casts what meets a timestamp, in all of `plan`, whose types need not agree yet.
///
/// # Errors
/// When a plan cannot be made anew from its changed expressions.
pub(super) fn meet_in_their_unit(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|part| rewrite(part, &schema))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        let node = node.transform_data(join_keys)?;
        if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
    })?;
    Ok(rewritten.data)
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (expr, changed) = match expr {
        Expr::Cast(cast) => written_timestamp(cast),
        Expr::BinaryExpr(BinaryExpr { mut left, op, mut right }) if is_comparison(op) => {
            let changed = meet([left.as_mut(), right.as_mut()], schema);
            (Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        Expr::BinaryExpr(BinaryExpr { mut left, op: op @ (Operator::Plus | Operator::Minus), mut right }) => {
            let changed =
                give_time_of_day(left.as_mut(), &right, schema) || give_time_of_day(right.as_mut(), &left, schema);
            (Expr::BinaryExpr(BinaryExpr { left, op, right }), changed)
        }
        Expr::Between(Between { mut expr, negated, mut low, mut high }) => {
            let changed = meet([expr.as_mut(), low.as_mut(), high.as_mut()], schema);
            (Expr::Between(Between { expr, negated, low, high }), changed)
        }
        Expr::InList(InList { mut expr, mut list, negated }) => {
            let changed = meet(std::iter::once(expr.as_mut()).chain(list.iter_mut()), schema);
            (Expr::InList(InList { expr, list, negated }), changed)
        }
        Expr::InSubquery(membership) => meet_list(membership, schema)?,
        Expr::Case(Case { mut expr, mut when_then_expr, mut else_expr }) => {
            let (whens, thens): (Vec<_>, Vec<_>) =
                when_then_expr.iter_mut().map(|(when, then)| (when.as_mut(), then.as_mut())).unzip();
            let mut changed = meet(thens.into_iter().chain(else_expr.as_deref_mut()), schema);
            if let Some(expr) = &mut expr {
                changed |= meet(std::iter::once(expr.as_mut()).chain(whens), schema);
            }
            (Expr::Case(Case { expr, when_then_expr, else_expr }), changed)
        }
        Expr::ScalarFunction(ScalarFunction { func, mut args }) if MEETING.contains(&func.name()) => {
            let changed = meet(args.iter_mut(), schema);
            (Expr::ScalarFunction(ScalarFunction { func, args }), changed)
        }
        other => (other, false),
    };
    Ok(Transformed::new_transformed(expr, changed))
}

/// Makes a date that an interval of hours is added to a timestamp: the planner gives a date, and would drop the hours. An
/// interval of whole days leaves a date, by which files can be pruned.
fn give_time_of_day(date: &mut Expr, interval: &Expr, schema: &DFSchema) -> bool {
    let is_interval = matches!(interval.get_type(schema), Ok(DataType::Interval(_)));
    if !is_interval || date.get_type(schema).ok() != Some(DataType::Date32) || is_of_whole_days(interval) {
        return false;
    }
    let inner = std::mem::take(date);
    *date = Expr::Cast(Cast::new(Box::new(inner), DataType::Timestamp(TimeUnit::Microsecond, None)));
    true
}

fn is_of_whole_days(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(parts)), _) => parts.nanoseconds == 0,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(parts)), _) => parts.milliseconds == 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => true,
        Expr::Negative(inner) => is_of_whole_days(inner),
        _ => false,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Casts dates and written texts among `exprs` to the finest unit of the timestamps among them. Nanoseconds and timestamps
/// with a time zone are left to the planner. Gives whether there was anything to cast.
fn meet<'a>(exprs: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> bool {
    let mut exprs: Vec<&mut Expr> = exprs.into_iter().collect();
    let types: Vec<Option<DataType>> = exprs.iter().map(|expr| expr.get_type(schema).ok()).collect();
    let is_zoned = |data_type: &Option<DataType>| matches!(data_type, Some(DataType::Timestamp(_, Some(_))));
    let unit = types.iter().filter_map(unit_of).max();
    let Some(unit) = unit.filter(|unit| *unit < TimeUnit::Nanosecond) else { return false };
    if types.iter().any(is_zoned) {
        return false;
    }
    let mut changed = false;
    for (expr, data_type) in exprs.iter_mut().zip(&types) {
        let unit = match (data_type, &**expr) {
            (Some(DataType::Date32), _) => unit,
            (_, Expr::Literal(ScalarValue::Utf8(Some(text)), _)) => unit.max(written_unit(text)),
            _ => continue,
        };
        let inner = std::mem::take(&mut **expr);
        **expr = Expr::Cast(Cast::new(Box::new(inner), DataType::Timestamp(unit, None)));
        changed = true;
    }
    changed
}

fn unit_of(data_type: &Option<DataType>) -> Option<TimeUnit> {
    match data_type {
        Some(DataType::Timestamp(unit, None)) => Some(*unit),
        _ => None,
    }
}

/// The coarsest unit that has a place for all digits of a second in `text`.
fn written_unit(text: &str) -> TimeUnit {
    let after = text.rsplit_once('.').map_or("", |(_, after)| after);
    let digits = &after[..after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len())];
    match digits.trim_end_matches('0').len() {
        0 => TimeUnit::Second,
        1..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// `TIMESTAMP '..'`, which the planner takes for nanoseconds whatever it has.
fn written_timestamp(cast: Cast) -> (Expr, bool) {
    let (unit, zone) = match (cast.expr.as_ref(), cast.field.data_type()) {
        (Expr::Literal(ScalarValue::Utf8(Some(text)), _), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            (written_unit(text).max(TimeUnit::Microsecond), zone.clone())
        }
        _ => (TimeUnit::Nanosecond, None),
    };
    match unit {
        TimeUnit::Nanosecond => (Expr::Cast(cast), false),
        unit => (Expr::Cast(Cast::new(cast.expr, DataType::Timestamp(unit, zone))), true),
    }
}

/// `x IN (SELECT ..)`, where either side may be a date.
fn meet_list(membership: InSubquery, schema: &DFSchema) -> Result<(Expr, bool)> {
    let InSubquery { mut expr, mut subquery, negated } = membership;
    let list = subquery.subquery.schema();
    let column = Column::from(list.qualified_field(0));
    let types = [expr.get_type(schema).ok(), Some(list.field(0).data_type().clone())];
    match types {
        [Some(DataType::Date32), Some(DataType::Timestamp(unit, None))] if unit != TimeUnit::Nanosecond => {
            expr = Box::new(Expr::Cast(Cast::new(expr, DataType::Timestamp(unit, None))));
        }
        [Some(DataType::Timestamp(unit, None)), Some(DataType::Date32)] if unit != TimeUnit::Nanosecond => {
            let name = column.name.clone();
            let value = Expr::Cast(Cast::new(Box::new(Expr::Column(column)), DataType::Timestamp(unit, None)));
            let plan = LogicalPlanBuilder::from(subquery.subquery).project([value.alias(name)])?;
            subquery.subquery = Arc::new(plan.build()?);
        }
        _ => return Ok((Expr::InSubquery(InSubquery { expr, subquery, negated }), false)),
    }
    Ok((Expr::InSubquery(InSubquery { expr, subquery, negated }), true))
}

/// The keys of USING, which are no expression.
fn join_keys(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(mut join) = node else { return Ok(Transformed::no(node)) };
    let both = join.left.schema().join(join.right.schema())?;
    let mut changed = false;
    for (left, right) in &mut join.on {
        changed |= meet([left, right], &both);
    }
    Ok(Transformed::new_transformed(LogicalPlan::Join(join), changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_unit_of_its_digits() {
        use TimeUnit::*;
        for (text, want) in [
            ("2024-01-01", Second),
            ("2024-01-01 10:00:00.500", Millisecond),
            ("2024-01-01T10:00:00.123456Z", Microsecond),
            ("2024-01-01 10:00:00.1234567", Nanosecond),
            ("2024-01-01 10:00:00.1234560000", Microsecond),
            ("9.x", Second),
        ] {
            assert_eq!(written_unit(text), want, "{text}");
        }
    }
}
