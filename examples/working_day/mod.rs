//! Three working days: data that is made, and what is asked of it, as lazy frames.
//!
//! The examples and the tests use this. The same days stand in `examples/sql`, `examples/shell` and `examples/pipelines`, and
//! `benches/working_days/run.py` holds all four against each other and against DuckDB.

// Each example uses a part.
#![allow(dead_code)]

pub mod claims;
pub mod health;
pub mod random;
pub mod sensors;
pub mod write;

use std::error::Error;
use std::fs::{create_dir_all, read_to_string};
use std::path::{Path, PathBuf};

use brimful::exec::format_bytes;
use brimful::memory::Budget;
use brimful::{Session, SessionOptions};
use write::{Formats, Made};

/// One of the three days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// Sensors of 150 or 1,000 devices, sleep diaries, profiles.
    Sensors,
    /// Patients, sites and events.
    Health,
    /// An archive of claims whose files drift.
    Claims,
}

impl Day {
    /// The day that is called so.
    pub fn named(name: &str) -> Option<Day> {
        [Day::Sensors, Day::Health, Day::Claims].into_iter().find(|day| day.name() == name)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Day::Sensors => "sensors",
            Day::Health => "health",
            Day::Claims => "claims",
        }
    }

    /// The format that the day reads; the other one is for whoever wants to compare.
    pub fn formats(self) -> Formats {
        match self {
            Day::Sensors => Formats::PARQUET,
            Day::Health | Day::Claims => Formats::CSV,
        }
    }

    /// Makes the data of `n_rows` rows in `folder`, unless it is there already. That of another size is an error.
    pub fn make(self, folder: &Path, n_rows: usize, formats: Formats) -> Made<()> {
        let made = folder.join(format!("{}.made", self.name()));
        if let Ok(found) = read_to_string(&made) {
            let (rows, found_formats) = found.trim_end().split_once(" rows").unwrap_or_default();
            let has = |wanted: bool, format: &str| !wanted || found_formats.contains(format);
            if rows == n_rows.to_string() && has(formats.parquet, "parquet") && has(formats.csv, "csv") {
                return Ok(());
            }
            let (folder, found) = (folder.display(), found.trim_end());
            return Err(format!("{folder} holds {found} already: delete it, or name another folder").into());
        }
        create_dir_all(folder)?;
        match self {
            Day::Sensors => sensors::generate(folder, n_rows, 1, formats)?,
            Day::Health => health::generate(folder, n_rows, 2, formats)?,
            Day::Claims => claims::generate(folder, n_rows, 3, formats)?,
        }
        let said = |is_so: bool, text: &'static str| if is_so { text } else { "" };
        let what = format!("{n_rows} rows{}{}\n", said(formats.parquet, " parquet"), said(formats.csv, " csv"));
        Ok(std::fs::write(made, what)?)
    }
}

/// What the command line of an example says: `[ROWS [BUDGET [DATA OUT]]]`.
pub struct Workplace {
    /// With the budget.
    pub session: Session,
    /// Where the data is.
    pub data: PathBuf,
    /// Where the results go.
    pub out: PathBuf,
    /// Holds both where no folders were named, and goes in the end.
    _temporary: Option<tempfile::TempDir>,
}

/// Reads the command line, and makes the data of `day` where it is missing.
pub fn begin(day: Day, n_rows: usize) -> Result<Workplace, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let n_rows = args.first().map_or(Ok(n_rows), |rows| rows.replace('_', "").parse())?;
    let budget = Budget::parse(args.get(1).map_or("512MiB", String::as_str))?;
    let (data, out, temporary) = match &args[2.min(args.len())..] {
        [] => {
            let folder = tempfile::Builder::new().prefix("brimful-day").tempdir_in(".")?;
            (folder.path().to_path_buf(), folder.path().join("out"), Some(folder))
        }
        [data, out] => (PathBuf::from(data), PathBuf::from(out), None),
        _ => return Err("the arguments are [ROWS [BUDGET [DATA_FOLDER OUT_FOLDER]]]".into()),
    };
    day.make(&data, n_rows, day.formats()).map_err(|error| error.to_string())?;
    create_dir_all(&out)?;
    let session = Session::new(SessionOptions { budget: Some(budget), ..Default::default() })?;
    Ok(Workplace { session, data, out, _temporary: temporary })
}

impl Workplace {
    /// Shows a result that was written.
    pub fn show(&self, what: &str, name: &str) -> Result<(), Box<dyn Error>> {
        let frame = self.session.scan(self.out.join(name).display().to_string());
        println!("{what}\n{}\n", frame.collect()?);
        Ok(())
    }

    /// Says how much memory it took.
    pub fn end(&self) {
        println!("reserved at most: {}", format_bytes(self.session.memory().peak_reserved_bytes()));
    }
}
