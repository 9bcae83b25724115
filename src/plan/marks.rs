//! IN and EXISTS with a subquery in a SELECT list: joined to a column that says whether there is a match.
//!
//! The planner's rule makes such joins of conditions only. So the expressions of the list are put into a condition as the
//! arguments of a function, the rule has its way with that, and they are taken out again.
//!
//! Memory: the plan.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Result, not_impl_err};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{
    ColumnarValue, Expr, Filter, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::optimizer::ApplyOrder;
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

/// See the module.
#[derive(Debug)]
pub(super) struct MarkSubqueriesInLists;

impl OptimizerRule for MarkSubqueriesInLists {
    fn name(&self) -> &str {
        "mark_subqueries_in_lists"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let within = plan.map_subqueries(|subquery| subquery.transform_down(|node| self.rewrite(node, config)))?;
        match within.data {
            LogicalPlan::Projection(projection) if projection.expr.iter().any(has_subquery) => {
                let Projection { expr, input, .. } = projection;
                let names = NamePreserver::new_for_projection();
                let saved: Vec<_> = expr.iter().map(|expr| names.save(expr)).collect();
                let (expr, input) = marked(expr, input, config)?;
                let named = expr.into_iter().zip(saved).map(|(expr, name)| name.restore(expr)).collect();
                Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(named, input)?)))
            }
            other => Ok(Transformed::new(other, within.transformed, within.tnr)),
        }
    }
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::InSubquery(_) | Expr::Exists(_)))).unwrap_or(false)
}

/// `exprs` without subqueries, over `input` joined with what these ask; as they were where the rule can do nothing.
fn marked(
    exprs: Vec<Expr>,
    input: Arc<LogicalPlan>,
    config: &dyn OptimizerConfig,
) -> Result<(Vec<Expr>, Arc<LogicalPlan>)> {
    let all = Arc::new(ScalarUDF::from(All { signature: Signature::variadic_any(Volatility::Immutable) }));
    let unaliased: Vec<Expr> = exprs.iter().cloned().map(Expr::unalias).collect();
    let condition = Expr::ScalarFunction(ScalarFunction::new_udf(all, unaliased));
    let filter = LogicalPlan::Filter(Filter::try_new(condition, input.clone())?);
    let mut node = DecorrelatePredicateSubquery::new().rewrite(filter, config)?.data;
    if let LogicalPlan::Projection(projection) = node {
        node = Arc::unwrap_or_clone(projection.input);
    }
    match node {
        LogicalPlan::Filter(Filter { predicate: Expr::ScalarFunction(call), input, .. }) if call.name() == ALL => {
            Ok((call.args, input))
        }
        _ => Ok((exprs, input)),
    }
}

/// The name of the function that holds the expressions of a list together.
const ALL: &str = "all of a list";

#[derive(Debug, PartialEq, Eq, Hash)]
struct All {
    signature: Signature,
}

impl ScalarUDFImpl for All {
    fn name(&self) -> &str {
        ALL
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        not_impl_err!("{ALL} is never run")
    }
}
