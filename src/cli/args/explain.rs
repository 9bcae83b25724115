//! Flags of `brimful explain`.

use clap::{Args, ValueEnum};

use super::{QueryText, ReadingArgs, SessionArgs};

/// Show how a query is run.
#[derive(Debug, Args)]
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
