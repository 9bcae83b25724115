//! A scan: each worker takes morsels and reads them batch by batch.
//!
//! Memory: for each worker, the pages of the wanted columns (see `chunk`) and the batch under construction.
//! Order of work for a batch: filter by filter, of whose columns only the rows are read that those before it left, then
//! the other columns likewise. Small remainders are joined until a batch is worth handing on.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Fields, Schema, SchemaRef};

use super::batch_rows::BatchRows;
use super::chunk::PageLimits;
use super::morsels::{Morsel, MorselQueue, Piece, Work};
use super::narrowing::{BoundFilter, Narrowing};
use super::pending::Pending;
use super::pruning::{Pruning, RowRanges};
use super::row_group::{RowGroupReader, WantedColumn, total_row_bytes};
use super::selection::DictionaryAnswers;
use crate::error::{Error, Result};
use crate::exec::{Batch, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::memory::{Memory, Reservation};

/// What all workers of a scan share.
pub(super) struct ScanPlan {
    pub(super) memory: Memory,
    pub(super) limits: PageLimits,
    /// The columns that are read.
    pub(super) wanted: Vec<WantedColumn>,
    pub(super) filters: Vec<BoundFilter>,
    /// The output columns, as indices into `wanted`.
    pub(super) output: Vec<usize>,
    /// The declared output schema.
    pub(super) schema: SchemaRef,
    pub(super) pruning: Arc<Pruning>,
    pub(super) read_bytes: Arc<AtomicU64>,
    pub(super) total_bytes: u64,
}

/// The shared source of a scan.
pub(super) struct ParquetSource {
    pub(super) plan: Arc<ScanPlan>,
    pub(super) queue: Arc<MorselQueue>,
    /// Workers that may still begin to read. When pages are too large for all, some find nothing to do.
    pub(super) places: Arc<AtomicUsize>,
}

impl Source for ParquetSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let sizes = cx.sizes();
        Ok(Box::new(Reader {
            plan: self.plan.clone(),
            queue: self.queue.clone(),
            place: Place::NotAsked(self.places.clone()),
            cx: cx.clone(),
            rows: BatchRows::new(sizes.batch_rows, sizes.batch_bytes),
            pending: Pending::new(sizes.batch_rows / 2, sizes.batch_bytes / 2),
            batch_reserved: self.plan.memory.reserve("Scan"),
            open: None,
            current: None,
            failure: None,
            answers: self.plan.filters.iter().map(|_| None).collect(),
        }))
    }
}

/// Reports bytes read.
impl Report for ScanPlan {
    fn report(&self) -> OperatorReport {
        OperatorReport {
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes,
            ..OperatorReport::default()
        }
    }
}

/// One worker's reader.
struct Reader {
    plan: Arc<ScanPlan>,
    queue: Arc<MorselQueue>,
    place: Place,
    cx: TaskContext,
    rows: BatchRows,
    pending: Pending,
    /// Covers the batch that was handed out last.
    batch_reserved: Reservation,
    /// The row group that was read last; kept, because the next morsel may go on in it.
    open: Option<OpenRowGroup>,
    current: Option<Current>,
    /// What comes after the batch that was handed out last.
    failure: Option<Error>,
    /// What each filter says of the values of the dictionary it saw last.
    answers: Vec<Option<DictionaryAnswers>>,
}

/// Whether a worker reads at all.
enum Place {
    NotAsked(Arc<AtomicUsize>),
    Taken,
    Refused,
}

struct OpenRowGroup {
    reader: RowGroupReader,
    /// The output schema with the types that this row group really has.
    schema: SchemaRef,
    /// The rows that may match.
    ranges: RowRanges,
}

/// The morsel being read.
struct Current {
    sequence: Sequence,
    /// The pieces that remain, the next one last.
    pieces: Vec<Piece>,
}

impl LocalSource for Reader {
    fn next(&mut self) -> Result<Option<Batch>> {
        self.batch_reserved.shrink(self.batch_reserved.bytes());
        if let Place::NotAsked(places) = &self.place {
            let take = |n_places: usize| n_places.checked_sub(1);
            let taken = places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
            self.place = if taken { Place::Taken } else { Place::Refused };
        }
        if let Place::Refused = self.place {
            return Ok(None);
        }
        loop {
            self.cx.cancel.check()?;
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.current.is_none() {
                match self.queue.take()? {
                    Some(morsel) => self.begin(morsel)?,
                    None => return Ok(None),
                }
            }
            match self.advance() {
                Ok(Some(batch)) => return Ok(Some(batch)),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
    }
}

impl Reader {
    fn begin(&mut self, morsel: Morsel) -> Result<()> {
        let mut pieces = match morsel.work {
            Work::Pieces(pieces) => pieces,
            Work::WholeFile(idx) => {
                let opened = self.queue.open(idx).and_then(|file| self.queue.all_pieces(&Arc::new(file)));
                opened.map_err(|error| error.in_morsel(morsel.number))?
            }
        };
        pieces.retain(|piece| !piece.rows.is_empty());
        pieces.reverse();
        self.current = Some(Current { sequence: Sequence { morsel: morsel.number, batch: 0 }, pieces });
        Ok(())
    }

    /// Reads one batch of input. A batch comes out when enough rows are left of it, or at the end of the morsel.
    fn advance(&mut self) -> Result<Option<Batch>> {
        if let Some(piece) = self.current.as_mut().and_then(|current| current.pieces.pop()) {
            self.open(&piece)?;
            let (rows, rest) = self.next_rows(&piece);
            let left_over = match rows.is_empty() {
                true => None,
                false => self.read_and_keep(&rows)?,
            };
            if let Some(current) = self.current.as_mut().filter(|_| !rest.is_empty()) {
                current.pieces.push(Piece { rows: rest, ..piece });
            }
            if let Some(batch) = left_over {
                return Ok(Some(self.emit(batch, false)));
            }
        }
        let is_last = self.current.as_ref().is_some_and(|current| current.pieces.is_empty());
        if !is_last && !self.pending.is_full() {
            return Ok(None);
        }
        let batch = match self.pending.take()? {
            Some(batch) => batch,
            None if is_last => RecordBatch::new_empty(self.plan.schema.clone()),
            None => return Ok(None),
        };
        Ok(Some(self.emit(batch, is_last)))
    }

    /// Hands on the rows before an error first: they may be all that is wanted.
    fn fail(&mut self, error: Error) -> Result<Option<Batch>> {
        let morsel = self.current.as_ref().map(|current| current.sequence.morsel);
        let error = morsel.into_iter().fold(error, Error::in_morsel);
        match self.pending.take() {
            Ok(Some(batch)) => {
                self.failure = Some(error);
                Ok(Some(self.emit(batch, false)))
            }
            _ => Err(error),
        }
    }

    fn emit(&mut self, data: RecordBatch, last_of_morsel: bool) -> Batch {
        let sequence = self.current.as_mut().map_or(Sequence::default(), |current| {
            let sequence = current.sequence;
            current.sequence.batch += 1;
            sequence
        });
        if last_of_morsel {
            self.current = None;
        }
        Batch { data, sequence, last_of_morsel }
    }

    /// The rows of `piece` to read now, and what remains of it then.
    fn next_rows(&self, piece: &Piece) -> (Range<u64>, Range<u64>) {
        let Range { start, end } = piece.rows;
        let ranges = self.open.as_ref().map_or(&[][..], |open| &open.ranges);
        let idx = ranges.partition_point(|range| range.end <= start);
        let Some(range) = ranges.get(idx).filter(|range| range.start < end) else { return (end..end, end..end) };
        let from = range.start.max(start);
        let to = range.end.min(end).min(from + self.rows.next() as u64);
        (from..to, to..end)
    }

    /// Reads `rows` and keeps what the filters leave of them for the next batch.
    fn read_and_keep(&mut self, rows: &Range<u64>) -> Result<Option<RecordBatch>> {
        if let Some(open) = &mut self.open {
            open.reader.move_to(rows.start);
        }
        let n_rows = (rows.end - rows.start) as usize;
        let batch = self.read(n_rows)?;
        self.learn(n_rows, &batch)?;
        self.pending.add(batch)
    }

    /// Makes `piece` the open row group.
    fn open(&mut self, piece: &Piece) -> Result<()> {
        let goes_on = self.open.as_ref().is_some_and(|open| {
            Arc::ptr_eq(&open.reader.file, &piece.file)
                && open.reader.row_group == piece.row_group
                && open.reader.position <= piece.rows.start
        });
        if goes_on {
            return Ok(());
        }
        // The old pages are given back before the new ones are reserved.
        self.open = None;
        let plan = &self.plan;
        let (file, row_group) = (&piece.file, piece.row_group);
        let ranges = plan.pruning.matching_rows(file, row_group);
        let skips_rows = !plan.filters.is_empty() || !plan.pruning.is_empty() || piece.rows.start > 0;
        let reader = RowGroupReader::open(file, row_group, &plan.wanted, plan.limits, skips_rows)?;
        self.rows.begin(reader.row_bytes, reader.is_certain);
        let schema = self.actual_schema(&reader);
        self.open = Some(OpenRowGroup { reader, schema, ranges });
        Ok(())
    }

    fn actual_schema(&self, reader: &RowGroupReader) -> SchemaRef {
        let declared = self.plan.schema.fields();
        let types = self.plan.output.iter().map(|&idx| reader.data_type(idx));
        if declared.iter().zip(types.clone()).all(|(field, data_type)| field.data_type() == data_type) {
            return self.plan.schema.clone();
        }
        let fields = declared.iter().zip(types);
        let fields = fields.map(|(field, data_type)| Field::new(field.name(), data_type.clone(), field.is_nullable()));
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }

    /// Reads the next `n_rows` rows of the open row group and keeps those that pass the filters.
    fn read(&mut self, n_rows: usize) -> Result<RecordBatch> {
        let Some(open) = &mut self.open else { return Err(Error::query("no row group is open")) };
        let plan = &self.plan;
        let mut narrowing = Narrowing::new(plan, &mut open.reader, n_rows);
        for (filter_idx, answers) in self.answers.iter_mut().enumerate() {
            narrowing.apply(filter_idx, answers)?;
        }
        let (output, n_kept) = narrowing.finish()?;
        open.reader.position += n_rows as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(n_kept));
        Ok(RecordBatch::try_new_with_options(open.schema.clone(), output, &options)?)
    }

    /// Adapts the rows of the next batch, and reserves what a very large batch takes beyond the bound.
    fn learn(&mut self, n_rows: usize, batch: &RecordBatch) -> Result<()> {
        let bytes = total_row_bytes(batch.columns());
        let factor = if batch.num_rows() == 0 { 0.0 } else { n_rows as f64 / batch.num_rows() as f64 };
        if factor > 0.0 && factor < 4.0 {
            self.rows.learn(n_rows, (bytes as f64 * factor) as usize);
        }
        let beyond = bytes.saturating_sub(self.cx.sizes().batch_bytes);
        if beyond > 0 {
            self.batch_reserved.try_grow(beyond as u64)?;
        }
        Ok(())
    }
}
