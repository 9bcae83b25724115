//! Reservations against the governed memory.
//!
//! Memory: a reservation is taken before the allocation it covers, transients included. When it is refused, unpinned
//! pages of any operator are evicted first; the caller sees [`OverBudget`] only when that did not help.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::{BlockingPlace, Budget, Sizes};
use crate::error::{Error, Result};

/// Reservations are taken from the ledger in steps of this size, so that its counters stay cold.
const QUANTUM: u64 = 32 * 1024;

/// The ledgers of this process that are governed by what the system reports, one a session.
static LEDGERS: Mutex<Vec<Weak<Ledger>>> = Mutex::new(Vec::new());

/// Code that running a query touches and starting does not: 6 to 9 MiB over sorts and aggregations of CSV and Parquet.
const RUNNING_CODE_BYTES: u64 = 8 << 20;

/// What planning a query takes beside what planning the first one made resident.
const PLANNED_QUERY_BYTES: u64 = 4 << 20;

/// The governed memory of one session. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    ledger: Arc<Ledger>,
}

struct Ledger {
    blocking: Arc<AtomicUsize>,
    budget: Budget,
    governed: u64,
    limit: AtomicU64,
    reserved: AtomicU64,
    shadow: AtomicU64,
    pages: AtomicU64,
    peak: AtomicU64,
    sizes: Sizes,
    idle_pages: AtomicU64,
    evictor: Mutex<Option<Weak<dyn Evict>>>,
    refuse_every: AtomicU64,
    n_requests: AtomicU64,
    /// What the guard saw when nothing helped any more; 0 when all is well.
    overrun: AtomicU64,
}

/// Frees reserved memory by moving it elsewhere. Implemented by the page pool.
pub(super) trait Evict: Send + Sync {
    /// Gives back up to `want` bytes to the ledger; returns how many. Zero when nothing is evictable.
    fn evict(&self, want: u64) -> Result<u64>;
}

/// A refused reservation: unpinned pages were evicted and it still did not fit.
pub struct OverBudget {
    consumer: &'static str,
    want: u64,
    available: u64,
    budget: u64,
    disk: Option<Error>,
}

impl OverBudget {
    /// The smallest budget with which this request would have been granted, all else being equal.
    pub fn smallest_budget(&self) -> u64 {
        const MIB: u64 = 1 << 20;
        self.budget.saturating_add(self.want.saturating_sub(self.available)).div_ceil(MIB).saturating_mul(MIB)
    }
}

impl fmt::Debug for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wants {} bytes, {} available", self.consumer, self.want, self.available)
    }
}

impl From<OverBudget> for Error {
    fn from(refused: OverBudget) -> Self {
        const MIB: u64 = 1 << 20;
        if let Some(disk) = refused.disk {
            return disk;
        }
        let smallest = refused.smallest_budget().div_ceil(MIB);
        let (consumer, want) = (refused.consumer, refused.want.div_ceil(1024));
        Error::budget(format!(
            "memory budget of {} MiB is too small: {consumer} needs {want} KiB more",
            refused.budget / MIB
        ))
        .with_hint(format!("the smallest budget that would do is about {smallest} MiB: --memory-budget {smallest}MiB"))
    }
}

impl Memory {
    /// Governs a process: `budget - resident at start - code still to be touched - safety`; see [`Budget::safety_bytes`].
    /// `planning_bytes` were resident while a query was planned, most of it code that is let go again.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] when what is left cannot run any query.
    pub fn for_process(budget: Budget, planning_bytes: u64, threads: usize) -> Result<Self> {
        let others = reserved_by_others(None).bytes;
        let resident = super::ResidentSet::read().map_or(0, |set| set.resident_bytes) + RUNNING_CODE_BYTES;
        let resident = resident.saturating_sub(others);
        let planning = planning_bytes.saturating_sub(others) + PLANNED_QUERY_BYTES;
        let safety = budget.safety_bytes();
        let governed = budget.bytes().saturating_sub(resident + safety);
        if governed < Sizes::smallest_governed() || budget.bytes() < planning {
            let smallest = planning.max(resident + safety + Sizes::smallest_governed()).div_ceil(1 << 20);
            return Err(Error::budget(format!(
                "memory budget of {} MiB is below what the program itself needs",
                budget.bytes() >> 20
            ))
            .with_hint(format!("the smallest budget that would do is {smallest} MiB: --memory-budget {smallest}MiB")));
        }
        let memory = Self::governing(governed, budget, threads);
        let mut ledgers = LEDGERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        ledgers.retain(|ledger| ledger.strong_count() > 0);
        ledgers.push(Arc::downgrade(&memory.ledger));
        Ok(memory)
    }

    /// What the other sessions of this process have reserved now.
    pub(super) fn reserved_by_others(&self) -> ReservedByOthers {
        reserved_by_others(Some(&self.ledger))
    }

    /// Governs exactly `governed` bytes, whatever the process holds besides. For embedding and for tests.
    pub fn with_governed(governed: u64, threads: usize) -> Self {
        Self::governing(governed, Budget::from_bytes(governed), threads)
    }

    /// Test setting: the most rows of a batch. Has to be called before anyone else knows this ledger.
    #[doc(hidden)]
    pub fn with_batch_rows(mut self, n_rows: usize) -> Self {
        if let Some(ledger) = Arc::get_mut(&mut self.ledger) {
            ledger.sizes.batch_rows = n_rows.max(1);
        }
        self
    }

    /// The same for another budget, of which the process holds the rest.
    #[cfg(test)]
    pub(crate) fn with_budget(mut self, budget: Budget) -> Self {
        if let Some(ledger) = Arc::get_mut(&mut self.ledger) {
            ledger.budget = budget;
        }
        self
    }

    fn governing(governed: u64, budget: Budget, threads: usize) -> Self {
        let ledger = Ledger {
            blocking: Arc::default(),
            budget,
            governed,
            limit: AtomicU64::new(governed),
            reserved: AtomicU64::new(0),
            shadow: AtomicU64::new(0),
            pages: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            sizes: Sizes::new(governed, threads),
            idle_pages: AtomicU64::new(0),
            evictor: Mutex::new(None),
            refuse_every: AtomicU64::new(0),
            n_requests: AtomicU64::new(0),
            overrun: AtomicU64::new(0),
        };
        Memory { ledger: Arc::new(ledger) }
    }

    /// The budget this was made for.
    pub fn budget(&self) -> Budget {
        self.ledger.budget
    }

    /// Governed memory in bytes.
    pub fn governed_bytes(&self) -> u64 {
        self.ledger.governed
    }

    /// Buffer sizes for this budget.
    pub fn sizes(&self) -> Sizes {
        self.ledger.sizes
    }

    /// Bytes reserved now.
    pub fn reserved_bytes(&self) -> u64 {
        self.ledger.reserved.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever reserved.
    pub fn peak_reserved_bytes(&self) -> u64 {
        self.ledger.peak.load(Ordering::Relaxed)
    }

    /// Bytes that could be reserved now without evicting anything: free ones, and pages that are resident but not in use.
    pub fn available_bytes(&self) -> u64 {
        let idle = self.ledger.idle_pages.load(Ordering::Relaxed);
        self.ledger.available().saturating_add(idle).min(self.limit_bytes())
    }

    /// A place for one more blocking operator, above those there are.
    pub fn enter_blocking(&self) -> BlockingPlace {
        BlockingPlace::enter(&self.ledger.blocking)
    }

    /// An empty reservation of `consumer`, an operator's name as EXPLAIN prints it.
    pub fn reserve(&self, consumer: &'static str) -> Reservation {
        Reservation { memory: self.clone(), consumer, used: 0, granted: 0 }
    }

    /// Charges bytes that are live without a reservation, so that operators get less.
    pub fn set_shadow(&self, bytes: u64) {
        self.ledger.shadow.store(bytes, Ordering::Relaxed);
    }

    /// Lowers the limit (the resident-set guard), or raises it back up to the governed memory.
    pub fn set_limit(&self, bytes: u64) {
        self.ledger.limit.store(bytes.min(self.ledger.governed), Ordering::Relaxed);
    }

    /// Notes that so many bytes are resident, more than the budget, and that nothing is left to give back. The query that
    /// is planned or run fails when it looks next; 0 begins anew.
    pub fn set_overrun(&self, resident_bytes: u64) {
        self.ledger.overrun.store(resident_bytes, Ordering::Relaxed);
    }

    /// # Errors
    /// [`crate::ErrorKind::Budget`] when the process has outgrown the budget.
    pub fn check_overrun(&self) -> Result<()> {
        let resident = self.ledger.overrun.load(Ordering::Relaxed);
        if resident == 0 {
            return Ok(());
        }
        let (resident, budget) = (resident.div_ceil(1 << 20), self.ledger.budget.bytes() >> 20);
        Err(Error::budget(format!(
            "the query made the process grow to {resident} MiB, over the budget of {budget} MiB"
        ))
        .with_hint(
            "values of many MiB, such as long repeated texts, cannot spill: make them shorter or raise --memory-budget",
        ))
    }

    /// The limit in force.
    pub fn limit_bytes(&self) -> u64 {
        self.ledger.limit.load(Ordering::Relaxed)
    }

    /// Test setting: refuse every `n`-th request that could be granted. 0 turns it off.
    #[doc(hidden)]
    pub fn refuse_every(&self, n: u64) {
        self.ledger.refuse_every.store(n, Ordering::Relaxed);
    }

    pub(super) fn set_evictor(&self, evictor: Weak<dyn Evict>) {
        *self.lock_evictor() = Some(evictor);
    }

    fn lock_evictor(&self) -> std::sync::MutexGuard<'_, Option<Weak<dyn Evict>>> {
        self.ledger.evictor.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes room by evicting unpinned pages, as far as there are any; a failing disk shows at the next request.
    pub(super) fn relieve(&self, bytes: u64) {
        let _ = self.evict(bytes);
    }

    /// Bytes reserved for anything but pages, which are mapped outside the allocator.
    pub fn reserved_outside_pages(&self) -> u64 {
        self.reserved_bytes().saturating_sub(self.ledger.pages.load(Ordering::Relaxed))
    }

    /// Bytes that count against the limit: reserved ones and the shadow.
    pub(super) fn charged_bytes(&self) -> u64 {
        self.reserved_bytes() + self.ledger.shadow.load(Ordering::Relaxed)
    }

    /// Takes `bytes` for a page from the ledger without evicting anything.
    pub(super) fn take_for_page(&self, bytes: u64) -> bool {
        let taken = self.ledger.try_take(bytes);
        if taken {
            self.ledger.pages.fetch_add(bytes, Ordering::Relaxed);
        }
        taken
    }

    /// Counts page bytes that are charged and resident but not in use.
    pub(super) fn count_idle(&self, bytes: i64) {
        self.ledger.idle_pages.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What has to be given back before `bytes` fit; at least 1.
    pub(super) fn missing_bytes(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.ledger.available()).max(1)
    }

    pub(super) fn give_back_page(&self, bytes: u64) {
        self.ledger.pages.fetch_sub(bytes, Ordering::Relaxed);
        self.give_back(bytes);
    }

    fn give_back(&self, bytes: u64) {
        self.ledger.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn refuses_for_test(&self) -> bool {
        match self.ledger.refuse_every.load(Ordering::Relaxed) {
            0 => false,
            every => self.ledger.n_requests.fetch_add(1, Ordering::Relaxed) % every == every - 1,
        }
    }

    /// The refusal of an operator that keeps to a share of its own.
    pub fn refuse(&self, consumer: &'static str, want: u64) -> OverBudget {
        self.refusal(consumer, want, None)
    }

    pub(super) fn refusal(&self, consumer: &'static str, want: u64, disk: Option<Error>) -> OverBudget {
        let available = self.ledger.available();
        OverBudget { consumer, want, available, budget: self.ledger.budget.bytes(), disk }
    }

    /// Takes `bytes`, evicting unpinned pages as needed.
    fn take(&self, consumer: &'static str, bytes: u64) -> Result<(), OverBudget> {
        if self.refuses_for_test() {
            return Err(self.refusal(consumer, bytes, None));
        }
        if bytes > self.limit_bytes() {
            // It cannot fit whatever goes, so nothing is made to go.
            return Err(self.refusal(consumer, bytes, None));
        }
        let mut found_nothing = false;
        while !self.ledger.try_take(bytes) {
            match self.evict(self.missing_bytes(bytes)) {
                Ok(0) if found_nothing => return Err(self.refusal(consumer, bytes, None)),
                // After nothing was found, one more look: somebody may have given memory back meanwhile.
                Ok(freed) => found_nothing = freed == 0,
                Err(error) => return Err(self.refusal(consumer, bytes, Some(error))),
            }
        }
        Ok(())
    }

    fn evict(&self, want: u64) -> Result<u64> {
        let evictor = self.lock_evictor().as_ref().and_then(Weak::upgrade);
        match evictor {
            Some(evictor) => evictor.evict(want),
            None => Ok(0),
        }
    }
}

/// Reservations of other sessions: each session answers for its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReservedByOthers {
    /// All of it.
    pub(super) bytes: u64,
    /// What of it does not lie on pages.
    pub(super) outside_pages: u64,
}

fn reserved_by_others(own: Option<&Arc<Ledger>>) -> ReservedByOthers {
    let ledgers = LEDGERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut sum = ReservedByOthers::default();
    for ledger in ledgers.iter().filter_map(Weak::upgrade) {
        if own.is_none_or(|own| !Arc::ptr_eq(own, &ledger)) {
            let reserved = ledger.reserved.load(Ordering::Relaxed);
            sum.bytes += reserved;
            sum.outside_pages += reserved.saturating_sub(ledger.pages.load(Ordering::Relaxed));
        }
    }
    sum
}

impl Ledger {
    fn available(&self) -> u64 {
        let taken = self.reserved.load(Ordering::Relaxed) + self.shadow.load(Ordering::Relaxed);
        self.limit.load(Ordering::Relaxed).saturating_sub(taken)
    }

    fn try_take(&self, bytes: u64) -> bool {
        let ceiling = self.limit.load(Ordering::Relaxed).saturating_sub(self.shadow.load(Ordering::Relaxed));
        let grow = |reserved: u64| reserved.checked_add(bytes).filter(|&sum| sum <= ceiling);
        match self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow) {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }
}

/// Bytes that one consumer may hold. Given back on drop.
pub struct Reservation {
    memory: Memory,
    consumer: &'static str,
    used: u64,
    granted: u64,
}

impl Reservation {
    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// [`OverBudget`] when they do not fit even after evicting every unpinned page; nothing has changed then.
    pub fn try_grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        let refusal = || self.memory.refusal(self.consumer, bytes, None);
        let need = self.used.checked_add(bytes).ok_or_else(refusal)?;
        if need > self.granted {
            let step = (need - self.granted).checked_next_multiple_of(QUANTUM).ok_or_else(refusal)?;
            self.memory.take(self.consumer, step)?;
            self.granted += step;
        }
        self.used = need;
        Ok(())
    }

    /// Gives `bytes` back.
    pub fn shrink(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.used, "a reservation gives back what it has");
        self.used -= bytes.min(self.used);
        let keep = self.used.div_ceil(QUANTUM) * QUANTUM;
        if keep < self.granted {
            self.memory.give_back(self.granted - keep);
            self.granted = keep;
        }
    }

    /// Grows or shrinks to exactly `bytes`.
    ///
    /// # Errors
    /// As [`Reservation::try_grow`].
    pub fn try_resize(&mut self, bytes: u64) -> Result<(), OverBudget> {
        match bytes.checked_sub(self.used) {
            Some(more) => self.try_grow(more),
            None => {
                self.shrink(self.used - bytes);
                Ok(())
            }
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.used
    }

    /// The ledger it draws from.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.give_back(self.granted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_never_pass_the_limit_and_come_back() {
        let memory = Memory::with_governed(1 << 20, 1);
        let mut first = memory.reserve("first");
        first.try_grow(600 << 10).unwrap();
        let mut second = memory.reserve("second");
        let refused = second.try_grow(600 << 10).unwrap_err();
        assert!(refused.smallest_budget() > 1 << 20);
        assert_eq!(Error::from(refused).kind(), crate::ErrorKind::Budget);
        drop(first);
        second.try_grow(600 << 10).unwrap();
        second.shrink(600 << 10);
        assert_eq!(memory.reserved_bytes(), 0);
    }

    #[test]
    fn absurd_requests_are_refused_and_change_nothing() {
        let memory = Memory::with_governed(1 << 20, 1);
        let mut held = memory.reserve("any");
        held.try_grow(100).unwrap();
        for bytes in [u64::MAX, u64::MAX - 50, u64::MAX / 2, 2 << 20] {
            let refused = held.try_grow(bytes).unwrap_err();
            assert_eq!(Error::from(refused).kind(), crate::ErrorKind::Budget);
        }
        assert_eq!((held.bytes(), memory.reserved_bytes()), (100, QUANTUM));
    }

    #[test]
    fn shadow_leaves_less_for_operators() {
        let memory = Memory::with_governed(1 << 20, 1);
        memory.set_shadow(1 << 20);
        assert!(memory.reserve("any").try_grow(1).is_err());
    }
}
