//! Formats and folders of outputs, and what may not be written.

use std::fs;
use std::process::Stdio;

use crate::running::*;

/// What a query over the files of a folder gives, as CSV.
fn query(folder: &std::path::Path, sql: &str) -> String {
    let done = brimful(folder).args(["sql", sql, "--format", "csv"]).stderr(Stdio::inherit()).output().unwrap();
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn outputs_may_be_arrow_files() {
    for outputs in ["{ipc: a.arrow}", "a.arrow", "[{path: a.arrow}]", "[{path: a.arrow, format: arrow}]"] {
        let folder = inputs();
        let yaml = format!("inputs: {{people: {{path: people.csv, schema: {{zip: varchar}}}}}}\noutputs: {outputs}\n");
        let done = run_text(folder.path(), &yaml, &[]);
        assert!(done.status.success(), "{outputs}: {}", transcript(&done));
        assert_eq!(query(folder.path(), "SELECT zip FROM 'a.arrow'"), "zip\n01001\n94110\n00501\n", "{outputs}");
    }
}

#[test]
fn row_groups_have_as_many_rows_as_asked_for() {
    let folder = staged_inputs(5_000);
    let yaml = "inputs: {events: events.parquet}\noutputs: [{path: a.parquet, row_group_rows: 1_000}]\n";
    let done = run_text(folder.path(), yaml, &[]);
    assert!(done.status.success(), "{}", transcript(&done));
    let shown = brimful(folder.path()).args(["inspect", "a.parquet"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains('5') && shown.contains("row groups"), "{shown}");
    let said = refusal("inputs: {people: people.csv}\noutputs: [{path: a.csv, row_group_rows: 10}]\n");
    assert!(said.contains("row groups are of Parquet, and a.csv is csv"), "{said}");
    let said = refusal("inputs: {people: people.csv}\noutputs: [{path: a.parquet, row_group_rows: 0}]\n");
    assert!(said.contains("a row group has from 1 to"), "{said}");
}

/// A summary in one file, and its rows in folders.
const PARTS: &str = "\
inputs: {visits: visits.csv}
transforms: [{id: counts, type: group_by, keys: [facility, patient_id], aggregations: [{function: len}]}]
outputs:
  - {path: out/parts, format: parquet, partition_by: [facility]}
  - out/all.csv
validate: {rows: {min: 1}}
";

#[test]
fn an_output_may_be_a_folder_of_partitions() {
    let folder = inputs();
    let done = run_text(folder.path(), PARTS, &[]);
    assert!(done.status.success(), "{}", transcript(&done));
    let rows = "SELECT facility, patient_id, len FROM 'out/parts/**/*.parquet' ORDER BY 1, 2";
    let all = fs::read_to_string(folder.path().join("out/all.csv")).unwrap();
    assert_eq!(query(folder.path(), rows), all);
    assert!(folder.path().join("out/parts/facility=UCSF").is_dir());
    let checksums = fs::read_to_string(folder.path().join("out/checksums.txt")).unwrap();
    assert_eq!(checksums.lines().filter(|line| line.contains("  parts/facility=")).count(), 3, "{checksums}");
    // Again, in the place of the old one; and kept.
    fs::write(folder.path().join("people.csv"), "").unwrap();
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    assert_eq!(query(folder.path(), rows), all);
    let manifest = || fs::read_to_string(folder.path().join("out/manifest.json")).unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert!(!manifest().contains("\"reused\": false"), "{}", manifest());
    // A part that is gone is written again.
    fs::remove_dir_all(folder.path().join("out/parts/facility=UCSF")).unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(query(folder.path(), rows), all);
}

#[test]
fn a_folder_of_something_else_is_not_replaced() {
    let folder = inputs();
    fs::create_dir_all(folder.path().join("out/parts")).unwrap();
    fs::write(folder.path().join("out/parts/thesis.txt"), "years of work").unwrap();
    let done = run_text(folder.path(), PARTS, &[]);
    assert_eq!(done.status.code(), Some(5), "{}", transcript(&done));
    assert!(transcript(&done).contains("it holds thesis.txt"));
    let said = refusal(&PARTS.replace("[facility]}", "[facilty]}"));
    assert!(said.contains("p.yaml:4") && said.contains("did you mean \"facility\"?"), "{said}");
}

#[test]
fn an_output_is_not_called_like_a_manifest() {
    let said = refusal("inputs: {people: people.csv}\noutputs: [o/a.csv, {path: b/manifest.json}]\n");
    assert!(said.contains("b/manifest.json is the name of what describes outputs"), "{said}");
}

#[test]
fn a_dry_run_sees_folders_in_which_nothing_can_be_made() {
    let folder = inputs();
    for args in [&["--dry-run"][..], &[]] {
        let done = run_text(folder.path(), "inputs: {people: people.csv}\noutputs: /proc/x.parquet\n", args);
        assert_eq!(done.status.code(), Some(5), "{}", transcript(&done));
        assert!(transcript(&done).contains("cannot write /proc/x.parquet"));
    }
}

#[test]
fn the_manifest_has_the_rows_of_text_inputs_that_were_read_whole() {
    let folder = inputs();
    fs::write(folder.path().join("more.ndjson"), "{\"patient_id\": 1}\n{\"patient_id\": 2}\n").unwrap();
    let rows_of = |steps: &str| {
        let yaml = format!(
            "inputs: {{people: people.csv, more: more.ndjson}}\nfilters: {{patient_id: 1}}\ntransforms: [{steps}]\noutputs: a.csv\n"
        );
        let done = run_text(folder.path(), &yaml, &[]);
        assert!(done.status.success(), "{}", transcript(&done));
        let manifest = fs::read_to_string(folder.path().join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let rows = |idx: usize, key: &str| manifest["inputs"][idx][key].as_u64();
        [rows(0, "rows"), rows(1, "rows"), rows(0, "rows_used"), rows(1, "rows_used")]
    };
    let joined = rows_of("{type: join, left: people, right: more, on: [patient_id]}");
    assert_eq!(joined, [Some(3), Some(2), Some(1), Some(1)]);
}
