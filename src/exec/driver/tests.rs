//! The driver with small roles: what runs, what is counted, and how it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use super::super::{Emit, Node};
use super::*;
use crate::ErrorKind;
use crate::memory::{BlockId, Memory, PagePool, PageStore};

struct NoDisk;

impl PageStore for NoDisk {
    fn write(&self, _stream: u64, _raw: &[u8]) -> Result<(BlockId, u64)> {
        Err(Error::disk("there is none"))
    }
    fn read(&self, _block: BlockId, _into: &mut [u8]) -> Result<()> {
        Err(Error::disk("there is none"))
    }
    fn free(&self, _block: BlockId) {}
}

fn context(governed: u64, threads: usize) -> (QueryContext, ThreadPool) {
    let memory = Memory::with_governed(governed, threads);
    let pages = PagePool::new(memory.clone(), Arc::new(NoDisk)).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    (QueryContext { memory, pages, cancel: Default::default() }, pool)
}

/// `n_morsels` batches, each the one number of its morsel plus `first`.
struct Numbers {
    first: i64,
    n_morsels: u64,
    next: Arc<AtomicU64>,
}

fn numbers(first: i64, n_morsels: u64) -> Arc<Numbers> {
    Arc::new(Numbers { first, n_morsels, next: Arc::default() })
}

impl Source for Numbers {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(Numbers { first: self.first, n_morsels: self.n_morsels, next: self.next.clone() }))
    }
}

impl LocalSource for Numbers {
    fn next(&mut self) -> Result<Option<Batch>> {
        let morsel = self.next.fetch_add(1, Ordering::Relaxed);
        if morsel >= self.n_morsels {
            return Ok(None);
        }
        let column = Int64Array::from(vec![self.first + morsel as i64]);
        let mut batch = Batch::only(RecordBatch::try_from_iter([("n", Arc::new(column) as _)])?);
        batch.sequence.morsel = morsel;
        Ok(Some(batch))
    }
}

/// What a step does when it sees `at`; all else is passed on.
#[derive(Clone)]
struct On {
    at: i64,
    act: Act,
    remainder: Option<Arc<Numbers>>,
}

#[derive(Clone, Copy)]
enum Act {
    Pass,
    Twice,
    Stop,
    Fail,
    Panic,
}

fn on(at: i64, act: Act) -> On {
    On { at, act, remainder: None }
}

fn value(batch: &Batch) -> i64 {
    batch.data.column(0).as_primitive::<Int64Type>().value(0)
}

impl Transform for On {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(self.clone()))
    }
    fn remainder(&self) -> Result<Option<Arc<dyn Source>>> {
        Ok(self.remainder.clone().map(|source| source as _))
    }
}

impl LocalTransform for On {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        if value(&batch) != self.at {
            return emit(batch);
        }
        match self.act {
            Act::Pass => emit(batch),
            Act::Twice => {
                emit(batch.clone())?;
                emit(batch)
            }
            Act::Stop => Ok(Flow::Done),
            Act::Fail => Err(Error::data("a bad value")),
            Act::Panic => panic!("a bug"),
        }
    }
}

/// Collects values with their morsels.
#[derive(Clone, Default)]
struct Collect {
    rows: Arc<Mutex<Vec<(u64, i64)>>>,
    n_combined: Arc<AtomicU64>,
    finished: Arc<AtomicBool>,
}

impl Sink for Collect {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(self.clone()))
    }
    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        assert!(!self.finished.swap(true, Ordering::Relaxed), "finish comes once");
        Ok(())
    }
}

impl LocalSink for Collect {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        lock(&self.rows).push((batch.sequence.morsel, value(&batch)));
        Ok(Flow::More)
    }
    fn combine(self: Box<Self>) -> Result<()> {
        self.n_combined.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn query(source: Arc<Numbers>, steps: Vec<On>, sink: &Collect) -> Query {
    let node = |name, idx: usize| Node {
        name,
        detail: String::new(),
        inputs: idx.checked_sub(1).into_iter().collect(),
        report: None,
    };
    let mut nodes = vec![node("Scan", 0)];
    nodes.extend((1..=steps.len()).map(|idx| node("Step", idx)));
    nodes.push(node("Output", nodes.len()));
    let pipeline = Pipeline {
        source: Step { node: 0, role: source },
        sink: Step { node: steps.len() + 1, role: Arc::new(sink.clone()) },
        transforms: (1..).zip(steps).map(|(node, step)| Step { node, role: Arc::new(step) as _ }).collect(),
    };
    Query { nodes, pipelines: vec![pipeline], labels: vec![] }
}

fn run_on(steps: Vec<On>, sink: &Collect, threads: usize) -> Result<RunMetrics> {
    let (cx, pool) = context(64 << 20, threads);
    let query = query(numbers(0, 100), steps, sink);
    let result = run(&query, &cx, &pool, &Monitor::new(&query));
    assert_eq!(cx.memory.reserved_bytes(), 0, "everything is given back");
    result
}

fn sorted_rows(sink: &Collect) -> Vec<(u64, i64)> {
    let mut rows = lock(&sink.rows).clone();
    rows.sort_unstable();
    rows
}

#[test]
fn every_row_passes_once_and_is_counted_at_every_node() {
    for threads in [1, 2, 8] {
        let sink = Collect::default();
        let metrics = run_on(vec![on(5, Act::Twice), on(5, Act::Pass)], &sink, threads).unwrap();
        assert_eq!(sorted_rows(&sink).len(), 101);
        assert_eq!(sink.n_combined.load(Ordering::Relaxed), threads as u64);
        assert!(sink.finished.load(Ordering::Relaxed));
        let rows: Vec<_> = metrics.operators.iter().map(|node| (node.rows_in, node.rows_out)).collect();
        assert_eq!(rows, [(0, 100), (100, 101), (101, 101), (101, 0)]);
        assert_eq!((metrics.rows_in, metrics.rows_out, metrics.threads), (100, 101, threads));
    }
}

#[test]
fn done_stops_the_source_and_the_sink_still_finishes() {
    let sink = Collect::default();
    run_on(vec![on(3, Act::Stop)], &sink, 1).unwrap();
    assert_eq!(sorted_rows(&sink), [(0, 0), (1, 1), (2, 2)]);
    assert!(sink.finished.load(Ordering::Relaxed));
}

#[test]
fn the_first_error_wins_and_the_sink_does_not_finish() {
    for threads in [1, 4] {
        let sink = Collect::default();
        let error = run_on(vec![on(30, Act::Fail)], &sink, threads).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "a bad value"));
        assert!(!sink.finished.load(Ordering::Relaxed));
    }
}

#[test]
fn a_panic_is_an_error_that_names_the_operator_and_the_pool_lives_on() {
    let (cx, pool) = context(64 << 20, 2);
    let sink = Collect::default();
    let panics = query(numbers(0, 100), vec![on(30, Act::Panic)], &sink);
    let error = run(&panics, &cx, &pool, &Monitor::new(&panics)).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Query, "internal error in Step: a bug"));
    let again = query(numbers(0, 100), vec![], &sink);
    let cx = QueryContext { cancel: Default::default(), ..cx };
    run(&again, &cx, &pool, &Monitor::new(&again)).unwrap();
}

#[test]
fn a_remainder_goes_through_the_rest_of_the_chain_and_follows_in_order() {
    for threads in [1, 3] {
        let sink = Collect::default();
        let first = On { remainder: Some(numbers(1000, 2)), ..on(0, Act::Pass) };
        run_on(vec![first, on(1000, Act::Twice)], &sink, threads).unwrap();
        assert_eq!(sorted_rows(&sink)[99..], [(99, 99), (100, 1000), (100, 1000), (101, 1001)]);
    }
}

#[test]
fn a_cancelled_query_ends_with_its_own_kind() {
    let (cx, pool) = context(64 << 20, 2);
    cx.cancel.cancel();
    let query = query(numbers(0, u64::MAX), vec![], &Collect::default());
    let error = run(&query, &cx, &pool, &Monitor::new(&query)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn with_little_memory_fewer_workers_run_and_with_none_it_is_a_budget_error() {
    for (available_workers, expected) in [(2, Ok(2)), (1, Ok(1)), (0, Err(ErrorKind::Budget))] {
        let (cx, pool) = context(64 << 20, 4);
        let per_worker = BATCHES_PER_WORKER * cx.memory.sizes().batch_bytes as u64;
        let mut other = cx.memory.reserve("something else");
        other.try_grow(cx.memory.governed_bytes() - available_workers * per_worker - (64 << 10)).unwrap();
        let sink = Collect::default();
        let query = query(numbers(0, 10), vec![], &sink);
        let result = run(&query, &cx, &pool, &Monitor::new(&query)).map_err(|error| error.kind());
        assert_eq!(result.map(|_| sink.n_combined.load(Ordering::Relaxed)), expected);
    }
}

#[test]
fn an_overrun_of_the_budget_fails_the_query() {
    let (cx, pool) = context(64 << 20, 2);
    cx.memory.set_overrun(900 << 20);
    let query = query(numbers(0, 3), vec![on(1, Act::Pass)], &Collect::default());
    let error = run(&query, &cx, &pool, &Monitor::new(&query)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(error.message().contains("grow to 900 MiB, over the budget of 64 MiB"), "{error}");
}
