//! Flags of `brimful explain`.

use clap::{Args, ValueEnum};

use super::{QueryText, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Files are named in FROM, in single quotes: a file, a glob ('data/*.parquet') or a folder.
CSV, TSV and NDJSON (also .gz and .zst), Parquet and Arrow are read.

Examples:
  brimful explain \"SELECT DISTINCT city FROM 'trips.csv'\"
  brimful explain --analyze \"SELECT city, count(*) FROM 'trips.csv' GROUP BY city\"
  brimful explain --format json -f report.sql";

/// Show how a query is run.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub query: QueryText,

    /// Run the query, throw its rows away, and show rows, time, memory and spilling of every step
    #[arg(long)]
    pub analyze: bool,

    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    pub format: ExplainFormat,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// `--format` of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    Text,
    Json,
}
