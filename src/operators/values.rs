//! A handful of rows that the query text itself contains: VALUES, and SELECT without FROM.
//!
//! Memory: the rows, which are part of the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::exec::{Batch, LocalSource, Source, TaskContext};

/// The rows; the first worker that asks gets them.
pub struct Values {
    rows: RecordBatch,
    taken: Arc<AtomicBool>,
}

struct LocalValues {
    rows: RecordBatch,
    taken: Arc<AtomicBool>,
}

impl Values {
    /// A source of one batch.
    pub fn new(rows: RecordBatch) -> Self {
        Values { rows, taken: Arc::default() }
    }
}

impl Source for Values {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalValues { rows: self.rows.clone(), taken: self.taken.clone() }))
    }
}

impl LocalSource for LocalValues {
    fn next(&mut self) -> Result<Option<Batch>> {
        let taken = self.taken.swap(true, Ordering::Relaxed);
        Ok((!taken).then(|| Batch::only(self.rows.clone())))
    }
}
