//! Writing a Parquet file from the batches of all workers.
//!
//! Memory: for each worker one row group under construction (see `encode`); for ordered input the batches of as many row
//! groups, and a window of batches that came too early. The footer grows by about one KiB a column chunk, reserved too.
//! Encoding is what costs: without an order to keep each worker encodes a row group of its own; with one, the input is cut
//! into row groups in order, which are encoded in parallel and appended in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::encode::{EncodedRowGroup, Encoding, FileWriter, ParquetSinkOptions, RowGroupBuilder, write_failed};
use super::ordered::{OrderedGroups, OrderedSink};
use super::row_group::total_row_bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Batch, CancelToken, Flow, LocalSink, Sink, TaskContext};
use crate::io::OutputFile;
use crate::memory::{Memory, Reservation};

/// What the footer keeps of a column chunk until the file is complete: metadata, statistics, page locations.
const FOOTER_BYTES_PER_CHUNK: u64 = 1024;

/// How long to wait before looking whether the query was cancelled.
const CHECK_CANCEL_EVERY: Duration = Duration::from_millis(20);

/// Writes a Parquet file that replaces its target when it is complete.
pub struct ParquetSink {
    shared: Arc<Shared>,
    order: Order,
}

enum Order {
    /// Rows may come out in any order.
    Free(Arc<FreeGroups>),
    /// Rows come out in any order, but there is not enough memory to encode all columns side by side.
    FreeByColumn(Arc<OrderedGroups>),
    /// Rows come out in the order of their sequence numbers.
    Kept(Arc<OrderedGroups>),
}

/// What workers share.
pub(super) struct Shared {
    pub(super) encoding: Encoding,
    target: PathBuf,
    file: Mutex<OpenFile>,
    failed: AtomicBool,
}

struct OpenFile {
    /// `None` once complete, or after a failed write.
    writer: Option<FileWriter>,
    footer: Reservation,
    /// The number of the next row group in the file.
    next: u64,
    /// Row groups that were encoded before their turn.
    early: BTreeMap<u64, EncodedRowGroup>,
}

impl ParquetSink {
    /// A sink that will replace `target`. With `ordered`, rows keep the order of their batches' sequence numbers.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when the file cannot be created, [`crate::ErrorKind::Query`] for a type that Parquet
    /// does not have.
    pub fn new(
        target: &Path,
        schema: SchemaRef,
        options: &ParquetSinkOptions,
        ordered: bool,
        memory: &Memory,
    ) -> Result<Self> {
        Self::into_output(OutputFile::create(target)?, schema, options, ordered, memory)
    }

    /// A sink that writes to `output`.
    ///
    /// # Errors
    /// As [`ParquetSink::new`].
    pub fn into_output(
        output: OutputFile,
        schema: SchemaRef,
        options: &ParquetSinkOptions,
        ordered: bool,
        memory: &Memory,
    ) -> Result<Self> {
        let target = output.target().to_path_buf();
        let (writer, encoding) = Encoding::begin(output, &schema, options, memory)?;
        let footer = memory.reserve("Output");
        let file = OpenFile { writer: Some(writer), footer, next: 0, early: BTreeMap::new() };
        let shared = Arc::new(Shared { encoding, target, file: Mutex::new(file), failed: AtomicBool::new(false) });
        let order = match (ordered, shared.encoding.by_column) {
            (true, _) => Order::Kept(Arc::new(OrderedGroups::new(shared.clone(), memory))),
            (false, true) => Order::FreeByColumn(Arc::new(OrderedGroups::new(shared.clone(), memory))),
            (false, false) => Order::Free(Arc::new(FreeGroups::new(shared.clone()))),
        };
        Ok(ParquetSink { shared, order })
    }
}

impl Sink for ParquetSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(match &self.order {
            Order::Free(groups) => Box::new(FreeSink { groups: groups.clone(), cancel: cx.cancel.clone() }),
            Order::FreeByColumn(groups) => Box::new(OrderedSink::unordered(groups.clone())),
            Order::Kept(groups) => Box::new(OrderedSink::new(groups.clone(), cx)),
        })
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        match &self.order {
            Order::Free(groups) => groups.finish()?,
            Order::FreeByColumn(groups) | Order::Kept(groups) => groups.finish()?,
        }
        self.shared.complete()
    }
}

impl Shared {
    /// Puts `group` into the file as row group `number`, or keeps it until those before it are there.
    pub(super) fn append_in_order(&self, number: u64, group: EncodedRowGroup) -> Result<()> {
        let mut file = self.lock();
        file.early.insert(number, group);
        while let Some(group) = {
            let next = file.next;
            file.early.remove(&next)
        } {
            file.next += 1;
            self.append(&mut file, group)?;
        }
        Ok(())
    }

    /// Puts `group` at the end of the file.
    fn append_any(&self, group: EncodedRowGroup) -> Result<()> {
        self.append(&mut self.lock(), group)
    }

    fn append(&self, file: &mut OpenFile, group: EncodedRowGroup) -> Result<()> {
        if group.n_rows == 0 {
            return Ok(());
        }
        let EncodedRowGroup { chunks, reserved, .. } = group;
        file.footer.try_grow(FOOTER_BYTES_PER_CHUNK * chunks.len() as u64)?;
        let Some(writer) = &mut file.writer else { return Err(self.no_longer_open()) };
        let append = || {
            let mut row_group = writer.next_row_group()?;
            for chunk in chunks {
                chunk.append_to_row_group(&mut row_group)?;
            }
            row_group.close()
        };
        let result = append();
        drop(reserved);
        match result {
            Ok(_) => Ok(()),
            Err(error) => {
                file.writer = None;
                self.fail();
                Err(write_failed(error, &self.target))
            }
        }
    }

    /// Writes the footer and puts the file in its place.
    fn complete(&self) -> Result<()> {
        if self.has_failed() {
            return Err(self.no_longer_open());
        }
        let writer = self.lock().writer.take();
        let mut writer = writer.ok_or_else(|| self.no_longer_open())?;
        writer.finish().map_err(|error| write_failed(error, &self.target))?;
        writer.inner_mut().publish()
    }

    /// Makes every other worker stop: the file cannot be completed any more.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn no_longer_open(&self) -> Error {
        Error::disk(format!("writing {} has failed before", self.target.display()))
    }

    fn lock(&self) -> MutexGuard<'_, OpenFile> {
        self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Row groups under construction without an order to keep: at most one a worker, fewer when memory is short.
pub(super) struct FreeGroups {
    shared: Arc<Shared>,
    state: Mutex<FreeState>,
    returned: Condvar,
}

#[derive(Default)]
struct FreeState {
    idle: Vec<RowGroupBuilder>,
    n_taken: usize,
}

/// A row group in the hands of a worker. Its place becomes free however the worker lets go of it.
struct TakenGroup<'a> {
    groups: &'a FreeGroups,
    builder: Option<RowGroupBuilder>,
}

impl FreeGroups {
    fn new(shared: Arc<Shared>) -> Self {
        FreeGroups { shared, state: Mutex::default(), returned: Condvar::new() }
    }

    /// A row group that no other worker holds. Waits while all are taken, each for the encoding of one batch.
    fn take(&self, cancel: &CancelToken) -> Result<TakenGroup<'_>> {
        let mut state = self.lock();
        loop {
            if let Some(builder) = state.idle.pop() {
                state.n_taken += 1;
                return Ok(TakenGroup { groups: self, builder: Some(builder) });
            }
            if state.n_taken < self.shared.encoding.max_builders {
                state.n_taken += 1;
                return Ok(TakenGroup { groups: self, builder: None });
            }
            cancel.check()?;
            let waited = self.returned.wait_timeout(state, CHECK_CANCEL_EVERY);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    fn add(&self, batch: &RecordBatch, cancel: &CancelToken) -> Result<()> {
        let encoding = &self.shared.encoding;
        let mut taken = self.take(cancel)?;
        let mut rest = batch.clone();
        while rest.num_rows() > 0 {
            let mut group = match taken.room_for(total_row_bytes(rest.columns()) as u64) {
                Ok(group) => group,
                // Whoever made the batch has paid for it.
                Err(error) if error.kind() == ErrorKind::Budget => {
                    return self.shared.append_any(encoding.encode_by_column(vec![rest], encoding.nothing_reserved())?);
                }
                Err(error) => return Err(error),
            };
            let room = encoding.group_rows.saturating_sub(group.n_rows()).max(1);
            let n_rows = room.min(rest.num_rows());
            group.write(encoding, &rest.slice(0, n_rows))?;
            match group.is_full(encoding) {
                true => self.shared.append_any(group.finish(encoding)?)?,
                false => taken.builder = Some(group),
            }
            rest = rest.slice(n_rows, rest.num_rows() - n_rows);
        }
        Ok(())
    }

    /// Appends what is left.
    fn finish(&self) -> Result<()> {
        let idle = std::mem::take(&mut self.lock().idle);
        idle.into_iter().try_for_each(|group| self.shared.append_any(group.finish(&self.shared.encoding)?))
    }

    /// Gives all memory back except that of the row group that asks.
    fn append_idle(&self) -> Result<()> {
        self.finish()
    }

    fn lock(&self) -> MutexGuard<'_, FreeState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl TakenGroup<'_> {
    /// The row group with room for `bytes`; without memory for them, row groups are written out first.
    fn room_for(&mut self, bytes: u64) -> Result<RowGroupBuilder> {
        if let Some(mut group) = self.builder.take() {
            if group.reserve(bytes).is_ok() {
                return Ok(group);
            }
            self.groups.shared.append_any(group.finish(&self.groups.shared.encoding)?)?;
        }
        let fresh = || {
            let mut group = self.groups.shared.encoding.row_group()?;
            group.reserve(bytes)?;
            Ok(group)
        };
        fresh().or_else(|_: Error| {
            self.groups.append_idle()?;
            fresh()
        })
    }
}

impl Drop for TakenGroup<'_> {
    fn drop(&mut self) {
        let mut state = self.groups.lock();
        state.n_taken -= 1;
        state.idle.extend(self.builder.take());
        self.groups.returned.notify_one();
    }
}

/// One worker without an order to keep.
struct FreeSink {
    groups: Arc<FreeGroups>,
    cancel: CancelToken,
}

impl LocalSink for FreeSink {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        self.groups.add(&batch.data, &self.cancel)?;
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
