//! `brimful run` through the built command: what it writes, what it says, and how it goes on after it was stopped.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};
use tempfile::TempDir;

fn brimful(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("NO_COLOR").env("TERM", "dumb");
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    brimful(folder).arg("run").args(args).output().unwrap()
}

/// A folder with small inputs.
fn inputs() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "visits.csv",
        "patient_id,facility,timestamp,heart_rate\n1,UCSF,2024-01-02T03:04:05,70\n2,ZSFG,2024-01-31T23:59:59,80\n\
         1,UCSF,2024-02-01T00:00:00,90\n3,OTHER,2024-02-02T00:00:00,60\n2,ZSFG,2023-12-31T12:00:00,65\n4,ZSFG,2024-02-03T00:00:00,\n",
    );
    write("people.csv", "patient_id,name,zip\n1,Ann,01001\n2,Bo,94110\n3,Cy,00501\n");
    write("doubled.csv", "patient_id,tag\n1,a\n1,b\n1,c\n2,a\n2,b\n2,c\n");
    folder
}

fn transcript(output: &Output) -> String {
    let mut text = format!("exit {}\n", output.status.code().map_or("by a signal".into(), |code| code.to_string()));
    for (name, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).lines() {
            text.push_str(&format!("{name}| {line}\n"));
        }
    }
    text
}

/// Runs `yaml` and shows what it said and the text files that it wrote.
fn check_with(yaml: &str, args: &[&str], expected: Expect) {
    let folder = inputs();
    fs::write(folder.path().join("p.yaml"), yaml).unwrap();
    let args: Vec<&str> = ["p.yaml"].iter().chain(args).copied().collect();
    let mut text = transcript(&run(folder.path(), &args));
    for name in ["a.csv", "b.csv", "a.ndjson"] {
        for line in fs::read_to_string(folder.path().join(name)).unwrap_or_default().lines() {
            text.push_str(&format!("{name}| {line}\n"));
        }
    }
    expected.assert_eq(&text);
}

fn check(yaml: &str, expected: Expect) {
    check_with(yaml, &[], expected);
}

/// Steps over the inputs, whose last one is written to `a.csv`.
fn check_steps(steps: &str, expected: Expect) {
    let inputs =
        "inputs: {visits: visits.csv, people: {path: people.csv, schema: {zip: varchar}}, doubled: doubled.csv}";
    check(&format!("{inputs}\ntransforms:\n{steps}\noutputs: {{csv: a.csv}}\n"), expected);
}

#[test]
fn the_example_of_the_manual_runs() {
    check(
        r#"
name: Vitals summary
inputs:
  vitals:     {path: "visits.csv", columns: [patient_id, facility, timestamp, heart_rate]}
  encounters: {path: "people.csv", columns: [patient_id, name]}
filters:
  facilities: [UCSF, ZSFG]
  date_range: {column: timestamp, start: "2024-01-01", end: null}
transforms:
  - {id: with_month, type: with_columns, input: vitals, columns: {year: "year(timestamp)", month: "month(timestamp)"}}
  - {id: joined, type: join, left: with_month, right: encounters, on: [patient_id], how: inner}
  - id: summary
    type: group_by
    keys: [facility, year, month]
    aggregations:
      - {column: heart_rate, function: mean, alias: avg_hr}
      - {column: patient_id, function: count, alias: num_patients}
outputs: {parquet: out/s.parquet, csv: a.csv, log: out/s.log}
settings: {memory_budget: 512MiB, compression: zstd, engine: streaming}
"#,
        expect![[r#"
            exit 0
            out| wrote out/s.parquet: 3 rows, 1.71 KiB
            out| wrote a.csv: 3 rows, 97 B
            err| note: settings.engine: streaming changes nothing here: every run streams within the budget
            a.csv| facility,year,month,avg_hr,num_patients
            a.csv| UCSF,2024,1,70.0,1
            a.csv| UCSF,2024,2,90.0,1
            a.csv| ZSFG,2024,1,80.0,1
        "#]],
    );
}

#[test]
fn steps_of_every_type_do_what_they_say() {
    check_steps(
        "  - {type: filter, input: visits, condition: heart_rate > 65}\n  - {type: sort, by: [heart_rate desc]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, 131 B
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
        "#]],
    );
    check_steps(
        "  - {type: select, input: visits, columns: [patient_id, \"heart_rate * 2 AS twice\", {beat: heart_rate}]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, 71 B
            a.csv| patient_id,twice,beat
            a.csv| 1,140,70
            a.csv| 2,160,80
            a.csv| 1,180,90
            a.csv| 3,120,60
            a.csv| 2,130,65
            a.csv| 4,,
        "#]],
    );
    check_steps(
        "  - {type: with_columns, input: people, columns: {name: \"upper(name)\", n: 1}}",
        expect![[r#"
        exit 0
        out| wrote a.csv: 3 rows, 62 B
        a.csv| patient_id,name,zip,n
        a.csv| 1,ANN,01001,1
        a.csv| 2,BO,94110,1
        a.csv| 3,CY,00501,1
    "#]],
    );
    check_steps(
        "  - {type: rename, input: people, columns: {name: who}}\n  - {type: drop, columns: [zip]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, 31 B
            a.csv| patient_id,who
            a.csv| 1,Ann
            a.csv| 2,Bo
            a.csv| 3,Cy
        "#]],
    );
    check_steps(
        "  - {type: cast, input: people, columns: {zip: int64, patient_id: str}}",
        expect![[r#"
        exit 0
        out| wrote a.csv: 3 rows, 51 B
        a.csv| patient_id,name,zip
        a.csv| 1,Ann,1001
        a.csv| 2,Bo,94110
        a.csv| 3,Cy,501
    "#]],
    );
    check_steps(
        "  - {type: join, left: visits, right: people, on: patient_id, how: left}\n  - {type: sort, by: [patient_id, timestamp]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, 278 B
            a.csv| patient_id,facility,timestamp,heart_rate,name,zip
            a.csv| 1,UCSF,2024-01-02T03:04:05,70,Ann,01001
            a.csv| 1,UCSF,2024-02-01T00:00:00,90,Ann,01001
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65,Bo,94110
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80,Bo,94110
            a.csv| 3,OTHER,2024-02-02T00:00:00,60,Cy,00501
            a.csv| 4,ZSFG,2024-02-03T00:00:00,,,
        "#]],
    );
    check_steps(
        "  - {type: join, left: people, right: visits, on: patient_id, how: full, suffix: _v}\n  - {type: sort, by: [patient_id, timestamp]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, 278 B
            a.csv| patient_id,name,zip,facility,timestamp,heart_rate
            a.csv| 1,Ann,01001,UCSF,2024-01-02T03:04:05,70
            a.csv| 1,Ann,01001,UCSF,2024-02-01T00:00:00,90
            a.csv| 2,Bo,94110,ZSFG,2023-12-31T12:00:00,65
            a.csv| 2,Bo,94110,ZSFG,2024-01-31T23:59:59,80
            a.csv| 3,Cy,00501,OTHER,2024-02-02T00:00:00,60
            a.csv| 4,,,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
    check_steps(
        "  - {type: join, left: people, right: doubled, left_on: [patient_id], right_on: [patient_id], how: anti}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, 31 B
            a.csv| patient_id,name,zip
            a.csv| 3,Cy,00501
        "#]],
    );
    check_steps(
        "  - {type: group_by, input: visits, keys: [{day: \"CAST(timestamp AS DATE)\"}], aggregations: [{function: len}, {column: \
         patient_id, function: n_unique}, {expr: sum(heart_rate) + 1, alias: s}]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, 136 B
            a.csv| day,len,patient_id_n_unique,s
            a.csv| 2023-12-31,1,1,66
            a.csv| 2024-01-02,1,1,71
            a.csv| 2024-01-31,1,1,81
            a.csv| 2024-02-01,1,1,91
            a.csv| 2024-02-02,1,1,61
            a.csv| 2024-02-03,1,1,
        "#]],
    );
    check_steps(
        "  - {type: sort, input: visits, by: [{column: heart_rate, nulls_last: true, descending: true}]}\n  - {type: limit, n: 2, offset: 1}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, 101 B
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
        "#]],
    );
    check_steps(
        "  - {type: unique, input: visits, subset: [patient_id], order_by: [timestamp], keep: last}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 4 rows, 160 B
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 4,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
    check_steps(
        "  - {type: unique, input: doubled, subset: [tag]}",
        expect![[r#"
        exit 0
        out| wrote a.csv: 3 rows, 27 B
        a.csv| patient_id,tag
        a.csv| 1,a
        a.csv| 1,b
        a.csv| 1,c
    "#]],
    );
    check_steps(
        "  - {id: x, type: rename, input: doubled, columns: {tag: name}}\n  - {type: union, inputs: [people, x], how: diagonal}\n  - {type: sort, by: [patient_id, name]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 9 rows, 84 B
            a.csv| patient_id,name,zip
            a.csv| 1,Ann,01001
            a.csv| 1,a,
            a.csv| 1,b,
            a.csv| 1,c,
            a.csv| 2,Bo,94110
            a.csv| 2,a,
            a.csv| 2,b,
            a.csv| 2,c,
            a.csv| 3,Cy,00501
        "#]],
    );
    check_steps(
        "  - {type: window, input: visits, partition_by: [patient_id], order_by: [timestamp], columns: {n: row_number(), last: lag(heart_rate)}}\n  - {type: sort, by: [patient_id, n]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, 249 B
            a.csv| patient_id,facility,timestamp,heart_rate,n,last
            a.csv| 1,UCSF,2024-01-02T03:04:05,70,1,
            a.csv| 1,UCSF,2024-02-01T00:00:00,90,2,70
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65,1,
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80,2,65
            a.csv| 3,OTHER,2024-02-02T00:00:00,60,1,
            a.csv| 4,ZSFG,2024-02-03T00:00:00,,1,
        "#]],
    );
    check_steps(
        "  - {id: m, type: filter, input: visits, condition: [heart_rate > 60, facility <> 'OTHER']}\n  - type: sql\n    sql: |\n      SELECT name, max(heart_rate) AS top\n      FROM m JOIN people USING (patient_id)\n      GROUP BY name ORDER BY name",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, 22 B
            a.csv| name,top
            a.csv| Ann,90
            a.csv| Bo,80
        "#]],
    );
    check_steps(
        "  - {type: fill_null, input: visits, columns: {heart_rate: 0}}",
        expect![[r#"
        exit 0
        out| wrote a.csv: 6 rows, 221 B
        a.csv| patient_id,facility,timestamp,heart_rate
        a.csv| 1,UCSF,2024-01-02T03:04:05,70
        a.csv| 2,ZSFG,2024-01-31T23:59:59,80
        a.csv| 1,UCSF,2024-02-01T00:00:00,90
        a.csv| 3,OTHER,2024-02-02T00:00:00,60
        a.csv| 2,ZSFG,2023-12-31T12:00:00,65
        a.csv| 4,ZSFG,2024-02-03T00:00:00,0
    "#]],
    );
    check_steps(
        "  - {type: drop_nulls, input: visits}\n  - {type: limit, n: 1}",
        expect![[r#"
        exit 0
        out| wrote a.csv: 1 row, 71 B
        a.csv| patient_id,facility,timestamp,heart_rate
        a.csv| 1,UCSF,2024-01-02T03:04:05,70
    "#]],
    );
    check_steps(
        "  - {type: sample, input: visits, n: 2, seed: 7}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, 101 B
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
        "#]],
    );
    check_steps(
        "  - {type: sample, input: visits, fraction: 0.5}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, 101 B
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
        "#]],
    );
}
