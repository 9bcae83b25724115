//! Bad rows that a query has met already, because it reads a file more than once.
//!
//! All scans of a table cut a file into the same blocks and leave out the same rows, in the same order within a block. So
//! it is enough to keep how far each block has come. Memory: a number a file, for the blocks from the first one on that
//! are complete, and an entry for each block that is being read or that some scan left half-read, a few a worker.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::exec::CancelToken;

/// What the scans of each query over one table have met. It lasts as long as one of them does.
#[derive(Default)]
pub(in crate::io) struct SeenRows(Mutex<Vec<(Option<CancelToken>, Weak<Seen>)>>);

impl SeenRows {
    /// What a new scan shares with those of its query that there are, and whether it is the first. What stops a query
    /// tells it from others.
    pub(in crate::io) fn join(&self, query: Option<&CancelToken>) -> (Arc<Seen>, bool) {
        let mut queries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queries.retain(|(_, seen)| seen.strong_count() > 0);
        let is_of_query = |known: &Option<CancelToken>| match (known, query) {
            (Some(known), Some(query)) => known.is_same(query),
            (None, None) => true,
            _ => false,
        };
        let found = queries.iter().find(|(known, _)| is_of_query(known));
        if let Some(seen) = found.and_then(|(_, seen)| seen.upgrade()) {
            return (seen, false);
        }
        let seen = Arc::new(Seen::default());
        queries.push((query.cloned(), Arc::downgrade(&seen)));
        (seen, true)
    }
}

/// The bad rows so far.
#[derive(Default)]
pub(in crate::io) struct Seen {
    n_rows: AtomicU64,
    progress: Mutex<Progress>,
}

/// A block: the place of its file in the table, and its own in the file.
pub(in crate::io) type Place = (usize, u64);

/// What is wrong with rows: within a block, those of one kind are met in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::io) enum Kind {
    Fields,
    Values,
}

#[derive(Default)]
struct Progress {
    /// For each file, the block before which all are complete.
    complete_below: HashMap<usize, u64>,
    blocks: BTreeMap<Place, Reached>,
}

impl Progress {
    fn is_complete(&self, (file, block): Place) -> bool {
        self.complete_below.get(&file).is_some_and(|below| block < *below)
            || self.blocks.get(&(file, block)).is_some_and(|reached| reached.is_complete)
    }
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
    pub(in crate::io) fn n_rows(&self) -> u64 {
        self.n_rows.load(Ordering::Relaxed)
    }

    /// Bad rows start at `starts`, which ascend. How many of them, from the first on, are known; the others count.
    pub(in crate::io) fn n_known(
        &self,
        place: Place,
        kind: Kind,
        starts: impl ExactSizeIterator<Item = u64> + Clone,
    ) -> usize {
        let n_rows = starts.len();
        let mut progress = self.lock();
        if progress.is_complete(place) {
            return n_rows;
        }
        let reached = progress.blocks.entry(place).or_default();
        let known_to = match kind {
            Kind::Fields => &mut reached.fields,
            Kind::Values => &mut reached.values,
        };
        let n_known = starts.clone().take_while(|start| start < known_to).count();
        *known_to = starts.last().map_or(*known_to, |last| (last + 1).max(*known_to));
        self.n_rows.fetch_add((n_rows - n_known) as u64, Ordering::Relaxed);
        n_known
    }

    /// A scan has read all of a block.
    pub(in crate::io) fn complete(&self, place: Place) {
        let mut progress = self.lock();
        if progress.is_complete(place) {
            return;
        }
        let Progress { complete_below, blocks } = &mut *progress;
        blocks.entry(place).or_default().is_complete = true;
        let file = place.0;
        let below = complete_below.entry(file).or_default();
        while blocks.get(&(file, *below)).is_some_and(|reached| reached.is_complete) {
            blocks.remove(&(file, *below));
            *below += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_counts_once_however_often_it_is_met() {
        let (rows, query) = (SeenRows::default(), CancelToken::default());
        let (seen, is_first) = rows.join(Some(&query));
        assert!(is_first);
        let push = |block, kind, starts: &[u64]| seen.n_known((7, block), kind, starts.iter().copied());
        assert_eq!(push(0, Kind::Values, &[3, 9]), 0);
        assert_eq!(push(0, Kind::Fields, &[4]), 0, "kinds are met one after the other");
        assert_eq!(push(2, Kind::Values, &[50]), 0);
        seen.complete((7, 2));
        seen.complete((7, 1));
        // The scan ends early in block 0; another one reads all.
        let (again, is_first) = rows.join(Some(&query));
        assert!(!is_first);
        let push = |block, kind, starts: &[u64]| again.n_known((7, block), kind, starts.iter().copied());
        assert_eq!(push(0, Kind::Fields, &[4]), 1);
        assert_eq!(push(0, Kind::Values, &[3, 9, 12]), 2);
        (0..3).for_each(|block| again.complete((7, block)));
        assert_eq!(push(2, Kind::Values, &[50]), 1);
        assert_eq!(again.n_known((6, 2), Kind::Values, [50].into_iter()), 0, "another file");
        again.complete((6, 2));
        assert_eq!(again.n_rows(), 6);
        let progress = again.lock();
        assert_eq!((progress.complete_below[&7], progress.blocks.len()), (3, 1), "nothing is kept of what is complete");
        drop(progress);
        let (other, is_first) = rows.join(Some(&CancelToken::default()));
        assert_eq!((other.n_rows(), is_first), (0, true), "another query meanwhile");
        drop((seen, again));
        assert_eq!(rows.join(Some(&query)).0.n_rows(), 0, "another query begins anew");
    }
}
