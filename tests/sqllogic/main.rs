//! The SQL files under `tests/slt/`, each record under every configuration: the budget, the threads, the batches and the
//! optimizer never change an answer.
//!
//! `tests/slt/verify.py` replays the same files in another engine. `SLT=windows cargo test --test sqllogic` runs only the
//! files with that text in their path.

mod answer;
mod script;

use std::path::{Path, PathBuf};

use brimful::memory::Budget;
use brimful::{ErrorKind, Session, SessionOptions, Strain};

use answer::Runner;
use script::Record;

/// Folders under `tests/slt/` that run only where the session understands such a query.
const PENDING: [(&str, &str); 6] = [
    ("joins", "SELECT a.x FROM (VALUES (1)) AS a (x) JOIN (VALUES (1)) AS b (x) ON a.x = b.x"),
    ("windows", "SELECT sum(x) OVER (ORDER BY x) FROM (VALUES (1)) AS t (x)"),
    ("subqueries", "SELECT x FROM (VALUES (1)) AS t (x) WHERE x NOT IN (SELECT 2)"),
    ("set_operations", "SELECT x FROM (VALUES (1)) AS t (x) EXCEPT ALL SELECT 2"),
    ("recursive", "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT n FROM t"),
    ("views", "CREATE OR REPLACE VIEW probe AS SELECT 1 AS x"),
];

/// The fewest records there have to be, so that a file that is not found shows.
const FEWEST_RECORDS: usize = 1500;

/// The most failures that are printed.
const MOST_SHOWN: usize = 25;

#[test]
fn by_default() {
    check("default", 2, Strain::default());
}

#[test]
fn in_batches_of_one_row() {
    check("one_row_batches", 2, Strain { batch_rows: Some(1), ..Strain::default() });
}

#[test]
fn on_eight_threads() {
    check("eight_threads", 8, Strain::default());
}

#[test]
fn in_little_memory_with_every_page_spilled() {
    let strain = Strain { governed_bytes: Some(24 << 20), evict_always: true, ..Strain::default() };
    check("spilled", 2, strain);
}

#[test]
fn in_little_memory_that_is_often_refused() {
    let strain = Strain { governed_bytes: Some(24 << 20), refuse_every: 31, ..Strain::default() };
    check("refused", 2, strain);
}

#[test]
fn without_the_optimizer() {
    check("without_optimizer", 2, Strain { without_optimizer: true, ..Strain::default() });
}

#[test]
fn there_are_enough_records_and_no_two_alike() {
    let records: Vec<Record> = files().iter().flat_map(|file| script::read(file)).collect();
    assert!(records.len() >= FEWEST_RECORDS, "{} records", records.len());
    let mut seen = std::collections::HashMap::new();
    for record in records.iter().filter(|record| matches!(record.expected, script::Expected::Rows { .. })) {
        let place = format!("{}:{}", record.file.display(), record.line);
        if let Some(other) = seen.insert(record.sql.clone(), place.clone()) {
            panic!("{place} is the same query as {other}");
        }
    }
}

/// Runs all files that are not pending in one session.
fn check(configuration: &str, threads: usize, strain: Strain) {
    let budget = Some(Budget::from_bytes(8 << 30));
    let session = Session::new(SessionOptions { budget, threads: Some(threads), strain, ..Default::default() });
    let session = session.expect("a session");
    let runner = Runner::new(&session);
    let (mut failures, mut n_run, mut n_refused) = (Vec::new(), 0, 0);
    let understood = |file: &&PathBuf| {
        PENDING.iter().all(|(folder, probe)| !file.starts_with(root().join(folder)) || runner.understands(probe))
    };
    for record in files().iter().filter(understood).flat_map(|file| script::read(file)) {
        if record.skipped.iter().any(|name| name == configuration || name == "all") {
            continue;
        }
        n_run += 1;
        match runner.check(&record) {
            Ok(()) => {}
            // A refusal may hit a request that nothing can do without.
            Err(failure) if strain.refuse_every > 0 && failure.kind == Some(ErrorKind::Budget) => n_refused += 1,
            Err(failure) => failures.push(format!("{failure}")),
        }
    }
    let shown = failures.iter().take(MOST_SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {n_run} records fail {configuration}:\n{shown}", failures.len());
    assert!(n_refused * 4 <= n_run, "{n_refused} of {n_run} queries gave up in {configuration}");
}

/// The files that `SLT` asks for, or all, in the order of their names.
fn files() -> Vec<PathBuf> {
    let wanted = std::env::var("SLT").unwrap_or_default();
    let mut files = Vec::new();
    collect(&root(), &mut files);
    files.retain(|file| file.display().to_string().contains(&wanted));
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new("tests").join("slt")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("tests/slt is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}
