//! The prompt, with text from a pipe and at a pretended terminal.

mod shell;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use expect_test::{Expect, expect};
use shell::{brimful, transcript};
use tempfile::TempDir;

fn typed(folder: &Path, args: &[&str], text: &str) -> Output {
    let mut child = brimful(folder)
        .arg("repl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn check(text: &str, expected: Expect) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.csv"), "k,v\nx,1\ny,2\n").unwrap();
    expected.assert_eq(&transcript(&typed(folder.path(), &[], text)));
}

#[test]
fn statements_take_several_lines_and_share_a_session() {
    check(
        "CREATE TEMP TABLE t AS\n  SELECT k, v -- a comment;\n  FROM 'a.csv';\nSELECT ';' AS s; SELECT sum(v)\nAS s FROM t;\n\\tables\n\\schema t\nSELECT 1 AS last",
        expect![[r#"
            exit 0
            out| s
            out| ;
            out| s
            out| 3
            out| table_name,kind,n_rows
            out| t,temporary table,2
            out| column_name,data_type,nullable
            out| k,varchar,YES
            out| v,bigint,YES
            out| last
            out| 1
        "#]],
    );
}

#[test]
fn errors_do_not_end_the_prompt() {
    check(
        "SELECT q FROM 'a.csv';\n\\tabels\nSELECT FROM;\n\\budget lots\nSELECT 1 AS a;\n\\q\nSELECT 2;\n",
        expect![[r#"
            exit 2
            out| a
            out| 1
            err| error: column "q" not found in a.csv
            err|   --> sql:1:8   hint: there are: k, v; a text is written in single quotes
            err| error: there is no command \tabels
            err|   hint: did you mean \tables?
            err| error: syntax error: Expected: identifier, found: ;
            err|   --> sql:1:12
            err| error: "lots" is not a size
            err|   hint: for example 512MiB, 4GB or 1073741824
        "#]],
    );
}

#[test]
fn settings_of_the_prompt_are_told_and_changed() {
    let folder = TempDir::new().unwrap();
    let text = "\\timing\n\\timing off\n\\budget 256MiB\n\\budget\nEXPLAIN SELECT 1 AS a;\n\\help\n";
    let output = String::from_utf8(typed(folder.path(), &[], text).stdout).unwrap();
    for part in
        ["timing is on\ntiming is off\n", "a new session has begun", "budget            256 MiB", "Output", "\\schema"]
    {
        assert!(output.contains(part), "{part}: {output}");
    }
    let output = typed(folder.path(), &["--format", "json"], "SELECT 1 AS a;\n");
    assert_eq!(transcript(&output), "exit 0\nout| {\"a\":1}\n");
}

#[test]
fn ctrl_c_ends_the_query_and_not_the_prompt() {
    let folder = TempDir::new().unwrap();
    let rows: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    fs::write(folder.path().join("a.csv"), format!("n\n{rows}")).unwrap();
    let mut child = brimful(folder.path())
        .args(["repl", "--threads", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let slow = "SELECT count(*) FROM 'a.csv' a, 'a.csv' b, 'a.csv' c WHERE a.n + b.n + c.n = -1;\n";
    stdin.write_all(slow.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let kill = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    stdin.write_all(b"SELECT 7 AS after;\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(transcript(&output), "exit 130\nout| after\nout| 7\nerr| error: interrupted\n");
}
