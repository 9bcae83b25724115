//! Flags of `brimful run`.

use std::path::PathBuf;

use clap::Args;

use super::{ProgressArgs, SessionArgs};

const RUN_EXAMPLES: &str = "\
A pipeline file names inputs, steps and outputs; steps are verbs (filter, join, group_by, sql ..) over one another:

  inputs: {sales: {path: \"sales/*.csv\"}}
  transforms:
    - {id: paid, type: filter, input: sales, condition: amount > 0}
    - id: totals
      type: group_by
      keys: [city]
      aggregations: [{column: amount, function: sum, alias: total}]
  outputs: {parquet: out/totals.parquet, csv: out/totals.csv, log: out/totals.log}
  validate: {rows: {min: 1}, not_null: [city]}
  settings: {memory_budget: 512MiB}

Outputs appear together when all are complete and every check holds, with manifest.json and checksums.txt beside them.

Examples:
  brimful run totals.yaml --dry-run
  brimful run totals.yaml
  brimful run totals.yaml --set settings.threads=2 --set inputs.sales.path='sales/2024*.csv'
  brimful run totals.yaml --resume
  brimful run totals.yaml --resume --dry-run
  brimful run totals.yaml --report took.html";

/// Run a pipeline file.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// The pipeline, in YAML; paths in it are relative to the current folder
    #[arg(value_name = "FILE.yaml")]
    pub file: PathBuf,

    /// Put a value over one of the file: settings.threads=4, inputs.sales.path=x.csv, transforms.paid.condition=true
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Check every path and column, show the plan with estimates of memory and spilling, and run nothing; with --resume,
    /// also show what would be kept of an earlier run
    #[arg(long)]
    pub dry_run: bool,

    /// Keep what an earlier run of this file finished, and compute only what is missing or whose inputs changed
    #[arg(long)]
    pub resume: bool,

    /// Write a page about every stage to this file: its plan, times, memory and spilling
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    #[command(flatten)]
    pub session: SessionArgs,

    /// The resources that stood in the place of flags that were not given.
    #[arg(skip)]
    pub usual: Option<SessionArgs>,

    #[command(flatten)]
    pub progress: ProgressArgs,
}
