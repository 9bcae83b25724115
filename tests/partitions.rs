//! Partitioned outputs as users write them: many folders within a small budget, and nothing half after `kill -9`. Ten
//! thousand folders at 256 MiB: `cargo test --release --test partitions -- --ignored --nocapture`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rows in no order over `n_keys` times `n_keys` pairs of keys; the second key has leading zeros.
fn write_input(path: &Path, n_rows: u64, n_keys: u64) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("a file"));
    writeln!(file, "id,name,a,b").expect("written");
    for row in 0..n_rows {
        let pair = row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let (a, b) = (pair % n_keys, (pair / n_keys) % n_keys);
        writeln!(file, "{row},name of {:08},{a},{b:04}", row % 90_001).expect("written");
    }
}

struct Run {
    stdout: String,
    peak_bytes: u64,
    seconds: f64,
}

fn command(dir: &Path, sql: &str, budget_mib: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    let sql = sql.replace("DIR", &dir.display().to_string());
    command.args(["sql", &sql, "--memory-budget", &format!("{budget_mib}MiB"), "--threads", "2", "--format", "csv"]);
    command.args(["--schema", "b=string", "--progress", "never", "--metrics"]).arg(dir.join("metrics.json"));
    command
}

fn run(dir: &Path, sql: &str, budget_mib: u64) -> Run {
    let started = Instant::now();
    let output = command(dir, sql, budget_mib).output().expect("it runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    let metrics = fs::read_to_string(dir.join("metrics.json")).expect("metrics");
    let metrics: serde_json::Value = serde_json::from_str(&metrics).expect("JSON");
    let peak_bytes = metrics["peak_resident_bytes"].as_u64().expect("a number");
    assert!(peak_bytes <= budget_mib << 20, "{sql}: {} MiB", peak_bytes >> 20);
    let stdout = String::from_utf8(output.stdout).expect("text");
    Run { stdout, peak_bytes, seconds: started.elapsed().as_secs_f64() }
}

fn n_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { n_files(&path) } else { 1 }).sum()
}

/// Writes and reads `n_keys` times `n_keys` folders in each format.
fn write_and_read_back(n_rows: u64, n_keys: u64, budget_mib: u64, formats: &[&str]) {
    let dir = tempfile::tempdir().expect("a folder");
    write_input(&dir.path().join("input.csv"), n_rows, n_keys);
    let totals = "SELECT count(*) AS n, sum(id) AS ids, count(DISTINCT name) AS names, count(DISTINCT b) AS bs";
    let whole = run(dir.path(), &format!("{totals} FROM 'DIR/input.csv'"), budget_mib);
    let one = "SELECT * FROM 'DIR/SOURCE' WHERE a = 3 AND b = '0004' ORDER BY id";
    let picked = run(dir.path(), &one.replace("SOURCE", "input.csv"), budget_mib);
    for format in formats {
        let sql = format!("COPY 'DIR/input.csv' TO 'DIR/{format}' (FORMAT {format}, PARTITION_BY (a, b))");
        let written = run(dir.path(), &sql, budget_mib);
        assert_eq!(n_files(&dir.path().join(format)) as u64, n_keys * n_keys);
        let read = run(dir.path(), &format!("{totals} FROM 'DIR/{format}/'"), budget_mib);
        assert_eq!(read.stdout, whole.stdout, "{format}");
        let pruned = run(dir.path(), &one.replace("SOURCE", format), budget_mib);
        assert_eq!(pruned.stdout, picked.stdout, "{format}");
        for (what, run) in [("written", written), ("read", read), ("one folder read", pruned)] {
            println!(
                "{format}: {} folders {what}: {:.1} s, {} MiB",
                n_keys * n_keys,
                run.seconds,
                run.peak_bytes >> 20
            );
        }
    }
}

#[test]
fn hundreds_of_folders_are_written_and_read_within_a_small_budget() {
    write_and_read_back(20_000, 15, 160, &["parquet", "csv", "arrow", "json"]);
}

#[test]
#[ignore = "takes minutes"]
fn ten_thousand_folders_are_written_and_read_within_256_mib() {
    write_and_read_back(2_000_000, 100, 256, &["parquet", "csv"]);
}

#[test]
fn a_killed_run_leaves_no_output_and_the_next_one_cleans_up() {
    let dir = tempfile::tempdir().expect("a folder");
    write_input(&dir.path().join("input.csv"), 30_000, 20);
    let out = dir.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let sql = "COPY 'DIR/input.csv' TO 'DIR/out/p' (FORMAT csv, PARTITION_BY (a, b), OVERWRITE)";
    let whole_run = run(dir.path(), sql, 160).seconds;
    for kill in 0..6 {
        let was_there = kill % 2 == 0;
        if !was_there {
            fs::remove_dir_all(out.join("p")).expect("removed");
        }
        let mut child =
            command(dir.path(), sql, 160).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        std::thread::sleep(Duration::from_secs_f64(whole_run * (0.5 + 0.1 * f64::from(kill))));
        child.kill().expect("killed");
        child.wait().expect("ended");
        match out.join("p").exists() {
            true => assert_eq!(n_files(&out.join("p")), 400, "kill {kill}"),
            false => assert!(!was_there, "kill {kill}: the old output is gone"),
        }
        run(dir.path(), sql, 160);
        let names: Vec<_> =
            fs::read_dir(&out).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["p"], "kill {kill}: what the killed run left is gone");
    }
}
