//! Functions of dates and times.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr as Planned, Operator, binary_expr, cast, lit};

use super::literals::is_temporal;
use super::{Resolver, scalar};
use crate::error::{Error, Result};
use crate::frame::expr::{DATETIME, DtFunction};

/// Weeks begin on a Monday: this one is the last before 1970.
const A_MONDAY_MICROS: i64 = -3 * 86_400_000_000;

impl Resolver<'_> {
    pub(super) fn dt_call(&self, function: &DtFunction, input: Planned) -> Result<Planned> {
        let data_type = self.type_of(&input)?;
        let is_duration = matches!(data_type, DataType::Duration(_));
        let wants_duration = matches!(function, DtFunction::Total(_));
        if wants_duration && !is_duration {
            return Err(Error::usage(format!(
                "total_..() wants a duration, not {} of type {data_type}",
                self.text(&input)
            ))
            .with_hint("a duration is the difference of two datetimes"));
        }
        if !wants_duration && !is_temporal(&data_type) {
            return Err(Error::usage(format!(
                "dt() wants a date or time, not {} of type {data_type}",
                self.text(&input)
            ))
            .with_hint("read a text with str().to_datetime(None), or with a format: Some(\"%d.%m.%Y\")"));
        }
        match function {
            DtFunction::Part(part) => scalar("date_part", vec![lit(*part), input]),
            DtFunction::Weekday => {
                let from_sunday = scalar("date_part", vec![lit("dow"), input])?;
                let from_monday =
                    binary_expr(binary_expr(from_sunday, Operator::Plus, lit(6i32)), Operator::Modulo, lit(7i32));
                Ok(binary_expr(from_monday, Operator::Plus, lit(1i32)))
            }
            DtFunction::Date => Ok(cast(input, DataType::Date32)),
            DtFunction::Time => Ok(cast(input, DataType::Time64(TimeUnit::Microsecond))),
            DtFunction::Truncate(every) => self.truncate(input, &data_type, every),
            DtFunction::Strftime(format) => scalar("to_char", vec![input, lit(format.as_str())]),
            DtFunction::Total(micros) => {
                let ticks = cast(cast(input, DataType::Duration(TimeUnit::Microsecond)), DataType::Int64);
                Ok(binary_expr(ticks, Operator::Divide, lit(*micros)))
            }
            DtFunction::Epoch(micros) => {
                let ticks = cast(cast(input, DATETIME), DataType::Int64);
                let moved = binary_expr(ticks.clone(), Operator::Modulo, lit(*micros));
                // Before 1970 the remainder is negative: down, not towards 0.
                let down = datafusion_expr::when(
                    moved.clone().lt(lit(0i64)),
                    binary_expr(moved.clone(), Operator::Plus, lit(*micros)),
                )
                .otherwise(moved)
                .map_err(crate::sql::plan_failure)?;
                Ok(binary_expr(binary_expr(ticks, Operator::Minus, down), Operator::Divide, lit(*micros)))
            }
        }
    }

    fn truncate(&self, input: Planned, data_type: &DataType, every: &str) -> Result<Planned> {
        let (interval, is_weeks) = parse_every(every)?;
        let is_date = matches!(data_type, DataType::Date32 | DataType::Date64);
        let moment = if is_date { cast(input, DATETIME) } else { input };
        let origin = ScalarValue::TimestampMicrosecond(Some(if is_weeks { A_MONDAY_MICROS } else { 0 }), None);
        let binned =
            scalar("date_bin", vec![lit(ScalarValue::IntervalMonthDayNano(Some(interval))), moment, lit(origin)])?;
        Ok(if is_date { cast(binned, data_type.clone()) } else { binned })
    }
}

/// Reads `1h30m` as nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64> {
    let wrong = || {
        Error::usage(format!("{text:?} is not a duration"))
            .with_hint("numbers, each with one of ns, us, ms, s, m, h, d, w: for example 90s or 1h30m")
    };
    let mut rest = text;
    let mut nanos = 0i64;
    while !rest.is_empty() || text.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let len = rest[unit..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - unit);
        let number: i64 = rest[..unit].parse().map_err(|_| wrong())?;
        let each = match &rest[unit..unit + len] {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            "mo" | "q" | "y" => {
                let error = Error::usage(format!("{text:?} is not a duration: months and years differ in length"));
                return Err(error.with_hint("write weeks or days"));
            }
            _ => return Err(wrong()),
        };
        nanos = number.checked_mul(each).and_then(|part| nanos.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[unit + len..];
    }
    Ok(nanos)
}

/// Reads `15m`, and whether it is in weeks.
fn parse_every(every: &str) -> Result<(IntervalMonthDayNano, bool)> {
    let wrong = || {
        Error::usage(format!("{every:?} is not a period"))
            .with_hint("a number and one of ns, us, ms, s, m, h, d, w, mo, q, y: for example 15m or 1mo")
    };
    let split = every.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = every.split_at(split);
    let n: i64 = number.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    let months = |n: i64| i32::try_from(n).map(|n| IntervalMonthDayNano::new(n, 0, 0));
    let days = |n: i64| i32::try_from(n).map(|n| IntervalMonthDayNano::new(0, n, 0));
    let nanos = |each: i64| n.checked_mul(each).map(|nanos| IntervalMonthDayNano::new(0, 0, nanos)).ok_or_else(wrong);
    let interval = match unit {
        "ns" => nanos(1)?,
        "us" => nanos(1000)?,
        "ms" => nanos(1_000_000)?,
        "s" => nanos(1_000_000_000)?,
        "m" => nanos(60_000_000_000)?,
        "h" => nanos(3_600_000_000_000)?,
        "d" => days(n).map_err(|_| wrong())?,
        "w" => days(n.saturating_mul(7)).map_err(|_| wrong())?,
        "mo" => months(n).map_err(|_| wrong())?,
        "q" => months(n.saturating_mul(3)).map_err(|_| wrong())?,
        "y" => months(n.saturating_mul(12)).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    Ok((interval, unit == "w"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_parts() {
        for (text, want) in [
            ("90s", Some(90_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1w2d", Some(777_600_000_000_000)),
            ("7us5ns", Some(7_005)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("h", None),
            ("-5s", None),
            ("1.5h", None),
            ("1mo", None),
            ("99999999w", None),
        ] {
            assert_eq!(parse_duration(text).ok(), want, "{text:?}");
        }
    }
}
