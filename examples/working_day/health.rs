//! Health records: patients, sites, events.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use brimful::Session;
use brimful::frame::{CsvScanOptions, DataType, LazyFrame, SortOptions, col};
use brimful::io::parquet::ParquetSinkOptions;

use super::random::Random;
use super::write::{self, Formats, Made};

const SITES: [&str; 8] =
    ["Alder Creek", "Birch Lane", "Cedar Hill", "Dogwood", "Elm Street", "Fir Park", "Gum Tree", "Hazel"];
const ICD: [&str; 8] = ["E11.9", "E11.65", "I10", "J45.909", "M54.5", "F41.1", "K21.9", "E78.5"];
const HCPCS: [&str; 6] = ["G0008", "J1100", "A0428", "E0110", "L3000", "Q4101"];
const ROWS_PER_FILE: usize = 500_000;
const ROWS_PER_BATCH: usize = 100_000;

/// Writes `n_events` events of a fiftieth as many patients below `folder`; the patients and sites as CSV.
pub fn generate(folder: &Path, n_events: usize, seed: u64, formats: Formats) -> Made<()> {
    let n_patients = (n_events / 50).max(10);
    write_patients(&mut Random::new(seed), n_patients, &folder.join("patients.csv"))?;
    let numbers: Int64Array = (1..=SITES.len() as i64).map(Some).collect();
    let sites = RecordBatch::try_from_iter([
        ("site_id", Arc::new(numbers) as ArrayRef),
        ("site_name", Arc::new(StringArray::from_iter_values(SITES)) as ArrayRef),
    ])?;
    write::csv(&folder.join("sites.csv"), sites)?;
    write::parts(n_events.div_ceil(ROWS_PER_FILE), |part| {
        let mut random = Random::part(seed, part + 1);
        let (first, end) = (part * ROWS_PER_FILE, n_events.min((part + 1) * ROWS_PER_FILE));
        let batches = (first..end)
            .step_by(ROWS_PER_BATCH)
            .map(|start| events(&mut random, start..end.min(start + ROWS_PER_BATCH), n_patients));
        let parquet = folder.join(format!("events_parquet/part-{part:04}.parquet"));
        write::files(formats, &parquet, &folder.join(format!("events/part-{part:04}.csv")), batches)
    })
}

fn write_patients(random: &mut Random, n_patients: usize, path: &Path) -> Made<()> {
    let batches = (0..n_patients)
        .step_by(ROWS_PER_BATCH)
        .map(|start| patients(random, start..n_patients.min(start + ROWS_PER_BATCH)));
    write::files(Formats::CSV, path, path, batches)
}

fn patient_id(patient: u64) -> String {
    format!("PAT-{patient:06}")
}

fn patients(random: &mut Random, rows: Range<usize>) -> Made<RecordBatch> {
    let ids = rows.clone().map(|row| patient_id(row as u64 + 1));
    let births: Date32Array = rows.clone().map(|_| Some(random.between(-14_600, 18_250) as i32)).collect();
    let genders: StringArray = rows.clone().map(|_| Some(*random.pick(&["F", "M", "X"]))).collect();
    let zips: StringArray = rows.clone().map(|_| Some(format!("{:05}", random.below(20_000)))).collect();
    let homes: Int64Array = rows.clone().map(|_| Some(random.between(1, SITES.len() as i64))).collect();
    Ok(RecordBatch::try_from_iter([
        ("patient_id", Arc::new(StringArray::from_iter_values(ids)) as ArrayRef),
        ("dob", Arc::new(births) as ArrayRef),
        ("gender", Arc::new(genders) as ArrayRef),
        ("zip_code", Arc::new(zips) as ArrayRef),
        ("home_site_id", Arc::new(homes) as ArrayRef),
    ])?)
}

/// The last site sees nobody with diabetes.
fn events(random: &mut Random, rows: Range<usize>, n_patients: usize) -> Made<RecordBatch> {
    let n_rows = rows.len();
    let (mut patients, mut sites) = (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows));
    let (mut moments, mut kinds, mut codes) =
        (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows), Vec::with_capacity(n_rows));
    for _ in rows.clone() {
        patients.push(patient_id(1 + random.below(n_patients as u64)));
        let site = random.between(1, SITES.len() as i64);
        let is_icd = random.chance(0.45);
        let code = if is_icd { *random.pick(&ICD) } else { *random.pick(&HCPCS) };
        codes.push(if site == SITES.len() as i64 && code.starts_with("E11") { "I10" } else { code });
        kinds.push(if is_icd { "ICD-10-CM" } else { "HCPCS" });
        sites.push(site);
        let (year, month, day) = (random.between(2021, 2024), random.between(1, 12), random.between(1, 28));
        let (hour, minute) = (random.between(0, 23), random.between(0, 59));
        moments.push(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00"));
    }
    let ids = rows.map(|event| event as i64);
    Ok(RecordBatch::try_from_iter([
        ("event_id", Arc::new(Int64Array::from_iter_values(ids)) as ArrayRef),
        ("patient_id", Arc::new(StringArray::from(patients)) as ArrayRef),
        ("site_id", Arc::new(Int64Array::from(sites)) as ArrayRef),
        ("event_ts", Arc::new(StringArray::from(moments)) as ArrayRef),
        ("record_type", Arc::new(StringArray::from(kinds)) as ArrayRef),
        ("code", Arc::new(StringArray::from(codes)) as ArrayRef),
    ])?)
}

/// Writes everything that is asked of this day into the folder `out`.
pub fn answer(session: &Session, folder: &Path, out: &Path) -> brimful::Result<()> {
    let report = prevalence(session, folder).collect()?.lazy();
    report.sink_parquet(out.join("prevalence.parquet"), ParquetSinkOptions::default())?;
    report.sink_csv(out.join("prevalence.csv"))?;
    Ok(())
}

/// How many patients of each site have diabetes.
pub fn prevalence(session: &Session, folder: &Path) -> LazyFrame {
    // The texts stay texts, as they do where dates are not found out.
    let options = CsvScanOptions::new().with_schema_overrides([("event_ts", DataType::Utf8)]);
    let events = session.scan_csv_with(folder.join("events/*.csv"), options);
    prevalence_of(events, session.scan_csv(folder.join("sites.csv")))
}

/// The same of the Parquet files.
pub fn prevalence_from_parquet(session: &Session, folder: &Path) -> LazyFrame {
    let events = session.scan_parquet(folder.join("events_parquet/*.parquet"));
    prevalence_of(events, session.scan_csv(folder.join("sites.csv")))
}

fn prevalence_of(events: LazyFrame, sites: LazyFrame) -> LazyFrame {
    let recent =
        events.with_columns([col("event_ts").str().to_datetime(None)]).filter(col("event_ts").gt_eq("2023-01-01"));
    let patients =
        |events: LazyFrame, name: &str| events.group_by("site_id").agg([col("patient_id").n_unique().alias(name)]);
    let diabetes = recent.clone().filter(col("code").str().starts_with("E11"));
    patients(recent, "patients")
        .left_join(patients(diabetes, "with_diabetes"), "site_id", "site_id")
        .with_columns([col("with_diabetes").fill_null(0)])
        .with_columns([(col("with_diabetes") / col("patients")).alias("prevalence")])
        .inner_join(sites, "site_id", "site_id")
        .select(["site_name", "patients", "with_diabetes", "prevalence"])
        .sort([-col("prevalence"), col("site_name")], SortOptions::new())
}
