//! The calls of an aggregation over rows that come group by group: the same states as [`super::Aggregate`], one batch of
//! groups at a time.
//!
//! Memory: the states of the groups of one batch, on a page or two; what accumulators of the library hold is reserved.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt32Array, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema};

use super::AggregateOptions;
use super::plan::{AggregatePlan, Call};
use super::spec::{AggregateCall, AggregateSpec, GroupAccumulator};
use super::state::selection_of;
use crate::error::{Error, Result};
use crate::exec::TaskContext;
use crate::memory::{PageOwner, Reservation};
use crate::row::{CodeMap, Columns, Hash, RowPageFormat, RowPointers, RowScratch, RowTable, hash_rows};

/// Rows of some groups. Groups are numbered from 0; group 0 may have begun in an earlier batch, and all but the last are
/// complete.
pub(in crate::operators) struct GroupedRows<'a> {
    /// The columns.
    pub(in crate::operators) columns: &'a [ArrayRef],
    /// The group of each row, ascending.
    pub(in crate::operators) group_of: &'a [u32],
    /// Groups so far, with rows here or not.
    pub(in crate::operators) n_groups: usize,
    /// Complete groups: all, or all but the last.
    pub(in crate::operators) n_closed: usize,
}

/// Computes calls over grouped rows.
pub(in crate::operators) struct Streamed {
    plan: AggregatePlan,
    owner: Arc<PageOwner>,
    memory: crate::memory::Memory,
    /// States of fixed size, a row a group.
    table: RowTable,
    scratch: RowScratch,
    hashes: Vec<Hash>,
    map: CodeMap,
    identity: Vec<u32>,
    positions: Vec<u32>,
    ptrs: RowPointers,
    /// The key of the row of group 0.
    first_key: u32,
    library: Vec<Box<dyn GroupAccumulator>>,
    library_memory: Reservation,
}

impl Streamed {
    /// For `calls` over columns of `input`, at most 65,536 rows at a time.
    pub(in crate::operators) fn new(input: &Schema, calls: &[AggregateCall], cx: &TaskContext) -> Result<Self> {
        let group = Arc::new(Field::new("group", DataType::UInt32, false));
        let fields = std::iter::once(group.clone()).chain(input.fields().iter().cloned());
        let with_key = |call: &AggregateCall| AggregateCall {
            args: call.args.iter().map(|arg| arg + 1).collect(),
            filter: call.filter.map(|filter| filter + 1),
            ..call.clone()
        };
        let output = std::iter::once(group.clone()).chain(calls.iter().map(|call| call.output.clone()));
        let spec = AggregateSpec {
            input: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            keys: vec![0],
            calls: calls.iter().map(with_key).collect(),
            output: Arc::new(Schema::new(output.collect::<Vec<_>>())),
        };
        let plan = AggregatePlan::new(spec, &AggregateOptions::default(), &cx.memory)?;
        let owner = cx.pages.owner("OrderedAggregate", RowPageFormat::new(&plan.layout));
        let library = plan.calls.iter().filter_map(|call| match call {
            Call::Library { function, .. } => Some(function.accumulator()),
            Call::Native(_) => None,
        });
        Ok(Streamed {
            library: library.collect::<Result<_>>()?,
            library_memory: cx.memory.reserve("OrderedAggregate"),
            table: new_table(&plan, &owner, &cx.memory),
            scratch: RowScratch::new(plan.layout.clone()),
            memory: cx.memory.clone(),
            hashes: Vec::new(),
            map: CodeMap::default(),
            identity: Vec::new(),
            positions: Vec::new(),
            ptrs: RowPointers::default(),
            first_key: 0,
            owner,
            plan,
        })
    }

    /// Adds rows and takes the results of the complete groups out, a column a call.
    pub(in crate::operators) fn push(&mut self, rows: &GroupedRows<'_>) -> Result<Vec<ArrayRef>> {
        if rows.n_groups == 0 {
            return self.plan.spec.calls.iter().map(|call| Ok(new_empty_array(call.output.data_type()))).collect();
        }
        self.update_native(rows)?;
        self.update_library(rows)?;
        let results = self.take_closed(rows)?;
        self.first_key = self.first_key.wrapping_add(rows.n_closed as u32);
        self.keep_open(rows)?;
        Ok(results)
    }

    fn update_native(&mut self, rows: &GroupedRows<'_>) -> Result<()> {
        self.locate_groups(rows.n_groups)?;
        if !self.map.locate(&mut self.table, rows.group_of) {
            return Err(Error::query("the groups of a batch were lost"));
        }
        for (call, spec) in self.plan.calls.iter().zip(&self.plan.spec.calls) {
            let Call::Native(state) = call else { continue };
            let args: Vec<ArrayRef> = spec.args.iter().map(|&arg| rows.columns[arg - 1].clone()).collect();
            let selected = spec.filter.map(|filter| selection_of(rows.columns[filter - 1].as_boolean()));
            state.update(&mut self.table, &args, selected.as_ref())?;
        }
        Ok(())
    }

    /// Gives each group its row.
    fn locate_groups(&mut self, n_groups: usize) -> Result<()> {
        if n_groups > CodeMap::FEW_CODES {
            return Err(Error::query("a batch has too many groups"));
        }
        self.identity.clear();
        self.identity.extend(0..n_groups as u32);
        self.map.reset(n_groups);
        self.map.missing(&self.table, &self.identity, &mut self.positions);
        for start in (0..n_groups).step_by(RowScratch::MAX_ROWS) {
            let end = n_groups.min(start + RowScratch::MAX_ROWS);
            let first_key = self.first_key;
            let keys = self.identity[start..end].iter().map(|group| group.wrapping_add(first_key));
            let keys: ArrayRef = Arc::new(UInt32Array::from_iter_values(keys));
            let columns = Columns::new(&self.plan.layout, &[keys])?;
            self.scratch.fill(&columns, 0, end - start)?;
            hash_rows(&self.plan.layout, self.scratch.rows(), &mut self.hashes);
            if let Some(refused) = self.table.find_or_insert(self.scratch.rows(), &self.hashes).refused {
                return Err(refused.into());
            }
            self.map.learn(&self.table, &self.identity, &self.positions[start..end]);
        }
        Ok(())
    }

    fn update_library(&mut self, rows: &GroupedRows<'_>) -> Result<()> {
        if self.library.is_empty() {
            return Ok(());
        }
        let group_idxs: Vec<usize> = rows.group_of.iter().map(|&group| group as usize).collect();
        let specs =
            self.plan.spec.calls.iter().zip(&self.plan.calls).filter(|(_, call)| matches!(call, Call::Library { .. }));
        let mut bytes = 0;
        for ((spec, _), accumulator) in specs.zip(&mut self.library) {
            let args: Vec<ArrayRef> = spec.args.iter().map(|&arg| rows.columns[arg - 1].clone()).collect();
            let filter = spec.filter.map(|filter| rows.columns[filter - 1].as_boolean());
            accumulator.update(&args, &group_idxs, filter, rows.n_groups)?;
            bytes += accumulator.bytes() as u64;
        }
        Ok(self.library_memory.try_resize(bytes * 2)?)
    }

    fn take_closed(&mut self, rows: &GroupedRows<'_>) -> Result<Vec<ArrayRef>> {
        let groups = self.table.rows(0, &mut self.ptrs);
        let closed = groups.slice(0, rows.n_closed);
        let mut library = self.library.iter_mut();
        let mut results = Vec::with_capacity(self.plan.calls.len());
        for (call, spec) in self.plan.calls.iter().zip(&self.plan.spec.calls) {
            results.push(match call {
                Call::Native(state) => state.finish(closed)?,
                Call::Library { .. } => match library.next() {
                    Some(accumulator) if rows.n_closed == rows.n_groups => accumulator.take_results()?,
                    Some(_) if rows.n_closed == 0 => new_empty_array(spec.output.data_type()),
                    Some(accumulator) => accumulator.take_first_results(rows.n_closed)?,
                    None => return Err(Error::query("a library function has no accumulator")),
                },
            });
        }
        Ok(results)
    }

    /// Moves the state of the open group to a table of its own.
    fn keep_open(&mut self, rows: &GroupedRows<'_>) -> Result<()> {
        if rows.n_closed == 0 {
            return Ok(());
        }
        let mut next = new_table(&self.plan, &self.owner, &self.memory);
        if rows.n_closed < rows.n_groups {
            let open = self.table.rows(0, &mut self.ptrs).slice(rows.n_closed, 1);
            hash_rows(&self.plan.layout, open, &mut self.hashes);
            if let Some(refused) = next.find_or_insert(open, &self.hashes).refused {
                return Err(refused.into());
            }
        }
        self.table = next;
        Ok(())
    }
}

fn new_table(plan: &AggregatePlan, owner: &Arc<PageOwner>, memory: &crate::memory::Memory) -> RowTable {
    RowTable::new(plan.layout.clone(), owner, 0, 0, memory.reserve("OrderedAggregate"))
}
