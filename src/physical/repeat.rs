//! The plan node of [`crate::operators::repeat`].

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::lower::{Lowering, Stream, Wishes};
use crate::error::Result;
use crate::operators::repeat::Repeat;

/// Every row of `input` as often as its last column says, without that column.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct RepeatRows {
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl RepeatRows {
    /// The node over `input`.
    ///
    /// # Errors
    /// When two columns of `input` have one name.
    pub fn plan(input: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(RepeatRows::new(input)?) }))
    }

    fn new(input: LogicalPlan) -> Result<Self, DataFusionError> {
        let schema = input.schema();
        let kept = schema.iter().take(schema.fields().len().saturating_sub(1));
        let fields = kept.map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, schema.metadata().clone())?);
        Ok(RepeatRows { input, schema })
    }
}

impl PartialOrd for RepeatRows {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for RepeatRows {
    fn name(&self) -> &str {
        "Repeat"
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
        write!(f, "Repeat")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => RepeatRows::new(input),
            Err(inputs) => Err(DataFusionError::Internal(format!("Repeat of {} inputs", inputs.len()))),
        }
    }
}

impl Lowering<'_> {
    pub(super) fn lower_repeat(&mut self, repeat: &RepeatRows) -> Result<Stream> {
        let stream = self.lower_plan(&repeat.input, &Wishes::none(repeat.input.schema().fields().len()))?;
        let schema = repeat.schema.inner().clone();
        let node = self.add_step_node("Repeat", "as often as counted".to_string(), &stream);
        Ok(stream.then(node, Arc::new(Repeat::new(schema.clone())), schema))
    }
}
