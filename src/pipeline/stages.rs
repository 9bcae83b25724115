//! Which steps are written, and so what is computed by one query and what by several.
//!
//! A stage is a step whose rows are written: to outputs, to a checkpoint, or to both. Everything between stages is planned
//! as one query. A checkpoint is a Parquet file in the run's folder; an output in Parquet is its step's checkpoint. A
//! step becomes a checkpoint when
//! - the file says `checkpoint: true`, or
//! - `settings.checkpoints: auto`, the default, and it is a `group_by` or `unique` whose rows are joined, grouped or
//!   otherwise worked on before the next stage: its rows are few and there is much work on both sides of it; with `all`,
//!   any step that is more than a pass over its input and that others read; with `none`, none, or
//! - several stages read it and it is more than a pass over an input, so that it is not computed twice, or
//! - checks look at it: what is checked is what was written.
//!
//! A folder of partitions is a stage by itself, after all others, since its rows come in the order of its partitions.
//!
//! `checkpoint: false` keeps a step from being one for the first three reasons.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::prepare::Prepared;
use super::spec::{Checkpoints, Format, Operation, Step};
use crate::error::Result;

/// A step or input whose rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    /// The name of the step or input.
    pub(super) name: String,
    /// Indices of its outputs in the file.
    pub(super) outputs: Vec<usize>,
    /// Whether it is written to a checkpoint of its own.
    pub(super) keep: bool,
    /// Whether its only output is a folder, whose rows come in an order of their own.
    pub(super) is_folder: bool,
}

/// The stages in the order in which they run, and the steps that none of them needs.
pub(super) struct Stages {
    pub(super) stages: Vec<Stage>,
    pub(super) unused: Vec<String>,
}

/// Decides.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for an output or check of a step that is not there.
pub(super) fn plan_stages(prepared: &Prepared<'_>) -> Result<Stages> {
    let mut outputs: HashMap<String, Vec<usize>> = HashMap::new();
    let mut folders = Vec::new();
    for (idx, output) in prepared.spec.outputs.files.iter().enumerate() {
        let name = prepared.target(output.step.as_ref(), output.path.place)?.to_string();
        if output.is_folder() {
            let schema = &prepared.relations.get(&name)?.schema;
            let partitioned = output.partitioned(Path::new(&output.path.text), &prepared.spec.settings);
            let checked = partitioned.clustering(schema).map(|_| ());
            checked.map_err(|error| error.with_location(prepared.source.at(output.partition_by[0].place)))?;
            folders.push(Stage { name, outputs: vec![idx], keep: false, is_folder: true });
        } else {
            outputs.entry(name).or_default().push(idx);
        }
    }
    let mut checked = HashSet::new();
    for check in &prepared.spec.checks {
        checked.insert(prepared.target(check.step.as_ref(), check.place)?.to_string());
    }
    let planner = StagePlanner { prepared, outputs, folders, checked, costly: costly_steps(prepared) };
    Ok(planner.plan())
}

/// Who reads a step.
#[derive(Default)]
struct Readers<'a> {
    /// The stages that it is a part of.
    stages: BTreeSet<&'a str>,
    /// Whether they join it, group it, or do other work on it.
    work_on_it: bool,
}

struct StagePlanner<'a> {
    prepared: &'a Prepared<'a>,
    outputs: HashMap<String, Vec<usize>>,
    /// Stages that write a folder each.
    folders: Vec<Stage>,
    checked: HashSet<String>,
    /// Steps that are more than a pass over files.
    costly: HashSet<String>,
}

fn costly_steps(prepared: &Prepared<'_>) -> HashSet<String> {
    let mut costly: HashSet<String> = HashSet::new();
    for step in &prepared.spec.steps {
        let reads = prepared.queries.get(&step.id.text).map(|query| query.reads.as_slice()).unwrap_or_default();
        if is_blocking(step) || reads.iter().any(|read| costly.contains(read)) {
            costly.insert(step.id.text.clone());
        }
    }
    costly
}

impl StagePlanner<'_> {
    fn plan(self) -> Stages {
        let steps = &self.prepared.spec.steps;
        let needed = self.needed();
        let mut stages: Vec<Stage> = Vec::new();
        // From the last step up: who reads a step is known before it is its turn.
        let mut readers: HashMap<&str, Readers<'_>> = HashMap::new();
        let inputs = self.prepared.spec.inputs.iter().map(|input| (&input.id, None));
        let all: Vec<_> = inputs.chain(steps.iter().map(|step| (&step.id, Some(step)))).collect();
        for (id, step) in all.into_iter().rev().filter(|(id, _)| needed.contains(id.as_str())) {
            let name = id.as_str();
            let mut read_by = readers.remove(name).unwrap_or_default();
            if self.n_folders(name) > 0 {
                read_by.stages.insert(name);
            }
            let stage = self.stage(name, step, &read_by);
            let works = step.is_some_and(works_on_rows);
            let (through, works) = match &stage {
                Some(_) => (BTreeSet::from([name]), works),
                None => (read_by.stages, works || read_by.work_on_it),
            };
            for read in self.reads(name) {
                let readers = readers.entry(read).or_default();
                readers.stages.extend(&through);
                readers.work_on_it |= works;
            }
            stages.extend(stage);
        }
        stages.reverse();
        stages.extend(self.folders.iter().cloned());
        let unused = steps.iter().map(|step| step.id.text.clone()).filter(|id| !needed.contains(id.as_str())).collect();
        Stages { stages, unused }
    }

    fn stage(&self, name: &str, step: Option<&Step>, read_by: &Readers<'_>) -> Option<Stage> {
        let outputs = self.outputs.get(name).cloned().unwrap_or_default();
        let is_parquet = |idx: &usize| self.prepared.spec.outputs.files[*idx].format == Format::Parquet;
        let in_parquet = outputs.iter().any(is_parquet);
        let wanted = match step.and_then(|step| step.checkpoint) {
            Some(wanted) => wanted,
            None => {
                let by_type = step.is_some_and(|step| self.by_type(step, read_by));
                let more_folders = self.n_folders(name).saturating_sub(1);
                let stages_around = read_by.stages.len() + usize::from(!outputs.is_empty()) + more_folders;
                by_type || (stages_around > 1 && self.costly.contains(name))
            }
        };
        let keep = (wanted || self.checked.contains(name)) && !in_parquet;
        (keep || !outputs.is_empty()).then(|| Stage { name: name.to_string(), outputs, keep, is_folder: false })
    }

    /// Folders that are written of a step.
    fn n_folders(&self, name: &str) -> usize {
        self.folders.iter().filter(|stage| stage.name == name).count()
    }

    fn by_type(&self, step: &Step, read_by: &Readers<'_>) -> bool {
        let shrinks = matches!(step.operation, Operation::GroupBy { .. } | Operation::Unique { .. });
        match self.prepared.spec.settings.checkpoints {
            Checkpoints::Auto => shrinks && read_by.work_on_it,
            Checkpoints::All => is_blocking(step) && !read_by.stages.is_empty(),
            Checkpoints::None => false,
        }
    }

    fn reads<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let reads = self.prepared.queries.get(name).map(|query| query.reads.as_slice()).unwrap_or_default();
        let name = name.to_string();
        reads.iter().map(String::as_str).filter(move |read| *read != name)
    }

    /// The steps and inputs that some output or check needs.
    fn needed(&self) -> HashSet<&str> {
        let mut needed = HashSet::new();
        let mut waiting: Vec<&str> = self.outputs.keys().chain(&self.checked).map(String::as_str).collect();
        waiting.extend(self.folders.iter().map(|stage| stage.name.as_str()));
        while let Some(name) = waiting.pop() {
            if needed.insert(name) {
                waiting.extend(self.reads(name));
            }
        }
        needed
    }
}

/// Whether a step does work that would be lost with its input; sorting few rows is none.
fn works_on_rows(step: &Step) -> bool {
    use Operation::*;
    matches!(&step.operation, Join(_) | JoinAsof(_) | GroupBy { .. } | Unique { .. } | Window { .. } | Sql(_))
}

/// Whether a step is more than a pass over its input.
fn is_blocking(step: &Step) -> bool {
    use Operation::*;
    match &step.operation {
        Join(_) | JoinAsof(_) | GroupBy { .. } | Sort(_) | Unique { .. } | Window { .. } | Sql(_) | Sample { .. } => {
            true
        }
        Select(_)
        | Filter(_)
        | WithColumns(_)
        | Rename(_)
        | Drop(_)
        | Cast { .. }
        | Limit { .. }
        | Union { .. }
        | FillNull { .. }
        | DropNulls(_) => false,
    }
}
