//! Computes new columns, picks and reorders old ones.
//!
//! Memory: the computed columns of the batch in hand. Picked columns are passed on as they are, dictionaries included.
//! When the values of a batch are too large together, or one of them cannot be computed, it goes on in halves: so the rows
//! before a bad one are handed on, and whether a LIMIT is reached before it does not depend on the size of batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::expression::{Expression, assemble, is_of_some_rows};
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};

/// One output column of a [`Project`].
#[derive(Clone)]
pub enum Column {
    /// An input column as it is.
    Input(usize),
    /// A computed one.
    Computed(Arc<dyn Expression>),
}

/// The output columns, shared by all workers.
pub struct Project {
    columns: Arc<[Column]>,
    schema: SchemaRef,
}

struct LocalProject {
    columns: Arc<[Column]>,
    schema: SchemaRef,
}

impl Project {
    /// Produces `columns` under `schema`, which has one field each.
    pub fn new(columns: Vec<Column>, schema: SchemaRef) -> Self {
        debug_assert_eq!(columns.len(), schema.fields().len());
        Project { columns: columns.into(), schema }
    }
}

impl Transform for Project {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalProject { columns: self.columns.clone(), schema: self.schema.clone() }))
    }
}

impl LocalTransform for LocalProject {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let n_rows = batch.n_rows();
        match self.compute(&batch) {
            Ok(data) => emit(batch.with_data(data)),
            Err(error) if is_of_some_rows(&error) && n_rows > 1 => {
                let mut first = batch.with_data(batch.data.slice(0, n_rows / 2));
                first.last_of_morsel = false;
                match self.push(first, emit)? {
                    Flow::More => {
                        let rest = batch.data.slice(n_rows / 2, n_rows - n_rows / 2);
                        self.push(batch.with_data(rest), emit)
                    }
                    Flow::Done => Ok(Flow::Done),
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl LocalProject {
    fn compute(&self, batch: &Batch) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(|column| match column {
            Column::Input(idx) => Ok(batch.data.column(*idx).clone()),
            Column::Computed(expression) => expression.evaluate(&batch.data),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        assemble(&self.schema, columns, batch.n_rows())
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::operators::testing::{Above, batches, run_transform};

    #[test]
    fn columns_are_picked_and_computed() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("big", DataType::Boolean, true),
            Field::new("a", DataType::Int64, true),
        ]));
        let project = Project::new(vec![Column::Computed(Arc::new(Above(1))), Column::Input(0)], schema);
        let output = run_transform(&project, batches("1 2 _"));
        let text = arrow::util::pretty::pretty_format_batches(&[output[0].data.clone()]).unwrap().to_string();
        expect_test::expect![[r#"
            +-------+---+
            | big   | a |
            +-------+---+
            | false | 1 |
            | true  | 2 |
            |       |   |
            +-------+---+"#]]
        .assert_eq(&text);
    }
}
