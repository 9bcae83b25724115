//! The built command: exit codes, messages, what goes to which stream, and how it ends when it is stopped.

mod shell;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use shell::{brimful, transcript};
use tempfile::TempDir;

/// A folder with small inputs.
fn inputs() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("sales.csv", "city,price,note\nOslo,3.5,\nQuito,10,\"a, b\"\nOslo,1.5,\"\"\n");
    write("dirty.csv", "a,b\n1,2\n3\n5,6\n7,8,9\n");
    write("query.sql", "SELECT city FROM 'sales.csv' ORDER BY city LIMIT 1");
    folder
}

fn check(args: &[&str], expected: Expect) {
    let folder = inputs();
    let output = brimful(folder.path()).args(args).output().unwrap();
    expected.assert_eq(&transcript(&output));
}

#[test]
fn results_go_to_stdout() {
    let sql = "SELECT city, sum(price) AS total FROM 'sales.csv' GROUP BY city ORDER BY city";
    check(
        &["sql", sql],
        expect![[r#"
        exit 0
        out| city,total
        out| Oslo,5.0
        out| Quito,10.0
    "#]],
    );
    check(
        &["sql", sql, "--format", "json"],
        expect![[r#"
        exit 0
        out| {"city":"Oslo","total":5.0}
        out| {"city":"Quito","total":10.0}
    "#]],
    );
    check(
        &["sql", sql, "--format", "table"],
        expect![[r#"
        exit 0
        out| ┌───────┬───────┐
        out| │ city  ┆ total │
        out| ╞═══════╪═══════╡
        out| │ Oslo  ┆   5.0 │
        out| │ Quito ┆  10.0 │
        out| └───────┴───────┘
        out| 2 rows
    "#]],
    );
}

#[test]
fn a_declared_column_must_be_in_one_of_the_tables() {
    let sql = "SELECT s.price, d.b FROM 'sales.csv' s, 'dirty2.csv' d LIMIT 1";
    let run = |schema: &str| {
        let folder = inputs();
        fs::write(folder.path().join("dirty2.csv"), "a,b\n007,008\n").unwrap();
        transcript(&brimful(folder.path()).args(["sql", "--schema", schema, sql]).output().unwrap())
    };
    expect![[r#"
        exit 0
        out| price,b
        out| 3.5,008
    "#]]
    .assert_eq(&run("b=varchar,price=varchar"));
    expect![[r#"
        exit 2
        err| error: --schema names column "prce", which is not in the input
        err|   hint: did you mean "price"?
    "#]]
    .assert_eq(&run("b=varchar,prce=double"));
}

/// The warnings of a query over `dirty.csv`, and the rows in its reject file.
fn rejected_by(sql: &str) -> (String, usize) {
    let folder = inputs();
    let reject = ["sql", "--on-bad-row", "reject=rejects.csv", "--schema", "a=bigint,b=bigint", sql];
    let output = brimful(folder.path()).args(reject).output().unwrap();
    let rejects = fs::read_to_string(folder.path().join("rejects.csv")).unwrap();
    (transcript(&output).lines().filter(|line| line.contains("warning")).collect(), rejects.lines().count() - 1)
}

#[test]
fn a_malformed_row_counts_once_however_often_a_query_reads_it() {
    for sql in [
        "SELECT a FROM 'dirty.csv'",
        "SELECT x.a FROM 'dirty.csv' x JOIN 'dirty.csv' y ON x.a = y.b - 1",
        "SELECT a FROM 'dirty.csv' UNION ALL SELECT b FROM 'dirty.csv' UNION ALL SELECT 1",
        "SELECT a FROM 'dirty.csv' WHERE b > (SELECT avg(b) FROM 'dirty.csv')",
        "WITH RECURSIVE r AS (SELECT 1 AS a UNION SELECT d.b FROM r JOIN 'dirty.csv' d ON d.a = r.a OR d.a = r.a + 3) \
         SELECT * FROM r",
    ] {
        let (warnings, n_rejected) = rejected_by(sql);
        assert!(warnings.contains("2 malformed rows left out of") && n_rejected == 2, "{sql}: {n_rejected} {warnings}");
        assert_eq!(warnings.matches("warning").count(), 1, "{sql}: {warnings}");
    }
}

#[test]
fn null_and_empty_text_differ_in_csv() {
    check(
        &["sql", "SELECT note FROM 'sales.csv' ORDER BY price"],
        expect![[r#"
        exit 0
        out| note
        out| ""
        out| 
        out| "a, b"
    "#]],
    );
}

#[test]
fn the_query_comes_from_a_file_or_stdin() {
    let expected = "exit 0\nout| city\nout| Oslo\n";
    let folder = inputs();
    let from_file = brimful(folder.path()).args(["sql", "-f", "query.sql"]).output().unwrap();
    assert_eq!(transcript(&from_file), expected);
    let stdin = fs::File::open(folder.path().join("query.sql")).unwrap();
    let from_stdin = brimful(folder.path()).arg("sql").stdin(stdin).output().unwrap();
    assert_eq!(transcript(&from_stdin), expected);
}

#[test]
fn data_in_the_place_of_a_query_is_not_read_to_its_end() {
    let folder = inputs();
    let path = folder.path().join("big.csv");
    fs::write(&path, "a,b\n".repeat(1 << 19)).unwrap();
    let expected = "exit 2\nerr| error: the query in big.csv has more than 1048576 bytes\n\
                    err|   hint: data is named in the query: brimful sql \"SELECT * FROM 'data.csv'\"\n";
    let done = brimful(folder.path()).args(["sql", "-f", "big.csv"]).output().unwrap();
    assert_eq!(transcript(&done), expected);
    let with_stdin = |command: &str| {
        transcript(&brimful(folder.path()).arg(command).stdin(fs::File::open(&path).unwrap()).output().unwrap())
    };
    assert_eq!(with_stdin("sql"), expected.replace("in big.csv", "on stdin"));
    fs::write(&path, "a,b,".repeat(1 << 19)).unwrap();
    let expected =
        "exit 2\nerr| error: a statement has more than 1048576 bytes\nerr|   hint: every statement ends with ;\n";
    assert_eq!(with_stdin("repl"), expected);
}

#[test]
fn wrong_usage_and_wrong_sql_exit_with_2() {
    check(
        &["sql", "SELECT prce FROM 'sales.csv'"],
        expect![[r#"
        exit 2
        err| error: column "prce" not found in sales.csv
        err|   --> sql:1:8   hint: did you mean "price"?
    "#]],
    );
    check(
        &["sql", "SELECT 1", "-o", "result"],
        expect![[r#"
        exit 2
        err| error: the name result does not tell a format
        err|   hint: end it in .csv, .ndjson, .parquet or .arrow, or add --format
    "#]],
    );
    check(
        &["sql", "SELECT 1", "--format", "parquet"],
        expect![[r#"
        exit 2
        err| error: Parquet cannot be written to standard output
        err|   hint: name a file: -o result.parquet
    "#]],
    );
    let folder = inputs();
    let compared = "SELECT count(*) AS n FROM (SELECT CAST('12345678901234567.89' AS DECIMAL(20,2)) AS p) t WHERE p = ";
    for (number, code) in [
        ("12345678901234567.89", 2),
        ("12345678901234568.01", 2),
        ("123.45", 0),
        ("CAST('12345678901234567.89' AS DECIMAL(20,2))", 0),
    ] {
        let output = brimful(folder.path()).args(["sql", &format!("{compared}{number}")]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{number}: {}", transcript(&output));
    }
    check(
        &["sql", "COPY (SELECT 1 AS a) TO 'copied.csv'", "-o", "out.csv"],
        expect![[r#"
            exit 2
            err| error: nothing would be written to out.csv
            err|   hint: leave out -o: no statement here gives rows to write
        "#]],
    );
    check(
        &["sql", "EXPLAIN SELECT 1", "-o", "out.csv"],
        expect![[r#"
            exit 2
            err| error: nothing would be written to out.csv
            err|   hint: EXPLAIN writes its plan to standard output: leave out -o
        "#]],
    );
    let folder = inputs();
    for args in [&["sql", "--threads", "0", "SELECT 1"][..], &["sql", "--memory-budget", "lots", "SELECT 1"], &["walk"]]
    {
        assert_eq!(brimful(folder.path()).args(args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn bad_data_exits_with_3_and_says_where() {
    check(
        &["sql", "SELECT sum(a) AS s FROM 'dirty.csv'"],
        expect![[r#"
            exit 3
            err| error: dirty.csv, line 3: 1 field where 2 are expected
            err|   hint: check delimiter and quotes of that row (--delimiter, --quote), make it fit with --ragged pad, or leave such rows out with --on-bad-row skip
        "#]],
    );
    check(
        &["sql", "SELECT 1 FROM 'nothing.csv'"],
        expect![[r#"
        exit 3
        err| error: nothing.csv does not exist
        err|   --> sql:1:15
    "#]],
    );
}

#[test]
fn rows_left_out_are_counted_on_stderr() {
    check(
        &["sql", "--on-bad-row", "skip", "SELECT sum(a) AS s FROM 'dirty.csv'"],
        expect![[r#"
        exit 0
        out| s
        out| 6
        err| warning: 2 malformed rows left out of dirty.csv
    "#]],
    );
    let folder = inputs();
    let args = ["sql", "--on-bad-row", "reject=bad.csv", "SELECT sum(a) AS s FROM 'dirty.csv'"];
    let output = brimful(folder.path()).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read_to_string(folder.path().join("bad.csv")).unwrap().lines().count(), 3);
}

#[test]
fn a_budget_too_small_exits_with_4_and_names_one_that_would_do() {
    let folder = inputs();
    let output = brimful(folder.path()).args(["sql", "--memory-budget", "2MiB", "SELECT 1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("hint: the smallest budget that would do is"), "{message}");
}

#[test]
fn an_output_that_cannot_be_written_is_wrong_usage_or_a_failing_disk() {
    check(
        &["sql", "SELECT 1 AS a", "-o", "no/such/folder.csv"],
        expect![[r#"
            exit 2
            err| error: cannot create no/such/folder.csv: its folder does not exist
            err|   hint: make the folder first
        "#]],
    );
    check(
        &["sql", "SELECT 1 AS a", "-o", "a.table", "--format", "table"],
        expect![[r#"
            exit 2
            err| error: a table is drawn for people to look at, with the first and last 20 rows only
            err|   hint: write a file as csv, json, parquet or arrow; or redirect stdout: --format table > file
        "#]],
    );
    check(
        &["sql", "SELECT 1 AS a", "--format", "csv", "-o", "/dev/full"],
        expect![[r#"
        exit 5
        err| error: cannot write /dev/full: No space left on device (os error 28)
        err|   hint: the disk is full: free some space or write to another disk
    "#]],
    );
}

#[test]
fn an_output_is_replaced_only_by_a_complete_result() {
    let folder = inputs();
    let target = folder.path().join("out.csv");
    fs::write(&target, "old").unwrap();
    let fails = ["sql", "SELECT a FROM 'dirty.csv'", "-o", "out.csv"];
    assert_eq!(brimful(folder.path()).args(fails).output().unwrap().status.code(), Some(3));
    assert_eq!(fs::read_to_string(&target).unwrap(), "old");
    let works = ["sql", "SELECT city FROM 'sales.csv' LIMIT 1", "-o", "out.csv"];
    assert_eq!(brimful(folder.path()).args(works).output().unwrap().status.code(), Some(0));
    assert_eq!(fs::read_to_string(&target).unwrap(), "city\nOslo\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn no_file_is_written_that_is_read_or_written_otherwise() {
    let folder = inputs();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("made.yaml", "inputs: {sales: sales.csv}\noutputs: {csv: out.csv}\n");
    let all = "SELECT * FROM 'sales.csv'";
    let copy = "COPY (SELECT * FROM 'sal*.csv') TO './sales.csv'";
    let copy_twice = "COPY (SELECT 1 AS a) TO 'out.csv'";
    for (args, what) in [
        (vec!["sql", all, "--metrics", "sales.csv"], "the metrics cannot go to sales.csv: it is an input of the query"),
        (vec!["sql", all, "--report", "./sales.csv"], "the report cannot go to ./sales.csv: it is an input"),
        (vec!["sql", all, "-o", "sales.csv"], "the result cannot go to sales.csv: it is an input of the query"),
        (vec!["sql", copy], "the result cannot go to ./sales.csv: it is an input of the query"),
        (vec!["convert", "sales.csv", "sales.csv"], "the result cannot go to sales.csv: it is an input of the query"),
        (
            vec!["sql", all, "-o", "out.csv", "--metrics", "out.csv"],
            "the metrics cannot go to out.csv: it is the output",
        ),
        (vec!["sql", all, "--report", "x", "--metrics", "x"], "the report cannot go to x: it is where the metrics go"),
        (vec!["sql", copy_twice, "--report", "out.csv"], "the report cannot go to out.csv: it is the output"),
        (vec!["sql", "-f", "query.sql", "--report", "query.sql"], "the report cannot go to query.sql: it is an input"),
        (
            vec!["sql", all, "--on-bad-row", "reject=x", "--metrics", "x"],
            "the metrics cannot go to x: it is where rejected rows go",
        ),
        (vec!["run", "made.yaml", "--report", "sales.csv"], "sales.csv"),
        (vec!["run", "made.yaml", "--report", "out.csv"], "out.csv"),
        (vec!["run", "made.yaml", "--report", "made.yaml"], "the report cannot go to made.yaml: it is an input"),
    ] {
        let before = fs::read(folder.path().join("sales.csv")).unwrap();
        let output = brimful(folder.path()).args(&args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).to_string();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(what), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert_eq!(fs::read(folder.path().join("sales.csv")).unwrap(), before, "{args:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "{args:?}");
    }
    // Later statements may read what earlier ones wrote, and what is nowhere holds nothing.
    let works = "COPY (SELECT 1 AS a) TO 'out.csv'; COPY (SELECT 2 AS a) TO 'out.csv'; SELECT a FROM 'out.csv'";
    let args = ["sql", works, "--metrics", "/dev/null", "--report", "/dev/null"];
    let output = brimful(folder.path()).args(args).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n2\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn plans_are_shown_as_text_and_json() {
    check(
        &["explain", "SELECT city FROM 'sales.csv' WHERE price > 2"],
        expect![[r#"
        exit 0
        out| Output: in order
        out|   Scan: csv sales.csv, 2 of 3 columns, where price > 2
    "#]],
    );
    let folder = inputs();
    let args = ["explain", "--analyze", "--format", "json", "SELECT count(*) AS n FROM 'sales.csv'"];
    let output = brimful(folder.path()).args(args).output().unwrap();
    let metrics: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((metrics["rows_in"].as_u64(), metrics["rows_out"].as_u64()), (Some(3), Some(1)));
    let names: Vec<_> = metrics["operators"].as_array().unwrap().iter().map(|node| node["name"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&Some("Scan")), Some(&Some("Output"))));
}

#[test]
fn metrics_are_written_beside_the_result() {
    let folder = inputs();
    let args = ["sql", "SELECT DISTINCT city FROM 'sales.csv'", "--metrics", "m.json", "--memory-budget", "1GiB"];
    assert_eq!(brimful(folder.path()).args(args).output().unwrap().status.code(), Some(0));
    let text = fs::read_to_string(folder.path().join("m.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metrics["rows_out"], 2);
    assert_eq!(metrics["budget_bytes"], 1 << 30);
    assert!(metrics["peak_resident_bytes"].as_u64().unwrap() < 1 << 30);
}

#[test]
fn metrics_of_several_statements_are_an_array() {
    let folder = inputs();
    let args = ["sql", "SELECT 1 AS a; SELECT DISTINCT city FROM 'sales.csv'", "--metrics", "m.json"];
    assert_eq!(brimful(folder.path()).args(args).output().unwrap().status.code(), Some(0));
    let text = fs::read_to_string(folder.path().join("m.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&metrics[0]["rows_out"], &metrics[1]["rows_out"]), (&1.into(), &2.into()));
}

#[test]
fn rejected_rows_that_cannot_be_written_leave_the_output_as_it_was() {
    let folder = inputs();
    fs::write(folder.path().join("out.csv"), "as it was").unwrap();
    let args = ["sql", "SELECT * FROM 'dirty.csv'", "-o", "out.csv", "--on-bad-row", "reject=/dev/full"];
    let output = brimful(folder.path()).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", transcript(&output));
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), "as it was");
}

#[test]
fn metrics_of_a_failed_query_say_why() {
    let folder = inputs();
    let args = ["sql", "SELECT sum(b) FROM 'dirty.csv'", "--metrics", "m.json"];
    assert_eq!(brimful(folder.path()).args(args).output().unwrap().status.code(), Some(3));
    let text = fs::read_to_string(folder.path().join("m.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metrics["error"]["exit_code"], 3);
    assert!(metrics["error"]["message"].as_str().unwrap().contains("line 3"), "{metrics}");
    assert_eq!(metrics["operators"][0]["name"], "Scan");
}

#[test]
fn help_teaches_with_examples() {
    let folder = inputs();
    for args in [&["--help"][..], &["sql", "--help"]] {
        let output = brimful(folder.path()).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains("Examples:"), "{args:?}");
    }
}

/// A query over so many links to one file that it runs for many seconds.
fn long_running(folder: &Path) -> Command {
    let first = folder.join("part0.csv");
    let mut file = std::io::BufWriter::new(fs::File::create(&first).unwrap());
    writeln!(file, "k,v").unwrap();
    (0..200_000).for_each(|n| writeln!(file, "key{},{n}", n * 7919 % 200_000).unwrap());
    drop(file);
    (1..1000).for_each(|n| fs::hard_link(&first, folder.join(format!("part{n}.csv"))).unwrap());
    fs::create_dir(folder.join("spill")).unwrap();
    let mut command = brimful(folder);
    command.args(["sql", "--spill-dir", "spill", "--memory-budget", "256MiB"]).stdout(Stdio::piped());
    command
}

fn wait(mut child: Child, at_most: Duration) -> Option<i32> {
    let started = Instant::now();
    while started.elapsed() < at_most {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("the process did not end within {at_most:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_query_quietly() {
    let folder = TempDir::new().unwrap();
    let mut child =
        long_running(folder.path()).arg("SELECT k, v FROM 'part*.csv'").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "k,v");
    assert_eq!(lines.next().unwrap().unwrap(), "key0,0");
    drop(lines);
    let errors = child.stderr.take().unwrap();
    assert_eq!(wait(child, Duration::from_secs(10)), Some(0));
    assert_eq!(std::io::read_to_string(errors).unwrap(), "");
}

#[test]
fn signals_end_the_query_within_half_a_second_and_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let mut command = long_running(folder.path());
    command.args(["SELECT k, v, count(*) FROM 'part*.csv' GROUP BY k, v ORDER BY v", "-o", "result.csv"]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(wait(child, Duration::from_millis(500)), Some(code));
        assert_eq!(fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
        let others = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(
            others.filter(|name| !name.to_str().unwrap().starts_with("part")).count(),
            1,
            "only the spill folder"
        );
    }
}
