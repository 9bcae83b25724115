//! A working day with health records: read texts as dates, count distinct patients, join, and write two files that agree.
//!
//!     cargo run --release --example health_records [-- EVENTS [BUDGET [DATA_FOLDER OUT_FOLDER]]]

mod working_day;

use std::error::Error;

use working_day::{Day, health};

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let place = working_day::begin(Day::Health, 560_000)?;
    health::answer(&place.session, &place.data, &place.out)?;
    place.show("prevalence of diabetes", "prevalence.parquet")?;
    let from_parquet = place.session.read_parquet(place.out.join("prevalence.parquet"))?;
    let from_csv = place.session.read_csv(place.out.join("prevalence.csv"))?;
    println!("rows and columns: Parquet {:?}, CSV {:?}", from_parquet.shape(), from_csv.shape());
    // Zip codes keep their zeros.
    println!("{}", place.session.scan_csv(place.data.join("patients.csv")).head(5).collect()?);
    place.end();
    Ok(())
}
