//! Functions of the values of a row.

use arrow::datatypes::DataType;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr as Planned, Operator, binary_expr, cast, lit, not, when};

use super::own_functions::round_to_even;
use super::{Resolver, scalar};
use crate::error::{Error, Result};
use crate::frame::expr::{ClosedInterval, DATETIME, Expr, Function, Op};
use crate::sql::plan_failure;

impl Resolver<'_> {
    pub(super) fn call(&self, function: &Function, args: &[Expr]) -> Result<Planned> {
        let mut args = self.resolve_all(args)?;
        let Some(first) = args.first().cloned() else { return Err(Error::usage("a function has no arguments")) };
        match function {
            Function::IsNull => Ok(first.is_null()),
            Function::IsNotNull => Ok(first.is_not_null()),
            Function::IsNan => self.is_nan(first),
            Function::IsNotNan => Ok(not(self.is_nan(first)?)),
            Function::IsFinite => self.is_finite(first),
            Function::Between(closed) => self.between(args, *closed),
            Function::Clip { low, high } => self.clip(args, *low, *high),
            Function::FillNull => {
                let value = self.fit_to(args.pop().unwrap_or_else(|| first.clone()), &first, "fill_null")?;
                scalar("coalesce", vec![first, value])
            }
            Function::Coalesce => scalar("coalesce", args),
            Function::Round(decimals) => self.round(first, *decimals),
            Function::Floor => self.unless_whole(first, "floor"),
            Function::Ceil => self.unless_whole(first, "ceil"),
            Function::Abs => {
                self.expect_number(&first, "abs")?;
                scalar("abs", vec![first])
            }
            Function::Sqrt => self.float_function(first, "sqrt"),
            Function::Exp => self.float_function(first, "exp"),
            Function::Ln => self.float_function(first, "ln"),
            Function::ConcatStr { separator, .. } => self.concat_str(args, separator),
            Function::Str(function) => self.str_call(function, args),
            Function::Dt(function) => self.dt_call(function, first),
            Function::List(function) => self.list_call(function, args),
            Function::Datetime => self.datetime(args),
        }
    }

    fn is_nan(&self, input: Planned) -> Result<Planned> {
        match self.expect_number(&input, "is_nan")?.is_floating() {
            true => scalar("isnan", vec![input]),
            // Nothing else can be NaN.
            false => Self::only_where(input.is_not_null(), lit(false)),
        }
    }

    fn is_finite(&self, input: Planned) -> Result<Planned> {
        if !self.expect_number(&input, "is_finite")?.is_floating() {
            return Self::only_where(input.is_not_null(), lit(true));
        }
        let size = scalar("abs", vec![cast(input.clone(), DataType::Float64)])?;
        let bounded = binary_expr(size, Operator::Lt, lit(f64::INFINITY));
        Ok(bounded.and(not(scalar("isnan", vec![input])?)))
    }

    fn between(&self, args: Vec<Planned>, closed: ClosedInterval) -> Result<Planned> {
        let [value, low, high] = take(args)?;
        let from = match closed {
            ClosedInterval::Both | ClosedInterval::Left => Op::GreaterOrEqual,
            ClosedInterval::Right | ClosedInterval::None => Op::Greater,
        };
        let to = match closed {
            ClosedInterval::Both | ClosedInterval::Right => Op::LessOrEqual,
            ClosedInterval::Left | ClosedInterval::None => Op::Less,
        };
        Ok(self.binary(value.clone(), from, low)?.and(self.binary(value, to, high)?))
    }

    fn clip(&self, args: Vec<Planned>, low: bool, high: bool) -> Result<Planned> {
        let mut args = args.into_iter();
        let (Some(value), first, second) = (args.next(), args.next(), args.next()) else {
            return Err(Error::usage("clip of nothing"));
        };
        let data_type = self.type_of(&value)?;
        let (low, high) = match (low, high) {
            (true, true) => (first, second),
            (true, false) => (first, None),
            _ => (None, first),
        };
        let bound = |bound: Planned| -> Result<Planned> {
            let bound = self.fit_to(bound, &value, "clip")?;
            self.as_type(bound, &data_type)
        };
        let mut branches = Vec::new();
        if let Some(low) = low.map(bound).transpose()? {
            branches.push((value.clone().lt(low.clone()), low));
        }
        if let Some(high) = high.map(bound).transpose()? {
            branches.push((value.clone().gt(high.clone()), high));
        }
        let branches = branches.into_iter().map(|(condition, bound)| (Box::new(condition), Box::new(bound)));
        Ok(Planned::Case(datafusion_expr::expr::Case::new(None, branches.collect(), Some(Box::new(value)))))
    }

    fn round(&self, input: Planned, decimals: i64) -> Result<Planned> {
        let data_type = self.expect_number(&input, "round")?;
        match data_type.is_floating() {
            true => Ok(round_to_even(input, decimals)),
            false if data_type.is_integer() => Ok(input),
            false => scalar("round", vec![input, lit(decimals)]),
        }
    }

    fn unless_whole(&self, input: Planned, name: &str) -> Result<Planned> {
        match self.expect_number(&input, name)?.is_integer() {
            true => Ok(input),
            false => scalar(name, vec![input]),
        }
    }

    fn float_function(&self, input: Planned, name: &str) -> Result<Planned> {
        let data_type = self.expect_number(&input, name)?;
        let input = if data_type.is_floating() { input } else { cast(input, DataType::Float64) };
        scalar(name, vec![input])
    }

    fn concat_str(&self, args: Vec<Planned>, separator: &str) -> Result<Planned> {
        let mut parts = Vec::with_capacity(args.len());
        for arg in args {
            parts.push(self.as_type(arg, &DataType::Utf8)?);
        }
        let mut parts = parts.into_iter();
        let Some(mut text) = parts.next() else { return Err(Error::usage("concat_str of nothing")) };
        for part in parts {
            if !separator.is_empty() {
                text = binary_expr(text, Operator::StringConcat, lit(separator));
            }
            text = binary_expr(text, Operator::StringConcat, part);
        }
        Ok(text)
    }

    /// Year, month, day and, where given, hour, minute, second.
    fn datetime(&self, args: Vec<Planned>) -> Result<Planned> {
        if let Some(numbers) = args.iter().map(whole_number).collect::<Option<Vec<i64>>>() {
            return literal_datetime(&numbers).map(|moment| lit(ScalarValue::TimestampMicrosecond(Some(moment), None)));
        }
        let mut numbers = Vec::with_capacity(args.len());
        for arg in args {
            self.expect_number(&arg, "datetime")?;
            numbers.push(self.as_type(arg, &DataType::Int64)?);
        }
        let time = numbers.split_off(3.min(numbers.len()));
        let day = numbers.into_iter().map(|number| cast(number, DataType::Int32)).collect();
        let midnight = cast(scalar("make_date", day)?, DATETIME);
        let mut moment = cast(midnight, DataType::Int64);
        for (number, micros) in time.into_iter().zip([3_600_000_000i64, 60_000_000, 1_000_000]) {
            let part = binary_expr(number, Operator::Multiply, lit(micros));
            moment = binary_expr(moment, Operator::Plus, part);
        }
        Ok(cast(moment, DATETIME))
    }

    /// `value` where `input` is not NULL.
    pub(super) fn unless_null(input: Planned, value: Planned) -> Result<Planned> {
        when(input.is_not_null(), value).end().map_err(plan_failure)
    }
}

/// The value of a literal that is a whole number.
pub(super) fn whole_number(expr: &Planned) -> Option<i64> {
    let Planned::Literal(value, _) = expr else { return None };
    if !value.data_type().is_integer() {
        return None;
    }
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => number,
        _ => None,
    }
}

/// Exactly so many arguments.
pub(super) fn take<const N: usize>(args: Vec<Planned>) -> Result<[Planned; N]> {
    let n_args = args.len();
    args.try_into().map_err(|_| Error::usage(format!("a function wants {N} arguments and has {n_args}")))
}

fn literal_datetime(numbers: &[i64]) -> Result<i64> {
    let at = |idx: usize| numbers.get(idx).copied().unwrap_or(0);
    let moment = || -> Option<NaiveDateTime> {
        let part = |idx: usize| u32::try_from(at(idx)).ok();
        let day = NaiveDate::from_ymd_opt(i32::try_from(at(0)).ok()?, part(1)?, part(2)?)?;
        Some(day.and_time(NaiveTime::from_hms_opt(part(3)?, part(4)?, part(5)?)?))
    };
    let text = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let moment = moment().ok_or_else(|| {
        Error::usage(format!("there is no date or time {text}"))
            .with_hint("year, month and day, then hour, minute and second")
    })?;
    Ok(moment.and_utc().timestamp_micros())
}
