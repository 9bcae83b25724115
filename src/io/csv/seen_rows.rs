//! Bad rows that a query has met already, because it reads a file more than once.
//!
//! All scans of a table cut it into the same morsels and leave out the same rows, in the same order within a morsel. So
//! it is enough to keep how far each morsel has come. Memory: an entry for each morsel that is being read or that some
//! scan left half-read, a few a worker; what is complete from the start on is one number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What the scans of one query over one table have met. It lasts as long as one of them does.
#[derive(Default)]
pub(super) struct SeenRows(Mutex<Weak<Seen>>);

impl SeenRows {
    /// What a new scan shares with those that there are, and whether it is the first.
    pub(super) fn join(&self) -> (Arc<Seen>, bool) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = current.upgrade() {
            return (seen, false);
        }
        let seen = Arc::new(Seen::default());
        *current = Arc::downgrade(&seen);
        (seen, true)
    }
}

/// The bad rows so far.
#[derive(Default)]
pub(super) struct Seen {
    n_rows: AtomicU64,
    progress: Mutex<Progress>,
}

/// What is wrong with rows: within a morsel, those of one kind are met in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fields,
    Values,
}

#[derive(Default)]
struct Progress {
    /// All morsels before this one are complete.
    complete_below: u64,
    morsels: BTreeMap<u64, Reached>,
}

#[derive(Default)]
struct Reached {
    is_complete: bool,
    /// Bad rows that start before this are known.
    fields: u64,
    values: u64,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows so far.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows.load(Ordering::Relaxed)
    }

    /// Bad rows start at `places`, which ascend. How many of them, from the first on, are known; the others count.
    pub(super) fn n_known(&self, morsel: u64, kind: Kind, places: impl ExactSizeIterator<Item = u64> + Clone) -> usize {
        let n_places = places.len();
        let mut progress = self.lock();
        if morsel < progress.complete_below {
            return n_places;
        }
        let reached = progress.morsels.entry(morsel).or_default();
        if reached.is_complete {
            return n_places;
        }
        let known_to = match kind {
            Kind::Fields => &mut reached.fields,
            Kind::Values => &mut reached.values,
        };
        let n_known = places.clone().take_while(|place| place < known_to).count();
        *known_to = places.last().map_or(*known_to, |last| (last + 1).max(*known_to));
        self.n_rows.fetch_add((n_places - n_known) as u64, Ordering::Relaxed);
        n_known
    }

    /// A scan has read all of `morsel`.
    pub(super) fn complete(&self, morsel: u64) {
        let mut progress = self.lock();
        let Progress { complete_below, morsels } = &mut *progress;
        if morsel < *complete_below {
            return;
        }
        morsels.entry(morsel).or_default().is_complete = true;
        while let Some(first) = morsels.first_entry()
            && *first.key() == *complete_below
            && first.get().is_complete
        {
            first.remove();
            *complete_below += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_counts_once_however_often_it_is_met() {
        let rows = SeenRows::default();
        let (seen, is_first) = rows.join();
        assert!(is_first);
        let push = |morsel, kind, places: &[u64]| seen.n_known(morsel, kind, places.iter().copied());
        assert_eq!(push(0, Kind::Values, &[3, 9]), 0);
        assert_eq!(push(0, Kind::Fields, &[4]), 0, "kinds are met one after the other");
        assert_eq!(push(2, Kind::Values, &[50]), 0);
        seen.complete(2);
        seen.complete(1);
        // The scan ends early in morsel 0; another one reads all.
        let (again, is_first) = rows.join();
        assert!(!is_first);
        let push = |morsel, kind, places: &[u64]| again.n_known(morsel, kind, places.iter().copied());
        assert_eq!(push(0, Kind::Fields, &[4]), 1);
        assert_eq!(push(0, Kind::Values, &[3, 9, 12]), 2);
        (0..3).for_each(|morsel| again.complete(morsel));
        assert_eq!(push(2, Kind::Values, &[50]), 1);
        assert_eq!(again.n_rows(), 5);
        let progress = again.lock();
        assert_eq!((progress.complete_below, progress.morsels.len()), (3, 0), "nothing is kept of what is complete");
        drop(progress);
        drop((seen, again));
        assert_eq!(rows.join().0.n_rows(), 0, "another query begins anew");
    }
}
