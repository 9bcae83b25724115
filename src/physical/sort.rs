//! Lowering of ORDER BY: a sort, or a top-n when few rows are wanted.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{Expr, ExprSchemable, Sort};

use super::failure::query_failure;
use super::lower::{Lowering, Stream, Wishes};
use crate::error::Result;
use crate::exec::{Node, Report, Sink, Source, Step};
use crate::operators::project::Column;
use crate::operators::sort::{Sort as SortOperator, SortKey, SortSpec};
use crate::operators::top_n::TopN;

/// A string's bytes when nothing is known: a slot of 16 and some text.
const STRING_BYTES: u64 = 48;

/// The share of governed memory that a top-n may fill: it cannot spill.
const TOP_N_SHARE: u64 = 8;

impl Lowering<'_> {
    pub(super) fn lower_sort(&mut self, sort: &Sort) -> Result<Stream> {
        let input = &sort.input;
        let n_columns = input.schema().fields().len();
        let mut fields: Vec<_> = input.schema().inner().fields().iter().cloned().collect();
        let mut columns: Vec<Column> = (0..n_columns).map(Column::Input).collect();
        let mut keys = Vec::new();
        for key in &sort.expr {
            // A constant orders nothing.
            if matches!(key.expr, Expr::Literal(..)) {
                continue;
            }
            let column = match self.compile_column(&key.expr, input)? {
                Column::Input(idx) => idx,
                computed => {
                    let field = key.expr.to_field(input.schema().as_ref()).map_err(query_failure)?.1;
                    fields.push(Arc::new(Field::clone(&field).with_name(self.namer.text(&key.expr))));
                    columns.push(computed);
                    columns.len() - 1
                }
            };
            keys.push(SortKey { column, descending: !key.asc, nulls_first: key.nulls_first });
        }
        let mut stream = self.lower_plan(input, &Wishes::none(n_columns))?;
        if keys.is_empty() {
            return Ok(match sort.fetch {
                Some(fetch) => self.limit(stream, 0, Some(fetch as u64)),
                None => stream,
            });
        }
        if columns.len() > n_columns {
            let computed = sort.expr.iter().map(|key| &key.expr).filter(|expr| !matches!(expr, Expr::Column(_)));
            let detail = format!("all columns, {}", self.namer.list(computed));
            stream = self.project(stream, columns.clone(), Arc::new(Schema::new(fields)), detail);
        }
        let by = self.namer.sort_keys(&sort.expr);
        let sorted = self.sort_stream(stream, keys, sort.fetch.map(|n| n as u64), by)?;
        if columns.len() == n_columns {
            return Ok(sorted);
        }
        let schema = input.schema().inner().clone();
        let kept = (0..n_columns).map(Column::Input).collect();
        Ok(self.project(sorted, kept, schema, "without the computed sort keys".to_string()))
    }

    /// Sorts by `columns`; equal values come in one morsel, in the order of the input.
    pub(super) fn cluster(&mut self, stream: Stream, columns: &[usize]) -> Result<Stream> {
        let schema = stream.schema.clone();
        let key = |&column: &usize| SortKey { column, descending: false, nulls_first: false };
        let keys: Vec<_> = columns.iter().map(key).collect();
        let names: Vec<&str> = columns.iter().map(|&column| schema.field(column).name().as_str()).collect();
        let detail = format!("by {}, to partition the output", names.join(", "));
        let spec = SortSpec { schema: schema.clone(), n_grouping_keys: keys.len(), keys, limit: None };
        let sort = SortOperator::new(spec, self.cx)?;
        let node = self.add_node(Node { name: "Sort", detail, inputs: vec![stream.top()], report: Some(sort.clone()) });
        self.close(stream, node, sort.sink());
        Ok(Stream::new(Step { node, role: sort.source() }, schema, true))
    }

    fn sort_stream(&mut self, stream: Stream, keys: Vec<SortKey>, limit: Option<u64>, by: String) -> Result<Stream> {
        let schema = stream.schema.clone();
        let few = limit.is_some_and(|n| n.saturating_mul(row_bytes(&schema)) <= self.top_n_bytes());
        let spec = SortSpec { schema: schema.clone(), keys, limit, n_grouping_keys: 0 };
        let detail = match limit {
            Some(limit) => format!("{limit} rows by {by}"),
            None => format!("by {by}"),
        };
        let inputs = vec![stream.top()];
        type Parts = (&'static str, Arc<dyn Report>, Arc<dyn Sink>, Arc<dyn Source>);
        let (name, report, sink, source): Parts = if few {
            let top_n = TopN::new(spec, self.cx)?;
            ("TopN", top_n.clone(), top_n.sink(), top_n.source())
        } else {
            let sort = SortOperator::new(spec, self.cx)?;
            ("Sort", sort.clone(), sort.sink(), sort.source())
        };
        let node = self.add_node(Node { name, detail, inputs, report: Some(report) });
        self.close(stream, node, sink);
        Ok(Stream::new(Step { node, role: source }, schema, true))
    }

    fn top_n_bytes(&self) -> u64 {
        self.cx.memory.governed_bytes() / TOP_N_SHARE
    }
}

/// About what one row takes, as far as types tell.
fn row_bytes(schema: &SchemaRef) -> u64 {
    let column = |data_type: &DataType| data_type.primitive_width().map_or(STRING_BYTES, |width| width as u64);
    schema.fields().iter().map(|field| column(field.data_type())).sum::<u64>() + 16
}
