//! What operators know of an expression: columns in, one column out.
//!
//! Memory: an expression holds nothing between batches; what it allocates is of the order of the batch it is given.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{Error, ErrorKind, Result};

/// Computes one value a row.
pub trait Expression: Send + Sync {
    /// One value for every row of `batch`. Columns of `batch` may be dictionaries of their declared type.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef>;
}

/// Evaluates a predicate; the result is NULL where the predicate is.
pub fn evaluate_predicate(predicate: &dyn Expression, batch: &RecordBatch) -> Result<BooleanArray> {
    let values = predicate.evaluate(batch)?;
    match values.as_any().downcast_ref::<BooleanArray>() {
        Some(mask) => Ok(mask.clone()),
        None => Err(Error::query(format!("a condition must be true or false, not {}", values.data_type()))),
    }
}

/// Whether evaluating fewer rows may succeed where this error came of more.
pub fn is_of_some_rows(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Query | ErrorKind::Budget)
}

/// Puts `columns` together under `schema`, except that a column may be a dictionary of its declared type: the batch then
/// says so in its own schema.
///
/// # Errors
/// When lengths, types or NULLs contradict the schema, which no user can cause.
pub fn assemble(schema: &SchemaRef, columns: Vec<ArrayRef>, n_rows: usize) -> Result<RecordBatch> {
    let as_declared =
        schema.fields().iter().zip(&columns).all(|(field, column)| field.data_type() == column.data_type());
    let schema = if as_declared { schema.clone() } else { with_dictionaries(schema, &columns) };
    let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

fn with_dictionaries(schema: &SchemaRef, columns: &[ArrayRef]) -> SchemaRef {
    let fields = schema.fields().iter().zip(columns).map(|(field, column)| match column.data_type() {
        DataType::Dictionary(_, value) if value.as_ref() == field.data_type() => {
            Arc::new(Field::clone(field).with_data_type(column.data_type().clone()))
        }
        _ => field.clone(),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int64Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn a_dictionary_may_stand_for_its_declared_type() {
        let schema =
            Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]));
        let dictionary: DictionaryArray<Int32Type> = vec!["x", "y"].into_iter().collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(dictionary)];
        let batch = assemble(&schema, columns.clone(), 2).unwrap();
        assert!(matches!(batch.schema().field(1).data_type(), DataType::Dictionary(..)));
        assert!(assemble(&schema, vec![columns[1].clone(), columns[1].clone()], 2).is_err());
    }

    #[test]
    fn batches_without_columns_count_rows() {
        assert_eq!(assemble(&Arc::new(Schema::empty()), vec![], 7).unwrap().num_rows(), 7);
    }
}
