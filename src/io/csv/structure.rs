//! Which delimiters and newlines are structure and which are text: 64 bytes at a time, by quote parity.
//!
//! A quote opens a quoted field only at the start of a field (or doubles the quote before it); anywhere else in an
//! unquoted field it is an ordinary character, as in `12" vinyl`. Parity alone cannot know that, so a 64-byte chunk in
//! which a quote stands at an odd place is walked byte by byte.

use wide::u8x16;

/// Bytes that are looked at together.
pub(super) const CHUNK: usize = 64;

/// The bytes with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Between fields.
    pub(super) delimiter: u8,
    /// Around fields.
    pub(super) quote: u8,
}

/// What is known between two bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuoteState {
    /// Inside a quoted field.
    pub(super) in_quote: bool,
    /// A quote here would open a quoted field: a field starts here, or a quoted field has just been closed.
    pub(super) may_open: bool,
}

impl QuoteState {
    /// The state at the start of a record.
    pub(super) const RECORD_START: QuoteState = QuoteState { in_quote: false, may_open: true };
}

/// One bit a byte.
#[derive(Clone, Copy)]
pub(super) struct Masks {
    /// Delimiters and newlines.
    pub(super) ends: u64,
    /// Newlines.
    pub(super) newlines: u64,
    /// Quotes.
    pub(super) quotes: u64,
}

/// A dialect spread over vector registers.
#[derive(Clone, Copy)]
pub(super) struct Matcher {
    delimiter: u8x16,
    newline: u8x16,
    quote: u8x16,
    dialect: Dialect,
}

impl Matcher {
    pub(super) fn new(dialect: Dialect) -> Self {
        Matcher {
            delimiter: u8x16::splat(dialect.delimiter),
            newline: u8x16::splat(b'\n'),
            quote: u8x16::splat(dialect.quote),
            dialect,
        }
    }

    /// The masks of a chunk. Without `QUOTES` the mask of the quotes is empty.
    #[inline(always)]
    pub(super) fn masks<const QUOTES: bool>(&self, chunk: &[u8; CHUNK]) -> Masks {
        let mut masks = Masks { ends: 0, newlines: 0, quotes: 0 };
        let (parts, _) = chunk.as_chunks::<16>();
        for (part_idx, part) in parts.iter().enumerate() {
            let shift = part_idx * 16;
            let bytes = u8x16::new(*part);
            let newlines = bytes.simd_eq(self.newline);
            let ends = bytes.simd_eq(self.delimiter) | newlines;
            masks.ends |= u64::from(ends.to_bitmask()) << shift;
            masks.newlines |= u64::from(newlines.to_bitmask()) << shift;
            if QUOTES {
                masks.quotes |= u64::from(bytes.simd_eq(self.quote).to_bitmask()) << shift;
            }
        }
        masks
    }

    /// Delimiters and newlines outside quotes among the first `n` bytes of `chunk`, and the state after them.
    #[inline]
    pub(super) fn structure(&self, chunk: &[u8; CHUNK], n: usize, masks: Masks, state: &mut QuoteState) -> u64 {
        let last = n - 1;
        if masks.quotes == 0 {
            let ends = if state.in_quote { 0 } else { masks.ends };
            state.may_open = ends >> last & 1 == 1;
            return ends;
        }
        let inside = prefix_xor(masks.quotes) ^ if state.in_quote { !0 } else { 0 };
        let (opening, closing) = (masks.quotes & inside, masks.quotes & !inside);
        let ends = masks.ends & !inside;
        let may_open = (ends | closing) << 1 | u64::from(state.may_open);
        if opening & !may_open != 0 {
            return self.structure_bytewise(&chunk[..n], state);
        }
        *state = QuoteState { in_quote: inside >> last & 1 == 1, may_open: (ends | closing) >> last & 1 == 1 };
        ends
    }

    #[cold]
    fn structure_bytewise(&self, bytes: &[u8], state: &mut QuoteState) -> u64 {
        let mut ends = 0;
        for (idx, &byte) in bytes.iter().enumerate() {
            if state.step(byte, self.dialect) {
                ends |= 1 << idx;
            }
        }
        ends
    }
}

impl QuoteState {
    /// Goes over one byte; says whether it ends a field.
    pub(super) fn step(&mut self, byte: u8, dialect: Dialect) -> bool {
        if byte == dialect.quote {
            let opens = !self.in_quote && self.may_open;
            self.may_open = self.in_quote;
            self.in_quote = opens;
            return false;
        }
        let ends = !self.in_quote && (byte == dialect.delimiter || byte == b'\n');
        self.may_open = ends;
        ends
    }
}

/// Bit `i` is the parity of bits `0..=i`.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// The first and the last position just after a newline outside quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Boundaries {
    pub(super) first: Option<usize>,
    pub(super) last: Option<usize>,
}

/// Goes over `data[from..to]` for record boundaries only. `data` is readable for [`CHUNK`] bytes past `to`.
pub(super) fn find_boundaries(
    data: &[u8],
    from: usize,
    to: usize,
    dialect: Dialect,
    state: &mut QuoteState,
    stop_at_first: bool,
) -> Boundaries {
    let matcher = Matcher::new(dialect);
    let mut found = Boundaries::default();
    let mut at = from;
    while at < to {
        let Some(chunk) = data[at..].first_chunk::<CHUNK>() else { break };
        let n = CHUNK.min(to - at);
        let masks = clip(matcher.masks::<true>(chunk), n);
        let before = *state;
        let newlines = matcher.structure(chunk, n, masks, state) & masks.newlines;
        if newlines != 0 {
            let first = newlines.trailing_zeros() as usize;
            found.first.get_or_insert(at + first + 1);
            found.last = Some(at + CHUNK - newlines.leading_zeros() as usize);
            if stop_at_first {
                *state = before;
                chunk[..=first].iter().for_each(|&byte| _ = state.step(byte, dialect));
                return found;
            }
        }
        at += n;
    }
    found
}

/// Keeps the bits of the first `n` bytes.
#[inline(always)]
pub(super) fn clip(masks: Masks, n: usize) -> Masks {
    if n == CHUNK {
        return masks;
    }
    let keep = (1 << n) - 1;
    Masks { ends: masks.ends & keep, newlines: masks.newlines & keep, quotes: masks.quotes & keep }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIALECT: Dialect = Dialect { delimiter: b',', quote: b'"' };

    fn bytewise(text: &[u8]) -> (Vec<usize>, QuoteState) {
        let mut state = QuoteState::RECORD_START;
        let ends = (0..text.len()).filter(|&idx| state.step(text[idx], DIALECT)).collect();
        (ends, state)
    }

    fn chunked(text: &[u8]) -> (Vec<usize>, QuoteState) {
        let mut padded = text.to_vec();
        padded.resize(text.len() + CHUNK, b'"');
        let (matcher, mut state, mut found) = (Matcher::new(DIALECT), QuoteState::RECORD_START, Vec::new());
        for at in (0..text.len()).step_by(CHUNK) {
            let chunk = padded[at..].first_chunk::<CHUNK>().unwrap();
            let n = CHUNK.min(text.len() - at);
            let ends = matcher.structure(chunk, n, clip(matcher.masks::<true>(chunk), n), &mut state);
            found.extend((0..n).filter(|bit| ends >> bit & 1 == 1).map(|bit| at + bit));
        }
        (found, state)
    }

    proptest! {
        #[test]
        fn masks_agree_with_a_walk_over_the_bytes(text in "[a\",\n]{0,300}") {
            prop_assert_eq!(bytewise(text.as_bytes()), chunked(text.as_bytes()));
        }
    }

    #[test]
    fn boundaries_are_outside_quotes() {
        let mut text = b"a,\"x\ny\"\nb\n\"open".to_vec();
        let len = text.len();
        text.resize(len + CHUNK, 0);
        let mut state = QuoteState::RECORD_START;
        let found = find_boundaries(&text, 0, len, DIALECT, &mut state, false);
        assert_eq!(found, Boundaries { first: Some(8), last: Some(10) });
        assert!(state.in_quote);
    }
}
