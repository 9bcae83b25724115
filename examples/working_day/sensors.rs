//! The sensor study: five-minute segments of wearables, sleep diaries, users.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray,
};
use brimful::Session;
use brimful::frame::{LazyFrame, QuantileMethod, SortOptions, col, concat_str, corr, datetime, len, lit};
use brimful::io::parquet::ParquetSinkOptions;

use super::random::Random;
use super::write::{self, Formats, Made};

const ROWS_PER_FILE: usize = 200_000;
const DAYS: u64 = 35;
const SEGMENTS: u64 = 288;
/// Days from 1970 to 2024-01-01.
const FIRST_DAY: i64 = 19_723;
const DAY_MICROS: i64 = 86_400_000_000;
const MINUTE_MICROS: i64 = 60_000_000;
/// What is known of a night.
const NIGHT_COLUMNS: [&str; 8] =
    ["user_id", "date", "night_hr", "night_rmssd", "sleep_efficiency", "sleep_duration", "occupation", "gender"];

/// Writes `n_rows` segments below `folder`, with diaries and profiles as Parquet. 1,000 devices from 5 million rows on,
/// otherwise 150.
pub fn generate(folder: &Path, n_rows: usize, seed: u64, formats: Formats) -> Made<()> {
    let n_devices = if n_rows >= 5_000_000 { 1_000 } else { 150 };
    write::parts(n_rows.div_ceil(ROWS_PER_FILE), |part| {
        let n_rows = ROWS_PER_FILE.min(n_rows - part * ROWS_PER_FILE);
        let batch = segments(&mut Random::part(seed, part), n_rows, n_devices);
        let parquet = folder.join(format!("sensor_hrv/part-{part:05}.parquet"));
        let csv = folder.join(format!("sensor_hrv_csv/part-{part:05}.csv"));
        write::files(formats, &parquet, &csv, std::iter::once(batch))
    })?;
    let mut random = Random::new(seed);
    write::parquet(&folder.join("sleep_diary.parquet"), diary(&mut random, n_devices)?)?;
    write::parquet(&folder.join("user_profile.parquet"), profiles(&mut random, n_devices)?)
}

fn segments(random: &mut Random, n_rows: usize, n_devices: u64) -> Made<RecordBatch> {
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
    let known: Vec<String> = (0..n_devices).map(|device| format!("DEV-{device:05}")).collect();
    let names = StringArray::from_iter_values(devices.iter().map(|&device| &known[device as usize]));
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
fn diary(random: &mut Random, n_users: u64) -> Made<RecordBatch> {
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
fn profiles(random: &mut Random, n_users: u64) -> Made<RecordBatch> {
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

/// Writes everything that is asked of this day into the folder `out`.
pub fn answer(session: &Session, folder: &Path, out: &Path) -> brimful::Result<()> {
    let sink = |frame: LazyFrame, name: &str| frame.sink_parquet(out.join(name), ParquetSinkOptions::default());
    let days = streaming_filter(session, folder).collect()?.lazy();
    days.sink_csv(out.join("device_days.csv"))?;
    sink(days, "device_days.parquet")?;
    // Computed once: the rows wait in a file, like everything that is larger than memory.
    let nights_path = out.join("nights.parquet");
    sink(nights(session, folder), "nights.parquet")?;
    let nights = session.scan_parquet(&nights_path);
    let report = sleep_by_group(nights).collect()?.lazy();
    report.sink_csv(out.join("sleep_report.csv"))?;
    sink(report, "sleep_report.parquet")?;
    sink(night_segments(session, folder), "night_segments.parquet")?;
    sample(session, folder).sink_csv(out.join("segments_sample.csv"))?;
    Ok(())
}

/// A filter, and a mean for each device and day. Of 14 columns 6 are read.
pub fn streaming_filter(session: &Session, folder: &Path) -> LazyFrame {
    filtered(session.scan_parquet(folder.join("sensor_hrv/*.parquet")))
}

/// The same of the CSV files.
pub fn streaming_filter_of_csv(session: &Session, folder: &Path) -> LazyFrame {
    filtered(session.scan_csv(folder.join("sensor_hrv_csv/*.csv")))
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

/// The segments from 22:00 to 06:59, with the user and the date.
fn by_night(session: &Session, folder: &Path) -> LazyFrame {
    let hour = || col("ts_start").dt().hour();
    session.scan_parquet(folder.join("sensor_hrv/*.parquet")).filter(hour().gt_eq(22) | hour().lt_eq(6)).with_columns([
        concat_str([lit("USER-"), col("device_id").str().split("-").list().get(1)], "").alias("user_id"),
        col("ts_start").dt().date().alias("date"),
    ])
}

fn with_diaries_and_profiles(rows: LazyFrame, session: &Session, folder: &Path) -> LazyFrame {
    let diaries = session.scan_parquet(folder.join("sleep_diary.parquet"));
    let profiles = session.scan_parquet(folder.join("user_profile.parquet"));
    rows.inner_join(diaries, ["user_id", "date"], ["user_id", "date"]).left_join(profiles, "user_id", "user_id")
}

/// Nights of all users, with what their diaries say and who they are.
pub fn nights(session: &Session, folder: &Path) -> LazyFrame {
    let nights = by_night(session, folder)
        .group_by(["user_id", "date"])
        .agg([col("heart_rate").mean().alias("night_hr"), col("hrv_rmssd").mean().alias("night_rmssd")]);
    with_diaries_and_profiles(nights, session, folder)
        .select(NIGHT_COLUMNS)
        .sort(["night_hr", "user_id", "date"], SortOptions::new())
}

/// Sleep by occupation and gender, from [`nights`].
pub fn sleep_by_group(nights: LazyFrame) -> LazyFrame {
    nights
        .group_by(["occupation", "gender"])
        .agg([
            len().alias("nights"),
            col("night_hr").mean().alias("mean_night_hr"),
            col("sleep_efficiency").mean().alias("mean_efficiency"),
            corr("night_rmssd", "sleep_efficiency").alias("r"),
            col("sleep_duration").quantile(0.9, QuantileMethod::Linear).alias("long_sleep"),
        ])
        .sort(["occupation", "gender"], SortOptions::new())
}

/// All segments of all nights, joined and in one order: a sort of everything.
pub fn night_segments(session: &Session, folder: &Path) -> LazyFrame {
    let order = [-col("hrv_rmssd"), col("user_id"), col("ts_start"), col("heart_rate")];
    with_diaries_and_profiles(by_night(session, folder), session, folder)
        .select(["user_id", "ts_start", "heart_rate", "hrv_rmssd", "sleep_efficiency", "occupation"])
        .sort(order, SortOptions::new())
}

/// 2,000 segments at random; the same ones every time.
pub fn sample(session: &Session, folder: &Path) -> LazyFrame {
    let segments = session.scan_parquet(folder.join("sensor_hrv/*.parquet"));
    segments.select(["device_id", "ts_start", "heart_rate", "hrv_rmssd"]).sample_n(2000, 42)
}
