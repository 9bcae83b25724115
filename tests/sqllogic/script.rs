//! Files in the sqllogictest format as records.
//!
//! Known are `statement ok`, `statement error TEXT`, `query TYPES [nosort|rowsort]` with `----` and the rows, and in front
//! of a record `skipif CONFIGURATION: reason`, where `all` is every configuration. Cells are separated by tabs. TYPES has a letter a column: `I` whole
//! number, `R` floating point, `T` everything else. A record ends with an empty line.

use std::path::{Path, PathBuf};

/// One statement with what it must do.
pub struct Record {
    pub file: PathBuf,
    /// Line of the directive, from 1.
    pub line: usize,
    pub sql: String,
    pub expected: Expected,
    /// Configurations that cannot run it.
    pub skipped: Vec<String>,
}

pub enum Expected {
    Done,
    /// The message contains this text.
    Error(String),
    Rows {
        types: String,
        sorted: bool,
        rows: Vec<String>,
    },
}

/// All records of a file.
///
/// # Panics
/// When the file is not in the format, with the line.
pub fn read(file: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines: Vec<&str> = text.lines().collect();
    let mut records = Vec::new();
    let mut skipped = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let fail = |what: &str| -> ! { panic!("{}:{}: {what}: {}", file.display(), at + 1, lines[at]) };
        let (word, rest) = lines[at].split_once(' ').unwrap_or((lines[at], ""));
        match word {
            _ if lines[at].is_empty() || word.starts_with('#') => at += 1,
            "skipif" => {
                let Some((name, reason)) = rest.split_once(':') else { fail("skipif CONFIGURATION: reason") };
                assert!(!reason.trim().is_empty(), "{}:{}: a reason is missing", file.display(), at + 1);
                skipped.push(name.to_string());
                at += 1;
            }
            "statement" | "query" => {
                let n_lines = lines[at..].iter().take_while(|line| !line.is_empty()).count();
                let (sql, rows) = body(&lines[at + 1..at + n_lines]);
                let Some(expected) = expected(word, rest, rows) else { fail("not understood") };
                let line = at + 1;
                records.push(Record { file: file.into(), line, sql, expected, skipped: std::mem::take(&mut skipped) });
                at += n_lines;
            }
            _ => fail("not a directive"),
        }
    }
    records
}

/// The statement and the rows after `----`, when there is such a line.
fn body(lines: &[&str]) -> (String, Option<Vec<String>>) {
    match lines.iter().position(|line| *line == "----") {
        Some(end) => (lines[..end].join("\n"), Some(lines[end + 1..].iter().map(ToString::to_string).collect())),
        None => (lines.join("\n"), None),
    }
}

fn expected(word: &str, rest: &str, rows: Option<Vec<String>>) -> Option<Expected> {
    if let Some(message) = rest.strip_prefix("error ") {
        return rows.is_none().then(|| Expected::Error(message.to_string()));
    }
    match (word, rest) {
        ("statement", "ok") => rows.is_none().then_some(Expected::Done),
        ("query", _) => {
            let (types, mode) = rest.split_once(' ').unwrap_or((rest, "nosort"));
            let known = !types.is_empty() && types.chars().all(|letter| "IRT".contains(letter));
            let sorted = match mode {
                "nosort" => false,
                "rowsort" => true,
                _ => return None,
            };
            let mut rows: Vec<String> = rows?.iter().map(|row| canonical_row(types, row)).collect();
            if sorted {
                rows.sort();
            }
            known.then(|| Expected::Rows { types: types.to_string(), sorted, rows })
        }
        _ => None,
    }
}

/// A row whose floating-point cells are written in one way.
pub fn canonical_row(types: &str, row: &str) -> String {
    let kinds = types.chars().chain(std::iter::repeat('?'));
    let cells = row.split('\t').zip(kinds).map(|(cell, kind)| match kind {
        'R' => canonical_float(cell),
        _ => cell.to_string(),
    });
    cells.collect::<Vec<_>>().join("\t")
}

/// Twelve digits, so that the order in which a sum is taken does not show.
fn canonical_float(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => {
            let rounded: f64 = format!("{value:.11e}").parse().unwrap_or(value);
            format!("{:?}", if rounded == 0.0 { 0.0 } else { rounded })
        }
        Ok(value) => value.to_string(),
        Err(_) => cell.to_string(),
    }
}
