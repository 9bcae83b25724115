//! What is known of a finished stage: written beside its files, read by `--resume`, and reported in the manifest.

use serde::{Deserialize, Serialize};

use super::prepare::Prepared;
use crate::exec::{NodeIdx, RunMetrics};
use crate::io::run_folder::PartFacts;

/// A finished stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StageRecord {
    /// The name of the step or input.
    pub(super) step: String,
    pub(super) fingerprint: String,
    pub(super) rows: u64,
    pub(super) seconds: f64,
    /// The most memory that was resident in the process until then.
    pub(super) peak_memory_bytes: u64,
    pub(super) spilled_bytes: u64,
    pub(super) read_bytes: u64,
    /// Rows of input that were left out as malformed.
    pub(super) bad_rows: u64,
    pub(super) files: Vec<FileRecord>,
    /// The steps and inputs that this stage's query computed.
    pub(super) steps: Vec<StepRecord>,
    pub(super) warnings: Vec<String>,
    /// The plan that ran, as a tree.
    pub(super) plan: String,
}

/// A file that a stage wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FileRecord {
    /// The path of the output that it is to be, as the pipeline file writes it; `None` for a checkpoint. A run that goes on
    /// may list its outputs in another order.
    pub(super) output: Option<String>,
    /// The name in the run's folder.
    pub(super) hidden: String,
    pub(super) bytes: u64,
    /// Of a folder that of the names and checksums of its files.
    pub(super) sha256: Option<String>,
    /// The files of a folder.
    #[serde(default)]
    pub(super) parts: Vec<PartFacts>,
}

/// What a step of a stage's query took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StepRecord {
    pub(super) id: String,
    /// Rows that left it; conditions of later steps may have been applied earlier. `None` where the optimizer left no
    /// trace of the step.
    pub(super) rows: Option<u64>,
    /// Of an input: the rows of its files, where all were read.
    #[serde(default)]
    pub(super) all_rows: Option<u64>,
    /// Time in its operators, summed over workers.
    pub(super) seconds: f64,
}

/// For each operator of a finished query the step or input that it belongs to.
pub(super) struct Owners<'a> {
    metrics: &'a RunMetrics,
    /// With the operator whose rows they are; what a step reads is labelled before it.
    labels: Vec<(&'a str, NodeIdx)>,
    by_operator: Vec<Option<&'a str>>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(prepared: &Prepared<'_>, labels: &'a [(String, NodeIdx)], metrics: &'a RunMetrics) -> Self {
        let labels = labels.iter().filter(|(name, _)| prepared.queries.contains_key(name));
        let labels: Vec<(&str, NodeIdx)> = labels.map(|(name, node)| (name.as_str(), *node)).collect();
        let mut by_operator = vec![None; metrics.operators.len()];
        for (name, node) in &labels {
            let mut waiting = vec![*node];
            while let Some(node) = waiting.pop() {
                if let (Some(operator), Some(owner @ None)) = (metrics.operators.get(node), by_operator.get_mut(node)) {
                    *owner = Some(*name);
                    waiting.extend(operator.inputs.iter().filter(|&&input| input < node));
                }
            }
        }
        Owners { metrics, labels, by_operator }
    }

    /// The step that an operator belongs to.
    pub(super) fn of(&self, operator: NodeIdx) -> Option<&'a str> {
        self.by_operator.get(operator).copied().flatten()
    }

    /// What the query computed, in order.
    pub(super) fn steps(&self) -> Vec<StepRecord> {
        let mut records: Vec<StepRecord> = Vec::new();
        for (name, node) in &self.labels {
            if records.iter().any(|record| record.id == *name) {
                continue;
            }
            let mine = self.metrics.operators.iter().zip(&self.by_operator).filter(|(_, owner)| **owner == Some(*name));
            let (mut seconds, mut all_rows) = (0.0, None);
            for (operator, _) in mine {
                seconds += operator.seconds;
                all_rows = all_rows.or(operator.all_rows);
            }
            let rows = self.metrics.operators.get(*node).map(|operator| operator.rows_out);
            records.push(StepRecord { id: name.to_string(), rows, all_rows, seconds });
        }
        records
    }
}
