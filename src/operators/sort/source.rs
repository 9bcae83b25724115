//! The second half of a sort: workers take slices in key order and merge each into batches.
//!
//! Memory: the pages of a merge, and one batch.

use std::sync::Arc;

use super::{Phase, SortState};
use crate::error::{Error, Result};
use crate::exec::{Batch, LocalSource, Sequence, Source, TaskContext};
use crate::memory::Sizes;
use crate::row::{PieceBounds, RowMerge};

/// Rows of a batch: so many that a usual row's columns can be read one after the other while the rows stay in the
/// second-level cache.
pub(super) const BATCH_ROWS: usize = 8192;

/// How much is merged at once.
pub(super) fn batch_bounds(sizes: Sizes) -> PieceBounds {
    let max_pages = (sizes.batch_bytes / sizes.page_bytes).max(2);
    PieceBounds { max_rows: sizes.batch_rows.min(BATCH_ROWS), max_bytes: sizes.batch_bytes, max_pages }
}

pub(super) struct SortSource {
    pub(super) state: Arc<SortState>,
}

struct LocalRows {
    state: Arc<SortState>,
    merge: Option<RowMerge>,
    /// Whether this worker is one of those that the memory of the merge is for.
    has_place: bool,
    sequence: Sequence,
    bounds: PieceBounds,
    /// Rows that may still be handed out.
    left: u64,
}

impl Source for SortSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let bounds = batch_bounds(cx.sizes());
        let left = self.state.spec.limit.unwrap_or(u64::MAX);
        let state = self.state.clone();
        Ok(Box::new(LocalRows { state, merge: None, has_place: false, sequence: Sequence::default(), bounds, left }))
    }
}

impl LocalSource for LocalRows {
    fn next(&mut self) -> Result<Option<Batch>> {
        self.state.cx.cancel.check()?;
        if self.merge.is_none() && !self.take_slice()? {
            return Ok(None);
        }
        let (Some(merge), Some(of)) = (&mut self.merge, self.state.rows.get()) else { return Ok(None) };
        let bounds = PieceBounds {
            max_rows: self.bounds.max_rows.min(self.left.try_into().unwrap_or(usize::MAX)),
            ..self.bounds
        };
        let rows = merge.next_piece(bounds)?;
        let n_rows = rows.len() as u64;
        let data = of.shape.batch(&self.state.encoder, rows)?;
        self.left -= n_rows;
        let last_of_morsel = merge.is_done() || self.left == 0;
        let batch = Batch { data, sequence: self.sequence, last_of_morsel };
        self.sequence.batch += 1;
        if last_of_morsel {
            self.merge = None;
        }
        Ok(Some(batch))
    }
}

impl LocalRows {
    fn take_slice(&mut self) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        let merging = match &*self.state.lock_phase() {
            Phase::Merging(merge) => merge.clone(),
            Phase::Collecting(_) => return Err(Error::query("a sort was read before its input was complete")),
        };
        if !self.has_place && !merging.take_place() {
            return Ok(false);
        }
        self.has_place = true;
        let Some((morsel, inputs, slice)) = merging.take_slice() else { return Ok(false) };
        self.merge = Some(RowMerge::new(inputs, slice)?);
        self.sequence = Sequence { morsel, batch: 0 };
        Ok(true)
    }
}
