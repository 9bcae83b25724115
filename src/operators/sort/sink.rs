//! The first half of a sort: each worker collects rows, and writes a run when its share of memory is used up.
//!
//! Memory: a worker's share of pages; the keys of one batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::SortState;
use super::buffer::{RowBuffer, spare_page};
use super::cutoff::Bound;
use super::encode::Keys;
use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::memory::PinnedPage;
use crate::row::RowScratch;

pub(super) struct SortSink {
    pub(super) state: Arc<SortState>,
}

struct LocalSort {
    state: Arc<SortState>,
    /// Made with the first row.
    collecting: Option<Collecting>,
    bound: Option<Bound>,
    share_bytes: u64,
    n_workers: usize,
}

struct Collecting {
    buffer: RowBuffer,
    /// Lent to the writer of a run.
    spare: Option<PinnedPage>,
}

/// Refusals in a row, with nothing to write away, that a worker takes for passing.
const REFUSALS: usize = 4;

impl Sink for SortSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let state = self.state.clone();
        let share_bytes = state.share() / cx.n_workers.max(1) as u64;
        Ok(Box::new(LocalSort { state, collecting: None, bound: None, share_bytes, n_workers: cx.n_workers.max(1) }))
    }

    fn finish(&self, cx: &TaskContext) -> Result<()> {
        self.state.start_merging(cx.n_workers.max(1))
    }
}

impl LocalSink for LocalSort {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        if batch.n_rows() == 0 {
            return Ok(Flow::More);
        }
        let state = self.state.clone();
        let stride = match state.rows.get() {
            Some(rows) => rows.shape.key_bytes,
            None => state.encoder.fixed_bytes().map_or(0, super::shape::RowShape::inline_bytes),
        };
        let mut columns = batch.data.columns().to_vec();
        let mut keys = state.encoder.encode(&columns, batch.sequence, None, stride)?;
        if state.spec.limit.is_some() {
            (columns, keys) = self.keep_admitted(columns, keys)?;
        }
        if keys.len() > 0 { self.append(&columns, keys) } else { Ok(Flow::More) }
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        match self.collecting.take() {
            Some(Collecting { mut buffer, spare: Some(spare) }) => self.state.add_rest(buffer.take(), spare),
            _ => Ok(()),
        }
    }
}

impl LocalSort {
    /// Drops rows that can no longer be among the first.
    fn keep_admitted(&mut self, columns: Vec<ArrayRef>, keys: Keys) -> Result<(Vec<ArrayRef>, Keys)> {
        self.state.cutoff.refresh(&mut self.bound);
        let Some(bound) = &self.bound else { return Ok((columns, keys)) };
        let admitted: Vec<u32> = (0..keys.len() as u32).filter(|&idx| bound.admits(keys.key(idx as usize))).collect();
        if admitted.len() == keys.len() {
            return Ok((columns, keys));
        }
        let keys = keys.select(&admitted);
        let admitted = UInt32Array::from(admitted);
        let columns = columns.iter().map(|column| take(column, &admitted, None)).collect::<Result<_, _>>()?;
        Ok((columns, keys))
    }

    fn append(&mut self, columns: &[ArrayRef], keys: Keys) -> Result<Flow> {
        let n_rows = keys.len();
        let rows = self.state.rows_of(&keys)?;
        let collecting = match &mut self.collecting {
            Some(collecting) => collecting,
            None => {
                let spare = Some(spare_page(&rows.owner)?);
                let buffer = RowBuffer::new(rows.shape.clone(), rows.owner.clone(), &self.state.cx.memory);
                self.collecting.insert(Collecting { buffer, spare })
            }
        };
        let columns = rows.shape.columns(columns, keys, collecting.buffer.spread_mut())?;
        let (mut start, mut refusals) = (0, 0);
        while start < n_rows {
            let len = RowScratch::MAX_ROWS.min(n_rows - start);
            let Some(collecting) = &mut self.collecting else { break };
            let (n_appended, refused) = collecting.buffer.append(&columns, start, len)?;
            start += n_appended;
            refusals = if n_appended > 0 { 0 } else { refusals + 1 };
            match refused {
                Some(refused) if collecting.buffer.n_rows() == 0 && refusals >= REFUSALS => return Err(refused.into()),
                Some(_) if collecting.buffer.n_rows() > 0 => self.write_run()?,
                None if self.is_share_used_up() => self.write_run()?,
                _ => {}
            }
        }
        Ok(Flow::More)
    }

    fn is_share_used_up(&self) -> bool {
        let now = self.state.cx.memory.limit_bytes() / 4 * 3 / self.n_workers as u64;
        let held = self.collecting.as_ref().map_or(0, |collecting| collecting.buffer.bytes());
        held >= self.share_bytes.min(now)
    }

    fn write_run(&mut self) -> Result<()> {
        self.state.cx.cancel.check()?;
        if let Some(collecting) = &mut self.collecting
            && let Some(spare) = collecting.spare.take()
        {
            collecting.spare = Some(self.state.write_run(collecting.buffer.take(), spare)?);
        }
        Ok(())
    }
}
