//! A worker's side of a join by order: batches arrive in order, their rows meet each other and the kept rows, and those
//! that reach further are kept.
//!
//! Memory: the kept rows, see [`super::active`]; a batch with its places; as many pairs as a batch has rows.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::concat;

use super::active::{Active, Marks};
use super::output::{Output, Pair, SideRows};
use super::piece::{Piece, oriented};
use super::{Plan, Until};
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, QueryContext};
use crate::operators::tagged::{LEFT, RIGHT, take_rows};

/// Chunks of at most so many rows are put together, once there are [`MANY_SMALL`] of them.
const SMALL_ROWS: usize = 1024;
/// See [`SMALL_ROWS`].
const MANY_SMALL: usize = 8;
/// A chunk of which at most one in so many rows still reaches on is written anew.
const WORTH_SHRINKING: usize = 4;

pub(super) struct LocalRangeJoin {
    plan: Arc<Plan>,
    cx: QueryContext,
    active: [Active; 2],
    /// Rows of the batch in hand that may meet others of it.
    open: [Vec<u32>; 2],
    pairs: Vec<Pair>,
    /// The keys of the last row of the morsel.
    last_keys: Option<Vec<ArrayRef>>,
}

impl LocalRangeJoin {
    pub(super) fn new(plan: Arc<Plan>, active: [Active; 2], cx: QueryContext) -> Self {
        LocalRangeJoin { plan, cx, active, open: Default::default(), pairs: Vec::new(), last_keys: None }
    }
}

impl LocalTransform for LocalRangeJoin {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let plan = self.plan.clone();
        let mut out = Output::new(&plan, self.cx.memory.sizes(), batch.sequence, emit);
        if batch.n_rows() > 0 {
            let mut piece = Piece::new(&plan, &batch.data, self.last_keys.as_deref())?;
            self.sweep(&mut piece, batch.last_of_morsel, &mut out)?;
            let last = UInt32Array::from(vec![piece.n_rows as u32 - 1]);
            self.last_keys = Some(take_rows(&piece.columns[..plan.spec.input.n_keys], &last)?);
        }
        if batch.last_of_morsel {
            self.finish_group(&mut out)?;
            self.last_keys = None;
            out.end()?;
        }
        Ok(out.flow)
    }
}

impl LocalRangeJoin {
    fn sweep(&mut self, piece: &mut Piece, is_last: bool, out: &mut Output<'_, '_>) -> Result<()> {
        let rows = [LEFT, RIGHT]
            .map(|side| SideRows::new(self.plan.spec.input.columns_of(side, &piece.columns), piece.n_rows));
        let mut starts: Vec<usize> = piece.starts.set_indices().filter(|&start| start > 0).collect();
        starts.push(piece.n_rows);
        if piece.starts.value(0) {
            self.finish_group(out)?;
        }
        let mut from = 0;
        for &to in &starts {
            if from == 0 {
                self.meet_kept(piece, 0..to, &rows, out)?;
            }
            if from == 0 && to < piece.n_rows {
                self.finish_group(out)?;
            }
            self.meet_within(piece, from..to, &rows, out)?;
            if to < piece.n_rows {
                from = to;
            }
            if out.is_done() {
                return Ok(());
            }
        }
        self.flush_within(piece, &rows, out)?;
        let open = if is_last { piece.n_rows..piece.n_rows } else { from..piece.n_rows };
        for side in [LEFT, RIGHT] {
            self.keep(piece, side, open.clone(), out)?;
        }
        Ok(())
    }

    /// Rows of one group in one batch meet each other.
    fn meet_within(
        &mut self,
        piece: &mut Piece,
        range: Range<usize>,
        rows: &[SideRows; 2],
        out: &mut Output<'_, '_>,
    ) -> Result<()> {
        let plan = self.plan.clone();
        let needs_pairs = plan.needs_pairs();
        let marks_others = [plan.marks(RIGHT), plan.marks(LEFT)];
        self.open.iter_mut().for_each(Vec::clear);
        for row in range {
            if piece.dead[row] {
                continue;
            }
            let (side, extent) = (piece.side(row), piece.extents[row]);
            let mut open = std::mem::take(&mut self.open[1 - side]);
            open.retain(|&other| piece.extents[other as usize].1 >= extent.0);
            for &other in &open {
                if !plan.meets(side, extent, piece.extents[other as usize]) {
                    continue;
                }
                if !needs_pairs {
                    piece.matched[row] = true;
                    piece.matched[other as usize] = true;
                    if marks_others[side] {
                        continue;
                    }
                    break;
                }
                let mut pair = [row as u32; 2];
                pair[1 - side] = other;
                self.pairs.push(pair);
                if self.pairs.len() >= out.most_pairs() {
                    self.flush_within(piece, rows, out)?;
                }
            }
            self.open[1 - side] = open;
            self.open[side].push(row as u32);
            if out.is_done() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn flush_within(&mut self, piece: &mut Piece, rows: &[SideRows; 2], out: &mut Output<'_, '_>) -> Result<()> {
        self.check()?;
        let matched = &mut piece.matched;
        out.pairs([&rows[LEFT], &rows[RIGHT]], &self.pairs, |pair| {
            pair.iter().for_each(|&row| matched[row as usize] = true);
        })?;
        self.pairs.clear();
        Ok(())
    }

    /// The rows of a batch that belong to the group of the kept rows meet these; then kept rows that end before the last
    /// of them are let go.
    fn meet_kept(
        &mut self,
        piece: &mut Piece,
        range: Range<usize>,
        rows: &[SideRows; 2],
        out: &mut Output<'_, '_>,
    ) -> Result<()> {
        let Some(last) = range.clone().rev().find(|&row| !piece.dead[row]) else { return Ok(()) };
        let position = piece.extents[last].0;
        for kept in [LEFT, RIGHT] {
            let arrived: Vec<u32> = range
                .clone()
                .filter(|&row| piece.side(row) != kept && !piece.dead[row])
                .map(|row| row as u32)
                .collect();
            let mut shrink = Vec::new();
            for idx in 0..self.active[kept].chunks.len() {
                if !arrived.is_empty() && self.meet_chunk(piece, (kept, idx), &arrived, (rows, position), out)? {
                    shrink.push(idx);
                }
                if out.is_done() {
                    return Ok(());
                }
            }
            for idx in shrink.into_iter().rev() {
                self.shrink(kept, &[idx], position, out)?;
            }
            for idx in (0..self.active[kept].chunks.len()).rev() {
                if self.active[kept].chunks[idx].max_until < position {
                    self.finish_chunk(kept, idx, out)?;
                }
            }
            let small = self.active[kept].small(SMALL_ROWS, self.cx.memory.sizes().batch_bytes / MANY_SMALL);
            if small.len() >= MANY_SMALL {
                self.shrink(kept, &small, position, out)?;
            }
            self.active[kept].end_reading()?;
        }
        Ok(())
    }

    /// The rows `arrived` meet those of a chunk. Returns whether few of these reach to `position`.
    fn meet_chunk(
        &mut self,
        piece: &mut Piece,
        (kept, idx): (usize, usize),
        arrived: &[u32],
        (rows, position): (&[SideRows; 2], i128),
        out: &mut Output<'_, '_>,
    ) -> Result<bool> {
        let plan = self.plan.clone();
        if self.active[kept].chunks[idx].max_until < piece.extents[arrived[0] as usize].0 {
            return Ok(false);
        }
        self.check()?;
        let columns = self.active[kept].columns(idx)?;
        let extents = extents_of(&plan, kept, &columns)?;
        let chunk = &mut self.active[kept].chunks[idx];
        let kept_rows = SideRows::new(&columns[plan.n_places(kept)..], chunk.n_rows);
        let both = if kept == LEFT { [&kept_rows, &rows[RIGHT]] } else { [&rows[LEFT], &kept_rows] };
        let (needs_pairs, gives_pairs) = (plan.needs_pairs(), plan.spec.join_type.gives_pairs());
        let (marks_kept, marks_arrived) = (plan.marks(kept), plan.marks(1 - kept));
        let mut flush = |pairs: &mut Vec<Pair>, matched: &mut [bool], marks: &mut Marks| -> Result<bool> {
            out.pairs(both, pairs, |pair| {
                marks.set(pair[kept] as usize);
                matched[pair[1 - kept] as usize] = true;
            })?;
            pairs.clear();
            Ok(out.is_done())
        };
        let most_pairs = self.cx.memory.sizes().batch_rows;
        for &row in arrived {
            let extent = piece.extents[row as usize];
            let n_reaching = extents.partition_point(|other| other.1 >= extent.0);
            for (other, &other_extent) in extents[..n_reaching].iter().enumerate() {
                let is_old = |is_marked: bool, matched: bool| !gives_pairs && is_marked && matched;
                if is_old(marks_arrived, piece.matched[row as usize]) {
                    break;
                }
                if is_old(marks_kept, chunk.marks.get(other)) || !plan.meets(1 - kept, extent, other_extent) {
                    continue;
                }
                if !needs_pairs {
                    chunk.marks.set(other);
                    piece.matched[row as usize] = true;
                    continue;
                }
                let mut pair = [row; 2];
                pair[kept] = other as u32;
                self.pairs.push(pair);
                if self.pairs.len() >= most_pairs && flush(&mut self.pairs, &mut piece.matched, &mut chunk.marks)? {
                    return Ok(false);
                }
            }
        }
        flush(&mut self.pairs, &mut piece.matched, &mut chunk.marks)?;
        let n_left = extents.partition_point(|other| other.1 >= position);
        Ok(n_left > 0 && n_left * WORTH_SHRINKING <= extents.len())
    }

    /// Rows of a batch from `open` on are kept where they reach further; all others are done.
    fn keep(&mut self, piece: &Piece, side: usize, open: Range<usize>, out: &mut Output<'_, '_>) -> Result<()> {
        let input = &self.plan.spec.input;
        let position = open.clone().rev().find(|&row| !piece.dead[row]).map(|row| piece.extents[row].0);
        let stays = |row: usize| {
            open.contains(&row) && !piece.dead[row] && position.is_some_and(|at| piece.extents[row].1 >= at)
        };
        let (mut kept, mut done) = (Vec::new(), Vec::new());
        for row in (0..piece.n_rows).filter(|&row| piece.side(row) == side) {
            if stays(row) { kept.push(row as u32) } else { done.push(row as u32) }
        }
        let columns = input.columns_of(side, &piece.columns);
        out.alone(side, columns, &done, |row| piece.matched[row as usize])?;
        if kept.is_empty() {
            return Ok(());
        }
        kept.sort_by_key(|&row| Reverse(piece.extents[row as usize].1));
        let last = input.last.filter(|_| self.plan.spec.until[side] == Until::Last);
        let places = [input.place()].into_iter().chain(last).map(|column| piece.columns[column].clone());
        let all: Vec<ArrayRef> = places.chain(columns.iter().cloned()).collect();
        let taken = take_rows(&all, &UInt32Array::from(kept.clone()))?;
        let marks = match self.plan.marks(side) {
            true => Marks::collect(kept.len(), |idx| piece.matched[kept[idx] as usize]),
            false => Marks::default(),
        };
        self.active[side].push(taken, kept.len(), piece.extents[kept[0] as usize].1, marks)
    }

    /// Puts the chunks `idxs`, from the last to the first, together without the rows that end before `position`.
    fn shrink(&mut self, side: usize, idxs: &[usize], position: i128, out: &mut Output<'_, '_>) -> Result<()> {
        let mut taken = Vec::new();
        for &idx in idxs {
            taken.push(self.active[side].take(idx)?);
        }
        let n_rows: usize = taken.iter().map(|(chunk, _)| chunk.n_rows).sum();
        let matched: Vec<bool> =
            taken.iter().flat_map(|(chunk, _)| (0..chunk.n_rows).map(|row| chunk.marks.get(row))).collect();
        let mut columns = Vec::with_capacity(taken[0].1.len());
        for column in 0..taken[0].1.len() {
            let parts: Vec<&dyn Array> = taken.iter().map(|(_, columns)| columns[column].as_ref()).collect();
            columns.push(concat(&parts)?);
        }
        drop(taken);
        let extents = extents_of(&self.plan, side, &columns)?;
        let (mut kept, done): (Vec<u32>, Vec<u32>) =
            (0..n_rows as u32).partition(|&row| extents[row as usize].1 >= position);
        out.alone(side, &columns[self.plan.n_places(side)..], &done, |row| matched[row as usize])?;
        if kept.is_empty() {
            return Ok(());
        }
        kept.sort_by_key(|&row| Reverse(extents[row as usize].1));
        let columns = take_rows(&columns, &UInt32Array::from(kept.clone()))?;
        let marks = match self.plan.marks(side) {
            true => Marks::collect(kept.len(), |idx| matched[kept[idx] as usize]),
            false => Marks::default(),
        };
        self.active[side].push(columns, kept.len(), extents[kept[0] as usize].1, marks)
    }

    /// No row to come has the keys of the kept ones.
    fn finish_group(&mut self, out: &mut Output<'_, '_>) -> Result<()> {
        for side in [LEFT, RIGHT] {
            for idx in (0..self.active[side].chunks.len()).rev() {
                self.finish_chunk(side, idx, out)?;
            }
            self.active[side].end_reading()?;
        }
        Ok(())
    }

    fn finish_chunk(&mut self, side: usize, idx: usize, out: &mut Output<'_, '_>) -> Result<()> {
        if !self.plan.marks(side) || out.is_done() {
            self.active[side].drop_chunk(idx);
            return Ok(());
        }
        self.check()?;
        let (chunk, columns) = self.active[side].take(idx)?;
        let all: Vec<u32> = (0..chunk.n_rows as u32).collect();
        out.alone(side, &columns[self.plan.n_places(side)..], &all, |row| chunk.marks.get(row as usize))
    }

    /// Whether to go on.
    fn check(&self) -> Result<()> {
        self.cx.cancel.check()?;
        self.cx.memory.check_overrun()
    }
}

/// Where the rows of a chunk begin and end.
fn extents_of(plan: &Plan, side: usize, columns: &[ArrayRef]) -> Result<Vec<(i128, i128)>> {
    let descending = plan.spec.descending;
    let places = oriented(&columns[0], descending)?;
    Ok(match plan.spec.until[side] {
        Until::Place => places.into_iter().map(|place| (place, place)).collect(),
        Until::Last => places.into_iter().zip(oriented(&columns[1], descending)?).collect(),
        Until::Forever => places.into_iter().map(|place| (place, i128::MAX)).collect(),
    })
}
