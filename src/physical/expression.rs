//! The expression evaluator: a planner's expression over the columns of a batch.
//!
//! Memory: intermediate columns of the batch in hand; nothing in between. A function or a constant that would make far
//! more than it is given is evaluated over fewer rows at once; if the values are too large together, that is an error of
//! kind budget, upon which the caller may come back with fewer rows.
//! A column may arrive as a dictionary of its declared type. An expression over that column alone is evaluated once per
//! distinct value and not once per row; otherwise the column is cast to its declared type first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Operator};
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal, NegativeExpr};
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};

use super::decimal::on_narrow_values;
use super::failure::query_failure;
use super::huge::Room;
use super::zeros::compare_as_equals;
use crate::error::{ErrorKind, Result};
use crate::operators::expression::Expression;

/// Bytes from which on a constant is not repeated for every row without a look at what that makes.
const LARGE_CONSTANT: u64 = 512;

/// A compiled expression and the input columns it reads.
#[derive(Debug)]
pub(super) struct Evaluator {
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    /// The declared fields of `columns`.
    schema: SchemaRef,
    /// Whether equal values give equal results.
    deterministic: bool,
    /// How much memory there is; not known in tests.
    room: Option<Room>,
    largest_constant: u64,
}

impl Evaluator {
    /// Compiles `expr` over an input of `schema`.
    pub(super) fn compile(expr: &Expr, schema: &DFSchema, props: &ExecutionProps) -> Result<Self> {
        let compiled = create_physical_expr(expr, schema, props, &PhysicalPlanningContext::default());
        let compiled = compiled.and_then(|compiled| fail_on_overflow(compiled, schema));
        let compiled = compiled
            .and_then(|compiled| compiled.transform_up(|part| compare_as_equals(part, schema.as_arrow())).data());
        let compiled = compiled
            .and_then(|compiled| compiled.transform_up(|part| on_narrow_values(part, schema.as_arrow())).data());
        let compiled = compiled.map_err(query_failure)?;
        let mut columns: Vec<usize> = collect_columns(&compiled).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let renumbered = renumber(compiled, &columns).map_err(query_failure)?;
        let fields: Vec<_> = columns.iter().map(|&idx| schema.inner().fields()[idx].clone()).collect();
        let room = props.config_options.as_ref().and_then(|options| options.extensions.get::<Room>()).cloned();
        Ok(Evaluator {
            room,
            largest_constant: largest_constant(&renumbered).map_err(query_failure)?,
            expr: renumbered,
            columns,
            schema: Arc::new(Schema::new(fields)),
            deterministic: !expr.is_volatile(),
        })
    }

    /// The input columns it reads, ascending.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Evaluates over [`Evaluator::columns`], given in that order.
    pub(super) fn evaluate_columns(&self, columns: &[ArrayRef], n_rows: usize) -> Result<ArrayRef> {
        if let [column] = columns
            && self.deterministic
            && let Some(values) = self.evaluate_by_value(column)
        {
            return Ok(values);
        }
        let declared = columns.iter().zip(self.schema.fields()).map(|(column, field)| {
            match column.data_type() == field.data_type() {
                true => Ok(column.clone()),
                false => Ok(cast(column, field.data_type())?),
            }
        });
        self.evaluate_parts(declared.collect::<Result<_>>()?, n_rows)
    }

    /// Evaluates over ever fewer rows where the values of all rows would be too large together.
    fn evaluate_parts(&self, columns: Vec<ArrayRef>, n_rows: usize) -> Result<ArrayRef> {
        let too_large = match self.evaluate_declared(columns.clone(), n_rows) {
            Err(error) if error.kind() == ErrorKind::Budget && n_rows > 1 => error,
            done => return done,
        };
        let part = |from: usize, n: usize| {
            self.evaluate_parts(columns.iter().map(|column| column.slice(from, n)).collect(), n)
        };
        let (first, rest) = (part(0, n_rows / 2)?, part(n_rows / 2, n_rows - n_rows / 2)?);
        let bytes = first.get_array_memory_size() + rest.get_array_memory_size();
        match self.room.as_ref().is_some_and(|room| room.check("", n_rows, bytes as u64).is_err()) {
            true => Err(too_large),
            false => Ok(concat(&[&first, &rest])?),
        }
    }

    fn evaluate_declared(&self, columns: Vec<ArrayRef>, n_rows: usize) -> Result<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        if let Some(room) = self.room.as_ref().filter(|_| self.largest_constant > LARGE_CONSTANT) {
            room.check("a constant", n_rows, self.largest_constant * n_rows as u64)?;
        }
        let values = self.expr.evaluate(&batch).and_then(|values| values.into_array(n_rows));
        values.map_err(query_failure)
    }

    /// Evaluates once per value of a dictionary, and for NULL. `None` when that is no use, or when it fails: a value
    /// that no row has must not fail the query, so the rows decide; also when the values of all rows are too large.
    fn evaluate_by_value(&self, column: &ArrayRef) -> Option<ArrayRef> {
        let dictionary = column.as_any_dictionary_opt()?;
        let values = dictionary.values();
        let declared = values.data_type() == self.schema.field(0).data_type();
        if !declared || values.is_empty() || values.len() >= column.len() {
            return None;
        }
        let null = new_null_array(values.data_type(), 1);
        let inputs = if self.schema.field(0).is_nullable() { concat(&[values, &null]).ok()? } else { values.clone() };
        let n_inputs = inputs.len();
        let results = self.evaluate_declared(vec![inputs], n_inputs).ok()?;
        let null_key = values.len() as u64;
        let keys = dictionary.normalized_keys().into_iter();
        let keys: UInt64Array = match dictionary.keys().nulls() {
            None => keys.map(|key| key as u64).collect(),
            Some(valid) => keys.zip(valid).map(|(key, valid)| if valid { key as u64 } else { null_key }).collect(),
        };
        // A value that many rows have is large once here and once for every row there.
        let fits = self.room.as_ref().is_none_or(|room| {
            let bytes = value_bytes(&results);
            let all = keys.values().iter().map(|&key| bytes(key as usize)).fold(0, u64::saturating_add);
            room.check("", keys.len(), all).is_ok()
        });
        if fits { take(&results, &keys, None).ok() } else { None }
    }
}

impl Expression for Evaluator {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&idx| batch.column(idx).clone()).collect();
        self.evaluate_columns(&columns, batch.num_rows())
    }
}

/// Bytes of each of `values`; their mean where they are neither numbers nor text.
fn value_bytes(values: &ArrayRef) -> Box<dyn Fn(usize) -> u64> {
    let of_offsets =
        |offsets: Vec<u64>| -> Box<dyn Fn(usize) -> u64> { Box::new(move |row| offsets[row + 1] - offsets[row]) };
    match values.data_type() {
        DataType::Utf8 => of_offsets(values.as_string::<i32>().value_offsets().iter().map(|&at| at as u64).collect()),
        DataType::LargeUtf8 => {
            of_offsets(values.as_string::<i64>().value_offsets().iter().map(|&at| at as u64).collect())
        }
        data_type if data_type.primitive_width().is_some() || *data_type == DataType::Boolean => Box::new(|_| 8),
        _ => {
            let bytes = values.to_data().get_slice_memory_size().unwrap_or(0);
            let mean = (bytes / values.len().max(1)) as u64;
            Box::new(move |_| mean)
        }
    }
}

/// Bytes of the largest constant in `expr`.
fn largest_constant(expr: &Arc<dyn PhysicalExpr>) -> Result<u64, DataFusionError> {
    let mut largest = 0;
    expr.apply(|part| {
        largest = largest.max(part.downcast_ref::<Literal>().map_or(0, |literal| literal.value().size()));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(largest as u64)
}

/// Makes integer arithmetic that overflows an error: the library's kernels wrap around unless they are told otherwise.
fn fail_on_overflow(expr: Arc<dyn PhysicalExpr>, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let check_one = |expr: Arc<dyn PhysicalExpr>| {
        if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
            && matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply)
        {
            return Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Arc<dyn PhysicalExpr>));
        }
        if let Some(negative) = expr.downcast_ref::<NegativeExpr>()
            && let data_type = negative.arg().data_type(schema.as_arrow())?
            && data_type.is_signed_integer()
        {
            let zero = Arc::new(Literal::new(ScalarValue::new_zero(&data_type)?));
            let minus = BinaryExpr::new(zero, Operator::Minus, negative.arg().clone()).with_fail_on_overflow(true);
            return Ok(Transformed::yes(Arc::new(minus) as Arc<dyn PhysicalExpr>));
        }
        Ok(Transformed::no(expr))
    };
    expr.transform_up(check_one).data()
}

/// Makes column references point into `columns` instead of the whole input.
fn renumber(expr: Arc<dyn PhysicalExpr>, columns: &[usize]) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let renumber_one = |expr: Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Column>() {
        Some(column) => {
            let idx = columns.binary_search(&column.index()).unwrap_or_default();
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), idx));
            Ok(Transformed::yes(column))
        }
        None => Ok(Transformed::no(expr)),
    };
    expr.transform_down(renumber_one).data()
}

/// The input column that `expr` is, under whatever alias.
pub(super) fn plain_column(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => plain_column(&alias.expr, schema),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int32Array, StringArray};
    use arrow::datatypes::{Field, Int32Type};
    use datafusion_expr::{cast as cast_expr, col, lit};

    use super::*;

    /// Evaluates over `values[keys]`, once as a dictionary and once spelled out; both must say the same.
    fn check(expr: Expr, values: Vec<&str>, keys: Vec<Option<i32>>, expected: &str) {
        let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
        let schema = DFSchema::try_from(schema).unwrap();
        let evaluator = Evaluator::compile(&expr, &schema, &ExecutionProps::new()).unwrap();
        let values = Arc::new(StringArray::from(values));
        let dictionary: ArrayRef =
            Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values).unwrap());
        let plain = cast(&dictionary, &DataType::Utf8).unwrap();
        let n_rows = plain.len();
        let by_value = evaluator.evaluate_columns(&[dictionary], n_rows).unwrap();
        assert_eq!(&by_value, &evaluator.evaluate_columns(&[plain], n_rows).unwrap(), "{expr}");
        assert_eq!(format!("{by_value:?}").replace(['\n', ' '], ""), expected, "{expr}");
    }

    #[test]
    fn a_dictionary_gives_what_its_rows_give() {
        let keys = || vec![Some(1), None, Some(0), Some(1), Some(1)];
        check(col("a").eq(lit("y")), vec!["x", "y"], keys(), "BooleanArray[true,null,false,true,true,]");
        check(col("a").is_null(), vec!["x", "y"], keys(), "BooleanArray[false,true,false,false,false,]");
        let no_null = || vec![Some(1), Some(1), Some(0), Some(1)];
        check(col("a").eq(lit("y")), vec!["x", "y"], no_null(), "BooleanArray[true,true,false,true,]");
    }

    #[test]
    fn a_large_value_that_many_rows_have_counts_for_each_of_them() {
        let memory = crate::memory::Memory::with_governed(16 << 20, 1);
        let props = ExecutionProps {
            config_options: Some(crate::physical::options::running_options(&memory)),
            ..Default::default()
        };
        let schema = DFSchema::try_from(Schema::new(vec![Field::new("a", DataType::Utf8, true)])).unwrap();
        let evaluator = Evaluator::compile(&col("a").is_not_null(), &schema, &props).unwrap();
        let keys = Int32Array::from(vec![0; 8000]);
        let text = |n: usize| Arc::new(StringArray::from(vec!["x".repeat(n)])) as ArrayRef;
        let column = |n| Arc::new(DictionaryArray::<Int32Type>::try_new(keys.clone(), text(n)).unwrap()) as ArrayRef;
        assert!(evaluator.evaluate_by_value(&column(100_000)).is_some(), "the results are small");
        let evaluator = Evaluator::compile(&cast_expr(col("a"), DataType::LargeUtf8), &schema, &props).unwrap();
        assert!(evaluator.evaluate_by_value(&column(10)).is_some());
        assert!(evaluator.evaluate_by_value(&column(100_000)).is_none());
    }

    #[test]
    fn a_value_that_no_row_has_does_not_fail() {
        let number = || cast_expr(col("a"), DataType::Int64);
        check(
            number(),
            vec!["1", "2", "x"],
            vec![Some(1), Some(0), Some(1), None],
            "PrimitiveArray<Int64>[2,1,2,null,]",
        );
        check(number(), vec!["x"], vec![None, None], "PrimitiveArray<Int64>[null,null,]");
    }
}
