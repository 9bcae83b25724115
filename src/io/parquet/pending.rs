//! Joining what filters leave of several batches into one that is worth handing on.
//!
//! Memory: at most one batch more than the bounds it is made with; joining copies only batches below half a bound.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::row_group::total_row_bytes;
use crate::error::Result;

/// Small batches that wait to become one.
pub(super) struct Pending {
    enough_rows: usize,
    enough_bytes: usize,
    batches: Vec<RecordBatch>,
    n_rows: usize,
    n_bytes: usize,
}

impl Pending {
    /// Batches are handed on from `enough_rows` rows or `enough_bytes` on.
    pub(super) fn new(enough_rows: usize, enough_bytes: usize) -> Self {
        Pending { enough_rows: enough_rows.max(1), enough_bytes, batches: Vec::new(), n_rows: 0, n_bytes: 0 }
    }

    /// Adds a batch. When it cannot be joined with what waits, that comes back to be handed on first.
    pub(super) fn add(&mut self, batch: RecordBatch) -> Result<Option<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let fits = self.batches.last().is_none_or(|last| {
            can_join(last, &batch) && !self.is_enough(batch.num_rows(), total_row_bytes(batch.columns()))
        });
        let before = if fits { None } else { self.take()? };
        self.n_rows += batch.num_rows();
        self.n_bytes += total_row_bytes(batch.columns());
        self.batches.push(batch);
        Ok(before)
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_enough(self.n_rows, self.n_bytes)
    }

    /// Everything that waits, as one batch.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        (self.n_rows, self.n_bytes) = (0, 0);
        let batches = std::mem::take(&mut self.batches);
        match batches.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            [first, ..] => {
                let schema: SchemaRef = first.schema();
                if schema.fields().is_empty() {
                    let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
                    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(n_rows));
                    return Ok(Some(RecordBatch::try_new_with_options(schema, Vec::new(), &options)?));
                }
                Ok(Some(concat_batches(&schema, &batches)?))
            }
        }
    }

    fn is_enough(&self, n_rows: usize, n_bytes: usize) -> bool {
        n_rows >= self.enough_rows || n_bytes >= self.enough_bytes
    }
}

/// Batches can be joined when their types are the same and their dictionaries are one and the same.
fn can_join(one: &RecordBatch, other: &RecordBatch) -> bool {
    let same_values = |(a, b): (&arrow::array::ArrayRef, &arrow::array::ArrayRef)| match (
        a.as_any_dictionary_opt(),
        b.as_any_dictionary_opt(),
    ) {
        (Some(a), Some(b)) => a.values().to_data().ptr_eq(&b.values().to_data()),
        _ => true,
    };
    one.schema_ref() == other.schema_ref() && one.columns().iter().zip(other.columns()).all(same_values)
}
