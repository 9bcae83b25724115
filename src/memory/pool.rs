//! Pages: the only place where data that grows with the input lives.
//!
//! A [`PinnedPage`] is memory that one owner may read and write. [`PinnedPage::unpin`] makes it a [`Page`], which the
//! pool may evict to a [`PageStore`] when anyone needs memory; [`Page::pin`] brings it back, at another address.
//!
//! Memory: each resident page is charged to the ledger. Evicting needs a scratch buffer, and those exist from the start.
//! A page's lock is never held while another is taken, so two threads that evict cannot wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::frames::{Frame, FrameArena};
use super::ledger::Evict;
use super::queue::{EvictionQueue, Ticket};
use super::{BlockId, Memory, OverBudget, PageFormat, PageStore};
use crate::error::{Error, Result};

/// All pages of a session.
pub struct PagePool {
    memory: Memory,
    store: Arc<dyn PageStore>,
    arena: FrameArena,
    queue: EvictionQueue,
    scratch: Mutex<Vec<Vec<u8>>>,
    evict_all: std::sync::atomic::AtomicBool,
}

/// One operator's account with the pool: its name, how its pages are written, and what they cost.
pub struct PageOwner {
    pool: Arc<PagePool>,
    name: &'static str,
    format: Arc<dyn PageFormat>,
    stream_base: u64,
    counters: OwnerCells,
}

#[derive(Default)]
struct OwnerCells {
    resident: AtomicU64,
    peak_resident: AtomicU64,
    spilled_raw: AtomicU64,
    spilled_stored: AtomicU64,
    restored: AtomicU64,
}

/// What an operator's pages have cost so far. Units: bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnerCounters {
    /// Resident now.
    pub resident_bytes: u64,
    /// The most that was ever resident.
    pub peak_resident_bytes: u64,
    /// Page bytes that were evicted.
    pub spilled_raw_bytes: u64,
    /// What the evicted pages took on disk.
    pub spilled_stored_bytes: u64,
    /// Page bytes that were brought back.
    pub restored_bytes: u64,
}

/// A page in memory, exclusively held. Freed on drop.
pub struct PinnedPage {
    owner: Arc<PageOwner>,
    frame: Option<Frame>,
}

/// A page that may be in memory or on disk. Freed on drop, wherever it is.
pub struct Page {
    slot: Arc<Slot>,
}

/// What an unpinned page is made of; shared with the eviction queue.
///
/// 56 bytes, because evicted pages keep theirs: what only resident pages need is boxed. They are allocated without a
/// reservation and so part of the shadow that the guard charges to everyone.
pub(super) struct Slot {
    owner: Arc<PageOwner>,
    /// Length in units of [`SLOT_UNIT`], so that it fits.
    n_units: u32,
    stream: u32,
    place: Mutex<Place>,
}

/// Pages are as long as a multiple of this.
const SLOT_UNIT: usize = 4096;

enum Place {
    Resident(Box<(Frame, Ticket)>),
    /// Put in by `unpin` before the ticket is known, and left behind by `pin` and drop.
    Nowhere,
    Evicted(BlockId, u32),
}

impl PagePool {
    /// A pool that draws on `memory` and evicts to `store`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] when the system has no address space for it.
    pub fn new(memory: Memory, store: Arc<dyn PageStore>) -> Result<Arc<Self>> {
        let sizes = memory.sizes();
        let n_frames = (memory.governed_bytes() as usize / sizes.page_bytes).max(1);
        let arena =
            FrameArena::new(sizes.page_bytes, n_frames).ok_or_else(|| Error::budget("cannot map the page pool"))?;
        let scratch = (0..=sizes.threads).map(|_| Vec::with_capacity(sizes.page_bytes + 64)).collect();
        let pool = Arc::new(PagePool {
            memory: memory.clone(),
            store,
            arena,
            queue: EvictionQueue::default(),
            scratch: Mutex::new(scratch),
            evict_all: Default::default(),
        });
        let weak: Weak<PagePool> = Arc::downgrade(&pool);
        memory.set_evictor(weak);
        Ok(pool)
    }

    /// The ledger.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Bytes of pages that are in memory and could be evicted.
    pub fn evictable_bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// Test setting: evict every page as soon as it is unpinned.
    #[doc(hidden)]
    pub fn evict_always(&self, on: bool) {
        self.evict_all.store(on, Ordering::Relaxed);
    }

    /// Moves the pages that are in memory now to large system pages, as far as they fill them: for an operator that is going
    /// to access its pages at random, many times each. Takes about a millisecond for 2 MiB.
    pub fn use_large_pages(&self) {
        self.arena.use_large_pages();
    }

    /// An account for one operator, named as EXPLAIN prints it.
    pub fn owner(self: &Arc<Self>, name: &'static str, format: Arc<dyn PageFormat>) -> Arc<PageOwner> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let stream_base = NEXT.fetch_add(1, Ordering::Relaxed) << 32;
        Arc::new(PageOwner { pool: self.clone(), name, format, stream_base, counters: OwnerCells::default() })
    }

    /// A frame for a standard page: a free one, a new one, or one of an evicted page.
    fn take_frame(&self, owner: &PageOwner) -> Result<Frame, OverBudget> {
        let bytes = self.memory.sizes().page_bytes as u64;
        let mut found_nothing = false;
        loop {
            if let Some(frame) = self.take_idle() {
                return Ok(frame);
            }
            if self.memory.take_for_page(bytes) {
                match self.arena.take_fresh() {
                    Some(frame) => return Ok(frame),
                    None => self.memory.give_back_page(bytes),
                }
            }
            match self.evict_one() {
                Ok(Some(frame)) if !frame.is_large() => return Ok(frame),
                Ok(Some(frame)) => self.release_frame(frame),
                Ok(None) if found_nothing => return Err(self.memory.refusal(owner.name, bytes, None)),
                // Another thread may have dropped a page since the look above.
                Ok(None) => found_nothing = true,
                Err(error) => return Err(self.memory.refusal(owner.name, bytes, Some(error))),
            }
        }
    }

    /// A mapping of its own. Nothing is evicted for a page that cannot fit whatever goes.
    fn take_large_frame(&self, owner: &PageOwner, bytes: usize) -> Result<Frame, OverBudget> {
        let refusal = |error| self.memory.refusal(owner.name, bytes as u64, error);
        let Some(bytes) = bytes.checked_next_multiple_of(SLOT_UNIT).filter(|&bytes| bytes as u64 <= self.limit())
        else {
            return Err(refusal(None));
        };
        let mut found_nothing = false;
        while !self.memory.take_for_page(bytes as u64) {
            match self.evict(self.memory.missing_bytes(bytes as u64)) {
                Ok(0) if found_nothing => return Err(refusal(None)),
                Ok(freed) => found_nothing = freed == 0,
                Err(error) => return Err(refusal(Some(error))),
            }
        }
        self.arena.map_large(bytes).ok_or_else(|| {
            self.memory.give_back_page(bytes as u64);
            refusal(None)
        })
    }

    fn limit(&self) -> u64 {
        self.memory.limit_bytes().min(u64::from(u32::MAX) * SLOT_UNIT as u64)
    }

    /// A frame that is resident and free.
    fn take_idle(&self) -> Option<Frame> {
        let frame = self.arena.take_resident()?;
        self.memory.count_idle(-(frame.len() as i64));
        Some(frame)
    }

    /// Writes the first page of the queue to the store and returns its frame, still charged.
    fn evict_one(&self) -> Result<Option<Frame>> {
        while let Some(slot) = self.queue.take_first() {
            let mut place = slot.lock();
            match std::mem::replace(&mut *place, Place::Nowhere) {
                Place::Resident(resident) => {
                    return match self.write_out(&slot, &resident.0) {
                        Ok((block, encoded_bytes)) => {
                            *place = Place::Evicted(block, encoded_bytes);
                            Ok(Some(resident.0))
                        }
                        Err(error) => {
                            // Intact and evictable as before: the disk may work again, or another query may go on.
                            self.queue.enter_again(resident.1, slot.clone());
                            *place = Place::Resident(resident);
                            Err(error)
                        }
                    };
                }
                other => *place = other,
            }
        }
        Ok(None)
    }

    fn write_out(&self, slot: &Slot, frame: &Frame) -> Result<(BlockId, u32)> {
        let owner = &slot.owner;
        let stream = owner.stream_base | u64::from(slot.stream);
        let written = if frame.is_large() {
            self.store.write(stream, frame.bytes()).map(|(block, stored)| (block, stored, 0))
        } else {
            let mut scratch = self.take_scratch();
            scratch.clear();
            owner.format.encode(frame.bytes(), &mut scratch);
            let encoded_bytes = scratch.len() as u32;
            let written = self.store.write(stream, &scratch).map(|(block, stored)| (block, stored, encoded_bytes));
            self.put_scratch(scratch);
            written
        };
        let (block, stored, encoded_bytes) = written?;
        owner.counters.resident.fetch_sub(frame.len() as u64, Ordering::Relaxed);
        owner.counters.spilled_raw.fetch_add(frame.len() as u64, Ordering::Relaxed);
        owner.counters.spilled_stored.fetch_add(stored, Ordering::Relaxed);
        Ok((block, encoded_bytes))
    }

    fn restore(&self, owner: &PageOwner, block: BlockId, encoded_bytes: u32, frame: &mut Frame) -> Result<()> {
        if frame.is_large() {
            self.store.read(block, frame.bytes_mut())?;
        } else {
            let mut scratch = self.take_scratch();
            scratch.resize(encoded_bytes as usize, 0);
            let read =
                self.store.read(block, &mut scratch).and_then(|()| owner.format.decode(&scratch, frame.bytes_mut()));
            self.put_scratch(scratch);
            read?;
        }
        owner.counters.restored.fetch_add(frame.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// One of the buffers made at the start. There is one a worker and one more; a thread outside the pool of workers
    /// that finds none makes its own for the moment.
    fn take_scratch(&self) -> Vec<u8> {
        lock(&self.scratch).pop().unwrap_or_default()
    }

    fn put_scratch(&self, scratch: Vec<u8>) {
        let mut all = lock(&self.scratch);
        if all.len() <= self.memory.sizes().threads {
            all.push(scratch);
        }
    }

    /// Gives a frame back to the system and its bytes to the ledger.
    fn release_frame(&self, frame: Frame) {
        let bytes = frame.len() as u64;
        self.arena.release(frame);
        self.memory.give_back_page(bytes);
    }
}

impl Evict for PagePool {
    fn evict(&self, want: u64) -> Result<u64> {
        let mut freed = 0;
        while freed < want {
            let frame = match self.take_idle() {
                Some(frame) => frame,
                None => match self.evict_one()? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            freed += frame.len() as u64;
            self.release_frame(frame);
        }
        Ok(freed)
    }
}

impl PageOwner {
    /// A page of at least `bytes`: a standard page, or one of its own size when that is larger. The contents of a
    /// standard page are whatever was there before.
    ///
    /// # Errors
    /// [`OverBudget`] when it does not fit even after evicting every unpinned page.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<PinnedPage, OverBudget> {
        if self.pool.memory.refuses_for_test() {
            return Err(self.pool.memory.refusal(self.name, bytes as u64, None));
        }
        self.allocate_now(bytes)
    }

    /// As [`PageOwner::allocate`], without the refusals of tests.
    fn allocate_now(self: &Arc<Self>, bytes: usize) -> Result<PinnedPage, OverBudget> {
        let frame = if bytes <= self.page_bytes() {
            self.pool.take_frame(self)?
        } else {
            self.pool.take_large_frame(self, bytes)?
        };
        self.count_resident(frame.len());
        Ok(PinnedPage { owner: self.clone(), frame: Some(frame) })
    }

    /// Bytes of a standard page.
    pub fn page_bytes(&self) -> usize {
        self.pool.memory.sizes().page_bytes
    }

    /// What the pages have cost so far.
    pub fn counters(&self) -> OwnerCounters {
        let cells = &self.counters;
        OwnerCounters {
            resident_bytes: cells.resident.load(Ordering::Relaxed),
            peak_resident_bytes: cells.peak_resident.load(Ordering::Relaxed),
            spilled_raw_bytes: cells.spilled_raw.load(Ordering::Relaxed),
            spilled_stored_bytes: cells.spilled_stored.load(Ordering::Relaxed),
            restored_bytes: cells.restored.load(Ordering::Relaxed),
        }
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<PagePool> {
        &self.pool
    }

    /// The operator's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn slot(self: &Arc<Self>, bytes: usize, stream: u32) -> Arc<Slot> {
        let n_units = (bytes / SLOT_UNIT) as u32;
        Arc::new(Slot { n_units, stream, place: Mutex::new(Place::Nowhere), owner: self.clone() })
    }

    fn count_resident(&self, bytes: usize) {
        let now = self.counters.resident.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.counters.peak_resident.fetch_max(now, Ordering::Relaxed);
    }
}

impl PinnedPage {
    /// Lets the pool evict this page. Pages with a higher `priority` go first: give the page that will be needed last the
    /// highest. Pages of one `stream` lie together on disk.
    ///
    /// # Errors
    /// Only in the test setting that evicts at once, when the store fails.
    pub fn unpin(mut self, priority: u32, stream: u32) -> Result<Page> {
        let Some(frame) = self.frame.take() else { return Err(Error::query("a page was unpinned twice")) };
        let owner = self.owner.clone();
        let slot = owner.slot(frame.len(), stream);
        let page = Page { slot: slot.clone() };
        let pool = &slot.owner.pool;
        {
            let mut place = slot.lock();
            let ticket = pool.queue.enter(priority, slot.clone());
            *place = Place::Resident(Box::new((frame, ticket)));
        }
        if pool.evict_all.load(Ordering::Relaxed)
            && let Some(frame) = pool.evict_one()?
        {
            pool.release_frame(frame);
        }
        Ok(page)
    }

    /// Writes the page to the store at once and keeps its memory as an empty page: for an owner that must go on when
    /// everything else is pinned.
    ///
    /// # Errors
    /// When the store fails.
    pub fn store_now(mut self, stream: u32) -> Result<(Page, PinnedPage)> {
        let Some(frame) = self.frame.take() else { return Err(Error::query("a page was unpinned twice")) };
        let slot = self.owner.slot(frame.len(), stream);
        let written = self.owner.pool.write_out(&slot, &frame);
        let bytes = frame.len();
        self.frame = Some(frame);
        let (block, encoded_bytes) = written?;
        // Writing out has counted the frame as gone, but it stays with the owner.
        self.owner.count_resident(bytes);
        *slot.lock() = Place::Evicted(block, encoded_bytes);
        Ok((Page { slot }, self))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.frame.as_ref().map_or(&[], Frame::bytes)
    }

    /// The bytes, for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.frame.as_mut().map_or(&mut [], Frame::bytes_mut)
    }

    /// Where the bytes start; stable for as long as the page is pinned, also when the `PinnedPage` moves.
    pub fn start(&self) -> *mut u8 {
        self.frame.as_ref().map_or(std::ptr::null_mut(), |frame| frame.start().as_ptr())
    }

    /// Bytes of the page.
    pub fn len(&self) -> usize {
        self.frame.as_ref().map_or(0, Frame::len)
    }

    /// Whether the page has no bytes; never the case for an allocated page.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for PinnedPage {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.owner.counters.resident.fetch_sub(frame.len() as u64, Ordering::Relaxed);
            self.owner.pool.drop_frame(frame);
        }
    }
}

impl PagePool {
    /// A frame nobody needs any more: standard ones stay resident for the next taker.
    fn drop_frame(&self, frame: Frame) {
        if frame.is_large() {
            self.release_frame(frame);
        } else {
            self.memory.count_idle(frame.len() as i64);
            self.arena.put_back(frame);
        }
    }
}

impl Drop for PagePool {
    /// Pages hold the pool, so every frame is idle or released by now.
    fn drop(&mut self) {
        while let Some(frame) = self.take_idle() {
            self.release_frame(frame);
        }
    }
}

impl Page {
    /// Brings the page into memory and takes it out of the pool's hands. Refusals for tests do not apply here, because
    /// there is nothing to fall back on: see [`Page::try_pin`].
    ///
    /// # Errors
    /// A budget error when there is no frame for it, a disk error when it cannot be read back. The page is gone then.
    pub fn pin(self) -> Result<PinnedPage> {
        self.take_resident_or(PageOwner::allocate_now).map_err(|(_, error)| error)
    }

    /// As [`Page::pin`], but a page that cannot be pinned comes back with the error.
    ///
    /// # Errors
    /// As [`Page::pin`].
    pub fn try_pin(self) -> Result<PinnedPage, (Page, Error)> {
        self.take_resident_or(PageOwner::allocate)
    }

    /// As [`Page::pin`], but an evicted page comes back into the memory of `spare`, so that nothing is asked of the pool. A
    /// page that is still in memory, or has another size, leaves `spare` over.
    ///
    /// # Errors
    /// As [`Page::pin`].
    pub fn pin_into(self, spare: PinnedPage) -> Result<(PinnedPage, Option<PinnedPage>)> {
        let mut spare = Some(spare);
        let pinned = self.take_resident_or(|owner, bytes| match spare.take_if(|spare| spare.len() == bytes) {
            Some(spare) => Ok(spare),
            None => owner.allocate_now(bytes),
        });
        pinned.map(|pinned| (pinned, spare)).map_err(|(_, error)| error)
    }

    /// Copies the page's bytes to the memory of `spare`, and leaves the page as it is: on disk, or evictable. For a page
    /// that is read several times. A page of another size gets memory of its own.
    ///
    /// # Errors
    /// A budget error when there is no memory for a page of another size, a disk error when it cannot be read.
    pub fn copy_into(&self, spare: PinnedPage) -> Result<PinnedPage> {
        let owner = &self.slot.owner;
        let mut copy = if spare.len() == self.len() { spare } else { owner.allocate_now(self.len())? };
        let Some(frame) = copy.frame.as_mut() else { return Ok(copy) };
        // The lock is held while reading, so that nobody evicts the page meanwhile; the copy's frame is there already.
        match &*self.slot.lock() {
            Place::Resident(resident) => frame.bytes_mut().copy_from_slice(resident.0.bytes()),
            Place::Evicted(block, encoded_bytes) => owner.pool.restore(owner, *block, *encoded_bytes, frame)?,
            Place::Nowhere => return Err(Error::query("a page was read after its last use")),
        }
        Ok(copy)
    }

    fn take_resident_or(
        self,
        allocate: impl FnOnce(&Arc<PageOwner>, usize) -> Result<PinnedPage, OverBudget>,
    ) -> Result<PinnedPage, (Page, Error)> {
        let owner = self.slot.owner.clone();
        let mut place = self.slot.lock();
        match std::mem::replace(&mut *place, Place::Nowhere) {
            Place::Resident(resident) => {
                drop(place);
                let (frame, ticket) = *resident;
                owner.pool.queue.leave(ticket);
                Ok(PinnedPage { owner, frame: Some(frame) })
            }
            Place::Evicted(block, encoded_bytes) => {
                // Nobody else moves an evicted page, so its lock need not be held while a frame is found (which may
                // evict others). The block is freed when `self` is dropped.
                *place = Place::Evicted(block, encoded_bytes);
                drop(place);
                let mut pinned = match allocate(&owner, self.len()) {
                    Ok(pinned) => pinned,
                    Err(refused) => return Err((self, refused.into())),
                };
                let Some(frame) = pinned.frame.as_mut() else { return Ok(pinned) };
                match owner.pool.restore(&owner, block, encoded_bytes, frame) {
                    Ok(()) => Ok(pinned),
                    Err(error) => Err((self, error)),
                }
            }
            Place::Nowhere => {
                drop(place);
                Err((self, Error::query("a page was pinned twice")))
            }
        }
    }

    /// Bytes of the page when it is in memory.
    pub fn len(&self) -> usize {
        self.slot.n_units as usize * SLOT_UNIT
    }

    /// Whether the page has no bytes; never the case.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let pool = &self.slot.owner.pool;
        let place = std::mem::replace(&mut *self.slot.lock(), Place::Nowhere);
        match place {
            Place::Resident(resident) => {
                let (frame, ticket) = *resident;
                pool.queue.leave(ticket);
                self.slot.owner.counters.resident.fetch_sub(frame.len() as u64, Ordering::Relaxed);
                pool.drop_frame(frame);
            }
            Place::Evicted(block, _) => pool.store.free(block),
            Place::Nowhere => {}
        }
    }
}

impl Slot {
    /// Bytes of the page when it is in memory.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.n_units) * SLOT_UNIT as u64
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        lock(&self.place)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evicted_page_costs_one_small_allocation() {
        // The counts of the Arc and the slot; the next size class of the allocator is 64.
        assert!(2 * size_of::<usize>() + size_of::<Slot>() <= 56, "{}", size_of::<Slot>());
    }
}
