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
            "BRIMFUL_THREADS=4 brimful sql 'SELECT 1' --threads 5 --metrics m.json > out && grep threads m.json",
        ],
        expect![[r#"
            $ brimful sql 'SELECT 1' --metrics m.json > out && grep threads m.json
            exit 0
            out|   "threads": 3,
            $ BRIMFUL_THREADS=4 brimful sql 'SELECT 1' --metrics m.json > out && grep threads m.json
            exit 0
            out|   "threads": 4,
            $ BRIMFUL_THREADS=4 brimful sql 'SELECT 1' --threads 5 --metrics m.json > out && grep threads m.json
            exit 0
            out|   "threads": 5,
        "#]],
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
        expect![[r#"
            $ mkdir -p home/brimful && printf 'threads = 7\non_bad_row = "skip"\n' > home/brimful/config.toml
            exit 0
            $ XDG_CONFIG_HOME=$PWD/home brimful sql 'SELECT 1' --metrics m.json > out && grep threads m.json
            exit 0
            out|   "threads": 3,
            $ XDG_CONFIG_HOME=$PWD/home brimful head a.csv
            exit 0
            out| a,b
            out| 1,2
            err| warning: 1 malformed row left out of a.csv
            $ brimful head a.csv --config home/brimful/config.toml
            exit 0
            out| a,b
            out| 1,2
            err| warning: 1 malformed row left out of a.csv
            $ BRIMFUL_CONFIG=home/brimful/config.toml brimful sql 'SELECT 1' --metrics m.json > out && grep threads m.json
            exit 0
            out|   "threads": 7,
            $ brimful head a.csv
            exit 3
            err| error: a.csv, line 3: 3 fields where 2 are expected
            err|   hint: if lines stand before the header, pass over them with --skip-rows; check delimiter and quotes of that row (--delimiter, --quote), make it fit with --ragged fit, or leave such rows out with --on-bad-row skip
            $ brimful --config none.toml head a.csv
            exit 2
            err| error: the configuration file none.toml does not exist
            err|   hint: it is named by --config or BRIMFUL_CONFIG
        "#]],
    );
}

#[test]
fn mistakes_in_a_file_say_which_and_where() {
    check(
        "memory_bugdet = \"1GiB\"\n",
        &["brimful sql 'SELECT 1'", "brimful sql --help | head -n 1"],
        expect![[r#"
        $ brimful sql 'SELECT 1'
        exit 2
        err| error: brimful.toml: there is no setting "memory_bugdet"
        err|   hint: did you mean memory_budget?
        $ brimful sql --help | head -n 1
        exit 0
        out| Run a SQL query over files
    "#]],
    );
    check(
        "threads = 1\nmemory_budget = lots\n",
        &["brimful sql 'SELECT 1'"],
        expect![[r#"
        $ brimful sql 'SELECT 1'
        exit 2
        err| error: brimful.toml, line 2: string values must be quoted, expected literal string
    "#]],
    );
    check(
        "memory_budget = \"lots\"\n",
        &["brimful sql 'SELECT 1'"],
        expect![[r#"
        $ brimful sql 'SELECT 1'
        exit 2
        err| error: invalid value 'lots' for '--memory-budget <BYTES>': "lots" is not a size
        err|   --> memory_budget in brimful.toml
    "#]],
    );
    check(
        "[sql]\nthreads = 2\n",
        &["brimful sql 'SELECT 1'"],
        expect![[r#"
        $ brimful sql 'SELECT 1'
        exit 2
        err| error: brimful.toml: there is no setting "sql"
        err|   hint: settings are named as flags with _ for -, for example memory_budget = "4GiB"
    "#]],
    );
    check(
        "threads = 1\n",
        &["BRIMFUL_MEMORY_BUGDET=1GiB brimful sql 'SELECT 1'", "BRIMFUL_THREADS=none brimful sql 'SELECT 1'"],
        expect![[r#"
            $ BRIMFUL_MEMORY_BUGDET=1GiB brimful sql 'SELECT 1'
            exit 2
            err| error: there is no setting BRIMFUL_MEMORY_BUGDET
            err|   hint: did you mean BRIMFUL_MEMORY_BUDGET?
            $ BRIMFUL_THREADS=none brimful sql 'SELECT 1'
            exit 2
            err| error: invalid value 'none' for '--threads <N>': a number of threads is from 1 to 1024
            err|   --> threads in the variable BRIMFUL_THREADS
        "#]],
    );
}

#[test]
fn lists_and_truths_are_understood() {
    check(
        "header = true\ndelimiter = \";\"\nnull_value = [\"x\", \"1\"]\non_bad_row = \"skip\"\n",
        &["brimful sql \"SELECT * FROM 'a.csv'\""],
        expect![[r#"
            $ brimful sql "SELECT * FROM 'a.csv'"
            exit 0
            out| a,b
            out| ,2
            err| warning: 1 malformed row left out of a.csv
        "#]],
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
