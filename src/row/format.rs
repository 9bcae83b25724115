//! How a page of rows is written to disk: byte by byte of the row, so that equal bytes lie together.
//!
//! Row order compresses badly. Here byte 0 of all rows comes first, then byte 1, and so on; high bytes of numbers, counts
//! and the shared prefixes of strings become long equal runs that the codec removes. The rows of 8 words are transposed
//! as 8x8 byte blocks in registers. Memory: none beside the caller's buffer.

use std::sync::Arc;

use super::layout::Layout;
use super::page::{HEADER_BYTES, PageHeader};
use crate::error::{Error, Result};
use crate::memory::PageFormat;

/// The format of pages of one layout.
pub struct RowPageFormat {
    row_bytes: usize,
}

impl RowPageFormat {
    /// For pages of `layout`.
    pub fn new(layout: &Layout) -> Arc<Self> {
        Arc::new(RowPageFormat { row_bytes: layout.row_bytes })
    }
}

impl PageFormat for RowPageFormat {
    fn encode(&self, page: &[u8], out: &mut Vec<u8>) {
        let header: PageHeader = bytemuck::pod_read_unaligned(&page[..HEADER_BYTES]);
        let rows_end = HEADER_BYTES + header.n_rows as usize * self.row_bytes;
        out.extend_from_slice(&page[..HEADER_BYTES]);
        let planes_at = out.len();
        out.resize(planes_at + rows_end - HEADER_BYTES, 0);
        to_planes(&page[HEADER_BYTES..rows_end], self.row_bytes, &mut out[planes_at..]);
        out.extend_from_slice(&page[header.heap_at as usize..page.len()]);
    }

    fn decode(&self, encoded: &[u8], page: &mut [u8]) -> Result<()> {
        let damaged = || Error::disk("a spilled page of rows is damaged");
        let header: PageHeader = bytemuck::pod_read_unaligned(encoded.get(..HEADER_BYTES).ok_or_else(damaged)?);
        let rows_end = (header.n_rows as usize)
            .checked_mul(self.row_bytes)
            .and_then(|bytes| bytes.checked_add(HEADER_BYTES))
            .ok_or_else(damaged)?;
        let heap_at = header.heap_at as usize;
        let fits = rows_end <= heap_at && heap_at <= page.len() && encoded.len() == rows_end + page.len() - heap_at;
        if !fits {
            return Err(damaged());
        }
        page[..HEADER_BYTES].copy_from_slice(&encoded[..HEADER_BYTES]);
        from_planes(&encoded[HEADER_BYTES..rows_end], self.row_bytes, &mut page[HEADER_BYTES..rows_end]);
        page[heap_at..].copy_from_slice(&encoded[rows_end..]);
        Ok(())
    }
}

/// `rows` holds rows of `row_bytes`; `planes` gets byte 0 of every row, then byte 1, and so on.
fn to_planes(rows: &[u8], row_bytes: usize, planes: &mut [u8]) {
    let n_rows = rows.len() / row_bytes;
    let whole = n_rows / 8 * 8;
    for word in 0..row_bytes / 8 {
        for first in (0..whole).step_by(8) {
            let block = transpose(std::array::from_fn(|idx| word_at(rows, (first + idx) * row_bytes + word * 8)));
            for (byte, plane) in block.into_iter().enumerate() {
                let at = (word * 8 + byte) * n_rows + first;
                planes[at..at + 8].copy_from_slice(&plane.to_le_bytes());
            }
        }
    }
    for row in whole..n_rows {
        for byte in 0..row_bytes {
            planes[byte * n_rows + row] = rows[row * row_bytes + byte];
        }
    }
}

/// The inverse of [`to_planes`].
fn from_planes(planes: &[u8], row_bytes: usize, rows: &mut [u8]) {
    let n_rows = planes.len() / row_bytes;
    let whole = n_rows / 8 * 8;
    for word in 0..row_bytes / 8 {
        for first in (0..whole).step_by(8) {
            let block = transpose(std::array::from_fn(|byte| word_at(planes, (word * 8 + byte) * n_rows + first)));
            for (idx, value) in block.into_iter().enumerate() {
                let at = (first + idx) * row_bytes + word * 8;
                rows[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
    for row in whole..n_rows {
        for byte in 0..row_bytes {
            rows[row * row_bytes + byte] = planes[byte * n_rows + row];
        }
    }
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Transposes an 8x8 block of bytes (rows are little-endian words) by swapping ever larger sub-blocks; Hacker's Delight,
/// section 7-3, with bytes in place of bits. It is its own inverse.
#[inline(always)]
fn transpose(mut block: [u64; 8]) -> [u64; 8] {
    let mut swap = |a: usize, b: usize, shift: u32, mask: u64| {
        let difference = ((block[a] >> shift) ^ block[b]) & mask;
        block[b] ^= difference;
        block[a] ^= difference << shift;
    };
    for (a, b) in [(0, 1), (2, 3), (4, 5), (6, 7)] {
        swap(a, b, 8, 0x00FF_00FF_00FF_00FF);
    }
    for (a, b) in [(0, 2), (1, 3), (4, 6), (5, 7)] {
        swap(a, b, 16, 0x0000_FFFF_0000_FFFF);
    }
    for (a, b) in [(0, 4), (1, 5), (2, 6), (3, 7)] {
        swap(a, b, 32, 0x0000_0000_FFFF_FFFF);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_hold_one_byte_of_every_row_and_turn_back() {
        for n_rows in [0, 1, 7, 8, 9, 100] {
            let rows: Vec<u8> = (0..n_rows * 24).map(|n| (n * 7 % 251) as u8).collect();
            let mut planes = vec![0; rows.len()];
            to_planes(&rows, 24, &mut planes);
            for row in 0..n_rows {
                for byte in 0..24 {
                    assert_eq!(planes[byte * n_rows + row], rows[row * 24 + byte]);
                }
            }
            let mut back = vec![0; rows.len()];
            from_planes(&planes, 24, &mut back);
            assert_eq!(back, rows);
        }
    }
}
