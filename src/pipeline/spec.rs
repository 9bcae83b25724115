//! What a pipeline file says, typed: inputs, filters, steps, outputs, checks, settings.
//!
//! Every name and every piece of SQL keeps its place in the file, so that whatever is wrong with it later can be told with
//! line and column.

use std::path::{Path, PathBuf};

use super::fields::Text;
use super::source::Place;
use super::yaml::Scalar;
use crate::frame::AsofStrategy;
use crate::io::OutputFormat;
use crate::io::parquet::{ParquetCompression, ParquetSinkOptions};
use crate::io::partitioned::PartitionedOutput;
use crate::memory::Budget;

/// A pipeline file.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) inputs: Vec<Input>,
    pub(super) filters: Vec<Filter>,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Outputs,
    pub(super) checks: Vec<Check>,
    pub(super) settings: Settings,
    /// What the user should know and need not act on.
    pub(super) notes: Vec<String>,
}

/// Files under a name.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) id: Text,
    pub(super) path: Text,
    pub(super) columns: Option<Vec<Text>>,
    /// Declared types, with the text that declares each.
    pub(super) schema: Vec<(Text, Text)>,
    pub(super) conditions: Vec<Text>,
    /// Options for reading CSV by the names of their flags.
    pub(super) reading: Vec<(&'static str, Text)>,
}

/// A condition on the rows of the inputs.
#[derive(Debug)]
pub(super) enum Filter {
    /// A column, named in the singular or plural, is one of these values.
    OneOf { name: Text, values: Vec<(Scalar, Place)> },
    /// A column lies between two values, both of which belong to it.
    Between { name: Text, min: Option<(Scalar, Place)>, max: Option<(Scalar, Place)> },
    /// A date or time lies between two days or times, both of which belong to it.
    DateRange { place: Place, column: Option<Text>, start: Option<Text>, end: Option<Text> },
    /// SQL.
    Condition(Text),
}

impl Filter {
    /// The column that a date range names.
    pub(super) fn date_column(&self) -> Option<&str> {
        match self {
            Filter::DateRange { column: Some(column), .. } => Some(column.as_str()),
            _ => None,
        }
    }
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) id: Text,
    pub(super) place: Place,
    /// The word that the file has for it.
    pub(super) type_name: &'static str,
    /// Steps and inputs that it reads, in order.
    pub(super) inputs: Vec<Text>,
    pub(super) operation: Operation,
    /// Whether its rows are kept for `--resume`; decided by its type when the file does not say.
    pub(super) checkpoint: Option<bool>,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Operation {
    Select(Vec<Item>),
    Filter(Vec<Text>),
    WithColumns(Vec<(Text, Text)>),
    Rename(Vec<(Text, Text)>),
    Drop(Vec<Text>),
    Cast { columns: Vec<(Text, Text)>, strict: bool },
    Join(Join),
    JoinAsof(AsofJoin),
    GroupBy { keys: Vec<Item>, aggregations: Vec<Aggregation> },
    Sort(Vec<SortKey>),
    Limit { n: Option<u64>, offset: u64 },
    Unique { subset: Vec<Text>, order: Vec<SortKey>, last: bool },
    Union { diagonal: bool },
    Window { partition: Vec<Text>, order: Vec<SortKey>, columns: Vec<(Text, Text)>, frame: Option<Text> },
    Sql(Text),
    Sample { n: Option<u64>, fraction: Option<f64>, seed: u64 },
    FillNull { columns: Vec<(Text, Filler)>, all: Option<Filler> },
    DropNulls(Vec<Text>),
}

/// What NULL becomes: SQL for a named column; a value for all columns it fits.
#[derive(Debug, Clone)]
pub(super) struct Filler {
    pub(super) value: Scalar,
    pub(super) place: Place,
}

/// A column by name or an expression, perhaps under another name.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) expr: Text,
    pub(super) alias: Option<Text>,
}

#[derive(Debug)]
pub(super) struct Join {
    pub(super) how: How,
    pub(super) left_on: Vec<Text>,
    pub(super) right_on: Vec<Text>,
    /// What is put behind names that the left side has, too.
    pub(super) suffix: String,
}

/// Each row with the nearest one of another input.
#[derive(Debug)]
pub(super) struct AsofJoin {
    /// What must be equal; the last one is where rows are.
    pub(super) keys: Join,
    pub(super) strategy: AsofStrategy,
    pub(super) tolerance: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    Cross,
}

/// A function over the rows of a group.
#[derive(Debug)]
pub(super) struct Aggregation {
    pub(super) place: Place,
    pub(super) measure: Measure,
    pub(super) alias: Option<Text>,
}

#[derive(Debug)]
pub(super) enum Measure {
    /// SQL.
    Expr(Text),
    /// A function by name, of a column, with what else it needs.
    Function { function: Text, column: Option<Text>, other: Option<Text>, quantile: Option<f64> },
}

#[derive(Debug)]
pub(super) struct SortKey {
    pub(super) expr: Text,
    pub(super) descending: bool,
    pub(super) nulls_last: Option<bool>,
}

/// What is written.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) files: Vec<OutputFileSpec>,
    pub(super) log: Option<Text>,
    pub(super) manifest: Option<Text>,
    pub(super) checksums: Option<Text>,
}

/// One file.
#[derive(Debug)]
pub(super) struct OutputFileSpec {
    pub(super) path: Text,
    pub(super) format: Format,
    /// The step whose rows it holds; the last one when the file does not say.
    pub(super) step: Option<Text>,
    pub(super) compression: Option<ParquetCompression>,
    /// The most rows of a row group of Parquet.
    pub(super) row_group_rows: Option<usize>,
    /// Columns whose values make folders; the path is then that of a folder.
    pub(super) partition_by: Vec<Text>,
}

impl OutputFileSpec {
    /// Whether it is a folder of files.
    pub(super) fn is_folder(&self) -> bool {
        !self.partition_by.is_empty()
    }

    /// How Parquet is written, where neither the output nor the file's settings say otherwise as `usual` says.
    pub(super) fn parquet(&self, settings: &Settings, usual: &ParquetSinkOptions) -> ParquetSinkOptions {
        ParquetSinkOptions {
            compression: self.compression.or(settings.compression).unwrap_or(usual.compression),
            row_group_rows: self.row_group_rows.unwrap_or(usual.row_group_rows),
            repeatable: usual.repeatable,
        }
    }

    /// Its folder of files, made at `folder`.
    pub(super) fn partitioned(&self, folder: &Path, settings: &Settings) -> PartitionedOutput {
        let format = match self.format {
            Format::Parquet => OutputFormat::Parquet,
            Format::Csv => OutputFormat::Csv,
            Format::NdJson => OutputFormat::JsonLines,
            Format::Ipc => OutputFormat::Ipc,
        };
        let columns = self.partition_by.iter().map(|column| column.text.clone()).collect();
        let usual = PartitionedOutput::new(folder, format, columns);
        PartitionedOutput { overwrite: true, parquet: self.parquet(settings, &usual.parquet), ..usual }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    NdJson,
    Ipc,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::NdJson => "ndjson",
            Format::Ipc => "ipc",
        }
    }
}

/// Something that must hold before outputs are published.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) place: Place,
    /// Of which step; the last one when the file does not say.
    pub(super) step: Option<Text>,
    pub(super) rule: Rule,
}

#[derive(Debug)]
pub(super) enum Rule {
    Rows {
        min: Option<u64>,
        max: Option<u64>,
    },
    Columns(Vec<Text>),
    NotNull(Vec<Text>),
    Unique(Vec<Text>),
    Range {
        column: Text,
        min: Option<Text>,
        max: Option<Text>,
    },
    Finite(Vec<Text>),
    /// Holds for every row.
    Sql {
        condition: Text,
        name: Option<Text>,
    },
}

/// How it runs.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) memory_budget: Option<Budget>,
    pub(super) threads: Option<usize>,
    pub(super) spill_dirs: Vec<PathBuf>,
    pub(super) spill_limit: Option<u64>,
    pub(super) compression: Option<ParquetCompression>,
    pub(super) checkpoints: Checkpoints,
    /// Rows of groups come out as they are computed, instead of in the order of their keys.
    pub(super) any_order: bool,
    pub(super) on_bad_row: Option<String>,
}

/// Which steps are kept for `--resume` when the file does not say of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Checkpoints {
    /// Steps whose rows are usually far fewer than those they read: `group_by`, `unique`.
    #[default]
    Auto,
    /// Every step that is more than a pass over its input.
    All,
    /// Only those that several queries read.
    None,
}
