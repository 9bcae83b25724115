//! The rules that run on a logical plan.

use std::sync::Arc;

use datafusion_common::DataFusionError;
use datafusion_common::config::ConfigOptions;
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerContext};

/// Checks types and rewrites the plan into a cheaper one with the same result.
///
/// # Errors
/// When types do not fit, or a constant part of the query fails (such as a division by zero).
pub fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan, DataFusionError> {
    let plan = Analyzer::new().execute_and_check(plan, options, |_, _| {})?;
    let context = OptimizerContext::new_with_config_options(options.clone());
    Optimizer::new().optimize(plan, &context, |_, _| {})
}
