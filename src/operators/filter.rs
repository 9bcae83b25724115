//! Drops the rows for which a condition is false or NULL.
//!
//! Memory: one copy of the kept rows of the batch in hand.

use std::sync::Arc;

use arrow::compute::filter_record_batch;

use super::expression::{Expression, evaluate_predicate};
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};

/// The condition, shared by all workers.
pub struct Filter {
    predicate: Arc<dyn Expression>,
}

struct LocalFilter {
    predicate: Arc<dyn Expression>,
}

impl Filter {
    /// Keeps the rows for which `predicate` is true.
    pub fn new(predicate: Arc<dyn Expression>) -> Self {
        Filter { predicate }
    }
}

impl Transform for Filter {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalFilter { predicate: self.predicate.clone() }))
    }
}

impl LocalTransform for LocalFilter {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let mask = evaluate_predicate(self.predicate.as_ref(), &batch.data)?;
        let kept = match mask.true_count() {
            n if n == batch.n_rows() => batch,
            0 => batch.with_data(batch.data.slice(0, 0)),
            _ => batch.with_data(filter_record_batch(&batch.data, &mask)?),
        };
        // The last batch of a morsel is passed on even without rows: whoever keeps the order waits for it.
        if kept.n_rows() == 0 && !kept.last_of_morsel {
            return Ok(Flow::More);
        }
        emit(kept)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::operators::testing::{Above, batches, run_transform, show};

    fn check(above: i64, input: &str, expected: Expect) {
        let filter = Filter::new(Arc::new(Above(above)));
        expected.assert_eq(&show(&run_transform(&filter, batches(input))));
    }

    #[test]
    fn rows_are_dropped_and_empty_batches_too() {
        check(2, "1 2 3 | 0 1 | 4 _ 5", expect!["3 | 4 5"]);
    }

    #[test]
    fn the_end_of_a_morsel_survives() {
        check(9, "1 2 | 3; 10 | 4; 5", expect!["; 10 | ; ;"]);
    }
}
