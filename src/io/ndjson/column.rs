//! Typed columns from JSON values, nested ones too.
//!
//! Memory: the values of one batch. A value of a wrong type leaves a builder longer than it should be, or not; rows are cut
//! back with [`Builder::truncate`], so a row is there as a whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, ListArray, NullBufferBuilder, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Fields, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType,
    UInt64Type,
};

use super::cursor::{Cursor, Kind};
use super::problem::{Problem, What};
use crate::error::{Error, Result};
use crate::io::csv::{lossless_f64, parse_date, parse_timestamp};

/// One column of the batch that is being read, or a part of a nested one.
pub(super) struct Builder {
    data_type: DataType,
    nulls: NullBufferBuilder,
    values: Values,
}

enum Values {
    Boolean(Vec<bool>),
    /// Of any width up to 64 bits; the bounds are those of the column's type.
    Integer {
        values: Vec<i64>,
        bounds: (i64, i64),
    },
    Unsigned(Vec<u64>),
    Float32(Vec<f32>),
    /// `rounds`: fractions with more digits than a double has are taken, because the user said so.
    Float64 {
        values: Vec<f64>,
        rounds: bool,
    },
    /// `takes_any`: values that are no texts are kept as they stand in the file.
    Text {
        bytes: Vec<u8>,
        ends: Vec<i32>,
        takes_any: bool,
    },
    Date(Vec<i32>),
    /// In the unit of the column's type.
    Timestamp {
        values: Vec<i64>,
        unit: TimeUnit,
        zoned: bool,
    },
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    List {
        ends: Vec<i32>,
        item: Box<Builder>,
        field: FieldRef,
    },
    Object {
        children: Box<Children>,
        n: usize,
    },
}

/// What a column takes besides values of its type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Takes {
    /// As text: values of all other kinds, as they stand in the file.
    pub(super) any: bool,
    /// As doubles: fractions with more digits than a double has, rounded.
    pub(super) long_fractions: bool,
}

/// The fields of an object, found by name.
pub(super) struct Children {
    fields: Fields,
    builders: Vec<Builder>,
    by_name: HashMap<String, usize>,
}

impl Builder {
    /// A builder for `data_type`; `None` when JSON is not read as that.
    pub(super) fn new(data_type: &DataType, takes: Takes) -> Option<Builder> {
        let signed = |bounds| Values::Integer { values: Vec::new(), bounds };
        let values = match data_type {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Int8 => signed((i8::MIN.into(), i8::MAX.into())),
            DataType::Int16 => signed((i16::MIN.into(), i16::MAX.into())),
            DataType::Int32 => signed((i32::MIN.into(), i32::MAX.into())),
            DataType::Int64 => signed((i64::MIN, i64::MAX)),
            DataType::UInt8 => signed((0, u8::MAX.into())),
            DataType::UInt16 => signed((0, u16::MAX.into())),
            DataType::UInt32 => signed((0, u32::MAX.into())),
            DataType::UInt64 => Values::Unsigned(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64 { values: Vec::new(), rounds: takes.long_fractions },
            DataType::Utf8 => Values::Text { bytes: Vec::new(), ends: Vec::new(), takes_any: takes.any },
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Timestamp(unit, zone) => {
                Values::Timestamp { values: Vec::new(), unit: *unit, zoned: zone.is_some() }
            }
            DataType::Decimal128(precision, scale) => {
                Values::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::List(field) => {
                let item = Box::new(Builder::new(field.data_type(), takes)?);
                Values::List { ends: Vec::new(), item, field: field.clone() }
            }
            DataType::Struct(fields) => Values::Object { children: Box::new(Children::new(fields, takes)?), n: 0 },
            _ => return None,
        };
        Some(Builder { data_type: data_type.clone(), nulls: NullBufferBuilder::new(0), values })
    }

    /// Values so far.
    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Boolean(values) => values.len(),
            Values::Integer { values, .. } | Values::Timestamp { values, .. } => values.len(),
            Values::Unsigned(values) => values.len(),
            Values::Float32(values) => values.len(),
            Values::Float64 { values, .. } => values.len(),
            Values::Date(values) => values.len(),
            Values::Decimal { values, .. } => values.len(),
            Values::Text { ends, .. } | Values::List { ends, .. } => ends.len(),
            Values::Object { n, .. } => *n,
        }
    }

    /// Bytes of the values so far, about.
    pub(super) fn n_bytes(&self) -> usize {
        match &self.values {
            Values::Boolean(values) => values.len(),
            Values::Text { bytes, ends, .. } => bytes.len() + 4 * ends.len(),
            Values::Decimal { values, .. } => 16 * values.len(),
            Values::Float32(_) | Values::Date(_) => 4 * self.len(),
            Values::List { ends, item, .. } => 4 * ends.len() + item.n_bytes(),
            Values::Object { children, n } => n / 8 + children.builders.iter().map(Builder::n_bytes).sum::<usize>(),
            _ => 8 * self.len(),
        }
    }

    /// Appends the value that begins at `cursor`.
    #[inline]
    pub(super) fn append(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        if cursor.peek() == Some(b'n') {
            cursor.null()?;
            self.append_null();
            return Ok(());
        }
        self.append_value(cursor)?;
        self.nulls.append_non_null();
        Ok(())
    }

    fn append_value(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        let kind = cursor.kind()?;
        let start = cursor.clone();
        let unfit = || start.problem(What::Unfit { want: self.data_type.clone() });
        match (&mut self.values, kind) {
            (Values::Boolean(values), Kind::Boolean) => values.push(cursor.boolean()?),
            (Values::Integer { values, bounds }, Kind::Number) => {
                let value = integer(cursor.number()?).filter(|value| (bounds.0..=bounds.1).contains(value));
                values.push(value.ok_or_else(unfit)?);
            }
            (Values::Unsigned(values), Kind::Number) => {
                let digits = std::str::from_utf8(cursor.number()?).ok();
                values.push(digits.and_then(|digits| digits.parse().ok()).ok_or_else(unfit)?);
            }
            (Values::Float64 { values, rounds }, Kind::Number) => {
                values.push(float(cursor.number()?, *rounds).ok_or_else(unfit)?);
            }
            (Values::Float32(values), Kind::Number) => {
                let value: f32 = fast_float2::parse(cursor.number()?).map_err(|_| unfit())?;
                values.push(Some(value).filter(|value| value.is_finite()).ok_or_else(unfit)?);
            }
            (Values::Text { bytes, ends, takes_any }, kind) if kind == Kind::Text || *takes_any => {
                let before = bytes.len();
                match kind {
                    Kind::Text => {
                        let text = cursor.text()?;
                        if text.append_to(bytes).is_err() {
                            bytes.truncate(before);
                            return Err(start.problem(What::Escape));
                        }
                    }
                    _ => bytes.extend_from_slice(cursor.skip()?),
                }
                ends.push(i32::try_from(bytes.len()).map_err(|_| unfit())?);
            }
            (Values::Date(values), Kind::Text) => values.push(parse_date(cursor.text()?.raw).ok_or_else(unfit)?),
            (Values::Timestamp { values, unit, zoned }, Kind::Text) => {
                let at = parse_timestamp(cursor.text()?.raw).filter(|(_, has_zone)| has_zone == zoned);
                values.push(at.and_then(|(nanoseconds, _)| in_unit(nanoseconds, *unit)).ok_or_else(unfit)?);
            }
            (Values::Decimal { values, precision, scale }, Kind::Number | Kind::Text) => {
                let digits = if kind == Kind::Text { cursor.text()?.raw } else { cursor.number()? };
                values.push(decimal(digits, *precision, *scale).ok_or_else(unfit)?);
            }
            (Values::List { ends, item, .. }, Kind::List) => {
                cursor.list(|cursor| item.append(cursor))?;
                ends.push(i32::try_from(item.len()).map_err(|_| unfit())?);
            }
            (Values::Object { children, n }, Kind::Object) => {
                children.append(cursor, *n)?;
                *n += 1;
            }
            (_, found) => return Err(cursor.problem(What::Type { found, want: self.data_type.clone() })),
        }
        Ok(())
    }

    /// Appends NULL.
    pub(super) fn append_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Integer { values, .. } | Values::Timestamp { values, .. } => values.push(0),
            Values::Unsigned(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64 { values, .. } => values.push(0.0),
            Values::Date(values) => values.push(0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text { ends, .. } | Values::List { ends, .. } => ends.push(ends.last().copied().unwrap_or(0)),
            Values::Object { children, n } => {
                children.builders.iter_mut().for_each(Builder::append_null);
                *n += 1;
            }
        }
    }

    /// Goes back to the first `n` values, whatever was appended halfway.
    pub(super) fn truncate(&mut self, n: usize) {
        self.nulls.truncate(n.min(self.nulls.len()));
        match &mut self.values {
            Values::Boolean(values) => values.truncate(n),
            Values::Integer { values, .. } | Values::Timestamp { values, .. } => values.truncate(n),
            Values::Unsigned(values) => values.truncate(n),
            Values::Float32(values) => values.truncate(n),
            Values::Float64 { values, .. } => values.truncate(n),
            Values::Date(values) => values.truncate(n),
            Values::Decimal { values, .. } => values.truncate(n),
            Values::Text { bytes, ends, .. } => {
                ends.truncate(n);
                bytes.truncate(ends.last().map_or(0, |&end| end as usize));
            }
            Values::List { ends, item, .. } => {
                ends.truncate(n);
                item.truncate(ends.last().map_or(0, |&end| end as usize));
            }
            Values::Object { children, n: len } => {
                children.builders.iter_mut().for_each(|builder| builder.truncate(n));
                *len = n.min(*len);
            }
        }
    }

    /// The column; the builder starts anew.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        let data_type = &self.data_type;
        let retyped = |array: ArrayRef| -> Result<ArrayRef> {
            if array.data_type() == data_type { Ok(array) } else { Ok(cast(&array, data_type)?) }
        };
        let fixed = |values: &mut Vec<i64>| ScalarBuffer::from(std::mem::take(values));
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(values)), nulls)),
            Values::Integer { values, .. } => {
                retyped(Arc::new(PrimitiveArray::<Int64Type>::try_new(fixed(values), nulls)?))?
            }
            Values::Unsigned(values) => {
                Arc::new(PrimitiveArray::<UInt64Type>::try_new(std::mem::take(values).into(), nulls)?)
            }
            Values::Float32(values) => {
                Arc::new(PrimitiveArray::<Float32Type>::try_new(std::mem::take(values).into(), nulls)?)
            }
            Values::Float64 { values, .. } => {
                Arc::new(PrimitiveArray::<Float64Type>::try_new(std::mem::take(values).into(), nulls)?)
            }
            Values::Date(values) => {
                Arc::new(PrimitiveArray::<Date32Type>::try_new(std::mem::take(values).into(), nulls)?)
            }
            Values::Timestamp { values, .. } => {
                let array = PrimitiveArray::<TimestampNanosecondType>::try_new(fixed(values), nulls)?;
                let data = array.into_data().into_builder().data_type(data_type.clone()).build()?;
                arrow::array::make_array(data)
            }
            Values::Decimal { values, precision, scale } => Arc::new(
                Decimal128Array::try_new(std::mem::take(values).into(), nulls)?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Text { bytes, ends, .. } => {
                let offsets = offsets(ends)?;
                Arc::new(StringArray::try_new(offsets, std::mem::take(bytes).into(), nulls)?)
            }
            Values::List { ends, item, field } => {
                Arc::new(ListArray::try_new(field.clone(), offsets(ends)?, item.finish()?, nulls)?)
            }
            Values::Object { children, n } => {
                *n = 0;
                let arrays = children.builders.iter_mut().map(Builder::finish).collect::<Result<_>>()?;
                Arc::new(StructArray::try_new(children.fields.clone(), arrays, nulls)?)
            }
        })
    }
}

impl Children {
    fn new(fields: &Fields, takes: Takes) -> Option<Self> {
        let builders = fields.iter().map(|field| Builder::new(field.data_type(), takes)).collect::<Option<_>>()?;
        let by_name = fields.iter().enumerate().map(|(idx, field)| (field.name().clone(), idx)).collect();
        Some(Children { fields: fields.clone(), builders, by_name })
    }

    /// Appends the object that begins at `cursor` behind `n` others.
    fn append(&mut self, cursor: &mut Cursor<'_>, n: usize) -> Result<(), Problem> {
        let Children { fields, builders, by_name } = self;
        let mut next = 0;
        cursor.object(|cursor, name| {
            let expected = fields.get(next).filter(|field| !name.is_escaped && field.name().as_bytes() == name.raw);
            let idx = match expected {
                Some(_) => next,
                None => {
                    let name = name.name().ok_or_else(|| cursor.problem(What::Escape))?;
                    let unknown = || cursor.problem(What::Unknown).inside(&name);
                    *by_name.get(&name).ok_or_else(unknown)?
                }
            };
            next = idx + 1;
            let name = fields[idx].name();
            if builders[idx].len() > n {
                return Err(cursor.problem(What::Twice).inside(name));
            }
            builders[idx].append(cursor).map_err(|problem| problem.inside(name))
        })?;
        builders.iter_mut().filter(|builder| builder.len() == n).for_each(Builder::append_null);
        Ok(())
    }
}

fn offsets(ends: &mut Vec<i32>) -> Result<OffsetBuffer<i32>> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    if offsets.is_sorted() {
        return Ok(OffsetBuffer::new(offsets.into()));
    }
    Err(Error::query("a column of JSON has a value that ends before it begins"))
}

/// An integer; `1.0` and `1e3` are some too: the digits decide, so that none is lost.
fn integer(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let n_zeros = exponent.parse::<i64>().ok()?.checked_sub(fraction.len() as i64);
    let all: i128 = match whole.len() + fraction.len() {
        0..=30 => format!("{whole}{fraction}").parse().ok()?,
        _ => return None,
    };
    let value = match n_zeros? {
        _ if all == 0 => Some(0),
        n_zeros @ 0..=18 => all.checked_mul(10i128.pow(n_zeros as u32)),
        n_zeros @ -30..0 => {
            let unit = 10i128.pow(n_zeros.unsigned_abs() as u32);
            (all % unit == 0).then_some(all / unit)
        }
        _ => None,
    };
    value.and_then(|value| i64::try_from(value).ok())
}

/// A double. One that is declared rounds fractions, as everywhere; otherwise, and for integers, all digits must be kept.
fn float(digits: &[u8], rounds: bool) -> Option<f64> {
    let is_integer = || digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
    if rounds && !is_integer() {
        return fast_float2::parse(digits).ok().filter(|value: &f64| value.is_finite());
    }
    lossless_f64(digits)
}

/// Whether an inferred column of doubles can hold a number.
pub(super) fn fits_float(digits: &[u8]) -> bool {
    float(digits, false).is_some()
}

fn in_unit(nanoseconds: i128, unit: TimeUnit) -> Option<i64> {
    let of_unit = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    (nanoseconds % of_unit == 0).then(|| i64::try_from(nanoseconds / of_unit).ok())?
}

/// The value of plain decimal digits, or `None` when they do not fit without rounding.
fn decimal(digits: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let text = std::str::from_utf8(digits).ok()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(scale).ok()?;
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) || fraction.len() > scale {
        return None;
    }
    let value: i128 = format!("{whole}{fraction}{}", "0".repeat(scale - fraction.len())).parse().ok()?;
    let most = 10i128.checked_pow(u32::from(precision))?;
    (value < most).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_bent() {
        assert_eq!(["7", "-7", "1.0", "1e3", "9223372036854775807"].map(|n| integer(n.as_bytes())), {
            [Some(7), Some(-7), Some(1), Some(1000), Some(i64::MAX)]
        });
        for bad in ["1.5", "9223372036854775808", "1e30", "1e-1"] {
            assert_eq!(integer(bad.as_bytes()), None, "{bad}");
        }
        for (text, want) in [
            ("4503599627370497.0", Some(4503599627370497)),
            ("9007199254740993.0", Some(9007199254740993)),
            ("-12.50e1", Some(-125)),
            ("9223372036854775807.000", Some(i64::MAX)),
            ("0.0e-400", Some(0)),
            ("1200e-2", Some(12)),
            ("4503599627370497.25", None),
            ("1.00000000000000000001", None),
            ("9.3e18", None),
            ("1e99999999999999999999", None),
        ] {
            assert_eq!(integer(text.as_bytes()), want, "{text}");
        }
        assert_eq!(float(b"0.1", false), Some(0.1));
        assert_eq!(float(b"9007199254740992", false), Some(9007199254740992.0));
        for rounds in [false, true] {
            assert_eq!(float(b"9007199254740993", rounds), None);
            assert_eq!(float(b"1e999", rounds), None);
        }
        assert_eq!(float(b"0.12345678901234567890", false), None);
        assert_eq!(float(b"0.12345678901234567890", true), Some(0.12345678901234568));
        assert_eq!(float(b"9007199254740993.0", false), None);
        assert_eq!(decimal(b"-12.30", 4, 2), Some(-1230));
        assert_eq!(decimal(b"12.345", 9, 2), None);
        assert_eq!(decimal(b"12.34500", 9, 3), Some(12345));
        assert_eq!(decimal(b"100", 4, 2), None);
        assert_eq!(decimal(b"1e2", 9, 2), None);
        assert_eq!(in_unit(1_500, TimeUnit::Microsecond), None);
    }

    #[test]
    fn a_row_that_fails_halfway_is_cut_back() {
        let data_type = DataType::Struct(Fields::from(vec![
            arrow::datatypes::Field::new("a", DataType::new_list(DataType::Int64, true), true),
            arrow::datatypes::Field::new("b", DataType::Utf8, true),
        ]));
        let mut builder = Builder::new(&data_type, Takes::default()).unwrap();
        let append = |builder: &mut Builder, line: &str| builder.append(&mut Cursor::new(line.as_bytes()));
        append(&mut builder, r#"{"a":[1,2],"b":"x"}"#).unwrap();
        for bad in [r#"{"a":[1,"x"]}"#, r#"{"b":"y","a":[3],"b":"z"}"#, r#"{"b":"y","c":1}"#, r#"{"a":[1],"b":"\x"}"#] {
            append(&mut builder, bad).unwrap_err();
            builder.truncate(1);
            assert_eq!(builder.len(), 1);
        }
        append(&mut builder, r#"{"b":null}"#).unwrap();
        append(&mut builder, "null").unwrap();
        let shown = arrow::util::pretty::pretty_format_columns("v", &[builder.finish().unwrap()]).unwrap().to_string();
        let lines: Vec<&str> = shown.lines().skip(3).map(|line| line.trim_matches(['|', ' '])).collect();
        assert_eq!(lines[..3], ["{a: [1, 2], b: x}", "{a: , b: }", ""]);
        assert_eq!(builder.len(), 0);
    }
}
