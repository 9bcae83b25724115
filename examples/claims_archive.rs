//! A working day with an archive whose files drift: a column that comes later, whole amounts that get cents, days that are
//! written another way.
//!
//!     cargo run --release --example claims_archive [-- CLAIMS [BUDGET [DATA_FOLDER OUT_FOLDER]]]

mod working_day;

use std::error::Error;

use working_day::{Day, claims};

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let place = working_day::begin(Day::Claims, 1_000_000)?;
    claims::answer(&place.session, &place.data, &place.out)?;
    place.show("paid by month and plan", "claims_by_month.parquet")?;
    place.show("top providers", "top_providers.csv")?;
    // More rows than one may want in memory: a batch at a time.
    let mut n_rows = 0;
    for batch in claims::claims(&place.session, &place.data).collect_batches()? {
        n_rows += batch?.num_rows();
    }
    println!("{n_rows} claims went by");
    place.end();
    Ok(())
}
