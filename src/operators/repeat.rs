//! Every row as often as its last column says, without that column: INTERSECT ALL and EXCEPT ALL after counting.
//!
//! Memory: one batch of output at a time, with the places of its rows, however often a row is repeated.

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::{Int64Type, SchemaRef};

use super::expression::assemble;
use super::value_bytes::ValueBytes;
use crate::error::{Error, Result};
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};

/// The place of an input row, for each time it comes.
const PLACE_BYTES: usize = size_of::<u32>();

/// Repeats rows. The last input column is the number of times: a 64-bit integer; NULL and what is below one drop the row.
pub struct Repeat {
    schema: SchemaRef,
}

struct LocalRepeat {
    schema: SchemaRef,
    batch_bytes: usize,
    batch_rows: usize,
}

impl Repeat {
    /// `schema` is that of the input without the last column.
    pub fn new(schema: SchemaRef) -> Self {
        Repeat { schema }
    }
}

impl Transform for Repeat {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let sizes = cx.sizes();
        let schema = self.schema.clone();
        Ok(Box::new(LocalRepeat { schema, batch_bytes: sizes.batch_bytes, batch_rows: sizes.batch_rows }))
    }
}

impl LocalTransform for LocalRepeat {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let Some((counts, _)) = batch.data.columns().split_last() else {
            return Err(Error::query("rows to repeat have no count"));
        };
        let counts = counts.as_primitive::<Int64Type>().clone();
        let kept = &batch.data.columns()[..batch.data.num_columns() - 1];
        let row_bytes = ValueBytes::of(kept, batch.n_rows());
        let mut rows: Vec<u32> = Vec::new();
        let mut bytes = 0;
        for row in (0..batch.n_rows()).filter(|&row| counts.is_valid(row)) {
            let mut left = counts.value(row).max(0) as u64;
            let bytes_each = row_bytes.get(row) + PLACE_BYTES;
            while left > 0 {
                let room = (self.batch_bytes.saturating_sub(bytes) / bytes_each).min(self.batch_rows - rows.len());
                if room == 0 && !rows.is_empty() {
                    let mut piece = batch.with_data(self.pick(&batch.data, std::mem::take(&mut rows))?);
                    bytes = 0;
                    piece.last_of_morsel = false;
                    if emit(piece)? == Flow::Done {
                        return Ok(Flow::Done);
                    }
                    continue;
                }
                let n = left.min(room.max(1) as u64);
                rows.resize(rows.len() + n as usize, row as u32);
                bytes += n as usize * bytes_each;
                left -= n;
            }
        }
        emit(batch.with_data(self.pick(&batch.data, rows)?))
    }
}

impl LocalRepeat {
    fn pick(&self, batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
        let n_rows = rows.len();
        let columns = &batch.columns()[..batch.num_columns() - 1];
        assemble(&self.schema, take_arrays(columns, &UInt32Array::from(rows), None)?, n_rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::Schema;

    use super::*;
    use crate::operators::testing::run_transform;

    #[test]
    fn one_long_row_among_short_ones_is_repeated_in_small_batches() {
        let mut texts = vec!["short".to_string(); 4000];
        texts[7] = "x".repeat(50_000);
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let counts = Int64Array::from_iter_values((0..4000).map(|row| if row == 7 { 3000 } else { 1 }));
        let input = RecordBatch::try_from_iter([("a", texts), ("n", Arc::new(counts))]).unwrap();
        let schema = Arc::new(Schema::new(vec![input.schema().field(0).clone()]));
        let output = run_transform(&Repeat::new(schema), vec![Batch::only(input)]);
        assert_eq!(output.iter().map(Batch::n_rows).sum::<usize>(), 6999);
        let bytes = |batch: &Batch| batch.data.column(0).as_string::<i32>().values().len();
        let most = output.iter().map(bytes).max().unwrap();
        assert!(most < 4 << 20, "{most} bytes in one batch");
    }

    #[test]
    fn rows_come_as_often_as_they_count() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["none", "once", "often", "null", "minus"]));
        let counts = Int64Array::from(vec![Some(0), Some(1), Some(40_000), None, Some(-2)]);
        let input = RecordBatch::try_from_iter([("a", texts), ("n", Arc::new(counts))]).unwrap();
        let schema = Arc::new(Schema::new(vec![input.schema().field(0).clone()]));
        let output = run_transform(&Repeat::new(schema), vec![Batch::only(input)]);
        assert!(output.len() > 2, "bounded batches");
        let ends: Vec<bool> = output.iter().map(|batch| batch.last_of_morsel).collect();
        assert_eq!(ends.iter().filter(|end| **end).count(), 1);
        let all = output.iter().flat_map(|batch| batch.data.column(0).as_string::<i32>().iter().flatten());
        let (mut n_once, mut n_often) = (0, 0);
        for text in all {
            match text {
                "once" => n_once += 1,
                "often" => n_often += 1,
                other => panic!("{other} came"),
            }
        }
        assert_eq!((n_once, n_often), (1, 40_000));
    }
}
