//! Runs a record and compares what came with what must come.
//!
//! Results go through a CSV file, the way of users: NULL is an empty cell there and an empty string is `""`.

use std::fmt;
use std::path::PathBuf;

use brimful::exec::CancelToken;
use brimful::io::{Output, OutputFormat};
use brimful::{Error, ErrorKind, Session};

use crate::script::{Expected, Record, canonical_row};

/// Tries when memory is refused on purpose.
const MOST_TRIES: usize = 6;

/// Runs records in one session.
pub struct Runner<'s> {
    session: &'s Session,
    folder: tempfile::TempDir,
}

/// What a record did instead.
pub struct Failure {
    place: String,
    sql: String,
    expected: String,
    got: String,
    /// Of an error that came instead of rows.
    pub kind: Option<ErrorKind>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { place, sql, expected, got, .. } = self;
        write!(f, "{place}\n{sql}\n-- expected\n{expected}\n-- got\n{got}\n")
    }
}

impl<'s> Runner<'s> {
    pub fn new(session: &'s Session) -> Self {
        // Results are put in place durably, which takes long where a disk is behind it.
        let in_memory = PathBuf::from("/dev/shm");
        let parent = if in_memory.is_dir() { in_memory } else { std::env::temp_dir() };
        Runner { session, folder: tempfile::tempdir_in(parent).expect("a folder for results") }
    }

    /// Whether `record` does what it must.
    pub fn check(&self, record: &Record) -> Result<(), Failure> {
        let got = self.run_patiently(&record.sql);
        let (matches, expected) = match (&record.expected, &got) {
            (Expected::Done, Ok(_)) => (true, String::new()),
            (Expected::Done, Err(_)) => (false, "no error".to_string()),
            (Expected::Error(text), Ok(_)) => (false, format!("error: {text}")),
            (Expected::Error(text), Err(error)) => (format!("{error:?}").contains(text), format!("error: {text}")),
            (Expected::Rows { rows, .. }, Err(_)) => (false, rows.join("\n")),
            (Expected::Rows { types, sorted, rows }, Ok(csv)) => {
                (as_rows(csv, types, *sorted).as_ref() == Ok(rows), rows.join("\n"))
            }
        };
        if matches {
            return Ok(());
        }
        let place = format!("{}:{}", record.file.display(), record.line);
        let kind = got.as_ref().err().map(Error::kind);
        let got = match (got, &record.expected) {
            (Ok(csv), Expected::Rows { types, sorted, .. }) => match as_rows(&csv, types, *sorted) {
                Ok(rows) => rows.join("\n"),
                Err(wrong) => format!("{wrong}:\n{csv}"),
            },
            (Ok(csv), _) => csv,
            (Err(error), _) => format!("error: {error:?}"),
        };
        Err(Failure { place, sql: record.sql.clone(), expected, got, kind })
    }

    /// Whether the session can run `probe`.
    pub fn understands(&self, probe: &str) -> bool {
        self.run_patiently(probe).is_ok()
    }

    /// Tries again after a refusal, which may have hit a request that nothing can do without.
    fn run_patiently(&self, sql: &str) -> Result<String, Error> {
        let gave_up = |got: &Result<_, Error>| got.as_ref().is_err_and(|error| error.kind() == ErrorKind::Budget);
        let tries = (0..MOST_TRIES).map(|_| self.run(sql));
        let mut tries = tries.skip_while(gave_up);
        tries.next().unwrap_or_else(|| Err(Error::budget("refused at every try")))
    }

    fn run(&self, sql: &str) -> Result<String, Error> {
        let path = self.folder.path().join("result.csv");
        let output = Output::File(path.clone(), OutputFormat::Csv);
        let _ = std::fs::remove_file(&path);
        match self.session.sql(sql) {
            Ok(query) => query.into_run(&output, CancelToken::default())?.execute()?,
            // CREATE VIEW and DROP have been carried out by then.
            Err(error) if error.message() == "this statement gives no rows" => return Ok(String::new()),
            Err(error) => return Err(error),
        };
        // CREATE TABLE leaves no file.
        Ok(std::fs::read_to_string(path).unwrap_or_default())
    }
}

/// The rows of a result in CSV as lines of a record.
fn as_rows(csv: &str, types: &str, sorted: bool) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for cells in split_csv(csv).into_iter().skip(1) {
        if cells.len() != types.len() {
            return Err(format!("{} columns and not {}", cells.len(), types.len()));
        }
        for (cell, kind) in cells.iter().zip(types.chars()) {
            if !is_kind(cell, kind) {
                return Err(format!("{cell} is not of type {kind}"));
            }
        }
        rows.push(canonical_row(types, &cells.join("\t")));
    }
    if sorted {
        rows.sort();
    }
    Ok(rows)
}

/// Whether a column of this type writes such a cell.
fn is_kind(cell: &str, kind: char) -> bool {
    match kind {
        _ if cell == "NULL" => true,
        'I' => cell.parse::<i128>().is_ok(),
        'R' => cell.parse::<f64>().is_ok() && cell.parse::<i128>().is_err(),
        _ => true,
    }
}

/// Cells of a CSV text with NULL, empty text and control characters written out.
fn split_csv(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    let (mut cell, mut quoted, mut inside) = (String::new(), false, false);
    let mut letters = csv.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if inside && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => (quoted, inside) = (true, !inside),
            ',' | '\n' if !inside => {
                row.push(shown(std::mem::take(&mut cell), std::mem::take(&mut quoted)));
                if letter == '\n' {
                    rows.push(std::mem::take(&mut row));
                }
            }
            _ => cell.push(letter),
        }
    }
    rows
}

fn shown(cell: String, quoted: bool) -> String {
    match (cell.is_empty(), quoted) {
        (true, true) => "(empty)".to_string(),
        (true, false) => "NULL".to_string(),
        _ => cell.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t"),
    }
}
