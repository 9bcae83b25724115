//! A subquery in place of a value gives one row at most: more is an error, none is NULL.
//!
//! Memory: one value a group. Why an aggregate: subqueries become joins, and a join would give every row. It is put around
//! every such subquery that is not an aggregation of all its rows anyway.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue, exec_err};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::logical_plan::Subquery;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, FetchType, LogicalPlan, LogicalPlanBuilder, Signature,
    Volatility,
};

type Result<T> = std::result::Result<T, DataFusionError>;

/// Puts `only_value` around subqueries in place of values.
///
/// # Errors
/// What the planner says, which it does not for a plan that was planned.
pub(super) fn check_single_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let checked = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(check_subquery)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(checked.data)
}

fn check_subquery(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = expr else { return Ok(Transformed::no(expr)) };
    if subquery.subquery.schema().fields().len() != 1 || gives_one_row(&subquery.subquery) {
        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    }
    let Subquery { subquery: plan, outer_ref_columns, spans } = subquery;
    let column = plan.schema().columns().swap_remove(0);
    let name = column.name.clone();
    let call = only_value().call(vec![Expr::Column(column)]);
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(plan)).aggregate(Vec::<Expr>::new(), vec![call])?;
    let value = Expr::Column(plan.schema().columns().swap_remove(0)).alias(name);
    let subquery = Arc::new(plan.project(vec![value])?.build()?);
    Ok(Transformed::yes(Expr::ScalarSubquery(Subquery { subquery, outer_ref_columns, spans })))
}

fn gives_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_one_row(&alias.input),
        LogicalPlan::Sort(sort) => gives_one_row(&sort.input),
        LogicalPlan::Filter(filter) => gives_one_row(&filter.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Limit(limit) => matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1)))),
        LogicalPlan::Values(values) => values.values.len() == 1,
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}

fn only_value() -> Arc<AggregateUDF> {
    static FUNCTION: OnceLock<Arc<AggregateUDF>> = OnceLock::new();
    let make = || Arc::new(AggregateUDF::from(OnlyValue { signature: Signature::any(1, Volatility::Immutable) }));
    FUNCTION.get_or_init(make).clone()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OnlyValue {
    signature: Signature,
}

impl AggregateUDFImpl for OnlyValue {
    fn name(&self) -> &str {
        "only_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().ok_or_else(|| DataFusionError::Internal("only_value has an argument".into()))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let value = Field::new("value", args.return_field.data_type().clone(), true);
        Ok(vec![Arc::new(value), Arc::new(Field::new("n_rows", DataType::UInt64, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.return_field.data_type())?;
        Ok(Box::new(Only { value, n_rows: 0 }))
    }
}

#[derive(Debug)]
struct Only {
    value: ScalarValue,
    n_rows: u64,
}

impl Only {
    fn take_row(&mut self, values: &ArrayRef, row: usize, n_rows: u64) -> Result<()> {
        self.n_rows += n_rows;
        if self.n_rows > 1 {
            return exec_err!("a subquery in place of a value gives more than one row");
        }
        self.value = ScalarValue::try_from_array(values, row)?;
        Ok(())
    }
}

impl Accumulator for Only {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match values {
            [values] if !values.is_empty() => self.take_row(values, 0, values.len() as u64),
            _ => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, counts] = states else { return exec_err!("only_value has a state of two columns") };
        let counts = counts.as_primitive::<UInt64Type>();
        let mut filled = counts.values().iter().enumerate().filter(|(_, n_rows)| **n_rows > 0);
        filled.try_for_each(|(row, n_rows)| self.take_row(values, row, *n_rows))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::UInt64(Some(self.n_rows))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size()
    }
}
