//! From columns to keys whose byte order is the order of an ORDER BY.
//!
//! ```text
//! per key column   [is it NULL: 1 B] [big-endian value, sign flipped | string, 0x00 as 0x00 0xFF, then 0x00 | arrow-row]
//! at the end       [place in the input: 8 B] [which floats were -0.0: a bit each]
//! ```
//!
//! The bytes of a descending column are inverted, all but the first; `arrow-row` does that itself. The place in the input makes every key different and
//! the sort stable. What follows a string is never 0x00 or 0xFF, so one byte ends it.
//!
//! Memory: the keys of one batch, reused.

use arrow::array::{Array, ArrayRef, BinaryArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, IntervalUnit};
use arrow::row::{RowConverter, SortField};

use super::SortSpec;
use super::input::{Input, Offsets, note_negative_zeros};
use crate::error::{Error, Result};
use crate::exec::Sequence;

/// Bytes of the place in the input.
pub(super) const PLACE_BYTES: usize = 8;

pub(super) const VALUE: u8 = 2;
const NULL_FIRST: u8 = 1;
const NULL_LAST: u8 = 3;

/// Encodes the keys of one ORDER BY.
pub(super) struct KeyEncoder {
    pub(super) columns: Vec<KeyColumn>,
    /// Bytes of all columns when all are of fixed width.
    fixed_bytes: Option<usize>,
    /// Bytes for the bits that tell which floats were -0.0.
    pub(super) flag_bytes: usize,
}

/// One key column.
pub(super) struct KeyColumn {
    pub(super) column: usize,
    pub(super) data_type: DataType,
    pub(super) kind: KeyKind,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
    /// The number of this column among the floats.
    pub(super) float: Option<usize>,
}

/// How a column's values are encoded.
pub(super) enum KeyKind {
    /// All values are NULL.
    Null,
    /// As 0 or 1.
    Bool,
    /// So many bytes of an unsigned number.
    Unsigned(usize),
    /// So many bytes of a signed number.
    Signed(usize),
    /// So many bytes of a floating-point number.
    Float(usize),
    /// Strings and binary.
    Bytes,
    /// Everything else, by `arrow-row`; not decoded.
    Encoded(Box<RowConverter>),
}

/// The keys of one batch.
#[derive(Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    /// Where each key starts.
    starts: Vec<usize>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn key(&self, idx: usize) -> &[u8] {
        &self.bytes[self.starts[idx]..self.ends[idx]]
    }

    /// Some of the keys.
    pub(super) fn select(&self, rows: &[u32]) -> Keys {
        let mut keys = Keys::default();
        for &row in rows {
            keys.starts.push(keys.bytes.len());
            keys.bytes.extend_from_slice(self.key(row as usize));
            keys.ends.push(keys.bytes.len());
        }
        keys
    }

    /// Length of the longest key.
    pub(super) fn max_len(&self) -> usize {
        self.starts.iter().zip(&self.ends).map(|(start, end)| end - start).max().unwrap_or(0)
    }

    /// The first `width` bytes of every key, padded with zeros, one after the other; and what is longer.
    pub(super) fn into_inline(self, width: usize) -> (Vec<u8>, Option<BinaryArray>) {
        let is_inline = self.starts.iter().enumerate().all(|(idx, &start)| start == idx * width)
            && self.bytes.len() == self.len() * width
            && self.ends.iter().enumerate().all(|(idx, &end)| end <= (idx + 1) * width);
        if is_inline {
            return (self.bytes, None);
        }
        let mut inline = vec![0; self.len() * width];
        let mut offsets = Vec::with_capacity(self.len() + 1);
        let (mut rest, mut validity) = (Vec::new(), Vec::with_capacity(self.len()));
        offsets.push(0i32);
        for (idx, place) in inline.chunks_exact_mut(width).enumerate() {
            let key = self.key(idx);
            let (head, tail) = key.split_at(key.len().min(width));
            place[..head.len()].copy_from_slice(head);
            rest.extend_from_slice(tail);
            offsets.push(rest.len() as i32);
            validity.push(!tail.is_empty());
        }
        let offsets = OffsetBuffer::new(offsets.into());
        (inline, Some(BinaryArray::new(offsets, Buffer::from_vec(rest), Some(NullBuffer::from(validity)))))
    }
}

/// The place of a row in the input as 8 bytes, of which the first is neither 0x00 nor 0xFF. Places beyond 2^25 morsels, 2^21
/// batches of a morsel or 2^16 rows of a batch are not told apart; rows with equal keys there come in any order.
pub(super) fn place(sequence: Sequence, row: usize) -> u64 {
    let morsel = sequence.morsel.min((1 << 25) - 1);
    let batch = u64::from(sequence.batch).min((1 << 21) - 1);
    let row = (row as u64).min((1 << 16) - 1);
    1 << 62 | morsel << 37 | batch << 16 | row
}

impl KeyEncoder {
    pub(super) fn new(spec: &SortSpec) -> Result<Self> {
        let mut n_floats = 0;
        let mut columns = Vec::with_capacity(spec.keys.len());
        for key in &spec.keys {
            let data_type = spec.schema.field(key.column).data_type().clone();
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            let kind = KeyKind::of(&data_type, options)?;
            let float = matches!(kind, KeyKind::Float(_)).then(|| {
                n_floats += 1;
                n_floats - 1
            });
            let (descending, nulls_first) = (key.descending, key.nulls_first);
            columns.push(KeyColumn { column: key.column, data_type, kind, descending, nulls_first, float });
        }
        let fixed_bytes = columns.iter().map(|column| column.kind.fixed_bytes()).sum();
        Ok(KeyEncoder { columns, fixed_bytes, flag_bytes: usize::div_ceil(n_floats, 8) })
    }

    /// Bytes of every key, when that is the same for all rows.
    pub(super) fn fixed_bytes(&self) -> Option<usize> {
        self.fixed_bytes.map(|bytes| bytes + PLACE_BYTES + self.flag_bytes)
    }

    /// Encodes the keys of a batch with these columns. `rows` are the numbers of the rows in the batch, when the columns
    /// hold a selection of them. Keys are padded to `stride` bytes if none is longer.
    pub(super) fn encode(
        &self,
        columns: &[ArrayRef],
        sequence: Sequence,
        rows: Option<&[u32]>,
        stride: usize,
    ) -> Result<Keys> {
        let n_rows = columns.first().map_or(0, |column| column.len());
        let inputs: Vec<Input> =
            self.columns.iter().map(|key| key.input(&columns[key.column])).collect::<Result<_>>()?;
        let mut keys = self.place_keys(&inputs, n_rows, stride);
        let mut flags = vec![0u8; if self.flag_bytes > 0 { n_rows * self.flag_bytes } else { 0 }];
        for (key, input) in self.columns.iter().zip(&inputs) {
            key.write(input, &mut keys);
            if let (Some(float), KeyKind::Float(width)) = (key.float, &key.kind) {
                note_negative_zeros(input, *width, float, self.flag_bytes, &mut flags);
            }
        }
        let first = place(sequence, 0);
        let flag_bytes = self.flag_bytes;
        for (idx, end) in keys.ends.iter_mut().enumerate() {
            let place = match rows {
                None => first | (idx as u64).min((1 << 16) - 1),
                Some(rows) => place(sequence, rows[idx] as usize),
            };
            keys.bytes[*end..*end + PLACE_BYTES].copy_from_slice(&place.to_be_bytes());
            *end += PLACE_BYTES;
            if flag_bytes > 0 {
                keys.bytes[*end..*end + flag_bytes].copy_from_slice(&flags[idx * flag_bytes..][..flag_bytes]);
                *end += flag_bytes;
            }
        }
        Ok(keys)
    }

    /// Makes room for the keys. `ends` are where the keys start, to be moved on while they are written.
    fn place_keys(&self, inputs: &[Input], n_rows: usize, stride: usize) -> Keys {
        let tail = PLACE_BYTES + self.flag_bytes;
        let mut keys = Keys::default();
        if self.fixed_bytes.is_some_and(|bytes| bytes + tail <= stride) {
            keys.starts.extend((0..n_rows).map(|idx| idx * stride));
            keys.bytes.resize(n_rows * stride, 0);
        } else {
            let mut lens = vec![tail; n_rows];
            inputs.iter().zip(&self.columns).for_each(|(input, key)| key.add_lens(input, &mut lens));
            if lens.iter().all(|&len| len <= stride) {
                keys.starts.extend((0..n_rows).map(|idx| idx * stride));
                keys.bytes.resize(n_rows * stride, 0);
            } else {
                let mut end = 0;
                keys.starts.extend(lens.iter().map(|len| {
                    end += len;
                    end - len
                }));
                keys.bytes.resize(end, 0);
            }
        }
        keys.ends.extend_from_slice(&keys.starts);
        keys
    }
}

impl KeyKind {
    fn of(data_type: &DataType, options: SortOptions) -> Result<Self> {
        use DataType::*;
        Ok(match data_type {
            Null => KeyKind::Null,
            Boolean => KeyKind::Bool,
            UInt8 | UInt16 | UInt32 | UInt64 => KeyKind::Unsigned(data_type.primitive_width().unwrap_or(8)),
            Float16 | Float32 | Float64 => KeyKind::Float(data_type.primitive_width().unwrap_or(8)),
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => KeyKind::Bytes,
            Interval(IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => Self::encoded(data_type, options)?,
            other => match other.primitive_width() {
                Some(width) => KeyKind::Signed(width),
                None => Self::encoded(data_type, options)?,
            },
        })
    }

    fn encoded(data_type: &DataType, options: SortOptions) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new_with_options(data_type.clone(), options)])
            .map_err(|error| Error::query(format!("cannot order by a value of type {data_type}: {error}")))?;
        Ok(KeyKind::Encoded(Box::new(converter)))
    }

    /// Bytes of a value and its first byte, unless they vary.
    fn fixed_bytes(&self) -> Option<usize> {
        match self {
            KeyKind::Null => Some(0),
            KeyKind::Bool => Some(2),
            KeyKind::Unsigned(width) | KeyKind::Signed(width) | KeyKind::Float(width) => Some(1 + width),
            KeyKind::Bytes | KeyKind::Encoded(_) => None,
        }
    }

    /// Whether values can be read back from the key.
    pub(super) fn is_decodable(&self) -> bool {
        !matches!(self, KeyKind::Encoded(_))
    }
}

impl KeyColumn {
    /// The first byte of a NULL.
    pub(super) fn null_byte(&self) -> u8 {
        if self.nulls_first { NULL_FIRST } else { NULL_LAST }
    }

    /// What every byte but the first is combined with.
    pub(super) fn inversion(&self) -> u8 {
        if self.descending { 0xFF } else { 0 }
    }

    /// Adds the length of each row's value to `lens`.
    fn add_lens(&self, input: &Input, lens: &mut [usize]) {
        if let Some(bytes) = self.kind.fixed_bytes() {
            lens.iter_mut().for_each(|len| *len += bytes);
            return;
        }
        let Input::Strings { offsets, data, nulls } = input else { return };
        let is_valid = |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        if matches!(self.kind, KeyKind::Encoded(_)) {
            for (row, len) in lens.iter_mut().enumerate() {
                *len += 1 + if is_valid(row) { offsets.range(row).len() } else { 0 };
            }
        } else if has_zero(&data[offsets.all()]) {
            for (row, len) in lens.iter_mut().enumerate() {
                let escaped = |value: &[u8]| 1 + value.len() + value.iter().filter(|&&byte| byte == 0).count();
                *len += 1 + if is_valid(row) { escaped(&data[offsets.range(row)]) } else { 0 };
            }
        } else {
            for (row, len) in lens.iter_mut().enumerate() {
                *len += 1 + if is_valid(row) { 1 + offsets.range(row).len() } else { 0 };
            }
        }
    }

    fn write(&self, input: &Input, keys: &mut Keys) {
        match (input, &self.kind) {
            (Input::Null, _) => {}
            (Input::Bool(array), _) => {
                let value = |row: usize| array.is_valid(row).then(|| [u8::from(array.value(row))]);
                self.write_fixed(keys, value);
            }
            (Input::Fixed { values, nulls }, KeyKind::Unsigned(width)) => match width {
                1 => self.write_numbers(keys, values, nulls.as_ref(), |value: [u8; 1]| value),
                2 => self.write_numbers(keys, values, nulls.as_ref(), reversed::<2>),
                4 => self.write_numbers(keys, values, nulls.as_ref(), reversed::<4>),
                _ => self.write_numbers(keys, values, nulls.as_ref(), reversed::<8>),
            },
            (Input::Fixed { values, nulls }, KeyKind::Signed(width)) => match width {
                1 => self.write_numbers(keys, values, nulls.as_ref(), signed::<1>),
                2 => self.write_numbers(keys, values, nulls.as_ref(), signed::<2>),
                4 => self.write_numbers(keys, values, nulls.as_ref(), signed::<4>),
                8 => self.write_numbers(keys, values, nulls.as_ref(), signed::<8>),
                16 => self.write_numbers(keys, values, nulls.as_ref(), signed::<16>),
                _ => self.write_numbers(keys, values, nulls.as_ref(), signed::<32>),
            },
            (Input::Fixed { values, nulls }, _) => match values.len() / keys.len().max(1) {
                2 => self.write_numbers(keys, values, nulls.as_ref(), |value| {
                    (ordered(u64::from(u16::from_le_bytes(value)), 16, 0x7C00, 0x7E00) as u16).to_be_bytes()
                }),
                4 => self.write_numbers(keys, values, nulls.as_ref(), |value| {
                    ordered_f32(u32::from_le_bytes(value)).to_be_bytes()
                }),
                _ => self.write_numbers(keys, values, nulls.as_ref(), |value| {
                    ordered_f64(u64::from_le_bytes(value)).to_be_bytes()
                }),
            },
            (Input::Strings { offsets, data, nulls }, KeyKind::Encoded(_)) => {
                self.write_strings(keys, offsets, data, nulls.as_ref(), |place, value| {
                    place[..value.len()].copy_from_slice(value);
                    value.len()
                });
            }
            (Input::Strings { offsets, data, nulls }, _) if has_zero(&data[offsets.all()]) => {
                self.write_strings(keys, offsets, data, nulls.as_ref(), write_escaped);
            }
            (Input::Strings { offsets, data, nulls }, _) => {
                self.write_strings(keys, offsets, data, nulls.as_ref(), |place, value| {
                    place[..value.len()].copy_from_slice(value);
                    place[value.len()] = 0;
                    value.len() + 1
                });
            }
        }
    }

    fn write_numbers<const W: usize>(
        &self,
        keys: &mut Keys,
        values: &Buffer,
        nulls: Option<&NullBuffer>,
        encode: impl Fn([u8; W]) -> [u8; W],
    ) {
        let values = values.as_slice().as_chunks::<W>().0;
        match nulls {
            None => self.write_fixed(keys, |row| Some(encode(values[row]))),
            Some(nulls) => self.write_fixed(keys, |row| nulls.is_valid(row).then(|| encode(values[row]))),
        }
    }

    #[inline(always)]
    fn write_fixed<const W: usize>(&self, keys: &mut Keys, value: impl Fn(usize) -> Option<[u8; W]>) {
        let (null, inversion) = (self.null_byte(), self.inversion());
        let bytes = &mut keys.bytes[..];
        for (row, end) in keys.ends.iter_mut().enumerate() {
            let place = &mut bytes[*end..*end + 1 + W];
            match value(row) {
                Some(value) => {
                    place[0] = VALUE;
                    place[1..].copy_from_slice(&value.map(|byte| byte ^ inversion));
                }
                None => place[0] = null,
            }
            *end += 1 + W;
        }
    }

    /// `write` puts a value into its place, which is long enough, and returns how long it was.
    #[inline(always)]
    fn write_strings(
        &self,
        keys: &mut Keys,
        offsets: &Offsets,
        data: &[u8],
        nulls: Option<&NullBuffer>,
        write: impl Fn(&mut [u8], &[u8]) -> usize,
    ) {
        // `arrow-row` has already seen to the direction.
        let inverted = self.descending && self.kind.is_decodable();
        let null = self.null_byte();
        for (row, end) in keys.ends.iter_mut().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                keys.bytes[*end] = null;
                *end += 1;
                continue;
            }
            let place = &mut keys.bytes[*end..];
            place[0] = VALUE;
            let len = write(&mut place[1..], &data[offsets.range(row)]);
            if inverted {
                place[1..=len].iter_mut().for_each(|byte| *byte = !*byte);
            }
            *end += 1 + len;
        }
    }
}

fn write_escaped(place: &mut [u8], value: &[u8]) -> usize {
    let mut len = 0;
    for &byte in value {
        place[len] = byte;
        len += 1;
        if byte == 0 {
            place[len] = 0xFF;
            len += 1;
        }
    }
    place[len] = 0;
    len + 1
}

fn has_zero(bytes: &[u8]) -> bool {
    bytes.contains(&0)
}

fn reversed<const W: usize>(mut value: [u8; W]) -> [u8; W] {
    value.reverse();
    value
}

fn signed<const W: usize>(value: [u8; W]) -> [u8; W] {
    let mut value = reversed(value);
    value[0] ^= 0x80;
    value
}

#[inline(always)]
pub(super) fn ordered_f32(bits: u32) -> u32 {
    ordered(u64::from(bits), 32, 0x7F80_0000, 0x7FC0_0000) as u32
}

#[inline(always)]
pub(super) fn ordered_f64(bits: u64) -> u64 {
    ordered(bits, 64, 0x7FF0 << 48, 0x7FF8 << 48)
}

/// The bits of a float of `n_bits` as an unsigned number of the same order: -0.0 is 0.0, and NaN (anything beyond
/// `infinity`) is the largest.
#[inline(always)]
fn ordered(bits: u64, n_bits: u32, infinity: u64, nan: u64) -> u64 {
    let sign = 1u64 << (n_bits - 1);
    let magnitude = bits & (sign - 1);
    if magnitude > infinity {
        return nan | sign;
    }
    if bits & sign == 0 || magnitude == 0 { magnitude | sign } else { !bits & (sign | (sign - 1)) }
}
