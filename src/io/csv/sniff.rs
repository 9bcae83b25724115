//! The delimiter of a file, from its first rows.

use super::structure::{Dialect, QuoteState};

/// Candidates in order of preference.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Rows that are looked at.
const N_ROWS: usize = 100;

/// The delimiter under which most of the first rows have as many fields as the very first, but more than one. A comma
/// when there is none.
pub(super) fn sniff_delimiter(head: &[u8], quote: u8, is_whole_file: bool) -> u8 {
    let score = |delimiter: u8| {
        let counts = count_fields(head, Dialect { delimiter, quote }, is_whole_file);
        match counts.first() {
            Some(&first) if first > 1 => (counts.iter().filter(|&&n| n == first).count() * 100 / counts.len(), first),
            _ => (0, 0),
        }
    };
    let mut best = (CANDIDATES[0], (0, 0));
    for delimiter in CANDIDATES {
        let candidate = score(delimiter);
        if candidate > best.1 {
            best = (delimiter, candidate);
        }
    }
    best.0
}

fn count_fields(head: &[u8], dialect: Dialect, is_whole_file: bool) -> Vec<usize> {
    let (mut state, mut n_fields, mut start, mut counts) = (QuoteState::RECORD_START, 0, 0, Vec::new());
    for (idx, &byte) in head.iter().enumerate() {
        n_fields += usize::from(state.step(byte, dialect));
        if byte == b'\n' && !state.in_quote {
            if !head[start..idx].trim_ascii().is_empty() {
                counts.push(n_fields);
            }
            (n_fields, start) = (0, idx + 1);
        }
        if counts.len() == N_ROWS {
            break;
        }
    }
    if start < head.len() && (is_whole_file || counts.is_empty()) && counts.len() < N_ROWS {
        counts.push(n_fields + 1);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_with_steady_rows_wins() {
        for (text, want) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n", b';'),
            ("a\tb, c\n1\t2\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("\"x;y\",b\n\"1;2\",3\n", b','),
            ("alone\n1\n", b','),
            ("a;b", b';'),
            ("", b','),
        ] {
            assert_eq!(sniff_delimiter(text.as_bytes(), b'"', true), want, "{text:?}");
        }
    }
}
