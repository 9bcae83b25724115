//! What the planner may ask for: tables by path, functions by name, options.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::{Query, Statement};

use super::copies::{check_bytes, copied_bytes};
use super::functions::{Functions, functions};
use super::registry::{Named, Registry, View};
use crate::error::Error;
use crate::io::OpenTable;
use crate::memory::Memory;
use crate::physical::{FileTable, WorkRole, WorkTable};

/// The tables of one query, opened once each, and all functions.
pub(super) struct Catalog<'a> {
    opener: &'a dyn OpenTable,
    memory: &'a Memory,
    options: Arc<ConfigOptions>,
    functions: &'static Functions,
    opened: Mutex<HashMap<String, Arc<FileTable>>>,
    /// Names and paths that the text itself reads, each once.
    asked: Mutex<Vec<String>>,
    registry: &'a Registry,
    /// Views inside of views that are being planned.
    depth: AtomicUsize,
    /// The view that is being created, which must not read itself.
    created: OnceLock<String>,
    /// Bytes for the copies of views.
    copied: AtomicU64,
}

/// Views inside of views; more than this go round in a circle.
const DEEPEST_VIEW: usize = 32;

impl<'a> Catalog<'a> {
    pub(super) fn new(
        opener: &'a dyn OpenTable,
        memory: &'a Memory,
        options: Arc<ConfigOptions>,
        registry: &'a Registry,
    ) -> Self {
        let (opened, depth, created) = (Mutex::default(), AtomicUsize::new(0), OnceLock::new());
        let (functions, asked) = (functions(), Mutex::default());
        // What TIMESTAMPTZ is; without a zone it would be a plain timestamp.
        let mut options = options;
        Arc::make_mut(&mut options).execution.time_zone = Some("UTC".into());
        Catalog {
            opener,
            memory,
            options,
            functions,
            opened,
            asked,
            registry,
            depth,
            created,
            copied: AtomicU64::new(0),
        }
    }

    /// What planning may take, too.
    pub(super) fn memory(&self) -> &Memory {
        self.memory
    }

    /// Names and paths that the planned texts read.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_asked(&self, path: &str) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.iter().any(|known| known == path) {
            asked.push(path.to_string());
        }
    }

    /// The plan of `query` as it is written.
    pub(super) fn plan_query(&self, query: &Query) -> Result<LogicalPlan, DataFusionError> {
        let planner = SqlToRel::new_with_options(self, ParserOptions::from(&self.options.sql_parser));
        planner.sql_statement_to_plan(Statement::Query(Box::new(query.clone())))
    }

    /// The plan of a view that is to be called `name`.
    pub(super) fn plan_new_view(&self, name: &str, view: &View) -> Result<LogicalPlan, DataFusionError> {
        self.created.get_or_init(|| name.to_string());
        self.plan_view(view)
    }

    /// Adds a view to those that this plan has copies of.
    fn count_view(&self, query: &Query) -> Result<(), DataFusionError> {
        let own = copied_bytes(query);
        let all = self.copied.fetch_add(own, Ordering::Relaxed).saturating_add(own);
        check_bytes(all, self.memory).map_err(external)
    }

    /// The plan of a view, under the names that it gives its columns.
    pub(super) fn plan_view(&self, view: &View) -> Result<LogicalPlan, DataFusionError> {
        let depth = self.depth.fetch_add(1, Ordering::Relaxed);
        if depth >= DEEPEST_VIEW {
            return Err(external(Error::usage("views that are made of one another in a circle")));
        }
        let plan = self.count_view(&view.query).and_then(|()| self.plan_query(&view.query));
        self.depth.fetch_sub(1, Ordering::Relaxed);
        let plan = super::names::shorten_output_names(plan?, &view.query)?;
        let columns = plan.schema().columns();
        if view.columns.is_empty() {
            return Ok(plan);
        }
        if view.columns.len() > columns.len() {
            let (n_names, n_columns) = (view.columns.len(), columns.len());
            return Err(external(Error::usage(format!("{n_names} names for {n_columns} columns"))));
        }
        let named = columns.into_iter().enumerate().map(|(idx, column)| match view.columns.get(idx) {
            Some(name) => Expr::Column(column).alias(name),
            None => Expr::Column(column),
        });
        let named: Vec<Expr> = named.collect();
        LogicalPlanBuilder::from(plan).project(named)?.build()
    }
}

impl ContextProvider for Catalog<'_> {
    /// `FROM data.parquet` without quotes arrives as a schema and a table; it means the path all the same.
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let path = name.to_string();
        if self.created.get() == Some(&path) {
            let error = Error::usage(format!("the view {path} would read itself"));
            return Err(external(error.with_hint("give it another name")));
        }
        self.note_asked(&path);
        match self.registry.get(&path) {
            Some(Named::Table(table)) => return Ok(table),
            Some(Named::Planned(plan)) => return Ok(Arc::new(ViewTable::new(LogicalPlan::clone(&plan)))),
            Some(Named::View(view)) => return Ok(Arc::new(ViewTable::new(self.plan_view(&view)?))),
            None => {}
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = opened.get(&path) {
            return Ok(table.clone());
        }
        let table = self.opener.open(&path, self.memory).map_err(external)?;
        let table = Arc::new(FileTable::new(table));
        opened.insert(path, table.clone());
        Ok(table)
    }

    /// `read_csv('path', 'delimiter=;')`: as `clauses` writes what the user wrote with names.
    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let (path, options) = super::read_csv::arguments(name, &args).map_err(external)?;
        self.note_asked(&path);
        let key = format!("{name}({path}, {options:?})");
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = opened.get(&key) {
            return Ok(table.clone());
        }
        let table = self.opener.open_csv(&path, &options, self.memory).map_err(external)?;
        let table = Arc::new(FileTable::new(table));
        opened.insert(key, table.clone());
        Ok(table)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>, DataFusionError> {
        Ok(WorkTable::new(name, schema, WorkRole::LastRound))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.functions.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.functions.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.functions.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.window.keys().cloned().collect()
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A view as the planner sees it: it puts the plan in place of the name.
struct ViewTable {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl ViewTable {
    fn new(plan: LogicalPlan) -> Self {
        ViewTable { schema: plan.schema().inner().clone(), plan }
    }
}

impl TableSource for ViewTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
