//! From keys back to columns, so that what is in the key need not be stored a second time.
//!
//! Memory: the columns of one batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, BinaryArray, BooleanArray, NullArray, StringArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::encode::{KeyColumn, KeyEncoder, KeyKind, PLACE_BYTES};
use crate::error::{Error, Result};
use crate::row::{KeyField, Rows};

/// Reads the key columns of which `is_wanted` back from the keys of `rows`, in the order of the keys. Possible when every
/// key column [`KeyKind::is_decodable`].
///
/// # Errors
/// When a key is not what [`KeyEncoder`] makes.
pub(super) fn decode_keys(
    encoder: &KeyEncoder,
    field: KeyField,
    rows: Rows<'_>,
    is_wanted: &[bool],
) -> Result<Vec<Option<ArrayRef>>> {
    if !is_wanted.contains(&true) {
        return Ok(vec![None; is_wanted.len()]);
    }
    let keys = FlatKeys::copy(field, rows);
    let mut at = vec![0usize; rows.len()];
    let mut columns = Vec::with_capacity(is_wanted.len());
    for (column, &wanted) in encoder.columns.iter().zip(is_wanted) {
        let reader = KeyReader { column, keys: &keys, n_rows: rows.len() };
        columns.push(if wanted { Some(reader.read(&mut at)?) } else { reader.skip(&mut at)? });
    }
    if encoder.flag_bytes > 0 {
        let flags = |row: usize| keys.key(row).get(at[row] + PLACE_BYTES..).unwrap_or(&[]);
        for (column, array) in encoder.columns.iter().zip(&mut columns) {
            if let (Some(float), Some(array)) = (column.float, array) {
                let is_set = |row: usize| flags(row).get(float / 8).is_some_and(|&byte| byte >> (float % 8) & 1 == 1);
                restore_negative_zeros(array, is_set)?;
            }
        }
    }
    Ok(columns)
}

/// Sets the sign of the floats of which `is_set`.
fn restore_negative_zeros(array: &mut ArrayRef, is_set: impl Fn(usize) -> bool) -> Result<()> {
    let rows: Vec<usize> = (0..array.len()).filter(|&row| is_set(row)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let data = array.to_data();
    let mut values = data.buffers()[0].to_vec();
    let width = values.len() / array.len();
    rows.into_iter().for_each(|row| values[(row + 1) * width - 1] |= 0x80);
    let builder = ArrayData::builder(array.data_type().clone()).len(array.len()).nulls(array.nulls().cloned());
    *array = make_array(builder.add_buffer(Buffer::from_slice_ref(&values)).align_buffers(true).build()?);
    Ok(())
}

/// The keys of some rows, copied together.
struct FlatKeys {
    bytes: Vec<u8>,
    /// Bytes of every key, when none has a part that is not inline.
    stride: usize,
    /// Where the keys start otherwise, and where the last ends.
    starts: Vec<usize>,
}

impl FlatKeys {
    fn copy(field: KeyField, rows: Rows<'_>) -> Self {
        let stride = field.n_words() * 8;
        let mut keys = FlatKeys { bytes: Vec::new(), stride, starts: Vec::new() };
        let mut is_long = false;
        keys.bytes.resize(rows.len() * stride, 0);
        for (idx, key) in keys.bytes.chunks_exact_mut(stride).enumerate() {
            let (inline, rest) = field.bytes(rows.get(idx));
            is_long |= !rest.is_empty();
            // Word by word: a call to copy so few bytes costs more than copying them.
            for (to, from) in key.as_chunks_mut::<8>().0.iter_mut().zip(inline.as_chunks::<8>().0) {
                *to = *from;
            }
        }
        if is_long {
            keys.bytes.clear();
            for idx in 0..rows.len() {
                let (inline, rest) = field.bytes(rows.get(idx));
                keys.starts.push(keys.bytes.len());
                keys.bytes.extend_from_slice(inline);
                keys.bytes.extend_from_slice(rest);
            }
            keys.starts.push(keys.bytes.len());
        }
        keys
    }

    #[inline(always)]
    fn key(&self, idx: usize) -> &[u8] {
        match self.starts.is_empty() {
            true => &self.bytes[idx * self.stride..(idx + 1) * self.stride],
            false => &self.bytes[self.starts[idx]..self.starts[idx + 1]],
        }
    }
}

struct KeyReader<'a> {
    column: &'a KeyColumn,
    keys: &'a FlatKeys,
    n_rows: usize,
}

fn damaged() -> Error {
    Error::query("a sort key does not hold the values it was made from")
}

impl KeyReader<'_> {
    /// Reads the values that start `at` and moves on behind them.
    fn read(&self, at: &mut [usize]) -> Result<ArrayRef> {
        match &self.column.kind {
            KeyKind::Null => Ok(Arc::new(NullArray::new(self.n_rows))),
            KeyKind::Bool => {
                let (values, nulls) = self.read_fixed::<1>(at, |value| value)?;
                let values = BooleanBuffer::collect_bool(values.len(), |idx| values[idx] != [0]);
                Ok(Arc::new(BooleanArray::new(values, nulls)))
            }
            KeyKind::Unsigned(width) => match width {
                1 => self.read_numbers::<1>(at, reversed),
                2 => self.read_numbers::<2>(at, reversed),
                4 => self.read_numbers::<4>(at, reversed),
                _ => self.read_numbers::<8>(at, reversed),
            },
            KeyKind::Signed(width) => match width {
                1 => self.read_numbers::<1>(at, signed),
                2 => self.read_numbers::<2>(at, signed),
                4 => self.read_numbers::<4>(at, signed),
                8 => self.read_numbers::<8>(at, signed),
                16 => self.read_numbers::<16>(at, signed),
                _ => self.read_numbers::<32>(at, signed),
            },
            KeyKind::Float(width) => match width {
                2 => self.read_numbers::<2>(at, float),
                4 => self.read_numbers::<4>(at, float),
                _ => self.read_numbers::<8>(at, float),
            },
            KeyKind::Bytes => self.read_strings(at),
            KeyKind::Encoded(_) => Err(damaged()),
        }
    }

    /// Moves on behind the values that start `at`.
    fn skip(&self, at: &mut [usize]) -> Result<Option<ArrayRef>> {
        match &self.column.kind {
            KeyKind::Null => {}
            KeyKind::Bool => at.iter_mut().for_each(|at| *at += 2),
            KeyKind::Unsigned(width) | KeyKind::Signed(width) | KeyKind::Float(width) => {
                at.iter_mut().for_each(|at| *at += 1 + width);
            }
            KeyKind::Bytes => {
                self.read_strings(at)?;
            }
            KeyKind::Encoded(_) => return Err(damaged()),
        }
        Ok(None)
    }

    fn read_numbers<const W: usize>(&self, at: &mut [usize], decode: fn([u8; W]) -> [u8; W]) -> Result<ArrayRef> {
        let (values, nulls) = self.read_fixed::<W>(at, decode)?;
        let data = ArrayData::builder(self.column.data_type.clone()).len(values.len());
        let data = data.add_buffer(Buffer::from_slice_ref(values.as_flattened())).nulls(nulls);
        Ok(make_array(data.align_buffers(true).build()?))
    }

    #[inline(always)]
    fn read_fixed<const W: usize>(
        &self,
        at: &mut [usize],
        decode: impl Fn([u8; W]) -> [u8; W],
    ) -> Result<(Vec<[u8; W]>, Option<NullBuffer>)> {
        let (null, inversion) = (self.column.null_byte(), self.column.inversion());
        let mut values = Vec::with_capacity(self.n_rows);
        let mut n_nulls = 0;
        for (row, at) in at.iter_mut().enumerate() {
            let place: &[u8] = self.keys.key(row).get(*at..*at + 1 + W).ok_or_else(damaged)?;
            let mut value = [0; W];
            value.copy_from_slice(&place[1..]);
            let is_null = place[0] == null;
            n_nulls += usize::from(is_null);
            values.push(if is_null { [0; W] } else { decode(value.map(|byte| byte ^ inversion)) });
            *at += 1 + W;
        }
        let nulls = (n_nulls > 0).then(|| {
            let is_valid = |idx: usize| self.keys.key(idx)[at[idx] - 1 - W] != null;
            NullBuffer::new(BooleanBuffer::collect_bool(values.len(), is_valid))
        });
        Ok((values, nulls))
    }

    fn read_strings(&self, at: &mut [usize]) -> Result<ArrayRef> {
        let (null, inversion) = (self.column.null_byte(), self.column.inversion());
        let mut offsets = Vec::with_capacity(self.n_rows + 1);
        offsets.push(0i32);
        let mut data = Vec::new();
        let mut validity = Vec::new();
        for (row, at) in at.iter_mut().enumerate() {
            let key = self.keys.key(row);
            let value = key.get(*at + 1..).ok_or_else(damaged)?;
            if key[*at] == null {
                validity.resize(row, true);
                validity.push(false);
                *at += 1;
            } else {
                *at += 1 + read_string(value, inversion, &mut data)?;
            }
            offsets.push(i32::try_from(data.len()).map_err(|_| Error::query("one batch of strings exceeds 2 GiB"))?);
        }
        let nulls = (!validity.is_empty()).then(|| {
            validity.resize(self.n_rows, true);
            NullBuffer::from(validity)
        });
        if inversion != 0 {
            data.iter_mut().for_each(|byte| *byte = !*byte);
        }
        let (offsets, data) = (OffsetBuffer::new(offsets.into()), Buffer::from_vec(data));
        let array: ArrayRef = match &self.column.data_type {
            DataType::Utf8 => return Ok(Arc::new(StringArray::try_new(offsets, data, nulls)?)),
            DataType::Binary => return Ok(Arc::new(BinaryArray::try_new(offsets, data, nulls)?)),
            DataType::LargeUtf8 | DataType::Utf8View => Arc::new(StringArray::try_new(offsets, data, nulls)?),
            _ => Arc::new(BinaryArray::try_new(offsets, data, nulls)?),
        };
        Ok(cast(&array, &self.column.data_type)?)
    }
}

/// Appends one string as it stands in the key but without escapes, and returns the bytes it took there.
#[inline(always)]
fn read_string(value: &[u8], inversion: u8, data: &mut Vec<u8>) -> Result<usize> {
    let mut from = 0;
    loop {
        let zero = value[from..].iter().position(|&byte| byte == inversion).ok_or_else(damaged)? + from;
        if value.get(zero + 1) == Some(&!inversion) {
            data.extend_from_slice(&value[from..=zero]);
            from = zero + 2;
        } else {
            data.extend_from_slice(&value[from..zero]);
            return Ok(zero + 1);
        }
    }
}

fn reversed<const W: usize>(mut value: [u8; W]) -> [u8; W] {
    value.reverse();
    value
}

fn signed<const W: usize>(mut value: [u8; W]) -> [u8; W] {
    value[0] ^= 0x80;
    reversed(value)
}

/// A number that was positive has its sign bit flipped, a negative one all bits.
fn float<const W: usize>(mut value: [u8; W]) -> [u8; W] {
    if value[0] & 0x80 != 0 {
        value[0] ^= 0x80;
    } else {
        value = value.map(|byte| !byte);
    }
    reversed(value)
}
