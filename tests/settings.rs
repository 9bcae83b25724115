//! Settings from files and variables: which is stronger, and what is said of mistakes.

mod shell;

use std::fs;

use expect_test::{Expect, expect};
use shell::{shell, transcript};
use tempfile::TempDir;

/// Runs `lines` in a folder with a `brimful.toml` of `config`.
fn check(config: &str, lines: &[&str], expected: Expect) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("brimful.toml"), config).unwrap();
    fs::write(folder.path().join("a.csv"), "a;b\n1;2\nx;y;z\n").unwrap();
    let texts = lines.iter().map(|line| {
        let output = shell(folder.path(), line).output().unwrap();
        format!("$ {line}\n{}", transcript(&output))
    });
    expected.assert_eq(&texts.collect::<String>());
}

/// The threads that a query was run with.
const THREADS: &str = "brimful sql 'SELECT 1' --metrics m.json > out && grep threads m.json";

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_a_file() {
    check(
        "threads = 3\n",
        &[
            THREADS,
            &format!("BRIMFUL_THREADS=4 {THREADS}"),
            &format!("BRIMFUL_THREADS=4 {} --threads 5 > out && grep threads m.json", &THREADS[..36]),
        ],
        expect![[""]],
    );
}

#[test]
fn the_file_here_beats_that_of_the_user_and_a_named_one_is_the_only_one() {
    check(
        "threads = 3\n",
        &[
            "mkdir -p home/brimful && printf 'threads = 7\\non_bad_row = \"skip\"\\n' > home/brimful/config.toml",
            &format!("XDG_CONFIG_HOME=$PWD/home {THREADS}"),
            "XDG_CONFIG_HOME=$PWD/home brimful head a.csv",
            "brimful head a.csv --config home/brimful/config.toml",
            &format!("BRIMFUL_CONFIG=home/brimful/config.toml {THREADS}"),
            "brimful head a.csv",
            "brimful --config none.toml head a.csv",
        ],
        expect![[""]],
    );
}

#[test]
fn mistakes_in_a_file_say_which_and_where() {
    check("memory_bugdet = \"1GiB\"\n", &["brimful sql 'SELECT 1'", "brimful sql --help | head -n 1"], expect![[""]]);
    check("threads = 1\nmemory_budget = lots\n", &["brimful sql 'SELECT 1'"], expect![[""]]);
    check("memory_budget = \"lots\"\n", &["brimful sql 'SELECT 1'"], expect![[""]]);
    check("[sql]\nthreads = 2\n", &["brimful sql 'SELECT 1'"], expect![[""]]);
    check(
        "threads = 1\n",
        &["BRIMFUL_MEMORY_BUGDET=1GiB brimful sql 'SELECT 1'", "BRIMFUL_THREADS=none brimful sql 'SELECT 1'"],
        expect![[""]],
    );
}

#[test]
fn lists_and_truths_are_understood() {
    check(
        "header = true\ndelimiter = \";\"\nnull_value = [\"x\", \"1\"]\non_bad_row = \"skip\"\n",
        &["brimful sql \"SELECT * FROM 'a.csv'\""],
        expect![[""]],
    );
}

#[test]
fn logs_may_be_json() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.csv"), "a,b\n1,2\nx,y,z\n").unwrap();
    let run = |line: &str| {
        let output = shell(folder.path(), line).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
        lines.collect::<Vec<_>>()
    };
    let lines = run("brimful sql --log-format json --on-bad-row skip \"SELECT a FROM 'a.csv'\"");
    assert_eq!((&lines[0]["level"], &lines[1]["message"]), (&"warning".into(), &"query done".into()), "{lines:?}");
    assert_eq!(lines[1]["rows_out"], 1);
    let lines = run("BRIMFUL_LOG_FORMAT=json brimful sql \"SELECT c FROM 'a.csv'\"");
    assert_eq!((&lines[0]["level"], &lines[0]["exit_code"]), (&"error".into(), &2.into()), "{lines:?}");
    assert!(lines[0]["time"].is_string() && lines[0]["location"] == "sql:1:8");
}
