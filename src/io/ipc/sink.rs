//! Writing Arrow files and streams from the batches of all workers.
//!
//! Memory: each worker holds the rows of one record batch and its encoding; for ordered input a window of those that came
//! too early besides; for a file, where its record batches are. All reserved.
//!
//! Workers encode side by side; only writing is done one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use arrow::ipc;
use arrow::ipc::writer::{
    DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use flatbuffers::FlatBufferBuilder;

use crate::error::{Error, Result};
use crate::exec::{Batch, Flow, LocalSink, Placed, QueryContext, ReorderWindow, ReorderWorker, Sink, TaskContext};
use crate::io::text::Destination;
use crate::memory::{Memory, Reservation};

/// Record batches that a worker may be ahead of its turn.
const BATCHES_AHEAD: u64 = 4;

const MAGIC: &[u8; 6] = b"ARROW1";

/// What stands around the record batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpcLayout {
    /// A file, which says at its end where its record batches are.
    File,
    /// A stream, which can be read while it is written.
    Stream,
}

/// Writes Arrow record batches to a [`Destination`].
pub struct IpcSink {
    shared: Arc<Shared>,
    window: Option<Arc<ReorderWindow<Encoded>>>,
}

struct Shared {
    schema: SchemaRef,
    layout: IpcLayout,
    destination: Destination,
    written: Mutex<Written>,
}

/// What was written so far.
struct Written {
    n_bytes: u64,
    /// Where the record batches are, for a file.
    blocks: Vec<ipc::Block>,
    has_begun: bool,
    reserved: Reservation,
}

/// A record batch as it will be in the file.
struct Encoded {
    bytes: Vec<u8>,
    metadata_bytes: i32,
    body_bytes: i64,
}

struct LocalRows {
    shared: Arc<Shared>,
    window: Option<ReorderWorker<Encoded>>,
    waiting: Vec<RecordBatch>,
    n_rows: usize,
    n_bytes: usize,
    /// The morsel that the waiting rows belong to.
    morsel: u64,
    batch_rows: usize,
    batch_bytes: usize,
    reserved: Reservation,
}

impl IpcSink {
    /// A sink for rows of `schema`; `ordered` keeps the order of the batches' sequence numbers.
    pub fn new(
        destination: Destination,
        schema: SchemaRef,
        layout: IpcLayout,
        ordered: bool,
        cx: &QueryContext,
    ) -> Self {
        let sizes = cx.memory.sizes();
        let limit_bytes = BATCHES_AHEAD * (sizes.threads * sizes.batch_bytes) as u64;
        let window = ordered.then(|| ReorderWindow::new(&cx.memory, "Output", limit_bytes, cx.cancel.clone()));
        let written = Written::new(&cx.memory);
        let shared = Shared { schema, layout, destination, written: Mutex::new(written) };
        IpcSink { shared: Arc::new(shared), window }
    }
}

impl Sink for IpcSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let sizes = cx.sizes();
        let mut reserved = cx.memory.reserve("Output");
        // The waiting rows, the same as one batch, encoded, and with what stands around them.
        reserved.try_grow(4 * sizes.batch_bytes as u64)?;
        Ok(Box::new(LocalRows {
            shared: self.shared.clone(),
            window: self.window.as_ref().map(ReorderWindow::worker),
            waiting: Vec::new(),
            n_rows: 0,
            n_bytes: 0,
            morsel: 0,
            batch_rows: 4 * sizes.batch_rows,
            batch_bytes: sizes.batch_bytes,
            reserved,
        }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        if let Some(window) = &self.window {
            window.finish(|encoded| self.shared.write(encoded))?;
        }
        self.shared.complete()
    }
}

impl LocalSink for LocalRows {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        // Rows left from another morsel: that one has ended.
        if self.window.is_some() && self.morsel != batch.sequence.morsel && self.n_rows > 0 {
            self.hand_over(true)?;
        }
        self.morsel = batch.sequence.morsel;
        if batch.n_rows() > 0 {
            let rows = self.shared.plain(&batch.data)?;
            self.n_rows += rows.num_rows();
            self.n_bytes += rows.columns().iter().map(bytes_of).sum::<usize>();
            self.waiting.push(rows);
        }
        let ends = batch.last_of_morsel && self.window.is_some();
        let is_full = self.n_rows >= self.batch_rows || self.n_bytes >= self.batch_bytes / 2;
        if ends || is_full { self.hand_over(ends) } else { Ok(Flow::More) }
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.hand_over(false)?;
        let LocalRows { window, shared, .. } = *self;
        match window {
            Some(worker) => worker.leave(|encoded| shared.write(encoded)).map(|_| ()),
            None => Ok(()),
        }
    }
}

/// Bytes of the values of a column, without what else lies in its buffers.
fn bytes_of(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

impl LocalRows {
    /// Encodes the waiting rows and writes them, or places them in the window; `ends` says that nothing of their morsel
    /// follows.
    fn hand_over(&mut self, ends: bool) -> Result<Flow> {
        if self.n_rows == 0 && !(ends && self.window.is_some()) {
            return Ok(Flow::More);
        }
        let waiting = std::mem::take(&mut self.waiting);
        let beyond = (4 * self.n_bytes as u64).saturating_sub(self.reserved.bytes());
        self.reserved.try_grow(beyond)?;
        (self.n_rows, self.n_bytes) = (0, 0);
        let encoded = self.shared.encode(waiting)?;
        let shared = &self.shared;
        let flow = match &mut self.window {
            None => shared.write(encoded),
            Some(worker) => {
                let bytes = encoded.bytes.capacity() as u64;
                let placed = Placed { morsel: self.morsel, last_of_morsel: ends, bytes, item: encoded };
                worker.push(placed, |encoded| shared.write(encoded))
            }
        };
        self.reserved.shrink(beyond);
        flow
    }
}

impl Shared {
    /// `batch` with the declared types: dictionaries may stand in for them.
    fn plain(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            let is_declared = column.data_type() == field.data_type();
            if is_declared { Ok(column.clone()) } else { Ok(cast(column, field.data_type())?) }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns.collect::<Result<_>>()?, &options)?)
    }

    /// One message of all rows of `batches`; nothing for no rows.
    fn encode(&self, batches: Vec<RecordBatch>) -> Result<Encoded> {
        let batch = match &batches[..] {
            [] => return Ok(Encoded { bytes: Vec::new(), metadata_bytes: 0, body_bytes: 0 }),
            [only] => only.clone(),
            several => concat_batches(&self.schema, several)?,
        };
        drop(batches);
        let (mut tracker, mut context) = (DictionaryTracker::new(false), IpcWriteContext::default());
        let options = IpcWriteOptions::default();
        let (_, encoded) =
            IpcDataGenerator::default().encode(&batch, &mut tracker, &options, &mut context).map_err(not_encoded)?;
        framed(encoded)
    }

    /// Writes a record batch.
    fn write(&self, encoded: Encoded) -> Result<Flow> {
        if encoded.bytes.is_empty() {
            return Ok(Flow::More);
        }
        let mut written = self.lock();
        if self.begin(&mut written)? == Flow::Done {
            return Ok(Flow::Done);
        }
        if self.layout == IpcLayout::File {
            written.reserved.try_grow(size_of::<ipc::Block>() as u64)?;
            let block = ipc::Block::new(written.n_bytes as i64, encoded.metadata_bytes, encoded.body_bytes);
            written.blocks.push(block);
        }
        self.append(&mut written, &encoded.bytes)
    }

    fn append(&self, written: &mut Written, bytes: &[u8]) -> Result<Flow> {
        written.n_bytes += bytes.len() as u64;
        self.destination.write(bytes)
    }

    /// Writes what stands before the first record batch, once.
    fn begin(&self, written: &mut Written) -> Result<Flow> {
        if std::mem::replace(&mut written.has_begun, true) {
            return Ok(Flow::More);
        }
        let mut start = match self.layout {
            IpcLayout::File => [MAGIC.as_slice(), &[0; 2]].concat(),
            IpcLayout::Stream => Vec::new(),
        };
        let mut tracker = DictionaryTracker::new(false);
        let schema = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            &self.schema,
            &mut tracker,
            &IpcWriteOptions::default(),
        );
        start.extend(framed(schema)?.bytes);
        self.append(written, &start)
    }

    /// Writes what stands behind the last record batch and puts the file in its place.
    fn complete(&self) -> Result<()> {
        let mut written = self.lock();
        let flow = self.begin(&mut written)?;
        // A marker and no message.
        let mut end = vec![0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
        if self.layout == IpcLayout::File {
            end.extend(self.footer(&written.blocks));
        }
        if flow == Flow::More {
            self.append(&mut written, &end)?;
        }
        self.destination.commit()
    }

    /// The footer with its length and the magic bytes.
    fn footer(&self, blocks: &[ipc::Block]) -> Vec<u8> {
        let mut builder = FlatBufferBuilder::new();
        let batches = builder.create_vector(blocks);
        let dictionaries = builder.create_vector::<ipc::Block>(&[]);
        let mut tracker = DictionaryTracker::new(false);
        let schema = ipc::convert::IpcSchemaEncoder::new()
            .with_dictionary_tracker(&mut tracker)
            .schema_to_fb_offset(&mut builder, &self.schema);
        let mut footer = ipc::FooterBuilder::new(&mut builder);
        footer.add_version(ipc::MetadataVersion::V5);
        footer.add_schema(schema);
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(batches);
        let footer = footer.finish();
        builder.finish(footer, None);
        let mut bytes = builder.finished_data().to_vec();
        bytes.extend((bytes.len() as i32).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn new(memory: &Memory) -> Self {
        Written { n_bytes: 0, blocks: Vec::new(), has_begun: false, reserved: memory.reserve("Output") }
    }
}

/// A message with its marker, length and padding.
fn framed(encoded: EncodedData) -> Result<Encoded> {
    let mut bytes = Vec::with_capacity(encoded.ipc_message.len() + encoded.arrow_data.len() + 128);
    let (metadata, body) = write_message(&mut bytes, encoded, &IpcWriteOptions::default()).map_err(not_encoded)?;
    Ok(Encoded { bytes, metadata_bytes: metadata as i32, body_bytes: body as i64 })
}

fn not_encoded(error: arrow::error::ArrowError) -> Error {
    Error::query(format!("cannot write this as Arrow: {error}"))
}
