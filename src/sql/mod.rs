//! SQL text to an optimized logical plan.
//!
//! Tables are named by path: `FROM 'data/*.parquet'`, `FROM "sales.csv"`. Unquoted names are lower-cased, as in
//! PostgreSQL; a column with upper-case letters is written in double quotes.
//!
//! Memory: a plan takes a few MiB, whatever the size of the files. What a text says and what its plan is made of are counted
//! before the planner multiplies them, and too much for the budget is an error.
//! Planning runs on a thread of its own with a deep stack, since a long chain of conditions is a deep tree.

mod asof;
mod catalog;
mod clauses;
mod copies;
mod copy;
mod date_functions;
mod dialect;
mod distinct_order;
mod failure;
mod field_access;
mod functions;
mod group_keys;
mod headers;
mod interval_arithmetic;
mod names;
mod ordered_functions;
mod power;
mod read_csv;
mod registry;
mod sample_key;
pub(crate) mod split;
mod statements;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion_sql::sqlparser::ast::Query;

use crate::error::{Error, Result};
use crate::io::partitioned::PartitionedOutput;
use crate::io::type_names::type_name;
use crate::io::{OpenTable, OutputFormat};
use crate::memory::Memory;
use crate::plan;

use catalog::Catalog;
pub(crate) use functions::functions;
pub use registry::Registry;
use registry::View;
use statements::Request;
pub use statements::{IfExists, MOST_TEXT_BYTES, ParsedStatement, Script, nothing_asked, parse_one};

/// Stack of a thread that plans or drops plans: enough for thousands of conditions in a chain. Only touched pages become resident.
pub(crate) const STACK_BYTES: usize = 256 << 20;

/// A query that was understood, and what to do with it.
#[derive(Debug, Clone)]
pub struct PlannedQuery {
    /// The optimized plan; ready to be lowered.
    pub plan: LogicalPlan,
    /// Whether the user asked for the plan instead of the rows.
    pub explain: Option<Explain>,
    /// Where the rows go.
    pub target: Target,
}

impl PlannedQuery {
    /// The names of the columns of its result.
    pub fn column_names(&self) -> Vec<String> {
        self.plan.schema().fields().iter().map(|field| field.name().clone()).collect()
    }
}

/// The names of all functions.
pub fn function_names() -> Vec<String> {
    functions::functions().names().map(str::to_string).collect()
}

/// `EXPLAIN` in front of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explain {
    /// `EXPLAIN ANALYZE`: run the query and show figures.
    pub analyze: bool,
}

/// Where the rows of a query go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To whoever runs it.
    Result,
    /// Into a file: COPY .. TO.
    File {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: OutputFormat,
    },
    /// Into a folder of files: COPY .. TO with PARTITION_BY.
    Partitioned(PartitionedOutput),
    /// Into a table of the session: CREATE TEMP TABLE.
    Table {
        /// The table's name.
        name: String,
        /// What happens to an older one.
        if_exists: IfExists,
    },
}

/// A statement that was understood.
pub enum Planned {
    /// A query that is to be run.
    Query(Box<PlannedQuery>),
    /// A statement without rows, which has been carried out.
    Done,
}

/// Plans the only query of `text`. Tables are opened through `opener`.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] with a location where the text is wrong; whatever `opener` says for a table.
pub fn plan(text: &str, opener: &dyn OpenTable, memory: &Memory) -> Result<PlannedQuery> {
    match plan_statement(&parse_one(text, memory)?, text, opener, &Registry::default(), memory)? {
        Planned::Query(query) => Ok(*query),
        Planned::Done => Err(Error::usage("this statement gives no rows")),
    }
}

/// Plans `statement`, which is a part of `text`, or carries it out when it only concerns `registry`.
///
/// # Errors
/// As [`plan()`].
pub fn plan_statement(
    statement: &ParsedStatement,
    text: &str,
    opener: &dyn OpenTable,
    registry: &Registry,
    memory: &Memory,
) -> Result<Planned> {
    let options = options_over(registry);
    let catalog = Catalog::new(opener, memory, options.clone(), registry);
    let planner = Planner { catalog: &catalog, registry, options, text };
    on_deep_stack(|| planner.plan(statement))
}

/// What a name stands for after [`define`].
#[derive(Debug, Clone)]
pub struct Defined {
    /// The columns.
    pub schema: SchemaRef,
    /// The names and paths that its text reads from.
    pub reads: Vec<String>,
    /// Whether it says in which order its rows come.
    pub is_ordered: bool,
}

/// Plans the query `text` once and registers it under `name`, in the place of what had that name before.
///
/// # Errors
/// As [`plan()`], types that do not fit included; the name then stands for what it did before.
pub fn define(name: &str, text: &str, opener: &dyn OpenTable, registry: &Registry, memory: &Memory) -> Result<Defined> {
    let statement = parse_one(text, memory)?;
    let Request::Query { query, explain: None, target: Target::Result } = &statement.request else {
        return Err(Error::usage("this is not a query").with_hint("a step is a SELECT or WITH .. SELECT"));
    };
    registry.expect_steps();
    let options = options_over(registry);
    let catalog = Catalog::new(opener, memory, options.clone(), registry);
    let planner = Planner { catalog: &catalog, registry, options, text };
    on_deep_stack(|| {
        let logical = planner.plan_query(query)?;
        let logical = planner.checked(names::shorten_output_names(logical, query))?;
        // Only here can a type that does not fit be told with its place in this text.
        planner.checked(plan::optimize(logical.clone(), &planner.options, registry.effort()))?;
        let reads = catalog.asked();
        let schema = logical.schema().inner().clone();
        registry.add_planned(name.to_string(), logical);
        Ok(Defined { schema, reads, is_ordered: query.order_by.is_some() })
    })
}

/// The order of a step's rows is a part of what it gives, whereas SQL forgets the order of a subquery.
fn options_over(registry: &Registry) -> Arc<ConfigOptions> {
    let mut options = plan::options();
    if registry.has_steps() {
        Arc::make_mut(&mut options).sql_parser.enable_subquery_sort_elimination = false;
    }
    options
}

/// Texts and plans are as deep as the longest chain of conditions.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("planner".into()).stack_size(STACK_BYTES);
        let planner = builder.spawn_scoped(scope, work);
        let planner = planner.map_err(|error| Error::query(format!("cannot start a thread: {error}")))?;
        planner.join().unwrap_or_else(|_| Err(Error::query("the planner failed on this query; this is a bug")))
    })
}

/// Optimizes a plan that was not written as text.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] where types do not fit.
pub(crate) fn plan_frame(plan: LogicalPlan, registry: &Registry) -> Result<PlannedQuery> {
    let planned = on_deep_stack(|| {
        plan::optimize(plan, &plan::options(), registry.effort()).map_err(|error| failure::usage(error, ""))
    });
    Ok(PlannedQuery { plan: planned?, explain: None, target: Target::Result })
}

/// What the planner says of a plan that was not written as text, in our words.
pub(crate) fn plan_failure(error: DataFusionError) -> Error {
    failure::usage(error, "")
}

struct Planner<'a> {
    catalog: &'a Catalog<'a>,
    registry: &'a Registry,
    options: Arc<ConfigOptions>,
    text: &'a str,
}

impl Planner<'_> {
    fn plan(&self, statement: &ParsedStatement) -> Result<Planned> {
        let (logical, explain, target) = match &statement.request {
            Request::CreateView { name, columns, query, if_exists } => {
                if self.registry.may_create(name, true, *if_exists)? {
                    let view = View { query: query.clone(), columns: columns.clone() };
                    self.checked(self.catalog.plan_new_view(name, &view))?;
                    self.registry.add_view(name.clone(), view);
                }
                return Ok(Planned::Done);
            }
            Request::Drop { names, views, if_exists } => {
                self.registry.drop_named(names, *views, *if_exists)?;
                return Ok(Planned::Done);
            }
            Request::Query { target: Target::Table { name, if_exists }, explain: None, .. }
                if !self.registry.may_create(name, false, *if_exists)? =>
            {
                return Ok(Planned::Done);
            }
            Request::Query { query, explain, target } => {
                let logical = self.plan_query(query)?;
                (self.checked(names::shorten_output_names(logical, query))?, *explain, target.clone())
            }
            Request::Describe(query) => {
                let described = self.plan_query(query)?;
                let described = self.checked(names::shorten_output_names(described, query))?;
                (self.checked(describe(&described))?, None, Target::Result)
            }
            Request::ShowFunctions => {
                let row = |(name, kind): (String, &str)| vec![lit(name), lit(kind)];
                let rows = functions::listed().into_iter().map(row).collect();
                (self.checked(table_of(rows, &["function", "kind"]))?, None, Target::Result)
            }
            Request::ShowTables => (self.checked(list(self.registry))?, None, Target::Result),
        };
        let plan = self.checked(plan::optimize(logical, &self.options, self.registry.effort()))?;
        Ok(Planned::Query(Box::new(PlannedQuery { plan, explain, target })))
    }

    /// The plan of `query` as it is written, if there is memory for what optimizing makes of it.
    fn plan_query(&self, query: &Query) -> Result<LogicalPlan> {
        copies::check_copies(query, self.catalog.memory())?;
        let logical = self.checked(self.catalog.plan_query(query))?;
        plan::check_size(&logical, self.catalog.memory())?;
        Ok(logical)
    }

    fn checked<T>(&self, planned: Result<T, DataFusionError>) -> Result<T> {
        planned.map_err(|error| failure::usage(error, self.text))
    }
}

/// The columns of `plan` as rows.
fn describe(plan: &LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let fields = plan.schema().fields().iter();
    let rows = fields.map(|field| {
        let nullable = if field.is_nullable() { "YES" } else { "NO" };
        vec![lit(field.name().clone()), lit(type_name(field.data_type())), lit(nullable)]
    });
    table_of(rows.collect(), &["column_name", "data_type", "nullable"])
}

/// Views and temporary tables as rows.
fn list(registry: &Registry) -> Result<LogicalPlan, DataFusionError> {
    let rows = registry.list().into_iter();
    let rows = rows.map(|(name, kind, n_rows)| {
        let n_rows = ScalarValue::Int64(n_rows.and_then(|n_rows| i64::try_from(n_rows).ok()));
        vec![lit(name), lit(kind), lit(n_rows)]
    });
    table_of(rows.collect(), &["table_name", "kind", "n_rows"])
}

/// `rows` under `names`; there may be none.
fn table_of(mut rows: Vec<Vec<Expr>>, names: &[&str]) -> Result<LogicalPlan, DataFusionError> {
    let is_empty = rows.is_empty();
    if is_empty {
        rows.push(names.iter().map(|_| lit("")).collect());
    }
    let values = LogicalPlanBuilder::values(rows)?;
    let columns = values.schema().columns().into_iter().zip(names);
    let named: Vec<Expr> = columns.map(|(column, name)| Expr::Column(column).alias(*name)).collect();
    let values = values.project(named)?;
    if is_empty { values.filter(lit(false))?.build() } else { values.build() }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
