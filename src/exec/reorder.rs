//! Brings batches that several workers made side by side back into the order of the input.
//!
//! Items of the lowest unfinished morsel pass at once; others wait in the window. Memory: at most `limit_bytes` wait under
//! a reservation, and each worker holds the one item it is pushing. When the window is full, or the reservation is
//! refused, workers of later morsels wait; the worker of the lowest morsel never waits for them, so there is always one
//! that goes on.
//!
//! The surprising part: a worker may deliver what another one left behind. One worker delivers at a time, without holding
//! the lock, so the others go on formatting meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::{Batch, CancelToken, Flow};
use crate::error::Result;
use crate::memory::{Memory, Reservation};

/// How often a waiting worker looks whether the query was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Restores the order of morsels. Shared; every worker has its own [`ReorderWorker`].
pub struct ReorderWindow<T> {
    limit_bytes: u64,
    cancel: CancelToken,
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// One worker's end of a [`ReorderWindow`].
pub struct ReorderWorker<T> {
    window: Arc<ReorderWindow<T>>,
    /// The morsel this worker has begun and not ended.
    current: Option<u64>,
    left: bool,
}

/// An item with its place in the order.
pub struct Placed<T> {
    /// Number of the morsel, from 0 without gaps.
    pub morsel: u64,
    /// Whether nothing of this morsel follows.
    pub last_of_morsel: bool,
    /// What the item costs while it waits.
    pub bytes: u64,
    /// The item.
    pub item: T,
}

impl Placed<Batch> {
    /// A batch at its own place.
    pub fn batch(batch: Batch) -> Self {
        let bytes = batch.data.get_array_memory_size() as u64;
        Placed { morsel: batch.sequence.morsel, last_of_morsel: batch.last_of_morsel, bytes, item: batch }
    }
}

struct State<T> {
    /// The lowest morsel that is not finished.
    next: u64,
    waiting_items: BTreeMap<u64, Morsel<T>>,
    waiting_bytes: u64,
    reservation: Reservation,
    delivering: bool,
    closed: bool,
    n_workers: usize,
    /// The morsels of workers that wait for room, one entry a worker.
    stuck: Vec<u64>,
}

struct Morsel<T> {
    items: VecDeque<(T, u64)>,
    ended: bool,
}

impl<T> Default for Morsel<T> {
    fn default() -> Self {
        Morsel { items: VecDeque::new(), ended: false }
    }
}

impl<T> ReorderWindow<T> {
    /// A window in which at most `limit_bytes` wait, charged to `consumer`.
    pub fn new(memory: &Memory, consumer: &'static str, limit_bytes: u64, cancel: CancelToken) -> Arc<Self> {
        let state = State {
            next: 0,
            waiting_items: BTreeMap::new(),
            waiting_bytes: 0,
            reservation: memory.reserve(consumer),
            delivering: false,
            closed: false,
            n_workers: 0,
            stuck: Vec::new(),
        };
        Arc::new(ReorderWindow { limit_bytes, cancel, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Another worker's end. All workers' ends must exist before the first of them pushes.
    pub fn worker(self: &Arc<Self>) -> ReorderWorker<T> {
        self.lock().n_workers += 1;
        ReorderWorker { window: self.clone(), current: None, left: false }
    }

    /// Delivers what is left, in order, once all workers have left.
    ///
    /// # Errors
    /// Those of `deliver`.
    pub fn finish(&self, mut deliver: impl FnMut(T) -> Result<Flow>) -> Result<()> {
        let rest = {
            let mut state = self.lock();
            if state.closed {
                return Ok(());
            }
            state.close();
            std::mem::take(&mut state.waiting_items)
        };
        for (item, _) in rest.into_values().flat_map(|morsel| morsel.items) {
            if deliver(item)? == Flow::Done {
                break;
            }
        }
        let mut state = self.lock();
        let bytes = state.waiting_bytes;
        state.free(bytes);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Delivers everything whose turn it is. The caller has set `delivering`; it is cleared under the lock under which
    /// nothing was ready any more, so an item that comes later finds no deliverer and goes out by itself.
    fn deliver_ready(&self, deliver: &mut impl FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let _closed_on_panic = Delivering { window: self };
        let mut state = self.lock();
        while let Some((item, bytes)) = state.take_ready() {
            drop(state);
            let delivered = deliver(item);
            state = self.lock();
            state.free(bytes);
            self.changed.notify_all();
            if state.closed || !matches!(delivered, Ok(Flow::More)) {
                state.close();
                return delivered.map(|_| Flow::Done);
            }
        }
        self.changed.notify_all();
        Ok(Flow::More)
    }

    /// Waits until something changes; says whether the query goes on.
    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>, morsel: u64) -> Result<MutexGuard<'a, State<T>>> {
        let mut state = state;
        state.stuck.push(morsel);
        if state.skip_missing_morsels() {
            self.changed.notify_all();
        } else {
            state = match self.changed.wait_timeout(state, LOOK_EVERY) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        if let Some(at) = state.stuck.iter().position(|&stuck| stuck == morsel) {
            state.stuck.swap_remove(at);
        }
        self.cancel.check()?;
        Ok(state)
    }
}

/// Lets nobody wait for a deliverer that panicked.
struct Delivering<'a, T> {
    window: &'a ReorderWindow<T>,
}

impl<T> Drop for Delivering<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.window.lock().close();
            self.window.changed.notify_all();
        }
    }
}

impl<T> State<T> {
    fn close(&mut self) {
        self.closed = true;
        self.delivering = false;
    }

    fn free(&mut self, bytes: u64) {
        self.waiting_bytes -= bytes;
        self.reservation.shrink(bytes);
    }

    fn is_ready(&self) -> bool {
        self.waiting_items.get(&self.next).is_some_and(|morsel| morsel.ended || !morsel.items.is_empty())
    }

    /// The next item in order; clears `delivering` when there is none.
    fn take_ready(&mut self) -> Option<(T, u64)> {
        while let Some(morsel) = self.waiting_items.get_mut(&self.next) {
            match morsel.items.pop_front() {
                Some(entry) => return Some(entry),
                None if morsel.ended => {
                    self.waiting_items.remove(&self.next);
                    self.next += 1;
                }
                None => break,
            }
        }
        self.delivering = false;
        None
    }

    /// Takes an item into the window if there is room. Gives it back otherwise.
    fn admit(&mut self, limit_bytes: u64, placed: Placed<T>) -> Option<Placed<T>> {
        // Whose turn it is with nobody delivering gets in without room: it goes out again at once.
        let passes_at_once = placed.morsel <= self.next && !self.delivering;
        let has_room =
            self.waiting_bytes + placed.bytes <= limit_bytes && self.reservation.try_grow(placed.bytes).is_ok();
        if !has_room && !passes_at_once {
            return Some(placed);
        }
        let bytes = if has_room { placed.bytes } else { 0 };
        self.waiting_bytes += bytes;
        let morsel = self.waiting_items.entry(placed.morsel.max(self.next)).or_default();
        morsel.items.push_back((placed.item, bytes));
        morsel.ended |= placed.last_of_morsel;
        None
    }

    /// When every worker waits or has left, the morsel they wait for will never come (its worker stopped early): goes on
    /// with the lowest that exists. Says whether that changed anything.
    fn skip_missing_morsels(&mut self) -> bool {
        if self.delivering || self.is_ready() || self.stuck.len() < self.n_workers {
            return false;
        }
        let lowest = self.waiting_items.keys().next().into_iter().chain(&self.stuck).min().copied();
        match lowest {
            Some(lowest) if lowest > self.next => {
                self.next = lowest;
                true
            }
            _ => false,
        }
    }
}

impl<T> ReorderWorker<T> {
    /// Hands over an item; `deliver` gets all items whose turn has come, of any worker, in order. Waits while the window
    /// is full and it is not this item's turn.
    ///
    /// # Errors
    /// Those of `deliver`, and [`crate::ErrorKind::Cancelled`].
    pub fn push(&mut self, placed: Placed<T>, mut deliver: impl FnMut(T) -> Result<Flow>) -> Result<Flow> {
        self.current = (!placed.last_of_morsel).then_some(placed.morsel);
        let window = &*self.window;
        let mut placed = placed;
        let mut state = window.lock();
        loop {
            if state.closed {
                return Ok(Flow::Done);
            }
            let morsel = placed.morsel;
            match state.admit(window.limit_bytes, placed) {
                None => break,
                Some(refused) => placed = refused,
            }
            if state.is_ready() && !state.delivering {
                state.delivering = true;
                drop(state);
                if window.deliver_ready(&mut deliver)? == Flow::Done {
                    return Ok(Flow::Done);
                }
                state = window.lock();
            } else {
                state = window.wait(state, morsel)?;
            }
        }
        Self::deliver_if_ready(window, state, &mut deliver)
    }

    /// Says that this worker pushes nothing more; what it began counts as ended.
    ///
    /// # Errors
    /// Those of `deliver`.
    pub fn leave(mut self, mut deliver: impl FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let window = self.window.clone();
        let state = self.end_current();
        Self::deliver_if_ready(&window, state, &mut deliver)
    }

    fn deliver_if_ready(
        window: &ReorderWindow<T>,
        mut state: MutexGuard<'_, State<T>>,
        deliver: &mut impl FnMut(T) -> Result<Flow>,
    ) -> Result<Flow> {
        if state.closed {
            return Ok(Flow::Done);
        }
        if state.delivering || !state.is_ready() {
            return Ok(Flow::More);
        }
        state.delivering = true;
        drop(state);
        window.deliver_ready(deliver)
    }

    fn end_current(&mut self) -> MutexGuard<'_, State<T>> {
        let mut state = self.window.lock();
        if !self.left {
            self.left = true;
            state.n_workers -= 1;
            if let Some(current) = self.current.take() {
                let morsel = current.max(state.next);
                state.waiting_items.entry(morsel).or_default().ended = true;
            }
            state.skip_missing_morsels();
            self.window.changed.notify_all();
        }
        state
    }
}

impl<T> Drop for ReorderWorker<T> {
    /// A worker that is dropped without [`ReorderWorker::leave`] has failed: nobody waits for it.
    fn drop(&mut self) {
        if !self.left {
            let mut state = self.window.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            state.n_workers -= 1;
            state.closed = true;
            self.window.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    type Delivered = Mutex<Vec<(u64, u32)>>;

    /// Workers take morsels of the given lengths in turn, as the driver's do, and push items of 10 bytes.
    fn run(lengths: &[u32], n_workers: usize, limit_bytes: u64, governed: u64) -> Vec<(u64, u32)> {
        let memory = Memory::with_governed(governed, n_workers);
        let window = ReorderWindow::new(&memory, "Output", limit_bytes, CancelToken::default());
        let delivered: Delivered = Mutex::default();
        let next_morsel = std::sync::atomic::AtomicU64::new(0);
        let deliver = |item| {
            delivered.lock().unwrap().push(item);
            Ok(Flow::More)
        };
        let workers: Vec<_> = (0..n_workers).map(|_| window.worker()).collect();
        thread::scope(|scope| {
            for mut worker in workers {
                scope.spawn(|| {
                    let (deliver, next_morsel) = (&deliver, &next_morsel);
                    loop {
                        let morsel = next_morsel.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(&length) = lengths.get(morsel as usize) else { break };
                        for batch in 0..length {
                            if (morsel + u64::from(batch)).is_multiple_of(7) {
                                thread::yield_now();
                            }
                            let last_of_morsel = batch + 1 == length;
                            let placed = Placed { morsel, last_of_morsel, bytes: 10, item: (morsel, batch) };
                            assert_eq!(worker.push(placed, deliver).unwrap(), Flow::More);
                        }
                    }
                    worker.leave(deliver).unwrap();
                });
            }
        });
        window.finish(deliver).unwrap();
        assert_eq!(memory.reserved_bytes(), 0);
        delivered.into_inner().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn items_come_out_in_order(
            lengths in prop::collection::vec(1u32..20, 0..40),
            n_workers in 1usize..9,
            limit_bytes in prop::sample::select(vec![0u64, 10, 100, 10_000]),
            governed in prop::sample::select(vec![1u64, 40_000, 1 << 20]),
        ) {
            let expected: Vec<_> =
                (0..).zip(&lengths).flat_map(|(morsel, &n)| (0..n).map(move |batch| (morsel, batch))).collect();
            prop_assert_eq!(run(&lengths, n_workers, limit_bytes, governed), expected);
        }
    }

    fn window(limit_bytes: u64) -> (Arc<ReorderWindow<u64>>, CancelToken) {
        let cancel = CancelToken::default();
        (ReorderWindow::new(&Memory::with_governed(1 << 20, 2), "Output", limit_bytes, cancel.clone()), cancel)
    }

    fn only(morsel: u64) -> Placed<u64> {
        Placed { morsel, last_of_morsel: true, bytes: 10, item: morsel }
    }

    #[test]
    fn a_full_window_makes_later_morsels_wait_until_cancelled() {
        let (window, cancel) = window(10);
        let (mut later, _lowest) = (window.worker(), window.worker());
        assert_eq!(later.push(only(1), |_| unreachable!()).unwrap(), Flow::More);
        let waits = thread::spawn(move || later.push(only(2), |_| unreachable!()).unwrap_err().kind());
        thread::sleep(Duration::from_millis(30));
        assert!(!waits.is_finished());
        cancel.cancel();
        assert_eq!(waits.join().unwrap(), ErrorKind::Cancelled);
    }

    #[test]
    fn a_morsel_whose_worker_left_is_not_waited_for() {
        let (window, _) = window(10);
        let (mut later, lowest) = (window.worker(), window.worker());
        let delivered = Mutex::new(Vec::new());
        let deliver = |item| {
            delivered.lock().unwrap().push(item);
            Ok(Flow::More)
        };
        later.push(only(1), deliver).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| later.push(only(2), deliver).unwrap());
            thread::sleep(Duration::from_millis(10));
            lowest.leave(deliver).unwrap();
        });
        assert_eq!(delivered.into_inner().unwrap(), [1, 2]);
    }

    #[test]
    fn done_and_errors_end_it_for_everyone() {
        let (window, _) = window(100);
        let (mut first, mut second) = (window.worker(), window.worker());
        second.push(only(1), |_| unreachable!()).unwrap();
        assert_eq!(first.push(only(0), |_| Ok(Flow::Done)).unwrap(), Flow::Done);
        assert_eq!(second.push(only(2), |_| unreachable!()).unwrap(), Flow::Done);
        window.finish(|_| unreachable!()).unwrap();
    }
}
