//! How many first rows of each partition a condition over a window leaves: `row_number() <= 2`.

use datafusion_common::ScalarValue;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{BinaryExpr, Expr, Operator, Window, WindowFunctionDefinition};

use super::expression::plain_column;
use crate::operators::sort::GroupLimit;

/// The first rows that `condition` over the rows of `window` wants at most.
pub(super) fn wanted(condition: &Expr, window: &Window) -> Option<GroupLimit> {
    split_conjunction(condition).into_iter().filter_map(|part| limit_of(part, window)).min_by_key(|limit| limit.n_rows)
}

fn limit_of(condition: &Expr, window: &Window) -> Option<GroupLimit> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, op, value) = match (left.as_ref(), right.as_ref()) {
        (column, Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), column) => (column, op.swap()?, value),
        _ => return None,
    };
    let value = whole(value)?;
    let n_rows = match op {
        Operator::LtEq | Operator::Eq => value,
        Operator::Lt => value.checked_sub(1)?,
        _ => return None,
    };
    let with_ties = match ranking(column, window)? {
        "row_number" => false,
        "rank" => true,
        _ => return None,
    };
    Some(GroupLimit { n_rows: n_rows.max(1), with_ties })
}

fn whole(value: &ScalarValue) -> Option<usize> {
    if !value.data_type().is_integer() {
        return None;
    }
    match value.cast_to(&arrow::datatypes::DataType::UInt64) {
        Ok(ScalarValue::UInt64(Some(number))) => usize::try_from(number).ok(),
        _ => None,
    }
}

/// The name of the window function that `expr` is the result of.
fn ranking<'a>(expr: &Expr, window: &'a Window) -> Option<&'a str> {
    let column = match expr {
        Expr::Cast(cast) => &cast.expr,
        other => other,
    };
    let n_inputs = window.schema.fields().len() - window.window_expr.len();
    let idx = plain_column(column, &window.schema)?.checked_sub(n_inputs)?;
    match window.window_expr.get(idx)? {
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::WindowUDF(function) => Some(function.name()),
            WindowFunctionDefinition::AggregateUDF(_) => None,
        },
        _ => None,
    }
}
