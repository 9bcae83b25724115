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
//! Memory: 48 bytes a word of a row, beside the caller's buffer.

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

/// What is known of one word of the rows of a page.
#[derive(Clone, Copy, Default)]
struct WordPlan {
    mask: PlaneMask,
    /// The bytes of `mask`, and how many they are.
    bytes: [u8; 8],
    n_planes: usize,
    /// Where its planes begin, in planes.
    first_plane: usize,
    /// The word with the bytes that do not vary.
    constant: [u8; 8],
}

/// The words of the rows of a page.
struct RowPlan {
    words: Vec<WordPlan>,
    n_planes: usize,
}

impl RowPlan {
    fn new(masks: impl Iterator<Item = PlaneMask>) -> Self {
        let mut n_planes = 0;
        let plan = |mask: PlaneMask| {
            let mut plan = WordPlan { mask, first_plane: n_planes, ..WordPlan::default() };
            for byte in (0..8).filter(|byte| mask >> byte & 1 == 1) {
                plan.bytes[plan.n_planes] = byte;
                plan.n_planes += 1;
            }
            n_planes += plan.n_planes;
            plan
        };
        let words = masks.map(plan).collect();
        RowPlan { words, n_planes }
    }
}

/// Appends the masks, the constant bytes and the planes of `rows`: at most [`MAX_WORDS`] bytes more than the rows have,
/// because a constant byte stands for a whole plane.
fn encode_rows(rows: &[u8], row_bytes: usize, out: &mut Vec<u8>) {
    let (n_rows, n_words) = (rows.len() / row_bytes, row_bytes / 8);
    if n_rows == 0 {
        return;
    }
    let mut masks = [PlaneMask::MAX; MAX_WORDS];
    if has_masks(row_bytes) {
        find_varying(rows, row_bytes, &mut masks[..n_words]);
        out.extend_from_slice(&masks[..n_words]);
        for (word, &mask) in masks[..n_words].iter().enumerate() {
            out.extend((0..8).filter(|byte| mask >> byte & 1 == 0).map(|byte| rows[word * 8 + byte]));
        }
    }
    let plan = RowPlan::new((0..n_words).map(|word| masks.get(word).copied().unwrap_or(PlaneMask::MAX)));
    let planes_at = out.len();
    out.resize(planes_at + plan.n_planes * n_rows, 0);
    to_planes(rows, row_bytes, &plan, &mut out[planes_at..]);
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
    let (n_rows, n_words) = (rows.len() / row_bytes, row_bytes / 8);
    if n_rows == 0 {
        return Some(encoded);
    }
    let (masks, mut rest) = match has_masks(row_bytes) {
        true => encoded.split_at_checked(n_words)?,
        false => (&[][..], encoded),
    };
    let mut plan = RowPlan::new((0..n_words).map(|word| masks.get(word).copied().unwrap_or(PlaneMask::MAX)));
    for word in &mut plan.words {
        let (constants, behind) = rest.split_at_checked(8 - word.n_planes)?;
        rest = behind;
        let bytes = (0..8).filter(|byte| word.mask >> byte & 1 == 0);
        bytes.zip(constants).for_each(|(byte, &value)| word.constant[byte] = value);
    }
    let (planes, behind) = rest.split_at_checked(plan.n_planes * n_rows)?;
    from_planes(planes, row_bytes, &plan, rows);
    Some(behind)
}

/// Writes the planes of `plan`: eight rows at a time, so that they are in the first-level cache for all their words.
fn to_planes(rows: &[u8], row_bytes: usize, plan: &RowPlan, planes: &mut [u8]) {
    let n_rows = rows.len() / row_bytes;
    for (number, eight) in rows.chunks_exact(8 * row_bytes).enumerate() {
        for (idx, word) in plan.words.iter().enumerate() {
            if word.n_planes == 0 {
                continue;
            }
            let block = transpose(std::array::from_fn(|row| word_at(eight, row * row_bytes + idx * 8)));
            let mut at = word.first_plane * n_rows + number * 8;
            for &byte in &word.bytes[..word.n_planes] {
                planes[at..at + 8].copy_from_slice(&block[usize::from(byte & 7)].to_le_bytes());
                at += n_rows;
            }
        }
    }
    for row in n_rows / 8 * 8..n_rows {
        for (idx, word) in plan.words.iter().enumerate() {
            for (plane, &byte) in word.bytes[..word.n_planes].iter().enumerate() {
                planes[(word.first_plane + plane) * n_rows + row] = rows[row * row_bytes + idx * 8 + usize::from(byte)];
            }
        }
    }
}

/// The inverse of [`to_planes`].
fn from_planes(planes: &[u8], row_bytes: usize, plan: &RowPlan, rows: &mut [u8]) {
    let n_rows = rows.len() / row_bytes;
    for (number, eight) in rows.chunks_exact_mut(8 * row_bytes).enumerate() {
        for (idx, word) in plan.words.iter().enumerate() {
            if word.n_planes == 0 {
                (0..8).for_each(|row| eight[row * row_bytes + idx * 8..][..8].copy_from_slice(&word.constant));
                continue;
            }
            let mut block = word.constant.map(|byte| u64::from(byte) * 0x0101_0101_0101_0101);
            let mut at = word.first_plane * n_rows + number * 8;
            for &byte in &word.bytes[..word.n_planes] {
                block[usize::from(byte & 7)] = word_at(planes, at);
                at += n_rows;
            }
            for (row, value) in transpose(block).into_iter().enumerate() {
                eight[row * row_bytes + idx * 8..][..8].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
    for row in n_rows / 8 * 8..n_rows {
        for (idx, word) in plan.words.iter().enumerate() {
            let mut value = word.constant;
            for (plane, &byte) in word.bytes[..word.n_planes].iter().enumerate() {
                value[usize::from(byte & 7)] = planes[(word.first_plane + plane) * n_rows + row];
            }
            rows[row * row_bytes + idx * 8..][..8].copy_from_slice(&value);
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
