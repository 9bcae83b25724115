//! Functions that the library does not have, or not as Polars means them: dates by a format, rounding a half to the even
//! neighbour, and the rank of a row in a sample.
//!
//! Memory: one column of results a batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array, PrimitiveArray, StringArray, UInt64Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, is_not_null};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit, UInt64Type};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr as Planned, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::{Error, Result};
use crate::operators::sample::rank;

fn call(function: impl ScalarUDFImpl + 'static, args: Vec<Planned>) -> Planned {
    Planned::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(function)), args))
}

/// The only argument as an array, and whether it is one value for all rows.
fn only_array(args: &ScalarFunctionArgs) -> Result<(ArrayRef, bool), DataFusionError> {
    match args.args.first() {
        Some(ColumnarValue::Array(array)) => Ok((array.clone(), false)),
        Some(ColumnarValue::Scalar(value)) => Ok((value.to_array()?, true)),
        None => Err(external(Error::usage("a function has no arguments"))),
    }
}

fn result_of(array: ArrayRef, is_constant: bool) -> Result<ColumnarValue, DataFusionError> {
    match is_constant {
        true => ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar),
        false => Ok(ColumnarValue::Array(array)),
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Dates and times of texts by a format of `strftime`, or by the usual ones.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ReadWithFormat {
    to: DataType,
    /// `None`: ISO 8601, and where that does not fit, [`USUAL_DATES`].
    format: Option<String>,
    strict: bool,
    signature: Signature,
}

/// How dates are written, besides ISO 8601: the day before the month, or else the year first.
const USUAL_DATES: [&str; 5] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y"];

/// What may follow a date.
const USUAL_TIMES: [&str; 3] = ["", " %H:%M", " %H:%M:%S%.f"];

/// `input` read by `format`; what cannot be read is an error when `strict`, else NULL.
pub(super) fn read_with_format(input: Planned, to: &DataType, format: &str, strict: bool) -> Result<Planned> {
    if chrono::format::StrftimeItems::new(format).any(|item| item == chrono::format::Item::Error) {
        return Err(Error::usage(format!("{format:?} is not a format of dates and times"))
            .with_hint("for example %Y-%m-%d or %d.%m.%Y %H:%M:%S"));
    }
    Ok(read(input, to, Some(format.to_string()), strict))
}

/// `input` read as ISO 8601 or in another usual form; what cannot be read is an error when `strict`, else NULL.
pub(super) fn read_usual(input: Planned, to: &DataType, strict: bool) -> Planned {
    read(input, to, None, strict)
}

fn read(input: Planned, to: &DataType, format: Option<String>, strict: bool) -> Planned {
    let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    let input = datafusion_expr::cast(input, DataType::Utf8);
    call(ReadWithFormat { to: to.clone(), format, strict, signature }, vec![input])
}

impl ScalarUDFImpl for ReadWithFormat {
    fn name(&self) -> &str {
        "strptime"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        use DataType::{Date32, Date64, Time32, Time64, Timestamp};
        if !matches!(self.to, Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(_, _)) {
            return Err(external(Error::usage(format!("strptime does not read {}", self.to))));
        }
        let (texts, is_constant) = only_array(&args)?;
        let texts = texts.as_string::<i32>();
        let values = match &self.format {
            Some(format) => self.read_all(texts, |text| self.read(text, format))?,
            None => self.read_usual(texts)?,
        };
        result_of(values, is_constant)
    }

    fn schema_name(&self, args: &[Planned]) -> Result<String, DataFusionError> {
        let text = args.iter().map(|arg| arg.schema_name().to_string()).collect::<String>();
        Ok(format!("strptime({text}, {:?}, {}, {})", self.format, self.to, self.strict))
    }
}

impl ReadWithFormat {
    /// The values of `texts`, of which `read` gives the ticks.
    fn read_all(&self, texts: &StringArray, read: impl Fn(&str) -> Option<i64>) -> Result<ArrayRef, DataFusionError> {
        let mut ticks = Vec::with_capacity(texts.len());
        for text in texts {
            let value = text.and_then(&read);
            if let (Some(text), None, true) = (text, value, self.strict) {
                return Err(external(self.unreadable(text)));
            }
            ticks.push(value);
        }
        let ticks = Int64Array::from(ticks);
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let values = match &self.to {
            DataType::Date32 | DataType::Time32(_) => cast_with_options(&ticks, &DataType::Int32, &strict)?,
            _ => Arc::new(ticks),
        };
        Ok(cast_with_options(&values, &self.to, &strict)?)
    }

    /// ISO 8601 is read at once; the other forms only where there is a text that is none.
    fn read_usual(&self, texts: &StringArray) -> Result<ArrayRef, DataFusionError> {
        let lenient = CastOptions { safe: true, ..CastOptions::default() };
        let iso = cast_with_options(texts, &self.to, &lenient)?;
        if iso.null_count() == texts.null_count() {
            return Ok(iso);
        }
        let forms: Vec<String> =
            USUAL_DATES.iter().flat_map(|date| USUAL_TIMES.map(|time| format!("{date}{time}"))).collect();
        let others: StringArray =
            texts.iter().enumerate().map(|(row, text)| text.filter(|_| iso.is_null(row))).collect();
        let others = self.read_all(&others, |text| forms.iter().find_map(|form| self.read(text, form)))?;
        Ok(zip(&is_not_null(&iso)?, &iso, &others)?)
    }

    fn unreadable(&self, text: &str) -> Error {
        const OR_NULL: &str = "with strptime_or_null it becomes NULL";
        match &self.format {
            Some(format) => Error::query(format!("{text:?} cannot be read by the format {format:?} as {}", self.to))
                .with_hint(OR_NULL),
            None => {
                let (what, example) = match &self.to {
                    DataType::Date32 | DataType::Date64 => ("date", "%m/%d/%Y"),
                    DataType::Time32(_) | DataType::Time64(_) => ("time", "%Hh%M"),
                    _ => ("datetime", "%m/%d/%Y %H:%M"),
                };
                Error::query(format!("{text:?} is no {what} in a usual form"))
                    .with_hint(format!("give the format, as in Some({example:?}); {OR_NULL}"))
            }
        }
    }

    /// The value in the unit of the type, exactly; `None` for what the type cannot hold.
    fn read(&self, text: &str, format: &str) -> Option<i64> {
        let day = || Some(NaiveDate::parse_from_str(text, format).ok()?.and_time(NaiveTime::MIN));
        let moment = || NaiveDateTime::parse_from_str(text, format).ok();
        let zoned = || Some(DateTime::parse_from_str(text, format).ok()?.naive_utc());
        let days = || Some(day().or_else(moment)?.and_utc().timestamp().div_euclid(SECONDS_PER_DAY));
        match &self.to {
            DataType::Date32 => i32::try_from(days()?).ok().map(i64::from),
            DataType::Date64 => days()?.checked_mul(SECONDS_PER_DAY * 1000),
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let time = NaiveTime::parse_from_str(text, format).ok()?;
                in_unit(i64::from(time.num_seconds_from_midnight()), time.nanosecond(), unit)
            }
            DataType::Timestamp(unit, _) => {
                let at = zoned().or_else(moment).or_else(day)?.and_utc();
                in_unit(at.timestamp(), at.timestamp_subsec_nanos(), unit)
            }
            _ => None,
        }
    }
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Seconds and nanoseconds as so many of `unit`; `None` when digits would be lost or there are too many.
fn in_unit(seconds: i64, nanoseconds: u32, unit: &TimeUnit) -> Option<i64> {
    let per_second: i128 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let fraction = i128::from(nanoseconds) * per_second;
    let is_whole = fraction % 1_000_000_000 == 0;
    is_whole.then(|| i64::try_from(i128::from(seconds) * per_second + fraction / 1_000_000_000).ok())?
}

/// Floating-point numbers rounded to some digits, a half to the even neighbour.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RoundToEven {
    decimals: i64,
    signature: Signature,
}

/// `input`, which is a floating-point number, rounded to `decimals` digits after the point.
pub(super) fn round_to_even(input: Planned, decimals: i64) -> Planned {
    let types = vec![DataType::Float32, DataType::Float64];
    call(RoundToEven { decimals, signature: Signature::uniform(1, types, Volatility::Immutable) }, vec![input])
}

impl ScalarUDFImpl for RoundToEven {
    fn name(&self) -> &str {
        "round"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let (values, is_constant) = only_array(&args)?;
        let scale = 10f64.powi(i32::try_from(self.decimals).unwrap_or(i32::MAX));
        let round = |value: f64| {
            let rounded = (value * scale).round_ties_even() / scale;
            if rounded.is_finite() { rounded } else { value }
        };
        let rounded: ArrayRef = match values.data_type() {
            DataType::Float32 => {
                let values = values.as_primitive::<Float32Type>();
                Arc::new(values.unary::<_, Float32Type>(|value| round(f64::from(value)) as f32) as Float32Array)
            }
            _ => {
                let values: &PrimitiveArray<Float64Type> = values.as_primitive();
                Arc::new(values.unary::<_, Float64Type>(round) as Float64Array)
            }
        };
        result_of(rounded, is_constant)
    }

    fn schema_name(&self, args: &[Planned]) -> Result<String, DataFusionError> {
        Ok(format!(
            "round({}, {})",
            args.iter().map(|arg| arg.schema_name().to_string()).collect::<String>(),
            self.decimals
        ))
    }
}

/// Whole numbers to a power that is a whole number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WholePower {
    exponent: u32,
    signature: Signature,
}

/// `input`, a whole number, to the power of `exponent`.
pub(super) fn whole_power(input: Planned, exponent: u32) -> Planned {
    call(
        WholePower { exponent, signature: Signature::exact(vec![DataType::Int64], Volatility::Immutable) },
        vec![input],
    )
}

impl ScalarUDFImpl for WholePower {
    fn name(&self) -> &str {
        "pow"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let (bases, is_constant) = only_array(&args)?;
        let power = |base: i64| {
            base.checked_pow(self.exponent).ok_or_else(|| {
                let error = Error::query(format!("{base} to the power of {} is above 64 bits", self.exponent));
                external(error.with_hint("compute with cast(DataType::Float64)"))
            })
        };
        let powers: Int64Array = bases.as_primitive::<Int64Type>().try_unary(power)?;
        result_of(Arc::new(powers), is_constant)
    }

    fn schema_name(&self, args: &[Planned]) -> Result<String, DataFusionError> {
        let base = args.iter().map(|arg| arg.schema_name().to_string()).collect::<String>();
        Ok(format!("pow({base}, {})", self.exponent))
    }
}

/// A number that is spread evenly over 64 bits and depends on the row's number and a seed only.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SampleRank {
    seed: u64,
    signature: Signature,
}

/// The rank of the row number `row` in a sample with `seed`.
pub(in crate::frame) fn sample_rank(row: Planned, seed: u64) -> Planned {
    let signature = Signature::exact(vec![DataType::UInt64], Volatility::Immutable);
    call(SampleRank { seed, signature }, vec![row])
}

impl ScalarUDFImpl for SampleRank {
    fn name(&self) -> &str {
        "sample_rank"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::UInt64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let (rows, is_constant) = only_array(&args)?;
        let ranks: UInt64Array = rows.as_primitive::<UInt64Type>().unary(|row| rank(row, self.seed));
        result_of(Arc::new(ranks), is_constant)
    }
}
