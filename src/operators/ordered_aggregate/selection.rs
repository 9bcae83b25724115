//! Which rows of a batch a call reads: those of its order, that pass its FILTER, that are not NULL where NULLs do not count,
//! and with DISTINCT the first of each value.
//!
//! Memory: a copy of the rows a call reads, and the value that the open group had last.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter;

use super::groups::{Found, Segment, changes, copy_row, is_same};
use super::spec::{OrderedCall, OrderedFunction, OrderedSpec};
use crate::error::Result;

/// The rows of a batch for one call.
pub(super) struct Selected {
    /// The columns it reads.
    pub(super) columns: Vec<ArrayRef>,
    /// Its rows, one after the other, in order of groups; at most one segment a group.
    pub(super) segments: Vec<Segment>,
    pub(super) n_groups: usize,
    pub(super) n_closed: usize,
}

/// Chooses rows for a call or several.
pub(super) struct Selection {
    columns: Vec<usize>,
    /// The order whose rows are read, when there is more than one.
    tag: Option<u16>,
    filter: Option<usize>,
    skips_nulls: bool,
    is_distinct: bool,
    /// The last values of the open group.
    last: Option<Vec<ArrayRef>>,
}

impl Selection {
    /// All rows of an order.
    pub(super) fn all(spec: &OrderedSpec, columns: Vec<usize>, tag: u16) -> Self {
        let tag = spec.tag.map(|_| tag);
        Selection { columns, tag, filter: None, skips_nulls: false, is_distinct: false, last: None }
    }

    /// The rows that `call` wants.
    pub(super) fn of_call(spec: &OrderedSpec, call: &OrderedCall) -> Self {
        Selection {
            columns: call.args.clone(),
            tag: spec.tag.map(|_| call.tag),
            filter: call.filter,
            // What a value is decided for once may be decided before it is compared with others.
            skips_nulls: call.function.skips_nulls() || is_count(&call.function),
            is_distinct: call.is_distinct,
            last: None,
        }
    }

    /// The columns that are read.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub(super) fn select(&mut self, batch: &[ArrayRef], found: &Found) -> Result<Selected> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|&column| batch[column].clone()).collect();
        let n_rows = batch.first().map_or(0, |column| column.len());
        let (n_groups, n_closed) = (found.n_groups, found.n_closed);
        let mut selected = Selected { columns, segments: found.segments.clone(), n_groups, n_closed };
        if let Some(keep) = self.wanted(batch, &selected, n_rows) {
            selected = compact(selected, &keep)?;
        }
        if self.is_distinct {
            let keep = self.first_of_equal(&selected)?;
            self.remember(&selected)?;
            selected = compact(selected, &keep)?;
        }
        Ok(selected)
    }

    /// The rows that count; `None` for all.
    fn wanted(&self, batch: &[ArrayRef], rows: &Selected, n_rows: usize) -> Option<BooleanBuffer> {
        let mut keep: Option<BooleanBuffer> = None;
        let mut and = |mask: BooleanBuffer| {
            keep = Some(match keep.take() {
                Some(keep) => &keep & &mask,
                None => mask,
            });
        };
        if let Some(tag) = self.tag {
            let mut mask = arrow::array::BooleanBufferBuilder::new(n_rows);
            for segment in &rows.segments {
                mask.append_n(segment.len, segment.tag == tag);
            }
            and(mask.finish());
        }
        if let Some(filter) = self.filter {
            let filter = batch[filter].as_boolean();
            and(filter.values().clone());
            filter.nulls().into_iter().for_each(|nulls| and(nulls.inner().clone()));
        }
        let nulls = rows.columns.first().filter(|_| self.skips_nulls).and_then(|column| column.logical_nulls());
        nulls.iter().filter(|nulls| nulls.null_count() > 0).for_each(|nulls: &NullBuffer| and(nulls.inner().clone()));
        keep.filter(|keep| keep.count_set_bits() < n_rows)
    }

    /// The first of each value of each group.
    fn first_of_equal(&self, rows: &Selected) -> Result<BooleanBuffer> {
        let n_rows = rows.columns.first().map_or(0, |column| column.len());
        let changed = changes(&rows.columns, n_rows)?;
        let mut keep = arrow::array::BooleanBufferBuilder::new(n_rows);
        keep.append_buffer(changed.values());
        for segment in &rows.segments {
            keep.set_bit(segment.start, true);
        }
        if let (Some(last), Some(first)) = (&self.last, rows.segments.first())
            && first.group == 0
        {
            let mut same = true;
            for (last, column) in last.iter().zip(&rows.columns) {
                same &= is_same(last, 0, column, first.start)?;
            }
            keep.set_bit(first.start, !same);
        }
        Ok(keep.finish())
    }

    /// Keeps the last values of the group that stays open.
    fn remember(&mut self, rows: &Selected) -> Result<()> {
        if rows.n_closed == rows.n_groups {
            self.last = None;
            return Ok(());
        }
        match rows.segments.last() {
            Some(last) if last.group + 1 == rows.n_groups => {
                let row = last.start + last.len - 1;
                let values = rows.columns.iter().map(|column| copy_row(column, row));
                self.last = Some(values.collect::<Result<_>>()?);
            }
            // The open group has no rows here: either it is the one from before, or it has none at all.
            _ if rows.n_groups > 1 => self.last = None,
            _ => {}
        }
        Ok(())
    }
}

fn is_count(function: &OrderedFunction) -> bool {
    matches!(function, OrderedFunction::Ordinary(crate::operators::aggregate::AggregateFunction::Count))
}

/// The rows of `keep` only.
fn compact(rows: Selected, keep: &BooleanBuffer) -> Result<Selected> {
    let mask = BooleanArray::new(keep.clone(), None);
    let columns = rows.columns.iter().map(|column| Ok(filter(column, &mask)?)).collect::<Result<Vec<_>>>()?;
    let mut segments: Vec<Segment> = Vec::with_capacity(rows.segments.len());
    let mut start = 0;
    for segment in rows.segments {
        let len = keep.slice(segment.start, segment.len).count_set_bits();
        if len > 0 {
            segments.push(Segment { start, len, ..segment });
            start += len;
        }
    }
    Ok(Selected { columns, segments, ..rows })
}
