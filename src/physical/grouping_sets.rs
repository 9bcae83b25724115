//! GROUPING SETS, ROLLUP and CUBE: which keys are NULL in which copy of a row, and the id that tells the copies apart.
//!
//! The id has a bit per key, the last key lowest; a set bit means that the key is not in the set. Above those bits is a
//! number that tells equal sets apart.

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::{Aggregate, Expr, GroupingSet};

use super::failure::query_failure;
use crate::error::{Error, Result};
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

/// The groups over no rows: one for each set without keys. `None` when there is no such set.
pub(super) fn rows_over_none(sets: &[Set], aggregate: &Aggregate) -> Result<Option<RecordBatch>> {
    let output = aggregate.schema.inner().clone();
    let empty: Vec<&Set> = sets.iter().filter(|set| set.nulled.iter().all(|nulled| *nulled)).collect();
    let Some(first) = empty.first() else { return Ok(None) };
    let n_keys = first.nulled.len();
    let mut columns: Vec<ArrayRef> =
        output.fields()[..n_keys].iter().map(|key| new_null_array(key.data_type(), empty.len())).collect();
    let ids: Vec<&dyn Array> = empty.iter().map(|set| set.id.as_ref()).collect();
    columns.push(concat(&ids)?);
    for (expr, field) in aggregate.aggr_expr.iter().zip(&output.fields()[n_keys + 1..]) {
        columns.push(over_none(expr, field.data_type())?.to_array_of_size(empty.len()).map_err(query_failure)?);
    }
    Ok(Some(RecordBatch::try_new(output, columns)?))
}

/// What an aggregate gives over no rows.
fn over_none(expr: &Expr, data_type: &DataType) -> Result<ScalarValue> {
    match expr {
        Expr::Alias(alias) => over_none(&alias.expr, data_type),
        Expr::AggregateFunction(call) if matches!(call.func.name(), "approx_distinct" | "regr_count") => {
            ScalarValue::new_zero(data_type).map_err(query_failure)
        }
        Expr::AggregateFunction(call) => call.func.default_value(data_type).map_err(query_failure),
        other => Err(Error::query(format!("{other} is not an aggregate"))),
    }
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
