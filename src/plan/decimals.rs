//! Decimals that are compared with numbers as they are written.
//!
//! Memory: none beside the plan.

use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{Cast, Expr, LogicalPlan};

/// A number such as `99999.99` is parsed as floating point, which has too few digits for some decimals. Where the analyzer
/// makes a decimal of it, to compare it with one, the digits that were written are taken instead.
pub(super) fn exact_decimals(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewrite = |expr: Expr| {
        let exact = exact_decimal(&expr)?;
        Ok(exact.map_or_else(|| Transformed::no(expr), |value| Transformed::yes(Expr::Literal(value, None))))
    };
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(rewrite)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

/// Digits that a float always keeps.
const KEPT_DIGITS: usize = 15;

/// `CAST(1.5 AS DECIMAL)` as a decimal of the same digits, where they fit. Where digits that were written may be lost
/// already, that is an error.
fn exact_decimal(expr: &Expr) -> Result<Option<ScalarValue>, DataFusionError> {
    let Expr::Cast(Cast { expr, field }) = expr else { return Ok(None) };
    let Expr::Literal(ScalarValue::Float64(Some(value)), _) = expr.as_ref() else { return Ok(None) };
    let DataType::Decimal128(precision, scale) = *field.data_type() else { return Ok(None) };
    let digits = value.to_string();
    let (whole, decimals) = digits.split_once('.').unwrap_or((&digits, ""));
    if !i8::try_from(decimals.len()).is_ok_and(|n_decimals| n_decimals <= scale) {
        return Ok(None);
    }
    let n_digits = format!("{whole}{decimals}").trim_start_matches(['-', '0']).len();
    if value.is_finite() && n_digits > KEPT_DIGITS {
        return Err(DataFusionError::Plan(format!(
            "{digits} has more than {KEPT_DIGITS} digits, of which some may be lost when it becomes \
             DECIMAL({precision},{scale}): write CAST('the number' AS DECIMAL({precision},{scale}))"
        )));
    }
    let parsed = parse_decimal::<Decimal128Type>(&digits, precision, scale).ok();
    Ok(parsed.map(|parsed| ScalarValue::Decimal128(Some(parsed), precision, scale)))
}
