//! How large a plan may be, so that optimizing it stays within the budget.
//!
//! Memory: none. The surprising part: a plan is small as long as its parts are shared. A WITH that is used twice is one plan
//! with two owners until the first rule goes over it, so sixteen of them on top of one another become 65,536. The library
//! makes some of the copies while it turns the text into a plan, before this is asked; `sql::copies` has counted those.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::LogicalPlan;

use crate::error::{Error, Result};
use crate::memory::Memory;

/// What optimizing takes for a node and for a part of an expression: estimates, made from the peaks of a few large plans.
const BYTES_PER_NODE: u64 = 4096;
const BYTES_PER_EXPR: u64 = 768;

/// Counts the parts of `plan`, of shared ones once for each owner, and stops where they are too many.
///
/// # Errors
/// [`crate::ErrorKind::Budget`].
pub fn check_size(plan: &LogicalPlan, memory: &Memory) -> Result<()> {
    let most_bytes = memory.governed_bytes();
    let (mut bytes, mut n_nodes) = (0, 0);
    let next = |bytes: u64| if bytes > most_bytes { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue };
    let visited = plan.apply_with_subqueries(|node| {
        bytes += BYTES_PER_NODE;
        n_nodes += 1;
        node.apply_expressions(|expr| {
            expr.apply(|_| {
                bytes += BYTES_PER_EXPR;
                Ok(next(bytes))
            })
        })?;
        Ok(next(bytes))
    });
    visited.map_err(|error| Error::query(error.to_string()))?;
    if bytes <= most_bytes {
        return Ok(());
    }
    let error = Error::budget(format!("planning this takes more than {} MiB", most_bytes >> 20));
    Err(match n_nodes * BYTES_PER_NODE > most_bytes / 2 {
        true => error.with_hint(
            "a WITH or view is put in wherever it is named, so using each twice doubles the query every time: \
             CREATE TEMP TABLE .. AS keeps the rows of one",
        ),
        false => {
            error.with_hint("put long lists of values into a file and read it as a table, or raise --memory-budget")
        }
    })
}
