//! Values of one file in the type of the table.
//!
//! Memory: the new array.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use arrow::util::display::array_value_to_string;

/// `array` as `data_type`. The error is the first value that would not be the same any more.
pub(in crate::io) fn widen(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    if let Some(value) = integer_that_rounds(array, data_type) {
        return Err(value.to_string());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, data_type, &strict).map_err(|error| {
        let fails = |row: &usize| cast_with_options(&array.slice(*row, 1), data_type, &strict).is_err();
        let value = (0..array.len()).find(fails).and_then(|row| array_value_to_string(array, row).ok());
        value.unwrap_or_else(|| error.to_string())
    })
}

/// An integer of `array` that no double is equal to, where `data_type` has doubles in its place.
fn integer_that_rounds(array: &ArrayRef, data_type: &DataType) -> Option<i128> {
    fn find<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef) -> Option<i128> {
        let mut values = array.as_primitive::<T>().iter().flatten().map(Into::into);
        values.find(|&value: &i128| value as f64 as i128 != value)
    }
    match (array.data_type(), data_type) {
        (DataType::Int64, DataType::Float64) => find::<Int64Type>(array),
        (DataType::UInt64, DataType::Float64) => find::<UInt64Type>(array),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let mut children = array.as_struct().columns().iter().zip(fields);
            children.find_map(|(child, field)| integer_that_rounds(child, field.data_type()))
        }
        (DataType::List(_), DataType::List(item)) => {
            integer_that_rounds(array.as_list::<i32>().values(), item.data_type())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn values_stay_what_they_are_or_are_named() {
        let check = |array: ArrayRef, data_type: DataType, want: Result<&str, &str>| {
            let widened = widen(&array, &data_type);
            let found = widened.map(|array| array_value_to_string(&array, 0).unwrap());
            assert_eq!(found, want.map(str::to_string).map_err(str::to_string));
        };
        check(Arc::new(Int64Array::from(vec![7])), DataType::Float64, Ok("7.0"));
        check(Arc::new(Int64Array::from(vec![7, (1 << 53) + 1])), DataType::Float64, Err("9007199254740993"));
        check(Arc::new(Int64Array::from(vec![7])), DataType::Decimal128(21, 2), Ok("7.00"));
        check(Arc::new(Int64Array::from(vec![-7])), DataType::Utf8, Ok("-7"));
        check(Arc::new(Float64Array::from(vec![0.1])), DataType::Utf8, Ok("0.1"));
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        check(Arc::new(Date32Array::from(vec![1])), nanoseconds.clone(), Ok("1970-01-02T00:00:00"));
        check(Arc::new(Date32Array::from(vec![1, 1_000_000])), nanoseconds, Err("4707-11-29"));
        check(Arc::new(StringArray::from(vec!["a"])), DataType::Utf8, Ok("a"));
    }
}
