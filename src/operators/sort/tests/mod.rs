//! Sort against a dull oracle: over types, directions, memory, threads, refusals and failing disks.

mod groups;
mod oracle;
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use self::oracle::sorted;
use self::rows::{random_rows, schema};
use super::{Sort, SortKey, SortSpec};
use crate::ErrorKind;
use crate::error::Result;
use crate::exec::{Batch, CancelToken, OperatorReport, QueryContext, Report, Sequence, Sink, Source, TaskContext};
use crate::memory::{Memory, PagePool};
use crate::operators::top_n::TopN;
use crate::spill::{Disk, Fault, SpillConfig, SpillStore};

pub(crate) const MIB: u64 = 1 << 20;

/// A session to run operators in.
pub(crate) struct Bed {
    pub(crate) cx: QueryContext,
    store: Arc<SpillStore>,
    idle_bytes: u64,
    threads: usize,
    _dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new(governed: u64, threads: usize, disk: Arc<Disk>) -> Result<Self> {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::with_governed(governed, threads);
        let store = SpillStore::new(&SpillConfig::in_dir(dir.path()), &memory, disk)?;
        let pages = PagePool::new(memory.clone(), store.clone())?;
        let idle_bytes = memory.reserved_bytes();
        let cx = QueryContext { memory, pages, cancel: CancelToken::default() };
        Ok(Bed { cx, store, idle_bytes, threads, _dir: dir })
    }

    fn task(&self, worker_idx: usize) -> TaskContext {
        TaskContext {
            memory: self.cx.memory.clone(),
            pages: self.cx.pages.clone(),
            cancel: self.cx.cancel.clone(),
            worker_idx,
            n_workers: self.threads,
        }
    }

    /// Runs `work` for every worker on a thread of its own.
    fn on_workers<R: Send>(&self, work: impl Fn(TaskContext) -> Result<R> + Sync) -> Result<Vec<R>> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..self.threads).map(|idx| scope.spawn(move || work(self.task(idx)))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Pushes all batches, cut to `batch_rows`, three batches a morsel; then reads everything back in order.
    pub(crate) fn run(
        &self,
        rows: &RecordBatch,
        batch_rows: usize,
        sink: &dyn Sink,
        source: impl Fn() -> Arc<dyn Source>,
    ) -> Result<RecordBatch> {
        let batches = self.run_batches(rows, batch_rows, sink, source)?;
        Ok(concat_batches(&rows.schema(), batches.iter().map(|batch| &batch.data))?)
    }

    fn run_batches(
        &self,
        rows: &RecordBatch,
        batch_rows: usize,
        sink: &dyn Sink,
        source: impl Fn() -> Arc<dyn Source>,
    ) -> Result<Vec<Batch>> {
        let n_batches = rows.num_rows().div_ceil(batch_rows);
        let next = AtomicUsize::new(0);
        self.on_workers(|task| {
            let mut local = sink.local(&task)?;
            loop {
                let first = next.fetch_add(3, Ordering::Relaxed);
                for idx in (first..first + 3).take_while(|&idx| idx < n_batches) {
                    let start = idx * batch_rows;
                    let data = rows.slice(start, batch_rows.min(rows.num_rows() - start));
                    let sequence = Sequence { morsel: (first / 3) as u64, batch: (idx - first) as u32 };
                    local.push(Batch { data, sequence, last_of_morsel: idx == first + 2 })?;
                }
                if first >= n_batches {
                    return local.combine();
                }
            }
        })?;
        sink.finish(&self.task(0))?;
        let source = source();
        let mut batches: Vec<Batch> = self
            .on_workers(|task| {
                let mut local = source.local(&task)?;
                let mut batches = Vec::new();
                while let Some(batch) = local.next()? {
                    assert!(batch.n_rows() <= self.cx.memory.sizes().batch_rows);
                    batches.push(batch);
                }
                Ok(batches)
            })?
            .into_iter()
            .flatten()
            .collect();
        batches.sort_by_key(|batch| batch.sequence);
        check_sequences(&batches);
        Ok(batches)
    }

    /// Checks that nothing is left of what ran here.
    pub(crate) fn close(self) {
        let Bed { cx: QueryContext { memory, pages, .. }, store, idle_bytes, .. } = self;
        assert_eq!(Arc::strong_count(&pages), 1, "no page, no owner");
        assert_eq!(memory.available_bytes(), memory.governed_bytes() - idle_bytes);
        assert_eq!(store.n_streams(), 0, "no live block");
        drop(pages);
        drop(store);
        assert_eq!(memory.reserved_bytes(), 0);
    }
}

/// Morsels are numbered from 0 without gaps, and each ends with exactly one last batch.
fn check_sequences(batches: &[Batch]) {
    let mut expected = Sequence::default();
    for batch in batches {
        assert_eq!(batch.sequence, expected);
        expected = match batch.last_of_morsel {
            true => Sequence { morsel: expected.morsel + 1, batch: 0 },
            false => Sequence { batch: expected.batch + 1, ..expected },
        };
    }
    assert!(batches.last().is_none_or(|batch| batch.last_of_morsel));
}

pub(crate) fn spec(keys: Vec<SortKey>, limit: Option<u64>) -> SortSpec {
    SortSpec { schema: schema(), keys, limit, n_grouping_keys: 0 }
}

pub(crate) fn key(column: &str, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { column: schema().index_of(column).unwrap(), descending, nulls_first }
}

pub(crate) fn any_key() -> impl Strategy<Value = SortKey> {
    (0..schema().fields().len(), any::<bool>(), any::<bool>()).prop_map(|(column, descending, nulls_first)| SortKey {
        column,
        descending,
        nulls_first,
    })
}

fn run_sort(
    bed: &Bed,
    rows: &RecordBatch,
    batch_rows: usize,
    spec: &SortSpec,
) -> Result<(RecordBatch, OperatorReport)> {
    let sort = Sort::new(spec.clone(), &bed.cx)?;
    let sorted = bed.run(rows, batch_rows, &*sort.sink(), || sort.source())?;
    Ok((sorted, sort.report()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn rows_come_in_order(
        (n_rows, seed) in (0..4000usize, any::<u64>()),
        keys in prop::collection::vec(any_key(), 1..4),
        limit in prop_oneof![3 => Just(None), 1 => (0..5000u64).prop_map(Some)],
        batch_rows in prop_oneof![Just(1usize), 2..100usize, Just(1024), Just(8192)],
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed in prop_oneof![Just(2 * MIB), Just(3 * MIB), Just(8 * MIB), Just(256 * MIB)],
        refuse_every in prop_oneof![3 => Just(0u64), 1 => 20..50u64],
        evict_always in any::<bool>(),
    ) {
        let n_rows = if batch_rows == 1 { n_rows / 10 } else { n_rows };
        let rows = random_rows(n_rows, seed);
        let spec = spec(keys, limit);
        let bed = Bed::new(governed, threads, Disk::real()).unwrap();
        bed.cx.memory.refuse_every(refuse_every);
        bed.cx.pages.evict_always(evict_always);
        match run_sort(&bed, &rows, batch_rows, &spec) {
            Ok((found, _)) => prop_assert_eq!(found, sorted(&rows, &spec)),
            // Eight workers in 2 MiB, or refusals that hit one worker again and again: it may say so, nothing else.
            Err(error) => prop_assert!(error.kind() == ErrorKind::Budget && (refuse_every > 0 || threads == 8), "{}", error),
        }
        bed.close();
    }
}

fn run_top_n(
    bed: &Bed,
    rows: &RecordBatch,
    batch_rows: usize,
    spec: &SortSpec,
) -> Result<(RecordBatch, OperatorReport)> {
    let top_n = TopN::new(spec.clone(), &bed.cx)?;
    let first = bed.run(rows, batch_rows, &*top_n.sink(), || top_n.source())?;
    Ok((first, top_n.report()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_first_rows_come_in_order(
        (n_rows, seed) in (0..6000usize, any::<u64>()),
        keys in prop::collection::vec(any_key(), 1..4),
        limit in prop_oneof![Just(0u64), 1..100u64, 1..4000u64],
        batch_rows in prop_oneof![2..100usize, Just(1024), Just(8192)],
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed in prop_oneof![Just(2 * MIB), Just(8 * MIB), Just(256 * MIB)],
        refuse_every in prop_oneof![3 => Just(0u64), 1 => 20..50u64],
        evict_always in any::<bool>(),
    ) {
        let rows = random_rows(n_rows, seed);
        let spec = spec(keys, Some(limit));
        let bed = Bed::new(governed, threads, Disk::real()).unwrap();
        bed.cx.memory.refuse_every(refuse_every);
        bed.cx.pages.evict_always(evict_always);
        match run_top_n(&bed, &rows, batch_rows, &spec) {
            Ok((found, _)) => prop_assert_eq!(found, sorted(&rows, &spec)),
            Err(error) => prop_assert!(error.kind() == ErrorKind::Budget && (refuse_every > 0 || threads == 8), "{}", error),
        }
        bed.close();
    }
}

#[test]
fn a_small_top_n_holds_few_rows() {
    let rows = random_rows(40_000, 11);
    let spec = spec(vec![key("float", true, false), key("long", false, false)], Some(10));
    let bed = Bed::new(256 * MIB, 2, Disk::real()).unwrap();
    let (found, report) = run_top_n(&bed, &rows, 1000, &spec).unwrap();
    assert!(report.peak_bytes < 6 * MIB && report.spilled_raw_bytes == 0, "{report:?}");
    assert_eq!(found, sorted(&rows, &spec));
    bed.close();
}

#[test]
fn little_memory_makes_levels_of_merges() {
    let rows = random_rows(50_000, 7);
    let spec = spec(vec![key("short", false, false), key("float", true, true)], None);
    let bed = Bed::new(2 * MIB, 2, Disk::real()).unwrap();
    let (found, report) = run_sort(&bed, &rows, 500, &spec).unwrap();
    assert!(report.n_runs > 8 && report.depth > 1, "{report:?}");
    assert!(report.spilled_raw_bytes > 8 * MIB && report.spilled_stored_bytes < report.spilled_raw_bytes, "{report:?}");
    assert!(report.peak_bytes <= 2 * MIB, "{report:?}");
    assert_eq!(found, sorted(&rows, &spec));
    bed.close();
}

#[test]
fn what_fits_is_not_written() {
    let rows = random_rows(20_000, 8);
    let spec = spec(vec![key("long", false, true)], None);
    let bed = Bed::new(256 * MIB, 2, Disk::real()).unwrap();
    let (found, report) = run_sort(&bed, &rows, 1000, &spec).unwrap();
    assert_eq!((report.spilled_raw_bytes, report.restored_bytes), (0, 0));
    assert_eq!(found, sorted(&rows, &spec));
    bed.close();
}

#[test]
fn rows_longer_than_a_page_are_sorted_too() {
    let fields = vec![Field::new("text", DataType::Utf8, true), Field::new("number", DataType::Int64, false)];
    let schema = Arc::new(Schema::new(fields));
    let text = |n: usize| {
        if n.is_multiple_of(7) { "long ".repeat(4000 + n % 11 * 1500) } else { format!("short {}", n * 31 % 97) }
    };
    let texts = (0..600).map(text).collect::<Vec<_>>();
    let numbers = Int64Array::from_iter_values((0..600).map(|n| n * 17 % 101));
    let rows =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(texts)), Arc::new(numbers)]).unwrap();
    for (column, descending) in [(0, false), (0, true), (1, true)] {
        for evict_always in [false, true] {
            let keys = vec![SortKey { column, descending, nulls_first: false }];
            let spec = SortSpec { schema: schema.clone(), keys, limit: None, n_grouping_keys: 0 };
            let bed = Bed::new(3 * MIB, 1, Disk::real()).unwrap();
            bed.cx.pages.evict_always(evict_always);
            let (found, report) = run_sort(&bed, &rows, 4, &spec).unwrap();
            assert!(report.spilled_raw_bytes > MIB, "{report:?}");
            assert_eq!(found, sorted(&rows, &spec));
            bed.close();
        }
    }
}

#[test]
fn dictionaries_are_sorted_by_their_values() {
    let rows = random_rows(3000, 12);
    let spec = spec(vec![key("short", true, true), key("int", false, false)], None);
    let column = key("short", false, false).column;
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut columns = rows.columns().to_vec();
    columns[column] = cast(&columns[column], &dictionary).unwrap();
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    fields[column] = Arc::new(Field::new("short", dictionary, true));
    let coded = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    for governed in [2 * MIB, 64 * MIB] {
        let bed = Bed::new(governed, 2, Disk::real()).unwrap();
        let sort = Sort::new(spec.clone(), &bed.cx).unwrap();
        let batches = bed.run_batches(&coded, 100, &*sort.sink(), || sort.source()).unwrap();
        let found = concat_batches(&rows.schema(), batches.iter().map(|batch| &batch.data)).unwrap();
        assert_eq!(found, sorted(&rows, &spec));
        drop(sort);
        bed.close();
    }
}

/// A disk that fails at any call makes the query fail with a disk error, and nothing is left behind.
#[test]
fn a_failing_disk_is_an_error_wherever_it_fails() {
    let rows = random_rows(6_000, 9);
    let spec = spec(vec![key("int", true, false)], None);
    let (mut step, mut call) = (1, 1);
    loop {
        let disk = Disk::faulty(call, Fault::NoSpace);
        let outcome = Bed::new(2 * MIB, 1, disk.clone()).and_then(|bed| {
            let outcome = run_sort(&bed, &rows, 300, &spec);
            bed.close();
            outcome
        });
        match outcome {
            Ok((found, _)) if disk.calls() < call => {
                assert_eq!(found, sorted(&rows, &spec));
                assert!(call > 20, "the input is too small to spill: {call} calls");
                return;
            }
            // A hole that cannot be punched is no reason to fail.
            Ok((found, _)) => assert_eq!(found, sorted(&rows, &spec)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {call}: {error}"),
        }
        (step, call) = (step + call / 64, call + step);
    }
}

#[test]
fn a_cancelled_sort_stops() {
    let rows = random_rows(10, 10);
    let bed = Bed::new(8 * MIB, 1, Disk::real()).unwrap();
    bed.cx.cancel.cancel();
    let error = run_sort(&bed, &rows, 5, &spec(vec![key("int", true, false)], None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    bed.close();
}
