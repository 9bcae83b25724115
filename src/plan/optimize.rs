//! The rules that run on a logical plan.

use std::sync::{Arc, OnceLock};

use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{DataType, Decimal128Type};
use chrono::{DateTime, Utc};
use datafusion_common::alias::AliasGenerator;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::registry::{FunctionRegistry, MemoryFunctionRegistry};
use datafusion_expr::{Cast, Expr, LogicalPlan};
use datafusion_optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion_optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerConfig};

use super::only_value::check_single_rows;

/// Which rules run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// All rules.
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
    let plan = check_single_rows(plan)?;
    let plan = Analyzer::new().execute_and_check(plan, options, |_, _| {})?;
    let plan = exact_decimals(plan)?;
    crate::physical::constants::check_constants(&plan)?;
    let settings = Settings { options: options.clone(), aliases: Arc::default(), started: Utc::now() };
    let optimizer = match effort {
        Effort::Full => Optimizer::new(),
        Effort::Least => Optimizer::with_rules(vec![
            Arc::new(RewriteSetComparison::new()),
            // Some functions exist only as what they are simplified to.
            Arc::new(SimplifyExpressions::new()),
            Arc::new(ReplaceDistinctWithAggregate::new()),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ScalarSubqueryToJoin::new()),
            Arc::new(DecorrelateLateralJoin::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
        ]),
    };
    optimizer.optimize(plan, &settings, |_, _| {})
}

/// A number such as `99999.99` is parsed as floating point, which has too few digits for some decimals. Where the analyzer
/// makes a decimal of it, to compare it with one, the digits that were written are taken instead.
fn exact_decimals(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewrite = |expr: Expr| {
        let exact = exact_decimal(&expr);
        Ok(exact.map_or_else(|| Transformed::no(expr), |value| Transformed::yes(Expr::Literal(value, None))))
    };
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(rewrite)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

/// `CAST(1.5 AS DECIMAL)` as a decimal of the same digits, where they fit.
fn exact_decimal(expr: &Expr) -> Option<ScalarValue> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    let Expr::Literal(ScalarValue::Float64(Some(value)), _) = expr.as_ref() else { return None };
    let DataType::Decimal128(precision, scale) = *field.data_type() else { return None };
    let digits = value.to_string();
    let n_decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let fits = i8::try_from(n_decimals).is_ok_and(|n_decimals| n_decimals <= scale);
    let parsed = fits.then(|| parse_decimal::<Decimal128Type>(&digits, precision, scale).ok())?;
    Some(ScalarValue::Decimal128(Some(parsed?), precision, scale))
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
