//! The settings of the planner crates, for planning and for functions while they run.

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;

use super::huge::Room;
use crate::memory::Memory;

/// Scalar subqueries become joins, since joins can spill; string columns are not views, since a view keeps the whole
/// buffer alive that it points into.
pub fn options() -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::default();
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.collect_spans = true;
    Arc::new(options)
}

/// The same for functions while they run: they may ask how much memory there is.
pub(super) fn running_options(memory: &Memory) -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::clone(&options());
    options.extensions.insert(Room(memory.clone()));
    Arc::new(options)
}
