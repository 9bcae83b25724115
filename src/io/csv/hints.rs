//! Columns that are read as text although their values look like numbers or dates in another form.
//!
//! Nothing is changed by what is found here: only the user knows whether `1,5` is a number and `01/02/2024` a day in
//! January. It is told where someone asks what a file is like.

use super::infer::Guess;

/// What the value that made a column text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LooksLike {
    DecimalComma,
    /// A date of this form; `None` where day and month cannot be told.
    Date(Option<&'static str>),
}

impl LooksLike {
    /// The look of the field that turned a column from `before` into text.
    pub(super) fn of(field: &[u8], before: Guess) -> Option<LooksLike> {
        let text = field.trim_ascii();
        let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
        match before {
            Guess::Nothing | Guess::Integer { .. } if is_comma_number(text) => Some(LooksLike::DecimalComma),
            Guess::Nothing => date_form(text).map(LooksLike::Date),
            _ => None,
        }
    }

    /// What to tell of column `name`.
    pub(super) fn hint(self, name: &str) -> String {
        match self {
            LooksLike::DecimalComma => {
                format!("column {name:?} looks like numbers with decimal commas and is text: --decimal-comma")
            }
            LooksLike::Date(Some(form)) => {
                format!("column {name:?} looks like dates and is text: --date-format {form}")
            }
            LooksLike::Date(None) => format!(
                "column {name:?} looks like dates and is text: --date-format with %d and %m in the order of the file, as \
                 in %d.%m.%Y"
            ),
        }
    }
}

/// `1,5`, but not `1,234`, which may be a thousand.
fn is_comma_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let Some(comma) = text.iter().position(|&byte| byte == b',') else { return false };
    let (before, behind) = (&text[..comma], &text[comma + 1..]);
    let are_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    are_digits(before) && are_digits(behind) && behind.len() != 3
}

/// The form of a date such as `31.12.2024`; the inner `None` where both numbers may be the month.
fn date_form(text: &[u8]) -> Option<Option<&'static str>> {
    let separator = *text.iter().find(|byte| !byte.is_ascii_digit())?;
    let parts: Vec<&[u8]> = text.split(|byte| *byte == separator).collect();
    let [first, second, year] = parts[..] else { return None };
    let number = |part: &[u8]| std::str::from_utf8(part).ok()?.parse::<u32>().ok();
    if !matches!(separator, b'.' | b'/' | b'-') || first.len() > 2 || second.len() > 2 || year.len() != 4 {
        return None;
    }
    let (first, second, _) = (number(first)?, number(second)?, number(year)?);
    let form = match (separator, first, second) {
        (_, 1..=12, 1..=12) => None,
        (b'.', 13..=31, 1..=12) => Some("%d.%m.%Y"),
        (b'/', 13..=31, 1..=12) => Some("%d/%m/%Y"),
        (b'-', 13..=31, 1..=12) => Some("%d-%m-%Y"),
        (b'/', 1..=12, 13..=31) => Some("%m/%d/%Y"),
        (b'-', 1..=12, 13..=31) => Some("%m-%d-%Y"),
        _ => return None,
    };
    Some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_forms_are_told_and_guesses_are_not() {
        for (text, want) in [
            ("1,5", Some(LooksLike::DecimalComma)),
            ("\"-12,25\"", Some(LooksLike::DecimalComma)),
            ("1,234", None),
            ("a,b", None),
            ("31.12.2024", Some(LooksLike::Date(Some("%d.%m.%Y")))),
            ("12/31/2024", Some(LooksLike::Date(Some("%m/%d/%Y")))),
            ("1/2/2024", Some(LooksLike::Date(None))),
            ("31.31.2024", None),
            ("1.2.3", None),
            ("", None),
        ] {
            assert_eq!(LooksLike::of(text.as_bytes(), Guess::Nothing), want, "{text}");
        }
        assert_eq!(LooksLike::of(b"1/2/2024", Guess::Boolean), None);
    }
}
