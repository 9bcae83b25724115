//! The plan node that numbers rows in the order of its input.
//!
//! Workers wait for nothing but the counts of earlier morsels; see [`crate::operators::limit`].

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{Column, DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, Extension, LogicalPlan, Projection, UserDefinedLogicalNodeCore, Window, lit};

use super::failure::query_failure;
use super::lower::{Lowering, Stream, Wishes};
use crate::error::Result;
use crate::operators::limit::Limit;

/// What the number of a row is called before it is that of a window; no column of a user begins like this.
const NUMBER: &str = "__brimful_number";

/// The rows of `input` with their number from 0 as one more column, the last.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct NumberRows {
    input: LogicalPlan,
    name: String,
    schema: DFSchemaRef,
}

impl NumberRows {
    /// The node over `input`; the numbers are called `name`.
    ///
    /// # Errors
    /// When `input` has a column of that name.
    pub fn plan(input: LogicalPlan, name: &str) -> Result<LogicalPlan, DataFusionError> {
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(NumberRows::new(input, name)?) }))
    }

    fn new(input: LogicalPlan, name: &str) -> Result<Self, DataFusionError> {
        let schema = input.schema();
        let mut fields: Vec<_> = schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        fields.push((None, Arc::new(Field::new(name, DataType::UInt64, false))));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?);
        Ok(NumberRows { input, name: name.to_string(), schema })
    }
}

impl PartialOrd for NumberRows {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for NumberRows {
    fn name(&self) -> &str {
        "NumberRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "NumberRows: {}", self.name)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => NumberRows::new(input, &self.name),
            Err(inputs) => Err(DataFusionError::Internal(format!("NumberRows of {} inputs", inputs.len()))),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let n_columns = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|&column| column < n_columns).collect()])
    }
}

/// `row_number() OVER ()` as numbers of rows in the order of the input, which no sort has to find; `None` for other windows.
pub(super) fn of_window(window: &Window) -> Result<Option<LogicalPlan>> {
    if !window.window_expr.iter().all(is_number_of_row) {
        return Ok(None);
    }
    let numbered = NumberRows::plan(window.input.as_ref().clone(), NUMBER).map_err(query_failure)?;
    let n_columns = window.input.schema().fields().len();
    let mut exprs: Vec<Expr> = window.input.schema().columns().into_iter().map(Expr::Column).collect();
    let number = || Expr::Column(Column::new_unqualified(NUMBER)) + lit(1u64);
    exprs.extend(window.schema.fields()[n_columns..].iter().map(|field| number().alias(field.name())));
    let projection = Projection::try_new_with_schema(exprs, Arc::new(numbered), window.schema.clone());
    projection.map(LogicalPlan::Projection).map(Some).map_err(query_failure)
}

fn is_number_of_row(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_number_of_row(&alias.expr),
        Expr::WindowFunction(call) => {
            let params = &call.params;
            let plain = params.partition_by.is_empty() && params.order_by.is_empty() && params.filter.is_none();
            call.fun.name() == "row_number" && plain
        }
        _ => false,
    }
}

impl Lowering<'_> {
    pub(super) fn lower_numbered(&mut self, numbered: &NumberRows) -> Result<Stream> {
        let n_columns = numbered.input.schema().fields().len();
        let stream = self.lower_plan(&numbered.input, &Wishes::none(n_columns).in_order())?;
        let schema = numbered.schema.inner().clone();
        let node = self.add_step_node("NumberRows", "in the order of the input".to_string(), &stream);
        let numbering = Limit::numbering(schema.clone(), stream.ordered);
        Ok(stream.then(node, Arc::new(numbering), schema))
    }
}
