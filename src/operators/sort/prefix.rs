//! Leaving out rows by the beginning of their first key column alone, before any key is made.
//!
//! Memory: a number per row of the batch that may be of interest.

use arrow::array::{Array, ArrayRef};

use super::encode::{KeyEncoder, KeyKind, VALUE, ordered_f32, ordered_f64};
use super::input::Input;
use crate::error::Result;

/// Bytes of a value that are looked at: with the byte for NULL they make a word.
const VALUE_BYTES: usize = 7;

impl KeyEncoder {
    /// The rows of a batch whose key may be at or below one that begins with `bound`; `None` when all may.
    pub(super) fn rows_up_to(&self, bound: u64, columns: &[ArrayRef]) -> Result<Option<Vec<u32>>> {
        let Some(first) = self.columns.first().filter(|_| bound != u64::MAX) else { return Ok(None) };
        let array = &columns[first.column];
        let input = first.input(array)?;
        let inverted = if first.descending { u64::MAX >> 8 } else { 0 };
        let null = u64::from(first.null_byte()) << 56;
        let search = Search { n_rows: array.len(), bound, inverted, null };
        Ok(match (&input, &first.kind) {
            (Input::Fixed { values, nulls }, KeyKind::Float(8)) => {
                let values = values.as_slice().as_chunks::<8>().0;
                search.rows(nulls.as_ref(), 8, |row| ordered_f64(u64::from_le_bytes(values[row])))
            }
            (Input::Fixed { values, nulls }, KeyKind::Float(4)) => {
                let values = values.as_slice().as_chunks::<4>().0;
                search.rows(nulls.as_ref(), 4, |row| u64::from(ordered_f32(u32::from_le_bytes(values[row]))) << 32)
            }
            (Input::Fixed { values, nulls }, KeyKind::Signed(8)) => {
                let values = values.as_slice().as_chunks::<8>().0;
                search.rows(nulls.as_ref(), 8, |row| u64::from_le_bytes(values[row]) ^ 1 << 63)
            }
            (Input::Fixed { values, nulls }, KeyKind::Signed(4)) => {
                let values = values.as_slice().as_chunks::<4>().0;
                search.rows(nulls.as_ref(), 4, |row| u64::from(u32::from_le_bytes(values[row]) ^ 1 << 31) << 32)
            }
            (Input::Fixed { values, nulls }, KeyKind::Unsigned(8)) => {
                let values = values.as_slice().as_chunks::<8>().0;
                search.rows(nulls.as_ref(), 8, |row| u64::from_le_bytes(values[row]))
            }
            (Input::Strings { offsets, data, nulls }, KeyKind::Bytes) => {
                let value = |row: usize| {
                    let value = &data[offsets.range(row)];
                    string_image(value, first.descending)
                };
                search.rows(nulls.as_ref(), VALUE_BYTES, value)
            }
            _ => return Ok(None),
        })
    }
}

/// The first bytes of a string as they begin its key, left-aligned and not yet inverted. What follows a string that is
/// shorter is the next key's; it is taken to be what no bound excludes, and so are strings that escapes would change.
fn string_image(value: &[u8], descending: bool) -> u64 {
    let mut image = if descending { [0xFF; 8] } else { [0; 8] };
    let len = value.len().min(VALUE_BYTES);
    image[..len].copy_from_slice(&value[..len]);
    image[len] = 0;
    match descending && value[..len].contains(&0) {
        true => u64::MAX,
        false => u64::from_be_bytes(image),
    }
}

struct Search {
    n_rows: usize,
    bound: u64,
    inverted: u64,
    null: u64,
}

impl Search {
    /// The rows that may be of interest, when `image` has the first `width` bytes of a value's key, left-aligned.
    #[inline(always)]
    fn rows(
        &self,
        nulls: Option<&arrow::buffer::NullBuffer>,
        width: usize,
        image: impl Fn(usize) -> u64,
    ) -> Option<Vec<u32>> {
        let mask = u64::MAX << (8 * (VALUE_BYTES - width.min(VALUE_BYTES)));
        let bound = self.bound & mask;
        let value = |row: usize| (u64::from(VALUE) << 56 | image(row) >> 8 ^ self.inverted) & mask;
        let mut rows = Vec::new();
        match nulls {
            None => collect(self.n_rows, |row| value(row) <= bound, &mut rows),
            Some(nulls) => {
                let null_admitted = self.null & mask <= bound;
                let admits = |row| if nulls.is_valid(row) { value(row) <= bound } else { null_admitted };
                collect(self.n_rows, admits, &mut rows);
            }
        }
        (rows.len() < self.n_rows).then_some(rows)
    }
}

/// Appends the rows that are admitted: 64 at a time are looked at without a branch.
#[inline(always)]
fn collect(n_rows: usize, admits: impl Fn(usize) -> bool, rows: &mut Vec<u32>) {
    let mut row = 0;
    while row < n_rows {
        let len = (n_rows - row).min(64);
        let mut hits = (0..len).fold(0u64, |hits, idx| hits | u64::from(admits(row + idx)) << idx);
        while hits != 0 {
            rows.push((row + hits.trailing_zeros() as usize) as u32);
            hits &= hits - 1;
        }
        row += len;
    }
}

#[cfg(test)]
mod tests {
    use super::string_image;

    #[test]
    fn what_follows_a_short_string_excludes_nothing() {
        assert_eq!(string_image(b"ab", false).to_be_bytes(), *b"ab\0\0\0\0\0\0");
        assert_eq!(string_image(b"ab", true).to_be_bytes(), *b"ab\0\xFF\xFF\xFF\xFF\xFF");
        assert_eq!(string_image(b"a\0", true), u64::MAX);
    }
}
