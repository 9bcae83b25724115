//! A working day with an archive whose files drift: a column that comes later, whole amounts that get cents, days that are
//! written another way.
//!
//!     cargo run --release --example claims_archive [-- CLAIMS [BUDGET]]

mod working_day;

use std::error::Error;

use working_day::claims;

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> Result<(), Box<dyn Error>> {
    let (n_claims, session) = working_day::arguments(1_000_000)?;
    let folder = tempfile::Builder::new().prefix("brimful-claims").tempdir_in(".")?;
    claims::generate(folder.path(), n_claims, 3)?;

    for question in [claims::by_month(&session, folder.path()), claims::top_providers(&session, folder.path())] {
        println!("{}\n{}\n", question.name, question.frame.collect()?);
    }
    // More rows than one may want in memory: a batch at a time.
    let mut n_rows = 0;
    for batch in claims::claims(&session, folder.path()).collect_batches()? {
        n_rows += batch?.num_rows();
    }
    println!("{n_rows} claims went by");
    Ok(())
}
