//! Flags of `brimful describe`.

use clap::Args;

use super::{InputFiles, OutputArgs, ProgressArgs, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
A row for every column: values and NULLs, distinct values, mean, standard deviation, least and greatest value, quartiles.
Distinct values and quartiles are approximate and say so in their names, unless --exact is given. Long texts are cut.

Examples:
  brimful describe trips.csv
  brimful describe --columns fare,tip --exact trips.csv --format table";

/// Summarize every column.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DescribeArgs {
    #[command(flatten)]
    pub input: InputFiles,

    /// Only these columns
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    pub columns: Vec<String>,

    /// Exact distinct counts and quartiles: sorts every column, which takes longer and may spill
    #[arg(long)]
    pub exact: bool,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub messages: ProgressArgs,
}
