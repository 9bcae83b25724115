//! `brimful validate`.
//!
//! All checks of single rows are counted in one pass; keys that should be unique are grouped, which may spill. Rows are
//! looked up only for checks that failed.

use arrow::datatypes::DataType;
use serde_json::{Value, json};

use super::answer::{first_row, numbers};
use super::args::{InspectFormat, Range, ValidateArgs, session_options};
use super::delivery::Delivery;
use super::input::{Input, literal, quoted};
use super::schema::type_name;
use super::{explain, messages};
use crate::error::{Error, Result};
use crate::exec::{CancelToken, group_digits};
use crate::session::Session;

/// What should hold.
struct Check {
    /// As the user would say it.
    name: String,
    rule: Rule,
}

enum Rule {
    /// No row may be like this.
    NoRow {
        condition: String,
    },
    /// No two rows may have the same values in these columns.
    Unique {
        columns: Vec<String>,
    },
    AtLeast(u64),
    Exactly(u64),
}

/// What came out.
struct Finding {
    check: String,
    /// Rows that break it, or how many there are.
    n_rows: u64,
    passed: bool,
    example: Option<String>,
}

/// Makes the checks and says what was found.
pub(super) fn run(args: &ValidateArgs, cancel: &CancelToken) -> Result<()> {
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let input = Input::open(&session, &args.input.files)?;
    let checks = checks_of(args, &input)?;
    if checks.is_empty() {
        return Err(Error::usage("there is nothing to check").with_hint("for example: --not-null id --unique id"));
    }
    let mut delivery = Delivery::new(&session, &args.messages, cancel);
    let (n_rows, findings) = find(&session, &mut delivery, &input, checks)?;
    messages::print(&match args.format {
        InspectFormat::Text => as_text(&findings, n_rows),
        InspectFormat::Json => explain::pretty(&as_json(&findings, n_rows))?,
    })?;
    let n_failed = findings.iter().filter(|finding| !finding.passed).count();
    match n_failed {
        0 => Ok(()),
        _ => Err(Error::data(format!("{n_failed} of {} checks failed for {}", findings.len(), input.name()))),
    }
}

fn checks_of(args: &ValidateArgs, input: &Input) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let rows = |name: String, rule| Check { name, rule };
    checks.extend(args.min_rows.map(|n| rows(format!("at least {} rows", group_digits(n)), Rule::AtLeast(n))));
    checks.extend(args.rows.map(|n| rows(format!("exactly {} rows", group_digits(n)), Rule::Exactly(n))));
    for name in &args.not_null {
        let column = quoted(input.field(name.trim())?.name());
        let rule = Rule::NoRow { condition: format!("{column} IS NULL") };
        checks.push(Check { name: format!("not-null {}", name.trim()), rule });
    }
    for range in &args.range {
        checks.push(in_range(range, input)?);
    }
    for name in &args.finite {
        checks.push(finite(name.trim(), input)?);
    }
    for names in &args.unique {
        let columns: Vec<String> =
            names.split(',').map(|name| Ok(quoted(input.field(name.trim())?.name()))).collect::<Result<_>>()?;
        checks.push(Check { name: format!("unique {names}"), rule: Rule::Unique { columns } });
    }
    Ok(checks)
}

fn in_range(range: &Range, input: &Input) -> Result<Check> {
    let field = input.field(&range.column)?;
    let column = quoted(field.name());
    let below = range.min.as_ref().map(|min| Ok(format!("{column} < {}", bound(min, field.data_type(), range)?)));
    let above = range.max.as_ref().map(|max| Ok(format!("{column} > {}", bound(max, field.data_type(), range)?)));
    let conditions: Vec<String> = below.into_iter().chain(above).collect::<Result<_>>()?;
    let text = |bound: &Option<String>| bound.clone().unwrap_or_default();
    Ok(Check {
        name: format!("range {} = {}..{}", range.column, text(&range.min), text(&range.max)),
        rule: Rule::NoRow { condition: conditions.join(" OR ") },
    })
}

/// A bound as SQL writes a value of the column's type.
fn bound(text: &str, data_type: &DataType, range: &Range) -> Result<String> {
    match data_type {
        number if number.is_numeric() => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(text.trim_start_matches('+').to_string()),
            _ => Err(Error::usage(format!("{text:?} is not a number, and column {:?} holds numbers", range.column))
                .with_hint(format!("for example: --range {}=0..100", range.column))),
        },
        DataType::Date32 | DataType::Timestamp(..) => {
            Ok(format!("CAST({} AS {})", literal(text), type_name(data_type)))
        }
        DataType::Utf8 | DataType::LargeUtf8 => Ok(literal(text)),
        other => Err(Error::usage(format!("column {:?} has no range: its type is {}", range.column, type_name(other)))),
    }
}

fn finite(name: &str, input: &Input) -> Result<Check> {
    let field = input.field(name)?;
    let column = quoted(field.name());
    let condition = match field.data_type() {
        DataType::Float32 | DataType::Float64 => {
            format!("isnan({column}) OR abs({column}) = CAST('Infinity' AS DOUBLE)")
        }
        number if number.is_numeric() => "false".into(),
        other => {
            return Err(Error::usage(format!("column {name:?} holds no numbers: its type is {}", type_name(other)))
                .with_hint(format!("say which type it should have: --schema {name}=double")));
        }
    };
    Ok(Check { name: format!("finite {name}"), rule: Rule::NoRow { condition } })
}

fn find(
    session: &Session,
    delivery: &mut Delivery<'_>,
    input: &Input,
    checks: Vec<Check>,
) -> Result<(u64, Vec<Finding>)> {
    let mut totals = vec!["count(*)".to_string()];
    for check in &checks {
        if let Rule::NoRow { condition } = &check.rule {
            totals.push(format!("count(*) FILTER (WHERE {condition}) AS c{}", totals.len()));
        }
    }
    let mut counted =
        numbers(session, delivery, &format!("SELECT {} FROM {}", totals.join(", "), input.sql()))?.into_iter();
    let n_rows = counted.next().unwrap_or(0);
    let mut findings = Vec::new();
    for Check { name, rule } in checks {
        let (bad, passed, look_up) = match rule {
            Rule::AtLeast(least) => (n_rows, n_rows >= least, None),
            Rule::Exactly(wanted) => (n_rows, n_rows == wanted, None),
            Rule::NoRow { condition } => {
                let bad = counted.next().unwrap_or(0);
                (bad, bad == 0, Some(format!("SELECT * FROM {} WHERE {condition} LIMIT 1", input.sql())))
            }
            Rule::Unique { columns } => {
                let groups = repeated(&columns, input);
                let total = format!("SELECT sum(n_rows) AS total FROM ({groups}) AS repeated");
                let bad = numbers(session, delivery, &total)?.first().copied().unwrap_or(0);
                (bad, bad == 0, Some(format!("{groups} ORDER BY n_rows DESC LIMIT 1")))
            }
        };
        let example = match look_up {
            Some(sql) if !passed => first_row(session, delivery, &sql)?,
            _ => None,
        };
        findings.push(Finding { check: name, n_rows: bad, passed, example });
    }
    Ok((n_rows, findings))
}

/// The keys that occur more than once, and how often.
fn repeated(columns: &[String], input: &Input) -> String {
    let keys = columns.join(", ");
    let known: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    let (table, known) = (input.sql(), known.join(" AND "));
    format!("SELECT {keys}, count(*) AS n_rows FROM {table} WHERE {known} GROUP BY {keys} HAVING count(*) > 1")
}

fn as_text(findings: &[Finding], n_rows: u64) -> String {
    let line = |finding: &Finding| {
        let Finding { check, n_rows: found, passed, example } = finding;
        let example = example.as_ref().map_or(String::new(), |row| format!("\n      for example {row}"));
        match passed {
            true => format!("ok    {check}\n"),
            false if check.ends_with(" rows") => format!("FAIL  {check}: there are {}\n", group_digits(*found)),
            false => format!("FAIL  {check}: {} of {} rows{example}\n", group_digits(*found), group_digits(n_rows)),
        }
    };
    findings.iter().map(line).collect()
}

fn as_json(findings: &[Finding], n_rows: u64) -> Value {
    let checks = findings.iter().map(|finding| {
        let example = finding.example.as_ref().and_then(|row| serde_json::from_str::<Value>(row).ok());
        json!({ "check": finding.check, "passed": finding.passed, "rows": finding.n_rows, "example": example })
    });
    json!({ "rows": n_rows, "passed": findings.iter().all(|finding| finding.passed), "checks": checks.collect::<Vec<_>>() })
}
