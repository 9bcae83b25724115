//! The place of a value on the line of its type, as a number: what joins by order compare.
//!
//! The order is the sort's: -0.0 and 0.0 are one place, and NaN comes after all numbers. Memory: 16 bytes a row.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::*;

use crate::error::{Error, Result};

/// Whether values of `data_type` have a place.
pub fn has_rank(data_type: &DataType) -> bool {
    use DataType::*;
    let is_time = matches!(data_type, Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_));
    let is_decimal = matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..));
    data_type.is_integer() || is_time || is_decimal || matches!(data_type, Float16 | Float32 | Float64)
}

/// The place of every value of `column`; anything for NULL.
///
/// # Errors
/// A type without an order of its own; see [`has_rank`].
pub fn ranks(column: &ArrayRef) -> Result<Vec<i128>> {
    use DataType::*;
    Ok(match column.data_type() {
        Int8 => of::<Int8Type>(column, i128::from),
        Int16 => of::<Int16Type>(column, i128::from),
        Int32 => of::<Int32Type>(column, i128::from),
        Int64 => of::<Int64Type>(column, i128::from),
        UInt8 => of::<UInt8Type>(column, i128::from),
        UInt16 => of::<UInt16Type>(column, i128::from),
        UInt32 => of::<UInt32Type>(column, i128::from),
        UInt64 => of::<UInt64Type>(column, i128::from),
        Float16 => of::<Float16Type>(column, |value| of_float(value.to_f64())),
        Float32 => of::<Float32Type>(column, |value| of_float(f64::from(value))),
        Float64 => of::<Float64Type>(column, of_float),
        Decimal32(..) => of::<Decimal32Type>(column, i128::from),
        Decimal64(..) => of::<Decimal64Type>(column, i128::from),
        Decimal128(..) => of::<Decimal128Type>(column, |value| value),
        Date32 | Time32(_) => of::<Int32Type>(&cast(column, &Int32)?, i128::from),
        Date64 | Time64(_) | Timestamp(..) | Duration(_) => of::<Int64Type>(&cast(column, &Int64)?, i128::from),
        other => return Err(Error::query(format!("values of type {other} cannot be joined by their order"))),
    })
}

fn of<T: ArrowPrimitiveType>(column: &dyn Array, rank: impl Fn(T::Native) -> i128) -> Vec<i128> {
    column.as_primitive::<T>().values().iter().map(|&value| rank(value)).collect()
}

/// Bits of floats of one sign order like the floats, those of negative ones the other way round.
fn of_float(value: f64) -> i128 {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = canonical.to_bits() as i64;
    i128::from(bits ^ ((bits >> 63) as u64 >> 1) as i64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, UInt64Array};

    use super::*;

    #[test]
    fn places_are_in_the_order_of_the_sort() {
        let floats = [f64::NEG_INFINITY, -2.5, -1e-300, 0.0, 1e-300, 2.5, f64::INFINITY, f64::NAN];
        let found = ranks(&(Arc::new(Float64Array::from(floats.to_vec())) as ArrayRef)).unwrap();
        assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
        let odd: ArrayRef = Arc::new(Float32Array::from(vec![-0.0, 0.0, f32::NAN, -f32::NAN]));
        let found = ranks(&odd).unwrap();
        assert_eq!((found[0], found[2]), (found[1], found[3]));
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
        assert_eq!(ranks(&large).unwrap(), [i128::from(u64::MAX), 1]);
    }
}
