//! Flags as data.

use std::path::PathBuf;

use arrow::datatypes::DataType;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::types::parse_columns;
use crate::io::csv::{CsvOptions, OnBadRow, RejectFile};
use crate::io::parquet::ParquetOptions;
use crate::io::{FileTables, HiveFolders, OutputFormat};
use crate::memory::{Budget, parse_bytes};
use crate::session::{SessionOptions, Strain};
use crate::spill::SpillConfig;

/// Group, filter and sort files many times larger than memory, within one memory budget.
///
/// The process never holds more than --memory-budget; what does not fit spills, compressed, to temporary files.
#[derive(Debug, Parser)]
#[command(name = "brimful", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Command,
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

  See what a query does, and what it took:
    brimful explain \"SELECT DISTINCT city FROM 'trips.csv'\"
    brimful explain --analyze \"SELECT DISTINCT city FROM 'trips.csv'\"

Exit codes:
  0 done  1 the query failed  2 wrong usage or SQL  3 bad input data  4 memory budget too small
  5 disk full or failing  130, 143 interrupted";

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run a SQL query over files
    Sql(Box<SqlArgs>),
    /// Show how a query is run, and with --analyze what each step took
    Explain(Box<ExplainArgs>),
}

const SQL_EXAMPLES: &str = "\
Files are named in FROM, in single quotes: a file, a glob ('data/*.parquet') or a folder. CSV and TSV (also .gz and .zst)
and Parquet are read; types of CSV columns are inferred from the first rows.

Examples:
  brimful sql \"SELECT count(*) FROM 'data/*.csv.gz'\"
  brimful sql -f report.sql -o report.parquet --memory-budget 512MiB
  echo \"SELECT 1 + 1\" | brimful sql
  brimful sql --schema zip=varchar,price='decimal(10,2)' \"SELECT zip, sum(price) FROM 'sales.csv' GROUP BY zip\"";

/// Run a SQL query over files.
#[derive(Debug, Args)]
#[command(after_help = SQL_EXAMPLES)]
pub(super) struct SqlArgs {
    #[command(flatten)]
    pub(super) query: QueryText,

    /// Write the result to this file, which is replaced only when the result is complete
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Format of the result [default: by the extension of -o; on a terminal table, otherwise csv]
    #[arg(long, value_enum)]
    pub(super) format: Option<FormatArg>,

    #[command(flatten)]
    pub(super) session: SessionArgs,

    #[command(flatten)]
    pub(super) reading: ReadingArgs,

    /// Show progress on stderr; auto shows it on a terminal
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    pub(super) progress: When,

    /// Write what the query took to this file, as JSON; an array when several statements run
    #[arg(long, value_name = "FILE.json")]
    pub(super) metrics: Option<PathBuf>,
}

/// Show how a query is run.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) query: QueryText,

    /// Run the query, throw its rows away, and show rows, time, memory and spilling of every step
    #[arg(long)]
    pub(super) analyze: bool,

    /// How to show it
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: ExplainFormat,

    #[command(flatten)]
    pub(super) session: SessionArgs,

    #[command(flatten)]
    pub(super) reading: ReadingArgs,
}

/// Where the text of the query is.
#[derive(Debug, Args)]
pub(super) struct QueryText {
    /// The query; read from stdin when neither it nor -f is given
    #[arg(value_name = "SQL")]
    pub(super) sql: Option<String>,

    /// Read the query from this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub(super) file: Option<PathBuf>,
}

/// The resources of a session.
#[derive(Debug, Args)]
#[command(next_help_heading = "Resources")]
pub(super) struct SessionArgs {
    /// The most memory the process may hold: 512MiB, 4GB or 50% [default: 60% of the machine, 75% of a container]
    #[arg(long, value_name = "BYTES", value_parser = parse_budget)]
    memory_budget: Option<Budget>,

    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Spill to this folder; may be given several times, for several disks [default: $TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    spill_dir: Vec<PathBuf>,

    /// The most bytes to spill: 100GB [default: 80% of the free space]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    spill_limit: Option<u64>,
}

/// How input files are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading CSV")]
pub(super) struct ReadingArgs {
    /// What happens to a malformed row: fail, skip, or reject=FILE to collect them [default: fail]
    #[arg(long, value_name = "fail|skip|reject=FILE", value_parser = parse_on_bad_row)]
    on_bad_row: Option<OnBadRow>,

    /// Rows to look at for the types of CSV columns [default: 10000]
    #[arg(long, value_name = "N")]
    infer_rows: Option<u64>,

    /// Types of CSV columns, instead of inferred ones: id=varchar,price='decimal(10,2)'
    #[arg(long, value_name = "COL=TYPE,...", value_parser = parse_schema)]
    schema: Vec<ColumnTypes>,

    /// The longest row of a CSV file [default: 16MiB, or an eighth of the governed memory if that is less]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    max_row_bytes: Option<u64>,

    /// The character between CSV fields; \t or tab for tabs [default: found out]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    delimiter: Option<u8>,

    /// The character around CSV fields that hold delimiters or newlines [default: "]
    #[arg(long, value_name = "CHAR", value_parser = parse_quote)]
    quote: Option<u8>,

    /// Whether the first row of a CSV file names the columns [default: found out]
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    header: Option<bool>,

    /// A text that means NULL in CSV files; may be given several times. An empty field always does
    #[arg(long, value_name = "TEXT")]
    null_value: Vec<String>,

    /// Whether folders called key=value are columns of the files in them [default: yes]
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    hive: Option<bool>,

    /// The largest page of a Parquet file that is accepted [default: 1GiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_size, help_heading = "Reading Parquet")]
    max_page_bytes: Option<u64>,
}

/// One `--schema`.
#[derive(Debug, Clone)]
struct ColumnTypes(Vec<(String, DataType)>);

/// `--format` of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    Table,
    Csv,
    #[value(alias = "jsonl", alias = "ndjson")]
    Json,
    Parquet,
    #[value(alias = "ipc", alias = "feather")]
    Arrow,
}

/// `--format` of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExplainFormat {
    Text,
    Json,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
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

/// A session with these resources that reads files this way.
pub(super) fn session_options(session: &SessionArgs, reading: &ReadingArgs) -> SessionOptions {
    let csv = CsvOptions {
        delimiter: reading.delimiter,
        quote: reading.quote.unwrap_or(b'"'),
        header: reading.header,
        null_values: reading.null_value.clone(),
        infer_rows: reading.infer_rows,
        schema_overrides: reading.schema.iter().flat_map(|types| types.0.clone()).collect(),
        on_bad_row: reading.on_bad_row.clone().unwrap_or(OnBadRow::Fail),
        max_row_bytes: reading.max_row_bytes,
        ..CsvOptions::default()
    };
    let hive = match reading.hive {
        Some(false) => HiveFolders::Ignored,
        _ => HiveFolders::Columns,
    };
    let mut parquet = ParquetOptions::default();
    if let Some(bytes) = reading.max_page_bytes {
        parquet.max_page_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    SessionOptions {
        budget: session.memory_budget,
        threads: session.threads.map(usize::from),
        spill: SpillConfig { dirs: session.spill_dir.clone(), limit_bytes: session.spill_limit },
        files: FileTables { csv, parquet, hive },
        strain: Strain::default(),
    }
}

fn parse_budget(text: &str) -> Result<Budget, String> {
    Budget::parse(text).map_err(|error| error.to_string())
}

fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.to_string())
}

fn parse_schema(text: &str) -> Result<ColumnTypes, String> {
    parse_columns(text).map(ColumnTypes)
}

fn parse_on_bad_row(text: &str) -> Result<OnBadRow, String> {
    match (text, text.strip_prefix("reject=")) {
        ("fail", _) => Ok(OnBadRow::Fail),
        ("skip", _) => Ok(OnBadRow::Skip),
        (_, Some(file)) if !file.is_empty() => Ok(OnBadRow::Reject(RejectFile::new(file))),
        _ => Err("give fail, skip or reject=FILE".into()),
    }
}

fn parse_quote(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_punctuation() && *byte != b',' => Ok(*byte),
        _ => Err("give one ASCII punctuation character".into()),
    }
}

fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("give yes or no".into()),
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("\\t" | "tab", _) => Ok(b'\t'),
        (_, [byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(*byte),
        _ => Err("give one ASCII character, or tab".into()),
    }
}
