//! Flags of `brimful head`.

use clap::Args;

use super::{InputFiles, OutputArgs, ProgressArgs, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Examples:
  brimful head trips.csv
  brimful head -n 3 --columns city,fare trips.csv
  brimful head 'data/*.parquet' --format json";

/// Show the first rows of files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HeadArgs {
    #[command(flatten)]
    pub input: InputFiles,

    /// How many rows
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub rows: u64,

    /// Only these columns
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub columns: Vec<String>,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub messages: ProgressArgs,
}
