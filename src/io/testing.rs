//! Test bed of all formats: reads tables with several workers and checks the contract of a source.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::Result;
use crate::exec::{Batch, CancelToken, TaskContext};
use crate::io::{ScanRequest, Table};
use crate::memory::{BlockId, Memory, PagePool, PageStore};

struct NoStore;

impl PageStore for NoStore {
    fn write(&self, _stream: u64, _raw: &[u8]) -> Result<(BlockId, u64)> {
        Err(crate::Error::disk("tests of files have nothing to spill"))
    }

    fn read(&self, _block: BlockId, _into: &mut [u8]) -> Result<()> {
        Err(crate::Error::disk("tests of files have nothing to restore"))
    }

    fn free(&self, _block: BlockId) {}
}

/// Contexts of the workers of one pipeline.
pub(crate) fn contexts(memory: &Memory, n_workers: usize) -> Vec<TaskContext> {
    let pages = PagePool::new(memory.clone(), Arc::new(NoStore)).unwrap();
    let cancel = CancelToken::default();
    let context = |worker_idx| TaskContext {
        memory: memory.clone(),
        pages: pages.clone(),
        cancel: cancel.clone(),
        worker_idx,
        n_workers,
    };
    (0..n_workers).map(context).collect()
}

/// Reads everything on `n_workers` threads; the batches in order. Checks the numbering of batches and morsels.
pub(crate) fn scan(table: &dyn Table, request: ScanRequest, memory: &Memory, n_workers: usize) -> Result<Vec<Batch>> {
    let scan = table.scan(request)?;
    let source = &scan.source;
    let workers = contexts(memory, n_workers);
    let results: Vec<Result<Vec<Batch>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = workers
            .iter()
            .map(|cx| {
                scope.spawn(move || {
                    let mut local = source.local(cx)?;
                    let mut batches = Vec::new();
                    while let Some(batch) = local.next()? {
                        batches.push(batch);
                    }
                    Ok(batches)
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let mut batches = Vec::new();
    for result in results {
        batches.extend(result?);
    }
    batches.sort_by_key(|batch| batch.sequence);
    let (mut morsel, mut number) = (0, 0);
    for batch in &batches {
        assert_eq!(
            (batch.sequence.morsel, batch.sequence.batch),
            (morsel, number),
            "batches are numbered without gaps"
        );
        (morsel, number) = if batch.last_of_morsel { (morsel + 1, 0) } else { (morsel, number + 1) };
    }
    assert_eq!(number, 0, "every morsel ends");
    Ok(batches)
}

/// A request for all columns.
pub(crate) fn everything(table: &dyn Table) -> ScanRequest {
    ScanRequest { projection: (0..table.schema().fields().len()).collect(), ..ScanRequest::default() }
}

/// The rows of `batches` with the types of `schema`.
pub(crate) fn rows(schema: &SchemaRef, batches: &[Batch]) -> RecordBatch {
    let declared = batches.iter().map(|batch| {
        let columns = batch.data.columns().iter().zip(schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.n_rows()));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap()
    });
    concat_batches(schema, &declared.collect::<Vec<_>>()).unwrap()
}

/// A line of `name:type`, then the rows; NULL as `~`.
pub(crate) fn show(batch: &RecordBatch) -> String {
    let schema = batch.schema();
    let header = schema.fields().iter().map(|field| format!("{}:{}", field.name(), field.data_type()));
    let options = FormatOptions::default().with_null("~");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    let rows = (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | "));
    let lines: Vec<_> = std::iter::once(header.collect::<Vec<_>>().join(" | ")).chain(rows).collect();
    lines.join("\n") + "\n"
}

/// All of a table as text, read by `n_workers`.
pub(crate) fn read(table: &dyn Table, memory: &Memory, n_workers: usize) -> Result<String> {
    let batches = scan(table, everything(table), memory, n_workers)?;
    Ok(show(&rows(&table.schema(), &batches)))
}

/// Reads a table while every n-th reservation is refused, for many n: all rows or an error about memory, and nothing is
/// kept.
pub(crate) fn check_refusals(n_rows: usize, open: impl Fn(&Memory) -> Result<Arc<dyn Table>>) {
    for n in (1..40).chain([0]) {
        let memory = Memory::with_governed(32 << 20, 2);
        let workers = contexts(&memory, 1);
        memory.refuse_every(n);
        let read = open(&memory).and_then(|table| {
            let prepared = table.scan(everything(&*table))?;
            let mut local = prepared.source.local(&workers[0])?;
            let mut found = 0;
            while let Some(batch) = local.next()? {
                found += batch.n_rows();
            }
            Ok(found)
        });
        match read {
            Ok(found) => assert_eq!(found, n_rows, "every {n}th refused"),
            Err(error) => assert!(n > 0 && error.kind() == crate::ErrorKind::Budget, "every {n}th refused: {error}"),
        }
        assert_eq!(memory.reserved_bytes(), 0, "every {n}th refused");
    }
}
