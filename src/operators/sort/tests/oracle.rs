//! ORDER BY as plainly as it can be said: every value of every row is looked at on its own.

use std::cmp::Ordering;

use arrow::array::*;
use arrow::compute::take;
use arrow::datatypes::*;

use crate::operators::sort::{SortKey, SortSpec};

/// A value, by how it is ordered.
#[derive(Debug, Clone)]
enum Value {
    Null,
    Integer(i128),
    Wide(i256),
    Float(f64),
    Bytes(Vec<u8>),
    /// The values of a list or struct.
    Many(Vec<Value>),
}

fn value(array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Int8 => Value::Integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int32 => Value::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Value::Integer(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Utf8 => Value::Bytes(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Value::Bytes(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Value::Bytes(array.as_string_view().value(row).into()),
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).into()),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row).into()),
        DataType::Boolean => Value::Integer(array.as_boolean().value(row).into()),
        DataType::Date32 => Value::Integer(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(..) => Value::Integer(array.as_primitive::<TimestampMicrosecondType>().value(row).into()),
        DataType::Decimal128(..) => Value::Integer(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Decimal256(..) => Value::Wide(array.as_primitive::<Decimal256Type>().value(row)),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Value::Many((0..items.len()).map(|idx| value(&items, idx)).collect())
        }
        DataType::Struct(_) => Value::Many(array.as_struct().columns().iter().map(|child| value(child, row)).collect()),
        other => panic!("the oracle does not know {other}"),
    }
}

fn compare_values(a: &Value, b: &Value, key: &SortKey) -> Ordering {
    let directed = |order: Ordering| if key.descending { order.reverse() } else { order };
    let nulls = |order: Ordering| if key.nulls_first { order } else { order.reverse() };
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => nulls(Ordering::Less),
        (_, Value::Null) => nulls(Ordering::Greater),
        (Value::Integer(a), Value::Integer(b)) => directed(a.cmp(b)),
        (Value::Wide(a), Value::Wide(b)) => directed(a.cmp(b)),
        (Value::Bytes(a), Value::Bytes(b)) => directed(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => directed(match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => a.partial_cmp(b).unwrap(),
        }),
        (Value::Many(a), Value::Many(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare_values(a, b, key)).find(|order| order.is_ne());
            first.unwrap_or_else(|| directed(a.len().cmp(&b.len())))
        }
        _ => panic!("values of one column have one type"),
    }
}

/// Whether two rows are equal in the first `n_keys` keys of `spec`.
pub(crate) fn are_equal(rows: &RecordBatch, a: usize, b: usize, spec: &SortSpec, n_keys: usize) -> bool {
    let is_equal = |key: &SortKey| {
        let array = rows.column(key.column);
        compare_values(&value(array, a), &value(array, b), key).is_eq()
    };
    spec.keys[..n_keys].iter().all(is_equal)
}

/// The rows in the order that `spec` asks for, equal ones as they came, up to its limit.
pub(crate) fn sorted(rows: &RecordBatch, spec: &SortSpec) -> RecordBatch {
    let column = |key: &SortKey| {
        let array = rows.column(key.column);
        (0..array.len()).map(|row| value(array, row)).collect::<Vec<_>>()
    };
    let columns: Vec<Vec<Value>> = spec.keys.iter().map(column).collect();
    let mut order: Vec<u64> = (0..rows.num_rows() as u64).collect();
    order.sort_by(|&a, &b| {
        let by_key = columns.iter().zip(&spec.keys);
        let mut orders = by_key.map(|(values, key)| compare_values(&values[a as usize], &values[b as usize], key));
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    order.truncate(spec.limit.map_or(usize::MAX, |limit| limit as usize));
    let order = UInt64Array::from(order);
    let columns = rows.columns().iter().map(|column| take(column, &order, None).unwrap()).collect();
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}
