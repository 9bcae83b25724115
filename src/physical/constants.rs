//! Constant parts of a query that the planner would fold silently into a wrong value, or fail on in words of its own.

use datafusion_common::DFSchema;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::{Between, BinaryExpr, InList};
use datafusion_expr::{Expr, LogicalPlan, Operator};

use super::expression::Evaluator;
use crate::error::{Error, Result};

/// Checks every expression of `plan`, whose types must agree already.
///
/// # Errors
/// [`crate::ErrorKind::Query`] for arithmetic out of range, [`crate::ErrorKind::Usage`] for a text that is compared with a
/// column it can never be a value of.
pub(crate) fn check_constants(plan: &LogicalPlan) -> Result<(), DataFusionError> {
    let visit = |expr: &Expr| match check(expr) {
        Ok(next) => Ok(next),
        Err(error) => Err(DataFusionError::External(Box::new(error))),
    };
    let of_node = |node: &LogicalPlan| node.apply_expressions(|expr| expr.apply(visit));
    plan.apply_with_subqueries(of_node).map(|_| ())
}

fn check(expr: &Expr) -> Result<TreeNodeRecursion> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Plus | Operator::Minus | Operator::Multiply, .. })
        | Expr::Negative(_)
            if is_constant_arithmetic(expr) =>
        {
            evaluate(expr)?;
            return Ok(TreeNodeRecursion::Jump);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            check_comparison(left, right)?;
            check_comparison(right, left)?;
        }
        Expr::InList(InList { expr, list, .. }) => list.iter().try_for_each(|value| check_comparison(expr, value))?,
        Expr::Between(Between { expr, low, high, .. }) => {
            check_comparison(expr, low)?;
            check_comparison(expr, high)?;
        }
        _ => {}
    }
    Ok(TreeNodeRecursion::Continue)
}

fn is_comparison(op: Operator) -> bool {
    use Operator::*;
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_constant_arithmetic(expr: &Expr) -> bool {
    let mut constant = true;
    let visited = expr.apply(|part| {
        constant &= matches!(part, Expr::Literal(..) | Expr::BinaryExpr(_) | Expr::Negative(_) | Expr::Cast(_));
        Ok(if constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    constant && visited.is_ok()
}

fn evaluate(expr: &Expr) -> Result<()> {
    Evaluator::compile(expr, &DFSchema::empty(), &ExecutionProps::new())?.evaluate_columns(&[], 1).map(|_| ())
}

/// A text in the place of a number or date must be one.
fn check_comparison(compared: &Expr, constant: &Expr) -> Result<()> {
    let (Expr::Column(column), Expr::Cast(cast)) = (without_cast(compared), constant) else { return Ok(()) };
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = cast.expr.as_ref() else { return Ok(()) };
    let wrong = |_| {
        let wanted = type_in_words(cast.field.data_type());
        Error::usage(format!("{} is {wanted}, and '{text}' is not", column.name))
    };
    evaluate(constant).map_err(wrong)
}

fn without_cast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => without_cast(&cast.expr),
        other => other,
    }
}

fn type_in_words(data_type: &arrow::datatypes::DataType) -> &'static str {
    use arrow::datatypes::DataType::*;
    match data_type {
        data_type if data_type.is_integer() => "a whole number",
        data_type if data_type.is_numeric() => "a number",
        Boolean => "true or false",
        Date32 | Date64 => "a date",
        Timestamp(..) => "a timestamp",
        Time32(_) | Time64(_) => "a time",
        _ => "of another type",
    }
}
