//! Which row groups and pages cannot hold a row that passes the filters.
//!
//! Memory: a few values of a row group; one page index or bloom filter at a time, reserved where they are read.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar};
use arrow::compute::cast;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, SchemaRef};

use super::bloom::may_hold_any;
use super::footer::OpenFile;
use super::page_index::PageExtremes;
use super::statistics::{converter, has_ordered_extremes, one_value};
use crate::io::drift::keeps_order;
use crate::io::table::{Comparison, ComparisonOp, RowFilter, ScanRequest};

/// The comparisons of a scan, by column name.
pub(super) struct Pruning {
    schema: SchemaRef,
    comparisons: Vec<NamedComparison>,
    /// Filters that may know more when the scan has begun, and what they said then.
    filters: Vec<Arc<dyn RowFilter>>,
    late: OnceLock<Vec<NamedComparison>>,
}

struct NamedComparison {
    name: String,
    op: ComparisonOp,
    /// Of the table's type.
    values: ArrayRef,
}

/// The extremes of one row group or page.
struct Extremes {
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
    n_nulls: Option<u64>,
    n_rows: u64,
}

impl Pruning {
    pub(super) fn new(schema: &SchemaRef, request: &ScanRequest) -> Self {
        Pruning {
            schema: schema.clone(),
            comparisons: named(schema, &request.comparisons),
            filters: request.filters.clone(),
            late: OnceLock::new(),
        }
    }

    /// All comparisons; for the workers of a scan that has begun.
    fn comparisons(&self) -> impl Iterator<Item = &NamedComparison> {
        let all = || self.filters.iter().flat_map(|filter| filter.late_comparisons()).collect::<Vec<_>>();
        let late = self.late.get_or_init(|| named(&self.schema, &all()));
        self.comparisons.iter().chain(late)
    }

    /// Whether row group `row_group` may hold a row for which all comparisons are true.
    pub(super) fn may_match(&self, file: &OpenFile, row_group: usize) -> bool {
        self.comparisons().all(|comparison| match extremes(file, row_group, comparison) {
            Some(extremes) => extremes.may_match(comparison),
            None => true,
        })
    }
}

fn named(schema: &SchemaRef, comparisons: &[Comparison]) -> Vec<NamedComparison> {
    let named = comparisons.iter().filter_map(|comparison| {
        let field = schema.fields().get(comparison.column)?;
        let values = cast(&comparison.values, field.data_type()).ok()?;
        Some(NamedComparison { name: field.name().clone(), op: comparison.op, values })
    });
    named.collect()
}

/// Rows of one row group that may match, in order and apart.
pub(super) type RowRanges = Vec<Range<u64>>;

impl Pruning {
    /// The rows of `row_group` that may match, by bloom filters and page indexes. Reads from the file, so this is for the
    /// worker that is about to read the row group.
    pub(super) fn matching_rows(&self, file: &OpenFile, row_group: usize) -> RowRanges {
        let n_rows = file.row_group(row_group).num_rows() as u64;
        let mut ranges: RowRanges = std::iter::once(0..n_rows).collect();
        for comparison in self.comparisons() {
            let Some(column) = file.column(&comparison.name) else { continue };
            let asks_for_values = matches!(comparison.op, ComparisonOp::Equal | ComparisonOp::In);
            if asks_for_values && !may_hold_any(file, row_group, column, &comparison.values) {
                return Vec::new();
            }
            if let Some(pages) = PageExtremes::read(file, row_group, column) {
                ranges = intersect(&ranges, &comparison.matching_pages(&pages));
            }
        }
        ranges
    }

    pub(super) fn is_empty(&self) -> bool {
        self.comparisons().next().is_none()
    }
}

impl NamedComparison {
    fn matching_pages(&self, pages: &PageExtremes) -> RowRanges {
        let data_type = self.values.data_type();
        if !keeps_order(pages.mins.data_type(), data_type) {
            return std::iter::once(0..pages.places.n_rows).collect();
        }
        let (mins, maxes) = (cast(&pages.mins, data_type), cast(&pages.maxes, data_type));
        let mut ranges = RowRanges::new();
        for idx in 0..pages.places.pages.len() {
            let rows = pages.places.rows(idx);
            let extremes = Extremes {
                min: mins.as_ref().ok().and_then(|mins| one_value(mins, idx)),
                max: maxes.as_ref().ok().and_then(|maxes| one_value(maxes, idx)),
                n_nulls: pages.n_nulls.is_valid(idx).then(|| pages.n_nulls.value(idx)),
                n_rows: rows.end - rows.start,
            };
            if !extremes.may_match(self) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => ranges.push(rows),
            }
        }
        ranges
    }
}

/// The rows that are in both.
fn intersect(one: &RowRanges, other: &RowRanges) -> RowRanges {
    let (mut a, mut b) = (one.iter().peekable(), other.iter().peekable());
    let mut both = RowRanges::new();
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let (start, end) = (x.start.max(y.start), x.end.min(y.end));
        if start < end {
            both.push(start..end);
        }
        if x.end <= y.end {
            a.next()
        } else {
            b.next()
        };
    }
    both
}

fn extremes(file: &OpenFile, row_group: usize, comparison: &NamedComparison) -> Option<Extremes> {
    let n_rows = file.row_group(row_group).num_rows() as u64;
    let Some(column) = file.column(&comparison.name) else {
        return Some(Extremes { min: None, max: None, n_nulls: Some(n_rows), n_rows });
    };
    let converter = converter(file, column)?;
    let group = || std::iter::once(file.row_group(row_group));
    let data_type = comparison.values.data_type();
    let is_ordered =
        has_ordered_extremes(file.row_group(row_group), column) && keeps_order(column.field.data_type(), data_type);
    let of_type = |values: ArrayRef| one_value(&cast(&values, data_type).ok()?, 0).filter(|_| is_ordered);
    let n_nulls = converter.row_group_null_counts(group()).ok()?;
    Some(Extremes {
        min: converter.row_group_mins(group()).ok().and_then(of_type),
        max: converter.row_group_maxes(group()).ok().and_then(of_type),
        n_nulls: n_nulls.is_valid(0).then(|| n_nulls.value(0)),
        n_rows,
    })
}

impl Extremes {
    fn may_match(&self, comparison: &NamedComparison) -> bool {
        let has_values = self.n_nulls.is_none_or(|n_nulls| n_nulls < self.n_rows);
        match comparison.op {
            ComparisonOp::IsNull => self.n_nulls.is_none_or(|n_nulls| n_nulls > 0),
            ComparisonOp::IsNotNull => has_values,
            _ if !has_values => false,
            op => (0..comparison.values.len()).any(|idx| match one_value(&comparison.values, idx) {
                Some(value) => self.may_match_value(op, value),
                // A comparison with NULL is never true.
                None => false,
            }),
        }
    }

    fn may_match_value(&self, op: ComparisonOp, value: ArrayRef) -> bool {
        // Statistics leave NaN out, and NaN is above every other number.
        let is_float = matches!(value.data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
        let value = Scalar::new(value);
        let holds = |bound: &Option<ArrayRef>, test: Test| match bound {
            Some(bound) => test(&Scalar::new(bound.clone()), &value).map_or(true, |answer| is_true(&answer)),
            None => true,
        };
        match op {
            ComparisonOp::Equal | ComparisonOp::In => {
                holds(&self.min, cmp::lt_eq) && (is_float || holds(&self.max, cmp::gt_eq))
            }
            ComparisonOp::Less => holds(&self.min, cmp::lt),
            ComparisonOp::LessOrEqual => holds(&self.min, cmp::lt_eq),
            ComparisonOp::Greater => is_float || holds(&self.max, cmp::gt),
            ComparisonOp::GreaterOrEqual => is_float || holds(&self.max, cmp::gt_eq),
            ComparisonOp::IsNull | ComparisonOp::IsNotNull => true,
        }
    }
}

type Test = fn(&dyn arrow::array::Datum, &dyn arrow::array::Datum) -> Result<BooleanArray, arrow::error::ArrowError>;

fn is_true(answer: &BooleanArray) -> bool {
    answer.len() != 1 || answer.is_null(0) || answer.value(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_intersected() {
        let ranges = |pairs: &[(u64, u64)]| pairs.iter().map(|&(start, end)| start..end).collect::<RowRanges>();
        let check = |one: &[(u64, u64)], other: &[(u64, u64)], both: &[(u64, u64)]| {
            assert_eq!(intersect(&ranges(one), &ranges(other)), ranges(both));
            assert_eq!(intersect(&ranges(other), &ranges(one)), ranges(both));
        };
        check(&[(0, 10)], &[(2, 4), (6, 20)], &[(2, 4), (6, 10)]);
        check(&[(0, 3), (5, 9)], &[(3, 5)], &[]);
        check(&[(0, 3), (5, 9)], &[(1, 8)], &[(1, 3), (5, 8)]);
        check(&[], &[(0, 5)], &[]);
    }
}
