//! Rows that take the place of an input without rows: GROUPING SETS, ROLLUP and CUBE have a group of all rows even where
//! there are none.
//!
//! Memory: the rows, which are part of the plan. Whether there was a row is known when every worker has flushed, so they
//! come as the remainder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;

use super::values::Values;
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, Source, TaskContext, Transform};

/// Passes its input on; when that has no rows, these follow.
pub struct IfEmpty {
    rows: RecordBatch,
    seen: Arc<AtomicBool>,
}

struct LocalIfEmpty {
    seen: Arc<AtomicBool>,
}

impl IfEmpty {
    /// Gives `rows` for no rows.
    pub fn new(rows: RecordBatch) -> Self {
        IfEmpty { rows, seen: Arc::default() }
    }
}

impl Transform for IfEmpty {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalIfEmpty { seen: self.seen.clone() }))
    }

    fn remainder(&self) -> Result<Option<Arc<dyn Source>>> {
        let empty = !self.seen.load(Ordering::Relaxed);
        Ok(empty.then(|| Arc::new(Values::new(self.rows.clone())) as Arc<dyn Source>))
    }
}

impl LocalTransform for LocalIfEmpty {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        if batch.n_rows() > 0 {
            self.seen.store(true, Ordering::Relaxed);
        }
        emit(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::testing::{batches, run_transform, show, task_context};

    #[test]
    fn rows_take_the_place_of_none() {
        let rows = batches("7 _").remove(0).data;
        let check = |input: &str, expected: &str| {
            let transform = IfEmpty::new(rows.clone());
            let mut output = run_transform(&transform, batches(input));
            if let Some(source) = transform.remainder().unwrap() {
                output.extend(source.local(&task_context()).unwrap().next().unwrap());
            }
            output.retain(|batch| batch.n_rows() > 0);
            assert_eq!(show(&output), expected, "{input}");
        };
        check("1 2 | 3", "1 2 | 3");
        check("", "7 _");
        check("|", "7 _");
    }
}
