//! The allocator of the binary: jemalloc, with every live byte counted.
//!
//! Counting is exact whatever threads come and go: each thread adds to one of 64 padded static counters, and only their
//! sum has a meaning. Memory: 4 KiB of static counters.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tikv_jemallocator::Jemalloc;

/// Counters, as a power of two; more than the threads of any laptop.
const N_SLOTS: usize = 64;

/// Read by jemalloc when the process starts. Few arenas and a short decay, because a budget on resident memory needs freed
/// memory given back; no transparent huge pages, because they round resident memory up.
#[used]
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8; 91] =
    b"narenas:4,dirty_decay_ms:250,muzzy_decay_ms:0,background_thread:true,thp:never,tcache:true\0";

/// jemalloc with live bytes counted. Install it with `#[global_allocator]`.
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingAllocator;

#[repr(align(64))]
struct Counter(AtomicI64);

static COUNTERS: [Counter; N_SLOTS] = [const { Counter(AtomicI64::new(0)) }; N_SLOTS];
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Bytes allocated and not freed. Zero when [`CountingAllocator`] is not the global allocator.
pub fn live_bytes() -> u64 {
    let sum: i64 = COUNTERS.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum();
    sum.max(0) as u64
}

fn count(bytes: i64) {
    let slot = SLOT.with(|slot| {
        if slot.get() == usize::MAX {
            slot.set(NEXT_SLOT.fetch_add(1, Ordering::Relaxed) % N_SLOTS);
        }
        slot.get()
    });
    COUNTERS[slot].0.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call is passed on to jemalloc unchanged; the counters do not touch the memory, and `SLOT` is a
// const-initialized thread local without a destructor, so reading it never allocates and works while a thread ends.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's contract is jemalloc's.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as above.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { Jemalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { Jemalloc.realloc(pointer, layout, new_size) }
    }
}
