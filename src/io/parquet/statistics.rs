//! What the footers tell about the columns of a table: rows, smallest and largest values, NULLs.
//!
//! Memory: one value of each kind a column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::{SortOptions, cast, concat, sort_limit};
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::RowGroupMetaData;

use super::chunk::chunk_range;
use super::footer::OpenFile;
use super::page_header::{PageHeader, PageKind};
use super::row_group::is_dictionary_encoded;
use super::schema::FileColumn;
use crate::io::drift::keeps_order;
use crate::io::table::{ColumnStatistics, TableStatistics};

/// Collects statistics file by file.
pub(super) struct StatisticsOfFiles {
    schema: SchemaRef,
    n_rows: u64,
    columns: Vec<Known>,
    /// Dictionaries whose header may still be read.
    n_headers_left: usize,
}

/// What is known of one column so far.
struct Known {
    min: Bound,
    max: Bound,
    n_nulls: Option<u64>,
    max_distinct: Option<u64>,
    likely_distinct: Option<u64>,
    /// Dictionaries whose header may still be read for `likely_distinct`.
    n_samples_left: usize,
}

/// Headers of dictionary pages read when a table is opened, a small read each; beyond that, nothing is said about distinct
/// values.
const MAX_DICTIONARY_HEADERS: usize = 2048;

/// Dictionaries looked at for a guess of the distinct values of a column: three of each of the first files.
const SAMPLED_DICTIONARIES: usize = 24;

/// A smallest or largest value over what was seen.
enum Bound {
    /// No values so far.
    Nothing,
    Value(ArrayRef),
    /// Some part of the column did not tell.
    Unknown,
}

#[derive(Clone, Copy)]
enum Side {
    Min,
    Max,
}

impl StatisticsOfFiles {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let unknown = || Known {
            min: Bound::Nothing,
            max: Bound::Nothing,
            n_nulls: Some(0),
            max_distinct: Some(0),
            likely_distinct: None,
            n_samples_left: SAMPLED_DICTIONARIES,
        };
        StatisticsOfFiles {
            schema: schema.clone(),
            n_rows: 0,
            columns: schema.fields().iter().map(|_| unknown()).collect(),
            n_headers_left: MAX_DICTIONARY_HEADERS,
        }
    }

    /// Adds the row groups of `file`.
    pub(super) fn add(&mut self, file: &OpenFile) {
        self.n_rows += file.n_rows();
        let schema = self.schema.clone();
        for (field, known) in schema.fields().iter().zip(&mut self.columns) {
            known.add(file, field);
            known.add_distinct(file, field, &mut self.n_headers_left);
            known.add_likely_distinct(file, field);
        }
    }

    pub(super) fn finish(self, file_bytes: u64) -> TableStatistics {
        let value = |bound: Bound| match bound {
            Bound::Value(value) => Some(value),
            Bound::Nothing | Bound::Unknown => None,
        };
        let columns = self.columns.into_iter().map(|known| ColumnStatistics {
            min: value(known.min),
            max: value(known.max),
            n_nulls: known.n_nulls,
            max_distinct: known.max_distinct,
            likely_distinct: known.likely_distinct,
        });
        TableStatistics { n_rows: Some(self.n_rows), file_bytes, columns: columns.collect() }
    }
}

impl Known {
    fn add(&mut self, file: &OpenFile, field: &Field) {
        let groups: Vec<&RowGroupMetaData> =
            file.metadata.row_groups().iter().filter(|group| group.num_rows() > 0).collect();
        let Some(column) = file.column(field.name()) else {
            // A missing column is NULL in every row and has no values.
            self.n_nulls = self.n_nulls.map(|n_nulls| n_nulls + file.n_rows());
            return;
        };
        let n_nulls = null_counts(file, column, &groups);
        self.n_nulls = self.n_nulls.zip(sum_if_complete(n_nulls.as_ref())).map(|(before, more)| before + more);
        for (bound, side) in [(&mut self.min, Side::Min), (&mut self.max, Side::Max)] {
            let more = extremes(file, column, side, &groups, n_nulls.as_ref());
            *bound = std::mem::replace(bound, Bound::Unknown).joined(more, field.data_type(), side);
        }
    }
}

impl Known {
    /// Adds the sizes of the dictionaries, as long as every page refers to one.
    fn add_distinct(&mut self, file: &OpenFile, field: &Field, n_headers_left: &mut usize) {
        let Some(column) = file.column(field.name()) else { return };
        for row_group in 0..file.metadata.num_row_groups() {
            let Some(before) = self.max_distinct else { return };
            let size = column.leaf.filter(|_| *n_headers_left > 0).and_then(|leaf| {
                *n_headers_left -= 1;
                dictionary_size(file, row_group, leaf)
            });
            self.max_distinct = size.map(|size| before + size);
        }
    }
}

impl Known {
    /// Looks at the dictionaries of the first, the middle and the last row group of `file`. Of several files only the
    /// one that says most counts.
    fn add_likely_distinct(&mut self, file: &OpenFile, field: &Field) {
        let Some(leaf) = file.column(field.name()).and_then(|column| column.leaf) else { return };
        let n_groups = file.metadata.num_row_groups();
        let mut sampled = vec![0, n_groups / 2, n_groups.saturating_sub(1)];
        sampled.dedup();
        for row_group in sampled.into_iter().filter(|&idx| idx < n_groups) {
            if self.n_samples_left == 0 {
                return;
            }
            self.n_samples_left -= 1;
            let Some(size) = dictionary_size(file, row_group, leaf) else {
                (self.likely_distinct, self.n_samples_left) = (None, 0);
                return;
            };
            let n_rows = file.row_group(row_group).num_rows().max(0) as u64;
            self.likely_distinct = self.likely_distinct.max(Some(values_behind(size, n_rows)));
        }
    }
}

/// How many values there are, when `n_rows` random draws of them showed `n_seen` different ones.
fn values_behind(n_seen: u64, n_rows: u64) -> u64 {
    let (seen, rows) = (n_seen as f64, n_rows as f64);
    let shown = |values: f64| values * -(-rows / values).exp_m1();
    let (mut low, mut high) = (seen.max(1.0), seen.max(1.0) * 1024.0);
    if shown(high) < seen {
        return n_rows;
    }
    // Halving forty times is more than the digits of a count.
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if shown(middle) < seen { low = middle } else { high = middle }
    }
    low.round() as u64
}

/// Values in the dictionary of a chunk all of whose pages refer to it.
fn dictionary_size(file: &OpenFile, row_group: usize, leaf: usize) -> Option<u64> {
    let chunk = file.row_group(row_group).column(leaf);
    if !is_dictionary_encoded(chunk) {
        return None;
    }
    let range = chunk_range(&file.input, chunk).ok()?;
    let mut start = [0; 64];
    let n_bytes = start.len().min((range.end - range.start) as usize);
    file.input.read_at(&mut start[..n_bytes], range.start).ok()?;
    match PageHeader::parse(&start[..n_bytes]).ok()?.kind {
        PageKind::Dictionary { n_values, .. } => Some(u64::from(n_values)),
        _ => None,
    }
}

impl Bound {
    fn joined(self, other: Bound, data_type: &DataType, side: Side) -> Bound {
        let other = match other {
            Bound::Value(value) if !keeps_order(value.data_type(), data_type) => Bound::Unknown,
            Bound::Value(value) => match cast(&value, data_type) {
                Ok(value) => Bound::Value(value),
                Err(_) => Bound::Unknown,
            },
            same => same,
        };
        match (self, other) {
            (Bound::Unknown, _) | (_, Bound::Unknown) => Bound::Unknown,
            (Bound::Nothing, some) | (some, Bound::Nothing) => some,
            (Bound::Value(a), Bound::Value(b)) => match concat(&[&a, &b]) {
                Ok(both) => extreme(&both, side).map_or(Bound::Unknown, Bound::Value),
                Err(_) => Bound::Unknown,
            },
        }
    }
}

/// The smallest or largest value of `values`.
fn extreme(values: &ArrayRef, side: Side) -> Option<ArrayRef> {
    let options = SortOptions { descending: matches!(side, Side::Max), nulls_first: false };
    sort_limit(values, Some(options), Some(1)).ok().filter(|first| first.len() == 1 && first.null_count() == 0)
}

/// A converter for the statistics of `column`, unless it is nested.
pub(super) fn converter<'a>(file: &'a OpenFile, column: &'a FileColumn) -> Option<StatisticsConverter<'a>> {
    let schema = file.metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::from_column_index(column.leaf?, &column.field, schema).ok()?;
    Some(converter.with_missing_null_counts_as_zero(false))
}

/// Whether the smallest and largest values that `group` states are in the order of the column's type. The old statistics
/// were written in the order of signed numbers or signed bytes, whatever the type.
pub(super) fn has_ordered_extremes(group: &RowGroupMetaData, column: &FileColumn) -> bool {
    use DataType as T;
    let Some(statistics) = column.leaf.and_then(|leaf| group.column(leaf).statistics()) else { return true };
    let is_signed = matches!(
        column.field.data_type(),
        T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64
    ) || column.field.data_type().is_temporal();
    is_signed || !statistics.is_min_max_deprecated()
}

fn null_counts(file: &OpenFile, column: &FileColumn, groups: &[&RowGroupMetaData]) -> Option<UInt64Array> {
    converter(file, column)?.row_group_null_counts(groups.iter().copied()).ok()
}

fn sum_if_complete(counts: Option<&UInt64Array>) -> Option<u64> {
    counts.filter(|counts| counts.null_count() == 0).map(|counts| counts.values().iter().sum())
}

/// The extreme over `groups`; row groups of NULLs only have none and need none.
fn extremes(
    file: &OpenFile,
    column: &FileColumn,
    side: Side,
    groups: &[&RowGroupMetaData],
    n_nulls: Option<&UInt64Array>,
) -> Bound {
    let Some(converter) = converter(file, column) else { return Bound::Unknown };
    if !groups.iter().all(|group| has_ordered_extremes(group, column)) {
        return Bound::Unknown;
    }
    let values = match side {
        Side::Min => converter.row_group_mins(groups.iter().copied()),
        Side::Max => converter.row_group_maxes(groups.iter().copied()),
    };
    let Ok(values) = values else { return Bound::Unknown };
    let is_null_only = |idx: usize| {
        n_nulls.is_some_and(|counts| counts.is_valid(idx) && counts.value(idx) == groups[idx].num_rows() as u64)
    };
    if (0..values.len()).any(|idx| values.is_null(idx) && !is_null_only(idx)) {
        return Bound::Unknown;
    }
    match extreme(&values, side) {
        Some(value) => Bound::Value(value),
        None if values.null_count() == values.len() => Bound::Nothing,
        None => Bound::Unknown,
    }
}

/// One value as an array, for callers that compare.
pub(super) fn one_value(values: &ArrayRef, idx: usize) -> Option<ArrayRef> {
    (idx < values.len() && values.is_valid(idx)).then(|| Arc::clone(&values.slice(idx, 1)))
}

#[cfg(test)]
mod tests {
    use parquet::file::metadata::ColumnChunkMetaData;
    use parquet::file::statistics::Statistics;
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;

    use super::*;

    #[test]
    fn old_extremes_count_only_where_their_order_is_that_of_the_type() {
        let check = |data_type: DataType, parquet_type: &str, deprecated: bool, want: bool| {
            let message = parse_message_type(&format!("message m {{ required {parquet_type}; }}")).unwrap();
            let schema = Arc::new(SchemaDescriptor::new(Arc::new(message)));
            let statistics = match parquet_type.starts_with("int32") {
                true => Statistics::int32(Some(1), Some(2), None, Some(0), deprecated),
                false => Statistics::byte_array(Some("a".into()), Some("b".into()), None, Some(0), deprecated),
            };
            let chunk = ColumnChunkMetaData::builder(schema.column(0)).set_statistics(statistics).build().unwrap();
            let group = RowGroupMetaData::builder(schema).set_column_metadata(vec![chunk]).build().unwrap();
            let column = FileColumn { field: Arc::new(Field::new("c", data_type, false)), root: 0, leaf: Some(0) };
            assert_eq!(has_ordered_extremes(&group, &column), want, "{column:?}");
        };
        check(DataType::Int32, "int32 c", true, true);
        check(DataType::Date32, "int32 c (DATE)", true, true);
        check(DataType::UInt32, "int32 c (UINT_32)", true, false);
        check(DataType::UInt32, "int32 c (UINT_32)", false, true);
        check(DataType::Decimal128(5, 2), "int32 c (DECIMAL(5, 2))", true, false);
        check(DataType::Utf8, "binary c (UTF8)", true, false);
        check(DataType::Utf8, "binary c (UTF8)", false, true);
        check(DataType::Binary, "binary c", true, false);
    }
}
