//! The plan node that numbers rows in the order of its input.
//!
//! Workers wait for nothing but the counts of earlier morsels; see [`crate::operators::limit`].

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::lower::{Lowering, Stream, Wishes};
use crate::error::Result;
use crate::operators::limit::Limit;

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

impl Lowering<'_> {
    pub(super) fn lower_numbered(&mut self, numbered: &NumberRows) -> Result<Stream> {
        let n_columns = numbered.input.schema().fields().len();
        let stream = self.lower_plan(&numbered.input, &Wishes::none(n_columns).in_order())?;
        let schema = numbered.schema.inner().clone();
        let node = self.add_step_node("NumberRows", numbered.name.clone(), &stream);
        let numbering = Limit::numbering(schema.clone(), stream.ordered);
        Ok(stream.then(node, Arc::new(numbering), schema))
    }
}
