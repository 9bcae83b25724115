//! Flags of `brimful sql`, and the text of a query.

use std::path::PathBuf;

use clap::Args;

use super::{OutputArgs, ProgressArgs, ReadingArgs, SessionArgs};

const SQL_EXAMPLES: &str = "\
Files are named in FROM, in single quotes: a file, a glob ('data/*.parquet') or a folder.
CSV, TSV and NDJSON (also .gz and .zst), Parquet and Arrow are read.
Types of CSV and NDJSON are inferred from the first rows.

Examples:
  brimful sql \"SELECT count(*) FROM 'data/*.csv.gz'\"
  brimful sql -f report.sql -o report.parquet --memory-budget 512MiB
  echo \"SELECT 1 + 1\" | brimful sql
  brimful sql --report took.html \"SELECT city, count(*) FROM 'trips.csv' GROUP BY city\"
  brimful sql --schema price='decimal(9,2)' \"SELECT zip, sum(price) FROM 'sales.csv' GROUP BY 1\"";

/// Run a SQL query over files.
#[derive(Debug, Args)]
#[command(after_help = SQL_EXAMPLES)]
pub struct SqlArgs {
    #[command(flatten)]
    pub query: QueryText,

    #[command(flatten)]
    pub output: OutputArgs,

    /// Write what the query took to this file, as JSON; an array when several statements run
    #[arg(long, value_name = "FILE.json")]
    pub metrics: Option<PathBuf>,

    /// Write a page with the plan and the course of memory, spilling and throughput to this file
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub messages: ProgressArgs,
}

/// Where the text of the query is.
#[derive(Debug, Args)]
pub struct QueryText {
    /// The query; read from stdin when neither it nor -f is given
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,

    /// Read the query from this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
}
