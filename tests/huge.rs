//! Expressions whose values are huge: made a few rows at a time, or refused before they are made.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const BUDGET: u64 = 128 << 20;

/// Runs `sql` over 3,000 rows `a,x` = `n,tn`; returns exit code, output, message and the metrics. The budget holds.
fn run(folder: &Path, sql: &str) -> (i32, String, String) {
    let rows: String = (0..3000).map(|n| format!("{n},t{n}\n")).collect();
    fs::write(folder.join("in.csv"), format!("a,x\n{rows}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    command.current_dir(folder).args(["sql", "--memory-budget", "128MiB", "--threads", "2"]);
    let output = command.args(["--metrics", "m.json", sql]).output().unwrap();
    let metrics = fs::read_to_string(folder.join("m.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    let peak = metrics["peak_resident_bytes"].as_u64().unwrap();
    assert!(peak <= BUDGET, "{sql}: {peak} bytes");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_value_beyond_the_budget_is_refused_before_it_is_made() {
    let folder = TempDir::new().unwrap();
    for (expression, function) in [
        ("length(repeat(x, 200000000))", "repeat"),
        ("length(repeat('a', 200000000))", "repeat"),
        ("length(lpad(x, 500000000, 'é'))", "lpad"),
        ("length(rpad(x, 500000000))", "rpad"),
        ("length(replace(repeat(x, 100), 't', repeat('b', 1000000)))", "replace"),
        ("length(regexp_replace(repeat(x, 100000), 't', repeat('b', 100000), 'g'))", "regexp_replace"),
        ("length(array_to_string(array_repeat(x, 100000), repeat('b', 100000)))", "array_to_string"),
        (&format!("length(concat_ws(repeat('b', 500000){}))", ", x".repeat(80)), "concat_ws"),
        ("array_length(generate_series(1, 100000000 + a))", "generate_series"),
        ("array_length(range(0, 100000000))", "range"),
        ("array_length(range(timestamp '2020-01-01', timestamp '2024-01-01', interval '1 second'))", "range"),
        ("array_length(array_repeat(x, 500000000))", "array_repeat"),
        ("array_length(array_resize([a], 500000000, 0))", "array_resize"),
    ] {
        let (code, _, said) = run(folder.path(), &format!("SELECT sum({expression}) FROM 'in.csv'"));
        assert_eq!(code, 4, "{expression}: {said}");
        assert!(said.contains(&format!("{function} would make a value of")), "{expression}: {said}");
    }
}

#[test]
fn values_that_are_too_large_together_are_made_a_few_at_a_time() {
    let folder = TempDir::new().unwrap();
    for (expression, expected) in [
        ("sum(length(repeat(x, 100000)))", "1389000000"),
        ("sum(length(x || repeat('a', 100000)))", "300013890"),
        ("sum(length(coalesce(nullif(x, 't0'), repeat('a', 100000))))", "113888"),
        ("sum(array_length(range(0, a * 10)))", "44985000"),
        ("count(DISTINCT length(repeat(x, 100000)))", "4"),
        ("count(*) FILTER (WHERE length(rpad(x, 100000)) = 100000)", "3000"),
    ] {
        let (code, rows, said) = run(folder.path(), &format!("SELECT {expression} AS n FROM 'in.csv'"));
        assert_eq!((code, rows.as_str()), (0, format!("n\n{expected}\n").as_str()), "{expression}: {said}");
    }
    let (code, rows, said) = run(folder.path(), "SELECT a, repeat(x, 10000) FROM 'in.csv' WHERE a % 2 = 0");
    assert_eq!((code, rows.lines().count()), (0, 1501), "{said}");
    let numbers: Vec<_> = rows.lines().skip(1).map(|line| line.split_once(',').unwrap().0.parse::<usize>()).collect();
    assert!(numbers.into_iter().map(Result::unwrap).eq((0..3000).step_by(2)), "the order is kept");
}
