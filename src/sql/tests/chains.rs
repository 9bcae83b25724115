//! Blocking operators that feed one another, on two and more threads that really work, with so little memory that they
//! spill: against an oracle that knows how the rows of the table are made.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;

use super::super::testing::{Output, TestTables};
use crate::error::Result;
use crate::exec::{self, Batch, Monitor, Sink};
use crate::operators::trial::Trial;
use crate::physical;

/// Rows of `many_pairs.csv`.
const N_ROWS: i64 = 60_000;

/// `g`, `x` and `s` of row `n`.
type Pair = (i64, Option<i64>, String);

fn pair(n: i64) -> Pair {
    (n * 31 % 997, (n % 7 > 0).then_some(n * 7919 % 1009), format!("text number {}", n * 17 % 503))
}

fn text(cells: &[&dyn ToString]) -> String {
    cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>().join(", ")
}

fn or_null(value: Option<i64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// The rows of `sql` in order, and whether pages were spilled.
fn rows_under(trial: &Trial, sql: &str) -> Result<(Vec<String>, bool)> {
    let cx = trial.context();
    assert!(cx.memory.sizes().threads >= 2, "the trial is about several workers");
    let planned = super::super::plan(sql, &TestTables::default(), &cx.memory)?;
    let output = Output::default();
    let sink: Arc<dyn Sink> = Arc::new(output.clone());
    let query = physical::lower(&planned.plan, |_, _| Ok(sink), &cx)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(trial.threads).build().unwrap();
    let metrics = exec::run(&query, &cx, &pool, &Monitor::new(&query))?;
    let mut batches = std::mem::take(&mut *output.batches.lock().unwrap());
    batches.sort_by_key(|batch| batch.sequence);
    let rows = batches.iter().flat_map(rows_of).collect();
    Ok((rows, metrics.spilled_raw_bytes > 0))
}

fn rows_of(batch: &Batch) -> Vec<String> {
    let cell = |column: &ArrayRef, row: usize| match column.is_null(row) {
        true => String::new(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let row = |row: usize| batch.data.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(", ");
    (0..batch.n_rows()).map(row).collect()
}

/// Runs `sql` under all kinds of pressure; its rows must be `expected`, in this order if `in_order`.
fn check(sql: &str, in_order: bool, mut expected: Vec<String>) {
    if !in_order {
        expected.sort();
    }
    for (governed_mib, threads, refuse_every, evict_always) in
        [(5, 2, 0, false), (5, 2, 0, true), (10, 4, 0, true), (20, 8, 0, true), (5, 2, 13, true)]
    {
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed_mib << 20, threads) };
        let place = format!("{sql}\nin {governed_mib} MiB, {threads} threads, refusing every {refuse_every}");
        match rows_under(&trial, sql) {
            Ok((mut rows, spilled)) => {
                if !in_order {
                    rows.sort();
                }
                let differs = rows.iter().zip(&expected).find(|(row, expected)| row != expected);
                assert!(differs.is_none() && rows.len() == expected.len(), "{place}: {differs:?}, {} rows", rows.len());
                assert!(spilled || governed_mib > 5, "{place}: nothing was spilled");
            }
            // A refusal may hit a request that nothing can do without.
            Err(error) if refuse_every > 0 && error.kind() == crate::ErrorKind::Budget => {}
            Err(error) => panic!("{place}: {error}"),
        }
    }
}

/// `SELECT g, x, s, count(*)` of the table, in the order of `s, x NULLS LAST, g`.
fn groups() -> Vec<(Pair, i64)> {
    let mut counts: BTreeMap<(String, bool, Option<i64>, i64), i64> = BTreeMap::new();
    for (g, x, s) in (0..N_ROWS).map(pair) {
        *counts.entry((s, x.is_none(), x, g)).or_default() += 1;
    }
    counts.into_iter().map(|((s, _, x, g), n)| ((g, x, s), n)).collect()
}

const GROUPS: &str = "SELECT g, x, s, count(*) AS n FROM 'many_pairs.csv' GROUP BY g, x, s";

#[test]
fn groups_are_sorted() {
    let expected = groups().into_iter().map(|((g, x, s), n)| text(&[&g, &or_null(x), &s, &n])).collect();
    check(&format!("{GROUPS} ORDER BY s, x, g"), true, expected);
}

#[test]
fn sorted_rows_are_limited() {
    let mut rows: Vec<_> = (0..N_ROWS).map(pair).collect();
    rows.sort_by_key(|(g, x, s)| (s.clone(), x.is_none(), *x, *g));
    let part = rows[1000..41_000].iter().map(|(g, x, s)| text(&[g, &or_null(*x), s])).collect();
    check("SELECT g, x, s FROM 'many_pairs.csv' ORDER BY s, x, g LIMIT 40000 OFFSET 1000", true, part);
}

#[test]
fn groups_are_grouped_again() {
    let mut totals: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    for ((g, _, s), n) in groups() {
        let total = totals.entry(s).or_insert((0, 0, i64::MIN));
        *total = (total.0 + 1, total.1 + n, total.2.max(g));
    }
    let expected = totals.into_iter().map(|(s, (n, sum, max))| text(&[&s, &n, &sum, &max])).collect();
    check(&format!("SELECT s, count(*), sum(n), max(g) FROM ({GROUPS}) GROUP BY s"), false, expected);
}

#[test]
fn the_first_groups_are_grouped_again() {
    let mut totals: BTreeMap<i64, (i64, String)> = BTreeMap::new();
    for ((g, _, s), n) in groups().into_iter().take(20_000) {
        let total = totals.entry(g).or_insert((0, s.clone()));
        *total = (total.0 + n, s.min(std::mem::take(&mut total.1)));
    }
    let expected = totals.into_iter().map(|(g, (n, s))| text(&[&g, &n, &s])).collect();
    let first = format!("{GROUPS} ORDER BY s, x, g LIMIT 20000");
    check(&format!("SELECT g, sum(n), min(s) FROM ({first}) GROUP BY g ORDER BY g"), true, expected);
}

#[test]
fn accumulators_of_the_library_are_split() {
    // Nearly every row is a group, and each has a state outside its row.
    let expected = groups().into_iter().map(|((g, x, s), _)| text(&[&g, &or_null(x), &s, &s, &s])).collect();
    check("SELECT g, x, s, min(s), max(s) FROM 'many_pairs.csv' GROUP BY g, x, s", false, expected);
}
