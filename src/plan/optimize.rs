//! The rules that run on a logical plan.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use datafusion_common::alias::AliasGenerator;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::registry::{FunctionRegistry, MemoryFunctionRegistry};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerConfig};

use super::join_order::order_joins;
use super::reduce::reduce_aggregates;
use super::set_operations::rewrite_set_operations;
use super::shared::share_common_subplans;

/// Checks types and rewrites the plan into a cheaper one with the same result.
///
/// # Errors
/// When types do not fit, or a constant part of the query fails (such as a division by zero).
pub fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan, DataFusionError> {
    let settings = Settings { options: options.clone(), aliases: Arc::default(), started: Utc::now() };
    let plan = apply_library_rules(plan, &settings)?;
    apply_own_rules(plan, &settings)
}

/// The plan before our own rules, to show what they change.
#[cfg(test)]
pub(crate) fn optimize_by_library(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let settings = Settings { options: crate::physical::options(), aliases: Arc::default(), started: Utc::now() };
    apply_library_rules(plan, &settings)
}

fn apply_library_rules(plan: LogicalPlan, settings: &Settings) -> Result<LogicalPlan, DataFusionError> {
    let plan = super::membership::spell_out(rewrite_set_operations(plan)?)?;
    let plan = Analyzer::new().execute_and_check(plan, &settings.options, |_, _| {})?;
    crate::physical::constants::check_constants(&plan)?;
    let plan = Optimizer::new().optimize(plan, settings, |_, _| {})?;
    without_true_filters(plan)
}

/// Rules that need to know how many rows there are.
fn apply_own_rules(plan: LogicalPlan, settings: &Settings) -> Result<LogicalPlan, DataFusionError> {
    let plan = match plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(_))))? {
        false => plan,
        true => {
            let plan = order_joins(reduce_aggregates(plan)?)?;
            let again = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]);
            again.optimize(plan, settings, |_, _| {})?
        }
    };
    share_common_subplans(plan)
}

/// Turning subqueries into joins leaves conditions behind that are always true.
fn without_true_filters(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let is_true = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
    let clean = |node: LogicalPlan| match node {
        LogicalPlan::TableScan(mut scan) if scan.filters.iter().any(is_true) => {
            scan.filters.retain(|filter| !is_true(filter));
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        LogicalPlan::Filter(filter) if is_true(&filter.predicate) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(filter.input)))
        }
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up(clean).data()
}

/// What rules may ask for.
#[derive(Debug)]
struct Settings {
    options: Arc<ConfigOptions>,
    aliases: Arc<AliasGenerator>,
    started: DateTime<Utc>,
}

impl OptimizerConfig for Settings {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        Some(self.started)
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        &self.aliases
    }

    fn options(&self) -> Arc<ConfigOptions> {
        self.options.clone()
    }

    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(aggregates())
    }
}

/// The functions that rules write into plans: DISTINCT ON becomes an aggregation with `first_value`.
fn aggregates() -> &'static MemoryFunctionRegistry {
    static REGISTRY: OnceLock<MemoryFunctionRegistry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = MemoryFunctionRegistry::new();
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            // Registering in memory does not fail.
            let _ = registry.register_udaf(function);
        }
        registry
    })
}
