//! The groups, partition by partition.
//!
//! Memory: the table of one partition a worker; its pages are freed as they are emitted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take;

use super::Shared;
use super::library::{LibraryStates, group_numbers};
use super::merge::{Merged, Merger, Partition};
use super::plan::Call;
use crate::error::Result;
use crate::exec::{Batch, LocalSource, Sequence, Source, TaskContext};
use crate::row::{RowPage, RowPointers, RowScratch, RowTable, Rows, hash_rows};

pub(super) struct AggregateSource {
    pub(super) shared: Arc<Shared>,
}

impl Source for AggregateSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let share = self.shared.output_share(cx.n_workers);
        Ok(Box::new(LocalGroups {
            merger: Merger::new(self.shared.clone(), share),
            shared: self.shared.clone(),
            waiting: Vec::new(),
            ready: None,
            sequence: Sequence::default(),
            batch_rows: cx.sizes().batch_rows,
            batch_bytes: cx.sizes().batch_bytes,
            ptrs: RowPointers::default(),
        }))
    }
}

struct LocalGroups {
    shared: Arc<Shared>,
    merger: Merger,
    /// Partitions of the current morsel still to be merged, the next one last.
    waiting: Vec<Partition>,
    /// Groups of a partition still to be emitted.
    ready: Option<Groups>,
    sequence: Sequence,
    batch_rows: usize,
    batch_bytes: usize,
    ptrs: RowPointers,
}

struct Groups {
    pages: VecDeque<RowPage>,
    /// Rows of the first page that were emitted.
    n_emitted: usize,
    /// Results of library functions, by group number.
    results: Vec<ArrayRef>,
    /// Keeps the accumulators' reservation until the results are emitted.
    _library: Option<LibraryStates>,
}

impl LocalSource for LocalGroups {
    fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some(groups) = self.ready.take_if(|groups| !groups.pages.is_empty()) {
                return self.emit(groups).map(Some);
            }
            let partition = match self.waiting.pop() {
                Some(partition) => partition,
                None => match self.next_morsel() {
                    Some(partition) => partition,
                    None => return Ok(None),
                },
            };
            match self.merger.merge(partition)? {
                Merged::Split(mut parts) => {
                    parts.reverse();
                    self.waiting.append(&mut parts);
                }
                Merged::Groups(mut groups) => self.ready = Some(self.groups(&mut groups.table, groups.library)?),
            }
        }
    }
}

impl LocalGroups {
    fn next_morsel(&mut self) -> Option<Partition> {
        let pages = super::lock(&self.shared.morsels).pop()?;
        let morsel = self.shared.next_morsel.fetch_add(1, Ordering::Relaxed) as u64;
        self.sequence = Sequence { morsel, batch: 0 };
        Some(Partition { pages, used_bits: self.shared.partition_bits, depth: 0 })
    }

    fn groups(&self, table: &mut RowTable, mut library: Option<LibraryStates>) -> Result<Groups> {
        if table.n_rows() == 0 && self.shared.plan.spec.keys.is_empty() {
            self.shared.insert_empty_group(table, &mut library)?;
        }
        let results = match &mut library {
            Some(library) => library.take_results()?,
            None => Vec::new(),
        };
        let pages = table.take_pages().into_iter().flatten().collect();
        Ok(Groups { pages, n_emitted: 0, results, _library: library })
    }

    /// One batch of groups: a page, or a part of it.
    fn emit(&mut self, mut groups: Groups) -> Result<Batch> {
        let row_bytes = self.shared.plan.layout.row_bytes();
        let most_rows = (self.batch_bytes / row_bytes).clamp(1, self.batch_rows);
        let mut data = None;
        if let Some(page) = groups.pages.front() {
            let rows = page.rows(&mut self.ptrs);
            let n_rows = most_rows.min(rows.len() - groups.n_emitted);
            let piece = rows.slice(groups.n_emitted, n_rows);
            data = Some(self.shared.finish_rows(piece, &groups.results)?);
            groups.n_emitted += n_rows;
            if groups.n_emitted == rows.len() {
                groups.pages.pop_front();
                groups.n_emitted = 0;
            }
        }
        let data = data.unwrap_or_else(|| RecordBatch::new_empty(self.shared.plan.spec.output.clone()));
        let last_of_morsel = groups.pages.is_empty() && self.waiting.is_empty();
        let batch = Batch { data, sequence: self.sequence, last_of_morsel };
        self.sequence.batch += 1;
        self.ready = Some(groups);
        Ok(batch)
    }
}

impl Shared {
    /// The one group of an aggregation without keys over no rows.
    fn insert_empty_group(&self, table: &mut RowTable, library: &mut Option<LibraryStates>) -> Result<()> {
        let mut scratch = RowScratch::new(self.plan.layout.clone());
        scratch.fill_empty();
        let mut hashes = Vec::new();
        hash_rows(&self.plan.layout, scratch.rows(), &mut hashes);
        if let Some(refused) = table.find_or_insert(scratch.rows(), &hashes).refused {
            return Err(refused.into());
        }
        match library {
            Some(library) => library.start_group(&self.plan, table),
            None => Ok(()),
        }
    }

    /// The output columns of `rows`.
    fn finish_rows(&self, rows: Rows<'_>, results: &[ArrayRef]) -> Result<RecordBatch> {
        let plan = &self.plan;
        let mut columns = Vec::with_capacity(plan.spec.output.fields().len());
        for key in 0..plan.spec.keys.len() {
            columns.push(plan.gather_key(key, rows)?);
        }
        let numbers: UInt64Array = group_numbers(plan, rows);
        let mut results = results.iter();
        for call in &plan.calls {
            columns.push(match call {
                Call::Native(state) => state.finish(rows)?,
                Call::Library { .. } => match results.next() {
                    Some(result) => take(result, &numbers, None)?,
                    None => return Err(crate::Error::query("a library function has no result")),
                },
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(plan.spec.output.clone(), columns, &options)?)
    }
}
