//! LIMIT over files that are bad behind the rows it wants: the answer must not depend on the number of threads.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Runs `sql` at several thread counts; all must end with `code` and the same result.
fn check(folder: &Path, sql: &str, code: i32, expected: &str) {
    for threads in ["1", "2", "8"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
        command.current_dir(folder).stdin(Stdio::null()).args(["sql", "--memory-budget", "256MiB", "--threads"]);
        let output = command.args([threads, sql]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{sql}, {threads} threads: {said}");
        let shown = if code == 0 { String::from_utf8_lossy(&output.stdout) } else { said };
        let matches = if code == 0 { shown == expected } else { shown.contains(expected) };
        assert!(matches, "{sql}, {threads} threads: {shown}");
    }
}

/// `n_rows` rows `n,n % 10`, of which row `bad` is `text`.
fn write(folder: &Path, name: &str, n_rows: usize, bad: usize, text: &str) {
    let mut csv = String::from("a,b\n");
    for n in 0..n_rows {
        if n == bad {
            csv.push_str(text)
        } else {
            write!(csv, "{n},{}", n % 10).unwrap()
        }
        csv.push('\n');
    }
    fs::write(folder.join(name), csv).unwrap();
}

fn rows(numbers: std::ops::Range<usize>) -> String {
    numbers.fold("a,b\n".to_string(), |text, n| text + &format!("{n},{}\n", n % 10))
}

#[test]
fn bad_rows_behind_a_limit_do_not_matter() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for (name, text) in [("value", "x,y"), ("fields", "1,2,3"), ("quote", "\"1,2")] {
        let file = format!("{name}.csv");
        // The first blocks have some 65,000 rows: the bad row is in the first and in the second.
        for bad in [15_000, 90_000] {
            write(folder, &file, 150_000, bad, text);
            let select = format!("SELECT * FROM '{file}'");
            check(folder, &format!("{select} LIMIT 5"), 0, &rows(0..5));
            check(folder, &format!("{select} LIMIT 5 OFFSET {}", bad - 5), 0, &rows(bad - 5..bad));
            check(folder, &format!("{select} LIMIT 5 OFFSET {}", bad - 4), 3, &format!("line {}", bad + 2));
            check(folder, &format!("SELECT sum(a), sum(b) FROM '{file}'"), 3, &format!("line {}", bad + 2));
        }
    }
}

#[test]
fn a_bad_file_behind_a_limit_does_not_matter() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    write(folder, "part1.csv", 100_000, usize::MAX, "");
    fs::write(folder.join("part2.csv"), "a,b\n1,\"2").unwrap();
    write(folder, "part3.csv", 100_000, usize::MAX, "");
    check(folder, "SELECT * FROM 'part*.csv' LIMIT 5 OFFSET 99995", 0, &rows(99_995..100_000));
    check(folder, "SELECT * FROM 'part*.csv' LIMIT 5 OFFSET 99996", 3, "part2.csv");
}

#[test]
fn a_failing_expression_behind_a_limit_does_not_matter() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    write(folder, "good.csv", 200_000, usize::MAX, "");
    let select = "SELECT a, b FROM 'good.csv' WHERE 1 / (150000 - a) < 7";
    check(folder, &format!("{select} LIMIT 5"), 0, &rows(0..5));
    check(folder, &format!("{select} LIMIT 1 OFFSET 199990"), 1, "zero");
    let both = format!("SELECT a, b FROM 'good.csv' UNION ALL {select}");
    check(folder, &format!("{both} LIMIT 5 OFFSET 200000"), 0, &rows(0..5));
    check(folder, &format!("{both} LIMIT 1 OFFSET 399990"), 1, "zero");
}

#[test]
fn a_damaged_page_behind_a_limit_does_not_matter() {
    let folder = TempDir::new().unwrap();
    let (folder, file) = (folder.path(), folder.path().join("good.parquet"));
    write(folder, "good.csv", 200_000, usize::MAX, "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    command.current_dir(folder).args(["sql", "SELECT * FROM 'good.csv'", "-o", "good.parquet"]);
    assert!(command.status().unwrap().success());
    let mut bytes = fs::read(&file).unwrap();
    let n_bytes = bytes.len();
    bytes[n_bytes * 3 / 10..n_bytes / 2].fill(0xA5);
    fs::write(&file, bytes).unwrap();
    check(folder, "SELECT * FROM 'good.parquet' LIMIT 5", 0, &rows(0..5));
    check(folder, "SELECT sum(a), sum(b) FROM 'good.parquet'", 3, "good.parquet");
}
