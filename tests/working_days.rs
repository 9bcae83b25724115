//! The three working days at small scale: as frames, as SQL, as pipeline files and as shell scripts they write the same rows.
//!
//! `benches/working_days/run.py` does so at full size, and compares with DuckDB.

#[path = "../examples/working_day/mod.rs"]
mod working_day;

mod shell;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use brimful::frame::{DataFrame, LazyFrame};
use brimful::memory::Budget;
use brimful::{Session, SessionOptions};
use working_day::write::Formats;
use working_day::{Day, claims, health, sensors};

fn session() -> Session {
    let budget = Some(Budget::from_bytes(1 << 30));
    Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() }).unwrap()
}

/// Values as text; of floating-point numbers the digits that do not depend on the order of additions.
fn rows(frame: &DataFrame) -> Vec<Vec<String>> {
    frame.batches().iter().flat_map(rows_of_batch).collect()
}

fn rows_of_batch(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let texts = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().iter();
            values.map(|value| value.map_or("NULL".to_string(), |value| format!("{value:.9e}"))).collect::<Vec<_>>()
        }
        _ => {
            let values = ArrayFormatter::try_new(column, &options).unwrap();
            (0..column.len()).map(|row| values.value(row).to_string()).collect()
        }
    });
    let texts: Vec<Vec<String>> = texts.collect();
    (0..batch.num_rows()).map(|row| texts.iter().map(|column| column[row].clone()).collect()).collect()
}

fn read(session: &Session, path: &Path) -> DataFrame {
    session.scan(path.display().to_string()).collect().unwrap_or_else(|error| panic!("{}: {error:?}", path.display()))
}

/// Runs the files called `names` in one way in a folder where the data is; what they print, and where they write.
fn run(data: &Path, way: &str, names: &[&str]) -> (String, PathBuf) {
    let folder = data.join(format!("run {way} {}", names[0]));
    std::fs::create_dir_all(folder.join("out")).unwrap();
    for entry in std::fs::read_dir(data).unwrap().map(Result::unwrap) {
        symlink(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut printed = String::new();
    for name in names {
        let line = match way {
            "sql" => format!("brimful sql -f '{}/sql/{name}.sql'", examples.display()),
            "yaml" => format!("brimful run '{}/pipelines/{name}.yaml'", examples.display()),
            _ => format!("sh '{}/shell/{name}.sh'", examples.display()),
        };
        let mut command: Command = shell::shell(&folder, &line);
        let done = command.env("BRIMFUL_MEMORY_BUDGET", "512MiB").env("BRIMFUL_THREADS", "2").output().unwrap();
        assert!(done.status.success(), "{line}: {}", shell::transcript(&done));
        printed.push_str(&String::from_utf8_lossy(&done.stdout));
    }
    (printed, folder.join("out"))
}

/// Holds what each way writes against what the frames wrote into `expected`; what SQL and shell printed.
fn check_ways(session: &Session, data: &Path, expected: &Path, names: &[&str], outputs: &[&str]) -> String {
    let mut printed = String::new();
    for way in ["sql", "yaml", "shell"] {
        let (said, out) = run(data, way, names);
        printed.push_str(&said);
        for output in outputs {
            let (wanted, found) = (read(session, &expected.join(output)), read(session, &out.join(output)));
            assert!(wanted.height() > 0, "{output} has rows");
            assert_eq!(found.get_column_names(), wanted.get_column_names(), "{way}: {output}");
            let (wanted, found) = (rows(&wanted), rows(&found));
            assert_eq!(found.len(), wanted.len(), "{way}: {output}");
            for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                assert_eq!(found, wanted, "{way}: {output}, row {row}");
            }
        }
    }
    printed
}

/// Data of `n_rows` rows, and the folder that the frames write to.
fn begin(day: Day, n_rows: usize) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    day.make(&data, n_rows, Formats::BOTH).unwrap();
    std::fs::create_dir(&out).unwrap();
    (folder, data, out)
}

#[test]
fn the_sensor_study() {
    let (_folder, data, out) = begin(Day::Sensors, 40_000);
    let session = session();
    let plan = sensors::streaming_filter(&session, &data).explain().unwrap();
    assert!(plan.contains("6 of 14 columns"), "{plan}");
    sensors::answer(&session, &data, &out).unwrap();
    let of_csv = sensors::streaming_filter_of_csv(&session, &data).collect().unwrap();
    assert_eq!(rows(&of_csv), rows(&read(&session, &out.join("device_days.parquet"))));
    assert_eq!(read(&session, &out.join("segments_sample.csv")).height(), 2000);
    let outputs = ["device_days.parquet", "device_days.csv", "sleep_report.parquet", "sleep_report.csv"];
    let outputs = [outputs.as_slice(), &["nights.parquet", "night_segments.parquet", "segments_sample.csv"]].concat();
    let printed = check_ways(&session, &data, &out, &["sensor_filter", "sleep_report"], &outputs);
    assert_eq!(printed.matches("6 of 14 columns").count(), 2, "{printed}");
}

#[test]
fn the_health_records() {
    let (_folder, data, out) = begin(Day::Health, 20_000);
    let session = session();
    let patients = read(&session, &data.join("patients.csv"));
    let zips = patients.column("zip_code").unwrap();
    assert_eq!(zips.data_type(), &DataType::Utf8, "leading zeros are kept");
    assert!(zips.as_string::<i32>().iter().all(|zip| zip.is_some_and(|zip| zip.len() == 5)));
    health::answer(&session, &data, &out).unwrap();
    let answer = read(&session, &out.join("prevalence.parquet"));
    assert_eq!(answer.height(), 8);
    assert_eq!(answer.text(7, "with_diabetes"), Some("0".to_string()));
    assert_eq!(rows(&answer), rows(&read(&session, &out.join("prevalence.csv"))));
    let of_parquet = health::prevalence_from_parquet(&session, &data).collect().unwrap();
    assert_eq!(rows(&answer), rows(&of_parquet));
    check_ways(&session, &data, &out, &["prevalence"], &["prevalence.parquet", "prevalence.csv"]);
}

#[test]
fn the_claims_archive() {
    let n_rows = 20_000;
    let (_folder, data, out) = begin(Day::Claims, n_rows);
    let session = session();
    claims::answer(&session, &data, &out).unwrap();
    let by_month = read(&session, &out.join("claims_by_month.parquet"));
    assert_eq!(by_month.text(0, "plan"), None, "a column that came later is NULL before");
    let of_parquet = claims::by_month(claims::claims_of_parquet(&session, &data)).collect().unwrap();
    assert_eq!(rows(&by_month), rows(&of_parquet));
    check_ways(&session, &data, &out, &["claims"], &["claims_by_month.parquet", "top_providers.csv"]);
    let all: LazyFrame = claims::claims(&session, &data);
    let read: usize = all.collect_batches().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(read, n_rows);
}

#[test]
fn data_is_not_made_twice_and_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    Day::Health.make(folder.path(), 1_000, Formats::CSV).unwrap();
    let made = folder.path().join("events/part-0000.csv");
    let before = std::fs::metadata(&made).unwrap().modified().unwrap();
    Day::Health.make(folder.path(), 1_000, Formats::CSV).unwrap();
    assert_eq!(std::fs::metadata(&made).unwrap().modified().unwrap(), before);
    let error = Day::Health.make(folder.path(), 2_000, Formats::CSV).unwrap_err().to_string();
    assert!(error.contains("holds 1000 rows csv already"), "{error}");
    assert!(Day::Health.make(folder.path(), 1_000, Formats::BOTH).is_err());
}
