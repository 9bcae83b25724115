//! Checks of a step's rows before they are published.
//!
//! What is checked is the file that was written. All rules of a step but uniqueness are one pass; every rule that fails is
//! told, not only the first.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};

use super::fields::Text;
use super::prepare::Prepared;
use super::relations::{is_text, is_time};
use super::source::Place;
use super::spec::{Check, Rule};
use super::sql_text::{SqlText, literal, quoted};
use crate::error::{Error, Result};
use crate::exec::group_digits;

/// A rule as a number that is to be zero, or rows that are to be counted.
pub(super) struct Probe {
    place: Place,
    /// What must hold, for people.
    pub(super) what: String,
    kind: Kind,
    sql: SqlText,
}

enum Kind {
    /// The number of rows must lie between these.
    Rows { min: Option<u64>, max: Option<u64> },
    /// That many rows break the rule.
    Broken,
    /// That many values stand more than once.
    Repeated,
    /// It holds, or it would have been an error while planning.
    Held,
}

/// The probes for the checks of the step `name`.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for columns that are not there and types that a rule does not fit; a column that a
/// `columns` rule wants and that is not there is a failed check, [`crate::ErrorKind::Data`].
pub(super) fn probes<'a>(
    prepared: &Prepared<'_>,
    name: &str,
    checks: impl Iterator<Item = &'a Check>,
) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for check in checks {
        add_probes(prepared, name, check, &mut probes)?;
    }
    Ok(probes)
}

fn add_probes(prepared: &Prepared<'_>, name: &str, check: &Check, probes: &mut Vec<Probe>) -> Result<()> {
    let relation = prepared.relations.get(name)?;
    let source = prepared.source;
    let column = |column: &Text| relation.column(source, name, column).map(|field| field.data_type().clone());
    let broken = |what: String, place, condition: &str| Probe {
        place,
        what,
        kind: Kind::Broken,
        sql: SqlText::new(&format!("count(*) FILTER (WHERE {condition})")),
    };
    match &check.rule {
        Rule::Rows { min, max } => {
            let kind = Kind::Rows { min: *min, max: *max };
            probes.push(Probe { place: check.place, what: rows_text(*min, *max), kind, sql: SqlText::new("count(*)") });
        }
        Rule::Columns(columns) => {
            let missing: Vec<&Text> = columns.iter().filter(|column| !relation.has(column.as_str())).collect();
            if let Some(first) = missing.first() {
                let names: Vec<String> = missing.iter().map(|name| format!("{:?}", name.text)).collect();
                let message = format!("validation failed: {name} has no column {}", names.join(", "));
                let hint = format!("it has: {}", relation.columns().collect::<Vec<_>>().join(", "));
                return Err(Error::data(message).with_location(source.at(first.place)).with_hint(hint));
            }
            let what = format!("{} columns are present", columns.len());
            probes.push(Probe { place: check.place, what, kind: Kind::Held, sql: SqlText::new("0") });
        }
        Rule::NotNull(columns) => {
            for name in columns {
                column(name)?;
                let condition = format!("{} IS NULL", quoted(&name.text));
                probes.push(broken(format!("{} is not null", name.text), name.place, &condition));
            }
        }
        Rule::Finite(columns) => {
            for name in columns {
                let condition = match column(name)? {
                    DataType::Float32 | DataType::Float64 => not_finite(&quoted(&name.text)),
                    other if other.is_numeric() => format!("{} IS NULL", quoted(&name.text)),
                    other => {
                        let message = format!("column {:?} is {other}, and only numbers are finite", name.text);
                        return Err(source.error(name.place, message));
                    }
                };
                probes.push(broken(format!("{} is a finite number", name.text), name.place, &condition));
            }
        }
        Rule::Range { column: named, min, max } => {
            let (condition, what) = range_sql(prepared, named, &column(named)?, min.as_ref(), max.as_ref())?;
            probes.push(broken(what, check.place, &condition));
        }
        Rule::Unique(columns) => {
            for name in columns {
                column(name)?;
            }
            let names: Vec<&str> = columns.iter().map(Text::as_str).collect();
            let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            let (list, from) = (list.join(", "), quoted(name));
            let sql = format!("SELECT {list} FROM {from} GROUP BY {list} HAVING count(*) > 1");
            let what = format!("{} is unique", names.join(", "));
            probes.push(Probe { place: check.place, what, kind: Kind::Repeated, sql: SqlText::new(&sql) });
        }
        Rule::Sql { condition, name } => {
            let mut sql = SqlText::new("count(*) FILTER (WHERE (");
            // NULL is not TRUE.
            sql.user_expr(condition).push(") IS NOT TRUE)");
            let what = name.as_ref().unwrap_or(condition).text.clone();
            probes.push(Probe { place: check.place, what, kind: Kind::Broken, sql });
        }
    }
    Ok(())
}

fn not_finite(column: &str) -> String {
    let infinite = format!("abs({column}) = CAST('Infinity' AS DOUBLE)");
    format!("{column} IS NULL OR isnan({column}) OR {infinite}")
}

fn rows_text(min: Option<u64>, max: Option<u64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) if min == max => format!("there are exactly {} rows", group_digits(min)),
        (Some(min), Some(max)) => format!("there are {} to {} rows", group_digits(min), group_digits(max)),
        (Some(min), None) => format!("there are at least {} rows", group_digits(min)),
        (None, Some(max)) => format!("there are at most {} rows", group_digits(max)),
        (None, None) => "rows are counted".to_string(),
    }
}

/// The condition that breaks a range. NULL does not; `not_null` is for that. NaN does.
fn range_sql(
    prepared: &Prepared<'_>,
    column: &Text,
    data_type: &DataType,
    min: Option<&Text>,
    max: Option<&Text>,
) -> Result<(String, String)> {
    let value = |text: &Text| -> Result<String> {
        let is_number = text.text.parse::<f64>().is_ok();
        match (data_type.is_numeric(), is_number) {
            (true, true) => Ok(text.text.clone()),
            (false, _) if is_text(data_type) || is_time(data_type) => Ok(literal(&text.text)),
            _ => {
                let message = format!("{:?} does not fit column {:?}, which is {data_type}", text.text, column.text);
                Err(prepared.source.error(text.place, message))
            }
        }
    };
    let name = quoted(&column.text);
    let mut parts = Vec::new();
    if let Some(min) = min {
        parts.push(format!("{name} < {}", value(min)?));
    }
    if let Some(max) = max {
        parts.push(format!("{name} > {}", value(max)?));
    }
    if matches!(data_type, DataType::Float32 | DataType::Float64) {
        parts.push(format!("isnan({name})"));
    }
    let what = match (min, max) {
        (Some(min), Some(max)) => format!("{} is from {} to {}", column.text, min.text, max.text),
        (Some(min), None) => format!("{} is at least {}", column.text, min.text),
        (None, Some(max)) => format!("{} is at most {}", column.text, max.text),
        (None, None) => return Err(prepared.source.error(column.place, "the range has neither min nor max")),
    };
    Ok((parts.join(" OR "), what))
}

/// The query that gives one row with a number for each probe: one pass for all that look at single rows, and a grouping
/// for each key that is to be unique.
pub(super) fn query(name: &str, probes: &[Probe]) -> SqlText {
    let mut sql = SqlText::new("SELECT ");
    sql.list(1..=probes.len(), |sql, number| sql.push(&format!("check_{number}")));
    let numbered = || probes.iter().enumerate().map(|(idx, probe)| (idx + 1, probe));
    sql.push(" FROM (SELECT count(*) AS all_rows");
    for (number, probe) in numbered().filter(|(_, probe)| !matches!(probe.kind, Kind::Repeated)) {
        sql.push(", ").append(probe.sql.clone()).push(&format!(" AS check_{number}"));
    }
    sql.push(" FROM ").name(name).push(") AS rows_checked");
    for (number, probe) in numbered().filter(|(_, probe)| matches!(probe.kind, Kind::Repeated)) {
        sql.push(&format!(" CROSS JOIN (SELECT count(*) AS check_{number} FROM (")).append(probe.sql.clone());
        sql.push(&format!(")) AS key_{number}"));
    }
    sql
}

/// Whether all probes hold, given the row of [`query`].
///
/// # Errors
/// [`crate::ErrorKind::Data`] with every rule that does not hold, at the place of the first.
pub(super) fn judge(prepared: &Prepared<'_>, name: &str, probes: &[Probe], row: &RecordBatch) -> Result<()> {
    let mut failed: Vec<(Place, String)> = Vec::new();
    for (idx, probe) in probes.iter().enumerate() {
        let found = row.columns().get(idx).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(found) = found.filter(|found| found.len() == 1 && found.is_valid(0)) else {
            return Err(Error::query(format!("the check that {} gave no number; this is a bug", probe.what)));
        };
        let n = u64::try_from(found.value(0)).unwrap_or(0);
        if let Some(verdict) = verdict(probe, n) {
            failed.push((probe.place, verdict));
        }
    }
    let Some((place, _)) = failed.first() else { return Ok(()) };
    let told: Vec<&str> = failed.iter().map(|(_, verdict)| verdict.as_str()).collect();
    let message = format!("validation of {name} failed: {}", told.join("; "));
    let error = Error::data(message).with_location(prepared.source.at(*place));
    Err(error.with_hint("no output was published"))
}

/// What is wrong, if anything is.
fn verdict(probe: &Probe, n: u64) -> Option<String> {
    let rows = |n: u64| if n == 1 { "1 row".to_string() } else { format!("{} rows", group_digits(n)) };
    match probe.kind {
        Kind::Rows { min, max } => {
            let fits = min.is_none_or(|min| n >= min) && max.is_none_or(|max| n <= max);
            (!fits).then(|| format!("{}: found {}", probe.what, rows(n)))
        }
        Kind::Broken => (n > 0).then(|| format!("{}: not so in {}", probe.what, rows(n))),
        Kind::Repeated => (n > 0).then(|| format!("{}: {} values stand more than once", probe.what, group_digits(n))),
        Kind::Held => None,
    }
}
