//! Pipeline files: inputs, steps, checks and outputs in YAML.
//!
//! A file is read into a tree that knows every place ([`yaml`]), typed ([`spec`], [`read`]), and each step becomes a query
//! over the names of those before it ([`step_sql`]). Steps are not run one after the other: what lies between two **stages**
//! is planned as one query, so filters and columns reach the scans. A stage is a step whose rows are written: an output,
//! or a checkpoint ([`stages`]). Finished stages lie in `.brimful/NAME` beside the outputs until all are there and all
//! checks hold; then the outputs take their places together ([`run`]).
//!
//! Memory: texts and plans, a few MiB; everything else is the queries'.

mod aggregate_sql;
mod asof;
mod check_sql;
mod dry_run;
mod earlier;
mod fields;
mod fillers;
mod fingerprint;
mod idle_filters;
mod inputs;
mod one_row;
mod overrides;
mod prepare;
mod read;
mod read_checks;
mod read_outputs;
mod read_steps;
mod record;
mod relations;
mod report;
mod run;
mod source;
mod spec;
mod sql_text;
mod stages;
mod step_sql;
mod targets;
mod traps;
mod yaml;

pub use prepare::PipelineFile;
pub use run::{Notice, Onlooker, RunOptions, RunSummary};
