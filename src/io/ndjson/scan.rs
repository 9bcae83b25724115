//! Batches from blocks of lines.
//!
//! Memory: a worker holds a block and the columns of one batch, reserved when the worker starts; a row longer than a batch
//! reserves what it needs on top.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use memchr::{memchr, memchr_iter};

use super::feed::{Block, Feed, LineBuffer, too_long};
use super::open::{Definition, located};
use super::problem::{Problem, What};
use super::row::Columns;
use crate::error::{Error, Result};
use crate::exec::{Batch, CancelToken, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::io::csv::{BadRowKind, OnBadRow, Seen, SeenRows, count_lines};
use crate::io::{ReadRows, Scan, ScanColumns, ScanRequest};
use crate::memory::{Memory, Reservation};

/// Rows after which a worker looks how large the batch is.
const ROWS_BETWEEN_LOOKS: usize = 16;

/// A prepared scan over NDJSON files.
pub(super) struct NdJsonScan {
    table: Arc<Definition>,
    feed: Feed,
    memory: Memory,
    read_rows: ReadRows,
    /// Whether no file is left out.
    reads_all_files: bool,
    plan: Plan,
    bytes_per_worker: u64,
    /// What the scans of the query have in common.
    seen: Arc<Seen>,
    /// This scan tells how many bad rows there were, for all of them.
    reports: bool,
    lines: LineNumbers,
}

/// Which columns are read and what becomes of them.
struct Plan {
    /// Columns of the table: for the filters or the output, then those that are only checked.
    columns: Vec<usize>,
    /// The columns that go on.
    schema: SchemaRef,
    /// Filters and the output, over the first of `columns`.
    read: ScanColumns,
    batch_rows: usize,
    batch_bytes: usize,
}

impl NdJsonScan {
    /// Prepares a scan. Nothing is read yet.
    pub(super) fn prepare(
        table: Arc<Definition>,
        request: ScanRequest,
        memory: &Memory,
        seen: &SeenRows,
    ) -> Result<Scan> {
        let (seen, reports) = seen.join(request.query.as_ref());
        let files = request.files.clone();
        let reads_all_files = files.is_none();
        let plan = Plan::new(&table, request, memory);
        let bytes_per_worker = LineBuffer::bytes_for(table.block_bytes) + 2 * memory.sizes().batch_bytes as u64;
        let scan = Arc::new(NdJsonScan {
            feed: Feed::new(table.clone(), memory.clone(), files),
            memory: memory.clone(),
            read_rows: ReadRows::default(),
            reads_all_files,
            plan,
            bytes_per_worker,
            seen,
            reports,
            lines: LineNumbers::default(),
            table,
        });
        Ok(Scan { source: Arc::new(NdJsonSource(scan.clone())), report: scan, bytes_per_worker })
    }

    /// Deals with a row that cannot be read.
    ///
    /// # Errors
    /// For the row itself when bad rows are errors; for a reject file that cannot be written.
    fn reject(&self, block: &Block, data: &[u8], start: usize, problem: &Problem) -> Result<()> {
        let row = line_at(data, start);
        let offset = block.offset + start as u64;
        if self.table.on_bad_row == OnBadRow::Fail {
            let line = match block.n_lines {
                Some(before) => before + memchr_iter(b'\n', &data[..start]).count() as u64,
                None => count_lines(&block.path, offset, &self.memory)?,
            };
            return Err(located(problem, &block.path, line + 1, row));
        }
        if self.seen.n_known(block.place, BadRowKind::Values, std::iter::once(offset)) > 0 {
            return Ok(());
        }
        let Some(rejects) = self.table.on_bad_row.rejects() else { return Ok(()) };
        let line = match block.n_lines {
            Some(before) => before + memchr_iter(b'\n', &data[..start]).count() as u64,
            None => self.lines.before(block, data, start, &self.memory)?,
        };
        rejects.add(&[
            block.path.as_os_str().as_encoded_bytes(),
            (line + 1).to_string().as_bytes(),
            offset.to_string().as_bytes(),
            problem.field().unwrap_or_default().as_bytes(),
            problem.reason(row).as_bytes(),
            row.trim_ascii_end(),
        ])
    }
}

/// The line that starts at `start`, without its newline.
fn line_at(data: &[u8], start: usize) -> &[u8] {
    let end = memchr(b'\n', &data[start..]).map_or(data.len(), |at| start + at);
    &data[start..end]
}

/// How many lines stand before blocks of the current file that had bad rows: each part of a file is counted about once.
#[derive(Default)]
struct LineNumbers {
    known: Mutex<Option<(Arc<std::path::PathBuf>, u64, u64)>>,
}

impl LineNumbers {
    /// Newlines before `start` in a block. The block before which they were counted last is remembered.
    fn before(&self, block: &Block, data: &[u8], start: usize, memory: &Memory) -> Result<u64> {
        let in_block = memchr_iter(b'\n', &data[..start]).count() as u64;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &*known {
            Some((path, offset, lines)) if path.as_ref() == block.path.as_ref() && *offset <= block.offset => {
                lines + count_between(block, *offset)?
            }
            _ => count_lines(&block.path, block.offset, memory)?,
        };
        *known = Some((block.path.clone(), block.offset, before));
        Ok(before + in_block)
    }
}

/// Newlines of a plain file from `from` up to a block.
fn count_between(block: &Block, from: u64) -> Result<u64> {
    let failed = |error: std::io::Error| crate::io::csv::read_failed(&block.path, &error);
    let file = std::fs::File::open(block.path.as_ref()).map_err(failed)?;
    let (mut at, mut n_lines, mut buffer) = (from, 0, [0; 16 * 1024]);
    while at < block.offset {
        let want = buffer.len().min(usize::try_from(block.offset - at).unwrap_or(usize::MAX));
        let n = crate::io::csv::read_fully_at(&file, &mut buffer[..want], at).map_err(failed)?;
        if n == 0 {
            break;
        }
        n_lines += memchr_iter(b'\n', &buffer[..n]).count() as u64;
        at += n as u64;
    }
    Ok(n_lines)
}

impl Plan {
    fn new(table: &Definition, request: ScanRequest, memory: &Memory) -> Self {
        let read = ScanColumns::new(&request.projection, &request.filters);
        let mut columns = read.columns().to_vec();
        let fields: Vec<_> = columns.iter().map(|&column| table.schema.field(column).clone()).collect();
        if table.on_bad_row != OnBadRow::Fail {
            // The rows that are left out must not depend on the query.
            let known = columns.clone();
            columns.extend((0..table.schema.fields().len()).filter(|column| !known.contains(column)));
        }
        let row_bytes: usize = columns.iter().map(|&column| fixed_bytes(table.schema.field(column).data_type())).sum();
        let sizes = memory.sizes();
        Plan {
            columns,
            schema: Arc::new(Schema::new(fields)),
            read,
            batch_rows: (sizes.batch_bytes / 2 / row_bytes.max(1)).clamp(1, sizes.batch_rows),
            batch_bytes: sizes.batch_bytes / 2,
        }
    }

    /// Drops rows that fail a filter, then columns that are not wanted.
    fn finish(&self, columns: &mut Columns) -> Result<RecordBatch> {
        let (mut arrays, n_rows) = columns.finish()?;
        arrays.truncate(self.schema.fields().len());
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        self.read.finish(batch)
    }
}

/// Bytes that a value takes at least, even if it is NULL.
fn fixed_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Utf8 | DataType::List(_) => size_of::<i32>(),
        DataType::Struct(fields) => 1 + fields.iter().map(|field| fixed_bytes(field.data_type())).sum::<usize>(),
        other => other.primitive_width().unwrap_or(1),
    }
}

impl Report for NdJsonScan {
    fn report(&self) -> OperatorReport {
        OperatorReport {
            read_bytes: self.feed.read_bytes(),
            total_bytes: self.table.file_bytes,
            n_bad_rows: if self.reports { self.seen.n_rows() } else { 0 },
            all_rows: self.reads_all_files.then(|| self.read_rows.all()).flatten(),
            ..OperatorReport::default()
        }
    }
}

struct NdJsonSource(Arc<NdJsonScan>);

impl Source for NdJsonSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let scan = self.0.clone();
        scan.table.on_bad_row.rejects().map_or(Ok(()), |rejects| rejects.begin_scan())?;
        let mut reservation = cx.memory.reserve("Scan");
        reservation.try_grow(scan.bytes_per_worker - LineBuffer::bytes_for(scan.table.block_bytes))?;
        Ok(Box::new(Reader {
            buffer: LineBuffer::new(&cx.memory),
            columns: Columns::new(&scan.table, scan.plan.columns.clone())?,
            block: None,
            failure: None,
            cancel: cx.cancel.clone(),
            long_row: cx.memory.reserve("Scan"),
            _reservation: reservation,
            scan,
        }))
    }
}

/// One worker's reader.
struct Reader {
    scan: Arc<NdJsonScan>,
    buffer: LineBuffer,
    columns: Columns,
    block: Option<Progress>,
    /// What comes after the batch that was handed out last.
    failure: Option<Error>,
    cancel: CancelToken,
    long_row: Reservation,
    _reservation: Reservation,
}

/// How far a block has been read.
struct Progress {
    block: Block,
    /// Where the next line starts.
    at: usize,
    n_batches: u32,
    is_utf8: bool,
}

impl LocalSource for Reader {
    fn next(&mut self) -> Result<Option<Batch>> {
        self.long_row.shrink(self.long_row.bytes());
        loop {
            self.cancel.check()?;
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.block.is_none() && !self.take_block()? {
                self.buffer = LineBuffer::new(self.long_row.memory());
                return Ok(None);
            }
            let Some(progress) = &mut self.block else { return Ok(None) };
            let morsel = progress.block.morsel;
            let filled = fill(&self.scan, progress, &mut self.columns, &self.buffer.bytes, &mut self.long_row);
            let is_last = filled.unwrap_or_else(|error| {
                self.failure = Some(error.in_morsel(morsel));
                false
            });
            self.scan.read_rows.add(self.columns.n_rows(), is_last);
            let data = self.scan.plan.finish(&mut self.columns).map_err(|error| error.in_morsel(morsel))?;
            let sequence = Sequence { morsel, batch: progress.n_batches };
            if is_last {
                if self.scan.table.on_bad_row != OnBadRow::Fail {
                    self.scan.seen.complete(progress.block.place);
                }
                self.block = None;
            } else if data.num_rows() == 0 {
                continue;
            } else {
                progress.n_batches += 1;
            }
            return Ok(Some(Batch { data, sequence, last_of_morsel: is_last }));
        }
    }
}

impl Reader {
    fn take_block(&mut self) -> Result<bool> {
        let block = self.scan.feed.next_block(&mut self.buffer)?;
        self.scan.read_rows.take_block(block.is_some());
        let Some(block) = block else { return Ok(false) };
        let is_utf8 = std::str::from_utf8(&self.buffer.bytes[block.begin..block.end]).is_ok();
        self.block = Some(Progress { at: block.begin, block, n_batches: 0, is_utf8 });
        Ok(true)
    }
}

/// Reads rows until the batch is full or the block ends; says which.
fn fill(
    scan: &NdJsonScan,
    progress: &mut Progress,
    columns: &mut Columns,
    data: &[u8],
    long_row: &mut Reservation,
) -> Result<bool> {
    while progress.at < progress.block.end {
        let start = progress.at;
        let line = line_at(&data[..progress.block.end], start);
        progress.at = start + line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        if line.len() as u64 > scan.table.max_row_bytes {
            let n_lines = count_lines(&progress.block.path, progress.block.offset + start as u64, &scan.memory)?;
            return Err(too_long(&progress.block.path, n_lines + 1, scan.table.max_row_bytes));
        }
        if line.len() > scan.plan.batch_bytes {
            long_row.try_grow(2 * line.len() as u64)?;
        }
        let appended = match progress.is_utf8 || std::str::from_utf8(line).is_ok() {
            true => columns.append(line),
            false => Err(Problem { at: 0, what: What::Encoding, path: Vec::new() }),
        };
        if let Err(problem) = appended {
            scan.reject(&progress.block, data, start, &problem)?;
        }
        let n_rows = columns.n_rows();
        let is_large = || columns.n_bytes() >= scan.plan.batch_bytes;
        let looks =
            n_rows.is_multiple_of(ROWS_BETWEEN_LOOKS) || line.len() * ROWS_BETWEEN_LOOKS > scan.plan.batch_bytes;
        if n_rows >= scan.plan.batch_rows || (n_rows > 0 && looks && is_large()) {
            break;
        }
    }
    if progress.at < progress.block.end {
        return Ok(false);
    }
    progress.block.failure.take().map_or(Ok(true), Err)
}
