//! Values as 64-bit keys of the same order, and back.
//!
//! Memory: the keys of one batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, UInt64Array};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};

use crate::error::{Error, Result};
use crate::operators::equality::normalize;

/// What the values are before they are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Signed,
    Unsigned,
}

const SIGN: u64 = 1 << 63;

/// Whether values of this type have keys.
pub fn has_keys(data_type: &DataType) -> bool {
    Kind::of(data_type).is_ok()
}

impl Kind {
    pub(super) fn of(data_type: &DataType) -> Result<Self> {
        use DataType::*;
        Ok(match data_type {
            Float16 | Float32 | Float64 => Kind::Float,
            Int8 | Int16 | Int32 | Int64 | Date32 | Date64 | Timestamp(..) => Kind::Signed,
            UInt8 | UInt16 | UInt32 | UInt64 => Kind::Unsigned,
            other => return Err(Error::query(format!("values of type {other} cannot be counted by their bits"))),
        })
    }

    /// Appends the keys of the values that are not NULL, and for which `condition` is true.
    pub(super) fn append(self, values: &ArrayRef, condition: Option<&BooleanArray>, keys: &mut Vec<u64>) -> Result<()> {
        let kept = match condition {
            Some(condition) => filter(values, condition)?,
            None => values.clone(),
        };
        match self {
            Kind::Float => {
                let wide = cast(&normalize(&kept)?, &DataType::Float64)?;
                append_each(wide.as_primitive::<Float64Type>().values(), &wide, keys, key_of_float);
            }
            Kind::Signed => {
                let wide = signed(&kept)?;
                append_each(wide.as_primitive::<Int64Type>().values(), &wide, keys, |value| value as u64 ^ SIGN);
            }
            Kind::Unsigned => {
                let wide = cast(&kept, &DataType::UInt64)?;
                append_each(wide.as_primitive::<UInt64Type>().values(), &wide, keys, |value| value);
            }
        }
        Ok(())
    }

    /// The value of a key, as an array of one; NULL without a key.
    pub(super) fn value(self, key: Option<u64>, data_type: &DataType) -> Result<ArrayRef> {
        let wide: ArrayRef = match self {
            Kind::Float => Arc::new(Float64Array::from(vec![key.map(float_of_key)])),
            Kind::Signed => Arc::new(Int64Array::from(vec![key.map(|key| (key ^ SIGN) as i64)])),
            Kind::Unsigned => Arc::new(UInt64Array::from(vec![key])),
        };
        let through = if *data_type == DataType::Date32 { cast(&wide, &DataType::Int32)? } else { wide };
        Ok(cast(&through, data_type)?)
    }
}

fn signed(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Date32 => cast(&cast(values, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(values, &DataType::Int64)?,
    })
}

fn append_each<T: Copy>(values: &[T], array: &ArrayRef, keys: &mut Vec<u64>, key: impl Fn(T) -> u64) {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => keys.extend(values.iter().map(|&value| key(value))),
        Some(nulls) => keys.extend(nulls.valid_indices().map(|row| key(values[row]))),
    }
}

/// Floats in the order of their bits: negative ones backwards and below.
#[inline(always)]
fn key_of_float(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn float_of_key(key: u64) -> f64 {
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_order_of_the_values() {
        let floats =
            [f64::NEG_INFINITY, -1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 1.0, 1e300, f64::INFINITY, f64::NAN];
        let mut keys = Vec::new();
        let values: ArrayRef = Arc::new(Float64Array::from(floats.to_vec()));
        Kind::Float.append(&values, None, &mut keys).unwrap();
        assert!(keys.is_sorted());
        assert!(keys.iter().zip(floats).all(|(&key, value)| float_of_key(key).to_bits() == value.to_bits()));
        let values: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(-1), None, Some(0), Some(i64::MAX)]));
        keys.clear();
        Kind::Signed.append(&values, None, &mut keys).unwrap();
        assert_eq!(keys.len(), 4);
        assert!(keys.is_sorted());
    }

    #[test]
    fn dates_come_back_as_dates() {
        let day: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![-3]));
        let mut keys = Vec::new();
        Kind::Signed.append(&day, None, &mut keys).unwrap();
        assert_eq!(&Kind::Signed.value(Some(keys[0]), &DataType::Date32).unwrap(), &day);
    }
}
