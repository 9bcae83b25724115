//! Sinks of rows: order, the header, and failing disks.

use std::fs;
use std::io::Read;
use std::sync::atomic::AtomicU64;
use std::thread;

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::*;
use crate::ErrorKind;
use crate::exec::Sequence;
use crate::io::OutputFile;
use crate::io::text::{CsvFormat, JsonLinesFormat};
use crate::memory::{Memory, PagePool};
use crate::spill::{Disk, Fault, SpillConfig, SpillStore};

const N_MORSELS: u64 = 40;
const BATCHES: u32 = 3;
const ROWS: i64 = 700;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("text", DataType::Utf8, false)]))
}

/// Batch `batch` of `morsel`: consecutive numbers over the whole input.
fn batch(morsel: u64, batch: u32) -> Batch {
    let first = (morsel as i64 * i64::from(BATCHES) + i64::from(batch)) * ROWS;
    let numbers = Int64Array::from_iter_values(first..first + ROWS);
    let text = StringArray::from_iter_values((first..first + ROWS).map(|n| format!("a text with, a comma {n}")));
    let data = RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(text)]).unwrap();
    Batch { data, sequence: Sequence { morsel, batch }, last_of_morsel: batch + 1 == BATCHES }
}

fn context(threads: usize) -> (QueryContext, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::with_governed(16 << 20, threads);
    let store = SpillStore::new(&SpillConfig::in_dir(folder.path()), &memory, Disk::real()).unwrap();
    let pages = PagePool::new(memory.clone(), store).unwrap();
    (QueryContext { memory, pages, cancel: Default::default() }, folder)
}

fn task_of(cx: &QueryContext, worker_idx: usize, n_workers: usize) -> TaskContext {
    let (memory, pages, cancel) = (cx.memory.clone(), cx.pages.clone(), cx.cancel.clone());
    TaskContext { memory, pages, cancel, worker_idx, n_workers }
}

/// Pushes all morsels from `threads` workers, as the driver does.
fn run(sink: &dyn Sink, cx: &QueryContext, threads: usize) -> Result<()> {
    let task = |worker_idx| task_of(cx, worker_idx, threads);
    let next = AtomicU64::new(0);
    let work = |mut local: Box<dyn LocalSink>| {
        loop {
            let morsel = next.fetch_add(1, Ordering::Relaxed);
            if morsel >= N_MORSELS {
                return local.combine();
            }
            for idx in 0..BATCHES {
                if local.push(batch(morsel, idx))? == Flow::Done {
                    return local.combine();
                }
            }
        }
    };
    let locals = (0..threads).map(|idx| sink.local(&task(idx))).collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let workers: Vec<_> =
            locals.into_iter().map(|local| scope.spawn(|| work(local).inspect_err(|_| cx.cancel.cancel()))).collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        results.into_iter().collect::<Result<Vec<()>>>()
    })?;
    sink.finish(&task(0))
}

#[test]
fn ordered_rows_come_out_in_order_and_unordered_ones_all() {
    for (ordered, threads) in [(true, 1), (true, 2), (true, 7), (false, 1), (false, 4)] {
        let (cx, folder) = context(threads);
        let write = |name: &str| {
            let target = folder.path().join(name);
            let destination = Destination::file(&target).unwrap();
            run(&RowSink::new(CsvFormat::new(schema()), destination, ordered, &cx), &cx, threads).unwrap();
            fs::read(&target).unwrap()
        };
        let text = String::from_utf8(write("out.csv")).unwrap();
        if ordered {
            let zipped = write("out.csv.gz");
            let mut unzipped = String::new();
            flate2::read::MultiGzDecoder::new(&zipped[..]).read_to_string(&mut unzipped).unwrap();
            assert!(unzipped == text && zipped.len() < text.len());
            let packed = write("out.csv.zst");
            assert!(zstd::decode_all(&packed[..]).unwrap() == text.as_bytes());
        }
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("n,text"));
        let mut numbers: Vec<i64> = lines.map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        if !ordered {
            numbers.sort_unstable();
        }
        let n_rows = N_MORSELS as i64 * i64::from(BATCHES) * ROWS;
        assert!(numbers == (0..n_rows).collect::<Vec<_>>(), "ordered {ordered}, {threads} threads");
    }
}

#[test]
fn an_empty_result_still_has_its_header() {
    let (cx, folder) = context(1);
    let target = folder.path().join("out.csv");
    let sink = RowSink::new(CsvFormat::new(schema()), Destination::file(&target).unwrap(), true, &cx);
    let task = task_of(&cx, 0, 1);
    sink.local(&task).unwrap().combine().unwrap();
    sink.finish(&task).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "n,text\n");
}

#[test]
fn a_disk_that_fails_at_any_call_leaves_the_old_file() {
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        for n in 1.. {
            let (cx, _folder) = context(2);
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("out.json");
            fs::write(&target, "old").unwrap();
            let disk = Disk::faulty(n, fault);
            let result = OutputFile::create_on(disk.clone(), &target).and_then(|file| {
                let sink = RowSink::new(JsonLinesFormat::new(schema()), Destination::to(file), n % 2 == 0, &cx);
                run(&sink, &cx, 2)
            });
            if disk.calls() < n {
                result.unwrap();
                break;
            }
            match result {
                // A short write alone is no failure.
                Ok(()) => assert_ne!(fs::read_to_string(&target).unwrap(), "old"),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Disk | ErrorKind::Cancelled), "{error:?}");
                    // Only making the new name durable can fail when the new file is in place already.
                    let text = fs::read_to_string(&target).unwrap();
                    assert!(
                        text == "old" || text.lines().count() as i64 == N_MORSELS as i64 * i64::from(BATCHES) * ROWS
                    );
                }
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}

/// A row of one list of `n` numbers and one of a text of as many bytes.
fn large_row(n: usize) -> RecordBatch {
    let numbers = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some(
        (0..n as i64).map(Some),
    )]);
    let text = StringArray::from_iter_values([&"x".repeat(n)]);
    let fields = vec![Field::new("list", numbers.data_type().clone(), true), Field::new("text", DataType::Utf8, false)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(numbers), Arc::new(text)]).unwrap()
}

#[test]
fn a_row_larger_than_a_block_is_reserved_before_it_is_formatted() {
    // Of 16 MiB: half a million numbers would be formatted in more, a thousand go as ever.
    for (n, fits) in [(500_000, false), (50_000, true), (1000, true)] {
        let (cx, folder) = context(1);
        let before = cx.memory.reserved_bytes();
        let data = large_row(n);
        let destination = Destination::file(&folder.path().join("out.csv")).unwrap();
        let sink = RowSink::new(CsvFormat::new(data.schema()), destination, false, &cx);
        let mut worker = sink.local(&task_of(&cx, 0, 1)).unwrap();
        let pushed = worker.push(Batch { data, sequence: Sequence { morsel: 0, batch: 0 }, last_of_morsel: true });
        match (pushed, fits) {
            (Ok(_), true) => {}
            (Err(error), false) => assert_eq!(error.kind(), ErrorKind::Budget, "{error}"),
            (pushed, _) => panic!("{n}: {pushed:?}"),
        }
        drop((worker, sink));
        assert_eq!(cx.memory.reserved_bytes(), before, "{n}");
    }
}
