//! The first half of a sort: each worker collects rows, and writes a run when its share of memory is used up.
//!
//! Memory: a worker's share of pages; the keys of one batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::SortState;
use super::buffer::{RowBuffer, keep_first, spare_page};
use super::cutoff::Bound;
use super::encode::Keys;
use super::group_limit::GroupTops;
use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::memory::PinnedPage;
use crate::row::Condenser;

pub(super) struct SortSink {
    pub(super) state: Arc<SortState>,
}

struct LocalSort {
    state: Arc<SortState>,
    /// Made with the first row.
    collecting: Option<Collecting>,
    bound: Option<Bound>,
    tops: Option<GroupTops>,
    share_bytes: u64,
    /// Rows from which on it pays to forget those beyond the limit.
    forget_from: usize,
    n_workers: usize,
}

struct Collecting {
    buffer: RowBuffer,
    /// Lent to the writer of a run.
    spare: Option<PinnedPage>,
}

/// Refusals in a row, with nothing to write away, that a worker takes for passing.
const REFUSALS: usize = 4;

/// Rows after which a worker looks whether its share is used up.
const ROWS_AT_ONCE: usize = 2048;

/// One part in so many of memory is left to readers and other operators while there is anything to write away: what they
/// take while a few thousand rows are collected.
const HEADROOM_PART: u64 = 8;

/// With a small limit, rows that are collected before some are forgotten; as many as are cheap to sort at once.
const FORGET_BESIDE: usize = 1024;

impl Sink for SortSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let state = self.state.clone();
        let share_bytes = state.input_share() / cx.n_workers.max(1) as u64;
        let forget_from = match state.spec.limit.filter(|_| state.forgets) {
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(FORGET_BESIDE),
            None => usize::MAX,
        };
        let n_workers = cx.n_workers.max(1);
        let tops = GroupTops::new(&state, &cx.memory, n_workers);
        Ok(Box::new(LocalSort { state, collecting: None, bound: None, tops, share_bytes, forget_from, n_workers }))
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
        if state.spec.limit.is_none() {
            let keys = state.encoder.encode(&columns, batch.sequence, None, stride)?;
            let Some(tops) = self.tops.as_mut().filter(|tops| !tops.is_useless()) else {
                self.tops = None;
                return self.append(&columns, keys);
            };
            let admitted = tops.admit(&keys, &state.encoder);
            let (columns, keys) = keep_rows(columns, keys, admitted)?;
            return if keys.len() > 0 { self.append(&columns, keys) } else { Ok(Flow::More) };
        }
        let candidates = state.encoder.rows_up_to(state.cutoff.prefix(), &columns)?;
        if let Some(rows) = &candidates {
            if rows.is_empty() {
                return Ok(Flow::More);
            }
            columns = take_rows(&columns, rows.clone())?;
        }
        let keys = state.encoder.encode(&columns, batch.sequence, candidates.as_deref(), stride)?;
        let (columns, keys) = self.keep_admitted(columns, keys)?;
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
        keep_rows(columns, keys, admitted)
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
            let len = ROWS_AT_ONCE.min(n_rows - start);
            let Some(collecting) = &mut self.collecting else { break };
            let (n_appended, refused) = collecting.buffer.append(&columns, start, len);
            start += n_appended;
            refusals = if n_appended > 0 { 0 } else { refusals + 1 };
            match refused {
                Some(refused) if collecting.buffer.n_rows() == 0 && refusals >= REFUSALS => return Err(refused.into()),
                Some(_) if collecting.buffer.n_rows() > 0 => self.make_room()?,
                None if self.has_collected_enough() => self.make_room()?,
                _ => {}
            }
        }
        Ok(Flow::More)
    }

    fn has_collected_enough(&self) -> bool {
        self.is_share_used_up()
            || self.is_others_turn()
            || self.collecting.as_ref().is_some_and(|held| held.buffer.n_rows() >= self.forget_from)
    }

    /// Forgets what is beyond the limit if that is much, else writes a run.
    fn make_room(&mut self) -> Result<()> {
        let n_rows = self.collecting.as_ref().map_or(0, |collecting| collecting.buffer.n_rows() as u64);
        match self.state.spec.limit {
            Some(limit) if self.state.forgets && n_rows / 3 * 2 >= limit => self.forget(limit),
            _ => self.write_run(),
        }
    }

    /// Keeps the first `limit` rows. They are copied together; when there is no room for that, they become a run.
    fn forget(&mut self, limit: u64) -> Result<()> {
        let Some(Collecting { buffer, .. }) = &mut self.collecting else { return Ok(()) };
        let rows = buffer.take();
        let (key, spread) = (buffer.shape.key, rows.spread);
        let condenser = Condenser::new(&spread);
        let (mut rows, _entries) = rows.sort(key, &condenser);
        if let Some(last_key) = keep_first(&mut rows, key, Some(limit)) {
            self.state.cutoff.lower(&last_key);
        }
        if buffer.append_rows(&rows) {
            return Ok(());
        }
        // A part may have been copied; the rows themselves are still all there.
        drop(buffer.take());
        self.lend_spare(|state, spare| state.write_sorted(rows, spare, spread))
    }

    fn is_share_used_up(&self) -> bool {
        let now = self.state.cx.memory.limit_bytes() / 4 * 3 / self.n_workers as u64;
        self.held_bytes() >= self.share_bytes.min(now)
    }

    /// Whether readers and other operators are about to be refused for what is pinned here: they cannot evict that.
    fn is_others_turn(&self) -> bool {
        let cx = &self.state.cx;
        self.held_bytes() >= self.share_bytes / 4
            && cx.memory.available_bytes() + cx.pages.evictable_bytes() < cx.memory.limit_bytes() / HEADROOM_PART
    }

    fn held_bytes(&self) -> u64 {
        self.collecting.as_ref().map_or(0, |collecting| collecting.buffer.bytes())
    }

    fn write_run(&mut self) -> Result<()> {
        let Some(collecting) = &mut self.collecting else { return Ok(()) };
        let rows = collecting.buffer.take();
        self.lend_spare(|state, spare| state.write_run(rows, spare))
    }

    /// Lends the spare page to whoever writes a run.
    fn lend_spare(&mut self, write: impl FnOnce(&SortState, PinnedPage) -> Result<PinnedPage>) -> Result<()> {
        self.state.cx.cancel.check()?;
        if let Some(collecting) = &mut self.collecting
            && let Some(spare) = collecting.spare.take()
        {
            collecting.spare = Some(write(&self.state, spare)?);
        }
        Ok(())
    }
}

/// Some rows of a batch with their keys.
fn keep_rows(columns: Vec<ArrayRef>, keys: Keys, rows: Vec<u32>) -> Result<(Vec<ArrayRef>, Keys)> {
    if rows.len() == keys.len() {
        return Ok((columns, keys));
    }
    let keys = keys.select(&rows);
    Ok((take_rows(&columns, rows)?, keys))
}

fn take_rows(columns: &[ArrayRef], rows: Vec<u32>) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows);
    Ok(columns.iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?)
}
