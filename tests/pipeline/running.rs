//! Pipelines through the built command: inputs, what it said, what it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::Expect;
use tempfile::TempDir;

pub(crate) fn brimful(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("NO_COLOR").env("TERM", "dumb");
    command
}

pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    brimful(folder).arg("run").args(args).output().unwrap()
}

/// A folder with small inputs.
pub(crate) fn inputs() -> TempDir {
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

pub(crate) fn transcript(output: &Output) -> String {
    let mut text = format!("exit {}\n", output.status.code().map_or("by a signal".into(), |code| code.to_string()));
    for (name, bytes) in [("out", &output.stdout), ("err", &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).lines() {
            text.push_str(&format!("{name}| {}\n", without_sizes(line)));
        }
    }
    text
}

/// `12.3 KiB` as `N`: sizes depend on versions and machines.
pub(crate) fn without_sizes(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        match word.trim_end_matches(',') {
            "B" | "KiB" | "MiB" | "GiB" => {
                *words.last_mut().unwrap_or(&mut "") = if word.ends_with(',') { "N," } else { "N" }
            }
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// Runs `yaml` and shows what it said and the text files that it wrote.
pub(crate) fn check_with(yaml: &str, args: &[&str], expected: Expect) {
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

pub(crate) fn check(yaml: &str, expected: Expect) {
    check_with(yaml, &[], expected);
}

/// Steps over the inputs, whose last one is written to `a.csv`.
pub(crate) fn check_steps(steps: &str, expected: Expect) {
    let inputs =
        "inputs: {visits: visits.csv, people: {path: people.csv, schema: {zip: varchar}}, doubled: doubled.csv}";
    check(&format!("{inputs}\ntransforms:\n{steps}\noutputs: {{csv: a.csv}}\n"), expected);
}

/// Runs `yaml` as `p.yaml` in a folder.
pub(crate) fn run_text(folder: &Path, yaml: &str, args: &[&str]) -> Output {
    fs::write(folder.join("p.yaml"), yaml).unwrap();
    let args: Vec<&str> = ["p.yaml"].iter().chain(args).copied().collect();
    run(folder, &args)
}

/// What `name` holds after `yaml` ran.
pub(crate) fn written(yaml: &str, name: &str) -> String {
    let folder = inputs();
    let done = run_text(folder.path(), yaml, &[]);
    fs::read_to_string(folder.path().join(name)).unwrap_or_else(|_| transcript(&done))
}

/// What is said of `yaml`, which is wrong.
pub(crate) fn refusal(yaml: &str) -> String {
    let folder = inputs();
    let done = run_text(folder.path(), yaml, &[]);
    assert_eq!(done.status.code(), Some(2), "{}", transcript(&done));
    String::from_utf8(done.stderr).unwrap()
}

/// `steps` over the small inputs, the last one written to `a.csv`.
pub(crate) fn with_steps(steps: &str) -> String {
    let inputs =
        "inputs: {visits: visits.csv, people: {path: people.csv, schema: {zip: varchar}}, doubled: doubled.csv}";
    format!("{inputs}\ntransforms: [{steps}]\noutputs: {{csv: a.csv}}\n")
}

/// A pipeline of three stages, of which the last takes a while.
pub(crate) const STAGES: &str = "\
inputs: {events: events.parquet, names: names.csv}
transforms:
  - {id: totals, type: group_by, input: events, keys: [key], aggregations: [{column: value, function: sum, alias: total}]}
  - {id: named, type: join, left: totals, right: names, on: [key], how: left}
  - {id: ranked, type: sort, by: [total, key]}
  - {id: sorted, type: sort, input: events, by: [value, key, id]}
outputs:
  - {path: out/ranked.csv, step: ranked}
  - {path: out/sorted.parquet, step: sorted}
  - {path: out/sorted.csv, step: sorted}
validate: {step: sorted, rows: {min: 1}}
settings: {memory_budget: 128MiB, threads: 2}
";

/// Inputs for it; `names` may be others.
pub(crate) fn staged_inputs(n_rows: u32) -> TempDir {
    let folder = TempDir::new().unwrap();
    let sql = format!(
        "COPY (SELECT n AS id, (n * 7919) % 1009 AS key, (n * 104729) % 65537 AS value, 'text of ' || n AS note \
         FROM (SELECT unnest(generate_series(1, {n_rows})) AS n)) TO 'events.parquet'"
    );
    assert!(brimful(folder.path()).args(["sql", &sql]).status().unwrap().success());
    let names: String = (0..1009).map(|key| format!("{key},name {key}\n")).collect();
    fs::write(folder.path().join("names.csv"), format!("key,name\n{names}")).unwrap();
    fs::write(folder.path().join("p.yaml"), STAGES).unwrap();
    folder
}

/// The outputs by name, and the files that say something about them only by name.
pub(crate) fn outputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder.join("out")).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() {
            let bytes = if name == "manifest.json" { vec![] } else { fs::read(entry.path()).unwrap() };
            found.insert(name, bytes);
        }
    }
    found
}

/// Which stages the last run computed.
pub(crate) fn computed(folder: &Path) -> Vec<String> {
    let manifest = fs::read_to_string(folder.join("out/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let stages = manifest["stages"].as_array().unwrap().iter();
    stages.filter(|stage| stage["reused"] == false).map(|stage| stage["step"].as_str().unwrap().to_string()).collect()
}

/// Whether a stage's record is there.
pub(crate) fn is_finished(folder: &Path, stage: &str) -> bool {
    let records = fs::read_dir(folder.join("out/.brimful/p")).into_iter().flatten();
    records.flatten().any(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.starts_with(&format!("{stage}.")) && name.ends_with(".json")
    })
}
