//! What comes out: pairs of rows that hold, and rows alone.
//!
//! Memory: one batch of output, bounded by its bytes however long single values are.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};

use super::Plan;
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, Sequence};
use crate::memory::Sizes;
use crate::operators::expression::{assemble, evaluate_predicate};
use crate::operators::join::JoinColumn;
use crate::operators::tagged::{LEFT, RIGHT, take_rows};
use crate::operators::value_bytes::ValueBytes;

/// Columns of one side that pairs are made of, and the bytes of their rows.
pub(super) struct SideRows {
    columns: Vec<ArrayRef>,
    bytes: ValueBytes,
}

impl SideRows {
    pub(super) fn new(columns: &[ArrayRef], n_rows: usize) -> Self {
        SideRows { columns: columns.to_vec(), bytes: ValueBytes::of(columns, n_rows) }
    }
}

/// A pair: the row of the left side, and that of the right.
pub(super) type Pair = [u32; 2];

/// Where output goes while a batch is handled.
pub(super) struct Output<'a, 'e> {
    plan: &'a Plan,
    sizes: Sizes,
    sequence: Sequence,
    emit: &'a mut Emit<'e>,
    /// Whether anybody wants more.
    pub(super) flow: Flow,
}

impl<'a, 'e> Output<'a, 'e> {
    pub(super) fn new(plan: &'a Plan, sizes: Sizes, sequence: Sequence, emit: &'a mut Emit<'e>) -> Self {
        Output { plan, sizes, sequence, emit, flow: Flow::More }
    }

    /// Pairs that may wait.
    pub(super) fn most_pairs(&self) -> usize {
        self.sizes.batch_rows
    }

    pub(super) fn is_done(&self) -> bool {
        self.flow == Flow::Done
    }

    /// Sends the pairs on for which the residual condition holds, and calls `matched` for each of these.
    pub(super) fn pairs(&mut self, sides: [&SideRows; 2], pairs: &[Pair], mut matched: impl FnMut(Pair)) -> Result<()> {
        let pair_bytes =
            |pair: &Pair| sides[LEFT].bytes.get(pair[LEFT] as usize) + sides[RIGHT].bytes.get(pair[RIGHT] as usize);
        let mut start = 0;
        while start < pairs.len() && !self.is_done() {
            let mut bytes = 0;
            let fits = |pair: &&Pair| {
                bytes += pair_bytes(pair);
                bytes <= self.sizes.batch_bytes
            };
            let len = pairs[start..].iter().take(self.sizes.batch_rows).take_while(fits).count().max(1);
            self.some_pairs(sides, &pairs[start..start + len], &mut matched)?;
            start += len;
        }
        Ok(())
    }

    fn some_pairs(&mut self, sides: [&SideRows; 2], pairs: &[Pair], matched: &mut impl FnMut(Pair)) -> Result<()> {
        let spec = &self.plan.spec;
        let indices = |side: usize, pairs: &[Pair]| pairs.iter().map(|pair| pair[side]).collect::<UInt32Array>();
        let pick = |columns: &[JoinColumn], pairs: &[Pair]| -> Result<Vec<ArrayRef>> {
            let rows = [indices(LEFT, pairs), indices(RIGHT, pairs)];
            let one = |column: &JoinColumn| match *column {
                JoinColumn::Probe(idx) => Ok(take_rows(&sides[LEFT].columns[idx..=idx], &rows[LEFT])?.remove(0)),
                JoinColumn::Build(idx) => Ok(take_rows(&sides[RIGHT].columns[idx..=idx], &rows[RIGHT])?.remove(0)),
                JoinColumn::Mark => Ok(new_null_array(&arrow::datatypes::DataType::Boolean, pairs.len())),
            };
            columns.iter().map(one).collect()
        };
        let mut held = Vec::new();
        let pairs = match &spec.residual {
            None => pairs,
            Some(residual) => {
                let batch = assemble(&residual.schema, pick(&residual.columns, pairs)?, pairs.len())?;
                let mask = evaluate_predicate(residual.predicate.as_ref(), &batch)?;
                let is_true = |idx: usize| mask.is_valid(idx) && mask.value(idx);
                held.extend(pairs.iter().enumerate().filter(|(idx, _)| is_true(*idx)).map(|(_, pair)| *pair));
                &held
            }
        };
        pairs.iter().for_each(|pair| matched(*pair));
        if !spec.join_type.gives_pairs() || pairs.is_empty() {
            return Ok(());
        }
        let columns = pick(&spec.output, pairs)?;
        self.send(columns, pairs.len(), false)
    }

    /// Sends rows of one side on alone. `columns` are those of the side, `matched` goes with `rows`.
    pub(super) fn alone(
        &mut self,
        side: usize,
        columns: &[ArrayRef],
        rows: &[u32],
        matched: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let wanted: Vec<u32> = rows.iter().copied().filter(|&row| self.plan.gives_alone(side, matched(row))).collect();
        if wanted.is_empty() || self.is_done() {
            return Ok(());
        }
        let spec = &self.plan.spec;
        let rows = UInt32Array::from(wanted);
        let mut output = Vec::with_capacity(spec.output.len());
        for (column, field) in spec.output.iter().zip(spec.schema.fields()) {
            output.push(match (*column, side) {
                (JoinColumn::Probe(idx), LEFT) | (JoinColumn::Build(idx), RIGHT) => {
                    take_rows(&columns[idx..=idx], &rows)?.remove(0)
                }
                (JoinColumn::Mark, _) => {
                    let marks: BooleanArray = rows.values().iter().map(|&row| Some(matched(row))).collect();
                    std::sync::Arc::new(marks)
                }
                _ => new_null_array(field.data_type(), rows.len()),
            });
        }
        self.send(output, rows.len(), false)
    }

    /// Ends the morsel.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.is_done() {
            return Ok(());
        }
        let fields = self.plan.spec.schema.fields().iter();
        let columns = fields.map(|field| arrow::array::new_empty_array(field.data_type())).collect();
        self.send(columns, 0, true)
    }

    fn send(&mut self, columns: Vec<ArrayRef>, n_rows: usize, last_of_morsel: bool) -> Result<()> {
        let data = assemble(&self.plan.spec.schema, columns, n_rows)?;
        self.flow = (self.emit)(Batch { data, sequence: self.sequence, last_of_morsel })?;
        self.sequence.batch += 1;
        Ok(())
    }
}
