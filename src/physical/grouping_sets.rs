//! GROUPING SETS, ROLLUP and CUBE: which keys are NULL in which copy of a row, and the id that tells the copies apart.
//!
//! The id has a bit per key, the last key lowest; a set bit means that the key is not in the set. Above those bits is a
//! number that tells equal sets apart.

use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, GroupingSet};

use super::failure::query_failure;
use crate::error::Result;
use crate::operators::expand::Set;

/// The sets of `group_expr` over `keys`; `None` for a plain GROUP BY. `output` is the aggregation's schema: the keys, the
/// id, the calls.
pub(super) fn sets(group_expr: &[Expr], keys: &[Expr], output: &SchemaRef) -> Result<Option<Vec<Set>>> {
    let [Expr::GroupingSet(grouping_set)] = group_expr else { return Ok(None) };
    let id_type = output.field(keys.len()).data_type();
    let members = members(grouping_set);
    let mut seen: Vec<u64> = Vec::new();
    let mut sets = Vec::with_capacity(members.len());
    for set in &members {
        let nulled: Vec<bool> = keys.iter().map(|key| !set.contains(&key)).collect();
        let mask = nulled.iter().fold(0u64, |mask, &nulled| mask << 1 | u64::from(nulled));
        let ordinal = seen.iter().filter(|&&other| other == mask).count() as u64;
        seen.push(mask);
        let id = ordinal.checked_shl(keys.len() as u32).unwrap_or(0) | mask;
        let id = ScalarValue::UInt64(Some(id)).to_array().map_err(query_failure)?;
        sets.push(Set { nulled, id: cast(&id, id_type)? });
    }
    Ok(Some(sets))
}

fn members(grouping_set: &GroupingSet) -> Vec<Vec<&Expr>> {
    match grouping_set {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
        GroupingSet::Rollup(keys) => (0..=keys.len()).rev().map(|n| keys[..n].iter().collect()).collect(),
        GroupingSet::Cube(keys) => {
            let has = |mask: u64, idx: usize| mask >> (keys.len() - 1 - idx) & 1 == 0;
            let set = |mask| keys.iter().enumerate().filter(|(idx, _)| has(mask, *idx)).map(|(_, key)| key).collect();
            (0..1u64 << keys.len()).map(set).collect()
        }
    }
}
