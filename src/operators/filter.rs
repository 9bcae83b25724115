//! Drops the rows for which a condition is false or NULL.
//!
//! Memory: one copy of the kept rows of the batch in hand.
//! When the condition fails on a row, the rows before it are handed on first, so that whether a LIMIT is reached before
//! it does not depend on the size of batches.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat, filter_record_batch};

use super::expression::{Expression, evaluate_predicate, is_of_some_rows};
use crate::error::{Error, Result};
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
        let (mask, failed) = match evaluate_predicate(self.predicate.as_ref(), &batch.data) {
            Ok(mask) => (mask, None),
            Err(error) => mask_by_halves(self.predicate.as_ref(), &batch.data, error)?,
        };
        let mut kept = match mask.true_count() {
            n if n == batch.n_rows() => batch,
            0 => batch.with_data(batch.data.slice(0, 0)),
            _ => batch.with_data(filter_record_batch(&batch.data.slice(0, mask.len()), &mask)?),
        };
        kept.last_of_morsel &= failed.is_none();
        // The last batch of a morsel is passed on even without rows: whoever keeps the order waits for it.
        let flow = if kept.n_rows() == 0 && !kept.last_of_morsel { Flow::More } else { emit(kept)? };
        match failed {
            Some(error) if flow == Flow::More => Err(error),
            _ => Ok(flow),
        }
    }
}

/// The mask of the rows before the first one that fails, after all of `rows` together failed with `error`; and the error
/// of that row, if there is one.
fn mask_by_halves(
    predicate: &dyn Expression,
    rows: &RecordBatch,
    error: Error,
) -> Result<(BooleanArray, Option<Error>)> {
    let n_rows = rows.num_rows();
    if n_rows <= 1 || !is_of_some_rows(&error) {
        return Ok((BooleanArray::new_null(0), Some(error)));
    }
    let half = |from: usize, n: usize| {
        let rows = rows.slice(from, n);
        match evaluate_predicate(predicate, &rows) {
            Ok(mask) => Ok((mask, None)),
            Err(error) => mask_by_halves(predicate, &rows, error),
        }
    };
    let (first, failed) = half(0, n_rows / 2)?;
    if failed.is_some() {
        return Ok((first, failed));
    }
    let (rest, failed) = half(n_rows / 2, n_rows - n_rows / 2)?;
    let mask = concat(&[&first, &rest])?;
    Ok((arrow::array::AsArray::as_boolean(mask.as_ref()).clone(), failed))
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

    /// Above 1, unless there is a row with 9.
    struct FailsAtNine;

    impl Expression for FailsAtNine {
        fn evaluate(&self, batch: &RecordBatch) -> Result<arrow::array::ArrayRef> {
            let bad = Above(8).evaluate(batch)?;
            match arrow::array::AsArray::as_boolean(&bad).true_count() {
                0 => Above(1).evaluate(batch),
                _ => Err(Error::query("nine")),
            }
        }
    }

    #[test]
    fn the_rows_before_a_failure_come_out_first() {
        for (input, expected) in [("1 2 3 4 9 5", "2 3 4 |"), ("2 9", "2 |"), ("9 2 3", ""), ("1 1 2 9; 3", "2 |")] {
            let filter = Filter::new(Arc::new(FailsAtNine));
            let mut local = filter.local(&crate::operators::testing::task_context()).unwrap();
            let mut output = Vec::new();
            let failed = local.push(batches(input).remove(0), &mut |batch| {
                output.push(batch);
                Ok(Flow::More)
            });
            assert_eq!(failed.unwrap_err().message(), "nine");
            assert_eq!(show(&output), expected, "{input}");
        }
    }

    #[test]
    fn the_end_of_a_morsel_survives() {
        check(9, "1 2 | 3; 10 | 4; 5", expect!["; 10 | ; ;"]);
    }
}
