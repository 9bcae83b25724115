//! The step `join_asof`: each row with the nearest row of another step or input.

use arrow::datatypes::DataType;

use super::fields::{self, Fields, Text};
use super::relations::RowOrder;
use super::source::Source;
use super::spec::{AsofJoin, How, Join, Operation};
use super::sql_text::SqlText;
use super::step_sql::{StepCx, StepSql, join_columns};
use super::traps;
use crate::error::{Error, Result};
use crate::frame::AsofStrategy;
use crate::plan::ASOF_CONDITION;

/// Reads the keys of the step.
pub(super) fn read(source: &Source, of: &Fields<'_>) -> Result<Operation> {
    let strategy = match of.text(&["strategy", "direction"])? {
        None => AsofStrategy::Backward,
        Some(word) => match word.as_str() {
            "backward" => AsofStrategy::Backward,
            "forward" => AsofStrategy::Forward,
            "nearest" => AsofStrategy::Nearest,
            _ => return Err(fields::unknown_word(source, &word, "strategy", &["backward", "forward", "nearest"])),
        },
    };
    let both = |common: Option<Vec<Text>>, left: Option<Vec<Text>>, right: Option<Vec<Text>>, what: &str| match (
        common, left, right,
    ) {
        (Some(both), None, None) => Ok((both.clone(), both)),
        (None, Some(left), Some(right)) if left.len() == right.len() => Ok((left, right)),
        (None, None, None) => Ok((vec![], vec![])),
        _ => {
            let message = format!("give {what:?}, or \"left_{what}\" and \"right_{what}\" with equally many columns");
            Err(source.error(of.place(), message))
        }
    };
    let (left_on, right_on) = both(of.texts(&["on"])?, of.texts(&["left_on"])?, of.texts(&["right_on"])?, "on")?;
    let (mut left, mut right) = both(of.texts(&["by"])?, of.texts(&["left_by"])?, of.texts(&["right_by"])?, "by")?;
    match left_on.len() {
        0 => return Err(of.missing("on", "on: timestamp")),
        1 => {}
        _ => {
            let error = source.error(left_on[1].place, "rows are near in one column only");
            return Err(error.with_hint("by: names the columns that must be equal"));
        }
    }
    left.extend(left_on);
    right.extend(right_on);
    let suffix = of.text(&["suffix"])?.map_or("_right".to_string(), |suffix| suffix.text);
    let tolerance = of.text(&["tolerance"])?;
    let keys = Join { how: How::Left, left_on: left, right_on: right, suffix };
    Ok(Operation::JoinAsof(AsofJoin { keys, strategy, tolerance }))
}

/// The query of the step.
pub(super) fn translate(cx: &StepCx<'_>, join: &AsofJoin) -> Result<StepSql> {
    let (left_name, right_name) = (cx.input(0)?, cx.input(1)?);
    let (left, right) = (cx.relations.get(left_name)?, cx.relations.get(right_name)?);
    let mut sql = SqlText::new("SELECT ");
    join_columns(&mut sql, &join.keys, left, right);
    sql.push(" FROM ").name(left_name).push(" AS l LEFT JOIN ").name(right_name).push(" AS r ON ");
    sql.name(ASOF_CONDITION).push("(");
    let n_keys = join.keys.left_on.len();
    let mut tolerance = None;
    for (idx, (left_key, right_key)) in join.keys.left_on.iter().zip(&join.keys.right_on).enumerate() {
        let left_type = left.column(cx.source, left_name, left_key)?.data_type();
        let right_type = right.column(cx.source, right_name, right_key)?.data_type();
        traps::check_key_types(cx, (left_key, left_type), (right_key, right_type))?;
        let is_place = idx + 1 == n_keys;
        if is_place {
            check_place(cx.source, left_key, left_type)?;
            check_place(cx.source, right_key, right_type)?;
            if left_type.is_numeric() != right_type.is_numeric() {
                let message = format!("{:?} is {left_type} and {:?} is {right_type}", left_key.text, right_key.text);
                return Err(cx
                    .source
                    .error(right_key.place, message)
                    .with_hint("both numbers, or both dates or times"));
            }
            tolerance = tolerance_sql(cx.source, join, [left_type, right_type])?;
        }
        let op = match join.strategy {
            _ if !is_place => " = ",
            AsofStrategy::Forward => " <= ",
            _ => " >= ",
        };
        sql.push(if idx == 0 { "l." } else { " AND l." }).user_name(left_key).push(op).push("r.").user_name(right_key);
    }
    sql.push(if join.strategy == AsofStrategy::Nearest { ", 'nearest'" } else { ", NULL" });
    if let Some(tolerance) = tolerance {
        sql.push(", ").push(&tolerance);
    }
    sql.push(")");
    Ok(StepSql { sql, order: RowOrder::Unknown })
}

fn check_place(source: &Source, key: &Text, data_type: &DataType) -> Result<()> {
    if data_type.is_numeric() || data_type.is_temporal() {
        return Ok(());
    }
    let message = format!("{:?} is {data_type}: rows are near in a number, a date or a time", key.text);
    Err(source.error(key.place, message).with_hint("a step of type cast makes it one"))
}

/// The tolerance as SQL: a number for numbers, a duration for dates and times.
fn tolerance_sql(source: &Source, join: &AsofJoin, places: [&DataType; 2]) -> Result<Option<String>> {
    let Some(given) = &join.tolerance else { return Ok(None) };
    let wrong = |hint: &str| -> Error {
        let message = format!("a tolerance of {:?} does not go with a column of type {}", given.text, places[0]);
        source.error(given.place, message).with_hint(hint)
    };
    if places.iter().any(|place| place.is_temporal()) {
        let nanos = crate::frame::parse_duration(&given.text);
        let nanos = nanos.map_err(|_| wrong("dates and times want a duration: tolerance: 90s, or 1h30m, or 2d"))?;
        return Ok(Some(format!("INTERVAL '{nanos} nanoseconds'")));
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = given.text.replace('_', "");
    let is_number = match number.split_once('.') {
        None => digits(&number),
        Some((whole, part)) => digits(whole) && digits(part) && places.iter().any(|place| !place.is_integer()),
    };
    match is_number {
        true => Ok(Some(number)),
        false => Err(wrong("numbers want a number from 0 on, whole numbers a whole one")),
    }
}
