//! The probe side as it streams past: rows whose partition is in memory are joined, the others are spilled.
//!
//! Memory: one scratch block a worker, and a write page for each spilled partition.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{filter_record_batch, take};

use super::build::Built;
use super::matcher::{Matcher, Pass};
use super::plan::PROBE;
use super::remainder::Remainder;
use super::rows::{PartitionWriter, Stage, partition_of};
use super::spec::JoinType;
use super::{Shared, lock};
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, Sequence, Source, TaskContext, Transform};
use crate::row::{Columns, Hash, RowPointers, SealedPages};

pub(super) struct JoinProbe {
    pub(super) shared: Arc<Shared>,
}

impl Transform for JoinProbe {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let shared = self.shared.clone();
        let built = shared.built()?;
        let plan = &shared.plan;
        let layout = if built.has_spilled { &plan.sides[PROBE].layout } else { &plan.key_layout };
        let writer =
            || PartitionWriter::new(&plan.sides[PROBE].layout, &shared.owners[PROBE], 0, shared.partition_bits);
        Ok(Box::new(LocalProbe {
            matcher: Matcher::new(shared.clone(), plan.roles()),
            stage: Stage::new(layout, cx)?,
            writer: built.has_spilled.then(writer),
            split: Split::default(),
            output: Output::default(),
            built,
            shared,
        }))
    }

    fn remainder(&self) -> Result<Option<Arc<dyn Source>>> {
        Remainder::of(&self.shared)
    }
}

struct LocalProbe {
    shared: Arc<Shared>,
    built: Arc<Built>,
    matcher: Matcher,
    stage: Stage,
    /// Of rows whose partition is spilled, if there is any.
    writer: Option<PartitionWriter>,
    split: Split,
    output: Output,
}

/// Which rows of a piece stay and which are spilled.
#[derive(Default)]
struct Split {
    here: Vec<u32>,
    gone: Vec<u32>,
    hashes: Vec<Hash>,
    ptrs: RowPointers,
}

/// Numbers the batches of a morsel, and holds one back so that the last one can say so.
#[derive(Default)]
struct Output {
    held: Option<RecordBatch>,
    sequence: Sequence,
}

impl Output {
    fn push(&mut self, data: RecordBatch, emit: &mut Emit<'_>) -> Result<Flow> {
        match self.held.replace(data) {
            Some(data) => self.emit(data, false, emit),
            None => Ok(Flow::More),
        }
    }

    fn emit(&mut self, data: RecordBatch, last_of_morsel: bool, emit: &mut Emit<'_>) -> Result<Flow> {
        let sequence = self.sequence;
        self.sequence.batch += 1;
        emit(Batch { data, sequence, last_of_morsel })
    }
}

impl LocalTransform for LocalProbe {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        if self.gives_nothing() {
            return Ok(Flow::Done);
        }
        if batch.sequence.morsel != self.output.sequence.morsel || batch.sequence.batch == 0 {
            self.output.sequence = Sequence { morsel: batch.sequence.morsel, batch: 0 };
        }
        let mut flow = self.join(&batch.data, emit)?;
        let held = self.output.held.take();
        if flow == Flow::More && (held.is_some() || batch.last_of_morsel) {
            let data = held.unwrap_or_else(|| RecordBatch::new_empty(self.shared.plan.schema.clone()));
            flow = self.output.emit(data, batch.last_of_morsel, emit)?;
        }
        Ok(flow)
    }

    fn flush(&mut self, _emit: &mut Emit<'_>) -> Result<Flow> {
        if let Some(writer) = self.writer.take() {
            let pages = writer.finish()?;
            let spilled = &mut lock(&self.shared.spilled)[PROBE];
            spilled.resize_with(pages.len(), SealedPages::default);
            spilled.iter_mut().zip(pages).for_each(|(all, mine)| all.append(mine));
        }
        Ok(Flow::More)
    }
}

impl LocalProbe {
    /// Whether no probe row can change the result any more.
    fn gives_nothing(&self) -> bool {
        let (plan, seen) = (&self.shared.plan, &self.shared.seen);
        match plan.join_type {
            JoinType::ProbeAnti if plan.null_aware => seen.build_null.load(Ordering::Relaxed),
            JoinType::BuildAnti if plan.null_aware => self.built.is_empty || seen.probe_null.load(Ordering::Relaxed),
            join_type => self.built.n_rows == 0 && join_type.needs_build_rows(),
        }
    }

    fn join(&mut self, data: &RecordBatch, emit: &mut Emit<'_>) -> Result<Flow> {
        let shared = self.shared.clone();
        let (keys, nulls) = shared.plan.keys(PROBE, data.columns())?;
        if shared.plan.null_aware {
            return self.join_null_aware(data, nulls, emit);
        }
        self.join_keys(data, keys, nulls.as_ref(), emit)
    }

    /// NOT IN: a NULL key is not known to be without a match, unless there is nothing to match.
    fn join_null_aware(&mut self, data: &RecordBatch, nulls: Option<NullBuffer>, emit: &mut Emit<'_>) -> Result<Flow> {
        let shared = self.shared.clone();
        if data.num_rows() > 0 {
            shared.seen.probe_row.store(true, Ordering::Relaxed);
        }
        let nothing_to_match = shared.plan.join_type == JoinType::ProbeAnti && self.built.is_empty;
        let data = match nulls.filter(|_| !nothing_to_match) {
            Some(nulls) => {
                shared.seen.probe_null.store(true, Ordering::Relaxed);
                filter_record_batch(data, &BooleanArray::new(nulls.into_inner(), None))?
            }
            None => data.clone(),
        };
        let (keys, nulls) = shared.plan.keys(PROBE, data.columns())?;
        self.join_keys(&data, keys, nulls.as_ref(), emit)
    }

    fn join_keys(
        &mut self,
        data: &RecordBatch,
        keys: Vec<ArrayRef>,
        nulls: Option<&NullBuffer>,
        emit: &mut Emit<'_>,
    ) -> Result<Flow> {
        if self.writer.is_some() {
            return self.join_and_spill(data, keys, nulls, emit);
        }
        let shared = self.shared.clone();
        let (plan, n_rows) = (&shared.plan, data.num_rows());
        let columns = Columns::new(&plan.key_layout, &keys)?;
        let built = self.built.clone();
        let read = plan.read_columns(PROBE, data.columns());
        self.matcher.begin(&built.table, read, n_rows, Pass::Only, Vec::new());
        let mut done = 0;
        while done < n_rows {
            done += self.stage.fill(&columns, done, n_rows)?;
            built.table.look_up(self.stage.rows(), self.stage.hashes(), self.matcher.matches());
        }
        self.emit_piece(emit)
    }

    fn emit_piece(&mut self, emit: &mut Emit<'_>) -> Result<Flow> {
        while let Some(data) = self.matcher.next(&self.built.table)? {
            self.shared.cx.cancel.check()?;
            if self.output.push(data, emit)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::More)
    }

    fn join_and_spill(
        &mut self,
        data: &RecordBatch,
        keys: Vec<ArrayRef>,
        nulls: Option<&NullBuffer>,
        emit: &mut Emit<'_>,
    ) -> Result<Flow> {
        let shared = self.shared.clone();
        let (plan, n_rows) = (&shared.plan, data.num_rows());
        let columns = Columns::new(&plan.sides[PROBE].layout, &plan.row_columns(PROBE, keys, data.columns()))?;
        let mut done = 0;
        while done < n_rows {
            let n_filled = self.stage.fill(&columns, done, n_rows)?;
            self.spill_piece(done, nulls)?;
            if self.join_here(data, done, n_filled, emit)? == Flow::Done {
                return Ok(Flow::Done);
            }
            done += n_filled;
        }
        Ok(Flow::More)
    }

    /// Spills the rows of the piece whose partition is. A row that matches nothing anywhere stays.
    fn spill_piece(&mut self, start: usize, nulls: Option<&NullBuffer>) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let Split { here, gone, hashes, ptrs } = &mut self.split;
        here.clear();
        gone.clear();
        hashes.clear();
        for (idx, &hash) in (0u32..).zip(self.stage.hashes()) {
            let is_spilled = self.built.is_spilled[partition_of(hash, self.shared.partition_bits)];
            let may_match = || {
                !nulls.is_some_and(|nulls| nulls.is_null(start + idx as usize))
                    && self.built.filter.as_ref().is_none_or(|filter| filter.may_have(hash))
            };
            if is_spilled && may_match() {
                gone.push(idx);
                hashes.push(hash);
            } else {
                here.push(idx);
            }
        }
        writer.append(self.stage.rows().pick(gone, ptrs), hashes)
    }

    /// Joins the rows of the piece that stay.
    fn join_here(&mut self, data: &RecordBatch, start: usize, len: usize, emit: &mut Emit<'_>) -> Result<Flow> {
        let Split { here, hashes, ptrs, .. } = &mut self.split;
        if here.is_empty() {
            return Ok(Flow::More);
        }
        let piece = self.shared.plan.read_columns(PROBE, data.slice(start, len).columns());
        let read = if here.len() == len {
            piece
        } else {
            let idxs = UInt32Array::from(here.clone());
            let taken = piece.into_iter().map(|column| column.map(|column| take(&column, &idxs, None)).transpose());
            taken.collect::<Result<_, _>>()?
        };
        hashes.clear();
        hashes.extend(here.iter().map(|&idx| self.stage.hashes()[idx as usize]));
        self.matcher.begin(&self.built.table, read, here.len(), Pass::Only, Vec::new());
        self.built.table.look_up(self.stage.rows().pick(here, ptrs), hashes, self.matcher.matches());
        self.emit_piece(emit)
    }
}
