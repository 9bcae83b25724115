//! The form of key values in which equal ones are equal bytes: -0.0 becomes 0.0 and every NaN the same.
//!
//! Memory: a copy of a column of floats; anything else is passed on as it is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, kernels::arity::unary};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use half::f16;

use crate::error::Result;

/// The column with equal values as equal bytes.
///
/// # Errors
/// When a dictionary of floats cannot be unpacked.
pub fn normalize(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Float16 => {
            let canonical = |value: f16| {
                let wide = value.to_f32();
                if wide.is_nan() { f16::NAN } else { f16::from_f32(wide + 0.0) }
            };
            Arc::new(unary::<_, _, Float16Type>(column.as_primitive::<Float16Type>(), canonical))
        }
        DataType::Float32 => {
            let canonical = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Arc::new(unary::<_, _, Float32Type>(column.as_primitive::<Float32Type>(), canonical))
        }
        DataType::Float64 => {
            let canonical = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Arc::new(unary::<_, _, Float64Type>(column.as_primitive::<Float64Type>(), canonical))
        }
        DataType::Dictionary(_, values) if values.is_floating() => normalize(&cast(column, values)?)?,
        _ => column.clone(),
    })
}
