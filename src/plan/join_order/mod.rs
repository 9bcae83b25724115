//! In which order inner joins run, and which side they build from.
//!
//! Joins, the conditions between them, and the semi and anti joins above them are taken apart into a graph ([`graph`]);
//! the cheapest tree over it is searched ([`search`]) and put together again. Outer joins, aggregates and everything
//! else are leaves, which are ordered inside on their own. By convention the right input of a join is the side that is
//! estimated to be smaller, from which the hash table is built.
//!
//! A semi or anti join keeps or drops rows of its left input alone, so it may move below the inner joins whose columns
//! it does not need: the search treats it as one more relation that can only be the right input.

mod graph;
mod search;

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DataFusionError, JoinConstraint, NullEquality, Result};
use datafusion_expr::utils::conjunction;
use datafusion_expr::{Expr, Filter, Join, JoinType, LogicalPlan, Projection};

use graph::{Graph, Mask, Role};
use search::{Tree, best_tree};

/// Orders all groups of joins in `plan`. The schema stays as it is.
///
/// # Errors
/// Only when the plan contradicts itself.
pub(super) fn order_joins(plan: LogicalPlan) -> Result<LogicalPlan> {
    if let Some(graph) = Graph::of(&plan)? {
        return order_group(&plan, graph);
    }
    plan.map_children(|child| order_joins(child).map(Transformed::yes)).map(|ordered| ordered.data)
}

fn order_group(plan: &LogicalPlan, graph: Graph) -> Result<LogicalPlan> {
    let tree = best_tree(&graph);
    let joined = Assembly { graph: &graph }.assemble(&tree)?;
    let columns: Vec<Column> = plan.schema().columns();
    if joined.schema().columns() == columns {
        return Ok(joined);
    }
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?))
}

/// Turns a tree over the relations of a graph into a plan.
struct Assembly<'a> {
    graph: &'a Graph,
}

impl Assembly<'_> {
    fn assemble(&self, tree: &Tree) -> Result<LogicalPlan> {
        match tree {
            Tree::Leaf(idx) => Ok(self.graph.relations[*idx].plan.clone()),
            Tree::Join(left, right) => match right.as_ref() {
                Tree::Leaf(idx) if self.graph.relations[*idx].is_reducer() => self.assemble_reducer(left, *idx),
                _ => self.assemble_inner(left, right),
            },
        }
    }

    /// The semi or anti join that relation `idx` stands for, with `left` as its left input.
    fn assemble_reducer(&self, left: &Tree, idx: usize) -> Result<LogicalPlan> {
        let relation = &self.graph.relations[idx];
        let Role::Reduces { join, .. } = &relation.role else {
            return Err(DataFusionError::Internal("a joined relation in the place of a semi join".to_string()));
        };
        let reduced = Join::try_new(
            Arc::new(self.assemble(left)?),
            Arc::new(relation.plan.clone()),
            join.on.clone(),
            join.filter.clone(),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        );
        self.filtered(LogicalPlan::Join(reduced?), left.mask(), left.mask() | 1 << idx)
    }

    fn assemble_inner(&self, left: &Tree, right: &Tree) -> Result<LogicalPlan> {
        let (left_mask, right_mask) = (left.mask(), right.mask());
        let (on, filters) = self.graph.conditions(left_mask, right_mask);
        let join = Join::try_new(
            Arc::new(self.assemble(left)?),
            Arc::new(self.assemble(right)?),
            on,
            conjunction(filters),
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        );
        Ok(LogicalPlan::Join(join?))
    }

    /// Conditions over several relations that hold for `after` and did not for `before`: none as a rule.
    fn filtered(&self, plan: LogicalPlan, before: Mask, after: Mask) -> Result<LogicalPlan> {
        let (_, filters) = self.graph.conditions(before, after & !before);
        match conjunction(filters) {
            Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?)),
            None => Ok(plan),
        }
    }
}
