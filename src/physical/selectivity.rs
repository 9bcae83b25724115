//! Which share of rows a condition keeps, guessed from what is known of its columns.
//!
//! Conditions are taken as independent of one another, except that several bounds on one column are one range. A guess
//! decides the order of joins and never the result.

use std::collections::HashMap;

use datafusion_common::{Column, ScalarValue};
use datafusion_expr::expr::{BinaryExpr, InList, Like};
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{Expr, Operator};

use super::cardinality::ColumnEstimate;

/// `a < b` over two columns, or a comparison of something computed.
const COMPARISON_SHARE: f64 = 0.33;
/// `f(a) = constant`, or equality with a column of which nothing is known.
const EQUALITY_SHARE: f64 = 0.1;
/// `a LIKE '%b%'`.
const PATTERN_SHARE: f64 = 0.1;
/// Anything else that is true or false.
const UNKNOWN_SHARE: f64 = 0.3;
/// A range without rows: statistics may be wrong about it.
const LEAST_SHARE: f64 = 1e-6;

/// What is known of a column by name.
pub(crate) type Lookup<'a> = dyn Fn(&Column) -> Option<&'a ColumnEstimate> + 'a;

/// The share of rows for which all of `conditions` hold.
pub(crate) fn share_of<'e, 'a>(conditions: impl IntoIterator<Item = &'e Expr>, columns: &Lookup<'a>) -> f64 {
    let mut share = 1.0;
    let mut ranges: HashMap<&Column, Range> = HashMap::new();
    for condition in conditions.into_iter().flat_map(split_conjunction) {
        match bound(condition, columns) {
            Some((column, known, op, value)) => ranges.entry(column).or_insert_with(|| Range::of(known)).cut(op, value),
            None => share *= share_of_one(condition, columns),
        }
    }
    (ranges.values().map(Range::share).product::<f64>() * share).clamp(LEAST_SHARE, 1.0)
}

/// The part of a column's values that bounds leave.
struct Range {
    min: f64,
    max: f64,
    from: f64,
    to: f64,
    not_null: f64,
}

impl Range {
    fn of(column: &ColumnEstimate) -> Self {
        let (min, max) = column.range.unwrap_or((0.0, 0.0));
        Range { min, max, from: min, to: max, not_null: 1.0 - column.null_share }
    }

    fn cut(&mut self, op: Operator, value: f64) {
        match op {
            Operator::Lt | Operator::LtEq => self.to = self.to.min(value),
            _ => self.from = self.from.max(value),
        }
    }

    fn share(&self) -> f64 {
        if self.max <= self.min {
            return if self.from <= self.to { self.not_null } else { LEAST_SHARE };
        }
        self.not_null * ((self.to - self.from) / (self.max - self.min)).clamp(LEAST_SHARE, 1.0)
    }
}

/// `column < constant` and its like, over a column whose range is known.
fn bound<'e, 'a>(condition: &'e Expr, columns: &Lookup<'a>) -> Option<(&'e Column, &'a ColumnEstimate, Operator, f64)> {
    use Operator::*;
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, op, value) = match (without_cast(left), without_cast(right)) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    let known = columns(column).filter(|known| known.range.is_some())?;
    matches!(op, Lt | LtEq | Gt | GtEq).then_some((column, known, op, number(value)?))
}

fn share_of_one<'a>(condition: &Expr, columns: &Lookup<'a>) -> f64 {
    match condition {
        Expr::Literal(value, _) => f64::from(u8::from(*value == ScalarValue::Boolean(Some(true)))),
        Expr::Not(inner) => 1.0 - share_of([inner.as_ref()], columns),
        Expr::Alias(alias) => share_of([alias.expr.as_ref()], columns),
        Expr::IsNull(inner) => null_share(inner, columns),
        Expr::IsNotNull(inner) => 1.0 - null_share(inner, columns),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let neither = (1.0 - share_of([left.as_ref()], columns)) * (1.0 - share_of([right.as_ref()], columns));
            1.0 - neither
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison_share(left, *op, right, columns),
        Expr::InList(InList { expr, list, negated }) => {
            let share = (equality_share(expr, None, columns) * list.len() as f64).min(1.0);
            if *negated { 1.0 - share } else { share }
        }
        Expr::Like(Like { negated, .. }) | Expr::SimilarTo(Like { negated, .. }) => {
            if *negated {
                1.0 - PATTERN_SHARE
            } else {
                PATTERN_SHARE
            }
        }
        _ => UNKNOWN_SHARE,
    }
}

fn null_share<'a>(expr: &Expr, columns: &Lookup<'a>) -> f64 {
    match without_cast(expr) {
        Expr::Column(column) => columns(column).map_or(EQUALITY_SHARE, |known| known.null_share),
        _ => EQUALITY_SHARE,
    }
}

fn comparison_share<'a>(left: &Expr, op: Operator, right: &Expr, columns: &Lookup<'a>) -> f64 {
    use Operator::*;
    let equal = || match (without_cast(left), without_cast(right)) {
        (Expr::Literal(value, _), other) | (other, Expr::Literal(value, _)) => {
            equality_share(other, Some(value), columns)
        }
        (left, right) => equality_share(left, None, columns).min(equality_share(right, None, columns)),
    };
    match op {
        Eq | IsNotDistinctFrom => equal(),
        NotEq | IsDistinctFrom => 1.0 - equal(),
        Lt | LtEq | Gt | GtEq => COMPARISON_SHARE,
        LikeMatch | ILikeMatch | RegexMatch | RegexIMatch => PATTERN_SHARE,
        NotLikeMatch | NotILikeMatch | RegexNotMatch | RegexNotIMatch => 1.0 - PATTERN_SHARE,
        _ => UNKNOWN_SHARE,
    }
}

/// The column whose values `condition` names, and how many these are: `a = 1 OR a IN (2, 3)`.
pub(crate) fn named_values(condition: &Expr) -> Option<(&Column, f64)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((one, n_left), (other, n_right)) = (named_values(left)?, named_values(right)?);
            (one == other).then_some((one, n_left + n_right))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (without_cast(left), without_cast(right)) {
                (Expr::Column(column), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(column)) => {
                    Some((column, 1.0))
                }
                _ => None,
            }
        }
        Expr::InList(InList { expr, list, negated: false }) => match without_cast(expr) {
            Expr::Column(column) => Some((column, list.len() as f64)),
            _ => None,
        },
        _ => None,
    }
}

/// The share of rows in which `expr` is one given value.
fn equality_share<'a>(expr: &Expr, value: Option<&ScalarValue>, columns: &Lookup<'a>) -> f64 {
    let Expr::Column(column) = without_cast(expr) else { return EQUALITY_SHARE };
    let Some(known) = columns(column) else { return EQUALITY_SHARE };
    let outside = value.and_then(number).zip(known.range).is_some_and(|(value, (min, max))| value < min || value > max);
    if outside { LEAST_SHARE } else { (1.0 - known.null_share) / known.distinct_left().max(1.0) }
}

fn without_cast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => without_cast(&cast.expr),
        Expr::TryCast(cast) => without_cast(&cast.expr),
        Expr::Alias(alias) => without_cast(&alias.expr),
        other => other,
    }
}

/// `value` on a line, where the type has one.
pub(crate) fn number(value: &ScalarValue) -> Option<f64> {
    use ScalarValue::*;
    match value {
        Date32(days) => days.map(f64::from),
        Date64(at) | TimestampSecond(at, _) | TimestampMillisecond(at, _) => at.map(|at| at as f64),
        TimestampMicrosecond(at, _) | TimestampNanosecond(at, _) => at.map(|at| at as f64),
        Utf8(_) | LargeUtf8(_) | Utf8View(_) | Binary(_) | LargeBinary(_) | BinaryView(_) => None,
        other => match other.cast_to(&arrow::datatypes::DataType::Float64) {
            Ok(Float64(number)) => number.filter(|number| number.is_finite()),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::{col, lit};

    use super::named_values;

    #[test]
    fn conditions_name_the_values_of_one_column() {
        let (a, b) = (|| col("a"), || col("b"));
        let two = a().eq(lit(1)).or(lit(2).eq(a()));
        for (condition, n_values) in [
            (a().eq(lit(1)), Some(1.0)),
            (two.clone(), Some(2.0)),
            (two.clone().or(a().in_list(vec![lit(3), lit(4)], false)), Some(4.0)),
            (a().in_list(vec![lit(3)], true), None),
            (two.or(b().eq(lit(1))), None),
            (a().eq(b()), None),
            (a().gt(lit(1)), None),
        ] {
            assert_eq!(named_values(&condition).map(|(_, n_values)| n_values), n_values, "{condition}");
        }
    }
}
