//! `INTERVAL '1 hour' * 3` and `/ 4`, as in PostgreSQL: months, days and time are each multiplied, and what is left of a month
//! goes to the days (30 a month), what is left of a day to the time (24 hours a day).
//!
//! Memory: one column of results a batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion_sql::sqlparser::ast::BinaryOperator;

use crate::error::Error;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

const NANOS_PER_DAY: f64 = 86_400e9;

/// Plans products and quotients of an interval and a number.
#[derive(Debug)]
pub(super) struct IntervalPlanner;

impl ExprPlanner for IntervalPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if !matches!(expr.op, BinaryOperator::Multiply | BinaryOperator::Divide) {
            return Ok(PlannerResult::Original(expr));
        }
        let is_interval = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Interval(_)));
        let is_number = |expr: &Expr| expr.get_type(schema).is_ok_and(|data_type| data_type.is_numeric());
        let (interval, number) = match &expr.op {
            _ if is_interval(&expr.left) && is_number(&expr.right) => (&expr.left, &expr.right),
            BinaryOperator::Multiply if is_number(&expr.left) && is_interval(&expr.right) => (&expr.right, &expr.left),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let by = cast(number.clone(), DataType::Float64);
        let is_division = expr.op == BinaryOperator::Divide;
        let scale = ScalarUDF::from(IntervalScale {
            signature: Signature::exact(vec![INTERVAL, DataType::Float64, DataType::Boolean], Volatility::Immutable),
        });
        let call = scale.call(vec![cast(interval.clone(), INTERVAL), by, lit(is_division)]);
        let sign = if is_division { "/" } else { "*" };
        let name = format!("{} {sign} {}", expr.left.schema_name(), expr.right.schema_name());
        Ok(PlannerResult::Planned(call.alias(name)))
    }
}

/// An interval times a number, or divided by it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalScale {
    signature: Signature,
}

impl ScalarUDFImpl for IntervalScale {
    fn name(&self) -> &str {
        "interval_scale"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_division = matches!(args.args.get(2), Some(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true)))));
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args[..2])?;
        let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
        let numbers = arrays[1].as_primitive::<Float64Type>();
        let scaled = intervals.iter().zip(numbers).map(|pair| match pair {
            (Some(_), Some(0.0)) if is_division => Err(failed(
                Error::query("division of an interval by zero").with_hint("nullif(x, 0) makes the result NULL"),
            )),
            (Some(interval), Some(number)) => {
                let times = |part: f64| if is_division { part / number } else { part * number };
                scale(interval, times).map(Some)
            }
            _ => Ok(None),
        });
        let scaled: IntervalMonthDayNanoArray = scaled.collect::<Result<_>>()?;
        let scaled: ArrayRef = Arc::new(scaled);
        match is_constant {
            true => ScalarValue::try_from_array(&scaled, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(scaled)),
        }
    }
}

fn scale(interval: IntervalMonthDayNano, times: impl Fn(f64) -> f64) -> Result<IntervalMonthDayNano> {
    let months = times(f64::from(interval.months));
    let days = times(f64::from(interval.days)) + months.fract() * 30.0;
    let nanos = times(interval.nanoseconds as f64) + days.fract() * NANOS_PER_DAY;
    let whole = |part: f64, most: f64| {
        let fits = part.is_finite() && part.abs() <= most;
        fits.then_some(part).ok_or_else(|| failed(Error::query("an interval is too long")))
    };
    let months = whole(months.trunc(), f64::from(i32::MAX))? as i32;
    let days = whole(days.trunc(), f64::from(i32::MAX))? as i32;
    // Fractions of a day have less than a microsecond of dirt.
    let nanos = whole((nanos / 1000.0).round() * 1000.0, 9.2e18)? as i64;
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}

fn failed(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_part_goes_to_the_next() {
        let check = |(months, days, seconds): (i32, i32, i64), factor: f64, want: (i32, i32, i64)| {
            let of = |(months, days, seconds): (i32, i32, i64)| {
                IntervalMonthDayNano::new(months, days, seconds * 1_000_000_000)
            };
            assert_eq!(scale(of((months, days, seconds)), |part| part * factor).unwrap(), of(want));
        };
        check((0, 0, 1), 3.0, (0, 0, 3));
        check((1, 0, 0), 0.5, (0, 15, 0));
        check((0, 1, 0), 0.25, (0, 0, 21_600));
        check((1, 1, 1), -2.0, (-2, -2, -2));
        check((0, 3, 0), 1.0 / 3.0, (0, 1, 0));
        assert!(scale(IntervalMonthDayNano::new(i32::MAX, 0, 0), |part| part * 2.0).is_err());
        assert!(scale(IntervalMonthDayNano::new(1, 0, 0), |part| part * f64::NAN).is_err());
    }
}
