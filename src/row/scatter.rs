//! Columns to rows: one kernel a storage, chosen once a column.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use super::columns::{Column, Columns};
use super::layout::{Field, INLINE_BYTES, Layout};
use super::pointer::RowPtr;

/// Adds the heap bytes of rows `start..start + bytes.len()` to `bytes`.
pub(super) fn add_heap_bytes(columns: &Columns, start: usize, bytes: &mut [usize]) {
    for column in &columns.columns {
        match column {
            Column::Bytes { offsets, nulls, .. } => add_long(bytes, start, nulls.as_ref(), |row| length(offsets, row)),
            Column::LargeBytes { offsets, nulls, .. } => {
                add_long(bytes, start, nulls.as_ref(), |row| length_large(offsets, row))
            }
            Column::Coded { codes, start: first, offsets, nulls, .. } => {
                let codes: &[i32] = &codes.typed_data()[*first..];
                add_long(bytes, start, nulls.as_ref(), |row| length(offsets, codes[row] as usize));
            }
            Column::Fixed { .. } | Column::Bool(_) | Column::Null => {}
        }
    }
}

fn length(offsets: &OffsetBuffer<i32>, row: usize) -> usize {
    (offsets[row + 1] - offsets[row]) as usize
}

fn length_large(offsets: &OffsetBuffer<i64>, row: usize) -> usize {
    (offsets[row + 1] - offsets[row]) as usize
}

fn add_long(bytes: &mut [usize], start: usize, nulls: Option<&NullBuffer>, length: impl Fn(usize) -> usize) {
    for (idx, total) in bytes.iter_mut().enumerate() {
        let row = start + idx;
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            let len = length(row);
            *total += if len > INLINE_BYTES { len } else { 0 };
        }
    }
}

/// Writes rows `start..` of the batch to `ptrs`; long values go to the row's heap, which begins `heap_at[row]` bytes
/// after the row's start and is moved on.
///
/// # Safety
/// Each pointer must have `layout.row_bytes` writable zeroed bytes, and room for the row's heap bytes at its `heap_at`.
pub(super) unsafe fn scatter(layout: &Layout, columns: &Columns, start: usize, ptrs: &[RowPtr], heap_at: &mut [usize]) {
    for (field, column) in layout.fields.iter().zip(&columns.columns) {
        // SAFETY: the caller's promise; every kernel writes inside its field and the row's heap.
        unsafe {
            match column {
                Column::Fixed { values, start: first, width, nulls } => {
                    let values = &values.as_slice()[first + start * width..];
                    scatter_width(values, *width, field.offset, ptrs);
                    scatter_validity(field, nulls.as_ref(), start, ptrs, *width);
                }
                Column::Bool(array) => scatter_bool(field, array, start, ptrs),
                Column::Bytes { offsets, data, nulls } => {
                    let value = |row: usize| (offsets[row] as usize, offsets[row + 1] as usize);
                    scatter_slots(field, nulls.as_ref(), start, data, value, ptrs, heap_at);
                }
                Column::LargeBytes { offsets, data, nulls } => {
                    let value = |row: usize| (offsets[row] as usize, offsets[row + 1] as usize);
                    scatter_slots(field, nulls.as_ref(), start, data, value, ptrs, heap_at);
                }
                Column::Coded { codes, start: first, offsets, data, nulls } => {
                    let codes: &[i32] = &codes.typed_data()[*first..];
                    let value = |row: usize| {
                        let code = codes[row] as usize;
                        (offsets[code] as usize, offsets[code + 1] as usize)
                    };
                    scatter_slots(field, nulls.as_ref(), start, data, value, ptrs, heap_at);
                }
                Column::Null => {}
            }
        }
    }
}

unsafe fn scatter_width(values: &[u8], width: usize, offset: usize, ptrs: &[RowPtr]) {
    // SAFETY: as `scatter`; each arm writes `width` bytes.
    unsafe {
        match width {
            1 => scatter_array::<1>(values, offset, ptrs),
            2 => scatter_array::<2>(values, offset, ptrs),
            4 => scatter_array::<4>(values, offset, ptrs),
            8 => scatter_array::<8>(values, offset, ptrs),
            16 => scatter_array::<16>(values, offset, ptrs),
            24 => scatter_array::<24>(values, offset, ptrs),
            32 => scatter_array::<32>(values, offset, ptrs),
            40 => scatter_array::<40>(values, offset, ptrs),
            64 => scatter_array::<64>(values, offset, ptrs),
            0 => {}
            _ => {
                for (value, ptr) in values.chunks_exact(width).zip(ptrs) {
                    std::ptr::copy_nonoverlapping(value.as_ptr(), ptr.add(offset), width);
                }
            }
        }
    }
}

unsafe fn scatter_array<const WIDTH: usize>(values: &[u8], offset: usize, ptrs: &[RowPtr]) {
    for (value, ptr) in values.as_chunks::<WIDTH>().0.iter().zip(ptrs) {
        // SAFETY: the field is WIDTH bytes wide; rows give no alignment for narrow fields, so the type is a byte array.
        unsafe { ptr.add(offset).cast::<[u8; WIDTH]>().write(*value) };
    }
}

/// Sets the validity bit of each row, and clears the value of NULL rows so that equal keys are equal bytes.
unsafe fn scatter_validity(field: &Field, nulls: Option<&NullBuffer>, start: usize, ptrs: &[RowPtr], width: usize) {
    let (byte, mask) = (field.validity_byte, field.validity_mask);
    for (idx, &ptr) in ptrs.iter().enumerate() {
        // SAFETY: the validity byte and the field lie inside the row.
        unsafe {
            if nulls.is_none_or(|nulls| nulls.is_valid(start + idx)) {
                *ptr.add(byte) |= mask;
            } else {
                std::ptr::write_bytes(ptr.add(field.offset), 0, width);
            }
        }
    }
}

unsafe fn scatter_bool(field: &Field, array: &BooleanArray, start: usize, ptrs: &[RowPtr]) {
    for (idx, &ptr) in ptrs.iter().enumerate() {
        let row = start + idx;
        if array.is_valid(row) {
            // SAFETY: the validity byte and the field's one byte lie inside the row.
            unsafe {
                *ptr.add(field.offset) = u8::from(array.value(row));
                *ptr.add(field.validity_byte) |= field.validity_mask;
            }
        }
    }
}

unsafe fn scatter_slots(
    field: &Field,
    nulls: Option<&NullBuffer>,
    start: usize,
    data: &[u8],
    value: impl Fn(usize) -> (usize, usize),
    ptrs: &[RowPtr],
    heap_at: &mut [usize],
) {
    for (idx, &ptr) in ptrs.iter().enumerate() {
        let row = start + idx;
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        let (from, to) = value(row);
        let bytes = &data[from..to];
        // SAFETY: the slot has 16 bytes, the validity byte lies in the row, and the heap has room for the value.
        unsafe {
            *ptr.add(field.validity_byte) |= field.validity_mask;
            write_slot(ptr, field.offset, bytes, &mut heap_at[idx]);
        }
    }
}

/// Writes one value into a slot, its bytes into the row's heap at `heap_at` when it is long.
///
/// # Safety
/// The row must have a zeroed slot at `offset`, and room for a long value `heap_at` bytes after its start.
#[inline(always)]
pub(super) unsafe fn write_slot(row: RowPtr, offset: usize, bytes: &[u8], heap_at: &mut usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let slot = row.add(offset);
        slot.cast::<u32>().write_unaligned(bytes.len() as u32);
        if bytes.len() <= INLINE_BYTES {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), slot.add(4), bytes.len());
        } else {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), slot.add(4), 4);
            slot.add(8).cast::<u64>().write_unaligned(*heap_at as u64);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), row.add(*heap_at), bytes.len());
            *heap_at += bytes.len();
        }
    }
}
