//! How many bytes single values take, so that copies of rows are bounded by what is copied and not by an average: one row
//! with a long value may be copied thousands of times.
//!
//! Memory: four bytes for each row, and for each element of a list.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::DataType;

/// Whether values of this type may be longer than a few bytes.
pub fn has_long_values(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => true,
        other => other.is_nested(),
    }
}

/// The bytes of single rows.
pub enum ValueBytes {
    /// As many for every row.
    Same(u32),
    /// By row.
    Each(Vec<u32>),
}

impl ValueBytes {
    /// Of the rows of `columns`, which have `n_rows` each.
    pub fn of<'a>(columns: impl IntoIterator<Item = &'a ArrayRef>, n_rows: usize) -> Self {
        let (mut each, mut same) = (Vec::new(), [0]);
        for column in columns {
            if has_long_values(column.data_type()) {
                each.resize(n_rows, 0);
                add_value_bytes(column, &mut each);
            } else {
                add_value_bytes(column, &mut same);
            }
        }
        if each.is_empty() {
            return ValueBytes::Same(same[0]);
        }
        add_to_all(same[0], &mut each);
        ValueBytes::Each(each)
    }

    /// Of one row.
    pub fn get(&self, row: usize) -> usize {
        match self {
            ValueBytes::Same(bytes) => *bytes as usize,
            ValueBytes::Each(bytes) => bytes[row] as usize,
        }
    }
}

/// Adds the bytes of each value of `column` to `bytes`, which has as many places.
pub fn add_value_bytes(column: &ArrayRef, bytes: &mut [u32]) {
    use DataType::*;
    match column.data_type() {
        Utf8 => add_lengths(column.as_string::<i32>().value_offsets(), bytes),
        LargeUtf8 => add_lengths(column.as_string::<i64>().value_offsets(), bytes),
        Binary => add_lengths(column.as_binary::<i32>().value_offsets(), bytes),
        LargeBinary => add_lengths(column.as_binary::<i64>().value_offsets(), bytes),
        Utf8View => add_view_lengths(column.as_string_view().views(), bytes),
        BinaryView => add_view_lengths(column.as_binary_view().views(), bytes),
        List(_) => add_elements(column.as_list::<i32>().values(), column.as_list::<i32>().value_offsets(), bytes),
        LargeList(_) => add_elements(column.as_list::<i64>().values(), column.as_list::<i64>().value_offsets(), bytes),
        Map(..) => {
            let map = column.as_map();
            let entries = std::sync::Arc::new(map.entries().clone()) as ArrayRef;
            add_elements(&entries, map.value_offsets(), bytes);
        }
        FixedSizeList(..) => {
            let lists = column.as_fixed_size_list();
            let offsets: Vec<i32> = (0..=lists.len()).map(|row| lists.value_offset(row)).collect();
            add_elements(lists.values(), &offsets, bytes);
        }
        Struct(_) => column.as_struct().columns().iter().for_each(|field| add_value_bytes(field, bytes)),
        FixedSizeBinary(len) => add_to_all(*len as u32, bytes),
        other => add_to_all(other.primitive_width().unwrap_or(8) as u32, bytes),
    }
}

fn add_to_all(len: u32, bytes: &mut [u32]) {
    bytes.iter_mut().for_each(|bytes| *bytes = bytes.saturating_add(len));
}

fn add_lengths<O: OffsetSizeTrait>(offsets: &[O], bytes: &mut [u32]) {
    for (bytes, pair) in bytes.iter_mut().zip(offsets.windows(2)) {
        *bytes = bytes.saturating_add((pair[1] - pair[0]).as_usize() as u32).saturating_add(size_of::<O>() as u32);
    }
}

fn add_view_lengths(views: &[u128], bytes: &mut [u32]) {
    for (bytes, view) in bytes.iter_mut().zip(views) {
        // The low half of a view's first word is the length.
        *bytes = bytes.saturating_add(*view as u32).saturating_add(16);
    }
}

fn add_elements<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O], bytes: &mut [u32]) {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return };
    let first = first.as_usize();
    let mut of_elements = vec![0u32; last.as_usize() - first];
    add_value_bytes(&values.slice(first, of_elements.len()), &mut of_elements);
    for (bytes, pair) in bytes.iter_mut().zip(offsets.windows(2)) {
        let elements = &of_elements[pair[0].as_usize() - first..pair[1].as_usize() - first];
        let sum = elements.iter().fold(size_of::<O>() as u32, |sum, bytes| sum.saturating_add(*bytes));
        *bytes = bytes.saturating_add(sum);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{FixedSizeListArray, Int64Array, ListArray, StringArray, StringViewArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    #[track_caller]
    fn check(column: ArrayRef, expected: &[u32]) {
        let mut bytes = vec![1; column.len()];
        add_value_bytes(&column, &mut bytes);
        assert_eq!(bytes.iter().map(|bytes| bytes - 1).collect::<Vec<_>>(), expected, "{}", column.data_type());
    }

    #[test]
    fn each_row_has_the_bytes_of_its_own_values() {
        let texts = Arc::new(StringArray::from(vec![Some("abc"), None, Some(""), Some("a long one")]));
        check(texts.clone(), &[7, 4, 4, 14]);
        check(Arc::new(texts.slice(2, 2)), &[4, 14]);
        check(Arc::new(StringViewArray::from(vec!["ab", "a text that is not inlined"])), &[18, 42]);
        let lists = vec![Some(vec![Some(1)]), None, Some(vec![Some(1), None, Some(3)])];
        let lists = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        check(lists.clone(), &[12, 4, 28]);
        check(Arc::new(lists.slice(1, 2)), &[4, 28]);
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let numbers = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        check(Arc::new(FixedSizeListArray::new(item.clone(), 2, numbers.clone(), None)), &[20, 20]);
        let text = Arc::new(Field::new("text", DataType::Utf8, true));
        check(Arc::new(StructArray::from(vec![(item, numbers as ArrayRef), (text, texts)])), &[15, 12, 12, 22]);
    }
}
