//! What comes out: left rows, each with one right row or none.
//!
//! Memory: one batch of output, bounded by its bytes however long single values are.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::AsofSpec;
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, Sequence};
use crate::memory::Sizes;
use crate::operators::expression::assemble;
use crate::operators::join::JoinColumn;
use crate::operators::tagged::{LEFT, RIGHT};
use crate::operators::value_bytes::ValueBytes;

/// A left row and the right row that goes with it.
pub(super) type Match = (u32, Option<u32>);

/// Where output goes while a batch is handled.
pub(super) struct Output<'a, 'e> {
    spec: &'a AsofSpec,
    sizes: Sizes,
    sequence: Sequence,
    emit: &'a mut Emit<'e>,
    /// Whether anybody wants more.
    pub(super) flow: Flow,
}

impl<'a, 'e> Output<'a, 'e> {
    pub(super) fn new(spec: &'a AsofSpec, sizes: Sizes, sequence: Sequence, emit: &'a mut Emit<'e>) -> Self {
        Output { spec, sizes, sequence, emit, flow: Flow::More }
    }

    pub(super) fn is_done(&self) -> bool {
        self.flow == Flow::Done
    }

    /// Sends rows on; `sides` are the columns of the left and the right side, of so many rows.
    pub(super) fn rows(&mut self, sides: [&[ArrayRef]; 2], n_rows: [usize; 2], matches: &[Match]) -> Result<()> {
        let keeps_left = self.spec.keeps_left;
        let wanted: Vec<Match> = matches.iter().copied().filter(|one| keeps_left || one.1.is_some()).collect();
        let bytes = [LEFT, RIGHT].map(|side| ValueBytes::of(sides[side], n_rows[side]));
        let mut start = 0;
        while start < wanted.len() && !self.is_done() {
            let mut filled = 0;
            let fits = |(left, right): &&Match| {
                filled += bytes[LEFT].get(*left as usize) + right.map_or(0, |right| bytes[RIGHT].get(right as usize));
                filled <= self.sizes.batch_bytes
            };
            let len = wanted[start..].iter().take(self.sizes.batch_rows).take_while(fits).count().max(1);
            self.some_rows(sides, &wanted[start..start + len])?;
            start += len;
        }
        Ok(())
    }

    fn some_rows(&mut self, sides: [&[ArrayRef]; 2], matches: &[Match]) -> Result<()> {
        let left: UInt32Array = matches.iter().map(|one| Some(one.0)).collect();
        let right: UInt32Array = matches.iter().map(|one| one.1).collect();
        let pick = |column: &JoinColumn| match *column {
            JoinColumn::Build(idx) => take(&sides[RIGHT][idx], &right, None),
            JoinColumn::Probe(idx) => take(&sides[LEFT][idx], &left, None),
            JoinColumn::Mark => Ok(arrow::array::new_null_array(&arrow::datatypes::DataType::Boolean, matches.len())),
        };
        let columns = self.spec.output.iter().map(pick).collect::<Result<Vec<_>, _>>()?;
        self.send(columns, matches.len(), false)
    }

    /// Ends the morsel.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let fields = self.spec.schema.fields().iter();
        let columns = fields.map(|field| arrow::array::new_empty_array(field.data_type())).collect();
        self.send(columns, 0, true)
    }

    fn send(&mut self, columns: Vec<ArrayRef>, n_rows: usize, last_of_morsel: bool) -> Result<()> {
        let data = assemble(&self.spec.schema, columns, n_rows)?;
        self.flow = (self.emit)(Batch { data, sequence: self.sequence, last_of_morsel })?;
        self.sequence.batch += 1;
        Ok(())
    }
}
