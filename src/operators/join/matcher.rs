//! One piece of probe rows against a table: pairs, conditions, and what becomes of rows without a match.
//!
//! Memory: the chains of one piece, and the pairs and columns of one output batch, which is bounded by bytes and rows
//! however many build rows a key has.
//! The surprising part: it hands out a batch at a time and remembers where it was, so that a probe row with a million
//! matches fills many batches, whether they are pushed on or pulled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::Shared;
use super::plan::{JoinPlan, Place, Roles};
use crate::error::Result;
use crate::memory::Sizes;
use crate::operators::expression::{assemble, evaluate_predicate};
use crate::operators::value_bytes::{add_value_bytes, has_long_values};
use crate::row::{JoinTable, Matches, PairBounds, RowPointers, Rows, gather_fields};

/// By how much more pairs of a probe row are looked at in each further round.
const ROUND_FACTOR: usize = 4;

/// Joins piece after piece.
pub(super) struct Matcher {
    shared: Arc<Shared>,
    roles: Roles,
    bounds: Bounds,
    matches: Matches,
    /// Columns of the piece by field of the probe side; only those that are read.
    columns: Vec<Option<ArrayRef>>,
    n_rows: usize,
    /// Output bytes of each probe row's long values; empty when there are none.
    probe_bytes: Vec<u32>,
    /// For each probe row whether it has a match, as far as is known.
    matched: Vec<bool>,
    /// How many pairs of a probe row are looked at in this round.
    max_of_row: usize,
    pass: Pass,
    stage: Stage,
    build_ptrs: RowPointers,
}

/// Which part of the build side the table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// All of it.
    Only,
    /// A part, with others to come.
    Part,
    /// The last part.
    Last,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Pairs,
    Rest,
    Done,
}

/// The bounds on an output batch.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    max_rows: usize,
    max_bytes: usize,
}

impl Bounds {
    /// For pairs whose output and residual columns are made one after the other.
    pub(super) fn new(plan: &JoinPlan, sizes: Sizes) -> Self {
        let width = |schema: &SchemaRef| -> usize {
            schema.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(16)).sum()
        };
        let residual = plan.residual.as_ref().map_or(0, |(residual, _)| width(&residual.schema));
        let row_bytes = width(&plan.schema).max(residual).max(1);
        Bounds { max_rows: (sizes.batch_bytes / row_bytes).clamp(1, sizes.batch_rows), max_bytes: sizes.batch_bytes }
    }
}

impl Matcher {
    pub(super) fn new(shared: Arc<Shared>, roles: Roles) -> Self {
        let bounds = Bounds::new(&shared.plan, shared.cx.memory.sizes());
        Matcher {
            shared,
            roles,
            bounds,
            matches: Matches::default(),
            columns: Vec::new(),
            n_rows: 0,
            probe_bytes: Vec::new(),
            matched: Vec::new(),
            max_of_row: 0,
            pass: Pass::Only,
            stage: Stage::Done,
            build_ptrs: RowPointers::default(),
        }
    }

    /// Rows of a piece that are worth looking at once.
    pub(super) fn piece_rows(&self) -> usize {
        self.bounds.max_rows
    }

    /// Starts a piece of `n_rows` rows, whose chains are then to be looked up in `table`. `matched` says which rows have
    /// a match in an earlier part of the build side; it may be empty.
    pub(super) fn begin(
        &mut self,
        table: &JoinTable,
        columns: Vec<Option<ArrayRef>>,
        n_rows: usize,
        pass: Pass,
        matched: Vec<bool>,
    ) {
        self.matches.begin(table);
        self.probe_bytes = probe_bytes(&self.shared.plan, self.roles.probe, &columns, n_rows);
        (self.columns, self.n_rows, self.pass, self.matched) = (columns, n_rows, pass, matched);
        self.matched.resize(n_rows, false);
        self.stage = Stage::Pairs;
        let join_type = self.roles.join_type;
        let one_is_enough = !join_type.gives_pairs() && join_type.gives_probe_rows();
        self.max_of_row = if one_is_enough { 1 } else { usize::MAX };
    }

    /// Where the chains go.
    pub(super) fn matches(&mut self) -> &mut Matches {
        &mut self.matches
    }

    /// For each row of the piece whether it has a match; complete when all batches have been taken.
    pub(super) fn matched(&self) -> &[bool] {
        &self.matched
    }

    /// The next batch of the piece, or `None` at its end.
    pub(super) fn next(&mut self, table: &JoinTable) -> Result<Option<RecordBatch>> {
        loop {
            self.shared.check()?;
            match self.stage {
                Stage::Pairs => {
                    if !self.next_pairs(table)? {
                        self.stage = Stage::Rest;
                    } else if self.roles.join_type.gives_pairs() && !self.matches.probe_idxs().is_empty() {
                        return self.pairs_batch(table).map(Some);
                    }
                }
                Stage::Rest => {
                    self.stage = Stage::Done;
                    if let Some(batch) = self.rest()? {
                        return Ok(Some(batch));
                    }
                }
                Stage::Done => return Ok(None),
            }
        }
    }

    /// Takes the next pairs that match; false when there are no more.
    fn next_pairs(&mut self, table: &JoinTable) -> Result<bool> {
        let join_type = self.roles.join_type;
        let has_residual = self.shared.plan.residual.is_some();
        if !has_residual && !join_type.gives_pairs() {
            self.match_by_key(table);
            return Ok(false);
        }
        // A probe row without a match is paired with NULLs at once when this is all there is to know.
        let outer = join_type.gives_pairs() && join_type.gives_probe_rows() && !has_residual;
        let outer = outer && self.pass == Pass::Only;
        while !self.take_pairs(table, outer) {
            if !self.matches.next_round() {
                return Ok(false);
            }
            self.max_of_row = self.max_of_row.saturating_mul(ROUND_FACTOR);
        }
        if has_residual {
            self.keep_matching(table)?;
        }
        if join_type.gives_build_rows() {
            self.matches.mark_pairs(table);
        }
        if join_type.gives_probe_rows() {
            self.note_matched(outer);
        }
        Ok(true)
    }

    /// Takes pairs from the chains. Where one match of a row is all that has to be known, only a few of each at first.
    fn take_pairs(&mut self, table: &JoinTable, outer: bool) -> bool {
        let join_type = self.roles.join_type;
        let Bounds { max_rows, max_bytes } = self.bounds;
        let bounds = PairBounds {
            max_rows,
            max_bytes,
            probe_bytes: &self.probe_bytes,
            max_of_row: self.max_of_row,
            only_unmatched: !join_type.gives_pairs() && join_type.gives_build_rows(),
            counts_repeats: self.shared.counts_repeats(),
        };
        let taken = self.matches.next_pairs(table, &bounds, outer);
        let n_repeats = self.matches.take_repeats();
        if n_repeats > 0 {
            self.shared.repeats.fetch_add(n_repeats, Ordering::Relaxed);
        }
        taken
    }

    /// Without a further condition a row with a chain matches all of it.
    fn match_by_key(&mut self, table: &JoinTable) {
        for (matched, found) in self.matched.iter_mut().zip(self.matches.found()) {
            *matched |= found;
        }
        if self.roles.join_type.gives_build_rows() {
            self.matches.mark_chains(table);
        }
    }

    fn note_matched(&mut self, outer: bool) {
        if outer {
            // The others have been paired with NULLs, so there is nothing left to do for any row.
            self.matched.fill(true);
            return;
        }
        for &idx in self.matches.probe_idxs() {
            self.matched[idx as usize] = true;
        }
        if !self.roles.join_type.gives_pairs() {
            // One match is all that has to be known of a row.
            let mut known = self.matches.probe_idxs().to_vec();
            known.dedup();
            known.into_iter().for_each(|idx| self.matches.forget(idx as usize));
        }
    }

    /// Keeps the pairs that fulfil the residual condition.
    fn keep_matching(&mut self, table: &JoinTable) -> Result<()> {
        let shared = self.shared.clone();
        let Some((residual, places)) = &shared.plan.residual else { return Ok(()) };
        let n_pairs = self.matches.probe_idxs().len();
        if n_pairs == 0 {
            return Ok(());
        }
        let columns = self.pair_columns(table, places)?;
        let batch = assemble(&residual.schema, columns, n_pairs)?;
        let mask = evaluate_predicate(residual.predicate.as_ref(), &batch)?;
        if mask.true_count() < n_pairs {
            self.matches.keep(|idx| mask.is_valid(idx) && mask.value(idx));
        }
        Ok(())
    }

    fn pairs_batch(&mut self, table: &JoinTable) -> Result<RecordBatch> {
        let shared = self.shared.clone();
        let columns = self.pair_columns(table, &shared.plan.output)?;
        assemble(&shared.plan.schema, columns, self.matches.probe_idxs().len())
    }

    /// The columns at `places` for the pairs taken last.
    fn pair_columns(&mut self, table: &JoinTable, places: &[Place]) -> Result<Vec<ArrayRef>> {
        let idxs = self.matches.probe_idxs();
        let is_all = idxs.len() == self.n_rows && idxs.iter().zip(0..).all(|(&idx, at)| idx == at);
        let idxs = if is_all { None } else { Some(UInt32Array::from(idxs.to_vec())) };
        let side = &self.shared.plan.sides[self.roles.build];
        let fields = fields_of(places, self.roles.build);
        let mut built = gather_fields(&side.layout, &fields, self.matches.build_rows(table))?.into_iter();
        let mut columns = Vec::with_capacity(places.len());
        for &place in places {
            columns.extend(match place {
                Place::Field { side, field } if side == self.roles.probe => Some(self.probe_column(field, &idxs)?),
                Place::Field { .. } => built.next(),
                Place::Mark => None,
            });
        }
        Ok(columns)
    }

    fn probe_column(&self, field: usize, idxs: &Option<UInt32Array>) -> Result<ArrayRef> {
        let Some(column) = &self.columns[field] else {
            return Err(crate::Error::query("a join reads a column that it did not keep"));
        };
        Ok(match idxs {
            None => column.clone(),
            Some(idxs) => take(column, idxs, None)?,
        })
    }

    /// Probe rows that are given alone.
    fn rest(&self) -> Result<Option<RecordBatch>> {
        let plan = &self.shared.plan;
        let join_type = self.roles.join_type;
        if self.pass == Pass::Part || !join_type.gives_probe_rows() {
            return Ok(None);
        }
        let given = (0..self.n_rows as u32).filter(|&idx| join_type.gives_probe_row(self.matched[idx as usize]));
        let idxs: Vec<u32> = given.collect();
        if idxs.is_empty() {
            return Ok(None);
        }
        let n_rows = idxs.len();
        let marks = || -> ArrayRef {
            Arc::new(idxs.iter().map(|&idx| Some(self.matched[idx as usize])).collect::<BooleanArray>())
        };
        let taken = (n_rows < self.n_rows).then(|| UInt32Array::from(idxs.clone()));
        let columns = plan.output.iter().map(|&place| match place {
            Place::Field { side, field } if side == self.roles.probe => self.probe_column(field, &taken),
            Place::Field { side, field } => Ok(new_null_array(plan.sides[side].layout.field_type(field), n_rows)),
            Place::Mark => Ok(marks()),
        });
        Ok(Some(assemble(&plan.schema, columns.collect::<Result<_>>()?, n_rows)?))
    }

    /// Those of a table's own `rows` that are given alone, `is_matched` or not.
    pub(super) fn build_rows_batch(&mut self, rows: Rows<'_>, is_matched: &[bool]) -> Result<Option<RecordBatch>> {
        let plan = &self.shared.plan;
        let join_type = self.roles.join_type.mirrored();
        let given = (0..rows.len() as u32).filter(|&idx| join_type.gives_probe_row(is_matched[idx as usize]));
        let idxs: Vec<u32> = given.collect();
        if idxs.is_empty() {
            return Ok(None);
        }
        let rows = rows.pick(&idxs, &mut self.build_ptrs);
        let side = &plan.sides[self.roles.build];
        let fields = fields_of(&plan.output, self.roles.build);
        let mut built = gather_fields(&side.layout, &fields, rows)?.into_iter();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.output.len());
        for &place in &plan.output {
            columns.extend(match place {
                Place::Field { side, .. } if side == self.roles.build => built.next(),
                Place::Field { side, field } => {
                    Some(new_null_array(plan.sides[side].layout.field_type(field), idxs.len()))
                }
                Place::Mark => {
                    let marks = idxs.iter().map(|&idx| Some(is_matched[idx as usize]));
                    Some(Arc::new(marks.collect::<BooleanArray>()) as ArrayRef)
                }
            });
        }
        Ok(Some(assemble(&plan.schema, columns, idxs.len())?))
    }
}

/// The fields of `side` among `places`, in order.
fn fields_of(places: &[Place], side: usize) -> Vec<usize> {
    let field = |place: &Place| match *place {
        Place::Field { side: of, field } if of == side => Some(field),
        _ => None,
    };
    places.iter().filter_map(field).collect()
}

/// Bytes of the long values of each row in the columns that pairs copy: those of the output, if there are pairs in it, and
/// those that the residual condition reads.
fn probe_bytes(plan: &JoinPlan, side: usize, columns: &[Option<ArrayRef>], n_rows: usize) -> Vec<u32> {
    let mut fields = if plan.join_type.gives_pairs() { fields_of(&plan.output, side) } else { Vec::new() };
    if let Some((_, places)) = &plan.residual {
        fields.extend(fields_of(places, side));
    }
    fields.sort_unstable();
    fields.dedup();
    let mut bytes = Vec::new();
    for column in fields.into_iter().filter_map(|field| columns[field].as_ref()) {
        if has_long_values(column.data_type()) {
            bytes.resize(n_rows, 0u32);
            add_value_bytes(column, &mut bytes);
        }
    }
    bytes
}
