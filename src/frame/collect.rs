//! The sink that keeps a result in memory.
//!
//! Memory: every batch is reserved before it is kept, and the frame that comes out has the reservation. A batch that is a
//! small part of a large buffer is copied, so that what is reserved is what is held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::SchemaRef;

use super::data_frame::DataFrame;
use crate::error::{Error, Result};
use crate::exec::{Batch, Flow, LocalSink, QueryContext, Sequence, Sink, TaskContext};
use crate::memory::{OverBudget, Reservation};
use crate::session::Session;

/// Keeps batches. Shared; every worker reserves its own.
pub(super) struct Collect {
    schema: SchemaRef,
    kept: Mutex<Kept>,
}

struct Kept {
    batches: Vec<(Sequence, RecordBatch)>,
    reservation: Reservation,
}

struct LocalCollect {
    shared: Arc<Collect>,
    batches: Vec<(Sequence, RecordBatch)>,
    reservation: Reservation,
}

/// The sink as the query has it.
pub(super) struct CollectSink(pub(super) Arc<Collect>);

impl Collect {
    pub(super) fn new(schema: SchemaRef, cx: &QueryContext) -> Arc<Self> {
        let kept = Kept { batches: Vec::new(), reservation: cx.memory.reserve("DataFrame") };
        Arc::new(Collect { schema, kept: Mutex::new(kept) })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was kept, in the order of the rows.
    pub(super) fn into_frame(self: Arc<Self>, session: &Session) -> DataFrame {
        let mut kept = self.lock();
        let mut batches = std::mem::take(&mut kept.batches);
        let nothing = session.memory().reserve("DataFrame");
        let reservation = std::mem::replace(&mut kept.reservation, nothing);
        batches.sort_by_key(|(sequence, _)| *sequence);
        let batches = batches.into_iter().map(|(_, batch)| batch).collect();
        DataFrame::new(session, self.schema.clone(), batches, reservation)
    }
}

impl Sink for CollectSink {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let reservation = cx.memory.reserve("DataFrame");
        Ok(Box::new(LocalCollect { shared: self.0.clone(), batches: Vec::new(), reservation }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for LocalCollect {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        if batch.n_rows() == 0 {
            return Ok(Flow::More);
        }
        let data = compact(batch.data)?;
        self.reservation.try_grow(data.get_array_memory_size() as u64).map_err(does_not_fit)?;
        self.batches.push((batch.sequence, data));
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        let LocalCollect { shared, batches, reservation } = *self;
        let mut kept = shared.lock();
        // The bytes change hands: they are free for a moment in which nobody else may take them.
        let bytes = reservation.bytes();
        drop(reservation);
        kept.reservation.try_grow(bytes).map_err(does_not_fit)?;
        kept.batches.extend(batches);
        Ok(())
    }
}

/// A copy where most of the memory of `batch` belongs to other rows.
fn compact(batch: RecordBatch) -> Result<RecordBatch> {
    let own: usize = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    if batch.get_array_memory_size() <= 2 * own + 1024 {
        return Ok(batch);
    }
    let rows = UInt32Array::from_iter_values(0..batch.num_rows() as u32);
    let columns = take_arrays(batch.columns(), &rows, None)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// The result does not fit: what to do instead.
fn does_not_fit(refused: OverBudget) -> Error {
    let smallest = refused.smallest_budget().div_ceil(1 << 20);
    let error = Error::from(refused);
    Error::new(error.kind(), format!("the result does not fit into memory: {}", error.message())).with_hint(format!(
        "write it to a file with sink_parquet or sink_csv, take it in pieces with collect_batches, keep fewer rows or \
         columns, or raise the budget to {smallest} MiB or more"
    ))
}
