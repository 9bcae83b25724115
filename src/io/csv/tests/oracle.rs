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
