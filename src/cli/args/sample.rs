//! Flags of `brimful sample`.

use clap::Args;

use super::{InputFiles, OutputArgs, ProgressArgs, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Every row has the same chance. The same seed gives the same rows, whatever the budget and the number of threads; they come
in the order of the files.

Examples:
  brimful sample -n 5 trips.csv
  brimful sample --fraction 0.1 --seed 7 trips.csv -o some_trips.parquet";

/// Show rows chosen at random.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SampleArgs {
    #[command(flatten)]
    pub input: InputFiles,

    /// How many rows [default: 10]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "fraction")]
    pub rows: Option<u64>,

    /// The part of the rows: 0.01 is about one row in a hundred
    #[arg(long, value_name = "PART", value_parser = parse_fraction)]
    pub fraction: Option<f64>,

    /// Another number gives other rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

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

fn parse_fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("give a number from 0 to 1".into()),
    }
}
