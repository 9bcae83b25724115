//! A batch of the sorted input, with what the sweep asks of each row.
//!
//! Memory: 34 bytes a row beside the batch.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;

use super::{Plan, Until};
use crate::error::Result;
use crate::operators::rank::ranks;
use crate::operators::tagged::{LEFT, RIGHT, dead_rows};
use crate::operators::window::borders::changes;

/// See the module.
pub(super) struct Piece {
    pub(super) n_rows: usize,
    pub(super) columns: Vec<ArrayRef>,
    /// Where each row begins and ends on the line.
    pub(super) extents: Vec<(i128, i128)>,
    /// Whether it is of the right side.
    pub(super) is_right: BooleanBuffer,
    /// Whether it has a NULL and matches nothing.
    pub(super) dead: Vec<bool>,
    pub(super) matched: Vec<bool>,
    /// Set where keys differ from the row before.
    pub(super) starts: BooleanBuffer,
}

impl Piece {
    /// `before` has the keys of the last row of the batch before it, if that has equal keys.
    pub(super) fn new(plan: &Plan, batch: &RecordBatch, before: Option<&[ArrayRef]>) -> Result<Self> {
        let spec = &plan.spec;
        let input = &spec.input;
        let columns = batch.columns().to_vec();
        let n_rows = batch.num_rows();
        let is_right = columns[input.side()].as_boolean().values().clone();
        let places = oriented(&columns[input.place()], spec.descending)?;
        let lasts = match input.last {
            Some(last) => oriented(&columns[last], spec.descending)?,
            None => Vec::new(),
        };
        let until = |row: usize| match spec.until[side_of(&is_right, row)] {
            Until::Place => places[row],
            Until::Last => lasts[row],
            Until::Forever => i128::MAX,
        };
        let extents = (0..n_rows).map(|row| (places[row], until(row))).collect();
        let keys = &columns[..input.n_keys];
        let mut dead = vec![false; n_rows];
        dead_rows(keys.iter().filter(|_| !spec.null_equal).chain([&columns[input.place()]]), &mut dead);
        if let Some(nulls) = input.last.and_then(|last| columns[last].logical_nulls()) {
            for (row, dead) in dead.iter_mut().enumerate() {
                *dead |= spec.until[side_of(&is_right, row)] == Until::Last && nulls.is_null(row);
            }
        }
        let starts = changes(keys, before, n_rows)?;
        Ok(Piece { n_rows, extents, is_right, dead, matched: vec![false; n_rows], starts, columns })
    }

    #[inline(always)]
    pub(super) fn side(&self, row: usize) -> usize {
        side_of(&self.is_right, row)
    }
}

#[inline(always)]
fn side_of(is_right: &BooleanBuffer, row: usize) -> usize {
    if is_right.value(row) { RIGHT } else { LEFT }
}

/// Places that ascend along the input.
pub(super) fn oriented(column: &ArrayRef, descending: bool) -> Result<Vec<i128>> {
    let mut places = ranks(column)?;
    if descending {
        places.iter_mut().for_each(|place| *place = !*place);
    }
    Ok(places)
}
