//! A worker's side of an as-of join: batches arrive in order, and each left row takes the right row at hand.
//!
//! Memory: a batch with its places, a copy of the right row at hand, and the rows that wait, see [`super::Active`].

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Float64Type};

use super::output::{Match, Output};
use super::{AsofSpec, Direction, Tolerance};
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, QueryContext};
use crate::operators::range_join::active::{Active, Marks};
use crate::operators::rank::ranks;
use crate::operators::tagged::{LEFT, RIGHT, dead_rows, take_rows};
use crate::operators::window::borders::changes;

pub(super) struct LocalAsof {
    spec: Arc<AsofSpec>,
    cx: QueryContext,
    /// The last right row of the group, from batches before this one.
    at_hand: Option<RightRow>,
    /// Left rows that wait for a right row to come; only of [`Direction::Nearest`].
    waiting: Active,
    /// The keys of the last row of the morsel.
    last_keys: Option<Vec<ArrayRef>>,
}

/// A copy of a right row.
#[derive(Clone)]
struct RightRow {
    place: Place,
    columns: Vec<ArrayRef>,
}

/// Where a row is: its rank, and of floats the value, since ranks tell no distance between them.
#[derive(Debug, Clone, Copy)]
struct Place {
    rank: i128,
    float: Option<f64>,
}

impl Place {
    /// How far it is from `other`.
    fn distance(self, other: Place) -> Distance {
        match (self.float, other.float) {
            (Some(a), Some(b)) if a == b || a.is_nan() && b.is_nan() => Distance::Float(0.0),
            (Some(a), Some(b)) => Distance::Float((a - b).abs()),
            _ => Distance::Steps(self.rank.saturating_sub(other.rank).saturating_abs()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Distance {
    Steps(i128),
    Float(f64),
}

impl Distance {
    fn is_within(self, tolerance: Option<Tolerance>) -> bool {
        match (self, tolerance) {
            (_, None) => true,
            (Distance::Steps(steps), Some(Tolerance::Steps(most))) => steps <= most,
            (Distance::Steps(steps), Some(Tolerance::Float(most))) => steps as f64 <= most,
            (Distance::Float(far), Some(Tolerance::Steps(most))) => far <= most as f64,
            (Distance::Float(far), Some(Tolerance::Float(most))) => far <= most,
        }
    }

    /// Whether it is not further than `other`. A NaN is further than anything.
    fn is_at_most(self, other: Distance) -> bool {
        match (self, other) {
            (Distance::Steps(a), Distance::Steps(b)) => a <= b,
            (Distance::Float(a), Distance::Float(b)) => a <= b || b.is_nan(),
            _ => true,
        }
    }
}

/// Places of all rows of a column.
struct Places {
    ranks: Vec<i128>,
    floats: Option<ArrayRef>,
}

impl Places {
    fn of(column: &ArrayRef) -> Result<Self> {
        let floats = column.data_type().is_floating().then(|| cast(column, &DataType::Float64)).transpose()?;
        Ok(Places { ranks: ranks(column)?, floats })
    }

    fn get(&self, row: usize) -> Place {
        let float = self.floats.as_ref().map(|floats| floats.as_primitive::<Float64Type>().value(row));
        Place { rank: self.ranks[row], float }
    }
}

/// A batch, with what is asked of each row.
struct Piece {
    n_rows: usize,
    columns: Vec<ArrayRef>,
    places: Places,
    is_right: BooleanBuffer,
    dead: Vec<bool>,
    starts: BooleanBuffer,
}

impl LocalAsof {
    pub(super) fn new(spec: Arc<AsofSpec>, waiting: Active, cx: QueryContext) -> Self {
        LocalAsof { spec, cx, at_hand: None, waiting, last_keys: None }
    }

    fn piece(&self, batch: &Batch) -> Result<Piece> {
        let input = &self.spec.input;
        let columns = batch.data.columns().to_vec();
        let n_rows = batch.n_rows();
        let mut dead = vec![false; n_rows];
        dead_rows(&columns[..=input.place()], &mut dead);
        let starts = changes(&columns[..input.n_keys], self.last_keys.as_deref(), n_rows)?;
        let is_right = columns[input.side()].as_boolean().values().clone();
        Ok(Piece { n_rows, places: Places::of(&columns[input.place()])?, is_right, dead, starts, columns })
    }
}

impl LocalTransform for LocalAsof {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        self.cx.cancel.check()?;
        let spec = self.spec.clone();
        let mut out = Output::new(&spec, self.cx.memory.sizes(), batch.sequence, emit);
        if batch.n_rows() > 0 {
            let piece = self.piece(&batch)?;
            match spec.direction {
                Direction::Nearest => self.take_nearest(&piece, &mut out)?,
                _ => self.take_last(&piece, &mut out)?,
            }
            let last = UInt32Array::from(vec![piece.n_rows as u32 - 1]);
            self.last_keys = Some(take_rows(&piece.columns[..spec.input.n_keys], &last)?);
        }
        if batch.last_of_morsel {
            self.settle_waiting(None, &mut out)?;
            (self.at_hand, self.last_keys) = (None, None);
            out.end()?;
        }
        Ok(out.flow)
    }
}

/// The right row that a left row of a batch takes: one of the batch, or the one at hand before it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Candidate {
    None,
    AtHand,
    Row(u32),
}

impl LocalAsof {
    /// Each left row takes the last right row before it in the order of the sort.
    fn take_last(&mut self, piece: &Piece, out: &mut Output<'_, '_>) -> Result<()> {
        let keeps_first = self.spec.direction == Direction::Forward;
        let mut last = if self.at_hand.is_some() { Candidate::AtHand } else { Candidate::None };
        let at_hand = self.at_hand.as_ref().map(|row| row.place);
        let place_of = |candidate| match candidate {
            Candidate::None => None,
            Candidate::AtHand => at_hand,
            Candidate::Row(row) => Some(piece.places.get(row as usize)),
        };
        let mut found = Vec::new();
        for row in 0..piece.n_rows {
            if piece.starts.value(row) {
                last = Candidate::None;
            }
            let place = piece.places.get(row);
            match (piece.is_right.value(row), piece.dead[row]) {
                (true, true) => {}
                (true, false) => {
                    let is_same = place_of(last).is_some_and(|known| known.rank == place.rank);
                    if !(keeps_first && is_same) {
                        last = Candidate::Row(row as u32);
                    }
                }
                (false, true) => found.push((row as u32, Candidate::None)),
                (false, false) => {
                    let is_near = place_of(last).is_some_and(|of| place.distance(of).is_within(self.spec.tolerance));
                    found.push((row as u32, if is_near { last } else { Candidate::None }));
                }
            }
        }
        self.send(piece, &found, None, out)?;
        self.keep_at_hand(piece, last)
    }

    /// Sends left rows of a batch on with the right rows they take; `next` stands for [`Candidate::AtHand`] if it is there.
    fn send(
        &self,
        piece: &Piece,
        found: &[(u32, Candidate)],
        next: Option<&RightRow>,
        out: &mut Output<'_, '_>,
    ) -> Result<()> {
        let input = &self.spec.input;
        let mut right = input.columns_of(RIGHT, &piece.columns).to_vec();
        let mut n_right = piece.n_rows;
        if found.iter().any(|one| one.1 == Candidate::AtHand)
            && let Some(at_hand) = next.or(self.at_hand.as_ref())
        {
            for (column, value) in right.iter_mut().zip(&at_hand.columns) {
                *column = concat(&[column, value])?;
            }
            n_right += 1;
        }
        let matches: Vec<Match> = found
            .iter()
            .map(|&(row, candidate)| match candidate {
                Candidate::None => (row, None),
                Candidate::AtHand => (row, Some(piece.n_rows as u32)),
                Candidate::Row(right) => (row, Some(right)),
            })
            .collect();
        out.rows([input.columns_of(LEFT, &piece.columns), &right], [piece.n_rows, n_right], &matches)
    }

    fn keep_at_hand(&mut self, piece: &Piece, last: Candidate) -> Result<()> {
        match last {
            Candidate::AtHand => {}
            Candidate::None => self.at_hand = None,
            Candidate::Row(row) => self.at_hand = Some(self.right_row(piece, row)?),
        }
        Ok(())
    }

    fn right_row(&self, piece: &Piece, row: u32) -> Result<RightRow> {
        let columns = self.spec.input.columns_of(RIGHT, &piece.columns);
        let columns = take_rows(columns, &UInt32Array::from(vec![row]))?;
        Ok(RightRow { place: piece.places.get(row as usize), columns })
    }
}

/// The nearest of both directions.
impl LocalAsof {
    /// Each left row takes the nearer one of the last right row before it and the first one after it. Left rows after the
    /// last right row of the batch wait.
    fn take_nearest(&mut self, piece: &Piece, out: &mut Output<'_, '_>) -> Result<()> {
        let mut starts: Vec<usize> = piece.starts.set_indices().filter(|&start| start > 0).collect();
        starts.push(piece.n_rows);
        if piece.starts.value(0) {
            self.settle_waiting(None, out)?;
            self.at_hand = None;
        }
        let mut from = 0;
        for to in starts {
            self.nearest_of_group(piece, from..to, out)?;
            if to < piece.n_rows {
                self.settle_waiting(None, out)?;
                self.at_hand = None;
            }
            from = to;
            if out.is_done() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn nearest_of_group(&mut self, piece: &Piece, range: Range<usize>, out: &mut Output<'_, '_>) -> Result<()> {
        let is_right = |row: &usize| piece.is_right.value(*row) && !piece.dead[*row];
        let first_right = range.clone().find(is_right);
        if let Some(first) = first_right {
            let next = self.right_row(piece, first as u32)?;
            self.settle_waiting(Some(next), out)?;
        }
        let mut found = Vec::new();
        let mut next_right = first_right;
        let mut last = if self.at_hand.is_some() { Candidate::AtHand } else { Candidate::None };
        let mut last_place = self.at_hand.as_ref().map(|row| row.place);
        let mut waits = Vec::new();
        for row in range.clone() {
            let place = piece.places.get(row);
            if is_right(&row) {
                // Of several at one place the first one stays.
                if last_place.is_none_or(|known| known.rank != place.rank) {
                    (last, last_place) = (Candidate::Row(row as u32), Some(place));
                }
                next_right = (row + 1..range.end).find(is_right);
                continue;
            }
            if piece.is_right.value(row) {
                continue;
            }
            if piece.dead[row] {
                found.push((row as u32, Candidate::None));
                continue;
            }
            let Some(next) = next_right else {
                waits.push(row as u32);
                continue;
            };
            let to_next = place.distance(piece.places.get(next));
            let nearer = match last_place.map(|of| place.distance(of)) {
                Some(to_last) if to_last.is_at_most(to_next) => (last, to_last),
                _ => (Candidate::Row(next as u32), to_next),
            };
            let is_near = nearer.1.is_within(self.spec.tolerance);
            found.push((row as u32, if is_near { nearer.0 } else { Candidate::None }));
        }
        self.send(piece, &found, None, out)?;
        self.keep_at_hand(piece, last)?;
        self.wait(piece, waits)
    }

    fn wait(&mut self, piece: &Piece, rows: Vec<u32>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let input = &self.spec.input;
        let left = input.columns_of(LEFT, &piece.columns).iter();
        let columns: Vec<ArrayRef> = [&piece.columns[input.place()]].into_iter().chain(left).cloned().collect();
        let n_rows = rows.len();
        let columns = take_rows(&columns, &UInt32Array::from(rows))?;
        self.waiting.push(columns, n_rows, 0, Marks::default())
    }

    /// The waiting rows take the right row at hand or `next`.
    fn settle_waiting(&mut self, next: Option<RightRow>, out: &mut Output<'_, '_>) -> Result<()> {
        let candidates: Vec<RightRow> = self.at_hand.iter().cloned().chain(next).collect();
        let mut right = Vec::new();
        for column in 0..self.spec.input.n_columns[RIGHT] {
            let field = self.spec.input.schema.field(self.spec.input.first[RIGHT] + column);
            let parts: Vec<&dyn Array> = candidates.iter().map(|row| row.columns[column].as_ref()).collect();
            right.push(match parts.is_empty() {
                true => arrow::array::new_empty_array(field.data_type()),
                false => concat(&parts)?,
            });
        }
        // From the last to the first: that is how chunks are taken out.
        for idx in (0..self.waiting.chunks.len()).rev() {
            self.cx.cancel.check()?;
            let (chunk, columns) = self.waiting.take(idx)?;
            let places = Places::of(&columns[0])?;
            let nearest = |row: usize| {
                let place = places.get(row);
                let distances = candidates.iter().map(|of| place.distance(of.place)).enumerate();
                let (idx, far) = distances.reduce(|one, other| if one.1.is_at_most(other.1) { one } else { other })?;
                far.is_within(self.spec.tolerance).then_some(idx as u32)
            };
            let matches: Vec<Match> = (0..chunk.n_rows).map(|row| (row as u32, nearest(row))).collect();
            out.rows([&columns[1..], &right], [chunk.n_rows, candidates.len()], &matches)?;
            if out.is_done() {
                break;
            }
        }
        self.waiting.end_reading()
    }
}
