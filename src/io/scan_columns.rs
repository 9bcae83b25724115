//! Which columns a scan reads, and how its output is made of them.
//!
//! Memory: that of one batch.
//! The surprising part: a filter is only asked about rows that passed those before it, since it may fail for others:
//! `x <> 0 AND 10 / x > 1`. Every source that reads whole batches goes through this, and so do the folders around files; Parquet, which reads fewer rows for
//! each further filter, does the same in its own `narrowing`.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::filter_record_batch;

use super::table::RowFilter;
use crate::error::Result;

/// The columns of a scan: each that a filter or the output wants, once.
pub(crate) struct ScanColumns {
    columns: Vec<usize>,
    /// Each filter with the positions in `columns` of what it reads.
    filters: Vec<(Arc<dyn RowFilter>, Vec<usize>)>,
    /// Positions in `columns` of the output.
    projection: Vec<usize>,
}

impl ScanColumns {
    /// For an output of the columns `projection` of rows that pass `filters`.
    pub(crate) fn new(projection: &[usize], filters: &[Arc<dyn RowFilter>]) -> Self {
        let mut columns: Vec<usize> = Vec::new();
        let mut position = |column: &usize| {
            columns.iter().position(|known| known == column).unwrap_or_else(|| {
                columns.push(*column);
                columns.len() - 1
            })
        };
        let filters = filters.iter().map(|filter| {
            let positions = filter.columns().iter().map(&mut position).collect();
            (filter.clone(), positions)
        });
        let filters = filters.collect();
        let projection = projection.iter().map(&mut position).collect();
        ScanColumns { columns, filters, projection }
    }

    /// The columns to read, as indices into the table's schema: those of filters first.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The output of `batch`, which has [`ScanColumns::columns`].
    ///
    /// # Errors
    /// What a filter says.
    pub(crate) fn finish(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let batch = passing(batch, &self.filters, |batch, positions| Ok(batch.project(positions)?))?;
        Ok(batch.project(&self.projection)?)
    }
}

/// The rows of `batch` that pass all of `filters`; `asked` gives the columns that a filter looks at.
///
/// # Errors
/// What a filter says.
pub(crate) fn passing<T>(
    batch: RecordBatch,
    filters: &[(Arc<dyn RowFilter>, T)],
    asked: impl Fn(&RecordBatch, &T) -> Result<RecordBatch>,
) -> Result<RecordBatch> {
    let mut batch = batch;
    for (filter, columns) in filters.iter().filter(|(filter, _)| filter.is_active()) {
        let keep = filter.evaluate(&asked(&batch, columns)?)?;
        if keep.null_count() > 0 || keep.true_count() < keep.len() {
            batch = filter_record_batch(&batch, &keep)?;
        }
    }
    Ok(batch)
}
