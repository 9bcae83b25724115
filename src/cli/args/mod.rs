//! Flags as data: one file a command, and what several of them share.

mod completions;
mod convert;
mod csv;
mod describe;
mod explain;
mod files;
mod head;
mod inspect;
mod output;
mod reading;
mod repl;
mod resources;
mod run;
mod sample;
mod schema;
mod sql;
mod validate;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use completions::CompletionsArgs;
pub use convert::ConvertArgs;
pub use describe::DescribeArgs;
pub use explain::{ExplainArgs, ExplainFormat};
pub use files::InputFiles;
pub use head::HeadArgs;
pub use inspect::{InspectArgs, InspectFormat};
pub use output::{FormatArg, OutputArgs, ProgressArgs, When};
pub use reading::ReadingArgs;
pub use repl::ReplArgs;
pub use resources::{SessionArgs, session_options, session_options_over};
pub use run::RunArgs;
pub use sample::SampleArgs;
pub use schema::{SchemaArgs, SchemaFormat};
pub use sql::{QueryText, SqlArgs};
pub use validate::{Range, ValidateArgs};

/// Group, filter and sort files many times larger than memory, within one memory budget.
///
/// The process never holds more than --memory-budget; what does not fit spills, compressed, to temporary files.
#[derive(Debug, Parser)]
#[command(name = "brimful", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,

    /// Read settings from this file only [default: brimful.toml here and brimful/config.toml in ~/.config]
    #[arg(long, value_name = "FILE.toml", global = true, help_heading = "Messages")]
    pub config: Option<PathBuf>,

    /// How messages on stderr are written
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "text|json",
        global = true,
        help_heading = "Messages"
    )]
    pub log_format: LogFormat,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
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

Settings:
  Flags about resources, reading and messages may also stand in a configuration file
  (memory_budget = \"4GiB\") or in a variable (BRIMFUL_MEMORY_BUDGET=4GiB). A flag is stronger than a
  variable, and a variable than a file. NO_COLOR is obeyed.

Exit codes:
  0 done  1 the query failed  2 wrong usage or SQL  3 bad input data  4 memory budget too small
  5 disk full or failing  129, 130, 143 ended by a signal";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a SQL query over files
    Sql(Box<SqlArgs>),
    /// Show how a query is run, and with --analyze what each step took
    Explain(Box<ExplainArgs>),
    /// Write files in another format, sorted or in parts if asked
    Convert(Box<ConvertArgs>),
    /// Size up files before working with them
    Inspect(Box<InspectArgs>),
    /// Show the first rows of files
    Head(Box<HeadArgs>),
    /// Show rows chosen at random
    Sample(Box<SampleArgs>),
    /// Summarize every column
    Describe(Box<DescribeArgs>),
    /// Show the columns of files and their types
    Schema(Box<SchemaArgs>),
    /// Check what should hold of the rows of files
    Validate(Box<ValidateArgs>),
    /// Run SQL statements at a prompt
    Repl(Box<ReplArgs>),
    /// Print a script that completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Run a pipeline file: inputs, steps, checks and outputs in YAML
    Run(Box<RunArgs>),
}
