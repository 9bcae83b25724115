//! Putting the batches of several workers back into the order of the input.
//!
//! Memory: batches that came too early wait here, under a reservation and up to a number of bytes. A worker whose morsel
//! is the lowest one never waits; the others wait once the window is full.
//! Why this cannot stall: morsels are handed out in order and each belongs to one worker, so the lowest unfinished one
//! belongs to a worker that does not wait here. When every worker that is left waits, a morsel was given up (a limit above
//! it was reached), and the lowest batch that waits is next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::error::Result;
use crate::exec::{Batch, CancelToken, Sequence};
use crate::memory::{Memory, Reservation};

/// How long to wait before looking whether the query was cancelled.
const CHECK_CANCEL_EVERY: Duration = Duration::from_millis(20);

/// A bounded window over the batches of an ordered output.
pub(crate) struct Reorder {
    window_bytes: u64,
    state: Mutex<Window>,
    changed: Condvar,
}

struct Window {
    next: Sequence,
    early: BTreeMap<Sequence, Batch>,
    reserved: Reservation,
    /// Workers that may still push; not known before the first of them comes.
    n_workers: Option<usize>,
    /// Batches in the hands of workers that wait.
    waiting: BTreeSet<Sequence>,
}

impl Reorder {
    /// About `window_bytes` of batches may wait.
    pub(crate) fn new(memory: &Memory, consumer: &'static str, window_bytes: u64) -> Self {
        let reserved = memory.reserve(consumer);
        let window = Window {
            next: Sequence::default(),
            early: BTreeMap::new(),
            reserved,
            n_workers: None,
            waiting: BTreeSet::new(),
        };
        Reorder { window_bytes, state: Mutex::new(window), changed: Condvar::new() }
    }

    /// `n_workers` workers will push, and each will [`Reorder::leave`]. Every worker says so before it pushes.
    pub(crate) fn expect_workers(&self, n_workers: usize) {
        self.lock().n_workers.get_or_insert(n_workers);
    }

    /// Hands `batch` and those that waited for it to `take`, in order, one at a time over all workers; or keeps it until
    /// its turn comes. Waits while the window is full.
    ///
    /// # Errors
    /// What `take` says, or that the query was cancelled.
    pub(crate) fn push(
        &self,
        batch: Batch,
        cancel: &CancelToken,
        take: &mut dyn FnMut(Batch) -> Result<()>,
    ) -> Result<()> {
        let mut window = self.lock();
        loop {
            if batch.sequence <= window.next {
                let result = window.pass(batch, take);
                self.changed.notify_all();
                return result;
            }
            let bytes = bytes_of(&batch);
            let fits = window.reserved.bytes() + bytes <= self.window_bytes;
            if fits && window.reserved.try_grow(bytes).is_ok() {
                window.early.insert(batch.sequence, batch);
                return Ok(());
            }
            window.waiting.insert(batch.sequence);
            if window.everyone_waits() {
                window.skip_to_lowest();
                window.drain(take)?;
                self.changed.notify_all();
            }
            if batch.sequence > window.next {
                let waited = self.changed.wait_timeout(window, CHECK_CANCEL_EVERY);
                window = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            }
            window.waiting.remove(&batch.sequence);
            cancel.check()?;
        }
    }

    /// A worker will push nothing more.
    pub(crate) fn leave(&self) {
        let mut window = self.lock();
        window.n_workers = window.n_workers.map(|n_workers| n_workers.saturating_sub(1));
        self.changed.notify_all();
    }

    /// Hands over what still waits.
    ///
    /// # Errors
    /// What `take` says.
    pub(crate) fn finish(&self, take: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
        let mut window = self.lock();
        while let Some((_, batch)) = window.early.pop_first() {
            window.reserved.shrink(bytes_of(&batch));
            take(batch)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Window {
    fn everyone_waits(&self) -> bool {
        self.n_workers.is_some_and(|n_workers| self.waiting.len() >= n_workers.max(1))
    }

    /// Goes on with the lowest batch that is known.
    fn skip_to_lowest(&mut self) {
        let lowest = self.waiting.first().into_iter().chain(self.early.keys().next()).min();
        self.next = lowest.map_or(self.next, |&lowest| self.next.max(lowest));
    }

    fn pass(&mut self, batch: Batch, take: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
        self.advance(&batch);
        take(batch)?;
        self.drain(take)
    }

    /// Hands over the batches that waited for their turn and have it now.
    fn drain(&mut self, take: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            let batch = entry.remove();
            self.reserved.shrink(bytes_of(&batch));
            self.advance(&batch);
            take(batch)?;
        }
        Ok(())
    }

    fn advance(&mut self, batch: &Batch) {
        let Sequence { morsel, batch: number } = batch.sequence;
        let after = match batch.last_of_morsel {
            true => Sequence { morsel: morsel + 1, batch: 0 },
            false => Sequence { morsel, batch: number + 1 },
        };
        self.next = self.next.max(after);
    }
}

fn bytes_of(batch: &Batch) -> u64 {
    batch.data.get_array_memory_size() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};

    use super::*;

    fn batch(morsel: u64, number: u32, last_of_morsel: bool) -> Batch {
        let value = Arc::new(Int64Array::from(vec![morsel as i64 * 100 + i64::from(number)]));
        let data = RecordBatch::try_from_iter([("n", value as _)]).unwrap();
        Batch { data, sequence: Sequence { morsel, batch: number }, last_of_morsel }
    }

    fn value(batch: &Batch) -> i64 {
        use arrow::array::AsArray;
        batch.data.column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
    }

    /// Each worker takes morsels in turn and pushes `n_batches` batches of each.
    fn run(n_workers: usize, n_morsels: u64, n_batches: u32, window_bytes: u64, given_up: Option<u64>) -> Vec<i64> {
        let memory = Memory::with_governed(64 << 20, n_workers);
        let reorder = Reorder::new(&memory, "Output", window_bytes);
        let taken = Mutex::new(Vec::new());
        let next = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..n_workers {
                scope.spawn(|| {
                    reorder.expect_workers(n_workers);
                    loop {
                        let morsel = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if morsel >= n_morsels || Some(morsel) == given_up {
                            break;
                        }
                        for number in 0..n_batches {
                            let batch = batch(morsel, number, number + 1 == n_batches);
                            let mut take = |batch: Batch| {
                                taken.lock().unwrap().push(value(&batch));
                                Ok(())
                            };
                            reorder.push(batch, &CancelToken::default(), &mut take).unwrap();
                        }
                    }
                    reorder.leave();
                });
            }
        });
        let mut rest = Vec::new();
        reorder
            .finish(&mut |batch| {
                rest.push(value(&batch));
                Ok(())
            })
            .unwrap();
        assert_eq!(memory.reserved_bytes(), 0);
        let mut taken = taken.into_inner().unwrap();
        taken.extend(rest);
        taken
    }

    #[test]
    fn batches_come_out_in_order_however_small_the_window() {
        let expected: Vec<i64> = (0..50).flat_map(|morsel| (0..3).map(move |number| morsel * 100 + number)).collect();
        for n_workers in [1, 2, 8] {
            for window_bytes in [0, 1000, 1 << 20] {
                assert_eq!(run(n_workers, 50, 3, window_bytes, None), expected);
            }
        }
    }

    #[test]
    fn a_morsel_that_is_given_up_stalls_nobody() {
        for n_workers in [2, 3] {
            let taken = run(n_workers, 30, 2, 0, Some(4));
            assert_eq!(taken.len(), 29 * 2);
            assert!(taken.windows(2).all(|pair| pair[0] < pair[1]), "{taken:?}");
        }
    }

    #[test]
    fn a_cancelled_query_does_not_wait() {
        let memory = Memory::with_governed(1 << 20, 2);
        let reorder = Reorder::new(&memory, "Output", 0);
        reorder.expect_workers(2);
        let cancel = CancelToken::default();
        cancel.cancel();
        let error = reorder.push(batch(1, 0, true), &cancel, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Cancelled);
    }
}
