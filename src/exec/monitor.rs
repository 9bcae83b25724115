//! The live figures of a running query: what the driver counts, for progress while it runs and metrics at the end.
//!
//! Memory: a few counters a plan node and worker. Workers count in their own [`Stopwatch`] and add to the shared counters
//! once a batch of the source, so that the counters stay cold.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;

use super::{Batch, NodeIdx, OperatorReport, Query, Report};

/// Clearing a line takes no time; a terminal that hangs must not hang the query.
const LEAVE_WITHIN: Duration = Duration::from_millis(200);

/// Figures of a query that can be read while it runs.
pub struct Monitor {
    nodes: Vec<MonitoredNode>,
    output_node: NodeIdx,
    n_pipelines: usize,
    current_pipeline: AtomicUsize,
    started: Instant,
    onlooker: Mutex<Option<Sender<Leave>>>,
}

/// Asks whoever looks on to leave the screen; answered when that is done.
pub(super) type Leave = Sender<()>;

/// A node of the plan with its figures.
pub struct MonitoredNode {
    /// The operator's name.
    pub name: &'static str,
    /// What it does.
    pub detail: String,
    /// The nodes it reads from.
    pub inputs: Vec<NodeIdx>,
    report: Option<Arc<dyn Report>>,
    counters: NodeCounters,
}

#[derive(Default)]
struct NodeCounters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    batches_out: AtomicU64,
    bytes_out: AtomicU64,
    nanos: AtomicU64,
}

/// What the driver counted at one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// Rows it was given.
    pub rows_in: u64,
    /// Rows it emitted.
    pub rows_out: u64,
    /// Batches it emitted.
    pub batches_out: u64,
    /// Bytes it emitted.
    pub bytes_out: u64,
    /// Time inside its calls without the calls nested in them, summed over workers. Unit: nanoseconds.
    pub nanos: u64,
}

impl Monitor {
    /// Figures for `query`, all zero.
    pub fn new(query: &Query) -> Arc<Self> {
        let node = |node: &super::Node| MonitoredNode {
            name: node.name,
            detail: node.detail.clone(),
            inputs: node.inputs.clone(),
            report: node.report.clone(),
            counters: NodeCounters::default(),
        };
        Arc::new(Monitor {
            nodes: query.nodes.iter().map(node).collect(),
            output_node: query.pipelines.last().map_or(0, |last| last.sink.node),
            n_pipelines: query.pipelines.len(),
            current_pipeline: AtomicUsize::new(0),
            started: Instant::now(),
            onlooker: Mutex::new(None),
        })
    }

    /// All nodes; the root is the last one.
    pub fn nodes(&self) -> &[MonitoredNode] {
        &self.nodes
    }

    /// Time since the query was started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Number of the pipeline that runs, from 0, and how many there are.
    pub fn pipeline(&self) -> (usize, usize) {
        (self.current_pipeline.load(Ordering::Relaxed), self.n_pipelines)
    }

    /// Rows that scans and other leaves have produced.
    pub fn rows_in(&self) -> u64 {
        self.nodes.iter().filter(|node| node.inputs.is_empty()).map(|node| node.figures().rows_out).sum()
    }

    /// Rows that have reached the output.
    pub fn rows_out(&self) -> u64 {
        self.nodes.get(self.output_node).map_or(0, |node| node.figures().rows_in)
    }

    /// The sum of what the operators report; `peak_bytes` is meaningless in it.
    pub fn totals(&self) -> OperatorReport {
        self.nodes.iter().map(MonitoredNode::report).fold(OperatorReport::default(), |sum, one| OperatorReport {
            peak_bytes: sum.peak_bytes + one.peak_bytes,
            spilled_raw_bytes: sum.spilled_raw_bytes + one.spilled_raw_bytes,
            spilled_stored_bytes: sum.spilled_stored_bytes + one.spilled_stored_bytes,
            restored_bytes: sum.restored_bytes + one.restored_bytes,
            n_partitions: sum.n_partitions + one.n_partitions,
            n_runs: sum.n_runs + one.n_runs,
            depth: sum.depth.max(one.depth),
            read_bytes: sum.read_bytes + one.read_bytes,
            total_bytes: sum.total_bytes + one.total_bytes,
            n_bad_rows: sum.n_bad_rows + one.n_bad_rows,
            all_rows: None,
            n_repeated_pairs: None,
        })
    }

    /// Tells the caller when to leave the screen.
    pub(super) fn look_on(&self) -> Receiver<Leave> {
        let (sender, receiver) = channel();
        *self.lock_onlooker() = Some(sender);
        receiver
    }

    /// Clears the screen of progress, because the result is about to be written or the query has ended.
    pub(super) fn send_onlooker_away(&self) {
        let onlooker = self.lock_onlooker().take();
        if let Some(onlooker) = onlooker {
            let (gone, is_gone) = channel();
            if onlooker.send(gone).is_ok() {
                let _ = is_gone.recv_timeout(LEAVE_WITHIN);
            }
        }
    }

    fn lock_onlooker(&self) -> MutexGuard<'_, Option<Sender<Leave>>> {
        self.onlooker.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn enter_pipeline(&self, idx: usize) {
        self.current_pipeline.store(idx, Ordering::Relaxed);
    }

    /// Adds what a worker counted since the last time.
    pub(super) fn add(&self, watch: &mut Stopwatch) {
        for (node, figures) in self.nodes.iter().zip(&mut watch.figures) {
            if *figures != NodeFigures::default() {
                node.counters.add(std::mem::take(figures));
            }
        }
    }
}

impl MonitoredNode {
    /// What the driver has counted so far.
    pub fn figures(&self) -> NodeFigures {
        let counters = &self.counters;
        NodeFigures {
            rows_in: counters.rows_in.load(Ordering::Relaxed),
            rows_out: counters.rows_out.load(Ordering::Relaxed),
            batches_out: counters.batches_out.load(Ordering::Relaxed),
            bytes_out: counters.bytes_out.load(Ordering::Relaxed),
            nanos: counters.nanos.load(Ordering::Relaxed),
        }
    }

    /// What the operator itself tells; zero for one that tells nothing.
    pub fn report(&self) -> OperatorReport {
        self.report.as_ref().map_or_else(OperatorReport::default, |report| report.report())
    }
}

impl NodeCounters {
    fn add(&self, figures: NodeFigures) {
        self.rows_in.fetch_add(figures.rows_in, Ordering::Relaxed);
        self.rows_out.fetch_add(figures.rows_out, Ordering::Relaxed);
        self.batches_out.fetch_add(figures.batches_out, Ordering::Relaxed);
        self.bytes_out.fetch_add(figures.bytes_out, Ordering::Relaxed);
        self.nanos.fetch_add(figures.nanos, Ordering::Relaxed);
    }
}

/// One worker's counts. Time is charged to the node that runs; the clock is read once at each change of node.
pub(super) struct Stopwatch {
    figures: Vec<NodeFigures>,
    running: NodeIdx,
    since: Instant,
}

impl Stopwatch {
    /// A stopwatch that charges to `node` from now on.
    pub(super) fn start(monitor: &Monitor, node: NodeIdx) -> Self {
        let figures = vec![NodeFigures::default(); monitor.nodes.len()];
        Stopwatch { figures, running: node, since: Instant::now() }
    }

    /// Forgets the time since it was started: the worker waited for a thread.
    pub(super) fn restart(&mut self) {
        self.since = Instant::now();
    }

    /// Charges to `node` from now on; returns what was charged before.
    pub(super) fn switch(&mut self, node: NodeIdx) -> NodeIdx {
        let now = Instant::now();
        if let Some(figures) = self.figures.get_mut(self.running) {
            figures.nanos += (now - self.since).as_nanos() as u64;
        }
        self.since = now;
        std::mem::replace(&mut self.running, node)
    }

    /// The node that is charged.
    pub(super) fn running(&self) -> NodeIdx {
        self.running
    }

    /// `node` was given `batch`.
    pub(super) fn took(&mut self, node: NodeIdx, batch: &Batch) {
        if let Some(figures) = self.figures.get_mut(node) {
            figures.rows_in += batch.n_rows() as u64;
        }
    }

    /// `node` emitted `batch`.
    pub(super) fn made(&mut self, node: NodeIdx, batch: &Batch) {
        if let Some(figures) = self.figures.get_mut(node) {
            figures.rows_out += batch.n_rows() as u64;
            figures.batches_out += 1;
            figures.bytes_out += data_bytes(&batch.data);
        }
    }
}

/// Bytes of the values in `batch`, counting a slice as its part: what the buffers hold besides does not matter here.
fn data_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|column| column_bytes(column.as_ref())).sum()
}

fn column_bytes(column: &dyn Array) -> u64 {
    let n_rows = column.len();
    let validity = if column.nulls().is_some() { n_rows.div_ceil(8) } else { 0 };
    let values = match column.data_type() {
        DataType::Null => 0,
        DataType::Boolean => n_rows.div_ceil(8),
        DataType::Utf8 => offsets_span(column.as_string::<i32>().value_offsets()) + 4 * n_rows,
        DataType::LargeUtf8 => offsets_span(column.as_string::<i64>().value_offsets()) + 8 * n_rows,
        DataType::Binary => offsets_span(column.as_binary::<i32>().value_offsets()) + 4 * n_rows,
        DataType::Dictionary(key, _) => key.primitive_width().unwrap_or(4) * n_rows,
        other => match other.primitive_width() {
            Some(width) => width * n_rows,
            None => column.get_buffer_memory_size(),
        },
    };
    (validity + values) as u64
}

fn offsets_span<O: arrow::array::OffsetSizeTrait>(offsets: &[O]) -> usize {
    match offsets {
        [first, .., last] => last.as_usize() - first.as_usize(),
        _ => 0,
    }
}
