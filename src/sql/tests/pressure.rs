//! Aggregates of the library on two threads and with little memory: the same rows as on one thread with plenty.

use std::sync::Arc;

use arrow::util::display::array_value_to_string;

use super::super::testing::{Output, TestTables};
use crate::error::Result;
use crate::exec::{self, Monitor, Sink};
use crate::operators::trial::Trial;
use crate::physical;

/// The rows of `text` on the real driver, sorted.
fn rows_under(trial: &Trial, text: &str) -> Result<Vec<String>> {
    let cx = trial.context();
    let planned = super::super::plan(text, &TestTables::default(), &cx.memory)?;
    let output = Output::default();
    let sink: Arc<dyn Sink> = Arc::new(output.clone());
    let query = physical::lower(&planned.plan, |_, _| Ok(sink), &cx)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(trial.threads).build().unwrap();
    exec::run(&query, &cx, &pool, &Monitor::new(&query))?;
    let batches = output.batches.lock().unwrap();
    let row = |batch: &exec::Batch, row: usize| {
        let cells = batch.data.columns().iter().map(|column| match array_value_to_string(column, row).unwrap() {
            empty if empty.is_empty() => "_".to_string(),
            full => full,
        });
        cells.collect::<Vec<_>>().join(", ")
    };
    let rows = batches.iter().flat_map(|batch| (0..batch.n_rows()).map(|idx| row(batch, idx)));
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    Ok(rows)
}

/// Runs `text` in plenty of memory, in little, with pages evicted at once, and with refusals.
fn check_everywhere(text: &str) {
    let expected = rows_under(&Trial::new(1 << 30, 1), text).unwrap();
    let trial = |governed_bytes, threads, refuse_every, evict_always| Trial {
        refuse_every,
        evict_always,
        ..Trial::new(governed_bytes, threads)
    };
    let trials = [
        trial(256 << 20, 1, 0, false),
        trial(256 << 20, 2, 0, false),
        trial(24 << 20, 2, 0, true),
        trial(24 << 20, 2, 11, true),
    ];
    for trial in trials {
        let place = format!("{text} in {} bytes, {} threads", trial.governed_bytes, trial.threads);
        match rows_under(&trial, text) {
            Ok(rows) => assert!(rows == expected, "{place}: {rows:?} is not {expected:?}"),
            // A refusal may hit a request that nothing can do without.
            Err(error) if trial.refuse_every > 0 && error.kind() == crate::ErrorKind::Budget => {}
            Err(error) => panic!("{place}: {error}"),
        }
    }
}

const CALLS: [&str; 11] = [
    "first_value(s ORDER BY x, s)",
    "last_value(x ORDER BY s, x)",
    "median(x)",
    "count(DISTINCT x), count(DISTINCT s)",
    "array_agg(x ORDER BY x)",
    "string_agg(s, ',' ORDER BY s)",
    "min(s), max(s)",
    "approx_distinct(s)",
    "bit_and(x), bit_or(x)",
    "sum(DISTINCT x), avg(x)",
    "first_value(s ORDER BY x, s), count(*), median(x), min(s), sum(x) FILTER (WHERE x > 500)",
];

#[test]
fn grouped_calls_are_the_same_under_pressure() {
    for call in CALLS {
        check_everywhere(&format!("SELECT g, {call} FROM 'pairs.csv' GROUP BY g"));
    }
}

#[test]
fn ungrouped_calls_are_the_same_under_pressure() {
    for call in CALLS {
        check_everywhere(&format!("SELECT {call} FROM 'pairs.csv'"));
    }
}

#[test]
fn calls_over_few_or_no_rows_are_the_same_under_pressure() {
    for call in ["first_value(x ORDER BY x)", "median(x), count(DISTINCT x)", "array_agg(x ORDER BY x), min(x)"] {
        for table in ["empty.csv", "one.csv"] {
            check_everywhere(&format!("SELECT {call} FROM '{table}'"));
            check_everywhere(&format!("SELECT x, {call} FROM '{table}' GROUP BY x"));
        }
    }
    check_everywhere("SELECT DISTINCT ON (g) g, s, x FROM 'pairs.csv' ORDER BY g, s, x");
    check_everywhere("SELECT g, median(x) FROM 'pairs.csv' WHERE x < 0 GROUP BY g");
}

#[test]
fn joins_are_the_same_under_pressure() {
    for query in [
        "SELECT p.g, q.s, q.x FROM 'pairs.csv' p FULL JOIN 'pairs.csv' q ON p.g = q.g AND p.s = q.s AND p.x > 300",
        "SELECT p.g, count(*), min(q.x) FROM 'pairs.csv' p LEFT JOIN 'pairs.csv' q ON p.x = q.x AND p.g < q.g \
         GROUP BY p.g",
        "SELECT g, s FROM 'pairs.csv' p WHERE x NOT IN (SELECT g FROM 'pairs.csv' WHERE g > 500)",
        "SELECT g, s FROM 'pairs.csv' p WHERE EXISTS (SELECT 1 FROM 'pairs.csv' q WHERE q.s = p.s AND q.x > p.x + 1000)",
        "SELECT g, x, (SELECT max(x) FROM 'pairs.csv' q WHERE q.g = p.g) AS m FROM 'pairs.csv' p WHERE x > 700",
        "SELECT p.s, q.x FROM 'pairs.csv' p CROSS JOIN 'one.csv' q WHERE p.x IS NULL",
        "SELECT p.x, q.x FROM 'many.csv' p FULL JOIN 'pairs.csv' q ON p.x > q.x",
        "SELECT a.g, c.s FROM 'pairs.csv' a JOIN 'pairs.csv' b ON a.g = b.g AND a.s = b.s \
         RIGHT JOIN 'pairs.csv' c ON b.x = c.x AND b.g = c.g",
    ] {
        check_everywhere(query);
    }
}
