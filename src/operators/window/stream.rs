//! A worker's side of a window: batches come in order, wait until their results are known, and go on with them.
//!
//! A batch goes on as a whole, when the frame of its last row is complete: at once for row_number, with the next batch
//! for a default frame, at the end of the partition for a total. Many partitions in a batch are handled together.
//!
//! Where results are strings or lists it goes on in parts, of as many rows as the last ones let expect to fill a batch.
//!
//! Memory: the log, a few columns of a batch for every call, and the results of one batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};

use super::borders::changes;
use super::frames::{FrameCursor, FrameRows, comes_after, copy_row, last_of};
use super::log::{Facts, Log, Reader};
use super::piece::{Carried, Piece};
use super::plan::{Need, WindowPlan};
use super::spec::FrameEdges;
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, QueryContext, Sequence};

/// Computes a call for a batch after the other.
pub(super) trait Evaluator: Send {
    /// A result for every row of `piece`.
    fn evaluate(&mut self, piece: &Piece, log: &mut Log) -> Result<ArrayRef>;

    /// The lowest position that is still needed.
    fn needs_from(&self) -> u64;
}

/// As [`Evaluator`], over frames.
pub(super) trait FrameEvaluator: Send {
    fn evaluate(&mut self, piece: &Piece, frame: &FrameRows, log: &mut Log) -> Result<ArrayRef>;

    fn needs_from(&self) -> u64;
}

/// A call at work.
pub(super) enum Call {
    Plain(Box<dyn Evaluator>),
    /// With the number of its frame.
    Framed(usize, Box<dyn FrameEvaluator>),
}

impl Call {
    fn needs_from(&self) -> u64 {
        match self {
            Call::Plain(call) => call.needs_from(),
            Call::Framed(_, call) => call.needs_from(),
        }
    }
}

pub(super) struct LocalWindow {
    plan: Arc<WindowPlan>,
    cx: QueryContext,
    calls: Vec<Call>,
    /// Only frames that a call uses.
    frames: Vec<Option<FrameCursor>>,
    log: Log,
    arrived: Arrived,
    /// The next row to go on.
    next: u64,
    rows: Reader,
    carried: Carried,
    sequence: Sequence,
    /// Rows that go on together.
    part_rows: usize,
}

/// With results of any size, so many rows go on together at first.
const FIRST_ROWS: usize = 64;

/// What is known about the rows that have arrived.
#[derive(Default)]
struct Arrived {
    /// The key columns of the last row: the partition's, then the order's.
    last_keys: Option<Vec<ArrayRef>>,
    /// The last start of a group of peers, by order, and how many there were.
    peer_start: Vec<Option<u64>>,
    n_peer_starts: Vec<u64>,
    /// Whether the morsel is complete.
    is_complete: bool,
}

impl LocalWindow {
    pub(super) fn new(plan: Arc<WindowPlan>, log: Log, calls: Vec<Call>, cx: QueryContext) -> Self {
        let is_used = |idx: usize| calls.iter().any(|call| matches!(call, Call::Framed(frame, _) if *frame == idx));
        let cursor = |(idx, frame)| {
            let order = plan.order(super::spec::Frame::clone(frame).n_order);
            is_used(idx).then(|| FrameCursor::new(frame, order, plan.peers_column(order), &plan.spec, &cx))
        };
        let frames = plan.spec.frames.iter().enumerate().map(cursor).collect();
        let n_orders = plan.orders.len();
        let has_width = |call: &super::spec::WindowCall| call.output.data_type().is_primitive();
        let part_rows = if plan.spec.calls.iter().all(has_width) { usize::MAX } else { FIRST_ROWS };
        let all = (0..plan.spec.input.fields().len() + n_orders).collect();
        LocalWindow {
            frames,
            arrived: Arrived {
                peer_start: vec![None; n_orders],
                n_peer_starts: vec![0; n_orders],
                ..Arrived::default()
            },
            next: 0,
            rows: Reader::new(all, &cx),
            carried: Carried::new(n_orders),
            sequence: Sequence::default(),
            part_rows,
            plan,
            cx,
            calls,
            log,
        }
    }

    fn arrive(&mut self, data: &RecordBatch) -> Result<()> {
        let (n_rows, first) = (data.num_rows(), self.log.end);
        let spec = &self.plan.spec;
        let mut facts = Facts::default();
        let mut columns = data.columns().to_vec();
        let keys = spec.partition.iter().copied().chain(spec.order.iter().map(|key| key.column));
        let keys: Vec<ArrayRef> = keys.map(|column| columns[column].clone()).collect();
        let (mut done, mut bits) = (0, None);
        for (order, &n_order) in self.plan.orders.iter().enumerate() {
            // Each order begins with the keys of the one before it.
            let n_keys = spec.partition.len() + n_order;
            let before = self.arrived.last_keys.as_ref().map(|last| &last[done..n_keys]);
            let changed = changes(&keys[done..n_keys], before, n_rows)?;
            let changed = bits.as_ref().map_or(changed.clone(), |bits| &changed | bits);
            facts.peer_start.push(changed.set_indices().next().map(|row| first + row as u64));
            if let Some(last) = changed.set_indices().last() {
                self.arrived.peer_start[order] = Some(first + last as u64);
            }
            self.arrived.n_peer_starts[order] += changed.count_set_bits() as u64;
            columns.push(Arc::new(BooleanArray::new(changed.clone(), None)));
            (done, bits) = (n_keys, Some(changed));
        }
        facts.partition_start = facts.peer_start[0];
        facts.n_peer_starts = self.arrived.n_peer_starts.clone();
        facts.last_bounds =
            self.plan.bounds.iter().map(|bound| self.last_bound(&**bound, data)).collect::<Result<_>>()?;
        self.arrived.last_keys = Some(keys.iter().map(|key| copy_row(key, n_rows - 1)).collect::<Result<_>>()?);
        self.log.push(columns, n_rows, facts)
    }

    /// The value at which the frames of all rows of a batch have ended.
    fn last_bound(&self, bound: &dyn FrameEdges, data: &RecordBatch) -> Result<ArrayRef> {
        let last = data.num_rows() - 1;
        if bound.never_goes_back() {
            return Ok(bound.evaluate(&data.slice(last, 1))?.keys);
        }
        last_of(&bound.evaluate(data)?.keys, self.plan.key_options())
    }

    /// Whether the results of all rows of the batch at `self.next` are known.
    fn is_ready(&self) -> Result<bool> {
        if self.arrived.is_complete {
            return Ok(true);
        }
        let (first, n_rows) = self.log.extent(self.next)?;
        let last = first + n_rows as u64 - 1;
        let starts_after = |order: usize| self.arrived.peer_start[order].is_some_and(|start| start > last);
        if starts_after(0) {
            return Ok(true);
        }
        for need in &self.plan.needs {
            let is_met = match *need {
                Need::Rows(n_rows) => last.saturating_add(n_rows) < self.log.end,
                Need::Peers(order) => starts_after(order),
                Need::Groups(order, n_groups) => {
                    self.arrived.n_peer_starts[order] - self.log.facts(last)?.n_peer_starts[order] >= n_groups
                }
                Need::Value(bound) => self.is_beyond(&self.log.facts(last)?.last_bounds[bound])?,
                Need::Partition => false,
            };
            if !is_met {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the last row that has arrived comes after `bound`.
    fn is_beyond(&self, bound: &ArrayRef) -> Result<bool> {
        let n_partition = self.plan.spec.partition.len();
        match self.arrived.last_keys.as_ref().and_then(|keys| keys.get(n_partition)) {
            Some(key) => comes_after(key, bound, self.plan.key_options()),
            None => Ok(false),
        }
    }

    /// The batch at `self.next`, with its partitions and peers.
    fn take_piece(&mut self) -> Result<Piece> {
        self.rows.seek(&mut self.log, self.next)?;
        let mut columns = self.rows.columns.clone();
        let bits = columns.split_off(self.plan.spec.input.fields().len());
        let (first, n_rows) = (self.rows.first, (self.rows.end - self.rows.first) as usize);
        let is_complete = self.arrived.is_complete;
        let extent = (first, n_rows);
        let partitions = bits[0].as_boolean().values();
        let segments = self.carried.segments(extent, partitions, &self.log, is_complete)?;
        let mut peers = Vec::with_capacity(bits.len());
        for (order, bits) in bits.iter().enumerate() {
            let is_start = bits.as_boolean().values().clone();
            peers.push(self.carried.peers(order, extent, is_start, &self.log, is_complete)?);
        }
        Ok(Piece { first, n_rows, columns, segments, peers })
    }

    /// Sends the batch at `self.next` on with its results, and lets go of what nobody needs any more.
    fn compute(&mut self, is_last: bool, emit: &mut Emit<'_>) -> Result<Flow> {
        let piece = self.take_piece()?;
        let mut frames = Vec::with_capacity(self.frames.len());
        for cursor in &mut self.frames {
            frames.push(match cursor {
                Some(cursor) => cursor.rows(&piece, &mut self.log)?,
                None => FrameRows::default(),
            });
        }
        let mut done = 0;
        while done < piece.n_rows {
            self.cx.cancel.check()?;
            let len = self.part_rows.min(piece.n_rows - done);
            let data = if len == piece.n_rows {
                self.results(&piece, &frames)?
            } else {
                let frames: Vec<FrameRows> = frames.iter().map(|frame| frame.part(done, len)).collect();
                self.results(&piece.part(done, len), &frames)?
            };
            done += len;
            if self.emit(data, is_last && done == piece.n_rows, emit)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        self.next += piece.n_rows as u64;
        let of_frames = self.frames.iter().flatten().map(FrameCursor::needs_from);
        let needed = self.calls.iter().map(Call::needs_from).chain(of_frames).min().unwrap_or(u64::MAX);
        self.log.forget_before(needed.min(self.next));
        Ok(Flow::More)
    }

    /// The rows of `piece` with their results.
    fn results(&mut self, piece: &Piece, frames: &[FrameRows]) -> Result<RecordBatch> {
        let mut columns = piece.columns.clone();
        let mut bytes = 0;
        for call in &mut self.calls {
            let results = match call {
                Call::Plain(call) => call.evaluate(piece, &mut self.log)?,
                Call::Framed(frame, call) => call.evaluate(piece, &frames[*frame], &mut self.log)?,
            };
            bytes += results.get_array_memory_size();
            columns.push(results);
        }
        if self.part_rows < usize::MAX {
            let per_row = (bytes / piece.n_rows.max(1)).max(1);
            let most = (2 * self.part_rows).min(self.cx.memory.sizes().batch_rows);
            self.part_rows = (self.cx.memory.sizes().batch_bytes / per_row).clamp(1, most);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(piece.n_rows));
        Ok(RecordBatch::try_new_with_options(self.plan.output.clone(), columns, &options)?)
    }

    fn emit(&mut self, data: RecordBatch, last_of_morsel: bool, emit: &mut Emit<'_>) -> Result<Flow> {
        let batch = Batch { data, sequence: self.sequence, last_of_morsel };
        self.sequence.batch += 1;
        emit(batch)
    }

    /// Whatever is left of a morsel has gone on.
    fn end_morsel(&mut self) {
        self.log.forget_before(self.log.end);
        self.arrived.last_keys = None;
        self.arrived.is_complete = false;
    }
}

impl LocalTransform for LocalWindow {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        if batch.sequence.morsel != self.sequence.morsel {
            self.sequence = Sequence { morsel: batch.sequence.morsel, batch: 0 };
        }
        if batch.n_rows() > 0 {
            self.arrive(&batch.data)?;
        }
        self.arrived.is_complete = batch.last_of_morsel;
        let mut has_ended = false;
        while self.next < self.log.end && self.is_ready()? {
            let (first, n_rows) = self.log.extent(self.next)?;
            has_ended = batch.last_of_morsel && first + n_rows as u64 == self.log.end;
            if self.compute(has_ended, emit)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        if !batch.last_of_morsel {
            return Ok(Flow::More);
        }
        self.end_morsel();
        match has_ended {
            true => Ok(Flow::More),
            false => self.emit(RecordBatch::new_empty(self.plan.output.clone()), true, emit),
        }
    }
}
