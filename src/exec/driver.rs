//! The driver: runs the pipelines of a query one after the other, each on all workers.
//!
//! Memory: batches in flight, reserved per worker when a pipeline starts; if that is refused, fewer workers run.
//! The first error wins: it cancels the other workers, everything they hold is dropped, and it is what the caller gets. A
//! panic in an operator is such an error too, so the session outlives it. The exception is an error with a place in the
//! input: the steps after it are asked first, because a LIMIT may be reached before that place.
//!
//! The surprising part: every worker runs on its own thread of the pool (a broadcast and not a set of tasks), because a
//! worker that waits for another in a [`super::ReorderWindow`] must not lie on top of it on the same stack.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use rayon::ThreadPool;

use super::batch::Numbering;
use super::monitor::Stopwatch;
use super::{
    Batch, Flow, LocalSink, LocalSource, LocalTransform, Monitor, NodeIdx, Pipeline, Query, QueryContext, RunError,
    RunMetrics, Sink, Source, Step, TaskContext, Transform,
};
use crate::error::{Error, Result};
use crate::memory::Reservation;

/// Batches a worker has in flight at most: what its source, transforms and sink hold at one moment, with their scratch.
const BATCHES_PER_WORKER: u64 = 12;

/// Runs `query` on the threads of `pool`. `monitor` was made for this query and may be read meanwhile.
///
/// # Errors
/// The first error of any operator; [`crate::ErrorKind::Cancelled`] when `cx.cancel` was pulled. The query cannot be run
/// again, the session can go on.
pub fn run(query: &Query, cx: &QueryContext, pool: &ThreadPool, monitor: &Monitor) -> Result<RunMetrics> {
    let (metrics, done) = measure(query, cx, pool, monitor);
    done.map(|()| metrics)
}

/// The same as [`run`], with what a query took that failed.
pub fn measure(query: &Query, cx: &QueryContext, pool: &ThreadPool, monitor: &Monitor) -> (RunMetrics, Result<()>) {
    let process = super::metrics::ProcessClock::start();
    let done = run_pipelines(query, cx, pool, monitor);
    let mut metrics = RunMetrics::collect(monitor, cx, &process);
    metrics.error = done.as_ref().err().map(RunError::from);
    (metrics, done)
}

fn run_pipelines(query: &Query, cx: &QueryContext, pool: &ThreadPool, monitor: &Monitor) -> Result<()> {
    for (idx, pipeline) in query.pipelines.iter().enumerate() {
        monitor.enter_pipeline(idx);
        let is_last = idx + 1 == query.pipelines.len();
        let run = PipelineRun { pipeline, is_last, cx, pool: Some(pool), monitor, n_morsels: AtomicU64::new(0) };
        if let Err(error) = run.run() {
            cx.cancel.cancel();
            return Err(error);
        }
    }
    Ok(())
}

/// Runs `query` as a part of another one, on the threads that the caller runs on. Its figures are not kept.
///
/// # Errors
/// As [`run`].
pub fn run_within(query: &Query, cx: &QueryContext) -> Result<()> {
    let monitor = Monitor::new(query);
    for pipeline in &query.pipelines {
        let run =
            PipelineRun { pipeline, is_last: false, cx, pool: None, monitor: &monitor, n_morsels: AtomicU64::new(0) };
        run.run()?;
    }
    Ok(())
}

struct PipelineRun<'a> {
    pipeline: &'a Pipeline,
    /// Whether it ends in the output.
    is_last: bool,
    cx: &'a QueryContext,
    /// `None`: the pool of the calling thread.
    pool: Option<&'a ThreadPool>,
    monitor: &'a Monitor,
    /// Morsels that have passed, so that those of a remainder follow in the order.
    n_morsels: AtomicU64,
}

/// One worker's objects for one pass over a source.
struct Worker {
    source: Box<dyn LocalSource>,
    source_node: NodeIdx,
    transforms: Vec<LocalStep>,
    sink: Option<Box<dyn LocalSink>>,
    sink_node: NodeIdx,
    watch: Stopwatch,
    first_morsel: u64,
}

struct LocalStep {
    node: NodeIdx,
    role: Box<dyn LocalTransform>,
    made: Numbering,
}

impl PipelineRun<'_> {
    fn run(&self) -> Result<()> {
        let (n_workers, _in_flight) = self.reserve_batches()?;
        let transforms = &self.pipeline.transforms;
        self.pass(&self.pipeline.source, transforms, n_workers)?;
        for (idx, transform) in transforms.iter().enumerate() {
            let remainder = guarded(self.monitor, transform.node, || transform.role.remainder())?;
            if let Some(role) = remainder {
                self.pass(&Step { node: transform.node, role }, &transforms[idx + 1..], n_workers)?;
            }
        }
        self.check()?;
        if self.is_last {
            self.monitor.send_onlooker_away();
        }
        self.finish(&self.pipeline.sink, n_workers)
    }

    fn n_threads(&self) -> usize {
        self.pool.map_or_else(rayon::current_num_threads, ThreadPool::current_num_threads)
    }

    /// Runs `work` on a thread of the pool.
    fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Runs `work` on every thread of the pool.
    fn broadcast(&self, work: impl Fn(rayon::BroadcastContext<'_>) + Sync) {
        match self.pool {
            Some(pool) => pool.broadcast(work),
            None => rayon::broadcast(work),
        };
    }

    /// Whether to go on.
    fn check(&self) -> Result<()> {
        self.cx.memory.check_overrun()?;
        self.cx.cancel.check()
    }

    /// Workers that can run, and the reservation for their batches.
    fn reserve_batches(&self) -> Result<(usize, Reservation)> {
        let sizes = self.cx.memory.sizes();
        let mut n_workers = sizes.threads.min(self.n_threads()).max(1);
        let mut reservation = self.cx.memory.reserve("batches in flight");
        let per_worker = BATCHES_PER_WORKER * sizes.batch_bytes as u64;
        while let Err(refused) = reservation.try_grow(n_workers as u64 * per_worker) {
            if n_workers == 1 {
                return Err(refused.into());
            }
            n_workers -= 1;
        }
        Ok((n_workers, reservation))
    }

    /// Runs one source through `transforms` into the sink, on all workers.
    fn pass(&self, source: &Step<dyn Source>, transforms: &[Step<dyn Transform>], n_workers: usize) -> Result<()> {
        self.cx.cancel.check()?;
        // All local objects exist before the first worker runs: a reorder window must know how many there are.
        let workers = self.install(|| {
            let make = |worker_idx| self.make_worker(source, transforms, worker_idx, n_workers);
            guarded(self.monitor, source.node, || (0..n_workers).map(make).collect::<Result<Vec<_>>>())
        })?;
        let slots: Vec<_> = workers.into_iter().map(|worker| Mutex::new(Some(worker))).collect();
        let first_error: Mutex<Option<Error>> = Mutex::new(None);
        self.broadcast(|thread| {
            let Some(mut worker) = slots.get(thread.index()).and_then(|slot| lock(slot).take()) else { return };
            if let Err(error) = self.run_worker(&mut worker) {
                lock(&first_error).get_or_insert(error);
                self.cx.cancel.cancel();
            }
        });
        first_error.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).map_or(Ok(()), Err)
    }

    fn make_worker(
        &self,
        source: &Step<dyn Source>,
        transforms: &[Step<dyn Transform>],
        worker_idx: usize,
        n_workers: usize,
    ) -> Result<Worker> {
        let cx = self.task_context(worker_idx, n_workers);
        let sink = &self.pipeline.sink;
        Ok(Worker {
            source: source.role.local(&cx)?,
            source_node: source.node,
            transforms: transforms
                .iter()
                .map(|step| Ok(LocalStep { node: step.node, role: step.role.local(&cx)?, made: Numbering::default() }))
                .collect::<Result<_>>()?,
            sink: Some(sink.role.local(&cx)?),
            sink_node: sink.node,
            watch: Stopwatch::start(self.monitor, source.node),
            first_morsel: self.n_morsels.load(Ordering::Relaxed),
        })
    }

    fn task_context(&self, worker_idx: usize, n_workers: usize) -> TaskContext {
        let QueryContext { memory, pages, cancel } = self.cx.clone();
        TaskContext { memory, pages, cancel, worker_idx, n_workers }
    }

    fn run_worker(&self, worker: &mut Worker) -> Result<()> {
        worker.watch.restart();
        let run = catch_unwind(AssertUnwindSafe(|| {
            self.pull_all(worker)?;
            worker.flush()?;
            worker.combine()
        }));
        let node = worker.watch.running();
        worker.watch.switch(node);
        self.monitor.add(&mut worker.watch);
        run.unwrap_or_else(|panic| Err(internal_error(self.monitor, node, panic.as_ref())))
    }

    fn pull_all(&self, worker: &mut Worker) -> Result<()> {
        let mut end_of_morsels = 0;
        loop {
            self.check()?;
            let mut batch = match worker.source.next() {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    worker.settle(error.renumbered_from(worker.first_morsel))?;
                    break;
                }
            };
            batch.sequence.morsel += worker.first_morsel;
            end_of_morsels = batch.sequence.morsel + 1;
            worker.watch.made(worker.source_node, &batch);
            let flow = worker.push(batch)?;
            self.monitor.add(&mut worker.watch);
            if flow == Flow::Done {
                break;
            }
        }
        self.n_morsels.fetch_max(end_of_morsels, Ordering::Relaxed);
        Ok(())
    }

    fn finish(&self, sink: &Step<dyn Sink>, n_workers: usize) -> Result<()> {
        let mut watch = Stopwatch::start(self.monitor, sink.node);
        let cx = self.task_context(0, n_workers);
        let finished = self.install(|| guarded(self.monitor, sink.node, || sink.role.finish(&cx)));
        watch.switch(sink.node);
        self.monitor.add(&mut watch);
        finished
    }
}

impl Worker {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let Some(sink) = &mut self.sink else { return Ok(Flow::Done) };
        let mut end = End { sink: sink.as_mut(), node: self.sink_node };
        push_through(&mut self.transforms, &mut end, &mut self.watch, batch)
    }

    /// After an error of the source.
    fn settle(&mut self, error: Error) -> Result<()> {
        let Some(sink) = &mut self.sink else { return Err(error) };
        let mut end = End { sink: sink.as_mut(), node: self.sink_node };
        settle(&mut self.transforms, &mut end, &mut self.watch, error)
    }

    /// Flushes the transforms in order; what one emits goes through those after it.
    fn flush(&mut self) -> Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        let mut end = End { sink: sink.as_mut(), node: self.sink_node };
        let watch = &mut self.watch;
        let mut rest = &mut self.transforms[..];
        while let Some((step, after)) = rest.split_first_mut() {
            watch.switch(step.node);
            step.role.flush(&mut |mut batch| {
                step.made.number(&mut batch);
                watch.made(step.node, &batch);
                push_through(after, &mut end, watch, batch)
            })?;
            rest = after;
        }
        Ok(())
    }

    fn combine(&mut self) -> Result<()> {
        self.watch.switch(self.sink_node);
        self.sink.take().map_or(Ok(()), |sink| sink.combine())
    }
}

/// The end of a worker's chain.
struct End<'a> {
    sink: &'a mut dyn LocalSink,
    node: NodeIdx,
}

/// Hands `batch` to the first of `transforms`, what that emits to the next, and so on into the sink.
fn push_through(transforms: &mut [LocalStep], end: &mut End<'_>, watch: &mut Stopwatch, batch: Batch) -> Result<Flow> {
    let node = transforms.first().map_or(end.node, |step| step.node);
    watch.took(node, &batch);
    let caller = watch.switch(node);
    let flow = match transforms.split_first_mut() {
        None => end.sink.push(batch)?,
        Some((step, after)) => {
            let (morsel, mut failed_later) = (batch.sequence.morsel, false);
            let pushed = step.role.push(batch, &mut |mut out| {
                step.made.number(&mut out);
                watch.made(node, &out);
                push_through(after, end, watch, out).inspect_err(|_| failed_later = true)
            });
            match pushed {
                Err(error) if !failed_later => {
                    settle(after, end, watch, error.in_morsel(morsel))?;
                    Flow::Done
                }
                pushed => pushed?,
            }
        }
    };
    watch.switch(caller);
    Ok(flow)
}

/// Asks the steps behind the one that failed whether its error matters.
fn settle(after: &mut [LocalStep], end: &mut End<'_>, watch: &mut Stopwatch, error: Error) -> Result<()> {
    let (mut rest, mut error) = (after, error);
    while let Some((step, after)) = rest.split_first_mut() {
        watch.switch(step.node);
        let settled = step.role.settle(error, &mut |mut batch| {
            step.made.number(&mut batch);
            watch.made(step.node, &batch);
            push_through(after, end, watch, batch)
        })?;
        match settled {
            Some(unsettled) => error = unsettled,
            None => return Ok(()),
        }
        rest = after;
    }
    Err(error)
}

/// Runs `call` of an operator; a panic in it becomes an error.
fn guarded<T>(monitor: &Monitor, node: NodeIdx, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(internal_error(monitor, node, panic.as_ref())))
}

fn internal_error(monitor: &Monitor, node: NodeIdx, panic: &(dyn Any + Send)) -> Error {
    let said = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "no message",
    };
    let operator = monitor.nodes().get(node).map_or("the query", |node| node.name);
    Error::query(format!("internal error in {operator}: {said}"))
        .with_hint("this is a mistake in Brimful and not in your query: please report it with the query")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests;
