//! From YAML to a [`Spec`]: the top of the file, inputs, filters and settings.

use std::path::PathBuf;

use super::fields::{self, Fields, Text};
use super::source::Source;
use super::spec::{Checkpoints, Filter, Input, Outputs, Settings, Spec};
use super::yaml::{Node, Value};
use super::{read_checks, read_outputs, read_steps};
use crate::error::Result;
use crate::memory::{Budget, parse_bytes};

/// What there is to know from `root`.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] with the place of what is wrong.
pub(super) fn read_spec(source: &Source, root: &Node) -> Result<Spec> {
    let mut notes = Vec::new();
    let top = Fields::of(source, root, "a pipeline file")?;
    let name = top.text(&["name"])?.map(|name| name.text);
    // For people, not for us.
    let _ = (top.take(&["description"])?, top.take(&["version"])?, top.take(&["author"])?);
    let inputs = read_inputs(source, top.need(&["inputs"], "inputs: {sales: {path: \"sales/*.csv\"}}")?)?;
    let filters = top.take(&["filters"])?.map(|node| read_filters(source, node)).transpose()?.unwrap_or_default();
    let steps = top.take(&["transforms", "steps"])?;
    let steps = steps.map(|node| read_steps::read_steps(source, node, &inputs)).transpose()?.unwrap_or_default();
    let outputs = top.take(&["outputs", "output"])?;
    let outputs = outputs.map(|node| read_outputs::read_outputs(source, node)).transpose()?;
    let checks = top.take(&["validate", "validation"])?;
    let checks = checks.map(|node| read_checks::read_checks(source, node)).transpose()?.unwrap_or_default();
    let settings = top.take(&["settings"])?;
    let settings = settings.map(|node| read_settings(source, node, &mut notes)).transpose()?.unwrap_or_default();
    let no_outputs = top.missing("outputs", "outputs: {parquet: result.parquet}");
    top.finish()?;
    let outputs = outputs.filter(|outputs: &Outputs| !outputs.files.is_empty()).ok_or(no_outputs)?;
    let name = name.unwrap_or_else(|| {
        source.path().file_stem().map_or("pipeline".into(), |stem| stem.to_string_lossy().into_owned())
    });
    Ok(Spec { name, inputs, filters, steps, outputs, checks, settings, notes })
}

fn read_inputs(source: &Source, node: &Node) -> Result<Vec<Input>> {
    let entries = fields::entries(source, node, "inputs")?;
    if entries.is_empty() {
        return Err(source.error(node.place, "there are no inputs"));
    }
    entries.iter().map(|(key, node)| read_input(source, Text::from(key), node)).collect()
}

fn read_input(source: &Source, id: Text, node: &Node) -> Result<Input> {
    check_id(source, &id)?;
    if let Value::Scalar(_) = &node.value {
        let path = fields::text(source, node, "path")?;
        return Ok(Input { id, path, columns: None, schema: vec![], conditions: vec![], reading: vec![] });
    }
    let of = Fields::of(source, node, format!("the input {:?}", id.text))?;
    let path = of.need(&["path", "file", "files"], "path: \"data/*.parquet\"")?;
    let path = fields::text(source, path, "path")?;
    let columns = of.texts(&["columns"])?;
    let conditions = of.texts(&["filter", "where"])?.unwrap_or_default();
    let mut schema = Vec::new();
    if let Some(node) = of.take(&["schema", "dtypes", "types"])? {
        for (key, node) in fields::entries(source, node, "schema")? {
            schema.push((Text::from(key), fields::text(source, node, &key.name)?));
        }
    }
    // The format is told by the file itself.
    of.take(&["format", "type"])?;
    let reading = read_reading(&of)?;
    of.finish()?;
    Ok(Input { id, path, columns, schema, conditions, reading })
}

/// Options for reading CSV, under the names of their flags and those that other tools have for them.
const READING: [(&str, &[&str]); 13] = [
    ("delimiter", &["delimiter", "separator", "sep"]),
    ("quote", &["quote", "quote_char"]),
    ("header", &["header", "has_header"]),
    ("skip_rows", &["skip_rows"]),
    ("comment", &["comment", "comment_prefix"]),
    ("ragged", &["ragged"]),
    ("encoding", &["encoding"]),
    ("decimal_comma", &["decimal_comma"]),
    ("date_format", &["date_format"]),
    ("timestamp_format", &["timestamp_format"]),
    ("null_value", &["null_values", "null_value"]),
    ("infer_rows", &["infer_rows", "infer_schema_length"]),
    ("on_bad_row", &["on_bad_row", "on_bad_rows"]),
];

fn read_reading(of: &Fields<'_>) -> Result<Vec<(&'static str, Text)>> {
    let mut reading = Vec::new();
    for (option, names) in READING {
        reading.extend(of.texts(names)?.unwrap_or_default().into_iter().map(|value| (option, value)));
    }
    Ok(reading)
}

/// Ids become names in SQL.
pub(super) fn check_id(source: &Source, id: &Text) -> Result<()> {
    let is_fine = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    match !id.text.is_empty() && id.text.chars().all(is_fine) {
        true => Ok(()),
        false => Err(source
            .error(id.place, format!("{:?} is no name for an input or a step", id.text))
            .with_hint("use letters, digits, _ and -")),
    }
}

fn read_filters(source: &Source, node: &Node) -> Result<Vec<Filter>> {
    if !matches!(node.value, Value::Map(_)) {
        return Ok(fields::texts(source, node, "filters")?.into_iter().map(Filter::Condition).collect());
    }
    let of = Fields::of(source, node, "filters")?;
    let mut filters = Vec::new();
    if let Some(node) = of.take(&["date_range"])? {
        filters.push(read_date_range(source, node)?);
    }
    let conditions = of.texts(&["expressions", "expression", "conditions", "sql", "where"])?;
    filters.extend(conditions.unwrap_or_default().into_iter().map(Filter::Condition));
    for (key, node) in of.others().filter(|(_, node)| !node.is_null()) {
        filters.push(read_value_filter(source, Text::from(key), node)?);
    }
    Ok(filters)
}

fn read_value_filter(source: &Source, name: Text, node: &Node) -> Result<Filter> {
    let value = |node: &Node| Ok((fields::scalar(source, node, &name.text)?.clone(), node.place));
    Ok(match &node.value {
        Value::Scalar(_) => Filter::OneOf { values: vec![value(node)?], name },
        Value::List(items) => {
            let values = items.iter().map(value).collect::<Result<Vec<_>>>()?;
            if values.is_empty() {
                return Err(source
                    .error(node.place, format!("no row has one of no values: {:?} is empty", name.text))
                    .with_hint("leave the filter out, or name values"));
            }
            Filter::OneOf { name, values }
        }
        Value::Map(_) => {
            let of = Fields::of(source, node, format!("the filter {:?}", name.text))?;
            let min = of.take(&["min"])?.map(value).transpose()?;
            let max = of.take(&["max"])?.map(value).transpose()?;
            of.finish()?;
            Filter::Between { name, min, max }
        }
    })
}

fn read_date_range(source: &Source, node: &Node) -> Result<Filter> {
    if let Value::List(items) = &node.value {
        let [start, end] = items.as_slice() else {
            return Err(source
                .error(node.place, "a date range is two days")
                .with_hint("date_range: {column: timestamp, start: 2024-01-01, end: 2024-12-31}"));
        };
        let day = |node: &Node| (!node.is_null()).then(|| fields::text(source, node, "date_range")).transpose();
        return Ok(Filter::DateRange { place: node.place, column: None, start: day(start)?, end: day(end)? });
    }
    let of = Fields::of(source, node, "date_range")?;
    let column = of.text(&["column"])?;
    let (start, end) = (of.text(&["start", "from", "min"])?, of.text(&["end", "to", "max"])?);
    let place = of.place();
    of.finish()?;
    Ok(Filter::DateRange { place, column, start, end })
}

fn read_settings(source: &Source, node: &Node, notes: &mut Vec<String>) -> Result<Settings> {
    let of = Fields::of(source, node, "settings")?;
    let bytes = |text: Text| parse_bytes(&text.text).map_err(|error| error.with_location(source.at(text.place)));
    let budget = |text: Text| Budget::parse(&text.text).map_err(|error| error.with_location(source.at(text.place)));
    let memory_budget = of.text(&["memory_budget", "memory_limit"])?.map(budget).transpose()?;
    let spill_limit = of.text(&["spill_limit"])?.map(bytes).transpose()?;
    let compression = of.text(&["compression"])?;
    let compression = compression.map(|text| read_outputs::compression(source, &text)).transpose()?;
    let threads = match of.take(&["threads", "n_threads"])? {
        None => None,
        Some(node) => match fields::count(source, node, "threads")? {
            n @ 1..=1024 => Some(n as usize),
            _ => return Err(source.error(node.place, "threads must be from 1 to 1024")),
        },
    };
    let spill_dirs = of.texts(&["spill_dir", "spill_dirs", "temp_dir"])?.unwrap_or_default();
    let checkpoints = match of.text(&["checkpoints"])? {
        None => Checkpoints::Auto,
        Some(word) => match word.as_str() {
            "auto" => Checkpoints::Auto,
            "all" => Checkpoints::All,
            "none" => Checkpoints::None,
            _ => {
                return Err(fields::unknown_word(
                    source,
                    &word,
                    "choice of checkpoints called",
                    &["auto", "all", "none"],
                ));
            }
        },
    };
    if let Some((key, node)) = of.take_with_key(&["engine", "streaming"])? {
        let (name, value) = (&key.name, fields::text(source, node, "engine")?.text);
        notes.push(format!("settings.{name}: {value} changes nothing here: every run streams within the budget"));
    }
    let any_order = !of.flag(&["stable_order"])?.unwrap_or(true);
    let on_bad_row = of.text(&["on_bad_row", "on_bad_rows"])?;
    let settings = Settings {
        memory_budget,
        threads,
        spill_dirs: spill_dirs.into_iter().map(|dir| PathBuf::from(dir.text)).collect(),
        spill_limit,
        compression,
        checkpoints,
        any_order,
        on_bad_row: match on_bad_row {
            None => None,
            Some(word) if matches!(word.as_str(), "fail" | "skip") || word.text.starts_with("reject=") => {
                Some(word.text)
            }
            Some(word) => {
                let known = ["fail", "skip", "reject=FILE"];
                return Err(fields::unknown_word(source, &word, "way to treat bad rows called", &known));
            }
        },
    };
    of.finish()?;
    Ok(settings)
}
