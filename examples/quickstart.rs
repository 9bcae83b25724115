//! The main job on data it makes itself: groups and sorts a CSV file several times the memory budget, and shows what the
//! operating system says this process held at most.
//!
//!     cargo run --release --example quickstart [-- BUDGET]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use brimful::exec::{RunMetrics, format_bytes, group_digits};
use brimful::io::{Output, OutputFormat};
use brimful::memory::Budget;
use brimful::{Result, Session, SessionOptions};

#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

/// The CSV file is so many times the budget.
const TIMES_BUDGET: u64 = 4;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let budget = Budget::parse(&std::env::args().nth(1).unwrap_or("128MiB".into()))?;
    let folder = tempfile::Builder::new().prefix("brimful-quickstart").tempdir_in(".")?;
    let input = folder.path().join("trips.csv");

    println!("memory budget  {}", format_bytes(budget.bytes()));
    let started = Instant::now();
    let n_rows = make_trips(&input, TIMES_BUDGET * budget.bytes())?;
    let bytes = format_bytes(std::fs::metadata(&input)?.len());
    let seconds = started.elapsed().as_secs_f64();
    println!("made a file    {bytes} of CSV, {} rows, in {seconds:.1} s\n", group_digits(n_rows));

    let session = Session::new(SessionOptions { budget: Some(budget), ..Default::default() })?;
    let from = input.display();
    let group = format!(
        "SELECT rider, count(*) AS trips, sum(price) AS total, max(km) AS longest FROM '{from}' GROUP BY rider"
    );
    run(&session, "group by rider", &group, &Output::File(folder.path().join("riders.csv"), OutputFormat::Csv))?;
    let sort = format!("SELECT * FROM '{from}' ORDER BY price DESC, rider");
    run(&session, "sort by price", &sort, &Output::File(folder.path().join("sorted.parquet"), OutputFormat::Parquet))?;
    Ok(())
}

fn run(session: &Session, what: &str, sql: &str, output: &Output) -> Result<()> {
    let metrics: RunMetrics = session.sql(sql)?.into_run(output, Default::default())?.execute()?;
    println!("{what}");
    println!("  rows         {} in, {} out", group_digits(metrics.rows_in), group_digits(metrics.rows_out));
    println!("  time         {:.1} s on {} threads", metrics.wall_seconds, metrics.threads);
    let (raw, stored) = (format_bytes(metrics.spilled_raw_bytes), format_bytes(metrics.spilled_stored_bytes));
    println!("  spilled      {raw}, {stored} on disk");
    let (peak, budget) = (metrics.peak_resident_bytes, metrics.budget_bytes);
    let verdict = if peak <= budget { "within the budget" } else { "ABOVE THE BUDGET" };
    println!("  peak memory  {} of {}: {verdict}\n", format_bytes(peak), format_bytes(budget));
    Ok(())
}

/// Writes trips until the file has `bytes`; returns how many.
fn make_trips(path: &Path, bytes: u64) -> std::io::Result<u64> {
    const CITIES: [&str; 6] = ["Lisbon", "Oslo", "Quito", "Hanoi", "Dakar", "Perth"];
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "trip,rider,city,km,price")?;
    let (mut n_rows, mut written, mut random) = (0, 0, 0x9E37_79B9_7F4A_7C15_u64);
    while written < bytes {
        // Xorshift: the same numbers on every machine.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (rider, city) = (random % (bytes / 200), CITIES[(random >> 32) as usize % CITIES.len()]);
        let (km, cents) = ((random >> 16) % 500, (random >> 24) % 100_000);
        let line = format!("{n_rows},rider{rider:08},{city},{km},{}.{:02}\n", cents / 100, cents % 100);
        file.write_all(line.as_bytes())?;
        written += line.len() as u64;
        n_rows += 1;
    }
    file.flush()?;
    Ok(n_rows)
}
