//! Flags as data: one file a command, and what several of them share.

mod explain;
mod output;
mod reading;
mod resources;
mod run;
mod sql;

use clap::{Parser, Subcommand};

pub use explain::{ExplainArgs, ExplainFormat};
pub use output::{FormatArg, When};
pub use reading::ReadingArgs;
pub use resources::{SessionArgs, session_options, session_options_over};
pub use run::RunArgs;
pub use sql::{QueryText, SqlArgs};

/// Group, filter and sort files many times larger than memory, within one memory budget.
///
/// The process never holds more than --memory-budget; what does not fit spills, compressed, to temporary files.
#[derive(Debug, Parser)]
#[command(name = "brimful", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Look at a file (the result is a table on a terminal, CSV in a pipe):
    brimful sql \"SELECT * FROM 'trips.csv' LIMIT 10\"

  Group 120 GB of Parquet within 1 GiB of memory:
    brimful sql --memory-budget 1GiB \"SELECT city, count(*) FROM 'trips/*.parquet' GROUP BY city\"

  Sort a CSV file into a Parquet file:
    brimful sql \"SELECT * FROM 'trips.csv' ORDER BY start_time\" -o sorted.parquet

  Leave malformed rows out and keep them for later:
    brimful sql --on-bad-row reject=bad.csv \"SELECT count(*) FROM 'dirty.csv'\"

  Run a pipeline file, after a look at what it would do:
    brimful run report.yaml --dry-run
    brimful run report.yaml

  See what a query does, and what it took:
    brimful explain \"SELECT DISTINCT city FROM 'trips.csv'\"
    brimful explain --analyze \"SELECT DISTINCT city FROM 'trips.csv'\"

Exit codes:
  0 done  1 the query failed  2 wrong usage or SQL  3 bad input data  4 memory budget too small
  5 disk full or failing  130, 143 interrupted";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a SQL query over files
    Sql(Box<SqlArgs>),
    /// Show how a query is run, and with --analyze what each step took
    Explain(Box<ExplainArgs>),
    /// Run a pipeline file: inputs, steps, checks and outputs in YAML
    Run(Box<RunArgs>),
}
