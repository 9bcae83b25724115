//! What commands with a result share: its format and the progress line.

use clap::ValueEnum;

use crate::io::OutputFormat;

/// `--format` of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    Table,
    Csv,
    #[value(alias = "jsonl", alias = "ndjson")]
    Json,
    Parquet,
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
        }
    }
}
