//! Whole pipeline files: steps, mistakes, filters, checks, outputs, and how a run goes on after it was stopped.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::running::*;

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
            out| wrote out/s.parquet: 3 rows, N
            out| wrote a.csv: 3 rows, N
            err| note: settings.engine: streaming changes nothing here: every run streams within the budget
            a.csv| facility,year,month,avg_hr,num_patients
            a.csv| UCSF,2024,1,70.0,1
            a.csv| UCSF,2024,2,90.0,1
            a.csv| ZSFG,2024,1,80.0,1
        "#]],
    );
}

#[test]
fn filters_concern_the_inputs_that_have_the_column() {
    let filtered = |filters: &str, expected: Expect| {
        let inputs =
            "inputs: {visits: {path: visits.csv, columns: [patient_id, facility, timestamp]}, people: people.csv}";
        check(&format!("{inputs}\nfilters: {filters}\noutputs: {{csv: a.csv, step: visits}}\n"), expected);
    };
    filtered(
        "{facilities: [UCSF, OTHER]}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,facility,timestamp
            a.csv| 1,UCSF,2024-01-02T03:04:05
            a.csv| 1,UCSF,2024-02-01T00:00:00
            a.csv| 3,OTHER,2024-02-02T00:00:00
        "#]],
    );
    filtered(
        "{facility: ZSFG, patient_id: {min: 3}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, N
            a.csv| patient_id,facility,timestamp
            a.csv| 4,ZSFG,2024-02-03T00:00:00
        "#]],
    );
    // Both ends belong to it, and a day is all of the day.
    filtered(
        "{date_range: {start: 2023-12-31, end: 2024-01-31}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            err| note: date_range names no column: it is applied to "timestamp"
            a.csv| patient_id,facility,timestamp
            a.csv| 1,UCSF,2024-01-02T03:04:05
            a.csv| 2,ZSFG,2024-01-31T23:59:59
            a.csv| 2,ZSFG,2023-12-31T12:00:00
        "#]],
    );
    filtered(
        "{date_range: {column: timestamp, start: 2024-02-01, end: 2024-02-02T12:00:00}}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 2 rows, N
            a.csv| patient_id,facility,timestamp
            a.csv| 1,UCSF,2024-02-01T00:00:00
            a.csv| 3,OTHER,2024-02-02T00:00:00
        "#]],
    );
    filtered(
        "[\"patient_id % 2 = 0\"]",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            a.csv| patient_id,facility,timestamp
            a.csv| 2,ZSFG,2024-01-31T23:59:59
            a.csv| 2,ZSFG,2023-12-31T12:00:00
            a.csv| 4,ZSFG,2024-02-03T00:00:00
        "#]],
    );
}

/// A run over `visits` with these rules.
fn checked(rules: &str, expected: Expect) {
    let yaml = "inputs: {visits: visits.csv}\noutputs: {csv: a.csv, step: visits}\nvalidate: ";
    check(&format!("{yaml}{rules}\n"), expected);
}

#[test]
fn checks_fail_the_run_before_anything_is_published() {
    checked(
        "{rows: {min: 1, max: 10}, not_null: [patient_id], unique: [[patient_id, timestamp]], ranges: {heart_rate: [40, 220]}, \
         columns: [facility], sql: \"facility <> ''\"}",
        expect![[r#"
            exit 0
            out| wrote a.csv: 6 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65
            a.csv| 4,ZSFG,2024-02-03T00:00:00,
        "#]],
    );
    checked(
        "{rows: 7}",
        expect![[r#"
        exit 3
        err| error: validation of visits failed: there are exactly 7 rows: found 6 rows
        err|   --> p.yaml:3:18   hint: no output was published
    "#]],
    );
    checked(
        "{rows: {min: 10}}",
        expect![[r#"
        exit 3
        err| error: validation of visits failed: there are at least 10 rows: found 6 rows
        err|   --> p.yaml:3:18   hint: no output was published
    "#]],
    );
    checked(
        "{not_null: [heart_rate, facility], finite: [heart_rate]}",
        expect![[r#"
        exit 3
        err| error: validation of visits failed: heart_rate is not null: not so in 1 row; heart_rate is a finite number: not so in 1 row
        err|   --> p.yaml:3:23   hint: no output was published
    "#]],
    );
    checked(
        "{unique: [patient_id]}",
        expect![[r#"
            exit 3
            err| error: validation of visits failed: patient_id is unique: 2 values stand more than once
            err|   --> p.yaml:3:20   hint: no output was published
        "#]],
    );
    checked(
        "[{range: {column: heart_rate, min: 65, max: 80}}, {name: known facility, sql: \"facility IN ('UCSF', 'ZSFG')\"}]",
        expect![[r#"
            exit 3
            err| error: validation of visits failed: heart_rate is from 65 to 80: not so in 2 rows; known facility: not so in 1 row
            err|   --> p.yaml:3:20   hint: no output was published
        "#]],
    );
}

#[test]
fn checks_that_ask_for_what_is_not_there() {
    checked(
        "{columns: [facility, zip]}",
        expect![[r#"
        exit 3
        err| error: validation failed: visits has no column "zip"
        err|   --> p.yaml:3:32   hint: it has: patient_id, facility, timestamp, heart_rate
    "#]],
    );
    checked(
        "{not_null: [hart_rate]}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:3:23   hint: did you mean "heart_rate"?
    "#]],
    );
    checked(
        "{sql: \"hart_rate > 1\"}",
        expect![[r#"
        exit 2
        err| error: column "hart_rate" not found in visits
        err|   --> p.yaml:3:18   hint: did you mean "heart_rate"?
    "#]],
    );
    checked(
        "{finite: [facility]}",
        expect![[r#"
        exit 2
        err| error: column "facility" is Utf8, and only numbers are finite
        err|   --> p.yaml:3:21
    "#]],
    );
    checked(
        "{rows: {mn: 1}}",
        expect![[r#"
        exit 2
        err| error: rows has no "mn"
        err|   --> p.yaml:3:19   hint: did you mean "min"?
    "#]],
    );
}

#[test]
fn several_outputs_of_several_steps_are_written_together() {
    check(
        "inputs: {visits: visits.csv}\n\
         transforms:\n  - {id: known, type: filter, condition: heart_rate IS NOT NULL}\n  \
         - {id: by_place, type: group_by, keys: [facility], aggregations: [{column: heart_rate, function: max}]}\n\
         outputs:\n  - {path: a.csv, step: known}\n  - {path: b.csv, step: by_place}\n  - {path: a.ndjson, step: by_place}\n  \
         - {path: deep/er/c.parquet, step: known, compression: snappy}\n",
        expect![[r#"
            exit 0
            out| wrote a.csv: 5 rows, N
            out| wrote b.csv: 3 rows, N
            out| wrote a.ndjson: 3 rows, N
            out| wrote deep/er/c.parquet: 5 rows, N
            a.csv| patient_id,facility,timestamp,heart_rate
            a.csv| 1,UCSF,2024-01-02T03:04:05,70
            a.csv| 2,ZSFG,2024-01-31T23:59:59,80
            a.csv| 1,UCSF,2024-02-01T00:00:00,90
            a.csv| 3,OTHER,2024-02-02T00:00:00,60
            a.csv| 2,ZSFG,2023-12-31T12:00:00,65
            b.csv| facility,heart_rate_max
            b.csv| OTHER,60
            b.csv| UCSF,90
            b.csv| ZSFG,80
            a.ndjson| {"facility":"OTHER","heart_rate_max":60}
            a.ndjson| {"facility":"UCSF","heart_rate_max":90}
            a.ndjson| {"facility":"ZSFG","heart_rate_max":80}
        "#]],
    );
}

#[test]
fn a_join_that_multiplies_rows_is_warned_about() {
    check(
        "inputs: {visits: visits.csv, doubled: doubled.csv}\n\
         transforms:\n  - {id: both, type: join, left: visits, right: doubled, on: [patient_id]}\n  \
         - {type: group_by, keys: [tag], aggregations: [{function: len}]}\noutputs: a.csv\n",
        expect![[r#"
            exit 0
            out| wrote a.csv: 3 rows, N
            err| warning: the join "both" (inner, patient_id = patient_id) multiplies rows by 2.0: 6 and 6 rows give 12, since its key is unique on neither side
            a.csv| tag,len
            a.csv| a,4
            a.csv| b,4
            a.csv| c,4
        "#]],
    );
}

#[test]
fn a_dry_run_shows_the_plan_and_runs_nothing() {
    check_with(
        "inputs: {visits: {path: visits.csv, columns: [patient_id, facility]}, people: people.csv}\n\
         transforms:\n  - {id: counts, type: group_by, input: visits, keys: [patient_id], aggregations: [{function: len}]}\n  \
         - {id: named, type: join, right: people, on: [patient_id]}\n  - {id: idle, type: limit, n: 1}\n\
         outputs: {csv: a.csv, parquet: b.parquet, step: named}\nvalidate: {step: named, rows: {min: 1}}\nsettings: {memory_budget: 512MiB, threads: 2}\n",
        &["--dry-run"],
        expect![[r#"
            exit 0
            out| pipeline p (p.yaml)
            out| 
            out| inputs
            out|   visits: csv visits.csv, N, 2 of 4 columns
            out|   people: csv people.csv, N, 3 of 3 columns
            out| 
            out| steps
            out|   counts: group_by of visits
            out|   named: join of counts, people
            out|   idle: limit of named (not run: no output or check needs it)
            out| 
            out| stage 1: counts -> checkpoint
            out|   Output: in order
            out|     Sort: by patient_id
            out|       Project: patient_id, len
            out|         Aggregate: count(*) by patient_id
            out|           Scan: csv visits.csv, 1 of 4 columns
            out|   about 4 rows; operators hold about N
            out| 
            out| stage 2: named -> b.parquet, a.csv
            out|   Output
            out|     Join: inner, patient_id = patient_id, build right
            out|       Scan: csv people.csv, 3 of 3 columns
            out|       Scan: the file of counts, 2 of 2 columns
            out|   about 4 rows; operators hold about N
            out|   one check
            out| 
            out| estimated peak memory N of N, estimated spill N
            out| nothing was run
        "#]],
    );
}

#[test]
fn values_of_the_command_line_are_put_over_those_of_the_file() {
    check_with(
        "inputs: {visits: nothing.csv}\ntransforms:\n  - {id: first, type: limit, n: 1}\noutputs: a.csv\n",
        &["--set", "inputs.visits=visits.csv", "--set", "transforms.first.n=2", "--set", "outputs={csv: b.csv}"],
        expect![[r#"
            exit 0
            out| wrote b.csv: 2 rows, N
            b.csv| patient_id,facility,timestamp,heart_rate
            b.csv| 1,UCSF,2024-01-02T03:04:05,70
            b.csv| 2,ZSFG,2024-01-31T23:59:59,80
        "#]],
    );
}

#[test]
fn after_kill_9_a_resumed_run_computes_only_what_is_missing() {
    let folder = staged_inputs(60_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    assert_eq!(computed(folder.path()), ["totals", "ranked", "sorted"]);
    let complete = outputs(folder.path());
    assert_eq!(complete.len(), 5, "three outputs, the manifest and the checksums");
    fs::remove_dir_all(folder.path().join("out")).unwrap();

    let mut child = brimful(folder.path()).args(["run", "p.yaml"]).stdout(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !is_finished(folder.path(), "ranked") {
        assert!(started.elapsed() < Duration::from_secs(60), "the second stage is never finished");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was killed in time");
    assert_eq!(outputs(folder.path()).len(), 0, "nothing is published before everything is there");

    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["sorted"]);
    assert!(outputs(folder.path()) == complete, "the outputs are those of a clean run");
    // Nothing is left to do.
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), [""; 0]);
    assert!(outputs(folder.path()) == complete);
}

#[test]
fn kills_at_any_moment_leave_whole_outputs_and_a_run_that_goes_on() {
    let folder = staged_inputs(10_000);
    let started = Instant::now();
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let whole_run = started.elapsed();
    let complete = outputs(folder.path());
    for kill in 0..6 {
        fs::remove_dir_all(folder.path().join("out")).unwrap();
        let mut child = brimful(folder.path()).args(["run", "p.yaml"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole_run.mul_f64((f64::from(kill) + 0.5) / 6.0));
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, bytes) in outputs(folder.path()) {
            assert!(complete[&name] == bytes, "kill {kill}: {name} is neither absent nor whole");
        }
        assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
        assert!(outputs(folder.path()) == complete, "kill {kill}: the outputs are not those of a clean run");
    }
}

#[test]
fn a_resumed_run_repeats_what_changed_inputs_concern() {
    let folder = staged_inputs(2_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let before = outputs(folder.path());
    // Other names concern one stage, another step another.
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["ranked"]);
    let after = outputs(folder.path());
    assert!(before["ranked.csv"] != after["ranked.csv"] && before["sorted.csv"] == after["sorted.csv"]);
    // A changed output is written again.
    fs::write(folder.path().join("out/sorted.csv"), "spoilt").unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["sorted"]);
    assert!(outputs(folder.path()) == after);
    // Without --resume everything is computed.
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    assert_eq!(computed(folder.path()), ["totals", "ranked", "sorted"]);
}

#[test]
fn a_failed_run_changes_nothing() {
    let folder = staged_inputs(2_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let before = outputs(folder.path());
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    let failed = run(folder.path(), &["p.yaml", "--set", "validate.rows.min=1000000"]);
    assert_eq!(failed.status.code(), Some(3), "{}", transcript(&failed));
    assert!(outputs(folder.path()) == before);
    // A disk that fails at some call.
    for call in [1, 2, 5, 9] {
        let mut command = brimful(folder.path());
        let done = command.args(["run", "p.yaml"]).env("BRIMFUL_TEST_DISK_FAULT", format!("{call}:nospace")).output();
        if !done.unwrap().status.success() {
            assert!(outputs(folder.path()) == before, "the disk failed at call {call}");
        }
    }
}

#[test]
fn checksums_and_manifest_are_those_of_the_outputs() {
    let folder = staged_inputs(500);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let checked =
        Command::new("sha256sum").args(["-c", "checksums.txt"]).current_dir(folder.path().join("out")).output();
    let checked = String::from_utf8(checked.unwrap().stdout).unwrap();
    assert_eq!(checked, "ranked.csv: OK\nsorted.parquet: OK\nsorted.csv: OK\n");
    let manifest = fs::read_to_string(folder.path().join("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["inputs"][0]["rows"], 500);
    assert_eq!(manifest["outputs"][1]["rows"], 500);
    assert_eq!(manifest["steps"][0]["id"], "totals");
    assert_eq!(manifest["checks"][0], "sorted: there are at least 1 rows");
    assert_eq!(manifest["settings"]["memory_budget_bytes"], 128 << 20);
    assert!(run(folder.path(), &["p.yaml", "--report", "report.html"]).status.success());
    let report = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(report.contains("p: totals -&gt; checkpoint"), "a section for each stage");
}

#[test]
fn long_chains_of_steps_are_planned() {
    let steps: String = (0..80)
        .map(|n| format!("  - {{type: with_columns, columns: {{patient_id: patient_id + 1, step_{n}: {n}}}}}\n"))
        .collect();
    let last = "  - {type: select, columns: [patient_id, step_79]}\n  - {type: limit, n: 1}\n";
    check(
        &format!("inputs: {{people: people.csv}}\ntransforms:\n{steps}{last}outputs: a.csv\n"),
        expect![[r#"
            exit 0
            out| wrote a.csv: 1 row, N
            a.csv| patient_id,step_79
            a.csv| 81,79
        "#]],
    );
}

#[test]
fn options_of_csv_are_keys_of_an_input() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("x.csv"), "made by hand\nzip;price\n01;1,5\n02;-\n").unwrap();
    let input =
        "{path: x.csv, delimiter: ;, skip_rows: 1, decimal_comma: yes, null_values: [\"-\"], schema: {zip: varchar}}";
    fs::write(folder.path().join("p.yaml"), format!("inputs: {{x: {input}}}\noutputs: a.csv\n")).unwrap();
    let done = run(folder.path(), &["p.yaml"]);
    assert!(done.status.success(), "{}", transcript(&done));
    assert_eq!(fs::read_to_string(folder.path().join("a.csv")).unwrap(), "zip,price\n01,1.5\n02,\n");
    let wrong = run(folder.path(), &["p.yaml", "--set", "inputs.x.encoding=latin-99"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", transcript(&wrong));
}

#[test]
fn a_resumed_run_sees_changes_of_files_that_read_csv_names() {
    let folder = inputs();
    let yaml = |option: &str| with_steps(&format!("{{sql: \"SELECT * FROM read_csv('people.csv', {option})\"}}"));
    assert!(run_text(folder.path(), &yaml("header = true"), &[]).status.success());
    fs::write(folder.path().join("people.csv"), "patient_id,name,zip\n7,Zo,1\n").unwrap();
    let resumed = |option: &str| {
        assert!(run_text(folder.path(), &yaml(option), &["--resume"]).status.success());
        fs::read_to_string(folder.path().join("a.csv")).unwrap()
    };
    assert_eq!(resumed("header = true"), "patient_id,name,zip\n7,Zo,1\n");
    assert_eq!(resumed("null_value = 'Zo'"), "patient_id,name,zip\n7,,1\n");
}

#[test]
fn files_that_steps_read_are_not_overwritten() {
    for from in ["'people.csv'", "read_csv('people.csv')", "'./people.csv'"] {
        let steps = with_steps(&format!("{{sql: \"SELECT * FROM {from}\"}}")).replace("a.csv", "people.csv");
        let said = refusal(&steps.replace("people: {path: people.csv, schema: {zip: varchar}}, ", ""));
        assert!(said.contains("people.csv is an input, too"), "{said}");
    }
}

#[test]
fn a_resumed_run_with_other_outputs_publishes_each_under_its_name() {
    let folder = inputs();
    let steps = "inputs: {visits: visits.csv, people: people.csv}\ntransforms:\n  \
                 - {id: one, type: sort, input: visits, by: [patient_id]}\n  - {id: two, type: sort, input: people, by: [name]}\n";
    let (one, two) = ("{path: out/one.csv, step: one}", "{path: out/two.csv, step: two}");
    let failed = format!("{steps}outputs: [{one}, {two}]\nvalidate: {{step: people, rows: {{min: 99}}}}\n");
    assert_eq!(run_text(folder.path(), &failed, &[]).status.code(), Some(3));
    let swapped = format!("{steps}outputs: [{two}, {one}]\n");
    assert!(run_text(folder.path(), &swapped, &["--resume"]).status.success());
    let start = |name: &str| fs::read_to_string(folder.path().join("out").join(name)).unwrap()[..15].to_string();
    assert_eq!((start("one.csv"), start("two.csv")), ("patient_id,faci".into(), "patient_id,name".into()));
}

#[test]
fn folders_of_outputs_are_no_columns() {
    let yaml = "inputs: {people: people.csv}\ntransforms:\n  - {id: all, type: sort, by: [name]}\n  \
                - {id: some, type: filter, condition: \"patient_id > 2\"}\n\
                outputs: [{path: out/run_date=2024-05-01/x.parquet, step: all}, {path: a.csv, step: some}]\n\
                validate: {step: all, rows: {min: 1}}\n";
    assert_eq!(written(yaml, "a.csv"), "patient_id,name,zip\n3,Cy,00501\n");
}

#[test]
fn a_declared_column_that_is_not_in_the_file_is_told() {
    let said = refusal("inputs: {people: {path: people.csv, schema: {zipp: varchar}}}\noutputs: a.csv\n");
    assert!(said.contains("zipp") && said.contains("did you mean \"zip\"?") && said.contains("p.yaml:1:"), "{said}");
}

#[test]
fn the_file_is_stronger_than_variables_and_weaker_than_flags() {
    let folder = inputs();
    let threads = |yaml: &str, args: &[&str]| {
        fs::write(folder.path().join("p.yaml"), format!("inputs: {{people: people.csv}}\noutputs: a.csv\n{yaml}"))
            .unwrap();
        let mut command = brimful(folder.path());
        let done = command.args(["run", "p.yaml"]).args(args).env("BRIMFUL_THREADS", "3").output().unwrap();
        assert!(done.status.success(), "{}", transcript(&done));
        let manifest = fs::read_to_string(folder.path().join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        manifest["settings"]["threads"].as_u64().unwrap()
    };
    assert_eq!(threads("settings: {threads: 2}", &[]), 2);
    assert_eq!(threads("settings: {threads: 2}", &["--threads", "1"]), 1);
    assert_eq!(threads("", &[]), 3);
}

#[test]
fn texts_are_compressed_as_their_names_say() {
    let folder = inputs();
    for outputs in ["{csv: a.csv.gz}", "a.csv.gz"] {
        let yaml = format!("inputs: {{people: people.csv}}\noutputs: {outputs}\n");
        let done = run_text(folder.path(), &yaml, &[]);
        assert!(done.status.success(), "{}", transcript(&done));
        assert_eq!(fs::read(folder.path().join("a.csv.gz")).unwrap()[..2], [0x1F, 0x8B]);
    }
}

#[test]
fn every_file_is_written_once() {
    let inputs = "inputs: {people: people.csv}\n";
    for outputs in [
        "outputs: {csv: out/a.csv, log: ./out/a.csv}",
        "outputs: {csv: out/a.csv, manifest: out/x/../a.csv}",
        "outputs: [a.csv, ./a.csv]",
        "outputs: {csv: out/a.csv}\nsettings: {on_bad_row: reject=./out/a.csv}",
    ] {
        let said = refusal(&format!("{inputs}{outputs}\n"));
        assert!(said.contains("is written twice"), "{outputs}: {said}");
    }
    // One folder by two names is one folder.
    assert_eq!(written(&format!("{inputs}outputs: [./out/a.csv, out/b.csv]\n"), "out/b.csv").len(), 54);
}

#[test]
fn the_rows_that_are_picked_do_not_depend_on_threads() {
    let join = "{id: j, type: join, left: visits, right: people, on: [patient_id]}";
    for pick in ["{type: limit, n: 2}", "{type: sample, n: 2}", "{type: sample, fraction: 0.5}"] {
        let manifest = written(&with_steps(&format!("{join}, {pick}")), "manifest.json");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let sql = manifest["steps"][1]["sql"].as_str().unwrap().to_string();
        assert!(sql.contains("ORDER BY \"patient_id\", \"facility\", \"timestamp\", "), "{sql}");
    }
    // Rows whose order was asked for keep it.
    let sorted = "{id: s, sql: \"SELECT name FROM people ORDER BY name DESC\"}, {type: limit, n: 2}";
    assert_eq!(written(&with_steps(sorted), "a.csv"), "name\nCy\nBo\n");
}

#[test]
fn functions_of_nothing_are_those_of_frames() {
    let functions = "{column: heart_rate, function: n_unique, alias: u}, {column: heart_rate, function: sum, alias: s}, \
                     {column: heart_rate, function: count_distinct, alias: d}";
    let group =
        |input: &str| format!("{{type: group_by, input: {input}, keys: [facility], aggregations: [{functions}]}}");
    let csv = written(&with_steps(&group("visits")), "a.csv");
    assert_eq!(csv, "facility,u,s,d\nOTHER,1,60,1\nUCSF,2,160,2\nZSFG,3,145,2\n");
    let none = "{id: none, type: filter, input: visits, condition: heart_rate IS NULL}";
    let csv = written(&with_steps(&format!("{none}, {}", group("none"))), "a.csv");
    assert_eq!(csv, "facility,u,s,d\nZSFG,1,0,0\n");
}

#[test]
fn an_outer_join_of_unique_keys_multiplies_nothing() {
    let folder = inputs();
    fs::write(folder.path().join("others.csv"), "patient_id,x\n11,1\n12,2\n13,3\n").unwrap();
    let yaml = "inputs: {people: people.csv, others: others.csv}\ntransforms:\n  \
                - {type: join, left: people, right: others, on: [patient_id], how: full}\noutputs: a.csv\n";
    let done = run_text(folder.path(), yaml, &[]);
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
}

#[test]
fn a_column_is_named_once() {
    for step in [
        "{type: with_columns, input: people, columns: [{x: name}, {x: zip}]}",
        "{type: cast, input: people, columns: [{zip: int}, {zip: double}]}",
        "{type: rename, input: people, columns: [{zip: a}, {zip: b}]}",
        "{type: fill_null, input: people, columns: [zip, zip], value: \"0\"}",
    ] {
        let said = refusal(&with_steps(step));
        assert!(said.contains("twice") && said.contains("p.yaml:2:"), "{step}: {said}");
    }
}

#[test]
fn what_fills_nulls_fits_the_column() {
    for value in ["1.5", "\"0\"", "nan", "inf", "abc", "99999999999999999999"] {
        let said =
            refusal(&with_steps(&format!("{{type: fill_null, input: visits, columns: {{heart_rate: {value}}}}}")));
        assert!(said.contains("does not fit column \"heart_rate\"") && said.contains("p.yaml:2:"), "{value}: {said}");
    }
    let filled = |filler: &str| {
        let steps = "{type: filter, input: visits, condition: patient_id = 4}, {type: with_columns, columns: {f: \
                     \"CAST(heart_rate AS DOUBLE)\", t: \"CAST(heart_rate AS VARCHAR)\", d: \"CAST(NULL AS DATE)\"}}, \
                     {type: select, columns: [heart_rate, f, t, d]}";
        let csv = written(&with_steps(&format!("{steps}, {{type: fill_null, {filler}}}")), "a.csv");
        csv.lines().nth(1).unwrap_or(&csv).to_string()
    };
    assert_eq!(filled("value: 1.5"), ",1.5,,");
    assert_eq!(filled("value: 7"), "7,7.0,,");
    assert_eq!(filled("value: \"0\""), ",,0,");
    assert_eq!(filled("value: nan"), ",NaN,,");
    assert_eq!(filled("columns: {heart_rate: -3, t: 4, d: 2024-01-02}"), "-3,,4,2024-01-02");
}

#[test]
fn inputs_that_change_meanwhile_fail_the_run() {
    let folder = staged_inputs(60_000);
    let child = brimful(folder.path()).args(["run", "p.yaml"]).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !is_finished(folder.path(), "totals") {
        assert!(started.elapsed() < Duration::from_secs(60), "the first stage is never finished");
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(3), "{}", transcript(&done));
    assert!(transcript(&done).contains("names.csv changed"), "{}", transcript(&done));
    assert_eq!(outputs(folder.path()).len(), 0);
}

#[test]
fn two_pipelines_in_one_folder_describe_themselves_apart() {
    let folder = inputs();
    fs::write(folder.path().join("q.yaml"), "inputs: {v: visits.csv}\noutputs: out/q.csv\n").unwrap();
    assert!(run_text(folder.path(), "inputs: {p: people.csv}\noutputs: out/p.csv\n", &[]).status.success());
    let first = outputs(folder.path());
    assert!(run(folder.path(), &["q.yaml"]).status.success());
    assert!(run(folder.path(), &["q.yaml"]).status.success());
    let found = outputs(folder.path());
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["checksums.txt", "manifest.json", "p.csv", "q.checksums.txt", "q.csv", "q.manifest.json"]);
    assert!(found["checksums.txt"] == first["checksums.txt"]);
}

#[test]
fn a_link_stays_a_link() {
    let folder = inputs();
    fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real/new.csv", folder.path().join("a.csv")).unwrap();
    for _ in 0..2 {
        let done = run_text(folder.path(), "inputs: {people: people.csv}\noutputs: a.csv\n", &[]);
        assert!(done.status.success(), "{}", transcript(&done));
        assert!(folder.path().join("a.csv").is_symlink());
        assert_eq!(fs::read_to_string(folder.path().join("real/new.csv")).unwrap().len(), 54);
    }
}
