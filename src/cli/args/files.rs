//! The files that a command works on.

use clap::Args;

/// Files that are read as one table.
#[derive(Debug, Args)]
pub struct InputFiles {
    /// Files, globs ('data/*.parquet') or folders, read as one table; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
}
