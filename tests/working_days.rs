//! The three working days at small scale: every question as a frame, as SQL and as a pipeline file gives the same rows.

#[path = "../examples/working_day/mod.rs"]
mod working_day;

use std::path::Path;
use std::process::Command;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use brimful::frame::{DataFrame, LazyFrame};
use brimful::io::parquet::ParquetSinkOptions;
use brimful::io::{Output, OutputFormat};
use brimful::memory::Budget;
use brimful::{Session, SessionOptions};
use working_day::{Question, claims, health, sensors};

fn session() -> Session {
    let budget = Some(Budget::from_bytes(1 << 30));
    Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() }).unwrap()
}

/// The rows that SQL gives, by way of a Parquet file.
fn by_sql(session: &Session, sql: &str, folder: &Path) -> DataFrame {
    let path = folder.join("by_sql.parquet");
    let output = Output::File(path.clone(), OutputFormat::Parquet);
    session.sql(sql).unwrap().into_run(&output, Default::default()).unwrap().execute().unwrap();
    session.read_parquet(&path).unwrap()
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

fn check(session: &Session, question: &Question, folder: &Path) -> DataFrame {
    let frame = question.frame.collect().unwrap();
    let sql = by_sql(session, &question.sql, folder);
    assert_eq!(frame.get_column_names(), sql.get_column_names(), "{}", question.name);
    assert!(frame.height() > 0, "{} has rows", question.name);
    let (frame_rows, sql_rows) = (rows(&frame), rows(&sql));
    assert_eq!(frame_rows.len(), sql_rows.len(), "{}", question.name);
    for (idx, (one, other)) in frame_rows.iter().zip(&sql_rows).enumerate() {
        assert_eq!(one, other, "{}, row {idx}", question.name);
    }
    frame
}

/// Runs a file of `examples/pipelines` where the data is, and compares what it writes with the frame.
fn check_pipeline(session: &Session, question: &Question, folder: &Path, file: &str, output: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines").join(file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_brimful"));
    let done = command.arg("run").arg(&file).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&done.stderr));
    let path = folder.join("out").join(output);
    let found = match output.ends_with(".csv") {
        true => session.read_csv(&path).unwrap(),
        false => session.read_parquet(&path).unwrap(),
    };
    let frame = question.frame.collect().unwrap();
    assert_eq!(found.get_column_names(), frame.get_column_names(), "{output}");
    assert_eq!(rows(&found), rows(&frame), "{output}");
}

#[test]
fn the_sensor_study() {
    let folder = tempfile::tempdir().unwrap();
    sensors::generate(folder.path(), 40_000, 1).unwrap();
    let session = session();
    let first = sensors::streaming_filter(&session, folder.path());
    let plan = first.frame.explain().unwrap();
    assert!(plan.contains("6 of 14 columns"), "{plan}");
    let of_parquet = check(&session, &first, folder.path());
    check_pipeline(&session, &first, folder.path(), "sensor_filter.yaml", "device_days.parquet");
    let of_csv = check(&session, &sensors::streaming_filter_of_csv(&session, folder.path()), folder.path());
    assert_eq!(rows(&of_parquet), rows(&of_csv));
    let by_group = sensors::sleep_by_group(&session, folder.path());
    check(&session, &by_group, folder.path());
    check_pipeline(&session, &by_group, folder.path(), "sleep_report.yaml", "sleep_report.parquet");
    check_pipeline(&session, &by_group, folder.path(), "sleep_report.yaml", "sleep_report.csv");
    let sorted = sensors::sorted_nights(&session, folder.path());
    let nights = check(&session, &sorted, folder.path());
    check_pipeline(&session, &sorted, folder.path(), "sleep_report.yaml", "nights.parquet");
    let path = folder.path().join("nights.parquet");
    sorted.frame.sink_parquet(&path, ParquetSinkOptions::default()).unwrap();
    assert_eq!(rows(&session.read_parquet(&path).unwrap()), rows(&nights));
    assert_eq!(sensors::sample(&session, folder.path()).collect().unwrap().height(), 2000);
}

#[test]
fn the_health_records() {
    let folder = tempfile::tempdir().unwrap();
    health::generate(folder.path(), 20_000, 2).unwrap();
    let session = session();
    let patients = session.read_csv(folder.path().join("patients.csv")).unwrap();
    let zips = patients.column("zip_code").unwrap();
    assert_eq!(zips.data_type(), &DataType::Utf8, "leading zeros are kept");
    assert!(zips.as_string::<i32>().iter().all(|zip| zip.is_some_and(|zip| zip.len() == 5)));
    let question = health::prevalence(&session, folder.path());
    let answer = check(&session, &question, folder.path());
    assert_eq!(answer.height(), 8);
    assert_eq!(answer.text(7, "with_diabetes"), Some("0".to_string()));
    check_pipeline(&session, &question, folder.path(), "prevalence.yaml", "prevalence.parquet");
    check_pipeline(&session, &question, folder.path(), "prevalence.yaml", "prevalence.csv");
    let (parquet, csv) = (folder.path().join("p.parquet"), folder.path().join("p.csv"));
    question.frame.sink_parquet(&parquet, ParquetSinkOptions::default()).unwrap();
    question.frame.sink_csv(&csv).unwrap();
    let (parquet, csv) = (session.read_parquet(&parquet).unwrap(), session.read_csv(&csv).unwrap());
    assert_eq!(rows(&parquet), rows(&csv));
}

#[test]
fn the_claims_archive() {
    let folder = tempfile::tempdir().unwrap();
    claims::generate(folder.path(), 20_000, 3).unwrap();
    let mut options = SessionOptions { budget: Some(Budget::from_bytes(1 << 30)), ..Default::default() };
    // For SQL, which has no place to say it.
    options.files.csv.schema_overrides = vec![("service_day".to_string(), DataType::Utf8)];
    let session = Session::new(options).unwrap();
    let by_month = check(&session, &claims::by_month(&session, folder.path()), folder.path());
    assert_eq!(by_month.text(0, "plan"), None, "a column that came later is NULL before");
    check_pipeline(
        &session,
        &claims::by_month(&session, folder.path()),
        folder.path(),
        "claims.yaml",
        "claims_by_month.parquet",
    );
    let top = claims::top_providers(&session, folder.path());
    check(&session, &top, folder.path());
    check_pipeline(&session, &top, folder.path(), "claims.yaml", "top_providers.csv");
    let all: LazyFrame = claims::claims(&session, folder.path());
    let n_rows: usize = all.collect_batches().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(n_rows, 48 * 20_000usize.div_ceil(48));
}
