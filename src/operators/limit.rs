//! LIMIT and OFFSET, and the numbers of rows, which are found in the same way.
//!
//! Memory: while a worker does not know yet how many rows come before its batch, it holds the batch back, at most
//! [`HELD_BATCHES`] full batches a worker, then it waits.
//!
//! Over an input in file order the result is the first rows in file order at any thread count. The rule: a batch's first
//! row is known once every earlier morsel has been counted to its end. Counting happens when a batch arrives and not when
//! it leaves, so workers wait for each other's counts only, and the worker with the earliest morsel never waits. A worker
//! stops as soon as the rows counted before its batch, complete or not, reach the limit: it can only get later morsels.
//! Over an input without an order any rows do, and nobody waits.
//!
//! An error in the input has a place like a batch: its worker waits until that place is known, and the error does not
//! matter when the limit is reached before it. So the answer does not depend on how far other workers have read ahead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::exec::{Batch, CancelToken, Emit, Flow, LocalTransform, TaskContext, Transform};

/// How many full batches a worker may hold back. Few, since workers seldom are more than a morsel apart.
const HELD_BATCHES: usize = 4;

/// How many morsels a worker may be ahead of the earliest unfinished one, so that the counts stay few.
const MORSELS_AHEAD: u64 = 4096;

/// How long a waiting worker sleeps before it looks whether the query was cancelled.
const WAIT: Duration = Duration::from_millis(20);

/// `OFFSET offset LIMIT fetch`.
pub struct Limit {
    window: Window,
    order: Order,
}

/// Rows `first..end` of the input.
#[derive(Debug, Clone)]
struct Window {
    first: u64,
    end: u64,
    /// With the number of each row as another column, the last of this schema.
    numbered: Option<SchemaRef>,
}

/// Whether the input has an order to keep, and who counts.
enum Order {
    Kept(Arc<Tally>),
    Any(Arc<AtomicU64>),
}

impl Limit {
    /// Keeps `fetch` rows after the first `offset`. With `in_order` the input must have dense morsel numbers.
    pub fn new(offset: u64, fetch: Option<u64>, in_order: bool) -> Self {
        let end = fetch.map_or(u64::MAX, |fetch| offset.saturating_add(fetch));
        Self::of(Window { first: offset, end, numbered: None }, in_order)
    }

    /// Keeps all rows, each with its number from 0 as one more column of 64 bits without sign: the last of `schema`.
    pub fn numbering(schema: SchemaRef, in_order: bool) -> Self {
        Self::of(Window { first: 0, end: u64::MAX, numbered: Some(schema) }, in_order)
    }

    fn of(window: Window, in_order: bool) -> Self {
        let order = if in_order { Order::Kept(Arc::default()) } else { Order::Any(Arc::default()) };
        Limit { window, order }
    }
}

impl Transform for Limit {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(match &self.order {
            Order::Any(seen) => Box::new(AnyRows { window: self.window.clone(), seen: seen.clone() }),
            Order::Kept(tally) => Box::new(FirstRows {
                window: self.window.clone(),
                tally: tally.clone(),
                cancel: cx.cancel.clone(),
                held: VecDeque::new(),
                held_bytes: 0,
                max_held_bytes: HELD_BATCHES * cx.sizes().batch_bytes,
                unfinished: None,
            }),
        })
    }
}

impl Window {
    /// The part of `batch` inside the window when its first row is row number `start` of the input.
    fn cut(&self, batch: Batch, start: u64) -> Result<Batch> {
        if let Some(schema) = &self.numbered {
            let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(start..start + batch.n_rows() as u64));
            let columns = batch.data.columns().iter().cloned().chain([numbers]).collect();
            return Ok(batch.with_data(RecordBatch::try_new(schema.clone(), columns)?));
        }
        let n_rows = batch.n_rows() as u64;
        let from = self.first.clamp(start, start + n_rows) - start;
        let to = self.end.clamp(start, start + n_rows) - start;
        let mut kept = match to.saturating_sub(from) {
            n if n == n_rows => batch,
            n => batch.with_data(batch.data.slice(from as usize, n as usize)),
        };
        // Nothing follows the batch that reaches the end, so its morsel ends with it.
        kept.last_of_morsel |= start + n_rows >= self.end;
        Ok(kept)
    }
}

/// A worker's side when any rows do.
struct AnyRows {
    window: Window,
    seen: Arc<AtomicU64>,
}

impl LocalTransform for AnyRows {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let n_rows = batch.n_rows() as u64;
        let start = self.seen.fetch_add(n_rows, Ordering::Relaxed);
        if start >= self.window.end {
            return Ok(Flow::Done);
        }
        let kept = self.window.cut(batch, start)?;
        let flow = if kept.n_rows() > 0 { emit(kept)? } else { Flow::More };
        Ok(if start + n_rows >= self.window.end { Flow::Done } else { flow })
    }

    fn settle(&mut self, error: Error, _emit: &mut Emit<'_>) -> Result<Option<Error>> {
        Ok((self.seen.load(Ordering::Relaxed) < self.window.end).then_some(error))
    }
}

/// Rows counted so far, by morsel. Shared by all workers.
#[derive(Default)]
struct Tally {
    counts: Mutex<Counts>,
    changed: Condvar,
}

struct Counts {
    /// Morsels that are not complete, whose predecessors are not, or whose rows are still held.
    morsels: BTreeMap<u64, MorselCount>,
    /// All morsels below this one are counted to their end.
    n_complete: u64,
    /// Rows of those.
    rows_complete: u64,
    /// Morsels from this one on will not be counted to their end, and nobody wants what comes after it.
    abandoned_from: u64,
}

#[derive(Default, Clone, Copy)]
struct MorselCount {
    n_rows: u64,
    complete: bool,
    /// Rows of all morsels before it; set once it is complete and they are.
    start: u64,
}

/// What is known of the number of rows before a morsel.
enum Start {
    Exactly(u64),
    AtLeast(u64),
}

impl Default for Counts {
    fn default() -> Self {
        Counts { morsels: BTreeMap::new(), n_complete: 0, rows_complete: 0, abandoned_from: u64::MAX }
    }
}

impl Counts {
    fn start_of(&self, morsel: u64) -> Start {
        if morsel > self.n_complete {
            let between = self.morsels.range(self.n_complete..morsel).map(|(_, count)| count.n_rows);
            return Start::AtLeast(self.rows_complete + between.sum::<u64>());
        }
        match self.morsels.get(&morsel).filter(|_| morsel < self.n_complete) {
            Some(count) => Start::Exactly(count.start),
            None => Start::Exactly(self.rows_complete),
        }
    }

    fn advance(&mut self) {
        while let Some(morsel) = self.morsels.get_mut(&self.n_complete).filter(|morsel| morsel.complete) {
            morsel.start = self.rows_complete;
            self.rows_complete += morsel.n_rows;
            self.n_complete += 1;
        }
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a batch; returns the rows of its morsel before it, and of the whole input at least.
    fn count(&self, batch: &Batch) -> (u64, u64) {
        let mut counts = self.lock();
        let (Start::Exactly(rows) | Start::AtLeast(rows)) = counts.start_of(batch.sequence.morsel);
        let morsel = counts.morsels.entry(batch.sequence.morsel).or_default();
        let before_in_morsel = morsel.n_rows;
        morsel.n_rows += batch.n_rows() as u64;
        morsel.complete |= batch.last_of_morsel;
        counts.advance();
        drop(counts);
        self.changed.notify_all();
        (before_in_morsel, rows + before_in_morsel)
    }

    /// Waits for a change, but not for long.
    fn wait<'a>(&self, counts: MutexGuard<'a, Counts>) -> MutexGuard<'a, Counts> {
        match self.changed.wait_timeout(counts, WAIT) {
            Ok((counts, _)) => counts,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    fn abandon(&self, morsel: u64) {
        let mut counts = self.lock();
        counts.abandoned_from = counts.abandoned_from.min(morsel);
        drop(counts);
        self.changed.notify_all();
    }

    fn forget(&self, morsel: u64) {
        self.lock().morsels.remove(&morsel);
    }
}

/// A batch whose first row is not known yet.
struct Held {
    batch: Batch,
    before_in_morsel: u64,
    bytes: usize,
}

/// A worker's side when the first rows are wanted.
struct FirstRows {
    window: Window,
    tally: Arc<Tally>,
    cancel: CancelToken,
    held: VecDeque<Held>,
    held_bytes: usize,
    max_held_bytes: usize,
    /// The morsel this worker is in, while others may wait for its count.
    unfinished: Option<u64>,
}

impl LocalTransform for FirstRows {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        self.unfinished = (!batch.last_of_morsel).then_some(batch.sequence.morsel);
        let (before_in_morsel, at_least) = self.tally.count(&batch);
        if at_least >= self.window.end {
            // This batch and all later ones of this worker are beyond the end, whatever the other workers still find.
            // What is held goes out with the flush, which follows the last push.
            self.unfinished = None;
            return Ok(Flow::Done);
        }
        let bytes = batch.data.get_array_memory_size();
        self.held_bytes += bytes;
        self.held.push_back(Held { batch, before_in_morsel, bytes });
        self.drain(false, emit)
    }

    fn flush(&mut self, emit: &mut Emit<'_>) -> Result<Flow> {
        self.drain(true, emit)
    }

    /// What is held goes out as soon as its place is known: those behind may need it before they can go on counting.
    fn settle(&mut self, error: Error, emit: &mut Emit<'_>) -> Result<Option<Error>> {
        let Some(morsel) = error.morsel() else { return Ok(Some(error)) };
        loop {
            if self.drain(false, emit)? == Flow::Done {
                return Ok(None);
            }
            match self.is_reached_before_the_rest_of(morsel)? {
                Some(true) => {
                    self.unfinished = None;
                    return Ok(None);
                }
                Some(false) if self.held.is_empty() => return Ok(Some(error)),
                _ => {}
            }
        }
    }
}

impl FirstRows {
    /// Whether nothing is wanted of `morsel` beyond what of it was counted. Waits until that is known, or, with `None`,
    /// until the place of a held batch is.
    fn is_reached_before_the_rest_of(&self, morsel: u64) -> Result<Option<bool>> {
        let front = self.held.front().map(|front| front.batch.sequence.morsel);
        let mut counts = self.tally.lock();
        loop {
            let in_morsel = counts.morsels.get(&morsel).map_or(0, |count| count.n_rows);
            match counts.start_of(morsel) {
                Start::Exactly(start) => return Ok(Some(start + in_morsel >= self.window.end)),
                Start::AtLeast(start) if start + in_morsel >= self.window.end => return Ok(Some(true)),
                Start::AtLeast(_) if counts.abandoned_from < morsel => return Ok(Some(true)),
                Start::AtLeast(_) => {}
            }
            if front.is_some_and(|front| front <= counts.n_complete) {
                return Ok(None);
            }
            self.cancel.check()?;
            counts = self.tally.wait(counts);
        }
    }

    /// Emits held batches, first those whose place is known; waits for the others when told to or when there are many.
    fn drain(&mut self, to_the_end: bool, emit: &mut Emit<'_>) -> Result<Flow> {
        while let Some(front) = self.held.front() {
            let morsel = front.batch.sequence.morsel;
            let Some(start) = self.start_of_front(morsel, to_the_end)? else { return Ok(Flow::More) };
            let Some(Held { batch, before_in_morsel, bytes }) = self.held.pop_front() else { break };
            self.held_bytes -= bytes;
            let (start, n_rows) = (start.saturating_add(before_in_morsel), batch.n_rows() as u64);
            if start >= self.window.end {
                return Ok(self.stop(morsel));
            }
            if batch.last_of_morsel {
                self.tally.forget(morsel);
            }
            let kept = self.window.cut(batch, start)?;
            let flow = if kept.n_rows() > 0 || kept.last_of_morsel { emit(kept)? } else { Flow::More };
            if flow == Flow::Done || start + n_rows >= self.window.end {
                return Ok(self.stop(morsel));
            }
        }
        Ok(Flow::More)
    }

    /// Nothing of this worker is wanted any more, nor any later morsel of others.
    fn stop(&mut self, morsel: u64) -> Flow {
        self.held.clear();
        self.unfinished = None;
        self.tally.abandon(morsel);
        Flow::Done
    }

    /// The number of rows before `morsel`, `None` when it is not known and there is no need to wait; the end of the
    /// window when it is known to be beyond.
    fn start_of_front(&self, morsel: u64, to_the_end: bool) -> Result<Option<u64>> {
        let mut counts = self.tally.lock();
        loop {
            match counts.start_of(morsel) {
                Start::Exactly(start) => return Ok(Some(start)),
                Start::AtLeast(start) if start >= self.window.end || counts.abandoned_from < morsel => {
                    return Ok(Some(self.window.end));
                }
                Start::AtLeast(_) => {}
            }
            let far_ahead = morsel > counts.n_complete + MORSELS_AHEAD;
            if !(to_the_end || far_ahead || self.held_bytes > self.max_held_bytes) {
                return Ok(None);
            }
            self.cancel.check()?;
            counts = self.tally.wait(counts);
        }
    }
}

impl Drop for FirstRows {
    /// A worker that fails in the middle of a morsel must not leave the others waiting for it.
    fn drop(&mut self) {
        if let Some(morsel) = self.unfinished {
            self.tally.abandon(morsel);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::exec::{Placed, ReorderWindow, ReorderWorker, Source};
    use crate::operators::testing::{Scripted, batches, run_transform, show, task_context};

    fn check(limit: Limit, input: &str, expected: Expect) {
        expected.assert_eq(&show(&run_transform(&limit, batches(input))));
    }

    #[test]
    fn limit_spans_batches() {
        check(Limit::new(2, Some(3), true), "0 1 | 2 3 | 4 5", expect!["2 3 | 4"]);
        check(Limit::new(2, Some(3), false), "0 1 | 2 3 | 4 5", expect!["2 3 | 4"]);
    }

    #[test]
    fn limit_spans_morsels() {
        check(Limit::new(1, Some(4), true), "0 1; 2; | 3; 4 5", expect!["1; 2; 3; 4"]);
    }

    #[test]
    fn offset_alone_goes_to_the_end() {
        check(Limit::new(3, None, true), "0 1 | 2 3; 4", expect!["3; 4"]);
    }

    #[test]
    fn beyond_the_input_there_is_nothing() {
        check(Limit::new(9, Some(3), true), "0 1; 2", expect!["; ;"]);
    }

    /// Pushes morsels through two workers in a given interleaving; returns what came out, in order.
    fn interleave(limit: &Limit, input: &[Batch], choices: &[bool]) -> Vec<Batch> {
        let cx = task_context();
        let mut locals = [limit.local(&cx).unwrap(), limit.local(&cx).unwrap()];
        let mut queues = [VecDeque::new(), VecDeque::new()];
        let mut open = [true, true];
        let mut next_morsel = 0;
        let mut output = Vec::new();
        let mut emit = |batch: Batch| {
            output.push(batch);
            Ok(Flow::More)
        };
        for choice in choices.iter().copied().chain([false, true].into_iter().cycle()).take(10_000) {
            let worker = usize::from(choice);
            if !open[worker] {
                if !open[1 - worker] { break } else { continue }
            }
            if queues[worker].is_empty() {
                queues[worker] = input.iter().filter(|b| b.sequence.morsel == next_morsel).cloned().collect();
                next_morsel += 1;
            }
            match queues[worker].pop_front() {
                Some(batch) => open[worker] = locals[worker].push(batch, &mut emit).unwrap() == Flow::More,
                None => open[worker] = false,
            }
        }
        for local in &mut locals {
            local.flush(&mut emit).unwrap();
        }
        output.sort_by_key(|batch| batch.sequence);
        output
    }

    #[test]
    fn a_failed_worker_leaves_nobody_waiting() {
        let limit = Limit::new(0, Some(5), true);
        let cx = task_context();
        let (mut first, mut second) = (limit.local(&cx).unwrap(), limit.local(&cx).unwrap());
        let input = batches("0 | 1; 2");
        let mut emit = |_: Batch| Ok(Flow::More);
        first.push(input[0].clone(), &mut emit).unwrap();
        second.push(input[2].clone(), &mut emit).unwrap();
        drop(first);
        assert_eq!(second.flush(&mut emit).unwrap(), Flow::Done);
    }

    /// The first worker has morsel 0, the second holds 1 and fails in 3, the third pushes 2 into a full window before it
    /// has counted it to its end.
    #[test]
    fn a_failed_worker_gives_away_what_it_holds_while_it_waits() {
        let limit = Limit::new(0, Some(100), true);
        let cx = task_context();
        let mut locals = [limit.local(&cx).unwrap(), limit.local(&cx).unwrap(), limit.local(&cx).unwrap()];
        let window = ReorderWindow::new(&cx.memory, "test", 1, cx.cancel.clone());
        let mut ends = [window.worker(), window.worker(), window.worker()];
        let output = std::sync::Mutex::new(Vec::new());
        let push = |end: &mut ReorderWorker<Batch>, batch| {
            end.push(Placed::batch(batch), |batch| {
                output.lock().unwrap().push(batch);
                Ok(Flow::More)
            })
        };
        let input = batches("0; 1; 2 | 3; 4");
        let ([first, second, third], [end_1, end_2, end_3]) = (&mut locals, &mut ends);
        second.push(input[1].clone(), &mut |_| panic!("its place is not known")).unwrap();
        let (done, all_done) = std::sync::mpsc::channel();
        let (input, push) = (&input, &push);
        let settled = std::thread::scope(|scope| {
            let settling = scope.spawn(|| {
                let settled =
                    second.settle(Error::data("a damaged page").in_morsel(3), &mut |batch| push(end_2, batch));
                done.send(()).unwrap();
                settled
            });
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                first.push(input[0].clone(), &mut |batch| push(end_1, batch)).unwrap();
                let _ = third.push(input[2].clone(), &mut |batch| push(end_3, batch));
                let _ = third.push(input[3].clone(), &mut |batch| push(end_3, batch));
            });
            if all_done.recv_timeout(Duration::from_secs(10)).is_err() {
                cx.cancel.cancel();
            }
            settling.join().unwrap()
        });
        assert_eq!(settled.unwrap().map(|error| error.message().to_string()).as_deref(), Some("a damaged page"));
        assert_eq!(values(&output.lock().unwrap()), [0, 1, 2, 3]);
    }

    #[test]
    fn threads_that_wait_for_each_other_come_to_an_end() {
        let text = (0..300).map(|n| format!("{} | {} {}", 3 * n, 3 * n + 1, 3 * n + 2)).collect::<Vec<_>>().join(";");
        for (offset, fetch, expected) in [(0, Some(1), 0..1), (100, Some(500), 100..600), (850, None, 850..900)] {
            let (limit, source) = (Limit::new(offset, fetch, true), Scripted::new(batches(&text)));
            let output = std::sync::Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mut cx = task_context();
                        cx.memory = crate::memory::Memory::with_governed(1 << 20, 1);
                        let (mut local, mut source) = (limit.local(&cx).unwrap(), source.local(&cx).unwrap());
                        let mut emit = |batch: Batch| {
                            output.lock().unwrap().push(batch);
                            Ok(Flow::More)
                        };
                        while let Some(batch) = source.next().unwrap() {
                            if local.push(batch, &mut emit).unwrap() == Flow::Done {
                                break;
                            }
                        }
                        local.flush(&mut emit).unwrap();
                    });
                }
            });
            let mut output = output.into_inner().unwrap();
            output.sort_by_key(|batch| batch.sequence);
            assert_eq!(values(&output), expected.collect::<Vec<i64>>());
        }
    }

    fn values(batches: &[Batch]) -> Vec<i64> {
        use arrow::array::AsArray;
        let column =
            |batch: &Batch| batch.data.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
        batches.iter().flat_map(column).collect()
    }

    proptest! {
        /// Whatever two workers do when, the first rows come out, and every morsel ends.
        #[test]
        fn any_interleaving_gives_the_first_rows(
            morsels in prop::collection::vec(prop::collection::vec(0usize..4, 1..4), 0..8),
            choices in prop::collection::vec(any::<bool>(), 0..40),
            offset in 0u64..12, fetch in 1u64..12,
        ) {
            let mut n = 0;
            let text = morsels.iter().map(|morsel| morsel.iter().map(|rows| {
                (0..*rows).map(|_| { n += 1; n.to_string() }).collect::<Vec<_>>().join(" ")
            }).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join(";");
            let input = batches(&text);
            let output = interleave(&Limit::new(offset, Some(fetch), true), &input, &choices);
            let rows = values(&output);
            let expected: Vec<i64> = (1..=n).skip(offset as usize).take(fetch as usize).collect();
            prop_assert_eq!(rows, expected);
            let mut ends: Vec<u64> = output.iter().filter(|b| b.last_of_morsel).map(|b| b.sequence.morsel).collect();
            let n_ends = ends.len();
            ends.dedup();
            prop_assert_eq!(ends.len(), n_ends);
        }
    }
}
