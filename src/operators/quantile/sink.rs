//! The first half: each worker writes keys to pages and counts them by their first bits.
//!
//! Memory: a page or two being written, 512 KiB of counts, and the keys of one batch, for each stream.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeBinaryArray};
use arrow::buffer::Buffer;

use super::{KEYS_PER_ROW, Shared, Stream, lock};
use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::memory::{Memory, OverBudget, Reservation};
use crate::row::{Columns, PagesWriter, SealedPages};

/// Bits that are counted at once.
pub(super) const COUNTED_BITS: u32 = 16;

/// How many keys there are for each value of some 16 of their bits.
pub(super) struct Counts {
    counts: Vec<u64>,
    _memory: Reservation,
}

/// What all workers have of a stream.
#[derive(Default)]
pub(super) struct Collected {
    /// Rows of 64 keys.
    pub(super) pages: SealedPages,
    /// Keys that do not fill a row.
    pub(super) rest: Vec<u64>,
    /// By the first bits; `None` without keys.
    pub(super) counts: Option<Counts>,
}

pub(super) struct QuantileSink {
    pub(super) shared: Arc<Shared>,
}

struct LocalCollector {
    shared: Arc<Shared>,
    streams: Vec<LocalStream>,
    ordinary: Option<Box<dyn LocalSink>>,
}

struct LocalStream {
    writer: PagesWriter,
    pages: SealedPages,
    keys: Vec<u64>,
    counts: Counts,
}

impl Counts {
    /// All zero.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub(super) fn new(memory: &Memory) -> Result<Self, OverBudget> {
        let mut reservation = memory.reserve("Quantile");
        reservation.try_grow(8 << COUNTED_BITS)?;
        Ok(Counts { counts: vec![0; 1 << COUNTED_BITS], _memory: reservation })
    }

    /// Counts the key by the 16 bits after the first `n_bits`.
    #[inline(always)]
    pub(super) fn count(&mut self, key: u64, n_bits: u32) {
        self.counts[(key << n_bits >> (u64::BITS - COUNTED_BITS)) as usize] += 1;
    }

    pub(super) fn as_slice(&self) -> &[u64] {
        &self.counts
    }

    fn add(&mut self, other: &Counts) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }
}

impl Sink for QuantileSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let shared = self.shared.clone();
        let local = |stream: &Stream| -> Result<LocalStream> {
            Ok(LocalStream {
                writer: PagesWriter::new(stream.layout.clone(), stream.owner.clone()),
                pages: SealedPages::default(),
                keys: Vec::new(),
                counts: Counts::new(&cx.memory)?,
            })
        };
        let streams = shared.streams.iter().map(local).collect::<Result<_>>()?;
        let ordinary = shared.ordinary.as_ref().map(|ordinary| ordinary.sink().local(cx)).transpose()?;
        Ok(Box::new(LocalCollector { shared, streams, ordinary }))
    }

    fn finish(&self, cx: &TaskContext) -> Result<()> {
        self.shared.ordinary.as_ref().map_or(Ok(()), |ordinary| ordinary.sink().finish(cx))
    }
}

impl LocalSink for LocalCollector {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        for (stream, local) in self.shared.streams.iter().zip(&mut self.streams) {
            let condition = stream.filter.map(|filter| batch.data.column(filter).as_boolean());
            let before = local.keys.len();
            stream.kind.append(batch.data.column(stream.column), condition, &mut local.keys)?;
            local.keys[before..].iter().for_each(|&key| local.counts.count(key, 0));
            local.write(stream)?;
        }
        match &mut self.ordinary {
            Some(ordinary) => ordinary.push(batch),
            None => Ok(Flow::More),
        }
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let LocalCollector { shared, streams, ordinary } = *self;
        for (idx, mut local) in streams.into_iter().enumerate() {
            local.writer.seal(0, 0, &mut local.pages)?;
            let mut collected = lock(&shared.collected);
            let all = &mut collected[idx];
            all.pages.append(local.pages);
            all.rest.append(&mut local.keys);
            match &mut all.counts {
                Some(counts) => counts.add(&local.counts),
                None => all.counts = Some(local.counts),
            }
        }
        ordinary.map_or(Ok(()), |ordinary| ordinary.combine())
    }
}

impl LocalStream {
    /// Writes the keys that fill rows; the rest waits.
    fn write(&mut self, stream: &Stream) -> Result<()> {
        let n_rows = self.keys.len() / KEYS_PER_ROW;
        if n_rows == 0 {
            return Ok(());
        }
        let rest = self.keys.split_off(n_rows * KEYS_PER_ROW);
        let keys = Buffer::from_vec(std::mem::replace(&mut self.keys, rest));
        let rows: ArrayRef = Arc::new(FixedSizeBinaryArray::try_new((KEYS_PER_ROW * 8) as i32, keys, None)?);
        let columns = Columns::new(&stream.layout, &[rows])?;
        let mut done = 0;
        while done < n_rows {
            match self.writer.append_columns(&columns, done, n_rows - done) {
                Ok(()) => done = n_rows,
                Err((n_written, refused)) => {
                    if n_written == 0 && self.writer.n_rows() == 0 {
                        return Err(refused.into());
                    }
                    done += n_written;
                    self.writer.seal(0, 0, &mut self.pages)?;
                }
            }
        }
        self.writer.unpin_full(0, 0, &mut self.pages)
    }
}
