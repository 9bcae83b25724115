//! The rules that run on a logical plan.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use datafusion_common::alias::AliasGenerator;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::registry::{FunctionRegistry, MemoryFunctionRegistry};
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerConfig, OptimizerRule};

use super::asof::rewrite_asof_joins;
use super::decimals::exact_decimals;
use super::domains::JoinSubqueriesByDomain;
use super::intervals::{compare_by_length, order_windows_by_length};
use super::join_order::order_joins;
use super::marks::MarkSubqueriesInLists;
use super::only_value::check_single_rows;
use super::outer_types::agree_on_types;
use super::reduce::reduce_aggregates;
use super::set_operations::rewrite_set_operations;
use super::shared::share_common_subplans;
use super::timestamps::meet_in_their_unit;

/// Which rules run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// All rules.
    #[default]
    Full,
    /// Only those without which some plans cannot be lowered, for tests: both must give the same rows.
    Least,
}

/// Checks types and rewrites the plan into a cheaper one with the same result.
///
/// # Errors
/// When types do not fit, or a constant part of the query fails (such as a division by zero).
pub fn optimize(
    plan: LogicalPlan,
    options: &Arc<ConfigOptions>,
    effort: Effort,
) -> Result<LogicalPlan, DataFusionError> {
    let settings = Settings { options: options.clone(), aliases: Arc::default(), started: Utc::now() };
    let plan = apply_library_rules(plan, &settings, effort)?;
    match effort {
        Effort::Full => apply_own_rules(plan, &settings),
        Effort::Least => Ok(plan),
    }
}

/// The plan before our own rules, to show what they change.
#[cfg(test)]
pub(crate) fn optimize_by_library(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let settings = Settings { options: crate::physical::options(), aliases: Arc::default(), started: Utc::now() };
    apply_library_rules(plan, &settings, Effort::Full)
}

fn apply_library_rules(plan: LogicalPlan, settings: &Settings, effort: Effort) -> Result<LogicalPlan, DataFusionError> {
    let plan = meet_in_their_unit(agree_on_types(rewrite_set_operations(rewrite_asof_joins(plan)?)?)?)?;
    let plan = order_windows_by_length(check_single_rows(super::membership::spell_out(plan)?)?)?;
    let plan = Analyzer::new().execute_and_check(plan, &settings.options, |_, _| {})?;
    let plan = super::membership::name_converted_lists(compare_by_length(exact_decimals(plan)?)?)?;
    crate::physical::constants::check_constants(&plan)?;
    let plan = optimizer(effort).optimize(plan, settings, |_, _| {})?;
    super::membership::check_none_left(&plan)?;
    // What subqueries and DISTINCT have become.
    let plan = compare_by_length(plan)?;
    without_true_filters(plan)
}

fn optimizer(effort: Effort) -> Optimizer {
    match effort {
        Effort::Full => {
            let mut rules = Optimizer::new().rules;
            let at = rules.iter().position(|rule| rule.name() == DecorrelatePredicateSubquery::new().name());
            rules.insert(at.unwrap_or_default(), Arc::new(MarkSubqueriesInLists));
            rules.insert(at.unwrap_or_default(), Arc::new(JoinSubqueriesByDomain));
            Optimizer::with_rules(rules)
        }
        Effort::Least => Optimizer::with_rules(vec![
            Arc::new(RewriteSetComparison::new()),
            // Some functions exist only as what they are simplified to.
            Arc::new(SimplifyExpressions::new()),
            Arc::new(ReplaceDistinctWithAggregate::new()),
            Arc::new(JoinSubqueriesByDomain),
            Arc::new(MarkSubqueriesInLists),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ScalarSubqueryToJoin::new()),
            Arc::new(DecorrelateLateralJoin::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
        ]),
    }
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
