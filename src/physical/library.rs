//! Aggregate functions of the library behind our own contract.
//!
//! Memory: what the function's accumulators say they hold ([`GroupAccumulator::bytes`]). Functions whose state grows with
//! their input do not come here: they are lowered by [`super::holistic`], but for medians of few rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, ListArray, PrimitiveArray};
use arrow::compute::{cast, sum_checked};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, UInt64Type};
use datafusion_common::{DFSchema, DataFusionError, ScalarValue};
use datafusion_expr::expr::{AggregateFunction as Call, NullTreatment};
use datafusion_expr::{Accumulator, EmitTo, ExprSchemable, GroupsAccumulator};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr, PhysicalSortExpr};

use super::aggregate::constant;
use super::failure::query_failure;
use crate::error::{Error, Result};
use crate::operators::aggregate::{GroupAccumulator, LibraryFunction};

/// A call of a library function over the columns it is given: its arguments that are not constant, then its sort keys.
pub(super) struct Library {
    function: Arc<AggregateFunctionExpr>,
    /// Every argument: a column or a constant.
    args: Vec<Argument>,
    /// The declared types of the columns.
    types: Vec<DataType>,
    n_sort_keys: usize,
}

#[derive(Clone)]
enum Argument {
    Column(usize),
    Constant(ScalarValue),
}

impl Library {
    pub(super) fn new(call: &Call, schema: &DFSchema) -> Result<Self> {
        Self::build(call, schema).map_err(query_failure)
    }

    fn build(call: &Call, schema: &DFSchema) -> Result<Self, DataFusionError> {
        let params = &call.params;
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut add_column = |expr: &datafusion_expr::Expr| -> Result<usize, DataFusionError> {
            let field = expr.to_field(schema)?.1;
            fields.push(Arc::new(Field::clone(&field).with_name(format!("c{}", fields.len()))));
            Ok(fields.len() - 1)
        };
        let mut args = Vec::new();
        for arg in &params.args {
            args.push(match constant(arg) {
                Some(value) => Argument::Constant(value.clone()),
                None => Argument::Column(add_column(arg)?),
            });
        }
        let mut order_by = Vec::new();
        for key in &params.order_by {
            let expr = column_expr(add_column(&key.expr)?);
            let options = arrow::compute::SortOptions { descending: !key.asc, nulls_first: key.nulls_first };
            order_by.push(PhysicalSortExpr { expr, options });
        }
        // The library compares the sort key of a DISTINCT call with its argument, so equal ones must look equal.
        if params.distinct
            && let ([key], [arg]) = (params.order_by.as_slice(), params.args.as_slice())
            && key.expr == *arg
        {
            order_by[0].expr = column_expr(0);
        }
        let exprs = args.iter().map(|arg| match arg {
            Argument::Column(idx) => column_expr(*idx),
            Argument::Constant(value) => Arc::new(Literal::new(value.clone())) as Arc<dyn PhysicalExpr>,
        });
        let n_sort_keys = order_by.len();
        let types = fields.iter().map(|field| field.data_type().clone()).collect();
        let function = AggregateExprBuilder::new(call.func.clone(), exprs.collect())
            .schema(Arc::new(Schema::new(fields)))
            .alias(call.func.name())
            .order_by(order_by)
            .with_ignore_nulls(params.null_treatment == Some(NullTreatment::IgnoreNulls))
            .with_distinct(params.distinct)
            .build()?;
        let function = Arc::new(function);
        // Rows arrive in no order: functions that could profit from one must not count on it.
        let function = match function.order_bys().is_empty() {
            true => function,
            false => function.clone().with_beneficial_ordering(false)?.map_or(function, Arc::new),
        };
        Ok(Library { function, args, types, n_sort_keys })
    }
}

impl Library {
    /// Whether results are sums of distinct integers, which the library lets wrap around.
    fn sums_distinct(&self) -> bool {
        let of_integers = matches!(self.function.field().data_type(), DataType::Int64 | DataType::UInt64);
        self.function.fun().name() == "sum" && self.function.is_distinct() && of_integers
    }
}

/// The sums of lists of distinct integers; NULL for an empty list.
fn checked_sums(lists: &ArrayRef) -> Result<ArrayRef> {
    fn sums<T: ArrowPrimitiveType>(lists: &ListArray) -> Result<ArrayRef> {
        let sum = |list: Option<ArrayRef>| match list {
            Some(values) => sum_checked(values.as_primitive::<T>()),
            None => Ok(None),
        };
        let sums = lists.iter().map(sum).collect::<Result<PrimitiveArray<T>, _>>();
        Ok(Arc::new(sums.map_err(|_| Error::query("the sum of distinct values is out of range"))?))
    }
    match lists.as_list_opt::<i32>() {
        Some(lists) if lists.value_type() == DataType::Int64 => sums::<Int64Type>(lists),
        Some(lists) if lists.value_type() == DataType::UInt64 => sums::<UInt64Type>(lists),
        _ => Err(Error::query("sum(DISTINCT) gave no list of values")),
    }
}

fn column_expr(idx: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(&format!("c{idx}"), idx))
}

impl LibraryFunction for Library {
    fn name(&self) -> &str {
        self.function.fun().name()
    }

    fn state_fields(&self) -> Result<Vec<FieldRef>> {
        self.function.state_fields().map_err(query_failure)
    }

    fn accumulator(&self) -> Result<Box<dyn GroupAccumulator>> {
        let accumulator = new_accumulator(&self.function).map_err(query_failure)?;
        Ok(Box::new(LibraryAccumulator {
            accumulator,
            sums_distinct: self.sums_distinct(),
            args: self.args.clone(),
            types: self.types.clone(),
            n_sort_keys: self.n_sort_keys,
        }))
    }
}

impl Library {
    /// An accumulator for frames that lose rows when it `slides`; one that cannot do that says so.
    pub(super) fn frame_accumulator(&self, slides: bool) -> Result<Box<dyn Accumulator>> {
        if slides && let Ok(accumulator) = self.function.create_sliding_accumulator() {
            return Ok(accumulator);
        }
        self.function.create_accumulator().map_err(query_failure)
    }

    /// Constants filled in, dictionaries spelled out.
    pub(super) fn values(&self, columns: &[ArrayRef], n_rows: usize) -> Result<Vec<ArrayRef>> {
        spelled_out(columns, n_rows, &self.args, &self.types, self.n_sort_keys)
    }
}

fn new_accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = function.clone();
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}

/// Accumulators of all groups of one worker or partition.
struct LibraryAccumulator {
    accumulator: Box<dyn GroupsAccumulator>,
    sums_distinct: bool,
    args: Vec<Argument>,
    types: Vec<DataType>,
    n_sort_keys: usize,
}

/// The arguments of a call: constants filled in, dictionaries spelled out.
fn spelled_out(
    columns: &[ArrayRef],
    n_rows: usize,
    args: &[Argument],
    types: &[DataType],
    n_sort_keys: usize,
) -> Result<Vec<ArrayRef>> {
    let declared = columns.iter().zip(types).map(|(column, declared)| match column.data_type() == declared {
        true => Ok(column.clone()),
        false => Ok(cast(column, declared)?),
    });
    let columns = declared.collect::<Result<Vec<ArrayRef>>>()?;
    let mut values = Vec::with_capacity(args.len() + n_sort_keys);
    for arg in args {
        values.push(match arg {
            Argument::Column(idx) => columns[*idx].clone(),
            Argument::Constant(value) => value.to_array_of_size(n_rows).map_err(query_failure)?,
        });
    }
    values.extend_from_slice(&columns[columns.len() - n_sort_keys..]);
    Ok(values)
}

impl LibraryAccumulator {
    fn values(&self, columns: &[ArrayRef], n_rows: usize) -> Result<Vec<ArrayRef>> {
        spelled_out(columns, n_rows, &self.args, &self.types, self.n_sort_keys)
    }
}

impl GroupAccumulator for LibraryAccumulator {
    fn update(
        &mut self,
        args: &[ArrayRef],
        group_idxs: &[usize],
        filter: Option<&BooleanArray>,
        n_groups: usize,
    ) -> Result<()> {
        let values = self.values(args, group_idxs.len())?;
        self.accumulator.update_batch(&values, group_idxs, filter, n_groups).map_err(query_failure)
    }

    fn merge(&mut self, states: &[ArrayRef], group_idxs: &[usize], n_groups: usize) -> Result<()> {
        self.accumulator.merge_batch(states, group_idxs, n_groups).map_err(query_failure)
    }

    fn take_states(&mut self) -> Result<Vec<ArrayRef>> {
        self.accumulator.state(EmitTo::All).map_err(query_failure)
    }

    fn take_results(&mut self) -> Result<ArrayRef> {
        if self.sums_distinct
            && let [lists] = self.take_states()?.as_slice()
        {
            return checked_sums(lists);
        }
        self.accumulator.evaluate(EmitTo::All).map_err(query_failure)
    }

    fn take_first_results(&mut self, n_groups: usize) -> Result<ArrayRef> {
        self.accumulator.evaluate(EmitTo::First(n_groups)).map_err(query_failure)
    }

    fn bytes(&self) -> usize {
        self.accumulator.size()
    }
}
