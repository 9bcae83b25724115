//! Batches from the record batches of Arrow files.
//!
//! Memory: for each worker the wanted columns of one record batch of the file, reserved, and the batch that is handed on.
//! When record batches are so large that not all workers can hold one, some find nothing to do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, MutableArrayData, RecordBatch, RecordBatchOptions, make_array, new_null_array};
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::file::{Found, OpenFile};
use super::input::Input;
use super::open::Definition;
use crate::error::{Error, Result};
use crate::exec::{Batch, CancelToken, LocalSource, OperatorReport, Report, Sequence, Source, TaskContext};
use crate::io::drift::{engine_type, widen};
use crate::io::{Scan, ScanColumns, ScanRequest, SelectedFiles};
use crate::memory::{Memory, Reservation};

/// Workers that read at the same time take at most this part of the governed memory, as far as that can be told.
const READERS_SHARE: u64 = 2;

/// A prepared scan over Arrow files.
pub(super) struct IpcScan {
    table: Arc<Definition>,
    memory: Memory,
    files: Option<Arc<SelectedFiles>>,
    position: Mutex<Position>,
    read_bytes: Arc<AtomicU64>,
    /// Workers that may still begin to read.
    places: AtomicUsize,
    /// Of the columns that are read.
    schema: SchemaRef,
    read: ScanColumns,
    batch_rows: usize,
    batch_bytes: usize,
}

struct Position {
    /// The number of the next file among those that are read.
    next_file: usize,
    /// The place of the current file in the table.
    file: usize,
    next_morsel: u64,
    current: Option<OpenFile>,
}

/// A record batch in the hands of a worker.
struct Claim {
    morsel: u64,
    input: Arc<Input>,
    fields: Fields,
    found: Found,
}

impl IpcScan {
    /// Prepares a scan. Nothing is read yet.
    pub(super) fn prepare(table: Arc<Definition>, request: ScanRequest, memory: &Memory) -> Result<Scan> {
        let read = ScanColumns::new(&request.projection, &request.filters);
        let columns = read.columns();
        let schema = Arc::new(table.schema.project(columns)?);
        let sizes = memory.sizes();
        let share = columns.len() as u64 * table.largest_batch_bytes / table.schema.fields().len().max(1) as u64;
        let affordable = memory.governed_bytes() / READERS_SHARE / share.max(1);
        let scan = Arc::new(IpcScan {
            memory: memory.clone(),
            files: request.files.clone(),
            position: Mutex::new(Position { next_file: 0, file: 0, next_morsel: 0, current: None }),
            read_bytes: Arc::default(),
            places: AtomicUsize::new(affordable.clamp(1, 1 << 16) as usize),
            schema,
            read,
            batch_rows: sizes.batch_rows,
            batch_bytes: sizes.batch_bytes,
            table,
        });
        Ok(Scan { source: Arc::new(IpcSource(scan.clone())), report: scan, bytes_per_worker: share })
    }

    /// The next record batch in file order.
    fn claim(&self) -> Result<Option<Claim>> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let morsel = position.next_morsel;
        self.claim_at(&mut position).map_err(|error| {
            (position.next_file, position.current) = (usize::MAX, None);
            error.in_morsel(morsel)
        })
    }

    fn claim_at(&self, position: &mut Position) -> Result<Option<Claim>> {
        loop {
            if let Some(file) = &mut position.current {
                if let Some(found) = file.next()? {
                    let (input, fields) = (file.input.clone(), file.fields().clone());
                    let morsel = position.next_morsel;
                    if let Some(files) = &self.files {
                        files.begin(morsel, position.file);
                    }
                    position.next_morsel += 1;
                    return Ok(Some(Claim { morsel, input, fields, found }));
                }
                position.current = None;
            }
            let next = match &self.files {
                Some(files) => files.get(position.next_file),
                None => Some(position.next_file),
            };
            let Some((next, path)) = next.and_then(|next| Some((next, self.table.paths.get(next)?))) else {
                return Ok(None);
            };
            position.current = Some(OpenFile::open(path, &self.read_bytes, &self.memory)?);
            (position.file, position.next_file) = (next, position.next_file + 1);
        }
    }
}

impl Report for IpcScan {
    fn report(&self) -> OperatorReport {
        OperatorReport {
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            total_bytes: self.table.file_bytes,
            ..OperatorReport::default()
        }
    }
}

struct IpcSource(Arc<IpcScan>);

impl Source for IpcSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let reserved = cx.memory.reserve("Scan");
        let cancel = cx.cancel.clone();
        Ok(Box::new(Reader { scan: self.0.clone(), has_place: None, current: None, reserved, cancel }))
    }
}

/// One worker's reader.
struct Reader {
    scan: Arc<IpcScan>,
    /// Whether it reads at all, once that was asked.
    has_place: Option<bool>,
    current: Option<Current>,
    /// Covers the record batch being cut.
    reserved: Reservation,
    cancel: CancelToken,
}

/// A record batch of the file that is handed on in pieces.
struct Current {
    morsel: u64,
    n_batches: u32,
    input: Arc<Input>,
    /// For each column that is read, where it is in `rows`; `None` for a column that the file does not have.
    columns: Vec<Option<usize>>,
    rows: RecordBatch,
    at: usize,
    /// Rows of a piece.
    step: usize,
}

impl LocalSource for Reader {
    fn next(&mut self) -> Result<Option<Batch>> {
        let places = &self.scan.places;
        let take = || places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if !*self.has_place.get_or_insert_with(take) {
            return Ok(None);
        }
        loop {
            self.cancel.check()?;
            if let Some(current) = &mut self.current {
                let morsel = current.morsel;
                let (data, is_last) = self.scan.piece(current).map_err(|error| error.in_morsel(morsel))?;
                let sequence = Sequence { morsel, batch: current.n_batches };
                if is_last {
                    self.current = None;
                } else if data.num_rows() == 0 {
                    continue;
                } else {
                    current.n_batches += 1;
                }
                return Ok(Some(Batch { data, sequence, last_of_morsel: is_last }));
            }
            // What was handed out last is covered by now.
            self.reserved.shrink(self.reserved.bytes());
            let Some(claim) = self.scan.claim()? else { return Ok(None) };
            let morsel = claim.morsel;
            self.current = Some(self.scan.begin(claim, &mut self.reserved).map_err(|error| error.in_morsel(morsel))?);
        }
    }
}

impl IpcScan {
    /// Reads the wanted columns of a record batch.
    fn begin(&self, claim: Claim, reserved: &mut Reservation) -> Result<Current> {
        let Claim { morsel, input, fields, found } = claim;
        let (mut wanted, mut columns) = (Vec::new(), Vec::new());
        for field in self.schema.fields() {
            let place = fields.iter().position(|of_file| of_file.name() == field.name());
            columns.push(place.map(|place| {
                wanted.push(place);
                wanted.len() - 1
            }));
        }
        let before = reserved.bytes();
        let rows = found.message.read_columns(&input, &fields, &wanted, &found.dictionaries, reserved)?;
        let bytes = (reserved.bytes() - before) as usize;
        let row_bytes = bytes / rows.num_rows().max(1);
        let step = match bytes <= self.batch_bytes {
            true => self.batch_rows,
            false => (self.batch_bytes / 2 / row_bytes.max(1)).clamp(1, self.batch_rows),
        };
        Ok(Current { morsel, n_batches: 0, input, columns, rows, at: 0, step })
    }

    /// The next rows of `current` that pass the filters, and whether they are its last.
    fn piece(&self, current: &mut Current) -> Result<(RecordBatch, bool)> {
        let n_rows = current.step.min(current.rows.num_rows() - current.at);
        let is_whole = n_rows == current.rows.num_rows();
        let columns = current.columns.iter().zip(self.schema.fields()).map(|(place, field)| match place {
            None => Ok(new_null_array(field.data_type(), n_rows)),
            Some(place) => {
                let array = current.rows.column(*place).slice(current.at, n_rows);
                convert(array, field.data_type(), is_whole).map_err(|value| {
                    let (path, name) = (current.input.path().display(), field.name());
                    let data_type = field.data_type().to_string().to_lowercase();
                    Error::data(format!(
                        "{path}, column {name}: {value} does not fit {data_type}, the type of this column over all files"
                    ))
                    .with_hint("read the files separately and cast the column")
                })
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_new_with_options(nullable(&self.schema), columns, &options)?;
        current.at += n_rows;
        Ok((self.read.finish(batch)?, current.at == current.rows.num_rows()))
    }
}

/// A file may have NULLs in a column that it declares to have none.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|field| field.is_nullable()) {
        return schema.clone();
    }
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// `array` of a file as `data_type`, without the rest of the record batch it lies in, unless it is all of it.
fn convert(array: ArrayRef, data_type: &DataType, is_whole: bool) -> Result<ArrayRef, String> {
    let own_type = engine_type(array.data_type());
    if &own_type == array.data_type() && &own_type == data_type {
        return if is_whole { Ok(array) } else { copied(&array).map_err(|error| error.to_string()) };
    }
    // Views and dictionaries may share what they refer to: taken apart, each value is a copy.
    let plain = widen(&array, &own_type)?;
    widen(&plain, data_type)
}

/// The same values in buffers of their own.
fn copied(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len())?;
    Ok(make_array(copy.freeze()))
}
