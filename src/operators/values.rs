//! A handful of rows that the query text itself contains: VALUES, and SELECT without FROM.
//!
//! Memory: the rows, which are part of the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::exec::{Batch, LocalSource, Sequence, Source, TaskContext};

/// The rows; the first worker that asks gets them.
pub struct Values {
    rows: RecordBatch,
    taken: Arc<AtomicBool>,
}

struct LocalValues {
    rows: RecordBatch,
    taken: Arc<AtomicBool>,
    batch_rows: usize,
    /// What this worker gives next, once it is the one that gives.
    next: Option<(usize, u32)>,
}

impl Values {
    /// A source of one morsel.
    pub fn new(rows: RecordBatch) -> Self {
        Values { rows, taken: Arc::default() }
    }
}

impl Source for Values {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let (rows, taken) = (self.rows.clone(), self.taken.clone());
        Ok(Box::new(LocalValues { rows, taken, batch_rows: cx.memory.sizes().batch_rows, next: None }))
    }
}

impl LocalSource for LocalValues {
    fn next(&mut self) -> Result<Option<Batch>> {
        let first = !self.taken.swap(true, Ordering::Relaxed);
        let Some((start, batch)) = self.next.take().or(first.then_some((0, 0))) else { return Ok(None) };
        let n_rows = self.batch_rows.min(self.rows.num_rows() - start);
        let last_of_morsel = start + n_rows == self.rows.num_rows();
        self.next = (!last_of_morsel).then_some((start + n_rows, batch + 1));
        let data = self.rows.slice(start, n_rows);
        Ok(Some(Batch { data, sequence: Sequence { morsel: 0, batch }, last_of_morsel }))
    }
}
