//! GROUPING SETS, ROLLUP and CUBE: every row once per grouping set, with the keys that are not in the set NULLed.
//!
//! Memory: a NULL column per key of the batch in hand; the other columns are shared between the copies.
//! Why copies and not one aggregation per set: the input is read once, and one hash table serves all sets.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;

use super::expression::assemble;
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};

/// One grouping set.
#[derive(Debug, Clone)]
pub struct Set {
    /// For every key whether it is NULLed.
    pub nulled: Vec<bool>,
    /// The value of the grouping id column: an array of one row.
    pub id: ArrayRef,
}

/// The grouping sets. The first input columns are the keys; the output has the grouping id right after them.
pub struct Expand {
    sets: Arc<[Set]>,
    schema: SchemaRef,
}

struct LocalExpand {
    sets: Arc<[Set]>,
    schema: SchemaRef,
}

impl Expand {
    /// Expands into `sets` under `schema`: the keys, the grouping id, the other columns.
    pub fn new(sets: Vec<Set>, schema: SchemaRef) -> Self {
        Expand { sets: sets.into(), schema }
    }
}

impl Transform for Expand {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalExpand { sets: self.sets.clone(), schema: self.schema.clone() }))
    }
}

impl LocalTransform for LocalExpand {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        for (set_idx, set) in self.sets.iter().enumerate() {
            let mut copy = batch.with_data(assemble(&self.schema, copy_columns(&batch, set)?, batch.n_rows())?);
            copy.last_of_morsel &= set_idx + 1 == self.sets.len();
            if emit(copy)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::More)
    }
}

fn copy_columns(batch: &Batch, set: &Set) -> Result<Vec<ArrayRef>> {
    let n_rows = batch.n_rows();
    let columns = batch.data.columns();
    let (keys, rest) = columns.split_at(set.nulled.len());
    let mut output = Vec::with_capacity(columns.len() + 1);
    output.extend(keys.iter().zip(&set.nulled).map(|(key, nulled)| match nulled {
        true => new_null_array(key.data_type(), n_rows),
        false => key.clone(),
    }));
    let repeat = arrow::array::UInt32Array::from_value(0, n_rows);
    output.push(arrow::compute::take(&set.id, &repeat, None)?);
    output.extend_from_slice(rest);
    Ok(output)
}

#[cfg(test)]
mod tests {
    use arrow::array::UInt8Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::operators::testing::{batches, run_transform};

    #[test]
    fn every_set_gets_a_copy() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("__grouping_id", DataType::UInt8, false),
        ]));
        let set = |nulled: bool, id: u8| Set { nulled: vec![nulled], id: Arc::new(UInt8Array::from(vec![id])) };
        let output = run_transform(&Expand::new(vec![set(false, 0), set(true, 1)], schema), batches("7 8"));
        let data: Vec<_> = output.iter().map(|batch| batch.data.clone()).collect();
        expect_test::expect![[r#"
            +---+---------------+
            | a | __grouping_id |
            +---+---------------+
            | 7 | 0             |
            | 8 | 0             |
            |   | 1             |
            |   | 1             |
            +---+---------------+"#]]
        .assert_eq(&arrow::util::pretty::pretty_format_batches(&data).unwrap().to_string());
        assert_eq!(output.iter().map(|batch| batch.last_of_morsel).collect::<Vec<_>>(), [false, true]);
    }
}
