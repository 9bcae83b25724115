//! Hashing and comparing the keys of rows.
//!
//! Both work on the key's bytes as words: NULLs are zero and short strings are inline, so equal keys are equal words. Only
//! a string longer than 12 bytes needs a look at the heap. The hash folds 64x64-bit products, the construction of wyhash.

use super::layout::{INLINE_BYTES, Layout, SLOT_BYTES};
use super::pointer::{RowPtr, Rows, read_u64, slot_bytes, slot_len};

/// The hash of a row's key. The top bits choose the partition, the low bits the slot, the bits between are the salt.
pub type Hash = u64;

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const FOLD: u64 = 0xD6E8_FEB8_6659_FD93;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[inline(always)]
fn mix(state: u64, word: u64) -> u64 {
    fold(state ^ word, FOLD)
}

/// Hashes the keys of `rows` into `out`, which is cleared first.
pub fn hash_rows(layout: &Layout, rows: Rows<'_>, out: &mut Vec<Hash>) {
    out.clear();
    let n_words = layout.key_bytes / 8;
    // SAFETY: rows of this layout have `key_bytes` initialized bytes.
    unsafe {
        match (layout.n_key_slots, n_words) {
            (0, 0) => out.resize(rows.len(), fold(SEED, FOLD)),
            (0, 1) => out.extend(rows.ptrs.iter().map(|&row| finish(mix(SEED, read_u64(row, 0))))),
            (0, 2) => out.extend(rows.ptrs.iter().map(|&row| hash_words::<2>(row))),
            (0, 3) => out.extend(rows.ptrs.iter().map(|&row| hash_words::<3>(row))),
            (0, 4) => out.extend(rows.ptrs.iter().map(|&row| hash_words::<4>(row))),
            _ => out.extend(rows.ptrs.iter().map(|&row| hash_with_slots(row, layout.n_key_slots, n_words))),
        }
    }
}

#[inline(always)]
fn finish(state: u64) -> Hash {
    fold(state, SEED)
}

#[inline(always)]
unsafe fn hash_words<const N: usize>(row: RowPtr) -> Hash {
    let mut state = SEED;
    for word in 0..N {
        // SAFETY: the caller says that the key has N words.
        state = mix(state, unsafe { read_u64(row, word * 8) });
    }
    finish(state)
}

#[inline(always)]
unsafe fn hash_with_slots(row: RowPtr, n_slots: usize, n_words: usize) -> Hash {
    let mut state = SEED;
    for slot in 0..n_slots {
        let offset = slot * SLOT_BYTES;
        // SAFETY: the key begins with n_slots slots.
        unsafe {
            state = mix(state, read_u64(row, offset));
            if slot_len(row, offset) <= INLINE_BYTES {
                state = mix(state, read_u64(row, offset + 8));
            } else {
                state = hash_long(state, slot_bytes(row, offset));
            }
        }
    }
    for word in n_slots * 2..n_words {
        // SAFETY: the key has n_words words.
        state = mix(state, unsafe { read_u64(row, word * 8) });
    }
    finish(state)
}

fn hash_long(mut state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(state, u64::from_le_bytes(last))
}

/// Whether two rows have the same key.
///
/// # Safety
/// Both must be live rows of `layout`.
#[inline(always)]
pub(super) unsafe fn same_key(layout: &Layout, a: RowPtr, b: RowPtr) -> bool {
    // SAFETY: rows of this layout have `key_bytes` initialized bytes that begin with the key's slots.
    unsafe {
        let slots_end = layout.n_key_slots * SLOT_BYTES;
        let mut offset = slots_end;
        while offset < layout.key_bytes {
            if read_u64(a, offset) != read_u64(b, offset) {
                return false;
            }
            offset += 8;
        }
        (0..layout.n_key_slots).all(|slot| same_slot(a, b, slot * SLOT_BYTES))
    }
}

#[inline(always)]
unsafe fn same_slot(a: RowPtr, b: RowPtr, offset: usize) -> bool {
    // SAFETY: the caller passes the offset of a slot that both rows have.
    unsafe {
        if read_u64(a, offset) != read_u64(b, offset) {
            return false;
        }
        if slot_len(a, offset) <= INLINE_BYTES {
            return read_u64(a, offset + 8) == read_u64(b, offset + 8);
        }
        slot_bytes(a, offset) == slot_bytes(b, offset)
    }
}
