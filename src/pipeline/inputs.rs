//! Inputs: which files, how they are read, and which rows of them the pipeline is about.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::fields::Text;
use super::prepare::files_with_facts;
use super::relations::{Relation, is_text, is_time};
use super::source::{Place, Source};
use super::spec::{Filter, Input};
use super::sql_text::{SqlText, literal, quoted};
use super::step_sql::{all_of, conditions_after};
use super::yaml::{Scalar, Spread};
use crate::error::{Error, Result};
use crate::io::run_folder::FileFacts;
use crate::io::suggest::closest;
use crate::io::type_names::parse_columns;
use crate::io::{FileTables, OpenTable, Table};
use crate::session::Session;

/// Names that the column of a date range has when the file does not say.
const USUAL_TIMES: [&str; 5] = ["timestamp", "datetime", "date", "time", "ts"];

/// The files of an input.
pub(super) struct OpenInput {
    pub(super) table: Arc<dyn Table>,
    pub(super) files: Vec<(PathBuf, FileFacts)>,
}

/// Opens the files of `input`.
///
/// # Errors
/// What the files say, with the place of the path.
pub(super) fn open(session: &Session, source: &Source, input: &Input) -> Result<OpenInput> {
    let at = |error: Error| error.with_location(source.at(input.path.place));
    let mut tables: FileTables = session.files().clone();
    for (option, value) in &input.reading {
        if *option == "on_bad_row" && value.text.starts_with("reject=") {
            let error = source.error(value.place, "one file takes the rejected rows of all inputs");
            return Err(error.with_hint(format!("settings: {{on_bad_row: {:?}}}", value.text)));
        }
        tables.csv.set(option, &value.text).map_err(|error| error.with_location(source.at(value.place)))?;
    }
    let mut declared = Vec::with_capacity(input.schema.len());
    for (name, type_text) in &input.schema {
        let columns = parse_columns(&format!("{}={}", name.text, type_text.text));
        declared.extend(columns.map_err(|message| source.error(type_text.place, message))?);
    }
    tables.csv.declare(declared.into_iter());
    // A declared column is one of this input, so one that it has not is a slip.
    tables.csv.shared_schema = None;
    // Looked at first: a file that changes while it is opened is noticed later.
    let files = files_with_facts(&input.path.text).map_err(at)?;
    let table = tables.open(&input.path.text, session.memory()).map_err(at)?;
    Ok(OpenInput { table, files })
}

/// The query that picks columns and rows of an input that is open under its own name.
pub(super) fn picking(source: &Source, input: &Input, relation: &Relation, conditions: Vec<Text>) -> Result<SqlText> {
    let id = input.id.as_str();
    let mut sql = match &input.columns {
        None => all_of(id),
        Some(columns) => {
            for name in columns {
                relation.column(source, id, name)?;
            }
            let mut sql = SqlText::new("SELECT ");
            sql.list(columns, |sql, name| sql.user_name(name)).push(" FROM ").name(id);
            sql
        }
    };
    let conditions: Vec<Text> = input.conditions.iter().cloned().chain(conditions).collect();
    conditions_after(&mut sql, &conditions);
    Ok(sql)
}

/// The conditions of the pipeline's filters for each input: those whose column it has.
///
/// `plans` says whether a condition of the user's can be planned over an input.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for a filter that concerns no input, or where it is not clear which column is meant.
pub(super) fn conditions(
    source: &Source,
    filters: &[Filter],
    inputs: &[(&Input, &Relation)],
    plans: impl Fn(&Input, &Text) -> Result<()>,
    notes: &mut Vec<String>,
) -> Result<Vec<Vec<Text>>> {
    let mut all: Vec<Vec<Text>> = inputs.iter().map(|_| Vec::new()).collect();
    for filter in filters {
        let found: Vec<Option<Text>> = match filter {
            Filter::OneOf { name, values } => {
                inputs.iter().map(|(_, relation)| one_of(source, name, values, relation)).collect::<Result<_>>()?
            }
            Filter::Between { name, min, max } => {
                inputs.iter().map(|(_, relation)| between(source, name, min, max, relation)).collect::<Result<_>>()?
            }
            Filter::DateRange { place, column, start, end } => {
                let column = match column {
                    Some(column) => column.clone(),
                    None => usual_time(source, *place, inputs, notes)?,
                };
                let of = |(_, relation): &(&Input, &Relation)| date_range(source, &column, (start, end), relation);
                let found = inputs.iter().map(of).collect::<Result<Vec<_>>>()?;
                let nothing_to_do = start.is_none() && end.is_none();
                if nothing_to_do {
                    continue;
                }
                refuse_idle(source, &column, inputs, &found)?;
                found
            }
            Filter::Condition(condition) => {
                let tried: Vec<Result<()>> = inputs.iter().map(|(input, _)| plans(input, condition)).collect();
                if tried.iter().all(Result::is_err) {
                    return tried.into_iter().next().unwrap_or(Ok(())).map(|()| all);
                }
                tried.iter().map(|tried| tried.is_ok().then(|| condition.clone())).collect()
            }
        };
        if let Filter::OneOf { name, .. } | Filter::Between { name, .. } = filter {
            refuse_idle(source, name, inputs, &found)?;
        }
        for (conditions, condition) in all.iter_mut().zip(found) {
            conditions.extend(condition);
        }
    }
    Ok(all)
}

/// A filter that concerns no input.
fn refuse_idle(source: &Source, name: &Text, inputs: &[(&Input, &Relation)], found: &[Option<Text>]) -> Result<()> {
    if found.iter().any(Option::is_some) {
        return Ok(());
    }
    let error = source.error(name.place, format!("no input has a column {:?} to filter by", name.text));
    let columns = || inputs.iter().flat_map(|(_, relation)| relation.columns());
    Err(match closest(&name.text, columns()) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None => {
            error.with_hint("a column that a step makes is filtered by a step after it: {type: filter, condition: ..}")
        }
    })
}

/// The column that `name` means, in the singular or the plural.
fn column_like<'a>(name: &str, relation: &'a Relation) -> Option<(&'a str, &'a DataType)> {
    let mut forms = vec![name.to_string()];
    forms.extend(name.strip_suffix("ies").map(|stem| format!("{stem}y")));
    forms.extend(name.strip_suffix("es").map(str::to_string));
    forms.extend(name.strip_suffix('s').map(str::to_string));
    forms.push(format!("{name}s"));
    let field = forms.iter().find_map(|form| relation.schema.field_with_name(form).ok())?;
    Some((field.name(), field.data_type()))
}

fn one_of(source: &Source, name: &Text, values: &[(Scalar, Place)], relation: &Relation) -> Result<Option<Text>> {
    let Some((column, data_type)) = column_like(&name.text, relation) else { return Ok(None) };
    let values = values.iter().map(|(value, place)| value_sql(source, column, value, *place, data_type));
    let values = values.collect::<Result<Vec<_>>>()?;
    let condition = match values.as_slice() {
        [only] => format!("{} = {only}", quoted(column)),
        several => format!("{} IN ({})", quoted(column), several.join(", ")),
    };
    Ok(Some(Text::made(condition, name.place)))
}

fn between(
    source: &Source,
    name: &Text,
    min: &Option<(Scalar, Place)>,
    max: &Option<(Scalar, Place)>,
    relation: &Relation,
) -> Result<Option<Text>> {
    let Some((column, data_type)) = column_like(&name.text, relation) else { return Ok(None) };
    let mut parts = Vec::new();
    for (bound, operator) in [(min, ">="), (max, "<=")] {
        if let Some((value, place)) = bound {
            let value = value_sql(source, column, value, *place, data_type)?;
            parts.push(format!("{} {operator} {value}", quoted(column)));
        }
    }
    if parts.is_empty() {
        return Err(source.error(name.place, format!("the filter {:?} has neither min nor max", name.text)));
    }
    Ok(Some(Text::made(parts.join(" AND "), name.place)))
}

/// A value as SQL for a column of a type. For a text column it is what was written, leading zeros included.
fn value_sql(source: &Source, column: &str, value: &Scalar, place: Place, data_type: &DataType) -> Result<String> {
    let text = &value.text;
    let is_number = text.parse::<f64>().is_ok();
    if data_type.is_numeric() && !is_number {
        let error = source.error(place, format!("{text:?} is no number, and column {column:?} is {data_type}"));
        return Err(error);
    }
    let is_word = matches!(data_type, DataType::Boolean) && matches!(text.as_str(), "true" | "false");
    Ok(if (data_type.is_numeric() && is_number) || is_word { text.clone() } else { literal(text) })
}

/// The column of a date range that does not name one: the only one of dates, or the only one with a usual name.
fn usual_time(source: &Source, place: Place, inputs: &[(&Input, &Relation)], notes: &mut Vec<String>) -> Result<Text> {
    let mut names: Vec<&str> = inputs.iter().flat_map(|(_, relation)| relation.time_columns()).collect();
    names.sort_unstable();
    names.dedup();
    let usual = USUAL_TIMES.iter().find(|usual| names.contains(usual)).copied();
    // Times that were read as texts.
    let texts = || USUAL_TIMES.iter().find(|usual| inputs.iter().any(|(_, relation)| relation.has(usual))).copied();
    let picked = match names.as_slice() {
        [only] => Some(*only),
        [] => texts(),
        _ => usual,
    };
    match picked {
        Some(column) => {
            notes.push(format!("date_range names no column: it is applied to {column:?}"));
            Ok(Text { text: column.to_string(), place, spread: Spread::Unknown })
        }
        None => {
            let error = source.error(place, "it is not clear which column the date range is of");
            let candidates =
                if names.is_empty() { "date_range: {column: timestamp, ..}".into() } else { names.join(", ") };
            Err(error.with_hint(format!("add column: one of {candidates}")))
        }
    }
}

/// Both ends belong to the range; an end without a time of day is all of that day.
fn date_range(
    source: &Source,
    column: &Text,
    (start, end): (&Option<Text>, &Option<Text>),
    relation: &Relation,
) -> Result<Option<Text>> {
    let Ok(field) = relation.schema.field_with_name(&column.text) else { return Ok(None) };
    let data_type = field.data_type();
    if !is_time(data_type) && !is_text(data_type) {
        let message = format!("column {:?} is {data_type}, and a date range is of dates or times", column.text);
        return Err(source.error(column.place, message));
    }
    let is_date = matches!(data_type, DataType::Date32 | DataType::Date64);
    let value = match is_text(data_type) {
        true => format!("CAST({} AS TIMESTAMP)", quoted(&column.text)),
        false => quoted(&column.text),
    };
    let mut parts = Vec::new();
    if let Some(start) = start {
        parts.push(format!("{value} >= {}", moment(source, start, is_date)?.0));
    }
    if let Some(end) = end {
        let (moment, whole_day) = moment(source, end, is_date)?;
        parts.push(match whole_day && !is_date {
            true => format!("{value} < {moment} + INTERVAL '1 day'"),
            false => format!("{value} <= {moment}"),
        });
    }
    Ok((!parts.is_empty()).then(|| Text::made(parts.join(" AND "), column.place)))
}

/// A day or a time as SQL, and whether it is a day.
fn moment(source: &Source, text: &Text, as_date: bool) -> Result<(String, bool)> {
    let day = chrono::NaiveDate::parse_from_str(&text.text, "%Y-%m-%d").is_ok();
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let time = formats.iter().find_map(|format| chrono::NaiveDateTime::parse_from_str(&text.text, format).ok());
    match (day, time) {
        (true, _) if as_date => Ok((format!("DATE '{}'", text.text), true)),
        (true, _) => Ok((format!("TIMESTAMP '{} 00:00:00'", text.text), true)),
        (false, Some(time)) => Ok((format!("TIMESTAMP '{}'", time.format("%Y-%m-%d %H:%M:%S%.f")), false)),
        (false, None) => Err(source
            .error(text.place, format!("{:?} is neither a day nor a time", text.text))
            .with_hint("for example 2024-01-31 or 2024-01-31T12:00:00")),
    }
}
