//! Flags of `brimful inspect`.

use clap::{Args, ValueEnum};

use super::{ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Figures that are not exact say so; --exact reads everything. Nothing is changed.

Examples:
  brimful inspect trips.csv
  brimful inspect 'data/*.parquet' trips.csv
  brimful inspect trips.csv --exact --format json";

/// Size up files before working with them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// Files, globs or folders; each is one table
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<String>,

    /// Read everything for exact figures
    #[arg(long)]
    pub exact: bool,

    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    pub format: InspectFormat,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// `--format` of what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    Text,
    Json,
}
