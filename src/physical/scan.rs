//! Lowering of a table scan: what is read, which rows are kept, what statistics may skip.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, TableScan};

use super::comparison::implied_comparisons;
use super::expression::Evaluator;
use super::failure::query_failure;
use super::known_keys::{PartnerFilter, cannot_fail};
use super::lower::{Lowering, Stream, Wishes};
use super::recursion::WorkTable;
use super::table::FileTable;
use super::text::Namer;
use crate::error::{Error, Result};
use crate::exec::{Node, Step};
use crate::io::{Comparison, ComparisonOp, RowFilter, ScanRequest};

/// A pushed-down condition.
struct ScanFilter {
    evaluator: Evaluator,
}

impl RowFilter for ScanFilter {
    fn columns(&self) -> &[usize] {
        self.evaluator.columns()
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = self.evaluator.evaluate_columns(batch.columns(), batch.num_rows())?;
        match values.as_any().downcast_ref::<BooleanArray>() {
            Some(mask) => Ok(mask.clone()),
            None => Err(Error::query(format!("a condition must be true or false, not {}", values.data_type()))),
        }
    }
}

impl Lowering<'_> {
    pub(super) fn lower_scan(&mut self, scan: &TableScan, wishes: &Wishes) -> Result<Stream> {
        if let Some(table) = scan.source.downcast_ref::<WorkTable>() {
            return self.lower_work_scan(scan, table);
        }
        let Some(source) = scan.source.downcast_ref::<FileTable>() else {
            return Err(Error::query(format!("{} is not a table of files", scan.table_name)));
        };
        let table = source.table();
        let schema = table.schema();
        let projection = scan.projection.clone().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let qualified = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &schema).map_err(query_failure)?;
        let query = Some(self.cx.cancel.clone());
        let mut request = ScanRequest { in_order: wishes.in_order, query, ..ScanRequest::default() };
        for filter in &scan.filters {
            let evaluator = Evaluator::compile(filter, &qualified, self.props())?;
            request.filters.push(Arc::new(ScanFilter { evaluator }));
            request.comparisons.extend(implied_comparisons(filter, &schema));
        }
        let may_prune = scan.filters.iter().all(|filter| cannot_fail(filter, &qualified));
        for wanted in &wishes.keys {
            let column = projection[wanted.column];
            let data_type = schema.field(column).data_type().clone();
            let filter = PartnerFilter { known: wanted.known.clone(), column: [column], data_type, may_prune };
            request.filters.push(Arc::new(filter));
        }
        let partners = wishes.keys.iter().map(|wanted| projection[wanted.column]).collect::<Vec<_>>();
        let is_text = |&idx: &usize| is_text(schema.field(idx).data_type());
        let wanted = projection.iter().zip(&wishes.dictionary).filter(|(_, wanted)| **wanted).map(|(idx, _)| *idx);
        request.dictionary_columns = wanted.filter(is_text).collect();
        let filtered_by_value = filtered_by_value(&request.filters);
        let only_filtered = filtered_by_value.into_iter().filter(|idx| is_text(idx) && !projection.contains(idx));
        request.dictionary_columns.extend(only_filtered);
        request.projection = projection;
        let mut detail = describe(&table.describe_scan(&request), &request, &scan.filters, &schema, &self.namer);
        if !partners.is_empty() {
            let names: Vec<&str> = partners.iter().map(|&idx| schema.field(idx).name().as_str()).collect();
            detail += &format!(", only joined {}", names.join(", "));
        }
        let scan_of_table = table.scan(request)?;
        let node =
            self.add_node(Node { name: "Scan", detail, inputs: vec![], report: Some(scan_of_table.report.clone()) });
        let source = Step { node, role: scan_of_table.source };
        Ok(Stream::new(source, scan.projected_schema.inner().clone(), true))
    }
}

/// Columns that are read by filters over that column alone, which look at each value of a dictionary once.
fn filtered_by_value(filters: &[Arc<dyn RowFilter>]) -> Vec<usize> {
    let mut alone: Vec<usize> = Vec::new();
    for filter in filters {
        if let &[column] = filter.columns()
            && !alone.contains(&column)
        {
            alone.push(column);
        }
    }
    alone.retain(|column| {
        filters.iter().all(|filter| filter.columns().len() == 1 || !filter.columns().contains(column))
    });
    alone
}

fn is_text(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView)
}

fn describe(table: &str, request: &ScanRequest, filters: &[Expr], schema: &Schema, namer: &Namer) -> String {
    let filtered = request.filters.iter().flat_map(|filter| filter.columns());
    let read: BTreeSet<usize> = request.projection.iter().chain(filtered).copied().collect();
    let mut detail = format!("{table}, {} of {} columns", read.len(), schema.fields().len());
    if !filters.is_empty() {
        detail += &format!(", where {}", namer.all_of(filters));
    }
    if !request.comparisons.is_empty() {
        let skips: Vec<String> = request.comparisons.iter().map(|one| describe_comparison(one, schema)).collect();
        detail += &format!(", pruning by {}", skips.join(" AND "));
    }
    if !request.dictionary_columns.is_empty() {
        let names: Vec<&str> =
            request.dictionary_columns.iter().map(|&idx| schema.field(idx).name().as_str()).collect();
        detail += &format!(", dictionaries {}", names.join(", "));
    }
    detail
}

fn describe_comparison(comparison: &Comparison, schema: &Schema) -> String {
    let name = schema.field(comparison.column).name();
    let op = match comparison.op {
        ComparisonOp::Equal => "=",
        ComparisonOp::Less => "<",
        ComparisonOp::LessOrEqual => "<=",
        ComparisonOp::Greater => ">",
        ComparisonOp::GreaterOrEqual => ">=",
        ComparisonOp::In => return format!("{name} IN {} values", comparison.values.len()),
        ComparisonOp::IsNull => return format!("{name} IS NULL"),
        ComparisonOp::IsNotNull => return format!("{name} IS NOT NULL"),
    };
    let value = arrow::util::display::array_value_to_string(&comparison.values, 0).unwrap_or_default();
    format!("{name} {op} {value}")
}
