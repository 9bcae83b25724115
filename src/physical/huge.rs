//! Functions whose result can be far larger than their arguments: they say how large before they make it.
//!
//! Memory: eight bytes a row for the sizes. A result beyond a few batches is refused when it is of several rows; the
//! caller then asks for fewer rows at once. A value of one row is made when that much memory is free.
//! The surprising parts: a constant counts once for every row, since whoever takes it may well repeat it; and while planning, nothing is known of memory, so a constant is only made if it is small; a larger
//! one is left to the running query.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion_common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion_common::{DataFusionError, ExprSchema, Result, ScalarValue};
use datafusion_expr::interval_arithmetic::Interval;
use datafusion_expr::preimage::PreimageResult;
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, StructFieldMapping,
};

use crate::error::Error;
use crate::memory::Memory;

/// The largest result of a constant expression while planning.
const CONSTANT_BYTES: u64 = 1 << 20;

/// How many times a large value is in memory at once: where it grows, and where it is copied to.
const COPIES: u64 = 4;

/// How a function's result grows, by its name.
const FUNCTIONS: [(&str, Growth); 13] = [
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("replace", Growth::Replace),
    ("concat", Growth::Join),
    ("concat_ws", Growth::JoinWith),
    ("array_to_string", Growth::JoinElements),
    ("regexp_replace", Growth::ReplaceMatches),
    ("translate", Growth::Translate),
    ("range", Growth::Range),
    ("generate_series", Growth::Range),
    ("array_repeat", Growth::RepeatElement),
    ("array_resize", Growth::Resize),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    Repeat,
    Pad,
    Replace,
    Join,
    JoinWith,
    JoinElements,
    ReplaceMatches,
    Translate,
    Range,
    RepeatElement,
    Resize,
}

/// `function`, which refuses to make more than there is room for if it is one that could.
pub fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match FUNCTIONS.iter().find(|(name, _)| *name == function.name()) {
        Some((_, growth)) => Arc::new(ScalarUDF::new_from_impl(Bounded { function, growth: *growth })),
        None => function,
    }
}

/// The memory of the running query, for functions.
#[derive(Clone)]
pub(super) struct Room(pub(super) Memory);

impl Room {
    /// What results of several rows may take.
    fn batch_bytes(&self) -> u64 {
        2 * self.0.sizes().batch_bytes as u64
    }

    /// Whether one value of `bytes` can be made.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] naming `what`.
    pub(super) fn check(&self, what: &str, n_rows: usize, bytes: u64) -> Result<(), Error> {
        let fits = bytes <= self.batch_bytes()
            || n_rows <= 1 && self.0.reserve("expressions").try_grow(bytes.saturating_mul(COPIES)).is_ok();
        if fits {
            return Ok(());
        }
        let rows = if n_rows <= 1 { "a value" } else { "values" };
        let mib = bytes.div_ceil(1 << 20);
        Err(Error::budget(format!("{what} would make {rows} of {mib} MiB, for which there is not enough memory"))
            .with_hint("a single value cannot spill: make it shorter or raise --memory-budget"))
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

impl ConfigExtension for Room {
    const PREFIX: &'static str = "brimful";
}

impl ExtensionOptions for Room {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        Err(DataFusionError::Configuration(format!("there is no setting {key}")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// A function that looks at the size of its result first; all else is the function's own.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let n_rows = args.number_rows;
        let bytes = match is_constant {
            true => self.growth.result_bytes(&args.args, 1)?.saturating_mul(n_rows as u64),
            false => self.growth.result_bytes(&args.args, n_rows)?,
        };
        match args.config_options.extensions.get::<Room>() {
            Some(room) => {
                room.check(self.function.name(), n_rows, bytes).map_err(|error| DataFusionError::External(error.into()))
            }
            None if bytes > CONSTANT_BYTES => {
                Err(DataFusionError::ResourcesExhausted(format!("{} makes too much", self.function.name())))
            }
            None => Ok(()),
        }
    }
}

impl Growth {
    /// Bytes of the result for all rows together; at least, where an exact number would take as long as the call.
    fn result_bytes(self, args: &[ColumnarValue], n_rows: usize) -> Result<u64> {
        let (Some(first), Some(second)) = (args.first(), args.get(1).or(args.first())) else { return Ok(0) };
        let sum = |row_bytes: &dyn Fn(usize) -> u64| (0..n_rows).map(row_bytes).fold(0, u64::saturating_add);
        Ok(match self {
            Growth::Repeat => {
                let (text, times) = (text_bytes(first)?, whole_numbers(second)?);
                sum(&|row| text.at(row).saturating_mul(times.at(row)))
            }
            Growth::Pad => {
                let (text, width) = (text_bytes(first)?, whole_numbers(second)?);
                let char_bytes = if args.get(2).is_some_and(|fill| !is_ascii(fill)) { 4 } else { 1 };
                sum(&|row| match width.at(row) {
                    0 => 0,
                    width => width.saturating_mul(char_bytes).max(text.at(row)),
                })
            }
            Growth::Replace => {
                let Some(third) = args.get(2) else { return Ok(0) };
                let (text, from, to) = (text_bytes(first)?, text_bytes(second)?, text_bytes(third)?);
                sum(&|row| {
                    let text = text.at(row);
                    text.saturating_add((text / from.at(row).max(1)).saturating_add(1).saturating_mul(to.at(row)))
                })
            }
            Growth::Join => {
                let texts = args.iter().map(text_bytes).collect::<Result<Vec<_>>>()?;
                sum(&|row| texts.iter().map(|text| text.at(row)).fold(0, u64::saturating_add))
            }
            Growth::JoinWith => {
                let texts = args.iter().map(text_bytes).collect::<Result<Vec<_>>>()?;
                let n_between = args.len().saturating_sub(2) as u64;
                let separators = |row| texts[0].at(row).saturating_mul(n_between);
                sum(&|row| texts[1..].iter().map(|text| text.at(row)).fold(separators(row), u64::saturating_add))
            }
            Growth::JoinElements => {
                let (lists, separator) = (value_bytes(first, n_rows)?, text_bytes(second)?);
                let null = args.get(2).map_or(Ok(PerRow::same(0)), text_bytes)?;
                // An element takes a byte or more, and its text three times as much or less.
                sum(&|row| {
                    let between = separator.at(row).saturating_add(null.at(row));
                    lists.at(row).saturating_mul(3).saturating_add(n_elements(first, row).saturating_mul(between))
                })
            }
            Growth::ReplaceMatches => {
                let Some(third) = args.get(2) else { return Ok(0) };
                let (text, to) = (text_bytes(first)?, text_bytes(third)?);
                let is_once = args.get(3).is_none();
                let n_groups = n_groups_of(third);
                sum(&|row| {
                    let text = text.at(row);
                    let n_matches = if is_once { 1 } else { text.saturating_add(1) };
                    text.saturating_mul(1 + n_groups).saturating_add(n_matches.saturating_mul(to.at(row)))
                })
            }
            Growth::Translate => {
                let text = text_bytes(first)?;
                sum(&|row| text.at(row).saturating_mul(4))
            }
            Growth::Range => ranges(args, n_rows)?,
            Growth::RepeatElement => {
                let (element, times) = (value_bytes(first, n_rows)?, whole_numbers(second)?);
                sum(&|row| element.at(row).saturating_mul(times.at(row)))
            }
            Growth::Resize => {
                let lists = value_bytes(first, n_rows)?;
                let element = args.get(2).map_or(Ok(PerRow::same(8)), |fill| value_bytes(fill, n_rows))?;
                let size = whole_numbers(second)?;
                sum(&|row| lists.at(row).saturating_add(size.at(row).saturating_mul(element.at(row).max(8))))
            }
        })
    }
}

/// A number a row; one for all rows of a constant. NULL and negative numbers count as 0.
struct PerRow {
    numbers: Int64Array,
    is_constant: bool,
}

impl PerRow {
    fn new(value: &ColumnarValue, numbers: &dyn Array) -> Result<Self> {
        let numbers = cast(numbers, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        Ok(PerRow { numbers, is_constant: matches!(value, ColumnarValue::Scalar(_)) })
    }

    fn same(number: i64) -> Self {
        PerRow { numbers: Int64Array::from_value(number, 1), is_constant: true }
    }

    fn signed_at(&self, row: usize) -> Option<i64> {
        let row = if self.is_constant { 0 } else { row };
        (row < self.numbers.len() && self.numbers.is_valid(row)).then(|| self.numbers.value(row))
    }

    fn at(&self, row: usize) -> u64 {
        self.signed_at(row).map_or(0, |number| number.max(0) as u64)
    }
}

fn array_of(value: &ColumnarValue) -> Result<ArrayRef> {
    match value {
        ColumnarValue::Array(array) => Ok(array.clone()),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    }
}

fn whole_numbers(value: &ColumnarValue) -> Result<PerRow> {
    PerRow::new(value, &array_of(value)?)
}

fn text_bytes(value: &ColumnarValue) -> Result<PerRow> {
    let array = array_of(value)?;
    let is_text = matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if is_text { PerRow::new(value, &length(&array)?) } else { Ok(PerRow::same(0)) }
}

fn value_bytes(value: &ColumnarValue, n_rows: usize) -> Result<PerRow> {
    let array = array_of(value)?;
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text_bytes(value),
        data_type if data_type.primitive_width().is_some() => {
            Ok(PerRow::same(data_type.primitive_width().unwrap_or(1) as i64))
        }
        _ => {
            let n_rows = n_rows.min(array.len());
            let bytes = (0..n_rows).map(|row| array.slice(row, 1).to_data().get_slice_memory_size());
            let bytes: Int64Array = bytes.map(|bytes| bytes.ok().map(|bytes| bytes as i64)).collect();
            PerRow::new(value, &bytes)
        }
    }
}

/// Elements of the list in `row`; of lists of lists, of the outer one.
fn n_elements(value: &ColumnarValue, row: usize) -> u64 {
    let list = match value {
        ColumnarValue::Array(array) if row < array.len() => array.slice(row, 1),
        ColumnarValue::Scalar(scalar) => match scalar.to_array() {
            Ok(array) => array,
            Err(_) => return 0,
        },
        ColumnarValue::Array(_) => return 0,
    };
    let numbers = length(&list).and_then(|numbers| cast(&numbers, &DataType::Int64));
    numbers.map_or(0, |numbers| {
        let numbers = numbers.as_primitive::<Int64Type>();
        if numbers.is_empty() || numbers.is_null(0) { 0 } else { numbers.value(0).max(0) as u64 }
    })
}

/// How many groups of a match a replacement text takes up: each may be as long as the text.
fn n_groups_of(value: &ColumnarValue) -> u64 {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => text.matches(['\\', '$']).count() as u64,
        _ => 1,
    }
}

fn is_ascii(value: &ColumnarValue) -> bool {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)),
        ) => text.is_ascii(),
        _ => false,
    }
}

const DAY_NANOS: i128 = 86_400_000_000_000;

/// Bytes of `range` and `generate_series`.
fn ranges(args: &[ColumnarValue], n_rows: usize) -> Result<u64> {
    let arrays = args.iter().map(array_of).collect::<Result<Vec<_>>>()?;
    let row_of = |idx: usize, row: usize| if matches!(args[idx], ColumnarValue::Scalar(_)) { 0 } else { row };
    let number = |idx: usize, row: usize| {
        let row = row_of(idx, row);
        arrays.get(idx).filter(|array| row < array.len() && array.is_valid(row)).and_then(|array| {
            match array.data_type() {
                DataType::Date32 => Some(i128::from(array.as_primitive::<Date32Type>().value(row)) * DAY_NANOS),
                DataType::Timestamp(unit, _) => {
                    let (nanos, value) = match unit {
                        TimeUnit::Second => (1_000_000_000, array.as_primitive::<TimestampSecondType>().value(row)),
                        TimeUnit::Millisecond => {
                            (1_000_000, array.as_primitive::<TimestampMillisecondType>().value(row))
                        }
                        TimeUnit::Microsecond => (1000, array.as_primitive::<TimestampMicrosecondType>().value(row)),
                        TimeUnit::Nanosecond => (1, array.as_primitive::<TimestampNanosecondType>().value(row)),
                    };
                    Some(i128::from(value) * nanos)
                }
                DataType::Int64 => Some(i128::from(array.as_primitive::<Int64Type>().value(row))),
                DataType::Interval(_) => array.as_primitive_opt::<IntervalMonthDayNanoType>().map(|steps| {
                    let step = steps.value(row);
                    let days = i128::from(step.months) * 28 + i128::from(step.days);
                    days * DAY_NANOS + i128::from(step.nanoseconds)
                }),
                _ => None,
            }
        })
    };
    let count = |row: usize| {
        let (from, to) = if args.len() == 1 { (Some(0), number(0, row)) } else { (number(0, row), number(1, row)) };
        let step = if args.len() > 2 { number(2, row) } else { Some(1) };
        let (Some(from), Some(to), Some(step)) = (from, to, step) else { return 0 };
        let goes_there = step != 0 && (to >= from) == (step > 0);
        if goes_there { u64::try_from((to - from) / step + 1).unwrap_or(u64::MAX) } else { 0 }
    };
    Ok((0..n_rows).map(count).fold(0, u64::saturating_add).saturating_mul(8))
}

#[warn(clippy::missing_trait_methods)]
impl ScalarUDFImpl for Bounded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.function.inner().invoke_with_args(args)
    }

    fn name(&self) -> &str {
        self.function.inner().name()
    }

    fn aliases(&self) -> &[String] {
        self.function.inner().aliases()
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        #[expect(deprecated)]
        self.function.inner().display_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.inner().schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.inner().signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.inner().return_type(arg_types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        self.function.inner().with_updated_config(config)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.inner().return_field_from_args(args)
    }

    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        #[expect(deprecated)]
        self.function.inner().is_nullable(args, schema)
    }

    fn is_strict(&self) -> bool {
        self.function.inner().is_strict()
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.function.inner().simplify(args, info)? {
            // A function may call itself anew with simpler arguments; the new call is one of the library's.
            ExprSimplifyResult::Simplified(Expr::ScalarFunction(mut call)) => {
                call.func = if call.func.inner().is::<Bounded>() { call.func } else { bounded(call.func) };
                Ok(ExprSimplifyResult::Simplified(Expr::ScalarFunction(call)))
            }
            other => Ok(other),
        }
    }

    fn preimage(&self, args: &[Expr], lit_expr: &Expr, info: &SimplifyContext) -> Result<PreimageResult> {
        self.function.inner().preimage(args, lit_expr, info)
    }

    fn short_circuits(&self) -> bool {
        self.function.inner().short_circuits()
    }

    fn conditional_arguments<'a>(&self, args: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.inner().conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.function.inner().evaluate_bounds(input)
    }

    fn propagate_constraints(&self, interval: &Interval, inputs: &[&Interval]) -> Result<Option<Vec<Interval>>> {
        self.function.inner().propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.function.inner().output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.inner().preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.function.inner().strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.inner().coerce_types(arg_types)
    }

    fn struct_field_mapping(&self, literal_args: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.function.inner().struct_field_mapping(literal_args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.inner().documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.function.inner().placement(args)
    }
}
