//! A table of files as the planner sees it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::DataFusionError;
use datafusion_common::tree_node::TreeNode;
use datafusion_expr::{Expr, TableProviderFilterPushDown, TableSource};

use crate::io::{Table, TableStatistics};

/// A [`Table`] that the planner can resolve columns of.
pub struct FileTable {
    table: Arc<dyn Table>,
    schema: SchemaRef,
    statistics: TableStatistics,
}

impl FileTable {
    /// Asks the table for its schema and statistics once.
    pub fn new(table: Arc<dyn Table>) -> Self {
        FileTable { schema: table.schema(), statistics: table.statistics(), table }
    }

    /// The table itself.
    pub fn table(&self) -> &Arc<dyn Table> {
        &self.table
    }

    /// What is known of the table before it is read.
    pub fn statistics(&self) -> &TableStatistics {
        &self.statistics
    }
}

impl TableSource for FileTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// A scan applies every condition exactly that needs nothing but its own columns.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let support = |filter: &&Expr| match is_row_filter(filter)? {
            true => Ok(TableProviderFilterPushDown::Exact),
            false => Ok(TableProviderFilterPushDown::Unsupported),
        };
        filters.iter().map(support).collect()
    }
}

fn is_row_filter(filter: &Expr) -> Result<bool, DataFusionError> {
    let foreign = filter.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Placeholder(_)
                | Expr::Unnest(_)
        ))
    })?;
    Ok(!foreign && !filter.is_volatile())
}
