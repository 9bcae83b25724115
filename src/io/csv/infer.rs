//! The types of columns, from a sample of their values.
//!
//! A guess only ever widens: integers to floats, dates to timestamps, anything else to text. Texts that a number would
//! not give back (`01234`, `+49`, digits beyond 2^53 among floats) make a column text.

use arrow::datatypes::{DataType, TimeUnit};

use super::column::NullTexts;
use super::dates::{parse_date, parse_timestamp};
use super::numbers::{parse_bool, parse_f64, parse_i64};
use super::strings::unquote;

/// The narrowest type that holds the values so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    /// No value yet, or only NULLs.
    Nothing,
    Boolean,
    /// `fits_float`: a double holds all of them.
    Integer {
        fits_float: bool,
    },
    Float,
    Date,
    /// `nanoseconds`: microseconds are not enough.
    Timestamp {
        zoned: bool,
        nanoseconds: bool,
    },
    Text,
}

impl Guess {
    /// The guess from one field as it stands in the file.
    pub(super) fn of(field: &[u8], quote: u8, nulls: &NullTexts) -> Guess {
        let is_quoted = field.first() == Some(&quote);
        let unquoted = if is_quoted { unquote(field, quote) } else { Some(field.into()) };
        let Some(whole) = unquoted else { return Guess::Text };
        let text = whole.trim_ascii();
        if nulls.contains(text) || (text.is_empty() && (whole.is_empty() || !is_quoted)) {
            return Guess::Nothing;
        }
        if parse_bool(text).is_some() {
            return Guess::Boolean;
        }
        if let Some(value) = parse_i64(text, text.len(), true) {
            return Guess::Integer { fits_float: value as f64 as i128 == i128::from(value) };
        }
        if parse_f64(text, text.len(), true).is_some() {
            return Guess::Float;
        }
        if parse_date(text).is_some() {
            return Guess::Date;
        }
        match parse_timestamp(text) {
            Some(at) => Guess::Timestamp { zoned: at.has_zone, nanoseconds: at.nanoseconds % 1000 != 0 },
            None => Guess::Text,
        }
    }

    /// The narrowest guess that covers both.
    pub(super) fn widen(self, other: Guess) -> Guess {
        use Guess::{Date, Float, Integer, Nothing, Text, Timestamp};
        match (self, other) {
            (same, also) if same == also => same,
            (Nothing, some) | (some, Nothing) => some,
            (Integer { fits_float: a }, Integer { fits_float: b }) => Integer { fits_float: a && b },
            (Integer { fits_float: true }, Float) | (Float, Integer { fits_float: true }) => Float,
            (Date, at @ Timestamp { zoned: false, .. }) | (at @ Timestamp { zoned: false, .. }, Date) => at,
            (Timestamp { zoned: a, nanoseconds: x }, Timestamp { zoned: b, nanoseconds: y }) if a == b => {
                Timestamp { zoned: a, nanoseconds: x || y }
            }
            _ => Text,
        }
    }

    /// Whether values of this kind are recognisable as something else than text.
    pub(super) fn is_typed(self) -> bool {
        !matches!(self, Guess::Nothing | Guess::Text)
    }

    /// The type to read the column as.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Guess::Nothing | Guess::Text => DataType::Utf8,
            Guess::Boolean => DataType::Boolean,
            Guess::Integer { .. } => DataType::Int64,
            Guess::Float => DataType::Float64,
            Guess::Date => DataType::Date32,
            Guess::Timestamp { zoned, nanoseconds } => {
                let unit = if nanoseconds { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
                DataType::Timestamp(unit, zoned.then(|| "UTC".into()))
            }
        }
    }
}

/// Whether the first row of a file names its columns: it does when some column is recognisably typed below and its
/// first field is not of that type. Where all columns are text, when the fields are distinct, not empty, and texts.
pub(super) fn looks_like_header(first: &[(String, Guess)], below: &[Guess]) -> bool {
    let pairs = || first.iter().map(|(_, guess)| *guess).zip(below.iter().copied());
    if below.iter().any(|guess| guess.is_typed()) {
        return pairs().any(|(top, rest)| rest.is_typed() && top != Guess::Nothing && top.widen(rest) != rest);
    }
    let mut names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.len() == first.len() && first.iter().all(|(_, guess)| *guess == Guess::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], want: DataType) {
        let nulls = NullTexts::new(&["NA".into()]);
        let guesses = values.iter().map(|value| Guess::of(value.as_bytes(), b'"', &nulls));
        assert_eq!(guesses.fold(Guess::Nothing, Guess::widen).data_type(), want, "{values:?}");
    }

    #[test]
    fn types_widen_and_nothing_is_lost() {
        check(&["1", "-2", "", "NA"], DataType::Int64);
        check(&["1", "2.5"], DataType::Float64);
        check(&["9007199254740993", "2.5"], DataType::Utf8);
        check(&["0.1234567890123456789", "2.5"], DataType::Utf8);
        check(&["01234", "12345"], DataType::Utf8);
        check(&["+4930", "1"], DataType::Utf8);
        check(&["99999999999999999999"], DataType::Utf8);
        check(&["true", "FALSE"], DataType::Boolean);
        check(&["true", "1"], DataType::Utf8);
        check(&["2024-01-31"], DataType::Date32);
        check(&["2024-01-31", "2024-01-31 10:00:00"], DataType::Timestamp(TimeUnit::Microsecond, None));
        check(&["2024-01-31T10:00Z"], DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
        check(&["2024-01-31T10:00Z", "2024-01-31T10:00"], DataType::Utf8);
        check(&["31/01/2024"], DataType::Utf8);
        check(&["", "NA"], DataType::Utf8);
        check(&["\"1\"", "\"\""], DataType::Int64);
    }

    #[test]
    fn headers_are_told_from_data() {
        let row = |fields: &[&str]| -> Vec<(String, Guess)> {
            let nulls = NullTexts::default();
            fields.iter().map(|field| (field.to_string(), Guess::of(field.as_bytes(), b'"', &nulls))).collect()
        };
        let (int, text) = (Guess::Integer { fits_float: true }, Guess::Text);
        assert!(looks_like_header(&row(&["id", "name"]), &[int, text]));
        assert!(!looks_like_header(&row(&["1", "name"]), &[int, text]));
        assert!(looks_like_header(&row(&["id", "name"]), &[text, text]));
        assert!(!looks_like_header(&row(&["x", "x"]), &[text, text]));
        assert!(!looks_like_header(&row(&["1", "2"]), &[Guess::Nothing, Guess::Nothing]));
    }
}
