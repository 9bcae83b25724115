//! Batches from blocks.
//!
//! Memory: a worker holds a block, a table of positions and the columns of one batch, reserved when the worker starts;
//! a row longer than a block reserves what it needs on top.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::bad_rows::{BadRow, BadRows, Problem};
use super::block::{Block, BlockBuffer, Layout};
use super::column::{ColumnBuilder, Misfit};
use super::feed::Feed;
use super::header::too_long;
use super::open::Definition;
use super::options::OnBadRow;
use super::seen_rows::SeenRows;
use super::tokens::{Rows, Tokens};
use crate::error::{Error, Result};
use crate::exec::{Batch, CancelToken, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::io::{ReadRows, Scan, ScanColumns, ScanRequest};
use crate::memory::{Memory, Reservation};

/// A prepared scan over CSV files.
pub(super) struct CsvScan {
    table: Arc<Definition>,
    feed: Feed,
    read_rows: ReadRows,
    /// Whether no file is left out.
    reads_all_files: bool,
    bad_rows: BadRows,
    plan: Plan,
    bytes_per_worker: u64,
}

/// Which columns are read and what becomes of them.
struct Plan {
    /// Columns of the table that are read: for the filters or for the output, then those that are only checked.
    columns: Vec<usize>,
    /// The columns that go on; the others are there so that the rows left out do not depend on the query.
    schema: SchemaRef,
    /// Filters and the output, over the first of `columns`.
    read: ScanColumns,
    batch_rows: usize,
    /// The most text of a batch; only columns of text count.
    batch_text_bytes: usize,
}

impl CsvScan {
    /// Prepares a scan. Nothing is read yet.
    pub(super) fn prepare(
        table: Arc<Definition>,
        request: ScanRequest,
        memory: &Memory,
        seen: &SeenRows,
    ) -> Result<Scan> {
        let files = request.files.clone();
        let reads_all_files = files.is_none();
        let seen = seen.join(request.query.as_ref());
        let plan = Plan::new(&table, request, memory);
        let sizes = memory.sizes();
        let n_fields = table.schema.fields().len();
        let bytes_per_worker = BlockBuffer::bytes_for(table.block_bytes)
            + Tokens::bytes_for(n_fields, table.ragged)
            + 2 * sizes.batch_bytes as u64;
        let counts_lines = matches!(table.on_bad_row, OnBadRow::Reject(_));
        let scan = Arc::new(CsvScan {
            feed: Feed::new(table.clone(), memory.clone(), counts_lines, files),
            read_rows: ReadRows::default(),
            reads_all_files,
            bad_rows: BadRows::new(table.clone(), memory.clone(), seen),
            plan,
            bytes_per_worker,
            table,
        });
        Ok(Scan { source: Arc::new(CsvSource(scan.clone())), report: scan, bytes_per_worker })
    }
}

impl Plan {
    fn new(table: &Definition, request: ScanRequest, memory: &Memory) -> Self {
        let read = ScanColumns::new(&request.projection, &request.filters);
        let mut columns = read.columns().to_vec();
        let fields: Vec<_> = columns.iter().map(|column| table.schema.field(*column).clone()).collect();
        if table.on_bad_row != OnBadRow::Fail {
            let known = columns.clone();
            columns.extend((0..table.schema.fields().len()).filter(|column| !known.contains(column)));
        }
        let row_bytes: usize = columns.iter().map(|column| fixed_bytes(table.schema.field(*column).data_type())).sum();
        let sizes = memory.sizes();
        Plan {
            columns,
            schema: Arc::new(Schema::new(fields)),
            read,
            batch_rows: (sizes.batch_bytes / 2 / row_bytes.max(1)).clamp(1, sizes.batch_rows),
            batch_text_bytes: sizes.batch_bytes / 2,
        }
    }

    /// One builder a column that is read.
    fn builders(&self, table: &Definition) -> Result<Vec<Box<dyn ColumnBuilder>>> {
        let builders = self.columns.iter().map(|&column| {
            let data_type = table.schema.field(column).data_type();
            let builder = table.column_settings(column).builder(data_type);
            builder.ok_or_else(|| Error::usage(format!("CSV cannot be read as {data_type}")))
        });
        builders.collect()
    }

    /// Drops rows that fail a filter, then columns that are not wanted.
    fn finish(&self, columns: Vec<ArrayRef>, n_rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.read.finish(batch)
    }
}

/// Bytes of a value of a column, without text.
fn fixed_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Utf8 => size_of::<i32>(),
        other => other.primitive_width().unwrap_or(1),
    }
}

impl Report for CsvScan {
    fn report(&self) -> OperatorReport {
        OperatorReport {
            read_bytes: self.feed.read_bytes(),
            total_bytes: self.table.file_bytes,
            n_bad_rows: self.bad_rows.n_rows(),
            all_rows: self.reads_all_files.then(|| self.read_rows.all()).flatten(),
            ..OperatorReport::default()
        }
    }
}

struct CsvSource(Arc<CsvScan>);

impl Source for CsvSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let scan = self.0.clone();
        scan.bad_rows.begin()?;
        let mut reservation = cx.memory.reserve("Scan");
        reservation.try_grow(scan.bytes_per_worker - BlockBuffer::bytes_for(scan.table.block_bytes))?;
        let columns = Columns { builders: scan.plan.builders(&scan.table)?, n_rows: 0, misfits: Vec::new() };
        Ok(Box::new(CsvReader {
            buffer: BlockBuffer::new(&cx.memory),
            tokens: Tokens::new(scan.table.schema.fields().len(), scan.table.dialect, scan.table.ragged),
            block: None,
            columns,
            cancel: cx.cancel.clone(),
            is_finished: false,
            failure: None,
            reservation,
            scan,
        }))
    }
}

/// One worker's reader.
struct CsvReader {
    scan: Arc<CsvScan>,
    buffer: BlockBuffer,
    tokens: Tokens,
    block: Option<Progress>,
    columns: Columns,
    cancel: CancelToken,
    is_finished: bool,
    /// What comes after the batch that was handed out last.
    failure: Option<Error>,
    reservation: Reservation,
}

/// How far a block has been read.
struct Progress {
    block: Block,
    /// Where the next piece of text starts.
    at: usize,
    /// The run in the tokens that comes next, and the row in it.
    run: usize,
    row: usize,
    n_batches: u32,
    /// What is wrong with the row behind the runs. The rows before it come first: they may be all that is wanted.
    failure: Option<Error>,
}

impl LocalSource for CsvReader {
    fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            self.cancel.check()?;
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.block.is_none() && !self.take_block()? {
                self.finish();
                return Ok(None);
            }
            let Some(progress) = &mut self.block else { return Ok(None) };
            let morsel = progress.block.morsel;
            let filled = self.columns.fill(&self.scan, progress, &mut self.tokens, &self.buffer.bytes);
            let is_last = filled.unwrap_or_else(|error| {
                self.failure = Some(error.in_morsel(morsel));
                false
            });
            self.scan.read_rows.add(self.columns.n_rows, is_last);
            let data = self.columns.finish(&self.scan.plan).map_err(|error| error.in_morsel(morsel))?;
            let sequence = Sequence { morsel, batch: progress.n_batches };
            if is_last {
                self.scan.bad_rows.complete(progress.block.place);
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

impl CsvReader {
    fn take_block(&mut self) -> Result<bool> {
        if self.is_finished {
            return Ok(false);
        }
        let block = self.scan.feed.next_block(&mut self.buffer)?;
        self.scan.read_rows.take_block(block.is_some());
        let Some(block) = block else { return Ok(false) };
        let (table, n_fields) = (&self.scan.table, block.layout.n_fields);
        if self.tokens.n_fields() != n_fields {
            let bytes = self.scan.bytes_per_worker + Tokens::bytes_for(n_fields, table.ragged)
                - Tokens::bytes_for(table.schema.fields().len(), table.ragged)
                - BlockBuffer::bytes_for(table.block_bytes);
            self.reservation.try_resize(bytes)?;
            self.tokens = Tokens::new(n_fields, table.dialect, table.ragged);
        }
        self.tokens.runs.clear();
        self.block = Some(Progress { at: block.begin, block, run: 0, row: 0, n_batches: 0, failure: None });
        Ok(true)
    }

    /// Gives back the memory of the block.
    fn finish(&mut self) {
        if !self.is_finished {
            self.is_finished = true;
            self.buffer = BlockBuffer::new(self.reservation.memory());
        }
    }
}

/// The columns of the batch in the making.
struct Columns {
    builders: Vec<Box<dyn ColumnBuilder>>,
    n_rows: usize,
    misfits: Vec<Misfit>,
}

/// The first row beyond the bound. Rows that reach into the next block were measured when they were read.
fn first_too_long(scan: &CsvScan, block: &Block, tokens: &Tokens, data: &[u8]) -> Result<Option<(usize, Error)>> {
    let max = scan.table.max_row_bytes;
    let rows = tokens.runs.iter().flat_map(|run| {
        let rows = tokens.rows(data, *run);
        (0..run.n_rows).map(move |row| rows.row(row))
    });
    let ragged = tokens.ragged.iter().map(|row| (row.start, row.end));
    let Some((start, _)) = rows.chain(ragged).filter(|(start, end)| (end - start) as u64 > max).min() else {
        return Ok(None);
    };
    let path = &block.layout.path;
    let line = block.line_of(data, start, scan.table.access(scan.feed.memory()))?;
    Ok(Some((start, too_long(path, line, max))))
}

/// What [`Columns`] needs to append rows.
struct Context<'a> {
    scan: &'a CsvScan,
    block: &'a Block,
    data: &'a [u8],
}

impl Columns {
    /// Reads rows until the batch is full or the block ends; says which.
    fn fill(&mut self, scan: &CsvScan, progress: &mut Progress, tokens: &mut Tokens, data: &[u8]) -> Result<bool> {
        loop {
            let Some(&run) = tokens.runs.get(progress.run) else {
                if let Some(error) = progress.failure.take() {
                    return Err(error);
                }
                if progress.at >= progress.block.end {
                    return progress.block.failure.take().map_or(Ok(true), Err);
                }
                self.next_piece(scan, progress, tokens, data)?;
                continue;
            };
            let rows = tokens.rows(data, run);
            let n = self.room(&scan.plan, &rows.slice(progress.row, run.n_rows - progress.row));
            if n == 0 {
                return Ok(false);
            }
            let cx = Context { scan, block: &progress.block, data };
            self.append(&cx, &rows.slice(progress.row, n))?;
            progress.row += n;
            if progress.row == run.n_rows {
                progress.row = 0;
                progress.run += 1;
            }
        }
    }

    /// How many of `rows` the batch takes. An empty batch takes at least one.
    fn room(&self, plan: &Plan, rows: &Rows<'_>) -> usize {
        let n = rows.n_rows.min(plan.batch_rows - self.n_rows.min(plan.batch_rows));
        if n == 0 || plan.columns.is_empty() {
            return n;
        }
        let text: usize = self.builders.iter().map(|builder| builder.n_bytes()).sum();
        let within = rows.slice(0, n).n_rows_within(plan.batch_text_bytes.saturating_sub(text));
        if within == 0 && self.n_rows == 0 { 1 } else { within }
    }

    fn next_piece(&mut self, scan: &CsvScan, progress: &mut Progress, tokens: &mut Tokens, data: &[u8]) -> Result<()> {
        let block = &progress.block;
        progress.at = tokens.find_rows(data, progress.at, block.end, block.has_quotes);
        (progress.run, progress.row) = (0, 0);
        let mut first_bad = None;
        if (block.end - block.begin) as u64 > scan.table.max_row_bytes {
            first_bad = first_too_long(scan, block, tokens, data)?;
        }
        if tokens.ragged.is_empty() && first_bad.is_none() {
            return Ok(());
        }
        let bad_row = |row: &super::tokens::Ragged| BadRow {
            start: row.start,
            end: row.end,
            problem: Problem::Fields { found: row.n_fields },
        };
        let bad: Vec<BadRow> = tokens.ragged.iter().map(bad_row).collect();
        if let Err(error) = scan.bad_rows.push(block, data, &bad) {
            let start = bad.first().map_or(block.begin, |row| row.start);
            first_bad = first_bad.filter(|(too_long, _)| *too_long <= start).or(Some((start, error)));
        }
        if let Some((start, error)) = first_bad {
            tokens.end_runs_before(data, start);
            progress.failure = Some(error);
        }
        Ok(())
    }

    /// Appends rows; those that do not fit are dealt with, and the others appended again without them.
    fn append(&mut self, cx: &Context<'_>, rows: &Rows<'_>) -> Result<()> {
        let mut bad = Vec::new();
        self.append_columns(cx, rows, &mut bad);
        if bad.is_empty() {
            self.n_rows += rows.n_rows;
            return Ok(());
        }
        bad.sort_by_key(|(row, _)| *row);
        bad.dedup_by_key(|(row, _)| *row);
        let located = bad.iter().map(|(row, problem)| {
            let (start, end) = rows.row(*row);
            BadRow { start, end, problem: *problem }
        });
        let pushed = cx.scan.bad_rows.push(cx.block, cx.data, &located.collect::<Vec<_>>());
        self.builders.iter_mut().for_each(|builder| builder.truncate(self.n_rows));
        if pushed.is_err() {
            let n_good = bad.first().map_or(0, |(row, _)| *row);
            self.append_columns(cx, &rows.slice(0, n_good), &mut Vec::new());
            self.n_rows += n_good;
            return pushed;
        }
        let mut from = 0;
        for to in bad.iter().map(|(row, _)| *row).chain([rows.n_rows]) {
            if from < to {
                self.append_columns(cx, &rows.slice(from, to - from), &mut Vec::new());
                self.n_rows += to - from;
            }
            from = to + 1;
        }
        Ok(())
    }

    fn append_columns(&mut self, cx: &Context<'_>, rows: &Rows<'_>, bad: &mut Vec<(usize, Problem)>) {
        let layout: &Layout = &cx.block.layout;
        for (builder, &column) in self.builders.iter_mut().zip(&cx.scan.plan.columns) {
            let Some(field) = layout.fields[column] else {
                builder.append_nulls(rows.n_rows);
                continue;
            };
            builder.append(rows, field, &mut self.misfits);
            for Misfit { row, reason } in self.misfits.drain(..) {
                let (start, end) = rows.field(row, field);
                bad.push((row, Problem::Value { column, start, end, reason }));
            }
        }
    }

    /// The batch; the columns start anew.
    fn finish(&mut self, plan: &Plan) -> Result<RecordBatch> {
        let (read, checked) = self.builders.split_at_mut(plan.schema.fields().len());
        let columns: Vec<ArrayRef> = read.iter_mut().map(|builder| builder.finish()).collect::<Result<_>>()?;
        checked.iter_mut().for_each(|builder| builder.truncate(0));
        plan.finish(columns, std::mem::take(&mut self.n_rows))
    }
}
