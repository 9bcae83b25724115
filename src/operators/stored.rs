//! Rows kept on evictable pages that are read any number of times: temporary tables, subplans that are used twice, the
//! working table of a recursive query.
//!
//! Memory: a page each worker while rows are written or read. Everything else is unpinned, so whoever needs memory has
//! it written to disk; a reader copies one page after the other to memory of its own.
//!
//! Where the order matters, a morsel starts a new page, and pages are put in the order of their morsels in the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, NullArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use super::expression::assemble;
use crate::error::Result;
use crate::exec::{
    Batch, Flow, LocalSink, LocalSource, OperatorReport, QueryContext, Report, Sequence, Sink, Source, TaskContext,
};
use crate::io::{RowFilter, Scan, ScanColumns, ScanRequest, Table, TableStatistics};
use crate::memory::{OverBudget, Page, PageOwner, PinnedPage};
use crate::row::{
    Columns, Layout, LayoutBuilder, PagesWriter, RowPage, RowPageFormat, RowPointers, SealedPages, gather_fields,
};

/// Refusals in a row, with nothing to unpin, that a writer takes for passing.
const REFUSALS: usize = 4;

/// Pages of stored rows go before those of operators at work.
const PRIORITY: u32 = 2000;

/// Some of the pages, by number.
pub type PageRange = std::ops::Range<usize>;

/// The rows. Shared between the sink that fills them and the sources that read them.
pub struct StoredRows {
    schema: SchemaRef,
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    in_order: bool,
    pages: Mutex<Vec<StoredPage>>,
}

#[derive(Clone)]
struct StoredPage {
    morsel: u64,
    n_rows: usize,
    /// Readers copy it, so that any number of them may at once, and what is on disk stays there.
    page: Arc<Page>,
}

impl StoredRows {
    /// A place for rows of `schema`. With `in_order` they come out in the order of their sequence numbers.
    ///
    /// # Errors
    /// A type that rows cannot hold.
    pub fn new(name: &'static str, schema: SchemaRef, in_order: bool, cx: &QueryContext) -> Result<Arc<Self>> {
        let mut builder = LayoutBuilder::default();
        for field in schema.fields() {
            builder = builder.payload(field.data_type().clone());
        }
        if schema.fields().is_empty() {
            builder = builder.payload(DataType::Null);
        }
        let layout = builder.build()?;
        let owner = cx.pages.owner(name, RowPageFormat::new(&layout));
        Ok(Arc::new(StoredRows { schema, layout, owner, in_order, pages: Mutex::default() }))
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows stored.
    pub fn n_rows(&self) -> u64 {
        self.lock().iter().map(|page| page.n_rows as u64).sum()
    }

    /// The sink that fills it.
    pub fn sink(self: &Arc<Self>) -> Arc<dyn Sink> {
        Arc::new(StoringSink { rows: self.clone() })
    }

    /// A source of all rows, of the columns `projection`. Any number of sources may be made, one after the other.
    pub fn source(self: &Arc<Self>, projection: Vec<usize>, filters: Vec<Arc<dyn RowFilter>>) -> Arc<dyn Source> {
        self.source_of(0..usize::MAX, projection, filters)
    }

    /// Pages there are.
    pub fn n_pages(&self) -> usize {
        self.lock().len()
    }

    /// A place for more rows of the same kind, on pages of the same account.
    pub fn another(&self) -> Arc<Self> {
        let StoredRows { schema, layout, owner, in_order, .. } = self;
        let (schema, layout, owner) = (schema.clone(), layout.clone(), owner.clone());
        Arc::new(StoredRows { schema, layout, owner, in_order: *in_order, pages: Mutex::default() })
    }

    /// Adds the rows of `other`, which was made by [`StoredRows::another`], without copying them.
    pub fn add_pages_of(&self, other: &StoredRows) {
        let pages: Vec<StoredPage> = other.lock().clone();
        self.lock().extend(pages);
    }

    /// As [`StoredRows::source`], of the rows on some pages.
    pub fn source_of(
        self: &Arc<Self>,
        range: PageRange,
        projection: Vec<usize>,
        filters: Vec<Arc<dyn RowFilter>>,
    ) -> Arc<dyn Source> {
        let next = AtomicUsize::new(range.start);
        let columns = ScanColumns::new(&projection, &filters);
        let reading = Reading { columns, next, first: range.start, end: range.end };
        Arc::new(StoredSource { rows: self.clone(), reading: Arc::new(reading) })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<StoredPage>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report for StoredRows {
    fn report(&self) -> OperatorReport {
        let counters = self.owner.counters();
        OperatorReport::of_pages(counters)
    }
}

struct StoringSink {
    rows: Arc<StoredRows>,
}

struct LocalStoring {
    rows: Arc<StoredRows>,
    writer: PagesWriter,
    morsel: u64,
    done: Vec<(u64, SealedPages)>,
}

impl Sink for StoringSink {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let rows = self.rows.clone();
        let writer = PagesWriter::new(rows.layout.clone(), rows.owner.clone());
        Ok(Box::new(LocalStoring { rows, writer, morsel: 0, done: Vec::new() }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        if self.rows.in_order {
            self.rows.lock().sort_by_key(|page| page.morsel);
        }
        Ok(())
    }
}

impl LocalSink for LocalStoring {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        if batch.n_rows() == 0 {
            return Ok(Flow::More);
        }
        if self.rows.in_order && batch.sequence.morsel != self.morsel {
            self.seal()?;
            self.morsel = batch.sequence.morsel;
        }
        let arrays: Vec<ArrayRef> = match batch.data.num_columns() {
            0 => vec![Arc::new(NullArray::new(batch.n_rows()))],
            _ => batch.data.columns().to_vec(),
        };
        let columns = Columns::new(&self.rows.layout, &arrays)?;
        let (mut start, mut refusals) = (0, 0);
        while start < batch.n_rows() {
            match self.writer.append_columns(&columns, start, batch.n_rows() - start) {
                Ok(()) => break,
                Err((n_rows, refused)) => {
                    start += n_rows;
                    refusals = if n_rows > 0 { 0 } else { refusals + 1 };
                    self.make_room(refused, refusals)?;
                }
            }
        }
        self.unpin_full()?;
        Ok(Flow::More)
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.seal()?;
        let mut pages = self.rows.lock();
        for (morsel, sealed) in self.done.drain(..) {
            let n_pages = sealed.n_pages();
            let n_rows = sealed.n_rows();
            // Rows are counted on the first page of a morsel.
            let counts = std::iter::once(n_rows).chain(std::iter::repeat_n(0, n_pages));
            pages.extend(sealed.into_pages().into_iter().zip(counts).map(|(page, n_rows)| StoredPage {
                morsel,
                n_rows,
                page: Arc::new(page),
            }));
        }
        Ok(())
    }
}

impl LocalStoring {
    fn make_room(&mut self, refused: OverBudget, refusals: usize) -> Result<()> {
        if refusals >= REFUSALS {
            return Err(refused.into());
        }
        // The page that is being written may go as well: the next row starts another.
        self.seal()
    }

    fn sealed(&mut self) -> &mut SealedPages {
        if self.done.last().is_none_or(|(morsel, _)| *morsel != self.morsel) {
            self.done.push((self.morsel, SealedPages::default()));
        }
        let last = self.done.len() - 1;
        &mut self.done[last].1
    }

    fn unpin_full(&mut self) -> Result<()> {
        let mut sealed = std::mem::take(self.sealed());
        let done = self.writer.unpin_full(PRIORITY, 0, &mut sealed);
        *self.sealed() = sealed;
        done
    }

    fn seal(&mut self) -> Result<()> {
        let mut sealed = std::mem::take(self.sealed());
        let done = self.writer.seal(PRIORITY, 0, &mut sealed);
        *self.sealed() = sealed;
        done
    }
}

struct StoredSource {
    rows: Arc<StoredRows>,
    reading: Arc<Reading>,
}

/// What all workers of one source share.
struct Reading {
    columns: ScanColumns,
    next: AtomicUsize,
    /// The pages to read.
    first: usize,
    end: usize,
}

struct LocalStored {
    rows: Arc<StoredRows>,
    reading: Arc<Reading>,
    /// A copy of the page in hand, and rows of it that were handed out.
    current: Option<(RowPage, usize)>,
    /// Memory for the next page.
    spare: Option<PinnedPage>,
    ptrs: RowPointers,
    batch_bytes: usize,
    batch_rows: usize,
    sequence: Sequence,
}

impl Source for StoredSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let sizes = cx.sizes();
        Ok(Box::new(LocalStored {
            rows: self.rows.clone(),
            reading: self.reading.clone(),
            current: None,
            spare: None,
            ptrs: RowPointers::default(),
            batch_bytes: sizes.batch_bytes,
            batch_rows: sizes.batch_rows,
            sequence: Sequence::default(),
        }))
    }
}

impl LocalSource for LocalStored {
    fn next(&mut self) -> Result<Option<Batch>> {
        if self.current.is_none() && !self.take_page()? {
            return Ok(None);
        }
        let Some((page, n_done)) = &mut self.current else { return Ok(None) };
        let most_rows = (self.batch_bytes / self.rows.layout.row_bytes().max(1)).clamp(1, self.batch_rows);
        let rows = page.rows(&mut self.ptrs);
        let n_rows = most_rows.min(rows.len() - *n_done);
        let data = self.reading.read(&self.rows, rows.slice(*n_done, n_rows), n_rows)?;
        *n_done += n_rows;
        let last_of_morsel = *n_done == rows.len();
        let batch = Batch { data, sequence: self.sequence, last_of_morsel };
        self.sequence.batch += 1;
        if last_of_morsel {
            self.spare = self.current.take().map(|(page, _)| page.into_memory());
        }
        Ok(Some(batch))
    }
}

impl Reading {
    fn read(&self, stored: &StoredRows, rows: crate::row::Rows<'_>, n_rows: usize) -> Result<RecordBatch> {
        let schema = Arc::new(stored.schema.project(self.columns.columns())?);
        let columns = gather_fields(&stored.layout, self.columns.columns(), rows)?;
        self.columns.finish(assemble(&schema, columns, n_rows)?)
    }
}

impl LocalStored {
    fn take_page(&mut self) -> Result<bool> {
        let idx = self.reading.next.fetch_add(1, Ordering::Relaxed);
        if idx >= self.reading.end {
            return Ok(false);
        }
        let page = match self.rows.lock().get(idx) {
            None => return Ok(false),
            Some(stored) => stored.page.clone(),
        };
        let spare = match self.spare.take().filter(|spare| spare.len() == page.len()) {
            Some(spare) => spare,
            None => allocate_patiently(&self.rows.owner, page.len())?,
        };
        self.current = Some((RowPage::restored(page.copy_into(spare)?, &self.rows.layout)?, 0));
        self.sequence = Sequence { morsel: (idx - self.reading.first) as u64, batch: 0 };
        Ok(true)
    }
}

/// A refusal may be for the moment.
fn allocate_patiently(owner: &Arc<PageOwner>, bytes: usize) -> Result<PinnedPage> {
    for _ in 1..REFUSALS {
        if let Ok(page) = owner.allocate(bytes) {
            return Ok(page);
        }
    }
    Ok(owner.allocate(bytes)?)
}

/// A temporary table.
pub struct StoredTable {
    name: String,
    rows: Arc<StoredRows>,
}

impl StoredTable {
    /// The rows under a name.
    pub fn new(name: String, rows: Arc<StoredRows>) -> Self {
        StoredTable { name, rows }
    }
}

impl Table for StoredTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        TableStatistics { n_rows: Some(self.rows.n_rows()), ..TableStatistics::default() }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        let source = self.rows.source(request.projection, request.filters);
        Ok(Scan { source, report: self.rows.clone(), bytes_per_worker: 0 })
    }

    fn describe(&self) -> String {
        format!("temporary table {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;
    use crate::error::ErrorKind;
    use crate::operators::trial::Trial;
    use crate::spill::Disk;

    /// Numbers ascending from 0, with texts of up to a few hundred bytes.
    fn batches(n_batches: usize) -> Vec<RecordBatch> {
        let schema =
            Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
        let batch = |idx: usize| {
            let ns = || (0..700).map(move |n| (idx * 700 + n) as i64);
            let texts: StringArray = ns().map(|n| (n % 5 > 0).then(|| "x".repeat(n as usize % 300))).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(ns().collect::<Int64Array>()), Arc::new(texts)];
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        };
        (0..n_batches).map(batch).collect()
    }

    fn joined(batches: &[RecordBatch]) -> RecordBatch {
        arrow::compute::concat_batches(&batches[0].schema(), batches).unwrap()
    }

    #[test]
    fn rows_come_back_in_order_as_often_as_asked() {
        let input = batches(20);
        for threads in [1, 2, 8] {
            for (evict_always, refuse_every) in [(false, 0), (true, 0), (true, 3)] {
                let trial = Trial { evict_always, refuse_every, ..Trial::new(4 << 20, threads) };
                let cx = trial.context();
                let rows = StoredRows::new("Stored", input[0].schema(), true, &cx).unwrap();
                let sink = rows.sink();
                let first = trial.run(&cx, &input, sink.as_ref(), rows.source(vec![0, 1], vec![]).as_ref()).unwrap();
                assert_eq!(joined(&first), joined(&input), "{threads} threads");
                assert_eq!(rows.n_rows(), 14_000);
                for _ in 0..2 {
                    let source = rows.source(vec![1], vec![]);
                    let nothing = StoredRows::new("Stored", input[0].schema(), false, &cx).unwrap();
                    let again = trial.run(&cx, &[], nothing.sink().as_ref(), source.as_ref()).unwrap();
                    assert_eq!(joined(&again), joined(&input).project(&[1]).unwrap());
                }
            }
        }
    }

    #[test]
    fn two_readers_at_once_see_all_rows_and_leave_them_on_disk() {
        let input = batches(20);
        let trial = Trial { evict_always: true, ..Trial::new(4 << 20, 1) };
        let cx = trial.context();
        let rows = StoredRows::new("Stored", input[0].schema(), true, &cx).unwrap();
        let source = rows.source(vec![0], vec![]);
        trial.run(&cx, &input, rows.sink().as_ref(), source.as_ref()).unwrap();
        let spilled = rows.report().spilled_raw_bytes;
        assert!(spilled > 0);
        let sources = [rows.source(vec![0, 1], vec![]), rows.source(vec![0, 1], vec![])];
        let mut readers = sources.map(|source| source.local(&trial.task(&cx, 0)).unwrap());
        let mut found = [Vec::new(), Vec::new()];
        loop {
            let batches = readers.each_mut().map(|reader| reader.next().unwrap());
            let [Some(first), Some(second)] = batches else { break };
            found[0].push(first.data);
            found[1].push(second.data);
        }
        assert_eq!(joined(&found[0]), joined(&input));
        assert_eq!(joined(&found[1]), joined(&input));
        assert_eq!(rows.report().spilled_raw_bytes, spilled, "pages were written again");
    }

    #[test]
    fn a_failing_disk_is_an_error_and_never_wrong_rows() {
        let input = batches(6);
        for n in 1.. {
            let disk = Disk::faulty(n, crate::spill::Fault::NoSpace);
            let trial = Trial { evict_always: true, disk: disk.clone(), ..Trial::new(4 << 20, 1) };
            let cx = trial.context();
            let rows = StoredRows::new("Stored", input[0].schema(), true, &cx).unwrap();
            match trial.run(&cx, &input, rows.sink().as_ref(), rows.source(vec![0, 1], vec![]).as_ref()) {
                Ok(output) => {
                    assert_eq!(joined(&output), joined(&input));
                    if disk.calls() < n {
                        assert!(n > 20, "the input is too small to spill: {n} calls");
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
        }
    }
}
