//! Rows to columns: one kernel a storage, chosen once a column.

use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, BooleanArray, BooleanBufferBuilder, GenericByteArray, NullArray, OffsetSizeTrait, make_array,
};
use arrow::buffer::{Buffer, MutableBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, LargeBinaryType, LargeUtf8Type, Utf8Type};
use arrow::row::RowConverter;

use super::layout::{Field, Layout, Storage};
use super::page::RowPage;
use super::pointer::{Rows, slot_bytes, slot_len};
use crate::error::{Error, Result};

/// Reads one field of `rows` into an array of the field's type.
///
/// # Errors
/// When strings of one batch do not fit 32-bit offsets, or an encoded value does not decode.
pub fn gather(layout: &Layout, field: usize, rows: Rows<'_>) -> Result<ArrayRef> {
    gather_with(layout, field, rows, None)
}

/// Reads several fields; as [`gather`] for each, but rows are looked at once to see where any NULL is.
///
/// # Errors
/// As [`gather`].
pub fn gather_fields(layout: &Layout, fields: &[usize], rows: Rows<'_>) -> Result<Vec<ArrayRef>> {
    let mut valid_in_all: Vec<(usize, u8)> = Vec::new();
    for &field in fields {
        let byte = layout.fields[field].validity_byte;
        if valid_in_all.iter().all(|&(known, _)| known != byte) {
            // SAFETY: the validity byte lies inside every row of the layout.
            let all = rows.ptrs.iter().fold(u8::MAX, |all, &row| all & unsafe { *row.add(byte) });
            valid_in_all.push((byte, all));
        }
    }
    let all_valid = |field: &Field| {
        let in_all = |&(byte, all): &(usize, u8)| byte == field.validity_byte && all & field.validity_mask != 0;
        valid_in_all.iter().any(in_all)
    };
    let gather = |&field: &usize| gather_with(layout, field, rows, Some(all_valid(&layout.fields[field])));
    fields.iter().map(gather).collect()
}

/// Reads several fields of all rows on `pages`, in the order of the pages.
///
/// # Errors
/// As [`gather`].
pub fn gather_pages(layout: &Layout, fields: &[usize], pages: &[RowPage]) -> Result<Vec<ArrayRef>> {
    let mut ptrs = Vec::with_capacity(pages.iter().map(RowPage::n_rows).sum());
    pages.iter().for_each(|page| page.add_rows(&mut ptrs));
    // SAFETY: the rows live as long as the pages are borrowed.
    gather_fields(layout, fields, unsafe { Rows::new(&ptrs) })
}

/// `all_valid` is whether no row is NULL, where that is known.
fn gather_with(layout: &Layout, field: usize, rows: Rows<'_>, all_valid: Option<bool>) -> Result<ArrayRef> {
    let field = &layout.fields[field];
    let nulls = || if all_valid == Some(true) { None } else { gather_nulls(field, rows) };
    match &field.storage {
        Storage::Null => Ok(Arc::new(NullArray::new(rows.len()))),
        Storage::Bool => {
            // SAFETY: the field has one byte in every row of the layout.
            let values = rows.ptrs.iter().map(|&row| unsafe { *row.add(field.offset) } != 0).collect();
            Ok(Arc::new(BooleanArray::new(values, nulls())))
        }
        Storage::Fixed(width) => {
            let values = gather_fixed(rows, field.offset, *width);
            let data = ArrayData::builder(field.data_type.clone()).len(rows.len()).add_buffer(values);
            Ok(make_array(data.nulls(nulls()).build()?))
        }
        Storage::Slot => gather_slots(field, rows, nulls()),
        Storage::Encoded(converter) => gather_encoded(converter, field, rows),
    }
}

fn gather_nulls(field: &Field, rows: Rows<'_>) -> Option<NullBuffer> {
    // SAFETY: the validity byte lies inside every row of the layout.
    let is_valid = |&row: &*mut u8| unsafe { *row.add(field.validity_byte) } & field.validity_mask != 0;
    if rows.ptrs.iter().all(is_valid) {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows.len());
    rows.ptrs.iter().for_each(|row| bits.append(is_valid(row)));
    Some(NullBuffer::new(bits.finish()))
}

fn gather_fixed(rows: Rows<'_>, offset: usize, width: usize) -> Buffer {
    // SAFETY: the field has `width` bytes at `offset` in every row of the layout.
    unsafe {
        match width {
            1 => gather_array::<1>(rows, offset),
            2 => gather_array::<2>(rows, offset),
            4 => gather_array::<4>(rows, offset),
            8 => gather_array::<8>(rows, offset),
            16 => gather_array::<16>(rows, offset),
            32 => gather_array::<32>(rows, offset),
            _ => {
                let mut values = MutableBuffer::with_capacity(rows.len() * width);
                for &row in rows.ptrs {
                    values.extend_from_slice(std::slice::from_raw_parts(row.add(offset), width));
                }
                values.into()
            }
        }
    }
}

unsafe fn gather_array<const WIDTH: usize>(rows: Rows<'_>, offset: usize) -> Buffer {
    let mut values = MutableBuffer::from_len_zeroed(rows.len() * WIDTH);
    for (value, &row) in values.as_slice_mut().as_chunks_mut::<WIDTH>().0.iter_mut().zip(rows.ptrs) {
        // SAFETY: the caller says that the field is WIDTH bytes wide.
        *value = unsafe { row.add(offset).cast::<[u8; WIDTH]>().read() };
    }
    values.into()
}

fn gather_slots(field: &Field, rows: Rows<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    match &field.data_type {
        DataType::Utf8 => gather_bytes::<Utf8Type>(field, rows, nulls),
        DataType::Binary => gather_bytes::<BinaryType>(field, rows, nulls),
        DataType::LargeUtf8 => gather_bytes::<LargeUtf8Type>(field, rows, nulls),
        DataType::LargeBinary => gather_bytes::<LargeBinaryType>(field, rows, nulls),
        DataType::Utf8View => Ok(cast(&gather_bytes::<Utf8Type>(field, rows, nulls)?, &DataType::Utf8View)?),
        other => Ok(cast(&gather_bytes::<BinaryType>(field, rows, nulls)?, other)?),
    }
}

fn gather_bytes<T: ByteArrayType>(field: &Field, rows: Rows<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    // SAFETY: the field is a slot of every row of the layout.
    let lens = || rows.ptrs.iter().map(|&row| unsafe { slot_len(row, field.offset) });
    let total: usize = lens().sum();
    if T::Offset::IS_LARGE || total <= i32::MAX as usize {
        let offsets = OffsetBuffer::<T::Offset>::from_lengths(lens());
        let mut values: Vec<u8> = Vec::with_capacity(total);
        for &row in rows.ptrs {
            // SAFETY: as above; the value lies in the row's page.
            values.extend_from_slice(unsafe { slot_bytes(row, field.offset) });
        }
        // SAFETY: the lengths are those of the values just appended, and the bytes of a string field were taken from
        // whole values of a valid array of this type.
        let array = unsafe { GenericByteArray::<T>::new_unchecked(offsets, Buffer::from_vec(values), nulls) };
        return Ok(Arc::new(array));
    }
    Err(Error::query(format!("{} rows of strings hold {total} bytes, more than one batch can", rows.len())))
}

fn gather_encoded(converter: &RowConverter, field: &Field, rows: Rows<'_>) -> Result<ArrayRef> {
    let parser = converter.parser();
    // SAFETY: the field is a slot of every row of the layout; a row's encoding of NULL is never empty, an absent one is
    // that of a row that was NULL and is skipped by `scatter`, so it is decoded below as NULL.
    let encoded: Vec<&[u8]> = rows.ptrs.iter().map(|&row| unsafe { slot_bytes(row, field.offset) }).collect();
    let null = converter.convert_columns(&[arrow::array::new_null_array(&field.data_type, 1)])?;
    let null = null.row(0);
    let rows =
        encoded.iter().map(|bytes| if bytes.is_empty() { parser.parse(null.as_ref()) } else { parser.parse(bytes) });
    let mut arrays = converter.convert_rows(rows)?;
    arrays.pop().ok_or_else(|| Error::query("a nested value did not decode"))
}
