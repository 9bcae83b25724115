//! Aggregate functions whose states are not of fixed size: accumulators outside the rows, numbered by group.
//!
//! Memory: what the accumulators say they hold is reserved after each piece. When that is refused, states become columns
//! and travel in the rows of their groups. The state of one group has to fit.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt64Array, new_empty_array};
use arrow::compute::take;

use super::plan::{AggregatePlan, Call};
use super::spec::GroupAccumulator;
use crate::error::Result;
use crate::exec::Batch;
use crate::memory::{OverBudget, PageOwner, Reservation};
use crate::row::{Columns, Hash, RowPage, RowPointers, RowScratch, RowTable, Rows, SealedPages, gather, hash_rows};

/// The accumulators of one table, one entry a library call.
pub(super) struct LibraryStates {
    accumulators: Vec<Box<dyn GroupAccumulator>>,
    memory: Reservation,
    n_groups: usize,
    group_idxs: Vec<usize>,
}

impl LibraryStates {
    /// `None` when no call of the plan needs them.
    pub(super) fn new(plan: &AggregatePlan, memory: Reservation) -> Result<Option<Self>> {
        if !plan.has_library() {
            return Ok(None);
        }
        Ok(Some(LibraryStates { accumulators: accumulators(plan)?, memory, n_groups: 0, group_idxs: Vec::new() }))
    }

    /// Bytes reserved.
    pub(super) fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    pub(super) fn n_groups(&self) -> usize {
        self.n_groups
    }

    /// Numbers the groups that the table has just made.
    pub(super) fn number_new(&mut self, plan: &AggregatePlan, table: &mut RowTable) {
        let Some(number) = plan.group_number else { return };
        let is_new = table.is_new().to_vec();
        let n_groups = &mut self.n_groups;
        table.for_each_located(|idx, mut row| {
            if is_new.get(idx).copied().unwrap_or(false) {
                *row.state(number) = *n_groups as u64;
                *n_groups += 1;
            }
        });
    }

    /// Notes the group of each row located last.
    fn note_groups(&mut self, plan: &AggregatePlan, table: &mut RowTable) {
        let Some(number) = plan.group_number else { return };
        self.group_idxs.clear();
        let group_idxs = &mut self.group_idxs;
        table.for_each_located(|_, mut row| group_idxs.push(*row.state(number) as usize));
    }

    /// Makes the accumulators know the group just made, which has no rows.
    pub(super) fn start_group(&mut self, plan: &AggregatePlan, table: &mut RowTable) -> Result<()> {
        self.number_new(plan, table);
        let specs = plan.spec.calls.iter().zip(&plan.calls).filter(|(_, call)| matches!(call, Call::Library { .. }));
        for ((spec, _), accumulator) in specs.zip(&mut self.accumulators) {
            let args: Vec<ArrayRef> =
                spec.args.iter().map(|&arg| new_empty_array(plan.spec.input.field(arg).data_type())).collect();
            accumulator.update(&args, &[], None, self.n_groups)?;
        }
        Ok(())
    }

    /// Adds rows of a batch to the groups located last; false when memory for the states was refused.
    pub(super) fn update(
        &mut self,
        plan: &AggregatePlan,
        table: &mut RowTable,
        batch: &Batch,
        start: usize,
        len: usize,
    ) -> Result<bool> {
        if !plan.spec.keys.is_empty() {
            self.number_new(plan, table);
        }
        self.note_groups(plan, table);
        let specs = plan.spec.calls.iter().zip(&plan.calls).filter(|(_, call)| matches!(call, Call::Library { .. }));
        for ((spec, _), accumulator) in specs.zip(&mut self.accumulators) {
            let args: Vec<ArrayRef> = spec.args.iter().map(|&arg| batch.data.column(arg).slice(start, len)).collect();
            let filter = spec.filter.map(|filter| batch.data.column(filter).as_boolean().slice(start, len));
            accumulator.update(&args, &self.group_idxs, filter.as_ref(), self.n_groups)?;
        }
        Ok(self.reserve().is_ok())
    }

    /// Adds states of spilled rows to the groups located last. A refusal comes back when the states of more than one
    /// group hold more than `most_bytes`, or more than there is.
    pub(super) fn merge(
        &mut self,
        plan: &AggregatePlan,
        table: &mut RowTable,
        rows: Rows<'_>,
        most_bytes: u64,
    ) -> Result<Option<OverBudget>> {
        self.number_new(plan, table);
        self.note_groups(plan, table);
        let ranges = plan.calls.iter().filter_map(|call| match call {
            Call::Library { state_fields, .. } => Some(state_fields.clone()),
            Call::Native(_) => None,
        });
        for (fields, accumulator) in ranges.zip(&mut self.accumulators) {
            let states = fields.map(|field| gather(&plan.spilled_layout, field, rows)).collect::<Result<Vec<_>>>()?;
            accumulator.merge(&states, &self.group_idxs, self.n_groups)?;
        }
        let over = self.bytes() > most_bytes && self.n_groups > 1;
        Ok(match self.reserve() {
            Err(refused) => Some(refused),
            Ok(()) if over => Some(self.memory.memory().refuse("Aggregate", most_bytes)),
            Ok(()) => None,
        })
    }

    /// Reserves what the accumulators hold, twice: taking states or results out makes arrays of about the same size.
    fn reserve(&mut self) -> Result<(), OverBudget> {
        let bytes: usize = self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum();
        self.memory.try_resize(bytes as u64 * 2)
    }

    /// Turns the table and its states into rows with state columns and hands them to the pool; partition `p` goes to
    /// `into[p]`. The reservation is kept until the states are in the rows.
    pub(super) fn seal(
        &mut self,
        plan: &AggregatePlan,
        table: &mut RowTable,
        sealer: &mut LibrarySealer,
        into: &mut [SealedPages],
    ) -> Result<()> {
        if self.n_groups == 0 {
            // Accumulators without groups have no states to give; the table may still hold entries and pages.
            return table.seal(into);
        }
        let mut states = Vec::new();
        for accumulator in &mut self.accumulators {
            states.extend(accumulator.take_states()?);
        }
        self.accumulators.clear();
        // Unpinned, the groups make room for the rows they become.
        let mut groups: Vec<SealedPages> = (0..table.n_partitions()).map(|_| SealedPages::default()).collect();
        table.seal(&mut groups)?;
        for page in groups.into_iter().flat_map(SealedPages::into_pages) {
            let page = RowPage::restored(page.pin()?, &plan.layout)?;
            sealer.push(plan, &page, &states, into)?;
        }
        sealer.table.seal(into)?;
        drop(states);
        self.restart(plan)
    }

    /// The results of all groups, by number; none when there are no groups.
    pub(super) fn take_results(&mut self) -> Result<Vec<ArrayRef>> {
        if self.n_groups == 0 {
            return Ok(Vec::new());
        }
        self.accumulators.iter_mut().map(|accumulator| accumulator.take_results()).collect()
    }

    fn restart(&mut self, plan: &AggregatePlan) -> Result<()> {
        self.accumulators = accumulators(plan)?;
        self.n_groups = 0;
        self.memory.shrink(self.memory.bytes());
        Ok(())
    }
}

fn accumulators(plan: &AggregatePlan) -> Result<Vec<Box<dyn GroupAccumulator>>> {
    let library = plan.calls.iter().filter_map(|call| match call {
        Call::Library { function, .. } => Some(function.accumulator()),
        Call::Native(_) => None,
    });
    library.collect()
}

/// The numbers of the groups in `rows`.
pub(super) fn group_numbers(plan: &AggregatePlan, rows: Rows<'_>) -> UInt64Array {
    match plan.group_number {
        Some(number) => rows.iter().map(|row| row.state(number)).collect::<Vec<u64>>().into(),
        None => UInt64Array::from(Vec::<u64>::new()),
    }
}

/// Makes rows with state columns and sorts them into partitions.
pub(super) struct LibrarySealer {
    table: RowTable,
    scratch: RowScratch,
    ptrs: RowPointers,
    hashes: Vec<Hash>,
}

impl LibrarySealer {
    pub(super) fn new(
        plan: &AggregatePlan,
        owner: &Arc<PageOwner>,
        skip_bits: u32,
        partition_bits: u32,
        memory: Reservation,
    ) -> Self {
        let layout = plan.spilled_layout.clone();
        LibrarySealer {
            table: RowTable::new(layout.clone(), owner, skip_bits, partition_bits, memory),
            scratch: RowScratch::new(layout),
            ptrs: RowPointers::default(),
            hashes: Vec::new(),
        }
    }

    fn push(
        &mut self,
        plan: &AggregatePlan,
        page: &RowPage,
        states: &[ArrayRef],
        into: &mut [SealedPages],
    ) -> Result<()> {
        let rows = page.rows(&mut self.ptrs);
        for start in (0..rows.len()).step_by(RowScratch::MAX_ROWS) {
            let rows = rows.slice(start, RowScratch::MAX_ROWS.min(rows.len() - start));
            let numbers = group_numbers(plan, rows);
            let keys = (0..plan.spec.keys.len()).map(|field| gather(&plan.layout, field, rows));
            let states = states.iter().map(|state| Ok(take(state, &numbers, None)?));
            let columns = keys.chain(states).collect::<Result<Vec<_>>>()?;
            let columns = Columns::new(&plan.spilled_layout, &columns)?;
            self.scratch.fill(&columns, 0, rows.len())?;
            self.scratch.copy_states(rows);
            hash_rows(&plan.spilled_layout, self.scratch.rows(), &mut self.hashes);
            append_all(&mut self.table, self.scratch.rows(), &self.hashes, into)?;
        }
        Ok(())
    }
}

/// Appends all rows, handing full pages to the pool when memory is refused.
pub(super) fn append_all(
    table: &mut RowTable,
    rows: Rows<'_>,
    hashes: &[Hash],
    into: &mut [SealedPages],
) -> Result<()> {
    let mut done = 0;
    while done < rows.len() {
        let located = table.append(rows.slice(done, rows.len() - done), &hashes[done..]);
        done += located.n_rows;
        match located.refused {
            None => table.unpin_full(into)?,
            Some(refused) if located.n_rows == 0 && table.pinned_bytes() == 0 => return Err(refused.into()),
            Some(_) => table.seal(into)?,
        }
    }
    Ok(())
}
