//! What the planner may ask for: tables by path, functions by name, options.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};

use super::functions::{Functions, functions};
use crate::io::OpenTable;
use crate::memory::Memory;
use crate::physical::FileTable;

/// The tables of one query, opened once each, and all functions.
pub(super) struct Catalog<'a> {
    opener: &'a dyn OpenTable,
    memory: &'a Memory,
    options: Arc<ConfigOptions>,
    functions: &'static Functions,
    opened: Mutex<HashMap<String, Arc<FileTable>>>,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(opener: &'a dyn OpenTable, memory: &'a Memory, options: Arc<ConfigOptions>) -> Self {
        Catalog { opener, memory, options, functions: functions(), opened: Mutex::default() }
    }
}

impl ContextProvider for Catalog<'_> {
    /// `FROM data.parquet` without quotes arrives as a schema and a table; it means the path all the same.
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let path = name.to_string();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = opened.get(&path) {
            return Ok(table.clone());
        }
        let table = self.opener.open(&path, self.memory).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let table = Arc::new(FileTable::new(table));
        opened.insert(path, table.clone());
        Ok(table)
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
