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
use super::interval_arithmetic::IntervalPlanner;
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
    let mut functions = Functions {
        scalar: by_name(scalar.map(|f| (names(f.name(), f.aliases()), f))),
        higher_order: by_name(higher_order.map(|f| (names(f.name(), f.aliases()), f))),
        aggregate: by_name(aggregate.map(|f| (names(f.name(), f.aliases()), f))),
        window: by_name(window.map(|f| (names(f.name(), f.aliases()), f))),
        planners: vec![
            Arc::new(IntervalPlanner),
            Arc::new(CoreFunctionPlanner::default()),
            Arc::new(NestedFunctionPlanner),
            Arc::new(FieldAccessPlanner),
            Arc::new(DatetimeFunctionPlanner),
            Arc::new(UnicodeFunctionPlanner),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(WindowFunctionPlanner),
        ],
    };
    add_names(&mut functions.scalar, &SCALAR_NAMES);
    add_names(&mut functions.aggregate, &AGGREGATE_NAMES);
    add_names(&mut functions.window, &AGGREGATE_NAMES);
    functions
}

/// Names that people bring from other engines, and the functions that do the same.
const SCALAR_NAMES: [(&str, &str); 6] = [
    ("sign", "signum"),
    ("strftime", "to_char"),
    ("strptime", "to_timestamp"),
    ("typeof", "arrow_typeof"),
    ("list_value", "make_array"),
    ("regexp_matches", "regexp_like"),
];
const AGGREGATE_NAMES: [(&str, &str); 2] = [("first", "first_value"), ("last", "last_value")];

fn add_names<F>(functions: &mut HashMap<String, Arc<F>>, names: &[(&str, &str)]) {
    for (name, known) in names {
        if let Some(function) = functions.get(*known).cloned() {
            functions.entry(name.to_string()).or_insert(function);
        }
    }
}

/// All functions that a user may call: name and kind, sorted.
pub(super) fn listed() -> Vec<(String, &'static str)> {
    let functions = functions();
    let scalar = functions.scalar.keys().chain(functions.higher_order.keys()).map(|name| (name.clone(), "scalar"));
    let aggregate = functions.aggregate.keys().map(|name| (name.clone(), "aggregate"));
    let window = functions.window.keys().map(|name| (name.clone(), "window"));
    // The planner's own have names that nobody can write.
    let mut all: Vec<_> = scalar.chain(aggregate).chain(window).filter(|(name, _)| !name.contains(' ')).collect();
    all.sort();
    all
}

fn names(name: &str, aliases: &[String]) -> Vec<String> {
    std::iter::once(name).chain(aliases.iter().map(String::as_str)).map(str::to_lowercase).collect()
}

fn by_name<F>(functions: impl Iterator<Item = (Vec<String>, Arc<F>)>) -> HashMap<String, Arc<F>> {
    functions.flat_map(|(names, function)| names.into_iter().map(move |name| (name, function.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// With UPDATE_EXPECT=1 in the environment this writes the page anew.
    #[test]
    fn the_page_lists_all_functions() {
        let mut page = "# Functions\n\nAll functions of SQL by name; `SHOW FUNCTIONS` lists them too. This page is written by a test.\n".to_string();
        let kinds = [
            ("scalar", "Of one row"),
            ("aggregate", "Of the rows of a group, or of a window with OVER"),
            ("window", "Of a window, with OVER only"),
        ];
        for (kind, title) in kinds {
            let names: Vec<String> =
                listed().into_iter().filter(|(_, of)| *of == kind).map(|(name, _)| format!("`{name}`")).collect();
            write!(page, "\n## {title}\n\n").unwrap();
            for line in names.chunks(8) {
                writeln!(page, "{}", line.join(" ")).unwrap();
            }
        }
        expect_test::expect_file!["../../docs/functions.md"].assert_eq(&page);
    }
}
