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

const CALLS: [&str; 21] = [
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
    "median(x), median(length(s)), median(DISTINCT x), median(x) FILTER (WHERE s > 'text number 3')",
    "percentile_cont(0.9) WITHIN GROUP (ORDER BY x), quantile_cont(x, 0.1), sum(x)",
    "percentile_disc(0.7) WITHIN GROUP (ORDER BY s DESC), quantile(x, 0.3), mode(s), mode(x) FILTER (WHERE x < 0)",
    "count(DISTINCT x), count(DISTINCT s), sum(DISTINCT x), count(DISTINCT x) FILTER (WHERE x % 2 = 0), count(*), max(s)",
    "array_agg(DISTINCT s ORDER BY s DESC), array_agg(x ORDER BY s, x), count(DISTINCT x)",
    "string_agg(DISTINCT s, '; ' ORDER BY s), string_agg(s, '' ORDER BY s) FILTER (WHERE x > 900), median(x)",
    "nth_value(s, 2 ORDER BY x, s), nth_value(x, -2 ORDER BY x), nth_value(x, 100000 ORDER BY x)",
    "count(DISTINCT x), count(DISTINCT s), sum(DISTINCT x % 10), avg(x), min(x) FILTER (WHERE x > 500), count(*), bool_or(x > 9)",
    "avg(DISTINCT x), stddev(DISTINCT x), approx_distinct(s), count(DISTINCT x % 3 = 0)",
    "first_value(s ORDER BY x, s), count(*), median(x), min(s), sum(x) FILTER (WHERE x > 500)",
    "string_agg('x', ','), array_agg(7), median(3), nth_value('y', 2), count(DISTINCT 1), sum(2), mode('z')",
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

const WINDOWS: [&str; 8] = [
    "row_number() OVER (PARTITION BY g ORDER BY x, s)",
    "sum(x) OVER (PARTITION BY g ORDER BY x), count(*) OVER (PARTITION BY g)",
    "rank() OVER (ORDER BY g), lag(s, 3) OVER (ORDER BY x, s, g), sum(x) OVER ()",
    "min(s) OVER (PARTITION BY g % 3 ORDER BY x, s ROWS BETWEEN 40 PRECEDING AND 90 FOLLOWING)",
    "max(x) OVER (ORDER BY g RANGE BETWEEN 5 PRECEDING AND 2 FOLLOWING), ntile(7) OVER (ORDER BY g, x, s)",
    "median(x) OVER (PARTITION BY g), count(DISTINCT x) OVER (PARTITION BY g ORDER BY s)",
    "first_value(s) OVER (PARTITION BY g % 5 ORDER BY x, s GROUPS BETWEEN 3 PRECEDING AND 1 FOLLOWING)",
    "lead(x, 2, -1) OVER (PARTITION BY s ORDER BY x, g), cume_dist() OVER (PARTITION BY g % 2 ORDER BY x)",
];

#[test]
fn windows_are_the_same_under_pressure() {
    for call in WINDOWS {
        check_everywhere(&format!("SELECT g, x, s, {call} FROM 'pairs.csv'"));
    }
}

#[test]
fn grouping_sets_and_several_orders_are_the_same_under_pressure() {
    let calls = "median(x), count(DISTINCT x), count(DISTINCT s), mode(s), count(*), sum(x)";
    for sets in ["GROUPING SETS ((a, b), (a), ())", "CUBE (a, b)", "ROLLUP (a, b), a"] {
        check_everywhere(&format!(
            "SELECT a, b, {calls} FROM (SELECT g % 5 AS a, s = 'x' AS b, x, s FROM 'pairs.csv') GROUP BY {sets}"
        ));
    }
}

/// DISTINCT without and with a sort: a median beside it needs one.
#[test]
fn grouping_twice_and_sorting_give_the_same() {
    let calls = [
        "count(DISTINCT x) AS a, count(*) AS b, sum(x) AS c, avg(x) AS d, count(x) FILTER (WHERE x > 500) AS e",
        "count(DISTINCT x) AS a, count(DISTINCT s) AS b, sum(x) AS c, count(*) AS d, count(x) AS e",
        "sum(DISTINCT x % 7) AS a, avg(DISTINCT x * 0.5) AS b, count(DISTINCT g % 3) AS c, max(s) AS d, min(x) AS e",
        "count(DISTINCT x) FILTER (WHERE g < 400) AS a, count(DISTINCT x) AS b, count(*) FILTER (WHERE x < 9) AS c, \
         count(DISTINCT s) FILTER (WHERE x IS NULL) AS d, bool_and(x < 1000) AS e",
    ];
    for call in calls {
        for (key, group) in [("k, ", "GROUP BY k"), ("", ""), ("k, ", "GROUP BY ROLLUP (k)")] {
            for table in ["SELECT * FROM 'pairs.csv'", "SELECT * FROM 'pairs.csv' WHERE g < 0"] {
                let trial = Trial { evict_always: true, ..Trial::new(24 << 20, 2) };
                let from = format!("FROM (SELECT *, g % 40 AS k FROM ({table})) {group}");
                let twice = format!("SELECT {key}{call} {from}");
                let sorted = format!(
                    "SELECT {key}a, b, c, d, e FROM (SELECT {key}{call}, median(x) AS m {from}) WHERE m IS NULL OR m > -1"
                );
                assert_eq!(rows_under(&trial, &twice).unwrap(), rows_under(&trial, &sorted).unwrap(), "{twice}");
            }
        }
    }
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

/// The lists of all rows together would be larger than memory.
#[test]
fn lists_over_frames_that_grow_go_on_in_parts() {
    let text = "SELECT sum(array_length(l)) FROM \
        (SELECT array_agg(x) OVER (ORDER BY x) AS l FROM (SELECT unnest(range(0, 2500)) AS x))";
    assert_eq!(rows_under(&Trial::new(16 << 20, 1), text).unwrap(), ["3126250"]);
}

#[test]
fn a_distinct_recursion_of_more_rows_than_are_remembered_goes_on() {
    check_everywhere(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION SELECT x FROM t, (SELECT unnest(range(1, 70001)) AS x) AS u \
         WHERE n % 30000 = 1) SELECT count(*), sum(n) FROM t",
    );
}

#[test]
fn joins_by_order_in_little_memory() {
    check_everywhere(
        "SELECT count(*), sum(a.x), sum(b.x), count(a.s) FROM 'pairs.csv' AS a FULL JOIN 'pairs.csv' AS b \
         ON a.x BETWEEN b.x - 1 AND b.x AND a.g <> b.g",
    );
    for kind in ["", "LEFT"] {
        check_everywhere(&format!(
            "SELECT count(*), sum(a.x), sum(b.x), max(b.s) FROM 'pairs.csv' AS a ASOF {kind} JOIN \
             (SELECT g, x, max(s) AS s FROM 'pairs.csv' GROUP BY g, x) AS b ON a.g = b.g AND a.x > b.x"
        ));
    }
}

#[test]
fn many_copies_of_a_query_are_refused_before_they_are_made() {
    let doubled = |n_levels: usize| {
        let level = |idx: usize| format!("t{} AS (SELECT a.x FROM t{idx} a JOIN t{idx} b ON a.x = b.x)", idx + 1);
        let levels: Vec<String> = (0..n_levels).map(level).collect();
        format!("WITH t0 AS (SELECT x FROM 'one.csv'), {} SELECT count(*) FROM t{n_levels}", levels.join(", "))
    };
    // The planner plans a WITH that nobody names, too.
    let unnamed = |n_levels: usize| doubled(n_levels).replace(&format!("FROM t{n_levels}"), "FROM t0");
    let trial = Trial::new(64 << 20, 1);
    assert_eq!(rows_under(&trial, &doubled(3)).unwrap(), ["1"]);
    for n_levels in [16, 60, 200] {
        let started = std::time::Instant::now();
        for text in [doubled(n_levels), unnamed(n_levels)] {
            let error = rows_under(&trial, &text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Budget, "{error}");
            assert!(error.to_string().contains("CREATE TEMP TABLE"), "{error}");
        }
        assert!(started.elapsed().as_secs() < 10, "{n_levels} levels");
    }
}
