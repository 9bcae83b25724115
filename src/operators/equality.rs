//! The form of key values in which equal ones are equal bytes: -0.0 becomes 0.0 and every NaN the same.
//!
//! Memory: a copy of a column of floats, also of those inside lists and structs; anything else is passed on as it is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
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
        nested if nested.is_nested() && holds_floats(nested) => {
            let data = column.to_data();
            let children = data.child_data().iter().map(|child| Ok(normalize(&make_array(child.clone()))?.to_data()));
            let children = children.collect::<Result<Vec<_>>>()?;
            make_array(data.into_builder().child_data(children).build()?)
        }
        _ => column.clone(),
    })
}

/// Whether `data_type` is one of floats, or has them somewhere inside: [`normalize`] changes only such columns.
pub fn holds_floats(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        List(field) | LargeList(field) | FixedSizeList(field, _) | Map(field, _) => holds_floats(field.data_type()),
        Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        Dictionary(_, values) => holds_floats(values),
        other => other.is_floating(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, ListArray, StructArray};
    use arrow::datatypes::{Field, Float64Type};
    use arrow::row::{RowConverter, SortField};

    use super::*;

    #[test]
    fn floats_inside_lists_and_structs_are_normalized() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() | 1);
        let list = |zero: f64, nan: f64| {
            let rows = vec![Some(vec![Some(1.5), None]), None, Some(vec![Some(zero), Some(nan)]), Some(vec![])];
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows)) as ArrayRef
        };
        let in_struct = |list: ArrayRef| {
            let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
            let field = |name, column: &ArrayRef| Arc::new(Field::new(name, column.data_type().clone(), true));
            let fields = [(field("n", &numbers), numbers.clone()), (field("l", &list), list.clone())];
            Arc::new(StructArray::from(fields.to_vec())) as ArrayRef
        };
        let bits = |column: &ArrayRef| {
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())]).unwrap();
            let rows = converter.convert_columns(std::slice::from_ref(column)).unwrap();
            rows.iter().map(|row| row.as_ref().to_vec()).collect::<Vec<_>>()
        };
        for (plain, odd) in [
            (list(0.0, f64::NAN), list(-0.0, other_nan)),
            (in_struct(list(0.0, f64::NAN)), in_struct(list(-0.0, other_nan))),
            (list(0.0, f64::NAN).slice(1, 2), list(-0.0, other_nan).slice(1, 2)),
        ] {
            assert_ne!(bits(&plain), bits(&odd));
            assert_eq!(bits(&normalize(&odd).unwrap()), bits(&normalize(&plain).unwrap()));
        }
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![-0.0]));
        assert!(normalize(&floats).unwrap().as_primitive::<Float64Type>().value(0).is_sign_positive());
    }
}
