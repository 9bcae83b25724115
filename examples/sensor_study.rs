//! A working day with 14 columns of sensor data: filter while reading, join with diaries, sort everything, draw a sample.
//!
//!     cargo run --release --example sensor_study [-- ROWS [BUDGET [DATA_FOLDER OUT_FOLDER]]]

mod working_day;

use std::error::Error;

use working_day::{Day, sensors};

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let place = working_day::begin(Day::Sensors, 1_000_000)?;
    println!("{}\n", sensors::streaming_filter(&place.session, &place.data).explain()?);
    sensors::answer(&place.session, &place.data, &place.out)?;
    place.show("device days", "device_days.parquet")?;
    place.show("sleep by group", "sleep_report.parquet")?;
    place.show("all nights", "nights.parquet")?;
    println!("a sample\n{}\n", place.session.scan_csv(place.out.join("segments_sample.csv")).describe()?);
    place.end();
    Ok(())
}
