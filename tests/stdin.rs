//! Data on standard input: pipes of every kind, read once and from front to back, and what is said when that is not enough.

mod shell;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use expect_test::{Expect, expect};
use shell::{brimful, shell, transcript};
use tempfile::TempDir;

fn inputs() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.csv", "k,v\nx,1\ny,2\nx,3\n");
    write("bad.csv", "k,v\nx,1\ny\n");
    // More than is kept of a stream in a small budget.
    let rows: String = (0..1_200_000).map(|n| format!("key{},{n}\n", n % 1000)).collect();
    write("large.csv", &format!("k,v\n{rows}"));
    write("large_bad.csv", &format!("k,v\n{rows}key,1,2\n"));
    folder
}

fn check_all(lines: &[&str], expected: Expect) {
    let folder = inputs();
    let texts = lines.iter().map(|line| {
        let output = shell(folder.path(), line).output().unwrap();
        format!("$ {line}\n{}", transcript(&output))
    });
    expected.assert_eq(&texts.collect::<String>());
}

#[test]
fn pipes_and_redirected_files_are_tables() {
    check_all(
        &[
            "cat a.csv | brimful sql 'SELECT k, sum(v) AS s FROM stdin GROUP BY k ORDER BY k'",
            "brimful sql 'SELECT count(*) AS n FROM stdin' < a.csv",
            "gzip -c a.csv | brimful sql \"SELECT v FROM '-' WHERE k = 'y'\"",
            "cat a.csv | brimful head - -n 1",
            "cat a.csv | brimful describe stdin --columns v --format json",
            "cat a.csv | brimful convert - b.csv 2> /dev/null && cat b.csv",
            "echo 'SELECT 1 AS one' | brimful sql -f -",
            "brimful convert a.csv a.parquet 2> /dev/null; brimful sql 'SELECT max(v) AS m FROM stdin' < a.parquet",
            "cat a.parquet | brimful sql 'SELECT max(v) AS m FROM stdin'",
            "brimful sql \"SELECT k, v + 1 AS v FROM 'a.csv'\" --format arrow | brimful sql 'SELECT k, sum(v) AS s FROM stdin GROUP BY k ORDER BY k'",
            "brimful sql \"SELECT * FROM 'a.csv'\" --format arrow | brimful sql 'SELECT count(*) AS n FROM stdin AS a JOIN stdin AS b USING (v)'",
            "brimful sql \"SELECT * FROM 'a.csv'\" --format arrow | brimful sql 'SELECT 1 FROM stdin' --spill-limit 100",
            "cat bad.csv | brimful sql 'SELECT count(k) FROM stdin'",
        ],
        expect![[r#"
            $ cat a.csv | brimful sql 'SELECT k, sum(v) AS s FROM stdin GROUP BY k ORDER BY k'
            exit 0
            out| k,s
            out| x,4
            out| y,2
            $ brimful sql 'SELECT count(*) AS n FROM stdin' < a.csv
            exit 0
            out| n
            out| 3
            $ gzip -c a.csv | brimful sql "SELECT v FROM '-' WHERE k = 'y'"
            exit 0
            out| v
            out| 2
            $ cat a.csv | brimful head - -n 1
            exit 0
            out| k,v
            out| x,1
            $ cat a.csv | brimful describe stdin --columns v --format json
            exit 0
            out| {"column":"v","type":"bigint","count":3,"nulls":0,"approx_distinct":3,"mean":2.0,"std":1.0,"min":"1","approx_q25":1.25,"approx_median":2.0,"approx_q75":2.75,"max":"3"}
            $ cat a.csv | brimful convert - b.csv 2> /dev/null && cat b.csv
            exit 0
            out| k,v
            out| x,1
            out| y,2
            out| x,3
            $ echo 'SELECT 1 AS one' | brimful sql -f -
            exit 0
            out| one
            out| 1
            $ brimful convert a.csv a.parquet 2> /dev/null; brimful sql 'SELECT max(v) AS m FROM stdin' < a.parquet
            exit 0
            out| m
            out| 3
            $ cat a.parquet | brimful sql 'SELECT max(v) AS m FROM stdin'
            exit 0
            out| m
            out| 3
            $ brimful sql "SELECT k, v + 1 AS v FROM 'a.csv'" --format arrow | brimful sql 'SELECT k, sum(v) AS s FROM stdin GROUP BY k ORDER BY k'
            exit 0
            out| k,s
            out| x,6
            out| y,3
            $ brimful sql "SELECT * FROM 'a.csv'" --format arrow | brimful sql 'SELECT count(*) AS n FROM stdin AS a JOIN stdin AS b USING (v)'
            exit 0
            out| n
            out| 3
            $ brimful sql "SELECT * FROM 'a.csv'" --format arrow | brimful sql 'SELECT 1 FROM stdin' --spill-limit 100
            exit 5
            err| error: standard input is longer than --spill-limit; Arrow and Parquet from a pipe go to a file
            err|   hint: raise the limit, or write a file first and name it
            $ cat bad.csv | brimful sql 'SELECT count(k) FROM stdin'
            exit 3
            err| error: /dev/stdin, line 3: 1 field where 2 are expected
            err|   hint: check delimiter and quotes of that row (--delimiter, --quote), make it fit with --ragged pad, or leave such rows out with --on-bad-row skip
        "#]],
    );
}

#[test]
fn a_long_stream_is_read_once() {
    let budget = "--memory-budget 128MiB --threads 2";
    check_all(
        &[
            &format!(
                "cat large.csv | brimful sql {budget} 'SELECT count(*) AS n, sum(v) AS s, count(DISTINCT k) AS k FROM stdin'"
            ),
            &format!("cat large_bad.csv | brimful sql {budget} 'SELECT count(k) FROM stdin'"),
            "cat a.csv | brimful sql 'SELECT count(*) AS n FROM stdin a JOIN stdin b ON a.v = b.v'",
            &format!(
                "cat large.csv | brimful sql {budget} 'SELECT count(*) AS n FROM stdin; SELECT 1 AS again FROM stdin'"
            ),
            &format!(
                "cat large.csv | brimful sql {budget} 'CREATE TEMP TABLE t AS SELECT * FROM stdin; \
                 SELECT count(*) AS n FROM t; SELECT max(v) AS m FROM t'"
            ),
        ],
        expect![[r#"
            $ cat large.csv | brimful sql --memory-budget 128MiB --threads 2 'SELECT count(*) AS n, sum(v) AS s, count(DISTINCT k) AS k FROM stdin'
            exit 0
            out| n,s,k
            out| 1200000,719999400000,1000
            $ cat large_bad.csv | brimful sql --memory-budget 128MiB --threads 2 'SELECT count(k) FROM stdin'
            exit 3
            err| error: /dev/stdin, line 1200002: 3 fields where 2 are expected
            err|   hint: if lines stand before the header, pass over them with --skip-rows; check delimiter and quotes of that row (--delimiter, --quote), make it fit with --ragged fit, or leave such rows out with --on-bad-row skip
            $ cat a.csv | brimful sql 'SELECT count(*) AS n FROM stdin a JOIN stdin b ON a.v = b.v'
            exit 0
            out| n
            out| 3
            $ cat large.csv | brimful sql --memory-budget 128MiB --threads 2 'SELECT count(*) AS n FROM stdin; SELECT 1 AS again FROM stdin'
            exit 2
            out| n
            out| 1200000
            err| error: standard input was read already, and it cannot be read twice
            err|   hint: keep its rows first: CREATE TEMP TABLE t AS SELECT * FROM stdin; then use t as often as you like
            $ cat large.csv | brimful sql --memory-budget 128MiB --threads 2 'CREATE TEMP TABLE t AS SELECT * FROM stdin; SELECT count(*) AS n FROM t; SELECT max(v) AS m FROM t'
            exit 0
            out| n
            out| 1200000
            out| m
            out| 1199999
        "#]],
    );
}

#[test]
fn a_limit_does_not_wait_for_the_end_of_the_stream() {
    let folder = TempDir::new().unwrap();
    let mut child = brimful(folder.path())
        .args(["sql", "--memory-budget", "192MiB", "SELECT * FROM stdin LIMIT 1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feed = std::thread::spawn(move || {
        let line = "some text,1\n".repeat(1000);
        let _ = stdin.write_all(b"k,v\n");
        // The reader goes away long before that.
        (0..).try_for_each(|_: u64| stdin.write_all(line.as_bytes())).unwrap_err()
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "k,v");
    assert_eq!(lines.next().unwrap().unwrap(), "some text,1");
    assert!(child.wait().unwrap().success());
    assert_eq!(feed.join().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
}
