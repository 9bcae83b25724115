//! Row groups that are collected before they are encoded: cut in order, encoded in parallel, appended in order. For ordered
//! outputs, and for those with so many columns that only one can be encoded at a time.
//!
//! Memory: the batches of a row group wait until it is complete, at most one row group a worker beside the one that
//! collects, all under reservations.
//! The surprising part: a complete row group is left to an idle worker of the pool if there is one, and whoever pushed last
//! encodes one itself if too many are under way; so one worker that merges sorted runs keeps all others busy.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use arrow::array::{Array, ArrayRef, RecordBatch};

use super::encode::Encoding;
use super::row_group::total_row_bytes;
use super::sink::Shared;
use crate::error::{Error, Result};
use crate::exec::{Batch, Flow, LocalSink, Placed, ReorderWindow, ReorderWorker, TaskContext};
use crate::memory::{Memory, Reservation};

/// Collects batches in order and hands out row groups.
pub(super) struct OrderedGroups {
    shared: Arc<Shared>,
    memory: Memory,
    /// Made by the first worker.
    window: OnceLock<Arc<ReorderWindow<Batch>>>,
    window_bytes: u64,
    /// Bytes of batches that make a row group.
    group_bytes: u64,
    max_under_way: usize,
    open: Mutex<OpenGroup>,
    jobs: Mutex<Jobs>,
    job_ended: Condvar,
}

/// The batches of the next row group.
struct OpenGroup {
    number: u64,
    batches: Vec<RecordBatch>,
    n_rows: usize,
    reserved: Reservation,
    /// Slices that make the next piece, where batches are cut anew.
    waiting: Vec<RecordBatch>,
    /// Bytes of the pieces, which follow from their rows alone.
    piece_bytes: u64,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    n_running: usize,
    error: Option<Error>,
}

/// A row group to encode.
struct Job {
    number: u64,
    batches: Vec<RecordBatch>,
    reserved: Reservation,
}

impl OrderedGroups {
    pub(super) fn new(shared: Arc<Shared>, memory: &Memory) -> Self {
        let sizes = memory.sizes();
        let window_bytes = 4 * (sizes.threads * sizes.batch_bytes) as u64;
        let group_bytes = shared.encoding.group_bytes;
        let max_under_way = shared.encoding.max_builders;
        OrderedGroups {
            shared,
            memory: memory.clone(),
            window: OnceLock::new(),
            window_bytes,
            group_bytes,
            max_under_way,
            open: Mutex::new(OpenGroup::new(0, memory)),
            jobs: Mutex::default(),
            job_ended: Condvar::new(),
        }
    }

    /// Adds a batch whose turn it is.
    fn add(self: &Arc<Self>, batch: &RecordBatch) -> Result<Flow> {
        if batch.num_rows() == 0 {
            return Ok(Flow::More);
        }
        let mut open = lock(&self.open);
        let bytes = total_row_bytes(batch.columns()) as u64;
        if let Some(piece_rows) = self.shared.encoding.piece_rows {
            return self.add_in_pieces(&mut open, batch, piece_rows);
        }
        if open.reserved.try_grow(bytes).is_err() {
            // Nothing may be under way that still holds memory when the second refusal is reported.
            self.begin_job(open.take(&self.memory));
            self.run_all_jobs()?;
            open.reserved.try_grow(bytes)?;
        }
        let mut rest = batch.clone();
        while open.n_rows + rest.num_rows() >= self.shared.encoding.group_rows {
            let n_rows = self.shared.encoding.group_rows - open.n_rows;
            open.add(rest.slice(0, n_rows));
            rest = rest.slice(n_rows, rest.num_rows() - n_rows);
            self.begin_job(open.take(&self.memory));
        }
        if rest.num_rows() > 0 {
            open.add(rest);
        }
        if open.reserved.bytes() >= self.group_bytes {
            self.begin_job(open.take(&self.memory));
        }
        Ok(Flow::More)
    }

    /// The same for bytes that are equal in every run: the group is made of pieces that end at the same rows, however the
    /// batches were cut, and ends behind one of them.
    fn add_in_pieces(
        self: &Arc<Self>,
        open: &mut MutexGuard<'_, OpenGroup>,
        batch: &RecordBatch,
        piece_rows: usize,
    ) -> Result<Flow> {
        let mut start = 0;
        while start < batch.num_rows() {
            let n_rows = (piece_rows - open.waiting_rows()).min(batch.num_rows() - start);
            let slice = batch.slice(start, n_rows);
            start += n_rows;
            let bytes = value_bytes(&slice);
            if open.reserved.try_grow(bytes).is_err() {
                // Only here does a group end where memory does.
                open.join_waiting(&self.shared.encoding)?;
                self.begin_job(open.take(&self.memory));
                self.run_all_jobs()?;
                open.reserved.try_grow(bytes)?;
            }
            open.waiting.push(slice);
            if open.waiting_rows() == piece_rows {
                open.join_waiting(&self.shared.encoding)?;
                if open.piece_bytes >= self.group_bytes || open.n_rows >= self.shared.encoding.group_rows {
                    self.begin_job(open.take(&self.memory));
                }
            }
        }
        Ok(Flow::More)
    }

    /// Offers the job to idle workers.
    fn begin_job(self: &Arc<Self>, job: Job) {
        lock(&self.jobs).waiting.push_back(job);
        if rayon::current_thread_index().is_some() {
            let groups = self.clone();
            rayon::spawn(move || groups.run_one_job_and_keep_its_error());
        }
    }

    /// Runs jobs as long as too many are under way. Called without any lock, so that others can push meanwhile.
    fn help(&self) -> Result<()> {
        let is_in_pool = rayon::current_thread_index().is_some();
        let allowed = if is_in_pool { self.max_under_way } else { 1 };
        let too_many = || {
            let jobs = lock(&self.jobs);
            !jobs.waiting.is_empty() && jobs.waiting.len() + jobs.n_running >= allowed
        };
        while too_many() {
            self.run_one_job()?;
        }
        Ok(())
    }

    /// Runs the oldest job that waits; says whether there was one.
    fn run_one_job(&self) -> Result<bool> {
        let Some(job) = ({
            let mut jobs = lock(&self.jobs);
            let job = jobs.waiting.pop_front();
            jobs.n_running += usize::from(job.is_some());
            job
        }) else {
            return Ok(false);
        };
        let result = self.encode(job);
        lock(&self.jobs).n_running -= 1;
        self.job_ended.notify_all();
        if result.is_err() {
            self.shared.fail();
        }
        result.map(|()| true)
    }

    fn run_one_job_and_keep_its_error(&self) {
        if let Err(error) = self.run_one_job() {
            lock(&self.jobs).error.get_or_insert(error);
        }
    }

    fn encode(&self, job: Job) -> Result<()> {
        if self.shared.has_failed() {
            return Err(self.shared.no_longer_open());
        }
        let Job { number, batches, mut reserved } = job;
        let encoding = &self.shared.encoding;
        let group = if encoding.by_column { None } else { encoding.row_group().ok() };
        let Some(mut group) = group else {
            return self.shared.append_in_order(number, encoding.encode_by_column(batches, reserved)?);
        };
        for batch in batches {
            let bytes = total_row_bytes(batch.columns()) as u64;
            group.write(encoding, &batch)?;
            drop(batch);
            reserved.shrink(bytes.min(reserved.bytes()));
        }
        drop(reserved);
        self.shared.append_in_order(number, group.finish(encoding)?)
    }

    /// Runs what waits and waits for what runs.
    fn run_all_jobs(&self) -> Result<()> {
        if let Some(error) = lock(&self.jobs).error.take() {
            return Err(error);
        }
        while self.run_one_job()? {}
        let mut jobs = lock(&self.jobs);
        while jobs.n_running > 0 {
            jobs = self.job_ended.wait(jobs).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        jobs.error.take().map_or(Ok(()), Err)
    }

    /// Encodes everything that is left.
    pub(super) fn finish(self: &Arc<Self>) -> Result<()> {
        if let Some(window) = self.window.get() {
            window.finish(|batch| self.add(&batch.data))?;
        }
        let mut open = lock(&self.open);
        open.join_waiting(&self.shared.encoding)?;
        let last = open.take(&self.memory);
        drop(open);
        lock(&self.jobs).waiting.push_back(last);
        self.run_all_jobs()
    }
}

impl OpenGroup {
    fn new(number: u64, memory: &Memory) -> Self {
        let reserved = memory.reserve("Output");
        OpenGroup { number, batches: Vec::new(), n_rows: 0, reserved, waiting: Vec::new(), piece_bytes: 0 }
    }

    fn waiting_rows(&self) -> usize {
        self.waiting.iter().map(RecordBatch::num_rows).sum()
    }

    /// Makes one batch of the slices that wait.
    fn join_waiting(&mut self, encoding: &Encoding) -> Result<()> {
        if !self.waiting.is_empty() {
            let piece = encoding.piece_of(&std::mem::take(&mut self.waiting))?;
            self.piece_bytes += value_bytes(&piece);
            self.add(piece);
        }
        Ok(())
    }

    fn add(&mut self, batch: RecordBatch) {
        self.n_rows += batch.num_rows();
        self.batches.push(batch);
    }

    /// Everything collected, with what it reserved.
    fn take(&mut self, memory: &Memory) -> Job {
        let next = OpenGroup::new(self.number + 1, memory);
        let OpenGroup { number, batches, reserved, .. } = std::mem::replace(self, next);
        Job { number, batches, reserved }
    }
}

/// What the rows of `batch` take themselves, whatever else is in its buffers.
fn value_bytes(batch: &RecordBatch) -> u64 {
    let of_column = |column: &ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_buffer_memory_size())
    };
    batch.columns().iter().map(of_column).sum::<usize>() as u64
}

/// One worker of an ordered output.
pub(super) struct OrderedSink {
    groups: Arc<OrderedGroups>,
    /// `None` where any order does.
    worker: Option<ReorderWorker<Batch>>,
}

impl OrderedSink {
    /// A worker whose batches may come in any order.
    pub(super) fn unordered(groups: Arc<OrderedGroups>) -> Self {
        OrderedSink { groups, worker: None }
    }

    pub(super) fn new(groups: Arc<OrderedGroups>, cx: &TaskContext) -> Self {
        let new = || ReorderWindow::new(&groups.memory, "Output", groups.window_bytes, cx.cancel.clone());
        let worker = groups.window.get_or_init(new).worker();
        OrderedSink { groups, worker: Some(worker) }
    }
}

impl LocalSink for OrderedSink {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let groups = &self.groups;
        if groups.shared.has_failed() {
            return Err(lock(&groups.jobs).error.take().unwrap_or_else(|| groups.shared.no_longer_open()));
        }
        let flow = match &mut self.worker {
            Some(worker) => worker.push(Placed::batch(batch), |batch| groups.add(&batch.data))?,
            None => groups.add(&batch.data)?,
        };
        groups.help()?;
        Ok(flow)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let OrderedSink { groups, worker } = *self;
        worker.map_or(Ok(()), |worker| worker.leave(|batch| groups.add(&batch.data)).map(|_| ()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
