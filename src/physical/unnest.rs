//! Lowering of UNNEST.

use std::sync::Arc;

use datafusion_expr::Unnest as UnnestPlan;

use super::lower::{Lowering, Stream, Wishes};
use crate::error::{Error, Result};
use crate::operators::unnest::{Unnest, UnnestColumn};

impl Lowering<'_> {
    pub(super) fn lower_unnest(&mut self, unnest: &UnnestPlan) -> Result<Stream> {
        let columns = columns_of(unnest)?;
        let stream = self.lower_plan(&unnest.input, &Wishes::none(unnest.input.schema().fields().len()))?;
        let schema = unnest.schema.inner().clone();
        let names = unnest.exec_columns.iter().map(|column| self.namer.name(&column.name));
        let detail = names.collect::<Vec<_>>().join(", ");
        let node = self.add_step_node("Unnest", detail, &stream);
        let keeps_empty = unnest.options.preserve_nulls();
        Ok(stream.then(node, Arc::new(Unnest::new(columns, keeps_empty, schema.clone())), schema))
    }
}

/// Where each output column comes from.
fn columns_of(unnest: &UnnestPlan) -> Result<Vec<UnnestColumn>> {
    let mut columns: Vec<UnnestColumn> = Vec::new();
    let mut lists = unnest.list_type_columns.iter();
    for &column in &unnest.dependency_indices {
        let is_list = unnest.list_type_columns.iter().any(|(idx, _)| *idx == column);
        if is_list {
            let Some((column, list)) = lists.next() else { return Err(Error::query("a list to unnest is missing")) };
            columns.push(UnnestColumn::Elements { column: *column, depth: list.depth });
        } else if unnest.struct_type_columns.contains(&column) {
            let of_same =
                |known: &&UnnestColumn| matches!(known, UnnestColumn::Field { column: c, .. } if *c == column);
            let field = columns.iter().filter(of_same).count();
            columns.push(UnnestColumn::Field { column, field });
        } else {
            columns.push(UnnestColumn::Copied(column));
        }
    }
    Ok(columns)
}
