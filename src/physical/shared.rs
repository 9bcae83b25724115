//! A subplan that is used more than once and computed once: the first use stores its rows on evictable pages.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::lower::{Lowering, Stream, Wishes};
use crate::error::Result;
use crate::exec::{Node, Step};
use crate::operators::stored::StoredRows;

/// One use of a shared subplan.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SharedPlan {
    /// The same for all uses.
    number: usize,
    input: LogicalPlan,
}

/// The rows of a shared subplan that has been lowered.
pub(super) struct SharedRows {
    rows: Arc<StoredRows>,
    ordered: bool,
}

impl SharedPlan {
    /// A use of the subplan `number`, which is `input`.
    pub fn plan(number: usize, input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(SharedPlan { number, input }) })
    }

    /// The subplan.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }
}

impl PartialOrd for SharedPlan {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.number.partial_cmp(&other.number)
    }
}

impl UserDefinedLogicalNodeCore for SharedPlan {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Shared: {}", self.number)
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        match <[LogicalPlan; 1]>::try_from(inputs) {
            Ok([input]) => Ok(SharedPlan { number: self.number, input }),
            Err(inputs) => Err(DataFusionError::Internal(format!("Shared of {} inputs", inputs.len()))),
        }
    }
}

impl Lowering<'_> {
    pub(super) fn lower_shared(&mut self, shared: &SharedPlan) -> Result<Stream> {
        let schema = shared.input.schema().inner().clone();
        if !self.shared.contains_key(&shared.number) {
            let stream = self.lower_plan(&shared.input, &Wishes::none(schema.fields().len()))?;
            let ordered = stream.ordered;
            let rows = StoredRows::new("Shared", schema.clone(), ordered, self.cx)?;
            let detail = format!("{}, computed once", shared.number);
            let inputs = vec![stream.top()];
            let node = self.add_node(Node { name: "Shared", detail, inputs, report: Some(rows.clone()) });
            self.close(stream, node, rows.sink());
            self.shared.insert(shared.number, SharedRows { rows: rows.clone(), ordered });
            let source = rows.source((0..schema.fields().len()).collect(), vec![]);
            return Ok(Stream::new(Step { node, role: source }, schema, ordered));
        }
        let SharedRows { rows, ordered } = &self.shared[&shared.number];
        let (rows, ordered) = (rows.clone(), *ordered);
        let detail = format!("{}, computed elsewhere in this plan", shared.number);
        let node = self.add_node(Node { name: "Shared", detail, inputs: vec![], report: None });
        let source = rows.source((0..schema.fields().len()).collect(), vec![]);
        Ok(Stream::new(Step { node, role: source }, schema, ordered))
    }
}
