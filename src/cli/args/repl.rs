//! Flags of `brimful repl`.

use clap::Args;

use super::{FormatArg, ProgressArgs, ReadingArgs, SessionArgs};

const EXAMPLES: &str = "\
Statements end with ; and may take several lines. Views and temporary tables last until the end. \\help lists the commands
of the prompt. Ctrl-C ends the query that runs, Ctrl-D ends the prompt. From a pipe, statements run one after the other, and
the exit code is that of the first one that failed.

Examples:
  brimful repl --memory-budget 512MiB
  echo \"SELECT count(*) FROM 'trips.csv';\" | brimful repl";

/// Run SQL statements at a prompt.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplArgs {
    /// Format of results [default: on a terminal table, otherwise csv]
    #[arg(long, value_enum)]
    pub format: Option<FormatArg>,

    #[command(flatten)]
    pub session: SessionArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub messages: ProgressArgs,
}
