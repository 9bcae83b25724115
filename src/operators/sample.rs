//! Rows chosen at random, in front of an output.
//!
//! A row is chosen by a hash of the seed and of its number in the input, so the same seed gives the same rows at any budget
//! and any number of threads. Workers bring their batches back into the order of the input first, since only there a row
//! has a number; choosing then costs a few instructions a row.
//!
//! Memory: a window of a few batches a worker. A part of the rows streams. A number of rows is held until the end, twice
//! while it is made smaller, under a reservation: what does not fit the budget is an error that names a part instead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};

use crate::error::{Error, Result};
use crate::exec::{
    Batch, Flow, LocalSink, Placed, QueryContext, ReorderWindow, ReorderWorker, Sequence, Sink, TaskContext,
};
use crate::memory::Reservation;

/// Batches a worker may be ahead of its turn.
const BATCHES_AHEAD: u64 = 4;

/// What a row is chosen by, from its number and the seed: the rows with the smallest ranks, or those below a share of all
/// numbers. All samples use this one, so that a seed means the same rows to a frame, a pipeline, a query and a command.
pub fn rank(row: u64, seed: u64) -> u64 {
    mix(row ^ mix(seed))
}

/// Candidates beyond twice the wanted rows before the ones with the largest hashes are dropped.
const SLACK_ROWS: usize = 4096;

/// How many rows are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// So many, or all when there are fewer.
    Rows(usize),
    /// Each with this probability.
    Fraction(f64),
}

/// Hands the chosen rows to another sink, in the order of the input.
pub struct SampleSink {
    window: Arc<ReorderWindow<Batch>>,
    chooser: Arc<Mutex<Chooser>>,
    output: Arc<dyn Sink>,
}

struct LocalSample {
    worker: ReorderWorker<Batch>,
    chooser: Arc<Mutex<Chooser>>,
}

/// What is chosen so far.
struct Chooser {
    choice: Choice,
    seed: u64,
    /// The number of the next row.
    next_row: u64,
    /// Rows with a hash of at most this are chosen; `None` when no row is.
    most: Option<u64>,
    kept: Vec<RecordBatch>,
    /// The hashes of the kept rows, for [`Choice::Rows`].
    hashes: Vec<u64>,
    n_kept: usize,
    reservation: Reservation,
    output: Option<Box<dyn LocalSink>>,
    n_sent: u64,
    batch_bytes: u64,
}

impl SampleSink {
    /// Chooses from the rows it is given for `output`.
    pub fn new(choice: Choice, seed: u64, output: Arc<dyn Sink>, cx: &QueryContext) -> Self {
        let sizes = cx.memory.sizes();
        let ahead = BATCHES_AHEAD * (sizes.threads * sizes.batch_bytes) as u64;
        let chooser = Chooser {
            choice,
            seed: mix(seed),
            next_row: 0,
            most: match choice {
                Choice::Rows(0) => None,
                Choice::Rows(_) => Some(u64::MAX),
                Choice::Fraction(part) if part <= 0.0 => None,
                // The cast saturates.
                Choice::Fraction(part) => Some((part * 2f64.powi(64)) as u64),
            },
            kept: Vec::new(),
            hashes: Vec::new(),
            n_kept: 0,
            reservation: cx.memory.reserve("Sample"),
            output: None,
            n_sent: 0,
            batch_bytes: sizes.batch_bytes as u64,
        };
        let window = ReorderWindow::new(&cx.memory, "Sample", ahead, cx.cancel.clone());
        SampleSink { window, chooser: Arc::new(Mutex::new(chooser)), output }
    }
}

impl Sink for SampleSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let mut chooser = lock(&self.chooser);
        if chooser.output.is_none() {
            // Whoever's turn it is writes; to the output that is one worker.
            chooser.output = Some(self.output.local(&TaskContext { worker_idx: 0, n_workers: 1, ..cx.clone() })?);
        }
        Ok(Box::new(LocalSample { worker: self.window.worker(), chooser: self.chooser.clone() }))
    }

    fn finish(&self, cx: &TaskContext) -> Result<()> {
        self.window.finish(|batch| lock(&self.chooser).push(&batch.data))?;
        let output = {
            let mut chooser = lock(&self.chooser);
            chooser.drop_surplus()?;
            chooser.send()?;
            chooser.output.take()
        };
        output.map_or(Ok(()), |output| output.combine())?;
        self.output.finish(cx)
    }
}

impl LocalSink for LocalSample {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let chooser = &self.chooser;
        self.worker.push(Placed::batch(batch), |batch| lock(chooser).push(&batch.data))
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let LocalSample { worker, chooser } = *self;
        worker.leave(|batch| lock(&chooser).push(&batch.data)).map(|_| ())
    }
}

impl Chooser {
    /// Takes the next rows of the input.
    fn push(&mut self, rows: &RecordBatch) -> Result<Flow> {
        let first = self.next_row;
        self.next_row += rows.num_rows() as u64;
        let Some(most) = self.most else { return Ok(Flow::Done) };
        let hashes: Vec<u64> = (first..self.next_row).map(|row| mix(row ^ self.seed)).collect();
        let chosen = BooleanArray::from_iter(hashes.iter().map(|hash| Some(*hash <= most)));
        if chosen.true_count() == 0 {
            return Ok(Flow::More);
        }
        let rows = filter_record_batch(rows, &chosen)?;
        self.keep(rows)?;
        match self.choice {
            Choice::Rows(n_rows) => {
                self.hashes.extend(hashes.iter().filter(|hash| **hash <= most));
                if self.n_kept > n_rows.saturating_mul(2).saturating_add(SLACK_ROWS) {
                    self.drop_surplus()?;
                }
                Ok(Flow::More)
            }
            Choice::Fraction(_) if self.reservation.bytes() >= self.batch_bytes => self.send(),
            Choice::Fraction(_) => Ok(Flow::More),
        }
    }

    fn keep(&mut self, rows: RecordBatch) -> Result<()> {
        // Its hash takes eight bytes, and twice that while the list of them grows.
        self.reserve((rows.get_array_memory_size() + 16 * rows.num_rows()) as u64)?;
        self.n_kept += rows.num_rows();
        self.kept.push(rows);
        Ok(())
    }

    fn reserve(&mut self, bytes: u64) -> Result<()> {
        self.reservation.try_grow(bytes).map_err(|refused| match self.choice {
            Choice::Rows(n_rows) => {
                Error::budget(format!("a sample of {n_rows} rows does not fit into the memory budget"))
                    .with_hint("a part of the rows needs no memory: --fraction 0.01; or raise --memory-budget")
            }
            Choice::Fraction(_) => refused.into(),
        })
    }

    /// Drops the rows with the largest hashes when there are more than wanted.
    fn drop_surplus(&mut self) -> Result<()> {
        let Choice::Rows(n_rows) = self.choice else { return Ok(()) };
        if self.n_kept <= n_rows || n_rows == 0 {
            return Ok(());
        }
        let mut sorted = self.hashes.clone();
        let (_, most, _) = sorted.select_nth_unstable(n_rows - 1);
        let most = *most;
        let held = self.reservation.bytes();
        self.reserve(held)?;
        let whole = self.take_kept()?;
        let stays = BooleanArray::from_iter(self.hashes.iter().map(|hash| Some(*hash <= most)));
        let rows = filter_record_batch(&whole, &stays)?;
        drop(whole);
        self.hashes.retain(|hash| *hash <= most);
        self.most = Some(most);
        self.reservation.shrink(self.reservation.bytes());
        self.keep(rows)
    }

    /// All kept rows as one batch.
    fn take_kept(&mut self) -> Result<RecordBatch> {
        let kept = std::mem::take(&mut self.kept);
        self.n_kept = 0;
        let schema =
            kept.first().map(RecordBatch::schema).unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
        Ok(concat_batches(&schema, &kept)?)
    }

    /// Hands the kept rows on.
    fn send(&mut self) -> Result<Flow> {
        let mut flow = Flow::More;
        let Some(output) = &mut self.output else { return Ok(Flow::Done) };
        for data in std::mem::take(&mut self.kept) {
            if flow == Flow::More {
                let sequence = Sequence { morsel: self.n_sent, batch: 0 };
                self.n_sent += 1;
                flow = output.push(Batch { data, sequence, last_of_morsel: true })?;
            }
        }
        self.n_kept = 0;
        self.reservation.shrink(self.reservation.bytes());
        Ok(flow)
    }
}

/// A bijection that scatters neighbouring numbers over all 64 bits (the finalizer of splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn lock(chooser: &Mutex<Chooser>) -> MutexGuard<'_, Chooser> {
    chooser.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use crate::operators::trial::Trial;

    /// Keeps what it is given.
    #[derive(Clone, Default)]
    struct Gathered(Arc<Mutex<Vec<i64>>>);

    impl Sink for Gathered {
        fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
            Ok(Box::new(self.clone()))
        }

        fn finish(&self, _cx: &TaskContext) -> Result<()> {
            Ok(())
        }
    }

    impl LocalSink for Gathered {
        fn push(&mut self, batch: Batch) -> Result<Flow> {
            self.0.lock().unwrap().extend(batch.data.column(0).as_primitive::<Int64Type>().values());
            Ok(Flow::More)
        }

        fn combine(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    /// The sample of the numbers below `n_rows`, in batches of `batch_rows`.
    fn sample(choice: Choice, seed: u64, n_rows: usize, batch_rows: usize, threads: usize) -> Result<Vec<i64>> {
        let trial = Trial::new(16 << 20, threads);
        let cx = trial.context();
        let gathered = Gathered::default();
        let sink = SampleSink::new(choice, seed, Arc::new(gathered.clone()), &cx);
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let starts: Vec<usize> = (0..n_rows).step_by(batch_rows).collect();
        let waiting = Mutex::new(starts.into_iter().enumerate());
        let n_workers = trial.task(&cx, 0).n_workers;
        let locals: Vec<_> = (0..n_workers).map(|idx| sink.local(&trial.task(&cx, idx))).collect::<Result<_>>()?;
        let work = |mut local: Box<dyn LocalSink>| -> Result<()> {
            loop {
                let Some((morsel, start)) = waiting.lock().unwrap().next() else { break };
                let values = (start..n_rows.min(start + batch_rows)).map(|value| value as i64);
                let data = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from_iter_values(values))])?;
                let sequence = Sequence { morsel: morsel as u64, batch: 0 };
                local.push(Batch { data, sequence, last_of_morsel: true })?;
            }
            local.combine()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = locals.into_iter().map(|local| scope.spawn(|| work(local))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).fold(Ok(()), Result::and)
        })?;
        sink.finish(&trial.task(&cx, 0))?;
        let rows = gathered.0.lock().unwrap().clone();
        assert!(rows.is_sorted(), "rows come in the order of the input");
        Ok(rows)
    }

    #[test]
    fn a_seed_gives_the_same_rows_at_any_batch_and_threads() {
        for choice in [Choice::Rows(100), Choice::Fraction(0.01), Choice::Rows(20_000)] {
            let expected = sample(choice, 7, 30_000, 30_000, 1).unwrap();
            for (batch_rows, threads) in [(1000, 1), (77, 2), (4096, 8)] {
                assert_eq!(sample(choice, 7, 30_000, batch_rows, threads).unwrap(), expected, "{choice:?}");
            }
            assert_ne!(sample(choice, 8, 30_000, 1000, 2).unwrap(), expected, "another seed, other rows");
        }
    }

    #[test]
    fn there_are_as_many_rows_as_asked_for() {
        let n = |choice, n_rows| sample(choice, 1, n_rows, 100, 2).unwrap().len();
        assert_eq!(n(Choice::Rows(0), 1000), 0);
        assert_eq!(n(Choice::Rows(10), 1000), 10);
        assert_eq!(n(Choice::Rows(10), 7), 7);
        assert_eq!(n(Choice::Rows(10), 0), 0);
        assert_eq!(n(Choice::Rows(usize::MAX), 1000), 1000);
        assert_eq!(n(Choice::Fraction(0.0), 1000), 0);
        assert_eq!(n(Choice::Fraction(1.0), 1000), 1000);
        let half = n(Choice::Fraction(0.5), 100_000);
        assert!((49_000..51_000).contains(&half), "{half}");
    }

    #[test]
    fn every_row_has_the_same_chance() {
        let mut per_tenth = [0; 10];
        for seed in 0..200 {
            for row in sample(Choice::Rows(50), seed, 1000, 250, 1).unwrap() {
                per_tenth[row as usize / 100] += 1;
            }
        }
        assert!(per_tenth.iter().all(|n| (850..1150).contains(n)), "{per_tenth:?}");
    }

    #[test]
    fn too_many_rows_for_the_budget_are_an_error_that_says_what_to_do() {
        let error = sample(Choice::Rows(10_000_000), 1, 3_000_000, 8192, 2).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Budget);
        assert!(error.hint().unwrap().contains("--fraction"), "{error}");
    }
}
