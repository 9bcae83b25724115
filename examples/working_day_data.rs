//! Makes the data of a working day, in memory that does not grow with it.
//!
//!     cargo run --release --example working_day_data -- sensors|health|claims ROWS FOLDER [parquet|csv|both]
//!
//! Without a format it is the one that the day reads. What is there already is not made again.

mod working_day;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use working_day::Day;
use working_day::write::Formats;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "the arguments are sensors|health|claims ROWS FOLDER [parquet|csv|both]";
    let [day, n_rows, folder, rest @ ..] = args.as_slice() else { return Err(usage.into()) };
    let day = Day::named(day).ok_or(usage)?;
    let formats = match rest.first().map(String::as_str) {
        None => day.formats(),
        Some("parquet") => Formats::PARQUET,
        Some("csv") => Formats::CSV,
        Some("both") => Formats::BOTH,
        Some(_) => return Err(usage.into()),
    };
    let started = Instant::now();
    day.make(Path::new(folder), n_rows.replace('_', "").parse()?, formats).map_err(|error| error.to_string())?;
    println!("{} rows of {} in {folder}: {:.1} s", n_rows, day.name(), started.elapsed().as_secs_f64());
    Ok(())
}
