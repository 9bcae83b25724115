//! Writing Arrow files and streams from the batches of all workers.
//!
//! Memory: each worker holds the rows of one record batch and its encoding; for ordered input a window of those that came
//! too early besides; for a file, where its record batches are; while one is packed, what packing takes. All reserved.
//!
//! Workers encode side by side; only writing is done one at a time. Files are packed with LZ4, streams are not: whoever reads
//! them is waiting. The surprising part: LZ4 works on blocks of 4 MiB, here and in whoever reads the file, for any buffer of
//! more than 256 KiB; so record batches are cut before that, and one with a single value that long is not packed.

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

/// The longest buffer for which LZ4 works on small blocks, and what it takes then: the block before and after, and a table.
const PACKED_BUFFER_BYTES: usize = 256 << 10;
const PACKING_BYTES: u64 = 640 << 10;

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
    /// Bytes of the waiting rows by column.
    column_bytes: Vec<usize>,
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
            column_bytes: vec![0; self.shared.schema.fields().len()],
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
        let ends = batch.last_of_morsel && self.window.is_some();
        if batch.n_rows() == 0 {
            return if ends { self.hand_over(true) } else { Ok(Flow::More) };
        }
        let rows = self.shared.plain(&batch.data)?;
        let longest = rows.columns().iter().map(bytes_of).max().unwrap_or(0);
        let n_pieces = longest.div_ceil(PACKED_BUFFER_BYTES).clamp(1, rows.num_rows());
        let piece_rows = rows.num_rows().div_ceil(n_pieces);
        for first in (0..rows.num_rows()).step_by(piece_rows) {
            let n_rows = piece_rows.min(rows.num_rows() - first);
            let is_last = first + n_rows == rows.num_rows();
            if self.wait(rows.slice(first, n_rows), ends && is_last)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::More)
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
    /// Adds `rows` to those that wait, and writes these when they are enough for a record batch or their morsel `ends`.
    fn wait(&mut self, rows: RecordBatch, ends: bool) -> Result<Flow> {
        let bytes: Vec<usize> = rows.columns().iter().map(bytes_of).collect();
        let is_too_long = self.column_bytes.iter().zip(&bytes).any(|(a, b)| a + b > PACKED_BUFFER_BYTES);
        if is_too_long && self.n_rows > 0 && self.hand_over(false)? == Flow::Done {
            return Ok(Flow::Done);
        }
        self.n_rows += rows.num_rows();
        self.n_bytes += bytes.iter().sum::<usize>();
        self.column_bytes.iter_mut().zip(bytes).for_each(|(known, more)| *known += more);
        self.waiting.push(rows);
        let is_full = self.n_rows >= self.batch_rows || self.n_bytes >= self.batch_bytes / 2;
        if ends || is_full { self.hand_over(ends) } else { Ok(Flow::More) }
    }

    /// Encodes the waiting rows and writes them, or places them in the window; `ends` says that nothing of their morsel
    /// follows.
    fn hand_over(&mut self, ends: bool) -> Result<Flow> {
        if self.n_rows == 0 && !(ends && self.window.is_some()) {
            return Ok(Flow::More);
        }
        let waiting = std::mem::take(&mut self.waiting);
        let beyond = (4 * self.n_bytes as u64).saturating_sub(self.reserved.bytes());
        self.reserved.try_grow(beyond)?;
        let packs = self.shared.layout == IpcLayout::File
            && self.column_bytes.iter().all(|bytes| *bytes <= PACKED_BUFFER_BYTES)
            && self.reserved.try_grow(PACKING_BYTES).is_ok();
        (self.n_rows, self.n_bytes) = (0, 0);
        self.column_bytes.fill(0);
        let encoded = self.shared.encode(waiting, packs);
        self.reserved.shrink(if packs { PACKING_BYTES } else { 0 });
        let encoded = encoded?;
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

    /// One message of all rows of `batches`, packed or not; nothing for no rows.
    fn encode(&self, batches: Vec<RecordBatch>, packs: bool) -> Result<Encoded> {
        let batch = match &batches[..] {
            [] => return Ok(Encoded { bytes: Vec::new(), metadata_bytes: 0, body_bytes: 0 }),
            [only] => only.clone(),
            several => concat_batches(&self.schema, several)?,
        };
        drop(batches);
        let (mut tracker, mut context) = (DictionaryTracker::new(false), IpcWriteContext::default());
        let codec = packs.then_some(ipc::CompressionType::LZ4_FRAME);
        let options = IpcWriteOptions::default().try_with_compression(codec).map_err(not_encoded)?;
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
