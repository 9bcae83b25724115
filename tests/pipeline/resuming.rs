//! What `--resume` keeps and what it computes again; what a dry run says of that.

use std::fs;
use std::path::{Path, PathBuf};

use crate::running::*;

/// The checkpoint of `step`.
fn checkpoint(folder: &Path, step: &str) -> PathBuf {
    let files = fs::read_dir(folder.join("out/.brimful/p")).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(&format!("{step}.")) && name.ends_with(".parquet")
    };
    files.into_iter().find(is_it).unwrap()
}

/// Changes a byte in the middle of a file and nothing that the system says of it but the times.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_computed_again() {
    let folder = staged_inputs(2_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    flip(&checkpoint(folder.path(), "totals"));
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    let done = run(folder.path(), &["p.yaml", "--resume"]);
    assert!(done.status.success(), "{}", transcript(&done));
    assert!(transcript(&done).contains("is not what an earlier run wrote: \"totals\" is computed again"));
    assert_eq!(computed(folder.path()), ["totals", "ranked"]);
    let resumed = outputs(folder.path());
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    assert!(outputs(folder.path()) == resumed, "the outputs are those of a clean run");
}

#[test]
fn a_dry_run_says_what_a_resumed_run_would_repeat() {
    let folder = staged_inputs(2_000);
    let shown = |args: &[&str]| {
        let text = transcript(&run(folder.path(), args));
        let lines = text.lines().filter_map(|line| line.strip_prefix("out| stage ")).map(str::to_string);
        lines.collect::<Vec<_>>()
    };
    let plain =
        ["1: totals -> checkpoint", "2: ranked -> out/ranked.csv", "3: sorted -> out/sorted.parquet, out/sorted.csv"];
    assert_eq!(shown(&["p.yaml", "--dry-run"]), plain);
    let with = |how: [&str; 3]| plain.iter().zip(how).map(|(stage, how)| format!("{stage}: {how}")).collect::<Vec<_>>();
    assert_eq!(shown(&["p.yaml", "--dry-run", "--resume"]), with(["computed"; 3]));
    assert!(!folder.path().join("out").exists(), "nothing was made");
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    fs::write(folder.path().join("names.csv"), "key,name\n0,zero\n").unwrap();
    fs::write(folder.path().join("out/sorted.csv"), "spoilt").unwrap();
    let kept = "kept from an earlier run, 1,009 rows";
    let spoilt = "computed again, since out/sorted.csv is not what an earlier run wrote";
    assert_eq!(shown(&["p.yaml", "--dry-run", "--resume"]), with([kept, "computed", spoilt]));
    assert_eq!(fs::read_to_string(folder.path().join("out/sorted.csv")).unwrap(), "spoilt", "nothing was run");
}

#[test]
fn a_file_that_changed_under_the_same_size_and_time_is_read_again() {
    let folder = staged_inputs(2_000);
    assert!(run(folder.path(), &["p.yaml"]).status.success());
    let names = folder.path().join("names.csv");
    let modified = fs::metadata(&names).unwrap().modified().unwrap();
    let text = fs::read_to_string(&names).unwrap().replace("name 7", "NAME 7");
    fs::write(&names, text).unwrap();
    fs::File::options().append(true).open(&names).unwrap().set_modified(modified).unwrap();
    assert!(run(folder.path(), &["p.yaml", "--resume"]).status.success());
    assert_eq!(computed(folder.path()), ["ranked"]);
    assert!(fs::read_to_string(folder.path().join("out/ranked.csv")).unwrap().contains("NAME 7"));
}

#[test]
fn the_estimated_peak_is_that_of_the_data_and_not_of_the_budget() {
    let folder = inputs();
    let yaml = "inputs: {people: people.csv}\noutputs: a.csv\nsettings: {memory_budget: 8GiB}\n";
    let done = run_text(folder.path(), yaml, &["--dry-run"]);
    let text = String::from_utf8(done.stdout).unwrap();
    let peak = text.split("estimated peak memory ").nth(1).unwrap().split(" of ").next().unwrap();
    let mib: f64 = peak.strip_suffix(" MiB").unwrap_or_else(|| panic!("{peak}")).parse().unwrap();
    assert!(mib < 150.0, "{peak} for a file of 50 bytes");
}
