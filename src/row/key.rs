//! Keys whose order is the order of their bytes, kept inside rows.
//!
//! A row keeps the first bytes of its key inline and what is longer in a slot. Keys are prefix-free, so the zeros behind a
//! short key never decide. Most bits of a key are the same in all rows: [`KeySpread`] learns which ones differ, and
//! [`Condenser`] packs the first 64 of those into one word that orders nearly all rows without looking at them again.
//!
//! Memory: none that grows.

use std::cmp::Ordering;

use super::layout::{Layout, Storage};
use super::pointer::{RowPtr, RowRef, read_u64, slot_bytes};

/// The most words of a key that are kept inline.
pub const MAX_KEY_WORDS: usize = 8;

/// The inline part of a key as words whose order is the key's order, zero behind its end.
type KeyWords = [u64; MAX_KEY_WORDS];

/// Two words of a key that tell roughly where in the key space it lies: all keys agree in the words before them.
pub type IndexKey = [u64; 2];

/// Where the rows of a layout keep their key.
#[derive(Debug, Clone, Copy)]
pub struct KeyField {
    at: usize,
    n_words: usize,
    rest_at: Option<usize>,
    /// The word at which index keys begin.
    index_from: usize,
}

impl KeyField {
    /// The key is in the fixed-size binary field `inline` of `layout`, and what is longer in the binary field `rest`.
    ///
    /// # Panics
    /// When the fields are not of these types, or `inline` is not a whole number of words up to [`MAX_KEY_WORDS`]: a
    /// mistake of the caller, not of the data.
    pub fn new(layout: &Layout, inline: usize, rest: Option<usize>) -> Self {
        let field = &layout.fields[inline];
        let Storage::Fixed(width) = field.storage else { panic!("a key is of fixed size") };
        assert!(width.is_multiple_of(8) && width <= MAX_KEY_WORDS * 8, "a key is a whole number of words");
        let rest_at = rest.map(|rest| {
            assert!(matches!(layout.fields[rest].storage, Storage::Slot), "the rest of a key is a slot");
            layout.fields[rest].offset
        });
        KeyField { at: field.offset, n_words: width / 8, rest_at, index_from: 0 }
    }

    /// Words of the inline part.
    pub fn n_words(&self) -> usize {
        self.n_words
    }

    /// The same key with index keys that begin where the keys of `spread` begin to differ.
    pub fn indexed_for(self, spread: &KeySpread) -> Self {
        KeyField { index_from: spread.n_constant_words().min(self.n_words - 1), ..self }
    }

    /// The bytes that keys with this index key begin with, among keys of this spread, as far as that tells them.
    pub fn prefix(&self, index: &IndexKey, spread: &KeySpread) -> Vec<u8> {
        let constant = spread.first.unwrap_or_default();
        let words = constant[..self.index_from].iter().chain(index);
        words.take(self.n_words).flat_map(|word| word.to_be_bytes()).collect()
    }

    /// The smallest index key of all keys that begin with the first `n_bytes` of those that this index key stands for;
    /// `None` when all keys with the spread that the index was made for begin so.
    pub fn cut_index(&self, index: &IndexKey, n_bytes: usize) -> Option<IndexKey> {
        let n_bytes = n_bytes.checked_sub(self.index_from * 8).filter(|&n_bytes| n_bytes > 0)?;
        let kept = |word: usize| match n_bytes.saturating_sub(word * 8) {
            0 => 0,
            kept @ 1..8 => u64::MAX << (64 - 8 * kept),
            _ => u64::MAX,
        };
        Some([index[0] & kept(0), index[1] & kept(1)])
    }

    /// Whether index keys tell the order of keys with this spread.
    pub fn can_index(&self, spread: &KeySpread) -> bool {
        self.index_from <= spread.n_constant_words()
    }

    /// The inline part of a row's key and what is longer; `row` is of the layout that the field was made for.
    #[inline(always)]
    pub fn bytes<'a>(&self, row: RowRef<'a>) -> (&'a [u8], &'a [u8]) {
        // SAFETY: the layout has the field and the slot at these places, and the row lives for 'a.
        unsafe {
            let inline = std::slice::from_raw_parts(row.ptr.add(self.at), self.n_words * 8);
            (inline, self.rest(row.ptr))
        }
    }

    /// # Safety
    /// `row` must be a live row of the layout that the field was made for; so for all that follow.
    #[inline(always)]
    unsafe fn rest<'a>(&self, row: RowPtr) -> &'a [u8] {
        // SAFETY: the caller's promise.
        self.rest_at.map_or(&[], |at| unsafe { slot_bytes(row, at) })
    }

    #[inline(always)]
    pub(super) unsafe fn word(&self, row: RowPtr, idx: usize) -> u64 {
        // SAFETY: the caller's promise.
        u64::from_be(unsafe { read_u64(row, self.at + idx * 8) })
    }

    unsafe fn words(&self, row: RowPtr) -> KeyWords {
        let mut words = [0; MAX_KEY_WORDS];
        for (idx, word) in words[..self.n_words].iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *word = unsafe { self.word(row, idx) };
        }
        words
    }

    pub(super) unsafe fn index_key(&self, row: RowPtr) -> IndexKey {
        // SAFETY: the caller's promise; `index_from` is below `n_words`.
        unsafe {
            let first = self.word(row, self.index_from);
            [first, if self.index_from + 1 < self.n_words { self.word(row, self.index_from + 1) } else { 0 }]
        }
    }

    /// The order of two whole keys.
    #[inline]
    pub(super) unsafe fn compare(&self, a: RowPtr, b: RowPtr) -> Ordering {
        for idx in 0..self.n_words {
            // SAFETY: the caller's promise, for both rows.
            let order = unsafe { self.word(a, idx).cmp(&self.word(b, idx)) };
            if order.is_ne() {
                return order;
            }
        }
        // SAFETY: as above.
        unsafe { self.rest(a).cmp(self.rest(b)) }
    }
}

/// Which bits of the inline keys of some rows are not the same in all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeySpread {
    first: Option<KeyWords>,
    differs: KeyWords,
}

impl KeySpread {
    /// Adds inline keys of `n_words` words each, as they stand in rows.
    pub fn add(&mut self, keys: &[u8], n_words: usize) {
        match n_words {
            1 => self.add_words::<1>(keys),
            2 => self.add_words::<2>(keys),
            3 => self.add_words::<3>(keys),
            4 => self.add_words::<4>(keys),
            5 => self.add_words::<5>(keys),
            6 => self.add_words::<6>(keys),
            7 => self.add_words::<7>(keys),
            _ => self.add_words::<MAX_KEY_WORDS>(keys),
        }
    }

    fn add_words<const N: usize>(&mut self, keys: &[u8]) {
        let words: &[[u8; 8]] = keys.as_chunks::<8>().0;
        let keys = words.as_chunks::<N>().0;
        let Some(head) = keys.first() else { return };
        let raw = |key: &[[u8; 8]; N]| key.map(u64::from_ne_bytes);
        let (head, mut differs) = (raw(head), [0u64; N]);
        for key in keys {
            let key = raw(key);
            for idx in 0..N {
                differs[idx] |= key[idx] ^ head[idx];
            }
        }
        let mut spread = KeySpread { first: Some([0; MAX_KEY_WORDS]), differs: [0; MAX_KEY_WORDS] };
        for idx in 0..N {
            spread.differs[idx] = u64::from_be(differs[idx]);
            if let Some(first) = &mut spread.first {
                first[idx] = u64::from_be(head[idx]);
            }
        }
        self.merge(&spread);
    }

    pub(super) unsafe fn of_rows(key: KeyField, rows: impl Iterator<Item = RowPtr>) -> Self {
        let mut spread = KeySpread::default();
        for row in rows {
            // SAFETY: the caller passes live rows of the key's layout.
            let words = unsafe { key.words(row) };
            let first = *spread.first.get_or_insert(words);
            for idx in 0..key.n_words {
                spread.differs[idx] |= first[idx] ^ words[idx];
            }
        }
        spread
    }

    /// Adds what another spread knows.
    pub fn merge(&mut self, other: &KeySpread) {
        let (Some(mine), Some(theirs)) = (self.first, other.first) else {
            if self.first.is_none() {
                *self = *other;
            }
            return;
        };
        for idx in 0..MAX_KEY_WORDS {
            self.differs[idx] |= other.differs[idx] | (mine[idx] ^ theirs[idx]);
        }
    }

    /// Whether all inline keys are the same.
    pub(super) fn is_constant(&self) -> bool {
        self.n_constant_words() == MAX_KEY_WORDS
    }

    /// How many words, from the front, are the same in all inline keys.
    fn n_constant_words(&self) -> usize {
        self.differs.iter().take_while(|&&word| word == 0).count()
    }
}

/// Packs the bits of a key that differ between rows into one word of the same order.
#[derive(Debug, Clone, Default)]
pub struct Condenser {
    /// Words, the bits to take from each, and how many those are; 64 in total at most.
    steps: Vec<(usize, u64, u32)>,
}

impl Condenser {
    /// For rows with this spread.
    pub fn new(spread: &KeySpread) -> Self {
        let mut left = u64::BITS;
        let mut steps = Vec::new();
        for (idx, &differs) in spread.differs.iter().enumerate() {
            let mut mask = differs;
            while mask.count_ones() > left {
                mask &= mask - 1;
            }
            if mask != 0 {
                steps.push((idx, mask, mask.count_ones()));
                left -= mask.count_ones();
            }
            if mask != differs || left == 0 {
                break;
            }
        }
        Condenser { steps }
    }

    /// Calls `take` with the condensed key of every row.
    ///
    /// # Safety
    /// Every pointer must be a live row of the key's layout.
    pub(super) unsafe fn condense(&self, key: KeyField, rows: &[RowPtr], take: impl FnMut(u64, RowPtr)) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("bmi2") {
            // SAFETY: the instructions exist, and the caller's promise.
            return unsafe { self.condense_with_pext(key, rows, take) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.condense_with(key, rows, take, extract) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi2")]
    unsafe fn condense_with_pext(&self, key: KeyField, rows: &[RowPtr], take: impl FnMut(u64, RowPtr)) {
        // SAFETY: the caller's promise, which includes the instruction.
        unsafe { self.condense_with(key, rows, take, |word, mask| std::arch::x86_64::_pext_u64(word, mask)) }
    }

    #[inline(always)]
    unsafe fn condense_with(
        &self,
        key: KeyField,
        rows: &[RowPtr],
        mut take: impl FnMut(u64, RowPtr),
        extract: impl Fn(u64, u64) -> u64,
    ) {
        for &row in rows {
            let mut condensed = 0u64;
            for &(idx, mask, n_bits) in &self.steps {
                // SAFETY: the caller's promise; steps only name words that the spread has seen.
                let word = unsafe { key.word(row, idx) };
                condensed = condensed.unbounded_shl(n_bits) | extract(word, mask);
            }
            take(condensed, row);
        }
    }
}

/// The bits of `word` under `mask`, packed to the right.
#[inline]
fn extract(word: u64, mut mask: u64) -> u64 {
    let (mut packed, mut at) = (0, 0);
    while mask != 0 {
        let start = mask.trailing_zeros();
        let len = (mask >> start).trailing_ones();
        let ones = u64::MAX >> (u64::BITS - len);
        packed |= (word >> start & ones) << at;
        at += len;
        mask &= !(ones << start);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracting_bits_keeps_their_order() {
        assert_eq!(extract(0b1011_0110, 0b1111_0000), 0b1011);
        assert_eq!(extract(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(extract(0b1010_1010, 0b1000_1010), 0b111);
        assert_eq!(extract(5, 0), 0);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("bmi2") {
            for n in 0..1000u64 {
                let (word, mask) = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n.wrapping_mul(0xD6E8_FEB8_6659_FD93));
                // SAFETY: the instruction exists.
                assert_eq!(extract(word, mask), unsafe { std::arch::x86_64::_pext_u64(word, mask) });
            }
        }
    }

    #[test]
    fn an_index_key_is_cut_to_the_bytes_that_count() {
        let key = KeyField { at: 0, n_words: 4, rest_at: None, index_from: 1 };
        let index = [0x0102_0304_0506_0708, 0x1112_1314_1516_1718];
        assert_eq!(key.cut_index(&index, 8), None);
        assert_eq!(key.cut_index(&index, 11), Some([0x0102_0300_0000_0000, 0]));
        assert_eq!(key.cut_index(&index, 16), Some([0x0102_0304_0506_0708, 0]));
        assert_eq!(key.cut_index(&index, 17), Some([0x0102_0304_0506_0708, 0x1100_0000_0000_0000]));
        assert_eq!(key.cut_index(&index, 24), Some(index));
        assert_eq!(key.cut_index(&index, 300), Some(index));
        let mut spread = KeySpread::default();
        spread.add(&[[7; 8], [1; 8], [2; 8], [3; 8]].concat(), 4);
        let prefix = key.prefix(&index, &spread);
        assert_eq!(prefix, [&[7; 8][..], &index[0].to_be_bytes(), &index[1].to_be_bytes()].concat());
    }

    #[test]
    fn a_condenser_takes_the_first_64_bits_that_differ() {
        let mut spread = KeySpread::default();
        let key = |high: u64, low: u64| [high.to_be_bytes(), low.to_be_bytes()].concat();
        spread.add(&key(7 << 32, u64::MAX), 2);
        spread.add(&key(6 << 32, 0), 2);
        let condenser = Condenser::new(&spread);
        assert_eq!(condenser.steps, [(0, 1 << 32, 1), (1, u64::MAX << 1, 63)]);
    }
}
