//! All functions by name and alias. Built once a process.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_functions_nested::planner::{FieldAccessPlanner, NestedFunctionPlanner};
use datafusion_functions_window::planner::WindowFunctionPlanner;

use super::date_functions::date_functions;
use super::ordered_functions::ordered_functions;
use super::sample_key::sample_key;
use crate::physical::bounded;

/// Functions by lower-case name, and the rules that turn syntax (`EXTRACT`, `[1, 2]`, `a.b`) into calls.
pub(crate) struct Functions {
    pub(crate) scalar: HashMap<String, Arc<ScalarUDF>>,
    pub(crate) higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    pub(crate) aggregate: HashMap<String, Arc<AggregateUDF>>,
    pub(crate) window: HashMap<String, Arc<WindowUDF>>,
    pub(crate) planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Functions {
    /// All names that may stand in front of parentheses.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let scalar = self.scalar.keys().chain(self.higher_order.keys());
        scalar.chain(self.aggregate.keys()).chain(self.window.keys()).map(String::as_str)
    }
}

/// The functions of the library, and those of ours that it does not have.
pub(crate) fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(collect)
}

fn collect() -> Functions {
    let scalar = datafusion_functions::all_default_functions().into_iter();
    let scalar = scalar
        .chain([crate::plan::asof_condition()])
        .chain(datafusion_functions_nested::all_default_nested_functions())
        .map(bounded)
        .chain(date_functions())
        .chain([sample_key()]);
    let higher_order = datafusion_functions_nested::all_default_higher_order_functions().into_iter();
    let aggregate = datafusion_functions_aggregate::all_default_aggregate_functions().into_iter();
    let aggregate = aggregate.chain(ordered_functions().map(Arc::new));
    let window = datafusion_functions_window::all_default_window_functions().into_iter();
    Functions {
        scalar: by_name(scalar.map(|f| (names(f.name(), f.aliases()), f))),
        higher_order: by_name(higher_order.map(|f| (names(f.name(), f.aliases()), f))),
        aggregate: by_name(aggregate.map(|f| (names(f.name(), f.aliases()), f))),
        window: by_name(window.map(|f| (names(f.name(), f.aliases()), f))),
        planners: vec![
            Arc::new(CoreFunctionPlanner::default()),
            Arc::new(NestedFunctionPlanner),
            Arc::new(FieldAccessPlanner),
            Arc::new(DatetimeFunctionPlanner),
            Arc::new(UnicodeFunctionPlanner),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(WindowFunctionPlanner),
        ],
    }
}

fn names(name: &str, aliases: &[String]) -> Vec<String> {
    std::iter::once(name).chain(aliases.iter().map(String::as_str)).map(str::to_lowercase).collect()
}

fn by_name<F>(functions: impl Iterator<Item = (Vec<String>, Arc<F>)>) -> HashMap<String, Arc<F>> {
    functions.flat_map(|(names, function)| names.into_iter().map(move |name| (name, function.clone()))).collect()
}
