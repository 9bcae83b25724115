//! A working day with 14 columns of sensor data: filter while reading, join with diaries, sort everything, draw a sample.
//!
//!     cargo run --release --example sensor_study [-- ROWS [BUDGET]]

mod working_day;

use std::error::Error;

use brimful::Session;
use brimful::exec::format_bytes;
use brimful::io::parquet::ParquetSinkOptions;
use working_day::sensors;

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let (n_rows, session) = working_day::arguments(1_000_000)?;
    let folder = tempfile::Builder::new().prefix("brimful-sensors").tempdir_in(".")?;
    sensors::generate(folder.path(), n_rows, 1)?;

    let first = sensors::streaming_filter(&session, folder.path());
    println!("{}\n", first.frame.explain()?);
    show(&session, first)?;
    show(&session, sensors::sleep_by_group(&session, folder.path()))?;

    let sorted = sensors::sorted_nights(&session, folder.path());
    let metrics = sorted.frame.sink_parquet(folder.path().join("nights.parquet"), ParquetSinkOptions::default())?;
    println!("{}: {} rows, peak memory {}\n", sorted.name, metrics.rows_out, format_bytes(metrics.peak_resident_bytes));
    println!("a sample\n{}", sensors::sample(&session, folder.path()).describe()?);
    Ok(())
}

fn show(session: &Session, question: working_day::Question) -> Result<(), Box<dyn Error>> {
    println!("{}\n{}", question.name, question.frame.collect()?);
    println!("reserved at most: {}\n", format_bytes(session.memory().peak_reserved_bytes()));
    Ok(())
}
