//! The types of fields, from the first rows.
//!
//! A guess only ever widens: integers to floats, nothing to anything. Kinds that have no common type (a number and a text)
//! are a conflict with a place, not a guess.
//!
//! Memory: one guess a field, of which there may be so many and no more.

use arrow::datatypes::{DataType, Field};

use super::column::fits_float;
use super::cursor::{Cursor, Kind};
use super::problem::{Problem, What};

/// Fields of one object beyond which it is taken for a map, which has no columns.
const MAX_FIELDS: usize = 4096;

/// The narrowest type that holds the values so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Guess {
    /// No value yet, or only NULLs.
    Nothing,
    Boolean,
    /// `fits_float`: a double holds all of them.
    Integer {
        fits_float: bool,
    },
    Float,
    /// Integers of more than 64 bits, integers that no double holds among floats, and fractions that no double holds: their
    /// digits are kept as text.
    Digits,
    Text,
    List(Box<Guess>),
    Object(Vec<(String, Guess)>),
}

impl Guess {
    /// Widens by the value that begins at `cursor`.
    pub(super) fn widen(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Problem> {
        let kind = cursor.kind()?;
        let conflict = |guess: &Guess, cursor: &Cursor<'_>| {
            Err(cursor.problem(What::Type { found: kind, want: guess.data_type() }))
        };
        match kind {
            Kind::Null => cursor.null(),
            Kind::Boolean => match self {
                Guess::Nothing | Guess::Boolean => {
                    *self = Guess::Boolean;
                    cursor.boolean().map(|_| ())
                }
                _ => conflict(self, cursor),
            },
            Kind::Number => match self {
                Guess::Nothing | Guess::Integer { .. } | Guess::Float | Guess::Digits => {
                    *self = self.joined(Guess::of_number(cursor.number()?));
                    Ok(())
                }
                _ => conflict(self, cursor),
            },
            Kind::Text => match self {
                Guess::Nothing | Guess::Text => {
                    *self = Guess::Text;
                    cursor.text().map(|_| ())
                }
                _ => conflict(self, cursor),
            },
            Kind::List => {
                if *self == Guess::Nothing {
                    *self = Guess::List(Box::new(Guess::Nothing));
                }
                match self {
                    Guess::List(item) => cursor.list(|cursor| item.widen(cursor)),
                    _ => conflict(self, cursor),
                }
            }
            Kind::Object => {
                if *self == Guess::Nothing {
                    *self = Guess::Object(Vec::new());
                }
                match self {
                    Guess::Object(fields) => widen_object(fields, cursor, |_| false),
                    _ => conflict(self, cursor),
                }
            }
        }
    }

    fn of_number(digits: &[u8]) -> Guess {
        if digits.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return if fits_float(digits) { Guess::Float } else { Guess::Digits };
        }
        match std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok()) {
            Some(value) => Guess::Integer { fits_float: value as f64 as i128 == i128::from(value) },
            None => Guess::Digits,
        }
    }

    /// Of two guesses of numbers.
    fn joined(&self, other: Guess) -> Guess {
        use Guess::{Digits, Float, Integer, Nothing};
        match (self, other) {
            (Nothing, some) => some,
            (Integer { fits_float: a }, Integer { fits_float: b }) => Integer { fits_float: *a && b },
            (Integer { fits_float: true }, Float) | (Float, Integer { fits_float: true }) | (Float, Float) => Float,
            _ => Digits,
        }
    }

    /// Whether some of the values are kept as they stand in the file, because no type holds them.
    pub(super) fn keeps_text(&self) -> bool {
        match self {
            Guess::Digits => true,
            Guess::List(item) => item.keeps_text(),
            Guess::Object(fields) => fields.is_empty() || fields.iter().any(|(_, guess)| guess.keeps_text()),
            _ => false,
        }
    }

    /// The type to read the field as.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Guess::Nothing | Guess::Digits | Guess::Text => DataType::Utf8,
            Guess::Boolean => DataType::Boolean,
            Guess::Integer { .. } => DataType::Int64,
            Guess::Float => DataType::Float64,
            Guess::List(item) => DataType::new_list(item.data_type(), true),
            // An object without fields has no columns; its text is kept.
            Guess::Object(fields) if fields.is_empty() => DataType::Utf8,
            Guess::Object(fields) => {
                let fields = fields.iter().map(|(name, guess)| Field::new(name, guess.data_type(), true));
                DataType::Struct(fields.collect())
            }
        }
    }
}

/// Widens the guesses of the fields by the object that begins at `cursor`; those that `is_settled` are passed over.
pub(super) fn widen_object(
    fields: &mut Vec<(String, Guess)>,
    cursor: &mut Cursor<'_>,
    is_settled: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let mut next = 0;
    cursor.object(|cursor, name| {
        let name = name.name().ok_or_else(|| cursor.problem(What::Escape))?;
        let found = match fields.get(next).is_some_and(|(known, _)| *known == name) {
            true => Some(next),
            false => fields.iter().position(|(known, _)| *known == name),
        };
        let idx = found.unwrap_or(fields.len());
        if found.is_none() {
            if fields.len() == MAX_FIELDS {
                return Err(cursor.problem(What::TooManyFields));
            }
            fields.push((name.clone(), Guess::Nothing));
        }
        next = idx + 1;
        match is_settled(&name) {
            true => cursor.skip().map(|_| ()),
            false => fields[idx].1.widen(cursor).map_err(|problem| problem.inside(&name)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[&str], want: Result<DataType, &str>) {
        let mut guess = Guess::Nothing;
        let widened = rows.iter().try_for_each(|row| guess.widen(&mut Cursor::new(row.as_bytes())));
        let found = widened.map(|()| guess.data_type()).map_err(|problem| problem.field().unwrap_or_default());
        assert_eq!(found, want.map_err(str::to_string), "{rows:?}");
    }

    fn object(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
    }

    #[test]
    fn types_widen_and_kinds_do_not_mix() {
        use DataType::{Boolean, Float64, Int64, Utf8};
        check(&["null", "1", "-2"], Ok(Int64));
        check(&["1", "2.5"], Ok(Float64));
        check(&["1e3"], Ok(Float64));
        check(&["9007199254740993", "2.5"], Ok(Utf8));
        check(&["99999999999999999999"], Ok(Utf8));
        check(&["0.5", "0.12345678901234567890"], Ok(Utf8));
        check(&["true", "null"], Ok(Boolean));
        check(&["\"a\"", "\"2024-01-31\""], Ok(Utf8));
        check(&["null"], Ok(Utf8));
        check(&["[]", "[1]", "[null,2.5]"], Ok(DataType::new_list(Float64, true)));
        check(&["{}"], Ok(Utf8));
        check(
            &[r#"{"a":1}"#, r#"{"b":{"c":true},"a":null}"#],
            Ok(object(&[("a", Int64), ("b", object(&[("c", Boolean)]))])),
        );
        check(&["1", "\"a\""], Err(""));
        check(&["true", "1"], Err(""));
        check(&[r#"{"a":{"b":1}}"#, r#"{"a":{"b":"x"}}"#], Err("a.b"));
        check(&[r#"{"a":[1]}"#, r#"{"a":{"b":"x"}}"#], Err("a"));
    }

    #[test]
    fn objects_used_as_maps_are_not_taken_apart() {
        let row = |n: usize| format!("{{\"key{n}\":1}}");
        let mut guess = Guess::Nothing;
        (0..MAX_FIELDS).for_each(|n| guess.widen(&mut Cursor::new(row(n).as_bytes())).unwrap());
        assert_eq!(guess.widen(&mut Cursor::new(row(MAX_FIELDS).as_bytes())).unwrap_err().what, What::TooManyFields);
    }
}
