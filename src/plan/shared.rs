//! Subplans that occur more than once are computed once: a CTE that is used twice, a subquery that repeats a part of the
//! query around it.
//!
//! Only what blocks is worth it (a scan can be read again), a join only when fewer rows come out than went in. Of nested
//! subplans that repeat the outermost is shared.

use std::collections::HashMap;

use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, LogicalPlan};

use crate::physical::cardinality::estimate;
use crate::physical::{SharedPlan, WorkTable};

/// The most of its input's rows that a join may leave and be worth storing.
const MOST_SHARE: f64 = 0.5;

/// Larger plans are left alone: subplans are compared with one another.
const MOST_NODES: usize = 1000;

/// Shares what occurs more than once in `plan`.
///
/// # Errors
/// None of its own.
pub(super) fn share_common_subplans(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut counts: HashMap<LogicalPlan, usize> = HashMap::new();
    let mut n_nodes = 0;
    plan.apply(|node| {
        n_nodes += 1;
        if n_nodes > MOST_NODES {
            return Ok(TreeNodeRecursion::Stop);
        }
        if blocks(node) && is_repeatable(node)? {
            *counts.entry(node.clone()).or_default() += 1;
        }
        Ok(below(node))
    })?;
    counts.retain(|subplan, n_uses| *n_uses > 1 && is_worth_storing(subplan));
    if counts.is_empty() || n_nodes > MOST_NODES {
        return Ok(plan);
    }
    let mut numbers: HashMap<LogicalPlan, usize> = HashMap::new();
    let share = |node: LogicalPlan| {
        if !counts.contains_key(&node) {
            let next = below(&node);
            return Ok(Transformed::new(node, false, next));
        }
        let next = numbers.len() + 1;
        let number = *numbers.entry(node.clone()).or_insert(next);
        Ok(Transformed::new(SharedPlan::plan(number, node), true, TreeNodeRecursion::Jump))
    };
    plan.transform_down(share).data()
}

/// A round of a recursion is lowered on its own, so nothing in it is shared with the rest.
fn below(node: &LogicalPlan) -> TreeNodeRecursion {
    match node {
        LogicalPlan::RecursiveQuery(_) => TreeNodeRecursion::Jump,
        _ => TreeNodeRecursion::Continue,
    }
}

fn blocks(node: &LogicalPlan) -> bool {
    use LogicalPlan::*;
    match node {
        Aggregate(_) | Distinct(_) | Join(_) | Window(_) | RecursiveQuery(_) => true,
        Sort(sort) => sort.fetch.is_some(),
        _ => false,
    }
}

/// Whether `plan` gives the same rows every time.
fn is_repeatable(plan: &LogicalPlan) -> Result<bool> {
    let mut repeatable = true;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            repeatable &= !Expr::is_volatile(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        let in_round = |node: &LogicalPlan| match node {
            LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<WorkTable>().is_some(),
            _ => false,
        };
        repeatable &= !in_round(node);
        let below =
            if matches!(node, LogicalPlan::RecursiveQuery(_)) { below(node) } else { TreeNodeRecursion::Continue };
        Ok(if repeatable { below } else { TreeNodeRecursion::Stop })
    })?;
    Ok(repeatable)
}

fn is_worth_storing(plan: &LogicalPlan) -> bool {
    if !matches!(plan, LogicalPlan::Join(_)) {
        return true;
    }
    let mut n_read = 0.0;
    let visited = plan.apply(|node| {
        if node.inputs().is_empty() {
            n_read += estimate(node).rows;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.is_ok() && estimate(plan).rows <= MOST_SHARE * n_read
}
