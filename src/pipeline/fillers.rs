//! What NULL becomes in a `fill_null` step: a value of the column's own type, or an error with its place.

use arrow::datatypes::DataType;

use super::fields::Text;
use super::relations::{Relation, is_text, is_time};
use super::spec::Filler;
use super::sql_text::{literal, quoted};
use super::step_sql::StepCx;
use crate::error::Result;
use crate::io::type_names::sql_name;

/// `coalesce(column, value)` for each column that is to be filled: those of `columns`, or all that `all` fits.
pub(super) fn fillers(
    cx: &StepCx<'_>,
    columns: &[(Text, Filler)],
    all: Option<&Filler>,
    input: &str,
    relation: &Relation,
) -> Result<Vec<(Text, Text)>> {
    let mut fillers = Vec::new();
    for (name, filler) in columns {
        let data_type = relation.column(cx.source, input, name)?.data_type();
        let Some(value) = value_sql(filler, data_type) else {
            let message = format!("{:?} does not fit column {:?}", filler.value.text, name.text);
            let error = cx.source.error(filler.place, format!("{message}, which is {data_type}"));
            return Err(match filler.value.plain {
                true => error.with_hint("a cast step before this one gives the column another type"),
                false => error.with_hint("in quotes it is a text: leave them out"),
            });
        };
        fillers.push((name.clone(), coalesce(&name.text, &value, filler)));
    }
    let Some(all) = all else { return Ok(fillers) };
    for field in relation.schema.fields() {
        // Here a number is one, and fills no texts.
        let fits = !is_text(field.data_type()) || !is_number(all);
        if let (true, Some(value)) = (fits && !is_time(field.data_type()), value_sql(all, field.data_type())) {
            let name = Text::made(field.name().clone(), all.place);
            fillers.push((name, coalesce(field.name(), &value, all)));
        }
    }
    Ok(fillers)
}

fn coalesce(column: &str, value: &str, filler: &Filler) -> Text {
    Text::made(format!("coalesce({}, {value})", quoted(column)), filler.place)
}

fn is_number(filler: &Filler) -> bool {
    filler.value.plain && filler.value.text.parse::<f64>().is_ok()
}

/// The value as SQL of the type of a column; `None` where it is not one. Text in quotes is a text or a time.
fn value_sql(filler: &Filler, data_type: &DataType) -> Option<String> {
    let (text, plain) = (filler.value.text.trim(), filler.value.plain);
    let is_dated = text.starts_with(|letter: char| letter.is_ascii_digit());
    let fits = match data_type {
        _ if is_text(data_type) => return Some(literal(&filler.value.text)),
        DataType::Date64 => return is_dated.then(|| literal(text)),
        DataType::Decimal256(_, scale) => return (plain && is_decimal(text, *scale)).then(|| text.to_string()),
        DataType::Boolean => plain && matches!(text, "true" | "false"),
        _ if is_time(data_type) => is_dated,
        DataType::Time64(_) => is_dated && text.contains(':'),
        _ if data_type.is_integer() => plain && fits_integer(text, data_type),
        DataType::Float32 | DataType::Float64 => plain && text.parse::<f64>().is_ok(),
        DataType::Decimal128(_, scale) => plain && is_decimal(text, *scale),
        _ => false,
    };
    fits.then(|| format!("CAST({} AS {})", literal(text), sql_name(data_type)))
}

fn fits_integer(text: &str, data_type: &DataType) -> bool {
    let Ok(number) = text.parse::<i128>() else { return false };
    let Some(bytes) = data_type.primitive_width() else { return false };
    let bits = bytes * 8;
    match data_type.is_unsigned_integer() {
        true => (0..1i128 << bits).contains(&number),
        false => (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&number),
    }
}

/// Digits with no more of them behind the point than the column keeps.
fn is_decimal(text: &str, scale: i8) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !whole.is_empty()
        && are_digits(whole)
        && are_digits(part)
        && i64::try_from(part.len()).is_ok_and(|n| n <= scale.into())
}
