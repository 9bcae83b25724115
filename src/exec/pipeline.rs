//! What the driver runs: pipelines in dependency order, each step tied to a node of the plan for metrics.

use std::sync::Arc;

use super::{Sink, Source, Transform};
use crate::memory::OwnerCounters;

/// The number of a plan node in [`Query::nodes`].
pub type NodeIdx = usize;

/// One step of a pipeline and the plan node it belongs to. A blocking operator has two steps, a sink and a source.
pub struct Step<R: ?Sized> {
    /// Index into [`Query::nodes`].
    pub node: NodeIdx,
    /// What runs.
    pub role: Arc<R>,
}

/// A source, transforms and a sink that run together on all workers.
pub struct Pipeline {
    /// Where batches come from.
    pub source: Step<dyn Source>,
    /// What happens on the way, in order.
    pub transforms: Vec<Step<dyn Transform>>,
    /// Where batches end.
    pub sink: Step<dyn Sink>,
}

/// A node of the physical plan as EXPLAIN shows it.
pub struct Node {
    /// The operator's name, as in the code: `Scan`, `Filter`, `Aggregate`, `Sort` and so on.
    pub name: &'static str,
    /// What it does, in the user's terms: keys, predicates, file.
    pub detail: String,
    /// The nodes it reads from.
    pub inputs: Vec<NodeIdx>,
    /// Asked after the run (and for progress) by blocking operators and scans.
    pub report: Option<Arc<dyn Report>>,
}

/// A query ready to run. The last pipeline ends in the output.
pub struct Query {
    /// All nodes; the root is the last one.
    pub nodes: Vec<Node>,
    /// In an order in which each pipeline's inputs are complete before it starts.
    pub pipelines: Vec<Pipeline>,
    /// Views and aliases of the query's text with the node that gives their rows, as far as the optimizer left them whole.
    pub labels: Vec<(String, NodeIdx)>,
}

/// What an operator knows about its own run and the driver cannot see from outside.
pub trait Report: Send + Sync {
    /// The figures so far.
    fn report(&self) -> OperatorReport;
}

/// Figures of one operator. Zero where something does not apply. Units: bytes, except for counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatorReport {
    /// The most memory that was held at once.
    pub peak_bytes: u64,
    /// Page bytes written to disk, before compression.
    pub spilled_raw_bytes: u64,
    /// What they took on disk.
    pub spilled_stored_bytes: u64,
    /// Page bytes read back.
    pub restored_bytes: u64,
    /// Hash partitions in use.
    pub n_partitions: u64,
    /// Sorted runs made.
    pub n_runs: u64,
    /// Deepest level of re-partitioning, or merge levels.
    pub depth: u64,
    /// Bytes of input files read so far (scans).
    pub read_bytes: u64,
    /// Bytes of input files in total (scans); 0 when not known.
    pub total_bytes: u64,
    /// Rows of input that were skipped or rejected as malformed (scans).
    pub n_bad_rows: u64,
    /// Rows of all input files (scans), before any filter; known when all of them have been read, if ever.
    pub all_rows: Option<u64>,
    /// Pairs of a join beyond those that there would be if its key were unique on one side, where they are counted.
    pub n_repeated_pairs: Option<u64>,
}

impl OperatorReport {
    /// What the pages of an operator's owner say.
    pub fn of_pages(counters: OwnerCounters) -> Self {
        OperatorReport {
            peak_bytes: counters.peak_resident_bytes,
            spilled_raw_bytes: counters.spilled_raw_bytes,
            spilled_stored_bytes: counters.spilled_stored_bytes,
            restored_bytes: counters.restored_bytes,
            ..OperatorReport::default()
        }
    }
}
