//! What flows through a pipeline: an Arrow record batch and its place in the input.

use arrow::array::RecordBatch;

/// The place of a batch in the order of the input, so that order-keeping queries give file order at any thread count.
///
/// Morsels are numbered in file order and handed out in that order; batches of one morsel are numbered from 0 and are
/// produced by one worker, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Sequence {
    /// Number of the morsel, from 0.
    pub morsel: u64,
    /// Number of the batch inside its morsel, from 0.
    pub batch: u32,
}

/// A record batch with its [`Sequence`]. Its size is bounded by [`crate::memory::Sizes::batch_bytes`] (a single row may
/// be larger) and [`crate::memory::Sizes::batch_rows`].
#[derive(Debug, Clone)]
pub struct Batch {
    /// The columns.
    pub data: RecordBatch,
    /// The place in the order of the input.
    pub sequence: Sequence,
    /// Whether this is the last batch of its morsel: order-keeping sinks wait for it before they go on to the next
    /// morsel. Every morsel ends with exactly one such batch, if need be one without rows.
    pub last_of_morsel: bool,
}

impl Batch {
    /// A batch that stands alone as morsel 0.
    pub fn only(data: RecordBatch) -> Self {
        Batch { data, sequence: Sequence::default(), last_of_morsel: true }
    }

    /// The same place in the order with other rows.
    pub fn with_data(&self, data: RecordBatch) -> Self {
        Batch { data, sequence: self.sequence, last_of_morsel: self.last_of_morsel }
    }

    /// Rows in this batch.
    pub fn n_rows(&self) -> usize {
        self.data.num_rows()
    }
}

/// Numbers the batches that a step makes of a morsel, since it may make several of one.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    next: Sequence,
}

impl Numbering {
    /// Gives `batch` the next number of its morsel. The batches of a morsel must come one after the other.
    pub(super) fn number(&mut self, batch: &mut Batch) {
        if batch.sequence.morsel != self.next.morsel {
            self.next = Sequence { morsel: batch.sequence.morsel, batch: 0 };
        }
        batch.sequence = self.next;
        self.next.batch = self.next.batch.saturating_add(1);
    }
}
