//! Whole scans: against a reader that looks at one character at a time, and message by message.

mod anything;
mod files;
pub(crate) mod fixtures;
mod messages;
mod once;
mod oracle;
mod random;
mod speed;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tempfile::TempDir;

use super::{CsvOptions, CsvTable};
use crate::error::Result;
use crate::exec::{Batch, CancelToken, OperatorReport, TaskContext};
use crate::io::{ScanRequest, Table};
use crate::memory::{BlockId, Memory, PagePool, PageStore};

/// A store that is never needed.
struct NoStore;

impl PageStore for NoStore {
    fn write(&self, _stream: u64, _raw: &[u8]) -> Result<(BlockId, u64)> {
        Err(crate::Error::disk("no store"))
    }

    fn read(&self, _block: BlockId, _into: &mut [u8]) -> Result<()> {
        Err(crate::Error::disk("no store"))
    }

    fn free(&self, _block: BlockId) {}
}

/// Files in a folder of their own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(TempDir::new().unwrap())
    }

    /// Files in memory where the system has a place for them: making each durable takes longer than everything else.
    fn in_memory() -> Self {
        let shared_memory = Path::new("/dev/shm");
        Folder(TempDir::new_in(shared_memory).or_else(|_| TempDir::new()).unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A message without the folder's random name.
    fn shown(&self, error: &crate::Error) -> String {
        format!("{error}\n").replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// What a scan gave.
struct Scanned {
    batches: Vec<Batch>,
    report: OperatorReport,
}

impl Scanned {
    fn n_rows(&self) -> usize {
        self.batches.iter().map(Batch::n_rows).sum()
    }

    /// Each row as text; NULL as `~`.
    fn rows(&self) -> Vec<Vec<String>> {
        self.batches.iter().flat_map(|batch| text_rows(&batch.data)).collect()
    }
}

impl Scanned {
    /// The same, so that every value stands on one line and can be told from NULL and from two values.
    fn escaped_rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for batch in &self.batches {
            let nulls = |column: usize, row: usize| batch.data.column(column).is_null(row);
            rows.extend(text_rows(&batch.data).into_iter().enumerate().map(|(row, values)| {
                let shown = values.iter().enumerate().map(|(column, value)| match nulls(column, row) {
                    true => "~".to_string(),
                    false => escape(value),
                });
                shown.collect::<Vec<String>>()
            }));
        }
        rows
    }
}

fn escape(value: &str) -> String {
    let mut text = String::new();
    for letter in value.chars() {
        match letter {
            '\n' => text += "\\n",
            '\r' => text += "\\r",
            '\0' => text += "\\0",
            '\\' | '|' | '~' => text.extend(['\\', letter]),
            _ => text.push(letter),
        }
    }
    text
}

fn text_rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("~");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect()).collect()
}

fn memory(threads: usize) -> Memory {
    Memory::with_governed(64 << 20, threads)
}

/// The memory of so many workers.
struct Bench {
    memory: Memory,
    pages: Arc<PagePool>,
}

impl Bench {
    fn new(threads: usize) -> Self {
        let memory = memory(threads);
        let pages = PagePool::new(memory.clone(), Arc::new(NoStore)).unwrap();
        Bench { memory, pages }
    }
}

/// Reads a table with so many workers and checks the contract of a source.
fn scan(table: &CsvTable, request: ScanRequest, threads: usize) -> Result<Scanned> {
    scan_on(&Bench::new(threads), table, request, threads)
}

fn scan_on(bench: &Bench, table: &CsvTable, request: ScanRequest, threads: usize) -> Result<Scanned> {
    let Bench { memory, pages } = bench;
    let scan = table.scan(request)?;
    let collected: Mutex<Vec<Batch>> = Mutex::default();
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let work = |worker_idx| {
            let cancel = CancelToken::default();
            let cx =
                TaskContext { memory: memory.clone(), pages: pages.clone(), cancel, worker_idx, n_workers: threads };
            let mut local = scan.source.local(&cx)?;
            while let Some(batch) = local.next()? {
                collected.lock().unwrap().push(batch);
            }
            Ok(())
        };
        if threads == 1 {
            return vec![work(0)];
        }
        let workers: Vec<_> = (0..threads).map(|worker_idx| scope.spawn(move || work(worker_idx))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    // Of several errors, the first one in the file.
    let errors = results.into_iter().filter_map(Result::err);
    if let Some(error) = errors.min_by_key(crate::Error::morsel) {
        return Err(error);
    }
    let mut batches = collected.into_inner().unwrap();
    batches.sort_by_key(|batch| batch.sequence);
    check_sequences(&batches);
    assert_eq!(memory.reserved_bytes(), 0, "reservations are given back");
    Ok(Scanned { batches, report: scan.report.report() })
}

fn check_sequences(batches: &[Batch]) {
    let (mut morsel, mut next) = (0, 0);
    for batch in batches {
        assert_eq!((batch.sequence.morsel, batch.sequence.batch), (morsel, next), "morsels and batches are numbered");
        (morsel, next) = if batch.last_of_morsel { (morsel + 1, 0) } else { (morsel, next + 1) };
    }
    assert_eq!(next, 0, "every morsel ends with its last batch");
}

fn open(paths: &[PathBuf], options: CsvOptions) -> Result<CsvTable> {
    CsvTable::open(paths, options, &memory(2))
}

fn all_columns(table: &CsvTable) -> ScanRequest {
    ScanRequest { projection: (0..table.schema().fields().len()).collect(), ..ScanRequest::default() }
}

/// The table in a text, as text: a line of `name:type`, then the rows.
fn read(path: &Path, options: CsvOptions) -> Result<String> {
    let table = open(&[path.to_owned()], options)?;
    let schema = table.schema();
    let header: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| format!("{}:{}", field.name(), super::bad_rows::type_name(field.data_type())))
        .collect();
    let mut lines = vec![header.join(" | ")];
    let scanned = scan(&table, all_columns(&table), 2)?;
    lines.extend(scanned.rows().into_iter().map(|row| row.join(" | ").replace('\n', "\\n").replace('\r', "\\r")));
    Ok(lines.join("\n") + "\n")
}
