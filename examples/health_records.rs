//! A working day with health records: read texts as dates, count distinct patients, join, and write two files that agree.
//!
//!     cargo run --release --example health_records [-- EVENTS [BUDGET]]

mod working_day;

use std::error::Error;

use brimful::io::parquet::ParquetSinkOptions;
use working_day::health;

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let (n_events, session) = working_day::arguments(560_000)?;
    let folder = tempfile::Builder::new().prefix("brimful-health").tempdir_in(".")?;
    health::generate(folder.path(), n_events, 2)?;

    let question = health::prevalence(&session, folder.path());
    println!("{}\n{}", question.name, question.frame.collect()?);

    let (parquet, csv) = (folder.path().join("prevalence.parquet"), folder.path().join("prevalence.csv"));
    question.frame.sink_parquet(&parquet, ParquetSinkOptions::default())?;
    question.frame.sink_csv(&csv)?;
    let (from_parquet, from_csv) = (session.read_parquet(&parquet)?, session.read_csv(&csv)?);
    println!("rows and columns: Parquet {:?}, CSV {:?}", from_parquet.shape(), from_csv.shape());
    println!("{}", session.read_csv(folder.path().join("patients.csv"))?);
    Ok(())
}
