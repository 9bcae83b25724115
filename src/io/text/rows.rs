//! Formats that write one line a row: the sink they share.
//!
//! Memory: per worker a buffer of one block and as much again while it is handed over (reserved). A row larger than a block
//! is reserved before it is formatted, several times over. In order-keeping queries a [`ReorderWindow`] of a few blocks a worker besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, RecordBatch};

use super::{Destination, TextCompression};
use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Placed, QueryContext, ReorderWindow, ReorderWorker, Sink, TaskContext};
use crate::memory::Reservation;

/// Rows that are formatted at a time: their cells stay in the second-level cache.
const CHUNK_ROWS: usize = 1024;

/// Bytes that making the text takes for each byte of a large value: the cell, the line, and a copy of one of them as it grows.
const TEXT_PER_BYTE: usize = 3;
/// The same for lists and other nested values: numbers are longer as text.
const TEXT_PER_NESTED_BYTE: usize = 10;

/// Blocks of text a worker may be ahead of its turn.
const BLOCKS_AHEAD: u64 = 4;

/// Writes rows as lines. Cloned for each worker.
pub trait RowFormat: Clone + Send + Sync + 'static {
    /// What stands before the first row.
    fn header(&self) -> Result<Vec<u8>>;

    /// Appends `batch`, a line a row.
    fn format(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()>;
}

/// Writes batches to a [`Destination`] in a [`RowFormat`].
pub struct RowSink<F> {
    format: F,
    output: Arc<Output>,
    window: Option<Arc<ReorderWindow<Vec<u8>>>>,
}

struct Output {
    destination: Destination,
    compression: TextCompression,
    header: OnceHeader,
}

/// The header, until the first text is written.
struct OnceHeader {
    written: AtomicBool,
    lock: std::sync::Mutex<()>,
}

struct LocalRows<F> {
    format: F,
    output: Arc<Output>,
    window: Option<ReorderWorker<Vec<u8>>>,
    text: Vec<u8>,
    block_bytes: usize,
    /// The morsel that `text` belongs to.
    morsel: u64,
    reserved: Reservation,
    /// What is reserved for a row larger than a block.
    for_large_row: u64,
}

impl<F: RowFormat> RowSink<F> {
    /// A sink for one query.
    pub fn new(format: F, destination: Destination, ordered: bool, cx: &QueryContext) -> Self {
        let sizes = cx.memory.sizes();
        let limit_bytes = BLOCKS_AHEAD * (sizes.threads * sizes.io_block_bytes) as u64;
        let window = ordered.then(|| ReorderWindow::new(&cx.memory, "Output", limit_bytes, cx.cancel.clone()));
        let header = OnceHeader { written: AtomicBool::new(false), lock: Default::default() };
        let compression = destination.compression();
        RowSink { format, output: Arc::new(Output { destination, compression, header }), window }
    }
}

impl Output {
    /// Writes `text` after the header.
    fn write(&self, format: &impl RowFormat, text: &[u8]) -> Result<Flow> {
        if text.is_empty() {
            return Ok(Flow::More);
        }
        if self.write_header(format)? == Flow::Done {
            return Ok(Flow::Done);
        }
        self.destination.write(text)
    }

    fn write_header(&self, format: &impl RowFormat) -> Result<Flow> {
        let header = &self.header;
        if header.written.load(Ordering::Acquire) {
            return Ok(Flow::More);
        }
        let _one_at_a_time = header.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if header.written.load(Ordering::Acquire) {
            return Ok(Flow::More);
        }
        let flow = self.destination.write(&self.compression.pack(format.header()?)?)?;
        header.written.store(true, Ordering::Release);
        Ok(flow)
    }
}

impl<F: RowFormat> Sink for RowSink<F> {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let block_bytes = cx.sizes().io_block_bytes;
        let mut reservation = cx.memory.reserve("Output");
        let packing = self.output.compression.context_bytes(block_bytes);
        reservation.try_grow(2 * block_bytes as u64 + packing)?;
        Ok(Box::new(LocalRows {
            format: self.format.clone(),
            output: self.output.clone(),
            window: self.window.as_ref().map(ReorderWindow::worker),
            text: Vec::new(),
            block_bytes,
            morsel: 0,
            reserved: reservation,
            for_large_row: 0,
        }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        if let Some(window) = &self.window {
            window.finish(|text| self.output.write(&self.format, &text))?;
        }
        self.output.write_header(&self.format)?;
        self.output.destination.commit()
    }
}

impl<F: RowFormat> LocalSink for LocalRows<F> {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        // Text left from another morsel: that one has ended. Without text there is nothing of it, or it was ended before.
        if self.morsel != batch.sequence.morsel && !self.text.is_empty() && self.window.is_some() {
            self.hand_over(true)?;
        }
        self.morsel = batch.sequence.morsel;
        let n_rows = batch.n_rows();
        let chunk_rows = self.rows_at_once(&batch.data)?;
        for start in (0..n_rows).step_by(chunk_rows) {
            let chunk = batch.data.slice(start, chunk_rows.min(n_rows - start));
            self.format.format(&chunk, &mut self.text)?;
            if self.text.len() >= self.block_bytes && self.hand_over(false)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        if batch.last_of_morsel && self.window.is_some() { self.hand_over(true) } else { Ok(Flow::More) }
    }

    fn combine(mut self: Box<Self>) -> Result<()> {
        self.hand_over(false)?;
        let LocalRows { window, output, format, .. } = *self;
        match window {
            Some(worker) => worker.leave(|text| output.write(&format, &text)).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl<F: RowFormat> LocalRows<F> {
    /// How many rows of `batch` to format at a time: as many as have about a block of values. Rows of more than that get
    /// their memory here.
    fn rows_at_once(&mut self, batch: &RecordBatch) -> Result<usize> {
        let (n_rows, bytes) = (batch.num_rows().max(1), value_bytes(batch));
        let n_in_block = n_rows * self.block_bytes / bytes.max(1);
        if n_in_block > 0 {
            return Ok(n_in_block.clamp(1, CHUNK_ROWS));
        }
        let needed = (0..batch.num_rows()).map(|row| text_bytes(&batch.slice(row, 1))).max().unwrap_or(0) as u64;
        if needed > self.for_large_row {
            self.reserved.try_grow(needed - self.for_large_row)?;
            self.for_large_row = needed;
        }
        Ok(1)
    }

    /// Writes the text, or places it in the window; `ends` says that nothing of this morsel follows.
    fn hand_over(&mut self, ends: bool) -> Result<Flow> {
        let (output, format) = (&self.output, &self.format);
        match &mut self.window {
            None if self.text.is_empty() => Ok(Flow::More),
            None if output.compression != TextCompression::None => {
                let text = output.compression.pack(std::mem::take(&mut self.text))?;
                output.write(format, &text)
            }
            None => {
                let flow = output.write(format, &self.text);
                self.text.clear();
                self.text.shrink_to(2 * self.block_bytes);
                flow
            }
            Some(_) if self.text.is_empty() && !ends => Ok(Flow::More),
            Some(worker) => {
                let mut text = output.compression.pack(std::mem::take(&mut self.text))?;
                // What waits should cost what it holds, and the rest of a morsel is often small.
                text.shrink_to_fit();
                let placed =
                    Placed { morsel: self.morsel, last_of_morsel: ends, bytes: text.capacity() as u64, item: text };
                worker.push(placed, |text| output.write(format, &text))
            }
        }
    }
}

fn value_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(bytes_of).sum()
}

/// What making the text of `batch` takes at most.
fn text_bytes(batch: &RecordBatch) -> usize {
    let factor = |column: &ArrayRef| if column.data_type().is_nested() { TEXT_PER_NESTED_BYTE } else { TEXT_PER_BYTE };
    batch.columns().iter().map(|column| bytes_of(column) * factor(column)).sum()
}

fn bytes_of(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or(0)
}

#[cfg(test)]
mod tests;
