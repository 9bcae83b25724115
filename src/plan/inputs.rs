//! Which files a plan reads.
//!
//! Memory: the names of the files of one table at a time.

use std::path::PathBuf;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::LogicalPlan;

use crate::error::{Error, Result};
use crate::io::files::find_files;
use crate::physical::FileTable;

/// Calls `look` with the files of each table that `plan` reads, found again by what the user called them.
///
/// # Errors
/// Those of `look`, and those of finding files.
pub fn for_each_input(plan: &LogicalPlan, look: &dyn Fn(&[PathBuf]) -> Result<()>) -> Result<()> {
    let mut failed = None;
    let visited = plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        let Some(table) = scan.source.downcast_ref::<FileTable>() else { return Ok(TreeNodeRecursion::Continue) };
        let mut named = table.table().named().iter();
        match named.try_for_each(|path| look(&find_files(path)?)) {
            Ok(()) => Ok(TreeNodeRecursion::Continue),
            Err(error) => {
                failed = Some(error);
                Ok(TreeNodeRecursion::Stop)
            }
        }
    });
    visited.map_err(|error| Error::query(error.to_string()))?;
    failed.map_or(Ok(()), Err)
}
