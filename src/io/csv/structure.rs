//! Which delimiters and newlines are structure and which are text: 64 bytes at a time, by quote parity.
//!
//! A quote opens a quoted field only at the start of a field (or doubles the quote before it); anywhere else in an
//! unquoted field it is an ordinary character, as in `12" vinyl`. Parity alone cannot know that, so a 64-byte chunk in
//! which a quote stands at an odd place is walked byte by byte. So is a chunk with comments, which are there only when
//! the user says how they begin.

use memchr::memchr;
use wide::u8x16;

/// Bytes that are looked at together.
pub(super) const CHUNK: usize = 64;

/// The quote of files without quoting: a byte that occurs in no UTF-8 text, and is an ordinary one where it occurs.
pub(super) const NO_QUOTE: u8 = 0xFF;

/// The bytes with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Between fields.
    pub(super) delimiter: u8,
    /// Around fields; [`NO_QUOTE`] for none.
    pub(super) quote: u8,
    /// What a line that is no record begins with.
    pub(super) comment: Comment,
}

impl Dialect {
    /// Whether `text` has bytes that may be quotes.
    pub(super) fn quotes_in(&self, text: &[u8]) -> bool {
        self.quote != NO_QUOTE && memchr(self.quote, text).is_some()
    }

    /// Whether more than quotes and newlines must be looked at to find records.
    pub(super) fn has_comments(&self) -> bool {
        self.comment.len > 0
    }
}

/// The start of a comment: a few bytes, or none where there are no comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Comment {
    bytes: [u8; Comment::MAX_BYTES],
    len: u8,
}

impl Comment {
    /// The longest start of a comment.
    pub(super) const MAX_BYTES: usize = 8;

    /// No comments.
    pub(super) const NONE: Comment = Comment { bytes: [0; Self::MAX_BYTES], len: 0 };

    /// Comments that begin with `text`; `None` when it is too long.
    pub(super) fn new(text: &[u8]) -> Option<Comment> {
        let mut comment = Comment { bytes: [0; Self::MAX_BYTES], len: u8::try_from(text.len()).ok()? };
        comment.bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(comment)
    }

    fn prefix(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether `byte` is part of it.
    pub(super) fn contains(&self, byte: u8) -> bool {
        self.prefix().contains(&byte)
    }

    /// Whether a line that begins like `line` is a comment.
    pub(super) fn begins(&self, line: &[u8]) -> bool {
        self.len > 0 && line.starts_with(self.prefix())
    }
}

/// What is known between two bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuoteState {
    /// Inside a quoted field.
    pub(super) in_quote: bool,
    /// A quote here would open a quoted field: a field starts here, or a quoted field has just been closed.
    pub(super) may_open: bool,
    /// Where there are comments: bytes of the start of one that the line so far consists of, or [`IN_COMMENT`] or
    /// [`IN_RECORD`]. Otherwise always 0.
    lead: u8,
}

/// The line is a comment.
const IN_COMMENT: u8 = 254;

/// The line is a record.
const IN_RECORD: u8 = 255;

impl QuoteState {
    /// The state at the start of a record.
    pub(super) const RECORD_START: QuoteState = QuoteState { in_quote: false, may_open: true, lead: 0 };

    /// The state at the end of a piece of text without comments and quotes.
    pub(super) fn behind_plain(last_byte: u8, dialect: Dialect) -> QuoteState {
        let may_open = last_byte == b'\n' || last_byte == dialect.delimiter;
        QuoteState { in_quote: false, may_open, lead: 0 }
    }
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
    /// All bits, or none when there is no quoting.
    quoting: u64,
    dialect: Dialect,
}

impl Matcher {
    pub(super) fn new(dialect: Dialect) -> Self {
        Matcher {
            delimiter: u8x16::splat(dialect.delimiter),
            newline: u8x16::splat(b'\n'),
            quote: u8x16::splat(dialect.quote),
            quoting: if dialect.quote == NO_QUOTE { 0 } else { !0 },
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
        masks.quotes &= self.quoting;
        masks
    }

    /// Delimiters and newlines outside quotes among the first `n` bytes of `chunk`, and the state after them.
    #[inline]
    pub(super) fn structure(&self, chunk: &[u8; CHUNK], n: usize, masks: Masks, state: &mut QuoteState) -> u64 {
        if self.dialect.has_comments() {
            return self.structure_with_comments(chunk, n, masks, state);
        }
        self.structure_of_records(chunk, n, masks, state)
    }

    #[inline(never)]
    fn structure_with_comments(&self, chunk: &[u8; CHUNK], n: usize, masks: Masks, state: &mut QuoteState) -> u64 {
        let may_begin = memchr(self.dialect.comment.bytes[0], &chunk[..n]).is_some();
        if may_begin || (1..=IN_COMMENT).contains(&state.lead) {
            return self.structure_bytewise(&chunk[..n], state);
        }
        let ends = self.structure_of_records(chunk, n, masks, state);
        let ends_line = (ends & masks.newlines) >> (n - 1) & 1 == 1;
        state.lead = if ends_line { 0 } else { IN_RECORD };
        ends
    }

    #[inline(always)]
    fn structure_of_records(&self, chunk: &[u8; CHUNK], n: usize, masks: Masks, state: &mut QuoteState) -> u64 {
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
        (state.in_quote, state.may_open) = (inside >> last & 1 == 1, (ends | closing) >> last & 1 == 1);
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
        if dialect.has_comments() {
            return self.step_with_comments(byte, dialect);
        }
        self.step_in_record(byte, dialect)
    }

    fn step_with_comments(&mut self, byte: u8, dialect: Dialect) -> bool {
        if self.lead == IN_COMMENT {
            if byte == b'\n' {
                *self = Self::RECORD_START;
            }
            return byte == b'\n';
        }
        let prefix = dialect.comment.prefix();
        if prefix.get(usize::from(self.lead)) == Some(&byte) {
            self.lead += 1;
            self.may_open = false;
            if usize::from(self.lead) == prefix.len() {
                self.lead = IN_COMMENT;
            }
            return false;
        }
        let ends = self.step_in_record(byte, dialect);
        self.lead = if ends && byte == b'\n' { 0 } else { IN_RECORD };
        ends
    }

    fn step_in_record(&mut self, byte: u8, dialect: Dialect) -> bool {
        if byte == dialect.quote && byte != NO_QUOTE {
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

    fn dialect(quote: u8, comment: &str) -> Dialect {
        Dialect { delimiter: b',', quote, comment: Comment::new(comment.as_bytes()).unwrap() }
    }

    fn bytewise(text: &[u8], dialect: Dialect) -> (Vec<usize>, QuoteState) {
        let mut state = QuoteState::RECORD_START;
        let ends = (0..text.len()).filter(|&idx| state.step(text[idx], dialect)).collect();
        (ends, state)
    }

    fn chunked(text: &[u8], dialect: Dialect) -> (Vec<usize>, QuoteState) {
        let mut padded = text.to_vec();
        padded.resize(text.len() + CHUNK, b'"');
        let (matcher, mut state, mut found) = (Matcher::new(dialect), QuoteState::RECORD_START, Vec::new());
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
            for dialect in [dialect(b'"', ""), dialect(NO_QUOTE, "")] {
                prop_assert_eq!(bytewise(text.as_bytes(), dialect), chunked(text.as_bytes(), dialect));
            }
        }

        #[test]
        fn masks_agree_with_a_walk_over_comments(text in "([a\",\n]{0,80}|\n#{1,3}[a,\"]{0,9}|#){0,6}") {
            for dialect in [dialect(b'"', "#"), dialect(b'"', "##"), dialect(NO_QUOTE, "##")] {
                prop_assert_eq!(bytewise(text.as_bytes(), dialect), chunked(text.as_bytes(), dialect));
            }
        }
    }

    #[test]
    fn comments_end_at_their_newline_whatever_they_hold() {
        let (ends, state) = bytewise(b"#a,\"\n1,#2\n##\n", dialect(b'"', "#"));
        assert_eq!((ends, state), (vec![4, 6, 9, 12], QuoteState::RECORD_START));
        let (ends, _) = bytewise(b"#a,b\n##a,b\n", dialect(b'"', "##"));
        assert_eq!(ends, [2, 4, 10]);
    }

    #[test]
    fn boundaries_are_outside_quotes() {
        let mut text = b"a,\"x\ny\"\nb\n\"open".to_vec();
        let len = text.len();
        text.resize(len + CHUNK, 0);
        let mut state = QuoteState::RECORD_START;
        let found = find_boundaries(&text, 0, len, dialect(b'"', ""), &mut state, false);
        assert_eq!(found, Boundaries { first: Some(8), last: Some(10) });
        assert!(state.in_quote);
    }
}
