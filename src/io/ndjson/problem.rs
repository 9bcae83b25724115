//! What is wrong with a line, where, and what to try.
//!
//! Memory: names of fields, on the way out of an error only.

use arrow::datatypes::DataType;

use super::cursor::Kind;

/// Characters of a value that a message shows.
const SHOWN: usize = 40;

/// Something wrong with a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    /// In the line.
    pub(super) at: usize,
    pub(super) what: What,
    /// The fields it is in, innermost first.
    pub(super) path: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// Not JSON: this was expected.
    Malformed(&'static str),
    TooDeep,
    /// Not UTF-8.
    Encoding,
    /// An escape that means nothing.
    Escape,
    /// A value of another type.
    Type {
        found: Kind,
        want: DataType,
    },
    /// A value of the right kind that the type does not hold.
    Unfit {
        want: DataType,
    },
    /// No looked-at row had this field.
    Unknown,
    /// The field is there before.
    Twice,
    /// The object has too many fields to be columns.
    TooManyFields,
}

impl Problem {
    /// The same problem inside the field `name`.
    pub(super) fn inside(mut self, name: &str) -> Self {
        self.path.push(name.to_string());
        self
    }

    /// The fields from the outermost on: `user.id`.
    pub(super) fn field(&self) -> Option<String> {
        let names: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join("."))
    }

    /// What is wrong.
    pub(super) fn reason(&self, line: &[u8]) -> String {
        match &self.what {
            What::Malformed(expected) => match line.get(self.at) {
                None => format!("not a JSON object on one line: expected {expected}"),
                Some(_) => format!("not JSON at {}: expected {expected}", shorten(&line[self.at..])),
            },
            What::TooDeep => format!("nested more than {} deep", super::cursor::MAX_DEPTH),
            What::Encoding => "not UTF-8".to_string(),
            What::Escape => format!("{} has an escape that means nothing", shorten(&line[self.at..])),
            What::Type { found, want } => {
                let want = match want {
                    want if want.is_integer() => "an integer".to_string(),
                    want if want.is_numeric() => "a number".to_string(),
                    want => type_name(want),
                };
                format!("{} where {want} was expected", found.article())
            }
            What::Unfit { want } => {
                format!("{} does not fit the type {}", shorten(value_at(line, self.at)), type_name(want))
            }
            What::Unknown => "no row that was looked at for the columns has this field".to_string(),
            What::Twice => "the field stands twice in one object".to_string(),
            What::TooManyFields => "objects have too many different fields to make columns of them".to_string(),
        }
    }

    /// What to try.
    pub(super) fn hint(&self) -> String {
        let column = self.path.last().map_or("name", String::as_str);
        let leave_out = "leave such rows out: --on-bad-row skip or reject=FILE";
        match &self.what {
            What::Malformed(_) if self.path.is_empty() => {
                format!("every line must be one JSON object (jq -c '.[]' makes lines of an array); or {leave_out}")
            }
            What::Type { .. } | What::Unfit { .. } if self.path.len() > 1 => {
                format!("read the whole of it as text: --schema {column}=string; or {leave_out}")
            }
            What::Type { .. } => format!("declare a type that holds it: --schema {column}=string; or {leave_out}"),
            What::Unfit { want } if want.is_integer() => {
                format!("declare a type that holds it: --schema {column}=double or {column}=string; or {leave_out}")
            }
            What::Unfit { .. } => format!("declare a type that holds it: --schema {column}=string; or {leave_out}"),
            What::Unknown if self.path.len() == 1 => {
                format!("declare it: --schema {column}=string, or look at more rows: --infer-rows 1000000")
            }
            What::TooManyFields => format!("read the whole of it as text: --schema {column}=string"),
            What::Unknown => format!(
                "look at more rows: --infer-rows 1000000, or read the whole of it as text: --schema {column}=string"
            ),
            _ => leave_out.to_string(),
        }
    }
}

impl Kind {
    pub(super) fn article(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "true or false",
            Kind::Number => "a number",
            Kind::Text => "a text",
            Kind::List => "a list",
            Kind::Object => "an object",
        }
    }
}

/// A type as a user writes it.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "a text".into(),
        DataType::Boolean => "true or false".into(),
        DataType::Struct(_) => "an object".into(),
        DataType::List(_) => "a list".into(),
        DataType::Date32 => "a date".into(),
        DataType::Timestamp(_, None) => "a timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "a timestamp with a zone".into(),
        other => other.to_string().to_ascii_lowercase(),
    }
}

fn value_at(line: &[u8], at: usize) -> &[u8] {
    let mut cursor = super::cursor::Cursor::new(&line[at.min(line.len())..]);
    cursor.skip().unwrap_or(&line[at.min(line.len())..])
}

fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.trim_ascii_end());
    match text.char_indices().nth(SHOWN) {
        None => text.into_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
