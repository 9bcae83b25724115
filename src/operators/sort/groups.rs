//! Where the keys that rows are grouped by end inside an encoded key, so that no slice begins inside a group.
//!
//! A border between slices is an index key: 16 bytes from the middle of an encoded key. What comes before is the same in
//! all keys, so the beginning of the encoded key is known and can be read up to the end of the grouping keys. The border
//! is cut there, which makes it the start of its group: keys are prefix-free, so all rows of the group come after it and
//! all rows of earlier groups before it. Where the grouping keys go on behind the index key, a border is the same for all
//! rows of a group as it is.
//!
//! Nested keys are not read: a border is cut before them, which keeps more rows together than were asked for.
//! Memory: one key.

use super::SortState;
use super::encode::{KeyColumn, KeyEncoder, KeyKind, VALUE};
use crate::row::{IndexKey, KeyField, KeySpread};

impl SortState {
    /// The index key at which the group of a row with the index key `sample` starts; `None` when that is where all rows
    /// start. Without grouping keys every row is its own group.
    pub(super) fn group_start(&self, key: KeyField, spread: &KeySpread, sample: &IndexKey) -> Option<IndexKey> {
        match self.spec.n_grouping_keys {
            0 => Some(*sample),
            n_keys => {
                let prefix = key.prefix(sample, spread);
                key.cut_index(sample, self.encoder.grouping_bytes(&prefix, n_keys))
            }
        }
    }
}

impl KeyEncoder {
    /// Whether the encoded key tells rows of different groups by the first `n_keys` apart.
    pub(super) fn can_group_by(&self, n_keys: usize) -> bool {
        n_keys > 0 && self.columns.iter().take(n_keys).all(|column| column.kind.is_decodable())
    }

    /// Bytes of the first `n_keys` key columns in an encoded key that begins with `prefix`, as far as it tells them.
    pub(super) fn grouping_bytes(&self, prefix: &[u8], n_keys: usize) -> usize {
        let mut end = 0;
        for column in self.columns.iter().take(n_keys) {
            match prefix.get(end..).filter(|value| !value.is_empty()).and_then(|value| column.encoded_bytes(value)) {
                Some(bytes) => end += bytes,
                None => break,
            }
        }
        end
    }
}

impl KeyColumn {
    /// Bytes of the encoded value at the beginning of `value`, or all there are if it goes on; `None` for a nested value.
    fn encoded_bytes(&self, value: &[u8]) -> Option<usize> {
        match &self.kind {
            KeyKind::Null => Some(0),
            KeyKind::Bool => Some(2),
            KeyKind::Unsigned(width) | KeyKind::Signed(width) | KeyKind::Float(width) => Some(1 + width),
            KeyKind::Bytes if value[0] != VALUE => Some(1),
            KeyKind::Bytes => Some(1 + string_bytes(&value[1..], self.inversion())),
            KeyKind::Encoded(_) => None,
        }
    }
}

/// Bytes of a string with its end, or all there are.
fn string_bytes(value: &[u8], inversion: u8) -> usize {
    let mut at = 0;
    while let Some(zero) = value[at..].iter().position(|&byte| byte == inversion) {
        at += zero + 1;
        match value.get(at) {
            Some(&escaped) if escaped == !inversion => at += 1,
            _ => return at,
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::string_bytes;

    #[test]
    fn a_string_ends_at_a_zero_that_is_not_escaped() {
        assert_eq!(string_bytes(b"ab\0\x02", 0), 3);
        assert_eq!(string_bytes(b"ab\0", 0), 3);
        assert_eq!(string_bytes(b"a\0\xFFb\0\x01", 0), 5);
        assert_eq!(string_bytes(b"a\0\xFF", 0), 3);
        assert_eq!(string_bytes(b"abc", 0), 3);
        assert_eq!(string_bytes(b"\x9E\xFF\0\xFF\x02", 0xFF), 4);
    }
}
