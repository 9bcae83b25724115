//! Health records: patients, sites, events.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use brimful::Session;
use brimful::frame::{CsvScanOptions, DataType, LazyFrame, SortOptions, col};

use super::Question;
use super::random::Random;
use super::write;

const SITES: [&str; 8] =
    ["Alder Creek", "Birch Lane", "Cedar Hill", "Dogwood", "Elm Street", "Fir Park", "Gum Tree", "Hazel"];
const ICD: [&str; 8] = ["E11.9", "E11.65", "I10", "J45.909", "M54.5", "F41.1", "K21.9", "E78.5"];
const HCPCS: [&str; 6] = ["G0008", "J1100", "A0428", "E0110", "L3000", "Q4101"];
const ROWS_PER_FILE: usize = 500_000;

/// Writes `n_events` events of a fiftieth as many patients below `folder`, as CSV and Parquet.
pub fn generate(folder: &Path, n_events: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random::new(seed);
    let n_patients = (n_events / 50).max(10);
    let patients = patients(&mut random, n_patients)?;
    write::csv(&folder.join("patients.csv"), &patients)?;
    write::parquet(&folder.join("patients.parquet"), &patients)?;
    let numbers: Int64Array = (1..=SITES.len() as i64).map(Some).collect();
    let sites = RecordBatch::try_from_iter([
        ("site_id", Arc::new(numbers) as ArrayRef),
        ("site_name", Arc::new(StringArray::from_iter_values(SITES)) as ArrayRef),
    ])?;
    write::csv(&folder.join("sites.csv"), &sites)?;
    for (part, start) in (0..n_events).step_by(ROWS_PER_FILE).enumerate() {
        let events = events(&mut random, start, ROWS_PER_FILE.min(n_events - start), n_patients)?;
        write::csv(&folder.join(format!("events/part-{part:04}.csv")), &events)?;
        write::parquet(&folder.join(format!("events_parquet/part-{part:04}.parquet")), &events)?;
    }
    Ok(())
}

fn patient_id(patient: u64) -> String {
    format!("PAT-{patient:06}")
}

fn patients(random: &mut Random, n_patients: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let ids = (1..=n_patients as u64).map(patient_id);
    let births: Date32Array = (0..n_patients).map(|_| Some(random.between(-14_600, 18_250) as i32)).collect();
    let genders: StringArray = (0..n_patients).map(|_| Some(*random.pick(&["F", "M", "X"]))).collect();
    let zips: StringArray = (0..n_patients).map(|_| Some(format!("{:05}", random.below(20_000)))).collect();
    let homes: Int64Array = (0..n_patients).map(|_| Some(random.between(1, SITES.len() as i64))).collect();
    Ok(RecordBatch::try_from_iter([
        ("patient_id", Arc::new(StringArray::from_iter_values(ids)) as ArrayRef),
        ("dob", Arc::new(births) as ArrayRef),
        ("gender", Arc::new(genders) as ArrayRef),
        ("zip_code", Arc::new(zips) as ArrayRef),
        ("home_site_id", Arc::new(homes) as ArrayRef),
    ])?)
}

/// The last site sees nobody with diabetes.
fn events(random: &mut Random, first: usize, n_rows: usize, n_patients: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let ids = (first..first + n_rows).map(|event| event as i64);
    let mut rows: Vec<(String, i64, String, &str, &str)> = Vec::with_capacity(n_rows);
    for _ in 0..n_rows {
        let patient = patient_id(1 + random.below(n_patients as u64));
        let site = random.between(1, SITES.len() as i64);
        let is_icd = random.chance(0.45);
        let code = if is_icd { *random.pick(&ICD) } else { *random.pick(&HCPCS) };
        let code = if site == SITES.len() as i64 && code.starts_with("E11") { "I10" } else { code };
        let (year, month, day) = (random.between(2021, 2024), random.between(1, 12), random.between(1, 28));
        let (hour, minute) = (random.between(0, 23), random.between(0, 59));
        let moment = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00");
        rows.push((patient, site, moment, if is_icd { "ICD-10-CM" } else { "HCPCS" }, code));
    }
    Ok(RecordBatch::try_from_iter([
        ("event_id", Arc::new(ids.map(Some).collect::<Int64Array>()) as ArrayRef),
        ("patient_id", Arc::new(rows.iter().map(|row| Some(row.0.as_str())).collect::<StringArray>()) as ArrayRef),
        ("site_id", Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()) as ArrayRef),
        ("event_ts", Arc::new(rows.iter().map(|row| Some(row.2.as_str())).collect::<StringArray>()) as ArrayRef),
        ("record_type", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<StringArray>()) as ArrayRef),
        ("code", Arc::new(rows.iter().map(|row| Some(row.4)).collect::<StringArray>()) as ArrayRef),
    ])?)
}

/// How many patients of each site have diabetes.
pub fn prevalence(session: &Session, folder: &Path) -> Question {
    // The texts stay texts, as they do where dates are not found out.
    let options = CsvScanOptions::new().with_schema_overrides([("event_ts", DataType::Utf8)]);
    let events = session.scan_csv_with(folder.join("events/*.csv"), options);
    let frame = prevalence_of(events, session.scan_csv(folder.join("sites.csv")));
    let file = |name: &str| folder.join(name).display().to_string();
    let events = format!(
        "SELECT site_id, patient_id, code FROM '{}' WHERE CAST(event_ts AS TIMESTAMP) >= TIMESTAMP '2023-01-01'",
        file("events/*.csv")
    );
    let sql = format!(
        "WITH e AS ({events}), everybody AS (SELECT site_id, count(DISTINCT patient_id) AS patients FROM e GROUP BY 1), \
         diabetes AS (SELECT site_id, count(DISTINCT patient_id) AS with_diabetes FROM e WHERE code LIKE 'E11%' GROUP BY 1) \
         SELECT site_name, patients, coalesce(with_diabetes, 0) AS with_diabetes, \
         CAST(coalesce(with_diabetes, 0) AS DOUBLE) / patients AS prevalence \
         FROM everybody LEFT JOIN diabetes ON everybody.site_id = diabetes.site_id \
         JOIN '{}' s ON everybody.site_id = s.site_id ORDER BY prevalence DESC, site_name",
        file("sites.csv")
    );
    Question { name: "prevalence of diabetes", frame, sql }
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
