//! A sink for a result of one row.
//!
//! Memory: one batch of one row; a query with more rows is ours, and wrong.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};

/// Keeps the first batch that has rows.
#[derive(Default, Clone)]
pub(super) struct OneRow {
    row: Arc<Mutex<Option<RecordBatch>>>,
}

impl OneRow {
    /// The row, once the query is done.
    pub(super) fn take(&self) -> Option<RecordBatch> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Sink for OneRow {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(self.clone()))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for OneRow {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        if batch.n_rows() > 0 {
            self.row.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(batch.data);
        }
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
