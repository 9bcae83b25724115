//! As-of joins as they come from SQL: a join whose condition is wrapped in a function becomes a node of its own.
//!
//! Memory: the plan.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{Transformed, TransformedResult};
use datafusion_common::{DFSchema, DataFusionError, Result, not_impl_err};
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, Join, JoinType, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;
use crate::operators::asof::Direction;
use crate::physical::{AsofJoin, AsofMatch};

/// The name of the function around the condition of an as-of join. Nobody can write it by accident. Behind the condition may
/// stand `'nearest'`, for the nearest row on either side, or NULL, and then a tolerance.
pub const ASOF_CONDITION: &str = "asof condition";

/// The function [`ASOF_CONDITION`].
pub fn asof_condition() -> Arc<ScalarUDF> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(ScalarUDF::from(Condition { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Condition {
    signature: Signature,
}

impl ScalarUDFImpl for Condition {
    fn name(&self) -> &str {
        ASOF_CONDITION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("{ASOF_CONDITION} outside of a join")
    }
}

/// Makes nodes of all as-of joins of `plan`.
///
/// # Errors
/// A usage error when a condition is not made of equalities and one comparison.
pub(super) fn rewrite_asof_joins(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewrite = |node: LogicalPlan| match node {
        LogicalPlan::Join(join) => match wrapped(&join) {
            Some(args) => asof_join(join, &args).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up_with_subqueries(rewrite).data()
}

fn wrapped(join: &Join) -> Option<Vec<Expr>> {
    match join.filter.as_ref()? {
        Expr::ScalarFunction(call) if call.func.name() == ASOF_CONDITION => Some(call.args.clone()),
        _ => None,
    }
}

fn asof_join(join: Join, args: &[Expr]) -> Result<LogicalPlan> {
    let Some(condition) = args.first().cloned() else { return Err(refused()) };
    let schemas = [join.left.schema().as_ref(), join.right.schema().as_ref()];
    let (mut by, mut comparisons) = (Vec::new(), Vec::new());
    for part in split_conjunction_owned(condition) {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return Err(refused()) };
        let (left, op, right) = match (is_of(&left, schemas[0]) && is_of(&right, schemas[1]), op.swap()) {
            (true, _) => (*left, op, *right),
            (false, Some(swapped)) if is_of(&left, schemas[1]) && is_of(&right, schemas[0]) => (*right, swapped, *left),
            _ => return Err(refused()),
        };
        match op {
            Operator::Eq => by.push((left, right)),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => comparisons.push((left, op, right)),
            _ => return Err(refused()),
        }
    }
    let [(left_on, op, right_on)] = <[_; 1]>::try_from(comparisons).map_err(|_| refused())?;
    let mut matching = AsofMatch::of_comparison(left_on, op, right_on);
    if let Some(Expr::Literal(strategy, _)) = args.get(1)
        && !strategy.is_null()
    {
        matching.direction = Direction::Nearest;
    }
    matching.tolerance = match args.get(2) {
        None => None,
        Some(Expr::Literal(tolerance, _)) => Some(tolerance.clone()),
        Some(_) => return Err(refused()),
    };
    let keeps_left = join.join_type == JoinType::Left;
    let (left, right) = (Arc::unwrap_or_clone(join.left), Arc::unwrap_or_clone(join.right));
    AsofJoin::plan(left, right, by, matching, keeps_left)
}

fn is_of(expr: &Expr, schema: &DFSchema) -> bool {
    let refs = expr.column_refs();
    !refs.is_empty() && refs.iter().all(|column| schema.has_column(column))
}

fn refused() -> DataFusionError {
    let error = Error::usage("the condition of an ASOF JOIN is not made of equalities and one comparison")
        .with_hint("between the two tables: a.k = b.k AND a.t >= b.t; other conditions go into WHERE");
    DataFusionError::External(Box::new(error))
}
