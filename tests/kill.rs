//! `kill -9` at random moments: no temporary byte and no half-written output may be left. A few of them always; 200 take
//! minutes: `cargo test --release --test kill -- --ignored`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Rows in no order, about 20 MB for 600,000.
fn write_input(path: &Path, n_rows: u64) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("a file"));
    writeln!(file, "id,name,value").expect("written");
    for row in 0..n_rows {
        let id = row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        writeln!(file, "{id},name of {:08},{}.5", id % 90_001, row % 1000).expect("written");
    }
}

fn sort_command(dir: &Path, output: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    let sql = format!("select * from '{}' order by name, id", dir.join("input.csv").display());
    command.args(["sql", &sql, "--memory-budget", "96MiB", "--threads", "2", "--progress", "never"]);
    command.arg("-o").arg(output).arg("--spill-dir").arg(dir.join("spill"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_few_kills_leave_nothing_behind() {
    kill_at_random_moments(8, 100_000);
}

#[test]
#[ignore = "takes minutes"]
fn many_kills_leave_nothing_behind() {
    kill_at_random_moments(200, 600_000);
}

fn kill_at_random_moments(n_kills: u32, n_rows: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("spill")).expect("a folder");
    fs::create_dir(dir.path().join("out")).expect("a folder");
    write_input(&dir.path().join("input.csv"), n_rows);
    let output = dir.path().join("out/sorted.csv");

    let started = Instant::now();
    assert!(sort_command(dir.path(), &output).status().expect("it runs").success());
    let whole_run = started.elapsed();
    let complete = fs::read(&output).expect("the output");

    let mut n_killed = 0;
    for kill in 0..n_kills {
        // Fractions of the golden ratio spread the moments evenly over the whole run and a little more.
        let share = (f64::from(kill) * 0.618_033_988_75).fract() * 1.05;
        let old_is_there = kill % 2 == 0;
        if !old_is_there {
            fs::remove_file(&output).expect("removed");
        }
        let mut child = sort_command(dir.path(), &output).spawn().expect("it runs");
        std::thread::sleep(Duration::from_secs_f64(whole_run.as_secs_f64() * share));
        child.kill().expect("killed");
        let status = child.wait().expect("ended");
        n_killed += u32::from(!status.success());

        assert_eq!(names_in(&dir.path().join("spill")), [""; 0], "kill {kill} at {share:.3} of the run");
        match fs::read(&output) {
            Ok(found) => {
                assert!(found == complete, "kill {kill} at {share:.3}: the output is neither old nor complete")
            }
            Err(_) => assert!(!old_is_there && !status.success(), "kill {kill} at {share:.3}: the old output is gone"),
        }
        let names = names_in(&dir.path().join("out"));
        assert!(names.iter().all(|name| name == "sorted.csv"), "kill {kill} at {share:.3} left {names:?}");
        if !output.exists() {
            fs::write(&output, &complete).expect("written");
        }
    }
    assert!(n_killed > n_kills / 2, "only {n_killed} runs were killed before their end");
}
