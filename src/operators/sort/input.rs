//! The key columns of a batch, made ready to be encoded: types resolved once a batch, not once a row.
//!
//! Memory: references to the batch; nested columns are encoded by `arrow-row` here.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};

use super::encode::{KeyColumn, KeyKind};
use crate::error::{Error, Result};
use crate::operators::equality::normalize;

/// A key column of one batch, by how it is read.
pub(super) enum Input {
    Null,
    Bool(arrow::array::BooleanArray),
    Fixed { values: Buffer, nulls: Option<NullBuffer> },
    Strings { offsets: Offsets, data: Buffer, nulls: Option<NullBuffer> },
}

/// Where each row's string is.
pub(super) enum Offsets {
    Small(OffsetBuffer<i32>),
    Large(OffsetBuffer<i64>),
    Coded { codes: arrow::buffer::ScalarBuffer<i32>, offsets: OffsetBuffer<i32> },
}

impl Offsets {
    #[inline(always)]
    pub(super) fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Offsets::Small(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Offsets::Large(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Offsets::Coded { codes, offsets } => {
                let code = codes[row] as usize;
                offsets[code] as usize..offsets[code + 1] as usize
            }
        }
    }

    /// The bytes that all strings lie in.
    pub(super) fn all(&self) -> std::ops::Range<usize> {
        match self {
            Offsets::Small(offsets) | Offsets::Coded { offsets, .. } => {
                offsets[0] as usize..offsets[offsets.len() - 1] as usize
            }
            Offsets::Large(offsets) => offsets[0] as usize..offsets[offsets.len() - 1] as usize,
        }
    }
}

impl KeyColumn {
    pub(super) fn input(&self, array: &ArrayRef) -> Result<Input> {
        if let (DataType::Dictionary(_, values), KeyKind::Bytes) = (array.data_type(), &self.kind)
            && matches!(**values, DataType::Utf8 | DataType::Binary)
            && let Some(coded) = array.as_dictionary_opt::<Int32Type>()
            && coded.values().null_count() == 0
        {
            let Input::Strings { offsets: Offsets::Small(offsets), data, .. } = strings(coded.values())? else {
                return Err(Error::query("a dictionary of strings has other values"));
            };
            let offsets = Offsets::Coded { codes: coded.keys().values().clone(), offsets };
            return Ok(Input::Strings { offsets, data, nulls: coded.nulls().cloned() });
        }
        if *array.data_type() != self.data_type {
            return match array.data_type() {
                DataType::Dictionary(_, values) if **values == self.data_type => self.input(&cast(array, values)?),
                found => {
                    Err(Error::query(format!("a column of type {found} arrived where {} was planned", self.data_type)))
                }
            };
        }
        Ok(match &self.kind {
            KeyKind::Null => Input::Null,
            KeyKind::Bool => Input::Bool(array.as_boolean().clone()),
            KeyKind::Unsigned(width) | KeyKind::Signed(width) | KeyKind::Float(width) => {
                let data = array.to_data();
                let values = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
                Input::Fixed { values, nulls: array.logical_nulls() }
            }
            KeyKind::Bytes => strings(array)?,
            KeyKind::Encoded(converter) => {
                let encoded = converter.convert_columns(&[normalize(array)?])?.try_into_binary()?;
                let offsets = Offsets::Small(encoded.offsets().clone());
                Input::Strings { offsets, data: encoded.values().clone(), nulls: array.logical_nulls() }
            }
        })
    }
}

fn strings(array: &ArrayRef) -> Result<Input> {
    let nulls = array.logical_nulls();
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            let offsets = Offsets::Small(array.offsets().clone());
            Input::Strings { offsets, data: array.values().clone(), nulls }
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            let offsets = Offsets::Small(array.offsets().clone());
            Input::Strings { offsets, data: array.values().clone(), nulls }
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            let offsets = Offsets::Large(array.offsets().clone());
            Input::Strings { offsets, data: array.values().clone(), nulls }
        }
        _ => strings(&cast(array, &DataType::LargeBinary)?)?,
    })
}

/// Sets the bit of each row whose float is -0.0.
pub(super) fn note_negative_zeros(input: &Input, width: usize, float: usize, flag_bytes: usize, flags: &mut [u8]) {
    let Input::Fixed { values, nulls } = input else { return };
    let is_negative_zero = |value: &[u8]| value[width - 1] == 0x80 && value[..width - 1].iter().all(|&byte| byte == 0);
    for (row, value) in values.chunks_exact(width).enumerate() {
        if value[width - 1] == 0x80 && is_negative_zero(value) && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
        {
            flags[row * flag_bytes + float / 8] |= 1 << (float % 8);
        }
    }
}
