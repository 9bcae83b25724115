//! What a task is handed: the budget, the page pool, and whether to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::memory::{Memory, PagePool, Sizes};

/// Tells every task of a query to stop. Cheap to clone; checked once per batch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    cancelled: Arc<AtomicBool>,
}

impl CancelToken {
    /// Asks every holder to stop.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether both stop the same query.
    pub(crate) fn is_same(&self, other: &CancelToken) -> bool {
        Arc::ptr_eq(&self.cancelled, &other.cancelled)
    }

    /// # Errors
    /// [`crate::ErrorKind::Cancelled`] when somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }
}

/// What the operators of one query are made with. Cheap to clone.
#[derive(Clone)]
pub struct QueryContext {
    /// The ledger.
    pub memory: Memory,
    /// Pages for data that grows with the input.
    pub pages: Arc<PagePool>,
    /// Whether to stop.
    pub cancel: CancelToken,
}

/// What a local source, transform or sink is made with. Cheap to clone.
#[derive(Clone)]
pub struct TaskContext {
    /// The ledger.
    pub memory: Memory,
    /// Pages for data that grows with the input.
    pub pages: Arc<PagePool>,
    /// Whether to stop.
    pub cancel: CancelToken,
    /// This worker's number, from 0 to `n_workers - 1`.
    pub worker_idx: usize,
    /// Workers of this pipeline.
    pub n_workers: usize,
}

impl TaskContext {
    /// Buffer sizes for this budget.
    pub fn sizes(&self) -> Sizes {
        self.memory.sizes()
    }
}
