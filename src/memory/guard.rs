//! The resident-set guard: a thread that compares what the system reports with the budget.
//!
//! Near the budget it first gives back freed memory and code that is not in use, then lowers the limit so that operators spill.
//! When several looks in a row find more than the budget after all that, the running query fails.
//! It never refuses the buffers that a spill itself needs: those exist from the start.
//!
//! Several sessions of one process have a guard each. A guard leaves out what other sessions have reserved, and charges its
//! own session with all the rest, so that the process stays below the sum of the budgets.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::resident::resident_bytes_now;
use super::{Memory, live_bytes, release_freed_memory, release_program_pages};

/// How often resident memory is looked at. 10 ms at 1 GB/s of fresh memory is 10 MB, about the safety margin.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// After so many looks in a row at more than the budget the query fails. A few, because pinned pages come free any moment.
const OVERRUN_AFTER: u32 = 4;

/// Runs until dropped.
pub struct ResidentGuard {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ResidentGuard {
    /// Watches the process on behalf of `memory`. Live bytes that are not reserved at this moment count as known.
    pub fn watch(memory: Memory) -> Self {
        let (stop, stopped) = channel();
        let known_bytes = unreserved_bytes(&memory);
        let run = move || {
            let (mut n_over, mut overhead) = (0, Overhead::default());
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(SAMPLE_EVERY) {
                sample(&memory, known_bytes, &mut overhead);
                note_overrun(&memory, own_resident_bytes(&memory).unwrap_or(0), &mut n_over);
            }
        };
        let thread = std::thread::Builder::new().name("brimful-guard".into()).spawn(run).ok();
        ResidentGuard { stop: Some(stop), thread }
    }
}

impl Drop for ResidentGuard {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is resident beyond what is charged: the program, and memory that the allocator has not given back yet.
#[derive(Default)]
struct Overhead {
    /// The most of late.
    worst_bytes: u64,
}

impl Overhead {
    /// Takes a look into account. The worst is forgotten slowly, because what was needed once is needed again: half of
    /// the difference in a tenth of a second.
    fn see(&mut self, bytes: u64) -> u64 {
        let faded = self.worst_bytes.saturating_sub(bytes) / 16 * 15;
        self.worst_bytes = bytes + faded;
        self.worst_bytes
    }
}

/// Sets the limit so that what is charged and what comes on top stay within the budget, and gives memory back near it.
fn sample(memory: &Memory, known_bytes: u64, overhead: &mut Overhead) {
    charge_shadow(memory, known_bytes);
    let budget = memory.budget().bytes();
    let margin = memory.budget().safety_bytes() / 2;
    let Some(mut resident) = own_resident_bytes(memory) else { return };
    let charged = memory.charged_bytes();
    let has_room = |resident: u64| margin + resident.saturating_sub(charged) + memory.governed_bytes() <= budget;
    if !has_room(resident) {
        // Too much beside what is charged: cheaper to give back than to spill for.
        release_freed_memory();
        resident = own_resident_bytes(memory).unwrap_or(resident);
    }
    if !has_room(resident) {
        release_program_pages();
        resident = own_resident_bytes(memory).unwrap_or(resident);
    }
    let overhead_bytes = overhead.see(resident.saturating_sub(charged));
    memory.set_limit(budget.saturating_sub(margin + overhead_bytes));
    if resident + margin <= budget {
        return;
    }
    // What may stay charged for the rest to fit, whatever the limit was: growing further has to stop now.
    let excess = resident + margin - budget;
    let target = memory.charged_bytes().saturating_sub(excess);
    memory.set_limit(memory.limit_bytes().min(target));
    memory.relieve(excess);
}

/// Counts looks at more than the budget, after everything that could be given back was.
fn note_overrun(memory: &Memory, resident: u64, n_over: &mut u32) {
    *n_over = if resident > memory.budget().bytes() { *n_over + 1 } else { 0 };
    if *n_over >= OVERRUN_AFTER {
        memory.set_overrun(resident);
    }
}

/// What is live in the allocator and was not reserved is charged to everyone. Pages are mapped outside the allocator.
fn charge_shadow(memory: &Memory, known_bytes: u64) {
    memory.set_shadow(unreserved_bytes(memory).saturating_sub(known_bytes));
}

/// Live bytes that no session has reserved.
fn unreserved_bytes(memory: &Memory) -> u64 {
    live_bytes().saturating_sub(memory.reserved_outside_pages() + memory.reserved_by_others().outside_pages)
}

/// What is resident without what other sessions answer for.
fn own_resident_bytes(memory: &Memory) -> Option<u64> {
    Some(resident_bytes_now()?.saturating_sub(memory.reserved_by_others().bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn overhead_rises_at_once_and_is_forgotten_in_half_a_second() {
        let mut overhead = Overhead::default();
        assert_eq!(overhead.see(30 << 20), 30 << 20);
        assert_eq!(overhead.see(50 << 20), 50 << 20);
        let mut look = |n_looks: u32| (0..n_looks).map(|_| overhead.see(30 << 20)).last().unwrap_or(0) >> 20;
        assert!((39..=41).contains(&look(11)), "half of the difference after a tenth of a second");
        assert_eq!(look(40), 30);
    }

    #[test]
    fn only_several_looks_in_a_row_fail_the_query() {
        let memory = Memory::with_governed(100 << 20, 1);
        let mut n_over = 0;
        let mut look = |mib: u64| {
            note_overrun(&memory, mib << 20, &mut n_over);
            memory.check_overrun().map_err(|error| error.kind())
        };
        for mib in [150, 150, 150, 90, 150, 150, 150, 100] {
            assert_eq!(look(mib), Ok(()), "{mib}");
        }
        for _ in 1..OVERRUN_AFTER {
            assert_eq!(look(101), Ok(()));
        }
        assert_eq!(look(101), Err(ErrorKind::Budget));
        assert_eq!(look(50), Err(ErrorKind::Budget), "the query has to end");
        memory.set_overrun(0);
        assert!(memory.check_overrun().is_ok());
    }
}
