//! What a query will hold at once and give, guessed before it runs.
//!
//! The sum over all blocking operators, as if none let go before the next begins: rather too much than too little. As good
//! as the guesses of rows that it is made of, see [`crate::physical::cardinality`].

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Distinct, JoinType, LogicalPlan};

use crate::physical::SharedPlan;
use crate::physical::cardinality::{estimate, row_bytes};

/// A guess.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Footprint {
    /// Rows of the result; `None` where nothing is known of an input.
    pub rows: Option<f64>,
    /// Bytes of rows that operators hold, in memory or spilled.
    pub held_bytes: f64,
}

/// Guesses for `plan`.
pub fn footprint(plan: &LogicalPlan) -> Footprint {
    let mut held_bytes = 0.0;
    // The visitor does not fail.
    let _ = plan.apply(|node| {
        held_bytes += held_by(node);
        Ok(TreeNodeRecursion::Continue)
    });
    Footprint { rows: super::estimate_rows(plan), held_bytes }
}

/// What `node` itself holds before it gives its first row.
fn held_by(node: &LogicalPlan) -> f64 {
    let all_of = |plan: &LogicalPlan| estimate(plan).rows * row_bytes(plan);
    match node {
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(Distinct::All(_)) => all_of(node),
        LogicalPlan::Sort(sort) => match sort.fetch {
            Some(fetch) => estimate(&sort.input).rows.min(fetch as f64) * row_bytes(&sort.input),
            None => all_of(&sort.input),
        },
        LogicalPlan::Window(window) => all_of(&window.input),
        LogicalPlan::Join(join) => {
            let (left, right) = (all_of(&join.left), all_of(&join.right));
            if join.join_type == JoinType::Full { left + right } else { left.min(right) }
        }
        LogicalPlan::Extension(extension) => {
            let shared = extension.node.as_any().downcast_ref::<SharedPlan>();
            shared.map_or(0.0, |shared| all_of(shared.input()))
        }
        _ => 0.0,
    }
}
