//! Where a row differs from the one before it: the starts of partitions and of groups of peers.
//!
//! Equal is what the sort takes for equal: NULL and NULL, -0.0 and 0.0, NaN and NaN. Memory: a bit a row.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{SortOptions, concat};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};

use crate::error::Result;
use crate::operators::equality::normalize;

/// A set bit for every row that differs from the one before it in any of `columns`. `before` is the row before the first,
/// one value a column; without it the first row differs.
pub(in crate::operators) fn changes(
    columns: &[ArrayRef],
    before: Option<&[ArrayRef]>,
    n_rows: usize,
) -> Result<BooleanBuffer> {
    let mut all: Option<BooleanBuffer> = None;
    let mut first = before.is_none();
    for (idx, column) in columns.iter().enumerate() {
        let bits = changes_of(column)?;
        all = Some(match all {
            None => bits,
            Some(all) => &all | &bits,
        });
        if let Some(before) = before.filter(|_| n_rows > 0) {
            let pair = concat(&[&before[idx], &column.slice(0, 1)])?;
            first |= changes_of(&pair)?.value(1);
        }
    }
    let bits = all.unwrap_or_else(|| BooleanBuffer::new_unset(n_rows));
    Ok(match first && n_rows > 0 {
        true => &bits | &BooleanBuffer::collect_bool(n_rows, |row| row == 0),
        false => bits,
    })
}

fn canonical_f64(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn changes_of(array: &ArrayRef) -> Result<BooleanBuffer> {
    use DataType::*;
    let n_rows = array.len();
    let nulls = array.logical_nulls();
    let nulls = nulls.as_ref().filter(|nulls| nulls.null_count() > 0);
    Ok(match array.data_type() {
        Null => BooleanBuffer::new_unset(n_rows),
        Boolean => {
            let values = array.as_boolean().values();
            bits_of(n_rows, nulls, |row| values.value(row))
        }
        Float64 => primitive::<Float64Type, u64>(array, nulls, |value| canonical_f64(value).to_bits()),
        Float32 => primitive::<Float32Type, u64>(array, nulls, |value| canonical_f64(f64::from(value)).to_bits()),
        Utf8 => {
            let values = array.as_string::<i32>();
            bits_of(n_rows, nulls, |row| values.value(row).as_bytes())
        }
        Binary => {
            let values = array.as_binary::<i32>();
            bits_of(n_rows, nulls, |row| values.value(row))
        }
        Float16 => by_comparing(array)?,
        other => match other.primitive_width() {
            Some(1) => fixed::<1>(array, nulls),
            Some(2) => fixed::<2>(array, nulls),
            Some(4) => fixed::<4>(array, nulls),
            Some(8) => fixed::<8>(array, nulls),
            Some(16) => fixed::<16>(array, nulls),
            Some(32) => fixed::<32>(array, nulls),
            _ => by_comparing(array)?,
        },
    })
}

fn primitive<T: ArrowPrimitiveType, V: PartialEq>(
    array: &ArrayRef,
    nulls: Option<&NullBuffer>,
    map: impl Fn(T::Native) -> V,
) -> BooleanBuffer {
    let values = array.as_primitive::<T>().values();
    bits_of(values.len(), nulls, |row| map(values[row]))
}

fn fixed<const W: usize>(array: &ArrayRef, nulls: Option<&NullBuffer>) -> BooleanBuffer {
    let data = array.to_data();
    let bytes = data.buffers()[0].slice_with_length(data.offset() * W, data.len() * W);
    let values = bytes.as_slice().as_chunks::<W>().0;
    bits_of(values.len(), nulls, |row| values[row])
}

#[inline(always)]
fn bits_of<V: PartialEq>(n_rows: usize, nulls: Option<&NullBuffer>, value: impl Fn(usize) -> V) -> BooleanBuffer {
    match nulls {
        None => BooleanBuffer::collect_bool(n_rows, |row| row > 0 && value(row) != value(row - 1)),
        Some(nulls) => BooleanBuffer::collect_bool(n_rows, |row| {
            row > 0
                && match (nulls.is_valid(row), nulls.is_valid(row - 1)) {
                    (true, true) => value(row) != value(row - 1),
                    (now, before) => now != before,
                }
        }),
    }
}

fn by_comparing(array: &ArrayRef) -> Result<BooleanBuffer> {
    let array = normalize(array)?;
    let compare = arrow::array::make_comparator(&array, &array, SortOptions::default())?;
    Ok(BooleanBuffer::collect_bool(array.len(), |row| row > 0 && compare(row, row - 1).is_ne()))
}
