//! The delimiter and the quote of a file, from its first rows.
//!
//! Nothing here is a matter of taste: a character is a delimiter only when it splits most rows into as many fields, and
//! `'` is a quote only when every row says so. What is not clear stays a comma and `"`.

use super::header::split;
use super::strings::unquote;
use super::structure::{Dialect, QuoteState};

/// Candidates in order of preference.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Characters that are taken only when all rows agree: those of Hive, of ASCII, and two that some databases use.
const RARE: [u8; 4] = [0x01, 0x1F, b'^', b'~'];

/// Rows that are looked at.
const N_ROWS: usize = 100;

/// What is known before looking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// With placeholders for what is not known.
    pub(super) dialect: Dialect,
    pub(super) has_delimiter: bool,
    pub(super) has_quote: bool,
    pub(super) decimal_comma: bool,
}

/// The dialect of a text that begins with `head`.
pub(super) fn sniff_dialect(head: &[u8], known: Known, is_whole_file: bool) -> Dialect {
    let with_delimiter = |quote: u8| {
        let mut dialect = Dialect { quote, ..known.dialect };
        if !known.has_delimiter {
            dialect.delimiter = sniff_delimiter(head, dialect, known.decimal_comma, is_whole_file);
        }
        dialect
    };
    let is_delimiter = known.has_delimiter && known.dialect.delimiter == b'\'';
    if !known.has_quote && !is_delimiter && head.contains(&b'\'') && !head.contains(&b'"') {
        let dialect = with_delimiter(b'\'');
        if is_quoted_throughout(&records(head, dialect, is_whole_file), dialect) {
            return dialect;
        }
    }
    with_delimiter(known.dialect.quote)
}

/// Whether all records but perhaps a header have a field in quotes, and no field has a quote at its start only.
fn is_quoted_throughout(records: &[&[u8]], dialect: Dialect) -> bool {
    let mut n_quoted = 0;
    for record in records {
        let mut fields = split(record, dialect).into_iter().filter(|field| field.first() == Some(&dialect.quote));
        let is_quoted = |field: &[u8]| unquote(field, dialect.quote).is_some();
        let first = fields.next();
        if first.into_iter().chain(fields).any(|field| !is_quoted(field)) {
            return false;
        }
        n_quoted += usize::from(first.is_some());
    }
    n_quoted >= 2 && n_quoted + 1 >= records.len()
}

/// The delimiter under which most of the first rows have as many fields as the very first, but more than one; or, where
/// lines stand before the header, as most others. A comma when there is none.
fn sniff_delimiter(head: &[u8], dialect: Dialect, decimal_comma: bool, is_whole_file: bool) -> u8 {
    let counts = |delimiter: u8| -> Vec<usize> {
        let dialect = Dialect { delimiter, ..dialect };
        records(head, dialect, is_whole_file).iter().map(|record| split(record, dialect).len()).collect()
    };
    let is_free = |byte: &u8| *byte != dialect.quote && !dialect.comment.contains(*byte);
    let steady = |candidates: &[u8], least: usize| {
        let mut best = ((0, 0), b',');
        for byte in candidates.iter().copied().filter(is_free) {
            let share = share_like_first(&counts(byte));
            if share > best.0 {
                best = (share, byte);
            }
        }
        (best.0.0 >= least).then_some(best.1)
    };
    if let Some(byte) = steady(&CANDIDATES, 1) {
        let has_other_use = byte == b',' && (decimal_comma || only_between_digits(head, dialect));
        return if has_other_use { steady(&CANDIDATES[1..], 100).unwrap_or(byte) } else { byte };
    }
    if let Some(byte) = steady(&RARE, 100) {
        return byte;
    }
    CANDIDATES.into_iter().filter(is_free).find(|byte| mostly_alike(&counts(*byte))).unwrap_or(b',')
}

/// How many in a hundred rows have as many fields as the first, and how many those are; nothing when it is one.
fn share_like_first(counts: &[usize]) -> (usize, usize) {
    match counts.first() {
        Some(&first) if first > 1 => (counts.iter().filter(|&&n| n == first).count() * 100 / counts.len(), first),
        _ => (0, 0),
    }
}

/// Whether four of five rows have the same number of fields, more than one.
fn mostly_alike(counts: &[usize]) -> bool {
    let Some(&last) = counts.last() else { return false };
    counts.len() >= 3 && last > 1 && counts.iter().filter(|&&n| n == last).count() * 5 >= counts.len() * 4
}

/// Whether commas stand between digits only, as in `1,5;2,5`.
fn only_between_digits(head: &[u8], dialect: Dialect) -> bool {
    let mut state = QuoteState::RECORD_START;
    let is_digit = |at: Option<usize>| at.and_then(|at| head.get(at)).is_some_and(u8::is_ascii_digit);
    head.iter().enumerate().all(|(idx, &byte)| {
        state.step(byte, dialect);
        byte != b',' || state.in_quote || (is_digit(idx.checked_sub(1)) && is_digit(Some(idx + 1)))
    })
}

/// The first records, without newlines, comments and empty lines.
fn records(head: &[u8], dialect: Dialect, is_whole_file: bool) -> Vec<&[u8]> {
    let (mut state, mut start, mut records) = (QuoteState::RECORD_START, 0, Vec::new());
    let is_record = |record: &[u8]| !record.trim_ascii().is_empty() && !dialect.comment.begins(record);
    for (idx, &byte) in head.iter().enumerate() {
        state.step(byte, dialect);
        if byte == b'\n' && !state.in_quote {
            let record = head[start..idx].strip_suffix(b"\r").unwrap_or(&head[start..idx]);
            if is_record(record) {
                records.push(record);
            }
            start = idx + 1;
        }
        if records.len() == N_ROWS {
            return records;
        }
    }
    if (is_whole_file || records.is_empty()) && is_record(&head[start..]) {
        records.push(&head[start..]);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::csv::structure::Comment;

    fn sniff(text: &str) -> (char, char) {
        let dialect = Dialect { delimiter: b',', quote: b'"', comment: Comment::new(b"#").unwrap() };
        let known = Known { dialect, has_delimiter: false, has_quote: false, decimal_comma: false };
        let found = sniff_dialect(text.as_bytes(), known, true);
        (found.delimiter.into(), found.quote.into())
    }

    #[test]
    fn the_delimiter_with_steady_rows_wins() {
        for (text, want) in [
            ("a,b\n1,2\n", ','),
            ("a;b\n1,5;2,5\n", ';'),
            ("1,5;2,5\n3,5;4,5\n", ';'),
            ("1,2\n3,4\n", ','),
            ("a\tb, c\n1\t2\n", '\t'),
            ("a|b\n1|2\n", '|'),
            ("\"x;y\",b\n\"1;2\",3\n", ','),
            ("a\u{1}b\n1\u{1}2\n", '\u{1}'),
            ("a^b\n1^2\n", '^'),
            ("2^8\nx\n", ','),
            ("a title\na;b\n1;2\n3;4\n5;6\n", ';'),
            ("# a,b,c\na;b\n#,,\n1;2\n", ';'),
            ("alone\n1\n", ','),
            ("a;b", ';'),
            ("", ','),
        ] {
            assert_eq!(sniff(text), (want, '"'), "{text:?}");
        }
    }

    #[test]
    fn single_quotes_are_quotes_when_every_row_has_them() {
        for (text, quote) in [
            ("a,b\n1,'x,y'\n2,'z'\n", '\''),
            ("'a';'b'\n'1';'2'\n", '\''),
            ("a,b\n1,'x'\n2,y\n3,z\n", '"'),
            ("a,b\n1,'tis\n2,'twas\n", '"'),
            ("a,b\n1,'x'\n2,\"y\"\n", '"'),
            ("a,b\n1,'x'\n", '"'),
        ] {
            assert_eq!(sniff(text).1, quote, "{text:?}");
        }
    }
}
