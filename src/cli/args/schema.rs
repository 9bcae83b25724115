//! Flags of `brimful schema`.

use clap::{Args, ValueEnum};

use super::{InputFiles, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Examples:
  brimful schema trips.csv
  brimful schema trips.csv --format sql
  brimful schema trips.csv --format flag";

/// Show the columns of files and their types.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArgs {
    #[command(flatten)]
    pub input: InputFiles,

    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    pub format: SchemaFormat,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// `--format` of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// A line a column
    Text,
    /// An array of objects
    Json,
    /// CREATE TABLE
    Sql,
    /// What --schema takes, to edit and give back
    Flag,
}
