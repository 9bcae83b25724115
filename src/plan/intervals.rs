//! Intervals are compared by their length, a month being 30 days and a day 24 hours, as in PostgreSQL: `'48 hours'` is
//! longer than `'1 day'`, and `'24 hours'` is equal to it.
//!
//! Memory: the plan. The surprising part: the library compares field by field, months first, which is a wrong answer. So a
//! comparison, an ORDER BY or a join of intervals becomes one of `interval_length`. GROUP BY and DISTINCT take intervals that
//! are written differently for different; functions that compare them (min, max, array_sort) are refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion_expr::expr::{AggregateFunction, InList, WindowFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{
    Between, BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, WindowFrameBound, WindowFrameUnits,
};

use crate::error::Error;

/// Compares the intervals of `plan` by length. Changes nothing the second time.
///
/// # Errors
/// A usage error where intervals would be compared otherwise.
pub(super) fn compare_by_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| rewrite_node(node).map(Transformed::yes)).data()
}

/// Orders windows of `plan` by length before types are checked: the library has no frames over intervals.
///
/// # Errors
/// As [`compare_by_length`].
pub(super) fn order_windows_by_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewrite = |node: LogicalPlan| {
        if !matches!(node, LogicalPlan::Window(_)) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|mut expr| {
                let is_window = matches!(expr, Expr::WindowFunction(_));
                if let Expr::WindowFunction(call) = &mut expr {
                    rewrite_window(call, &schema)?;
                }
                Ok(if is_window { Transformed::yes(expr) } else { Transformed::no(expr) })
            })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    };
    plan.transform_up_with_subqueries(rewrite).data()
}

fn rewrite_node(node: LogicalPlan) -> Result<LogicalPlan> {
    let schema = merge_schema(&node.inputs());
    let node = match node {
        LogicalPlan::TableScan(_) => return Ok(node),
        LogicalPlan::Sort(mut sort) => {
            for key in &mut sort.expr {
                make_length(&mut key.expr, &schema)?;
            }
            LogicalPlan::Sort(sort)
        }
        LogicalPlan::Join(mut join) => {
            for (left, right) in &mut join.on {
                if is_interval(left, &schema) || is_interval(right, &schema) {
                    make_length(left, &schema)?;
                    make_length(right, &schema)?;
                }
            }
            LogicalPlan::Join(join)
        }
        other => other,
    };
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| rewrite_expr(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
    .data()
}

fn rewrite_expr(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match &mut expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
            make_lengths([left.as_mut(), right.as_mut()], schema)?;
        }
        Expr::Between(Between { expr, low, high, .. }) => {
            make_lengths([expr.as_mut(), low.as_mut(), high.as_mut()], schema)?;
        }
        Expr::InList(InList { expr, list, .. }) => {
            make_lengths(std::iter::once(expr.as_mut()).chain(list.iter_mut()), schema)?;
        }
        Expr::Case(case) => {
            if let Some(of) = &mut case.expr {
                let whens = case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
                make_lengths(std::iter::once(of.as_mut()).chain(whens), schema)?;
            }
        }
        Expr::ScalarFunction(call) if compares(call.func.name()) && any(&call.args, schema) => {
            return Err(refused(call.func.name()));
        }
        Expr::AggregateFunction(call) => rewrite_aggregate(call, schema)?,
        Expr::WindowFunction(call) => rewrite_window(call, schema)?,
        Expr::InSubquery(test) if holds_interval(&test.expr, schema) => return Err(refused("IN (SELECT ..)")),
        Expr::SetComparison(test) if holds_interval(&test.expr, schema) => return Err(refused("ANY or ALL")),
        _ => {}
    }
    Ok(Transformed::yes(expr))
}

fn rewrite_aggregate(call: &mut AggregateFunction, schema: &DFSchema) -> Result<()> {
    let params = &mut call.params;
    if any(&params.args, schema) && (params.distinct || !keeps_or_adds(call.func.name())) {
        return Err(refused(&format!("{}({})", call.func.name(), if params.distinct { "DISTINCT .." } else { ".." })));
    }
    params.order_by.iter_mut().try_for_each(|key| make_length(&mut key.expr, schema))
}

fn rewrite_window(call: &mut WindowFunction, schema: &DFSchema) -> Result<()> {
    let name = call.fun.name().to_string();
    let params = &mut call.params;
    if any(&params.args, schema) && (params.distinct || !keeps_or_adds(&name)) {
        return Err(refused(&format!("{name}(..) OVER")));
    }
    params.partition_by.iter_mut().try_for_each(|key| make_length(key, schema))?;
    let is_distance = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => !by.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    let frame = &params.window_frame;
    let by_distance =
        frame.units == WindowFrameUnits::Range && (is_distance(&frame.start_bound) || is_distance(&frame.end_bound));
    if by_distance && params.order_by.iter().any(|key| holds_interval(&key.expr, schema)) {
        return Err(refused("RANGE with a distance"));
    }
    params.order_by.iter_mut().try_for_each(|key| make_length(&mut key.expr, schema))
}

/// Aggregates and window functions that do not compare their argument.
fn keeps_or_adds(name: &str) -> bool {
    let names =
        ["count", "sum", "avg", "first_value", "last_value", "nth_value", "any_value", "array_agg", "lag", "lead"];
    names.contains(&name)
}

/// Functions that compare their arguments, or what is in them.
fn compares(name: &str) -> bool {
    let of_lists = ["has", "sort", "distinct", "position", "remove", "replace", "except", "intersect", "union"];
    let list = name.strip_prefix("array_").or_else(|| name.strip_prefix("list_"));
    let list = list.is_some_and(|rest| {
        of_lists.iter().any(|word| rest.starts_with(word)) || matches!(rest, "min" | "max" | "contains" | "any_value")
    });
    list || matches!(name, "nullif" | "greatest" | "least" | "arrays_overlap")
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    expr.get_type(schema).ok()
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(type_of(expr, schema), Some(DataType::Interval(_)))
}

fn holds_interval(expr: &Expr, schema: &DFSchema) -> bool {
    type_of(expr, schema).is_some_and(|data_type| holds(&data_type))
}

fn any(exprs: &[Expr], schema: &DFSchema) -> bool {
    exprs.iter().any(|expr| holds_interval(expr, schema))
}

/// Whether values of `data_type` are intervals or have some in them.
fn holds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            holds(field.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| holds(field.data_type())),
        DataType::Map(field, _) => holds(field.data_type()),
        DataType::Dictionary(_, values) => holds(values),
        _ => false,
    }
}

/// Makes lengths of all `exprs` when one of them is an interval.
fn make_lengths<'a>(exprs: impl IntoIterator<Item = &'a mut Expr>, schema: &DFSchema) -> Result<()> {
    let mut exprs: Vec<&mut Expr> = exprs.into_iter().collect();
    if exprs.iter().any(|expr| holds_interval(expr, schema)) {
        exprs.iter_mut().try_for_each(|expr| make_length(expr, schema))?;
    }
    Ok(())
}

/// Makes a length of an interval; of anything else, nothing.
fn make_length(expr: &mut Expr, schema: &DFSchema) -> Result<()> {
    match type_of(expr, schema) {
        Some(DataType::Interval(_)) => {
            let interval = std::mem::take(expr);
            *expr = ScalarUDF::from(IntervalLength::new()).call(vec![interval]);
        }
        Some(DataType::Null) | None => {}
        Some(data_type) if holds(&data_type) => return Err(refused("comparing lists or structs")),
        Some(_) => {}
    }
    Ok(())
}

fn refused(what: &str) -> DataFusionError {
    let error =
        Error::usage(format!("{what} with intervals is not supported: equal lengths may be written differently"))
            .with_hint("take the length in seconds instead: extract(epoch FROM x)");
    DataFusionError::External(Box::new(error))
}

/// The length of an interval in nanoseconds; more than 64 bits hold, for an interval may have years by the thousand.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IntervalLength {
    signature: Signature,
}

impl IntervalLength {
    fn new() -> Self {
        IntervalLength { signature: Signature::any(1, Volatility::Immutable) }
    }
}

const LENGTH: DataType = DataType::Decimal128(38, 0);

impl ScalarUDFImpl for IntervalLength {
    fn name(&self) -> &str {
        "interval_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(LENGTH)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Array(intervals) => Ok(ColumnarValue::Array(lengths(intervals)?)),
            ColumnarValue::Scalar(interval) => {
                let length = lengths(&interval.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&length, 0)?))
            }
        }
    }
}

fn lengths(intervals: &ArrayRef) -> Result<ArrayRef> {
    let intervals = cast(intervals, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let lengths: Decimal128Array =
        intervals.as_primitive::<IntervalMonthDayNanoType>().iter().map(|one| one.map(nanos_of)).collect();
    Ok(Arc::new(lengths.with_data_type(LENGTH)))
}

fn nanos_of(interval: IntervalMonthDayNano) -> i128 {
    const NANOS_PER_DAY: i128 = 86_400_000_000_000;
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * NANOS_PER_DAY + i128::from(interval.nanoseconds)
}
