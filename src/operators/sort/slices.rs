//! The last merge, cut into slices of the key space that workers take in order.
//!
//! Memory: a border of 16 bytes a slice. Where groups must stay together, a slice has as many rows as its largest group
//! wants; it is merged like any other, a page of each run at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::SortState;
use crate::error::Result;
use crate::memory::Reservation;
use crate::row::{IndexKey, KeySpread, MergeInputs, MergeRun, Run, SharedRun, Slice, SortedRows};

/// Batches of a slice: enough that starting a merge costs little, few enough that an output which keeps the order has no
/// worker wait for long.
const BATCHES_PER_SLICE: usize = 4;
/// Rows of a slice for each run, so that starting a merge costs little.
const ROWS_PER_RUN: usize = 128;
/// Keys looked at for each border.
const SAMPLES_PER_SLICE: usize = 16;

/// The rows in order, to be handed out.
pub(crate) struct SlicedMerge {
    pub(super) inputs: Option<Arc<MergeInputs>>,
    borders: Arc<[IndexKey]>,
    next: AtomicUsize,
    _memory: Vec<Reservation>,
}

/// What is merged.
pub(super) enum Sources {
    /// Runs on pages; whether their index tells the order of keys.
    Runs { runs: Vec<Run>, indexed: bool },
    /// Rows that never left memory.
    Pinned(Vec<SortedRows>),
}

impl SlicedMerge {
    /// Without any rows.
    pub(super) fn empty() -> Self {
        SlicedMerge { inputs: None, borders: Arc::new([]), next: AtomicUsize::new(0), _memory: Vec::new() }
    }

    pub(super) fn new(
        inputs: MergeInputs,
        sources: Sources,
        memory: Vec<Reservation>,
        spread: &KeySpread,
        state: &SortState,
    ) -> Result<Self> {
        let key = inputs.key;
        let group_start = |sample: &IndexKey| state.group_start(key, spread, sample);
        let borders: Arc<[IndexKey]> = match state.spec.limit {
            // Only whoever knows how many rows came before can stop in time.
            Some(_) => Arc::new([]),
            None => choose_borders(&sources, state.cx.memory.sizes().batch_rows, group_start).into(),
        };
        let runs = match sources {
            Sources::Runs { runs, .. } => {
                runs.into_iter().map(|run| MergeRun::Pages(SharedRun::new(run, borders.clone()))).collect()
            }
            Sources::Pinned(runs) => runs.into_iter().map(MergeRun::Pinned).collect(),
        };
        let inputs = Some(Arc::new(inputs.with_runs(runs)));
        Ok(SlicedMerge { inputs, borders, next: AtomicUsize::new(0), _memory: memory })
    }

    /// The next slice that nobody has taken, and its number.
    pub(super) fn take_slice(&self) -> Option<(u64, Arc<MergeInputs>, Slice)> {
        let inputs = self.inputs.as_ref()?;
        let idx = self.next.fetch_add(1, Ordering::Relaxed);
        let from = idx.checked_sub(1).map(|before| self.borders.get(before).copied());
        match from {
            Some(None) => None,
            from => {
                Some((idx as u64, inputs.clone(), Slice { from: from.flatten(), to: self.borders.get(idx).copied() }))
            }
        }
    }
}

/// Rows of a slice of `n_runs`.
pub(super) fn slice_rows(n_runs: usize, batch_rows: usize) -> usize {
    // Tests sort few rows and shall see many slices.
    let batch_rows = if cfg!(test) { batch_rows / 64 } else { batch_rows };
    (batch_rows * BATCHES_PER_SLICE).max(n_runs * ROWS_PER_RUN)
}

/// Borders between slices of about the same number of rows, where a group starts: `group_start` gives that for any key, or
/// `None` in the first group.
fn choose_borders(
    sources: &Sources,
    batch_rows: usize,
    group_start: impl Fn(&IndexKey) -> Option<IndexKey>,
) -> Vec<IndexKey> {
    let (n_rows, n_runs) = match sources {
        Sources::Runs { indexed: false, .. } => return Vec::new(),
        Sources::Runs { runs, .. } => (runs.iter().map(Run::n_rows).sum::<usize>(), runs.len()),
        Sources::Pinned(runs) => (runs.iter().map(SortedRows::len).sum(), runs.len()),
    };
    let slice_rows = slice_rows(n_runs, batch_rows);
    let sample_rows = slice_rows / SAMPLES_PER_SLICE;
    let mut samples: Vec<(IndexKey, usize)> = Vec::new();
    match sources {
        Sources::Runs { runs, .. } => {
            for run in runs {
                let mut since = 0;
                for (first, n_rows) in run.index() {
                    if since >= sample_rows {
                        samples.push((*first, since));
                        since = 0;
                    }
                    since += n_rows;
                }
            }
        }
        Sources::Pinned(runs) => {
            for rows in runs {
                let steps = (sample_rows..rows.len()).step_by(sample_rows);
                samples.extend(steps.map(|idx| (rows.index_key(idx), sample_rows)));
            }
        }
    }
    samples.sort_unstable();
    let mut borders: Vec<IndexKey> = Vec::with_capacity(n_rows / slice_rows + 1);
    let mut since = 0;
    for (key, n_rows) in samples {
        since += n_rows;
        if since < slice_rows {
            continue;
        }
        if let Some(start) = group_start(&key).filter(|start| borders.last().is_none_or(|last| last < start)) {
            borders.push(start);
            since = 0;
        }
    }
    borders
}
