//! The values of one column as text, one cell a row, ready to be put between commas.
//!
//! Memory: the text of one chunk of rows. Kernels are chosen once a chunk; loops run over slices.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait, downcast_integer_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, TimeUnit};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::calendar::{push_date, push_timestamp};
use crate::error::{Error, Result};

/// Cells of one column, one after the other.
#[derive(Default, Clone)]
pub(super) struct Cells {
    pub(super) bytes: Vec<u8>,
    /// Where each cell ends.
    pub(super) ends: Vec<usize>,
}

impl Cells {
    /// Replaces the cells by those of `column`. NULL is an empty cell, an empty string is `""`.
    pub(super) fn fill(&mut self, column: &ArrayRef) -> Result<()> {
        self.bytes.clear();
        self.ends.clear();
        match column.data_type() {
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64 => self.fill_integers(column),
            DataType::Float32 => {
                let mut text = ryu::Buffer::new();
                let values = column.as_primitive::<Float32Type>().values();
                self.each(values, column.nulls(), |value, out| out.extend_from_slice(text.format(value).as_bytes()))
            }
            DataType::Float64 => {
                let mut text = ryu::Buffer::new();
                let values = column.as_primitive::<Float64Type>().values();
                self.each(values, column.nulls(), |value, out| out.extend_from_slice(text.format(value).as_bytes()))
            }
            DataType::Boolean => {
                for value in column.as_boolean() {
                    let text: &[u8] = value.map_or(b"", |value| if value { b"true" } else { b"false" });
                    self.push(text);
                }
            }
            DataType::Utf8 => self.fill_strings(column.as_string::<i32>()),
            DataType::LargeUtf8 => self.fill_strings(column.as_string::<i64>()),
            DataType::Utf8View => {
                for value in column.as_string_view() {
                    value.inspect(|value| push_quoted(value.as_bytes(), &mut self.bytes));
                    self.ends.push(self.bytes.len());
                }
            }
            DataType::Null => self.ends.resize(column.len(), 0),
            DataType::Date32 => return self.fill_dates(column),
            DataType::Timestamp(unit, zone) if zone.as_ref().is_none_or(|zone| is_utc(zone)) => {
                return self.fill_timestamps(column, *unit, zone.is_some());
            }
            DataType::Decimal128(_, scale) if *scale >= 0 => {
                let scale = *scale as usize;
                let values = column.as_primitive::<Decimal128Type>().values();
                self.each(values, column.nulls(), |value, out| push_decimal(value, scale, out));
            }
            DataType::Dictionary(_, _) => {
                let dictionary = column.as_any_dictionary();
                return self.fill(&take(dictionary.values(), dictionary.keys(), None)?);
            }
            other if other.is_nested() => return self.fill_nested(column),
            _ => return self.fill_displayed(column),
        }
        Ok(())
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn each<T: Copy>(&mut self, values: &[T], nulls: Option<&NullBuffer>, mut write: impl FnMut(T, &mut Vec<u8>)) {
        match nulls {
            None => {
                for &value in values {
                    write(value, &mut self.bytes);
                    self.ends.push(self.bytes.len());
                }
            }
            Some(nulls) => {
                for (&value, valid) in values.iter().zip(nulls) {
                    if valid {
                        write(value, &mut self.bytes);
                    }
                    self.ends.push(self.bytes.len());
                }
            }
        }
    }

    fn fill_integers(&mut self, column: &ArrayRef) {
        let mut text = itoa::Buffer::new();
        downcast_integer_array!(
            column => self.each(column.values(), column.nulls(), |value, out| {
                out.extend_from_slice(text.format(value).as_bytes());
            }),
            _ => unreachable!("called for integers only")
        );
    }

    /// Most text needs no quotes: then the values of the whole chunk are copied at once.
    fn fill_strings<O: OffsetSizeTrait>(&mut self, column: &GenericStringArray<O>) {
        let offsets = column.value_offsets();
        let (first, last) = match offsets {
            [first, .., last] => (first.as_usize(), last.as_usize()),
            _ => return,
        };
        let values = &column.value_data()[first..last];
        let plain = !needs_quotes(values);
        if plain && column.null_count() == 0 && offsets.windows(2).all(|pair| pair[0] < pair[1]) {
            self.bytes.extend_from_slice(values);
            self.ends.extend(offsets[1..].iter().map(|end| end.as_usize() - first));
            return;
        }
        for value in column {
            match value {
                Some(value) if plain && !value.is_empty() => self.bytes.extend_from_slice(value.as_bytes()),
                Some(value) => push_quoted(value.as_bytes(), &mut self.bytes),
                None => {}
            }
            self.ends.push(self.bytes.len());
        }
    }

    fn fill_dates(&mut self, column: &ArrayRef) -> Result<()> {
        let mut all_fit = true;
        let values = column.as_primitive::<Date32Type>().values();
        self.each(values, column.nulls(), |days, out| all_fit &= push_date(i64::from(days), out));
        if all_fit { Ok(()) } else { self.fill_displayed(column) }
    }

    fn fill_timestamps(&mut self, column: &ArrayRef, unit: TimeUnit, zoned: bool) -> Result<()> {
        let mut all_fit = true;
        let numbers = arrow::compute::cast(column, &DataType::Int64)?;
        let values = numbers.as_primitive::<arrow::datatypes::Int64Type>().values();
        self.each(values, column.nulls(), |value, out| {
            all_fit &= push_timestamp(value, unit, out);
            if zoned {
                out.push(b'Z');
            }
        });
        if all_fit { Ok(()) } else { self.fill_displayed(column) }
    }

    /// Lists, structs and maps as JSON.
    fn fill_nested(&mut self, column: &ArrayRef) -> Result<()> {
        let field = Arc::new(Field::new("value", column.data_type().clone(), true));
        let options = EncoderOptions::default().with_explicit_nulls(true);
        let mut encoder = make_encoder(&field, column.as_ref(), &options)?;
        let mut json = Vec::new();
        for row in 0..column.len() {
            if !encoder.is_null(row) {
                json.clear();
                encoder.encode(row, &mut json);
                push_quoted(&json, &mut self.bytes);
            }
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    /// Any other type, value by value.
    fn fill_displayed(&mut self, column: &ArrayRef) -> Result<()> {
        self.bytes.clear();
        self.ends.clear();
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let mut text = String::new();
        for row in 0..column.len() {
            if column.is_valid(row) {
                text.clear();
                write!(text, "{}", formatter.value(row))
                    .map_err(|_| Error::query(format!("a value of type {} has no text", column.data_type())))?;
                push_quoted(text.as_bytes(), &mut self.bytes);
            }
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(zone, "UTC" | "utc" | "Z" | "+00:00" | "Etc/UTC" | "GMT")
}

/// Whether a cell must stand in quotes for what is in it. Without branches inside, so that it runs on many bytes at once.
fn needs_quotes(text: &[u8]) -> bool {
    let special = |byte: u8| (byte == b'"') | (byte == b',') | (byte == b'\n') | (byte == b'\r');
    text.chunks(64).any(|chunk| chunk.iter().fold(false, |found, &byte| found | special(byte)))
}

/// Appends `text` as a cell: in quotes if it needs them or is empty, since an empty cell without quotes is NULL.
pub(super) fn push_quoted(text: &[u8], out: &mut Vec<u8>) {
    if !text.is_empty() && !needs_quotes(text) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for part in text.split_inclusive(|&byte| byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

/// Appends `value` with `scale` digits after the point.
fn push_decimal(value: i128, scale: usize, out: &mut Vec<u8>) {
    let mut text = itoa::Buffer::new();
    let digits = text.format(value.unsigned_abs()).as_bytes();
    if value < 0 {
        out.push(b'-');
    }
    if scale == 0 {
        out.extend_from_slice(digits);
        return;
    }
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(digits.len())));
    out.extend_from_slice(&digits[whole..]);
}
