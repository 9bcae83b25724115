//! How a page of rows is written to disk: byte by byte of the row, so that equal bytes lie together.
//!
//! Row order compresses badly. Here byte 0 of all rows comes first, then byte 1, and so on: each is a plane. Planes whose
//! bytes are all the same (high bytes of numbers, ends of short strings, validity) are one byte, which leaves about a third
//! of a usual row for the codec. The rows of 8 words are transposed as 8x8 byte blocks in registers.
//!
//! ```text
//! [header] [per word of a row: which of its 8 planes vary] [bytes of the others] [planes that vary] [heap of the page]
//! ```
//!
//! Memory: none beside the caller's buffer.

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

/// Rows longer than this have all their planes written, without masks: they are rare, a page holds few of them, and what
/// masks may add to a page is bounded by [`PageFormat::encode`].
const MAX_WORDS: usize = 64;

/// Which planes of a word vary: bit `n` for byte `n`.
type PlaneMask = u8;

impl PageFormat for RowPageFormat {
    fn encode(&self, page: &[u8], out: &mut Vec<u8>) {
        let header: PageHeader = bytemuck::pod_read_unaligned(&page[..HEADER_BYTES]);
        let rows_end = HEADER_BYTES + header.n_rows as usize * self.row_bytes;
        out.extend_from_slice(&page[..HEADER_BYTES]);
        encode_rows(&page[HEADER_BYTES..rows_end], self.row_bytes, out);
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
        if rows_end > heap_at || heap_at > page.len() {
            return Err(damaged());
        }
        page[..HEADER_BYTES].copy_from_slice(&encoded[..HEADER_BYTES]);
        let rows = &mut page[HEADER_BYTES..rows_end];
        let heap = decode_rows(&encoded[HEADER_BYTES..], self.row_bytes, rows).ok_or_else(damaged)?;
        if heap.len() != page.len() - heap_at {
            return Err(damaged());
        }
        page[heap_at..].copy_from_slice(heap);
        Ok(())
    }
}

/// Appends the masks, the constant bytes and the planes of `rows`: at most [`MAX_WORDS`] bytes more than the rows have,
/// because a constant byte stands for a whole plane.
fn encode_rows(rows: &[u8], row_bytes: usize, out: &mut Vec<u8>) {
    let n_rows = rows.len() / row_bytes;
    if n_rows == 0 {
        return;
    }
    let mut masks = [PlaneMask::MAX; MAX_WORDS];
    let n_words = row_bytes / 8;
    let is_masked = has_masks(row_bytes);
    if is_masked {
        find_varying(rows, row_bytes, &mut masks[..n_words]);
        out.extend_from_slice(&masks[..n_words]);
        for (word, &mask) in masks[..n_words].iter().enumerate() {
            out.extend((0..8).filter(|byte| mask >> byte & 1 == 0).map(|byte| rows[word * 8 + byte]));
        }
    }
    for word in 0..n_words {
        let mask = if is_masked { masks[word] } else { PlaneMask::MAX };
        let planes_at = out.len();
        out.resize(planes_at + mask.count_ones() as usize * n_rows, 0);
        word_to_planes(rows, row_bytes, word, mask, &mut out[planes_at..]);
    }
}

/// Whether the planes that do not vary are left out.
fn has_masks(row_bytes: usize) -> bool {
    row_bytes / 8 <= MAX_WORDS
}

/// Finds the planes that vary.
fn find_varying(rows: &[u8], row_bytes: usize, masks: &mut [PlaneMask]) {
    let n_words = row_bytes / 8;
    let mut differs = [0u64; MAX_WORDS];
    let words = rows.as_chunks::<8>().0;
    let (first, differs) = (&words[..n_words], &mut differs[..n_words]);
    for row in words.chunks_exact(n_words) {
        for ((differs, word), first) in differs.iter_mut().zip(row).zip(first) {
            *differs |= u64::from_le_bytes(*word) ^ u64::from_le_bytes(*first);
        }
    }
    for (mask, differs) in masks.iter_mut().zip(differs) {
        let bytes = differs.to_le_bytes();
        *mask = (0..8).fold(0, |mask, byte| mask | PlaneMask::from(bytes[byte] != 0) << byte);
    }
}

/// Rebuilds the rows; returns what follows them.
fn decode_rows<'a>(encoded: &'a [u8], row_bytes: usize, rows: &mut [u8]) -> Option<&'a [u8]> {
    let n_rows = rows.len() / row_bytes;
    if n_rows == 0 {
        return Some(encoded);
    }
    let n_words = row_bytes / 8;
    let (masks, mut rest) = match has_masks(row_bytes) {
        true => encoded.split_at_checked(n_words)?,
        false => (&[][..], encoded),
    };
    let n_varying: usize = masks.iter().map(|mask| mask.count_ones() as usize).sum();
    let mut constants = &[][..];
    if !masks.is_empty() {
        (constants, rest) = rest.split_at_checked(row_bytes - n_varying)?;
    }
    for word in 0..n_words {
        let mask = masks.get(word).copied().unwrap_or(PlaneMask::MAX);
        let (own, others) = constants.split_at_checked(mask.count_zeros() as usize)?;
        let (planes, behind) = rest.split_at_checked(mask.count_ones() as usize * n_rows)?;
        (constants, rest) = (others, behind);
        word_from_planes(planes, own, mask, word, row_bytes, rows);
    }
    Some(rest)
}

/// Writes the planes of one word of every row, those in `mask` only.
fn word_to_planes(rows: &[u8], row_bytes: usize, word: usize, mask: PlaneMask, planes: &mut [u8]) {
    let n_rows = rows.len() / row_bytes;
    let whole = n_rows / 8 * 8;
    let (bytes, n_planes) = bytes_of(mask);
    let bytes = &bytes[..n_planes];
    if bytes.is_empty() {
        return;
    }
    for first in (0..whole).step_by(8) {
        let block = transpose(std::array::from_fn(|idx| word_at(rows, (first + idx) * row_bytes + word * 8)));
        for (plane, &byte) in bytes.iter().enumerate() {
            let at = plane * n_rows + first;
            planes[at..at + 8].copy_from_slice(&block[byte & 7].to_le_bytes());
        }
    }
    for row in whole..n_rows {
        for (plane, &byte) in bytes.iter().enumerate() {
            planes[plane * n_rows + row] = rows[row * row_bytes + word * 8 + byte];
        }
    }
}

/// The inverse of [`word_to_planes`], with the bytes of the planes that are not in `mask`.
fn word_from_planes(planes: &[u8], constants: &[u8], mask: PlaneMask, word: usize, row_bytes: usize, rows: &mut [u8]) {
    let n_rows = rows.len() / row_bytes;
    let whole = n_rows / 8 * 8;
    let (bytes, n_planes) = bytes_of(mask);
    let bytes = &bytes[..n_planes];
    let (constant_bytes, _) = bytes_of(!mask);
    let mut constant = [0u8; 8];
    for (&byte, &value) in constant_bytes.iter().zip(constants) {
        constant[byte & 7] = value;
    }
    if bytes.is_empty() {
        rows.chunks_exact_mut(row_bytes).for_each(|row| row[word * 8..word * 8 + 8].copy_from_slice(&constant));
        return;
    }
    let splat = constant.map(|byte| u64::from(byte) * 0x0101_0101_0101_0101);
    for first in (0..whole).step_by(8) {
        let mut block = splat;
        for (plane, &byte) in bytes.iter().enumerate() {
            block[byte & 7] = word_at(planes, plane * n_rows + first);
        }
        for (idx, value) in transpose(block).into_iter().enumerate() {
            let at = (first + idx) * row_bytes + word * 8;
            rows[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    for row in whole..n_rows {
        let mut value = constant;
        for (plane, &byte) in bytes.iter().enumerate() {
            value[byte & 7] = planes[plane * n_rows + row];
        }
        rows[row * row_bytes + word * 8..][..8].copy_from_slice(&value);
    }
}

/// The bytes of a mask, and how many they are.
fn bytes_of(mask: PlaneMask) -> ([usize; 8], usize) {
    let (mut bytes, mut n) = ([0; 8], 0);
    for byte in (0..8).filter(|byte| mask >> byte & 1 == 1) {
        bytes[n] = byte;
        n += 1;
    }
    (bytes, n)
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

    /// Rows of `row_bytes` of which every byte in `varying` differs from row to row.
    fn rows(n_rows: usize, row_bytes: usize, varying: impl Fn(usize) -> bool) -> Vec<u8> {
        let byte = |row: usize, byte: usize| if varying(byte) { (row * 7 + byte * 13) % 251 } else { byte };
        (0..n_rows * row_bytes).map(|n| byte(n / row_bytes, n % row_bytes) as u8).collect()
    }

    fn check(n_rows: usize, row_bytes: usize, varying: impl Fn(usize) -> bool) -> usize {
        let rows = rows(n_rows, row_bytes, varying);
        let mut encoded = Vec::new();
        encode_rows(&rows, row_bytes, &mut encoded);
        let len = encoded.len();
        encoded.extend_from_slice(b"heap");
        let mut back = vec![0xAA; rows.len()];
        assert_eq!(decode_rows(&encoded, row_bytes, &mut back), Some(&b"heap"[..]));
        assert!(back == rows, "{n_rows} rows of {row_bytes} bytes");
        for cut in [1, len / 2, len] {
            let short = &encoded[..len - cut.min(len)];
            assert!(len == 0 || decode_rows(short, row_bytes, &mut back).is_none());
        }
        len
    }

    #[test]
    fn rows_turn_into_planes_and_back() {
        for n_rows in [0, 1, 7, 8, 9, 10, 16, 100] {
            for row_bytes in [8, 24, 512, 520] {
                check(n_rows, row_bytes, |_| true);
                check(n_rows, row_bytes, |_| false);
                check(n_rows, row_bytes, |byte| byte % 3 == 0);
            }
        }
    }

    #[test]
    fn planes_that_do_not_vary_are_one_byte() {
        assert_eq!(check(100, 24, |byte| byte < 5), 3 + 19 + 5 * 100);
        assert_eq!(check(100, 24, |_| true), 3 + 24 * 100);
    }
}
