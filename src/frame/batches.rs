//! A result in pieces: an iterator over batches, while the query runs on threads of its own.
//!
//! Memory: the batches that were handed over and not taken yet, [`AHEAD`] at most, each under a reservation that ends when it
//! is taken; in order-keeping queries those that came too early besides, as with a file. A worker whose batch has no room
//! waits, so a slow reader slows the query down and nothing piles up.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::exec::{
    Batch, CancelToken, Flow, LocalSink, Placed, QueryContext, ReorderWindow, ReorderWorker, Sink, TaskContext,
};
use crate::memory::Reservation;

/// Batches that wait for the reader.
const AHEAD: usize = 2;

/// Batches a worker may be ahead of its turn.
const BATCHES_AHEAD: u64 = 4;

/// How often a waiting worker looks whether the query was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The rows of a query, a batch at a time; see [`crate::frame::LazyFrame::collect_batches`]. Dropping it ends the query.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [1, 2, 3])?.lazy();
/// let mut batches = rows.collect_batches()?;
/// let first = batches.next().unwrap()?;
/// assert_eq!(first.num_columns(), 1);
/// drop(batches); // ends the query
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchIter {
    schema: SchemaRef,
    exchange: Arc<Exchange>,
    cancel: CancelToken,
    query: Option<JoinHandle<Result<()>>>,
}

/// Where workers leave batches and the reader takes them.
pub(super) struct Exchange {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<(RecordBatch, Reservation)>,
    /// Nothing more will come, or nobody wants it.
    closed: bool,
}

impl Exchange {
    pub(super) fn new() -> Arc<Self> {
        let state = State { waiting: VecDeque::new(), closed: false };
        Arc::new(Exchange { state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match self.changed.wait_timeout(state, LOOK_EVERY) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// Leaves a batch for the reader; waits until there is room.
    fn put(&self, batch: RecordBatch, cx: &Waiting) -> Result<Flow> {
        if batch.num_rows() == 0 {
            return Ok(Flow::More);
        }
        let mut reservation = cx.memory.reserve("Output");
        reservation.try_grow(batch.get_array_memory_size() as u64)?;
        let mut state = self.lock();
        while state.waiting.len() >= AHEAD && !state.closed {
            cx.cancel.check()?;
            state = self.wait(state);
        }
        if state.closed {
            return Ok(Flow::Done);
        }
        state.waiting.push_back((batch, reservation));
        drop(state);
        self.changed.notify_all();
        Ok(Flow::More)
    }

    /// The next batch; `None` when no more will come.
    fn take(&self) -> Option<RecordBatch> {
        let mut state = self.lock();
        loop {
            if let Some((batch, _)) = state.waiting.pop_front() {
                self.changed.notify_all();
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.wait(state);
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// What a worker that waits has to know.
#[derive(Clone)]
struct Waiting {
    memory: crate::memory::Memory,
    cancel: CancelToken,
}

/// The sink that leaves batches for the reader.
pub(super) struct ExchangeSink {
    exchange: Arc<Exchange>,
    window: Option<Arc<ReorderWindow<RecordBatch>>>,
    waiting: Waiting,
}

struct LocalExchange {
    exchange: Arc<Exchange>,
    window: Option<ReorderWorker<RecordBatch>>,
    waiting: Waiting,
}

impl ExchangeSink {
    pub(super) fn new(exchange: Arc<Exchange>, ordered: bool, cx: &QueryContext) -> Self {
        let sizes = cx.memory.sizes();
        let limit_bytes = BATCHES_AHEAD * (sizes.threads * sizes.batch_bytes) as u64;
        let window = ordered.then(|| ReorderWindow::new(&cx.memory, "Output", limit_bytes, cx.cancel.clone()));
        ExchangeSink { exchange, window, waiting: Waiting { memory: cx.memory.clone(), cancel: cx.cancel.clone() } }
    }
}

impl Sink for ExchangeSink {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let window = self.window.as_ref().map(ReorderWindow::worker);
        Ok(Box::new(LocalExchange { exchange: self.exchange.clone(), window, waiting: self.waiting.clone() }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        match &self.window {
            Some(window) => window.finish(|batch| self.exchange.put(batch, &self.waiting)),
            None => Ok(()),
        }
    }
}

impl LocalSink for LocalExchange {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let LocalExchange { exchange, window, waiting } = self;
        match window {
            None => exchange.put(batch.data, waiting),
            Some(window) => {
                let Placed { morsel, last_of_morsel, bytes, item } = Placed::batch(batch);
                let placed = Placed { morsel, last_of_morsel, bytes, item: item.data };
                window.push(placed, |batch| exchange.put(batch, waiting))
            }
        }
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let LocalExchange { exchange, window, waiting } = *self;
        match window {
            Some(window) => window.leave(|batch| exchange.put(batch, &waiting)).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl BatchIter {
    /// Begins a query; `run` closes the exchange when it has ended.
    pub(super) fn start(
        schema: SchemaRef,
        exchange: Arc<Exchange>,
        cancel: CancelToken,
        run: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let closing = exchange.clone();
        let query = std::thread::Builder::new().name("brimful-batches".into()).spawn(move || {
            let _closed = CloseOnDrop(closing);
            run()
        });
        let query = query.map_err(|error| Error::query(format!("cannot start a thread: {error}")))?;
        Ok(BatchIter { schema, exchange, cancel, query: Some(query) })
    }

    /// The columns of the batches.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2])?.lazy();
    /// let batches = rows.collect_batches()?;
    /// assert_eq!(batches.schema().field(0).name(), "n");
    /// assert_eq!(batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn join(&mut self) -> Option<Result<RecordBatch>> {
        match self.query.take()?.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(_) => Some(Err(Error::query("the query failed unexpectedly; this is a bug"))),
        }
    }
}

/// The reader must not wait for a query that is gone.
struct CloseOnDrop(Arc<Exchange>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Iterator for BatchIter {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.exchange.take() {
            Some(batch) => Some(Ok(batch)),
            None => self.join(),
        }
    }
}

impl Drop for BatchIter {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.exchange.close();
        if let Some(query) = self.query.take() {
            // What a query that nobody wants has to say matters to nobody.
            let _ = query.join();
        }
    }
}
