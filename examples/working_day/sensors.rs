//! The sensor study: five-minute segments of wearables, sleep diaries, users.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use brimful::Session;
use brimful::frame::{DataType, LazyFrame, QuantileMethod, SortOptions, col, concat_str, corr, datetime, len, lit};

use super::Question;
use super::random::Random;
use super::write;

const ROWS_PER_FILE: usize = 200_000;
const DAYS: u64 = 35;
const SEGMENTS: u64 = 288;
/// Days from 1970 to 2024-01-01.
const FIRST_DAY: i64 = 19_723;
const DAY_MICROS: i64 = 86_400_000_000;
const MINUTE_MICROS: i64 = 60_000_000;

/// Writes `n_rows` segments below `folder` as Parquet and CSV, with diaries and profiles. 1,000 devices from 5 million rows on,
/// otherwise 150.
pub fn generate(folder: &Path, n_rows: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    let n_devices = if n_rows >= 5_000_000 { 1_000 } else { 150 };
    let mut random = Random::new(seed);
    for (part, start) in (0..n_rows).step_by(ROWS_PER_FILE).enumerate() {
        let batch = segments(&mut random, ROWS_PER_FILE.min(n_rows - start), n_devices)?;
        write::parquet(&folder.join(format!("sensor_hrv/part-{part:05}.parquet")), &batch)?;
        write::csv(&folder.join(format!("sensor_hrv_csv/part-{part:05}.csv")), &batch)?;
    }
    write::parquet(&folder.join("sleep_diary.parquet"), &diary(&mut random, n_devices)?)?;
    write::parquet(&folder.join("user_profile.parquet"), &profiles(&mut random, n_devices)?)?;
    Ok(())
}

fn segments(random: &mut Random, n_rows: usize, n_devices: u64) -> Result<RecordBatch, Box<dyn Error>> {
    let devices: Vec<u64> = (0..n_rows).map(|_| random.below(n_devices)).collect();
    let starts: Vec<i64> = (0..n_rows)
        .map(|_| {
            let (day, segment) = (random.below(DAYS) as i64, random.below(SEGMENTS) as i64);
            (FIRST_DAY + day) * DAY_MICROS + segment * 5 * MINUTE_MICROS
        })
        .collect();
    let ends = starts.iter().map(|start| start + 5 * MINUTE_MICROS);
    let mut decimals = |low, high, digits| -> ArrayRef {
        Arc::new((0..n_rows).map(|_| Some(random.decimal(low, high, digits))).collect::<Float64Array>())
    };
    let [sdnn, rmssd, ratio] = [decimals(15.0, 120.0, 2), decimals(10.0, 110.0, 2), decimals(0.2, 6.0, 3)];
    let [bvp, spo2, eda] = [decimals(-50.0, 50.0, 3), decimals(95.0, 100.0, 1), decimals(0.0, 20.0, 3)];
    let [skin, acc, missing] = [decimals(32.0, 36.0, 2), decimals(0.8, 2.5, 3), decimals(0.0, 1.0, 3)];
    let heart: Int64Array = (0..n_rows).map(|_| Some(random.between(40, 220))).collect();
    let steps: Int64Array = (0..n_rows).map(|_| Some(random.between(0, 600))).collect();
    let names: StringArray = devices.iter().map(|device| Some(format!("DEV-{device:05}"))).collect();
    Ok(RecordBatch::try_from_iter([
        ("device_id", Arc::new(names) as ArrayRef),
        ("ts_start", Arc::new(TimestampMicrosecondArray::from(starts.clone())) as ArrayRef),
        ("ts_end", Arc::new(TimestampMicrosecondArray::from_iter_values(ends)) as ArrayRef),
        ("heart_rate", Arc::new(heart) as ArrayRef),
        ("hrv_sdnn", sdnn),
        ("hrv_rmssd", rmssd),
        ("hrv_lf_hf_ratio", ratio),
        ("bvp_mean", bvp),
        ("spo2", spo2),
        ("eda_mean", eda),
        ("skin_temp", skin),
        ("acc_magnitude", acc),
        ("steps", Arc::new(steps) as ArrayRef),
        ("missingness_score", missing),
    ])?)
}

/// One row for each user and day.
fn diary(random: &mut Random, n_users: u64) -> Result<RecordBatch, Box<dyn Error>> {
    let n_rows = (n_users * DAYS) as usize;
    let users: StringArray = (0..n_rows as u64).map(|row| Some(format!("USER-{:05}", row / DAYS))).collect();
    let dates: Date32Array = (0..n_rows as u64).map(|row| Some((FIRST_DAY + (row % DAYS) as i64) as i32)).collect();
    let mut times = |hours: [i64; 2]| -> ArrayRef {
        let minutes = (0..n_rows).map(|_| random.between(hours[0] * 60, hours[1] * 60));
        Arc::new(Time64MicrosecondArray::from_iter_values(minutes.map(|minute| minute * MINUTE_MICROS)))
    };
    let (bedtime, asleep, wake) = (times([21, 23]), times([22, 23]), times([5, 8]));
    let waso: Int64Array = (0..n_rows).map(|_| Some(random.between(0, 90))).collect();
    let mut decimals = |low, high, digits| -> ArrayRef {
        Arc::new((0..n_rows).map(|_| Some(random.decimal(low, high, digits))).collect::<Float64Array>())
    };
    let (duration, efficiency, latency) = (decimals(4.0, 9.5, 2), decimals(0.6, 1.0, 3), decimals(1.0, 60.0, 1));
    Ok(RecordBatch::try_from_iter([
        ("user_id", Arc::new(users) as ArrayRef),
        ("date", Arc::new(dates) as ArrayRef),
        ("bedtime", bedtime),
        ("fall_asleep_time", asleep),
        ("wake_time", wake),
        ("waso_minutes", Arc::new(waso) as ArrayRef),
        ("sleep_duration", duration),
        ("sleep_efficiency", efficiency),
        ("sleep_latency", latency),
    ])?)
}

/// One row for each user; of the last tenth there is none.
fn profiles(random: &mut Random, n_users: u64) -> Result<RecordBatch, Box<dyn Error>> {
    let n_rows = n_users - n_users / 10;
    let users: StringArray = (0..n_rows).map(|user| Some(format!("USER-{user:05}"))).collect();
    let mut texts = |values: &[&str]| -> ArrayRef {
        Arc::new((0..n_rows).map(|_| Some(*random.pick(values))).collect::<StringArray>())
    };
    let gender = texts(&["female", "male", "other"]);
    let occupation = texts(&["driver", "nurse", "student", "teacher"]);
    let chronotype = texts(&["evening", "intermediate", "morning"]);
    let smoker = texts(&["former", "never", "yes"]);
    let mut numbers = |low, high| -> ArrayRef {
        Arc::new((0..n_rows).map(|_| Some(random.between(low, high))).collect::<Int64Array>())
    };
    let (age, caffeine, alcohol) = (numbers(18, 79), numbers(0, 6), numbers(0, 14));
    let (exercise, height) = (numbers(0, 7), numbers(150, 199));
    let weight: Float64Array = (0..n_rows).map(|_| Some(random.decimal(45.0, 120.0, 1))).collect();
    Ok(RecordBatch::try_from_iter([
        ("user_id", Arc::new(users) as ArrayRef),
        ("age", age),
        ("gender", gender),
        ("height_cm", height),
        ("weight_kg", Arc::new(weight) as ArrayRef),
        ("occupation", occupation),
        ("chronotype", chronotype),
        ("smoker", smoker),
        ("caffeine_cups", caffeine),
        ("alcohol_units", alcohol),
        ("exercise_days", exercise),
    ])?)
}

/// A filter, and a mean for each device and day. Of 14 columns 6 are read.
pub fn streaming_filter(session: &Session, folder: &Path) -> Question {
    let path = folder.join("sensor_hrv/*.parquet");
    let frame = filtered(session.scan_parquet(&path));
    Question { name: "device days", frame, sql: filtered_sql(&path.display().to_string()) }
}

/// The same of the CSV files.
pub fn streaming_filter_of_csv(session: &Session, folder: &Path) -> Question {
    let path = folder.join("sensor_hrv_csv/*.csv");
    let frame = filtered(session.scan_csv(&path));
    Question { name: "device days of CSV", frame, sql: filtered_sql(&path.display().to_string()) }
}

fn filtered(segments: LazyFrame) -> LazyFrame {
    segments
        .filter(col("missingness_score").lt_eq(0.35))
        .filter(col("ts_start").gt_eq(datetime(2024, 1, 15)))
        .select(["device_id", "ts_start", "heart_rate", "hrv_sdnn", "steps"])
        .group_by([col("device_id"), col("ts_start").dt().date().alias("date")])
        .agg([
            len().alias("segments"),
            col("heart_rate").mean().alias("mean_hr"),
            col("hrv_sdnn").mean().alias("mean_sdnn"),
            col("steps").sum(),
        ])
        .sort(["device_id", "date"], SortOptions::new())
}

fn filtered_sql(path: &str) -> String {
    format!(
        "SELECT device_id, CAST(ts_start AS DATE) AS date, count(*) AS segments, avg(heart_rate) AS mean_hr, \
         avg(hrv_sdnn) AS mean_sdnn, sum(steps) AS steps FROM '{path}' \
         WHERE missingness_score <= 0.35 AND ts_start >= TIMESTAMP '2024-01-15' \
         GROUP BY device_id, CAST(ts_start AS DATE) ORDER BY device_id, date"
    )
}

/// Nights of all users, with what their diaries say and who they are.
pub fn nights(session: &Session, folder: &Path) -> LazyFrame {
    let hour = || col("ts_start").dt().hour();
    let nights = session
        .scan_parquet(folder.join("sensor_hrv/*.parquet"))
        .filter(hour().gt_eq(22) | hour().lt_eq(6))
        .with_columns([
            concat_str([lit("USER-"), col("device_id").str().split("-").list().get(1)], "").alias("user_id"),
            col("ts_start").dt().date().alias("date"),
        ])
        .group_by(["user_id", "date"])
        .agg([col("heart_rate").mean().alias("night_hr"), col("hrv_rmssd").mean().alias("night_rmssd")]);
    nights
        .inner_join(session.scan_parquet(folder.join("sleep_diary.parquet")), ["user_id", "date"], ["user_id", "date"])
        .left_join(session.scan_parquet(folder.join("user_profile.parquet")), "user_id", "user_id")
}

fn nights_sql(folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "SELECT n.user_id, n.date, night_hr, night_rmssd, d.sleep_efficiency, d.sleep_duration, occupation, gender FROM \
         (SELECT concat('USER-', split_part(device_id, '-', 2)) AS user_id, CAST(ts_start AS DATE) AS date, \
         avg(heart_rate) AS night_hr, avg(hrv_rmssd) AS night_rmssd FROM '{}' \
         WHERE extract(hour FROM ts_start) >= 22 OR extract(hour FROM ts_start) <= 6 GROUP BY 1, 2) n \
         JOIN '{}' d ON n.user_id = d.user_id AND n.date = d.date LEFT JOIN '{}' p ON n.user_id = p.user_id",
        file("sensor_hrv/*.parquet"),
        file("sleep_diary.parquet"),
        file("user_profile.parquet")
    )
}

/// Sleep by occupation and gender.
pub fn sleep_by_group(session: &Session, folder: &Path) -> Question {
    let frame = nights(session, folder)
        .group_by(["occupation", "gender"])
        .agg([
            len().alias("nights"),
            col("night_hr").mean().alias("mean_night_hr"),
            col("sleep_efficiency").mean().alias("mean_efficiency"),
            corr("night_rmssd", "sleep_efficiency").alias("r"),
            col("sleep_duration").quantile(0.9, QuantileMethod::Linear).alias("long_sleep"),
        ])
        .sort(["occupation", "gender"], SortOptions::new());
    let sql = format!(
        "SELECT occupation, gender, count(*) AS nights, avg(night_hr) AS mean_night_hr, avg(sleep_efficiency) AS \
         mean_efficiency, corr(night_rmssd, sleep_efficiency) AS r, percentile_cont(0.9) WITHIN GROUP (ORDER BY \
         sleep_duration) AS long_sleep FROM ({}) GROUP BY occupation, gender ORDER BY occupation NULLS FIRST, gender NULLS FIRST",
        nights_sql(folder)
    );
    Question { name: "sleep by group", frame, sql }
}

/// All nights in one order: a sort of everything.
pub fn sorted_nights(session: &Session, folder: &Path) -> Question {
    let columns = ["user_id", "date", "night_hr", "sleep_efficiency"];
    let frame = nights(session, folder).select(columns).sort(["night_hr", "user_id", "date"], SortOptions::new());
    let sql = format!(
        "SELECT user_id, date, night_hr, sleep_efficiency FROM ({}) ORDER BY night_hr NULLS FIRST, user_id, date",
        nights_sql(folder)
    );
    Question { name: "all nights", frame, sql }
}

/// 2,000 segments at random; the same ones every time.
pub fn sample(session: &Session, folder: &Path) -> LazyFrame {
    let segments = session.scan_parquet(folder.join("sensor_hrv/*.parquet"));
    segments.select([col("device_id"), col("ts_start"), col("heart_rate").cast(DataType::Float64)]).sample_n(2000, 42)
}
