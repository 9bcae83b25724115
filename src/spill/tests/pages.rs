//! The page pool over a real spill store: contents survive eviction, refusals, failing disks and many threads, and
//! every byte goes back to the ledger.

use std::sync::Arc;

use proptest::prelude::*;

use super::{MIB, bytes};
use crate::memory::{Memory, Page, PageOwner, PagePool, PinnedPage, RawPages};
use crate::spill::{Disk, Fault, SpillConfig, SpillStore};
use crate::{Error, ErrorKind};

/// A pool over a spill store in a directory of its own.
struct Bed {
    memory: Memory,
    pages: Arc<PagePool>,
    store: Arc<SpillStore>,
    /// Reserved by the store's buffers.
    idle_bytes: u64,
    _dir: tempfile::TempDir,
}

impl Bed {
    fn new(governed: u64, disk: Arc<Disk>) -> Result<Self, Error> {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::with_governed(governed, 2);
        let store = SpillStore::new(&SpillConfig::in_dir(dir.path()), &memory, disk)?;
        let pages = PagePool::new(memory.clone(), store.clone())?;
        Ok(Bed { idle_bytes: memory.reserved_bytes(), memory, pages, store, _dir: dir })
    }

    fn owner(&self) -> Arc<PageOwner> {
        self.pages.owner("Test", Arc::new(RawPages))
    }

    /// Ends the pool and checks that nothing is left.
    fn close(self) {
        let Bed { memory, pages, store, idle_bytes, _dir } = self;
        assert_eq!(store.n_streams(), 0, "no live block");
        assert_eq!(Arc::strong_count(&pages), 1, "no page, no owner");
        assert_eq!(memory.available_bytes(), memory.governed_bytes() - idle_bytes);
        drop(pages);
        assert_eq!(memory.reserved_bytes(), idle_bytes);
        drop(store);
        assert_eq!(memory.reserved_bytes(), 0);
    }
}

fn fill(page: &mut PinnedPage, seed: u64) {
    let contents = bytes(seed, page.len(), seed.is_multiple_of(2));
    page.bytes_mut().copy_from_slice(&contents);
}

fn is_intact(page: &PinnedPage, seed: u64) -> bool {
    page.bytes() == bytes(seed, page.len(), seed.is_multiple_of(2))
}

/// Allocates, however often a test setting refuses.
fn allocate(owner: &Arc<PageOwner>, len: usize) -> PinnedPage {
    for _ in 0..100 {
        if let Ok(page) = owner.allocate(len) {
            return page;
        }
    }
    panic!("refused a hundred times");
}

#[derive(Debug, Clone)]
enum Step {
    Allocate { len: usize, priority: u32, stream: u32 },
    Rewrite(usize),
    Drop(usize),
    Reserve(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![9 => Just(1000), 1 => 17_000..300_000usize];
    prop_oneof![
        4 => (len, 0..4u32, 0..6u32).prop_map(|(len, priority, stream)| Step::Allocate { len, priority, stream }),
        3 => any::<usize>().prop_map(Step::Rewrite),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => (0..900_000u64).prop_map(Step::Reserve),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn pages_keep_their_bytes(
        steps in prop::collection::vec(step(), 1..300),
        refuse_every in prop_oneof![Just(0u64), 2..9u64],
        always in any::<bool>(),
    ) {
        let bed = Bed::new(2 * MIB, Disk::real()).unwrap();
        bed.memory.refuse_every(refuse_every);
        bed.pages.evict_always(always);
        let owner = bed.owner();
        let mut held = bed.memory.reserve("Other");
        let mut live: Vec<(u64, Page)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Allocate { len, priority, stream } => {
                    let mut page = allocate(&owner, len);
                    fill(&mut page, number as u64);
                    live.push((number as u64, page.unpin(priority, stream).unwrap()));
                }
                Step::Rewrite(pick) if !live.is_empty() => {
                    let (seed, page) = live.swap_remove(pick % live.len());
                    let mut page = page.pin().unwrap();
                    prop_assert!(is_intact(&page, seed));
                    fill(&mut page, number as u64);
                    live.push((number as u64, page.unpin(0, 0).unwrap()));
                }
                Step::Drop(pick) if !live.is_empty() => drop(live.swap_remove(pick % live.len())),
                Step::Reserve(bytes) => {
                    let _ = held.try_resize(bytes);
                }
                Step::Rewrite(_) | Step::Drop(_) => {}
            }
            prop_assert!(bed.memory.reserved_bytes() <= 2 * MIB);
        }
        for (seed, page) in live {
            prop_assert!(is_intact(&page.pin().unwrap(), seed));
        }
        let counters = owner.counters();
        prop_assert_eq!(counters.resident_bytes, 0);
        prop_assert_eq!(counters.restored_bytes <= counters.spilled_raw_bytes, true);
        drop((owner, held));
        bed.close();
    }
}

#[test]
fn many_threads_share_one_small_pool() {
    for (refuse_every, always) in [(0, false), (5, false), (7, true)] {
        let bed = Bed::new(3 * MIB, Disk::real()).unwrap();
        bed.memory.refuse_every(refuse_every);
        bed.pages.evict_always(always);
        std::thread::scope(|scope| {
            for thread in 0..6u64 {
                let (owner, memory) = (bed.owner(), bed.memory.clone());
                scope.spawn(move || one_of_many(thread, &owner, &memory));
            }
        });
        assert!(bed.store.counters().raw_bytes > 3 * MIB, "it spilled");
        bed.close();
    }
}

/// Works on up to 80 pages of 16 KiB, and now and then a large one, of which 3 MiB hold a third.
fn one_of_many(thread: u64, owner: &Arc<PageOwner>, memory: &Memory) {
    let mut live: Vec<(u64, Page)> = Vec::new();
    let mut held = memory.reserve("Other");
    for n in 0..400u64 {
        let seed = thread << 32 | n;
        let len = if n % 29 == 28 { 100_000 } else { 1000 };
        let mut page = allocate(owner, len);
        fill(&mut page, seed);
        live.push((seed, page.unpin((n % 3) as u32, (n % 5) as u32).unwrap()));
        let _ = held.try_resize(n % 7 * 20_000);
        if live.len() > 80 || n % 3 == 2 {
            let pick = (n as usize * 31) % live.len();
            let (seed, page) = live.swap_remove(pick);
            if n % 2 == 0 {
                let page = page.pin().unwrap();
                assert!(is_intact(&page, seed));
                live.push((seed, page.unpin(1, 1).unwrap()));
            }
        }
    }
    for (seed, page) in live {
        assert!(is_intact(&page.pin().unwrap(), seed));
    }
}

#[test]
fn pages_that_are_pinned_while_they_are_evicted_are_whole() {
    let bed = Bed::new(2 * MIB, Disk::real()).unwrap();
    let owner = bed.owner();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = bed.memory.reserve("Other");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = held.try_resize(1_700_000);
                held.shrink(held.bytes());
            }
        });
        let pages: Vec<Page> = (0..8)
            .map(|seed| {
                let mut page = allocate(&owner, 1000);
                fill(&mut page, seed);
                page.unpin(0, 0).unwrap()
            })
            .collect();
        let mut pages = pages;
        for _ in 0..2000 {
            pages = pages
                .into_iter()
                .enumerate()
                .map(|(seed, page)| {
                    let mut page = page;
                    let pinned = loop {
                        match page.try_pin() {
                            Ok(pinned) => break pinned,
                            Err((back, error)) => {
                                assert_eq!(error.kind(), ErrorKind::Budget);
                                page = back;
                            }
                        }
                    };
                    assert!(is_intact(&pinned, seed as u64));
                    pinned.unpin(0, 0).unwrap()
                })
                .collect();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop(owner);
    bed.close();
}

/// Fills more than the pool, then reads everything; returns the first error, and whether what is left is intact.
fn overfill(bed: &Bed) -> Result<(), Error> {
    let owner = bed.owner();
    let mut live: Vec<(u64, Page)> = Vec::new();
    let mut first = None;
    for seed in 0..90 {
        match owner.allocate(1000) {
            Ok(mut page) => {
                fill(&mut page, seed);
                live.push((seed, page.unpin(seed as u32, (seed % 4) as u32)?));
            }
            Err(refused) => {
                // Pages that were to be evicted are still there: from now on the disk works again.
                first = Some(Error::from(refused));
            }
        }
    }
    let mut lost = 0;
    for (seed, page) in live {
        match page.pin() {
            Ok(page) => assert!(is_intact(&page, seed), "page {seed}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
                first.get_or_insert(error);
                lost += 1;
            }
        }
    }
    assert!(lost <= 1, "one failed call costs at most the page that was being read");
    first.map_or(Ok(()), Err)
}

#[test]
fn a_disk_that_fails_during_eviction_leaves_pages_intact() {
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        let mut n_failed = 0;
        for n in 1.. {
            let disk = Disk::faulty(n, fault);
            let bed = match Bed::new(MIB, disk.clone()) {
                Ok(bed) => bed,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Disk);
                    continue;
                }
            };
            match overfill(&bed) {
                Ok(()) if disk.calls() < n => break,
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
                    n_failed += 1;
                }
            }
            bed.close();
        }
        assert!(n_failed > 20, "{fault:?}: {n_failed}");
    }
}

#[test]
fn an_error_from_unpin_frees_the_page() {
    let bed = Bed::new(MIB, Disk::faulty(2, Fault::Io)).unwrap();
    bed.pages.evict_always(true);
    let owner = bed.owner();
    assert_eq!(allocate(&owner, 1000).unpin(0, 0).err().unwrap().kind(), ErrorKind::Disk);
    assert_eq!(owner.counters().resident_bytes, 0);
    drop(owner);
    bed.close();
}

#[test]
fn large_pages_evict_only_what_they_need_and_say_when_they_never_fit() {
    let bed = Bed::new(4 * MIB, Disk::real()).unwrap();
    let owner = bed.owner();
    let small: Vec<Page> = (0..100).map(|_| allocate(&owner, 1000).unpin(0, 0).unwrap()).collect();
    let before = owner.counters();
    let refused = owner.allocate(5 << 20).err().unwrap();
    assert!(refused.smallest_budget() > 4 * MIB);
    assert!(owner.allocate(usize::MAX - 5).is_err());
    assert_eq!(owner.counters(), before, "nothing was evicted for what cannot fit");
    let large = owner.allocate(3 << 20).unwrap();
    let spilled = owner.counters().spilled_raw_bytes;
    assert!(spilled > 0 && spilled < 1_000_000, "{spilled}");
    let large = large.unpin(9, 0).unwrap();
    let pinned: Vec<PinnedPage> = small.into_iter().map(|page| page.pin().unwrap()).collect();
    assert_eq!(owner.counters().spilled_raw_bytes, spilled + (3 << 20), "the large page goes to disk whole");
    drop(pinned);
    assert_eq!(large.pin().unwrap().len(), 3 << 20);
    drop(owner);
    bed.close();
}

#[test]
fn the_highest_priority_goes_first() {
    let bed = Bed::new(2 * MIB, Disk::real()).unwrap();
    let owner = bed.owner();
    let n_fit = bed.memory.available_bytes() / owner.page_bytes() as u64;
    let (soon, late) = (bed.owner(), bed.owner());
    let mut pages = Vec::new();
    for n in 0..n_fit {
        let (owner, priority) = if n % 2 == 0 { (&soon, 1) } else { (&late, 2) };
        pages.push(allocate(owner, 1000).unpin(priority, 0).unwrap());
    }
    let taken: Vec<PinnedPage> = (0..n_fit / 4).map(|_| allocate(&owner, 1000)).collect();
    assert_eq!(soon.counters().spilled_raw_bytes, 0);
    assert_eq!(late.counters().spilled_raw_bytes, (taken.len() * owner.page_bytes()) as u64);
    drop((pages, taken, owner, soon, late));
    bed.close();
}
