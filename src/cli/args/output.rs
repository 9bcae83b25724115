//! What commands with a result share: where it goes, its format, and what is said meanwhile.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::io::OutputFormat;

/// Where a result goes.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Write the result to this file, which is replaced only when the result is complete
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Format of the result [default: by the extension of -o; on a terminal table, otherwise csv]
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,
}

/// What is said on stderr while a command runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct ProgressArgs {
    /// Show progress on stderr; auto shows it on a terminal
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub progress: When,
}

/// `--format` of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    Table,
    Csv,
    #[value(alias = "jsonl", alias = "ndjson")]
    Json,
    Parquet,
    #[value(alias = "ipc", alias = "feather")]
    Arrow,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

impl From<FormatArg> for OutputFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => OutputFormat::Table,
            FormatArg::Csv => OutputFormat::Csv,
            FormatArg::Json => OutputFormat::JsonLines,
            FormatArg::Parquet => OutputFormat::Parquet,
            FormatArg::Arrow => OutputFormat::Ipc,
        }
    }
}
