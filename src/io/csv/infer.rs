//! The types of columns, from a sample of their values.
//!
//! A guess only ever widens: integers to floats, dates to timestamps, anything else to text. Texts that a number would
//! not give back (`01234`, `+49`, digits beyond 2^53 among floats) make a column text.

use arrow::datatypes::{DataType, TimeUnit};

use super::column::Forms;
use super::dates::{Timestamp, parse_date, parse_timestamp};
use super::numbers::{parse_bool, parse_f64, parse_f64_with_comma, parse_i64, parse_wide_integer};
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
    /// `custom`: in the form that the user spelt out.
    Date {
        custom: bool,
    },
    /// `nanoseconds`: microseconds are not enough.
    Timestamp {
        zoned: bool,
        nanoseconds: bool,
        custom: bool,
    },
    Text,
}

impl Guess {
    /// The guess from one field as it stands in the file.
    pub(super) fn of(field: &[u8], forms: &Forms) -> Guess {
        let is_quoted = field.first() == Some(&forms.quote);
        let unquoted = if is_quoted { unquote(field, forms.quote) } else { Some(field.into()) };
        let Some(whole) = unquoted else { return Guess::Text };
        let text = whole.trim_ascii();
        if forms.nulls.contains(text) || (text.is_empty() && (whole.is_empty() || !is_quoted)) {
            return Guess::Nothing;
        }
        if parse_bool(text).is_some() {
            return Guess::Boolean;
        }
        if let Some(value) = parse_i64(text, text.len(), true) {
            return Guess::Integer { fits_float: value as f64 as i128 == i128::from(value) };
        }
        let float = match forms.decimal_comma {
            false => parse_f64(text, text.len(), true),
            true => parse_f64_with_comma(text, true),
        };
        // A whole number that is too long for an integer is more likely an identifier than a measure.
        if float.is_some() && (text.starts_with(b"-0") || parse_wide_integer(text, true).is_none()) {
            return Guess::Float;
        }
        Self::of_time(text, forms)
    }

    /// What the user spelt out comes before ISO 8601, which it may look like.
    fn of_time(text: &[u8], forms: &Forms) -> Guess {
        let timestamp = |at: Timestamp, custom| Guess::Timestamp {
            zoned: at.has_zone,
            nanoseconds: at.nanoseconds % 1000 != 0,
            custom,
        };
        if forms.date.as_ref().is_some_and(|format| format.date(text).is_some()) {
            return Guess::Date { custom: true };
        }
        if let Some(at) = forms.timestamp.as_ref().and_then(|format| format.timestamp(text)) {
            return timestamp(at, true);
        }
        if parse_date(text).is_some() {
            return Guess::Date { custom: false };
        }
        parse_timestamp(text).map_or(Guess::Text, |at| timestamp(at, false))
    }

    /// The narrowest guess that covers both.
    pub(super) fn widen(self, other: Guess) -> Guess {
        use Guess::{Date, Float, Integer, Nothing, Text, Timestamp};
        match (self, other) {
            (same, also) if same == also => same,
            (Nothing, some) | (some, Nothing) => some,
            (Integer { fits_float: a }, Integer { fits_float: b }) => Integer { fits_float: a && b },
            (Integer { fits_float: true }, Float) | (Float, Integer { fits_float: true }) => Float,
            (Date { custom: false }, at @ Timestamp { zoned: false, custom: false, .. })
            | (at @ Timestamp { zoned: false, custom: false, .. }, Date { custom: false }) => at,
            (Timestamp { zoned: a, nanoseconds: x, custom: i }, Timestamp { zoned: b, nanoseconds: y, custom: j })
                if (a, i) == (b, j) =>
            {
                Timestamp { zoned: a, nanoseconds: x || y, custom: i }
            }
            _ => Text,
        }
    }

    /// Whether values of this kind are recognisable as something else than text.
    pub(super) fn is_typed(self) -> bool {
        !matches!(self, Guess::Nothing | Guess::Text)
    }

    /// Whether the values are in the form that the user spelt out.
    pub(super) fn is_custom(self) -> bool {
        matches!(self, Guess::Date { custom: true } | Guess::Timestamp { custom: true, .. })
    }

    /// The type to read the column as.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Guess::Nothing | Guess::Text => DataType::Utf8,
            Guess::Boolean => DataType::Boolean,
            Guess::Integer { .. } => DataType::Int64,
            Guess::Float => DataType::Float64,
            Guess::Date { .. } => DataType::Date32,
            Guess::Timestamp { zoned, nanoseconds, .. } => {
                let unit = if nanoseconds { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
                DataType::Timestamp(unit, zoned.then(|| "UTC".into()))
            }
        }
    }
}

/// Whether the first row of a file names its columns: it does when some column is recognisably typed below and its
/// first field is not of that type. Where all columns are text, when the fields are distinct, not empty, and texts. Rows
/// that are numbered from 0 (`starts_at_zero`) are a data frame's, whose numbers have no name.
pub(super) fn looks_like_header(first: &[(String, Guess)], below: &[Guess], starts_at_zero: bool) -> bool {
    if let ([(_, Guess::Nothing), named @ ..], [Guess::Integer { .. }, ..]) = (first, below)
        && starts_at_zero
        && are_names(named)
    {
        return true;
    }
    let pairs = || first.iter().map(|(_, guess)| *guess).zip(below.iter().copied());
    if below.iter().any(|guess| guess.is_typed()) {
        return pairs().any(|(top, rest)| rest.is_typed() && top != Guess::Nothing && top.widen(rest) != rest);
    }
    are_names(first)
}

/// Whether fields are distinct texts.
fn are_names(fields: &[(String, Guess)]) -> bool {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.len() == fields.len() && fields.iter().all(|(_, guess)| *guess == Guess::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::csv::column::NullTexts;
    use crate::io::csv::time_format::{TimeFormat, Use};

    fn forms() -> Forms {
        let nulls = NullTexts::new(&["NA".into()]);
        Forms { quote: b'"', nulls, decimal_comma: false, date: None, timestamp: None }
    }

    fn guess(values: &[&str], forms: &Forms) -> Guess {
        values.iter().map(|value| Guess::of(value.as_bytes(), forms)).fold(Guess::Nothing, Guess::widen)
    }

    fn check(values: &[&str], want: DataType) {
        assert_eq!(guess(values, &forms()).data_type(), want, "{values:?}");
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
        check(&["9223372036854775808", "1"], DataType::Utf8);
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
    fn forms_that_the_user_spells_out_are_recognised() {
        let date = TimeFormat::parse("%d.%m.%Y", Use::Date).unwrap();
        let timestamp = TimeFormat::parse("%Y-%d-%m %H:%M", Use::Timestamp).unwrap();
        let forms =
            Forms { date: Some(date.into()), timestamp: Some(timestamp.into()), decimal_comma: true, ..forms() };
        assert_eq!(guess(&["31.01.2024", ""], &forms), Guess::Date { custom: true });
        assert_eq!(guess(&["2024-01-31"], &forms), Guess::Date { custom: false });
        assert_eq!(guess(&["31.01.2024", "2024-01-31"], &forms), Guess::Text, "no guess which is meant");
        let custom = Guess::Timestamp { zoned: false, nanoseconds: false, custom: true };
        assert_eq!(guess(&["2024-05-06 10:00", "2024-31-01 11:00"], &forms), custom);
        assert_eq!(guess(&["1,5", "2"], &forms), Guess::Float);
        assert_eq!(guess(&["1.5"], &forms), Guess::Text);
    }

    #[test]
    fn headers_are_told_from_data() {
        let row = |fields: &[&str]| -> Vec<(String, Guess)> {
            fields.iter().map(|field| (field.to_string(), Guess::of(field.as_bytes(), &forms()))).collect()
        };
        let (int, text) = (Guess::Integer { fits_float: true }, Guess::Text);
        for (first, below, want) in [
            (&["id", "name"], [int, text], true),
            (&["1", "name"], [int, text], false),
            (&["id", "name"], [text, text], true),
            (&["x", "x"], [text, text], false),
            (&["1", "2"], [Guess::Nothing, Guess::Nothing], false),
            (&["", "name"], [int, text], false),
        ] {
            assert_eq!(looks_like_header(&row(first), &below, false), want, "{first:?}");
        }
        assert!(looks_like_header(&row(&["", "name"]), &[int, text], true));
        assert!(!looks_like_header(&row(&["", "1"]), &[int, int], true));
    }
}
