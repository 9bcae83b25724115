//! The dull reader: one character at a time, no typing.

/// A field as the oracle sees it: `None` is NULL.
pub(super) type Field = Option<String>;

/// The rows of a text. Empty lines are no rows where a row has more than one field.
pub(super) fn read_rows(text: &str, delimiter: char, n_fields: usize) -> Vec<Vec<Field>> {
    let mut rows = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let mut row = Vec::new();
        loop {
            let (field, stop) = read_field(&mut chars, delimiter);
            row.push(field);
            if stop != Some(delimiter) {
                break;
            }
        }
        if n_fields == 1 || row != [None] {
            rows.push(row);
        }
    }
    rows
}

fn read_field(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, delimiter: char) -> (Field, Option<char>) {
    let mut text = String::new();
    let is_quoted = chars.next_if_eq(&'"').is_some();
    if is_quoted {
        while let Some(char) = chars.next() {
            if char == '"' && chars.next_if_eq(&'"').is_none() {
                break;
            }
            text.push(char);
        }
    }
    let (mut stop, n_quoted) = (None, text.len());
    for char in chars.by_ref() {
        if char == delimiter || char == '\n' {
            stop = Some(char);
            break;
        }
        text.push(char);
    }
    if stop != Some(delimiter) && text[n_quoted..].ends_with('\r') {
        text.pop();
    }
    ((is_quoted || !text.is_empty()).then_some(text), stop)
}

/// What the dull reader is told.
pub(super) struct Dialect {
    pub(super) delimiter: char,
    pub(super) quote: Option<char>,
    /// What a comment begins with; empty for none.
    pub(super) comment: String,
    pub(super) skip_rows: usize,
    pub(super) has_header: bool,
    pub(super) n_fields: usize,
}

/// The number of records of a text, good or bad, without the header.
pub(super) fn count_records(text: &str, dialect: &Dialect) -> usize {
    let mut rest = text;
    for _ in 0..dialect.skip_rows {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    let (mut n_records, mut has_begun) = (0, false);
    while !rest.is_empty() {
        if !dialect.comment.is_empty() && rest.starts_with(&dialect.comment) {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let end = record_end(rest, dialect);
        let record = rest[..end].trim_end_matches('\n');
        let is_empty = record.is_empty() || record == "\r";
        // Where rows have one field, an empty line is one, but not before the first.
        if !is_empty || (dialect.n_fields == 1 && has_begun) {
            n_records += 1;
            has_begun = true;
        }
        rest = &rest[end..];
    }
    n_records - usize::from(dialect.has_header && has_begun)
}

/// Behind the newline that ends the first record.
fn record_end(text: &str, dialect: &Dialect) -> usize {
    let (mut in_quotes, mut at_start, mut closed) = (false, true, false);
    for (idx, letter) in text.char_indices() {
        if Some(letter) == dialect.quote && (in_quotes || at_start || closed) {
            (closed, in_quotes, at_start) = (in_quotes, !in_quotes, false);
            continue;
        }
        if letter == '\n' && !in_quotes {
            return idx + 1;
        }
        (at_start, closed) = (letter == dialect.delimiter && !in_quotes, false);
    }
    text.len()
}
