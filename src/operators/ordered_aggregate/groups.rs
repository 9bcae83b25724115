//! Where groups begin and end in sorted batches.
//!
//! Memory: the key of the open group; a few words for each group of a batch.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, make_comparator, new_empty_array};
use arrow::array::{AsArray, BooleanArray};
use arrow::compute::{SortOptions, concat, partition, take};
use arrow::datatypes::UInt16Type;

use super::spec::OrderedSpec;
use crate::error::Result;

/// Rows of one group, one after the other, for one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// The group's number in the batch.
    pub(super) group: usize,
    /// The order its rows are for.
    pub(super) tag: u16,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// The groups of a batch. Group 0 is the one left open by the batch before, if there is one.
pub(super) struct Found {
    pub(super) segments: Vec<Segment>,
    pub(super) n_groups: usize,
    /// Groups that are complete: all, or all but the last.
    pub(super) n_closed: usize,
    /// The keys of the complete groups.
    pub(super) closed_keys: Vec<ArrayRef>,
}

/// Finds groups, batch by batch.
pub(super) struct GroupFinder {
    keys: Vec<usize>,
    tag: Option<usize>,
    empty: Vec<ArrayRef>,
    /// The key of the group that is not complete.
    open: Option<Vec<ArrayRef>>,
}

impl GroupFinder {
    pub(super) fn new(spec: &OrderedSpec) -> Self {
        let empty = spec.keys.iter().map(|&key| new_empty_array(spec.input.field(key).data_type()));
        GroupFinder { keys: spec.keys.clone(), tag: spec.tag, empty: empty.collect(), open: None }
    }

    /// The groups of `batch`; `is_last` when no later batch continues the last one.
    pub(super) fn find(&mut self, batch: &RecordBatch, is_last: bool) -> Result<Found> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| batch.column(key).clone()).collect();
        let (segments, starts) = self.segments(batch, &keys)?;
        let n_groups = segments.last().map_or(usize::from(self.open.is_some()), |last| last.group + 1);
        let n_closed = if is_last { n_groups } else { n_groups.saturating_sub(1) };
        // `starts` are the first rows of all groups; the one that was open has its key from before.
        let n_before = usize::from(self.open.is_some());
        let open = self.open.take();
        let key_of = |from: usize, to: usize| -> Result<Vec<ArrayRef>> {
            let rows = UInt32Array::from_iter_values(
                starts[from.max(n_before) - n_before..to.max(n_before) - n_before].iter().copied(),
            );
            let mut columns = Vec::with_capacity(keys.len());
            for (idx, key) in keys.iter().enumerate() {
                let here = if rows.is_empty() { self.empty[idx].clone() } else { take(key, &rows, None)? };
                columns.push(match &open {
                    Some(open) if from == 0 && to > 0 => concat(&[open[idx].as_ref(), here.as_ref()])?,
                    _ => here,
                });
            }
            Ok(columns)
        };
        let closed_keys = key_of(0, n_closed)?;
        if n_closed < n_groups {
            self.open = Some(key_of(n_closed, n_groups)?);
        }
        Ok(Found { segments, n_groups, n_closed, closed_keys })
    }

    /// The segments of a batch, and the first row of each group that begins in it.
    fn segments(&self, batch: &RecordBatch, keys: &[ArrayRef]) -> Result<(Vec<Segment>, Vec<u32>)> {
        let n_rows = batch.num_rows();
        if n_rows == 0 {
            return Ok((Vec::new(), Vec::new()));
        }
        let continues = match &self.open {
            Some(open) => is_same_key(open, keys)?,
            None => false,
        };
        let tags = self.tag.map(|tag| batch.column(tag));
        let groups = partition(keys)?.ranges();
        let mut starts: Vec<u32> = groups.iter().map(|group| group.start as u32).collect();
        let first_group = usize::from(self.open.is_some() && !continues);
        if continues {
            starts.remove(0);
        }
        let mut segments = Vec::with_capacity(groups.len());
        for (idx, rows) in groups.into_iter().enumerate() {
            let group = first_group + idx;
            match tags {
                None => segments.push(Segment { group, tag: 0, start: rows.start, len: rows.len() }),
                Some(tags) => {
                    let tags = tags.as_primitive::<UInt16Type>().values();
                    for run in tags[rows.clone()].chunk_by(|a, b| a == b) {
                        let start = segments.last().map_or(0, |last: &Segment| last.start + last.len);
                        segments.push(Segment { group, tag: run[0], start, len: run.len() });
                    }
                }
            }
        }
        Ok((segments, starts))
    }
}

/// Whether the first row has the key `open`.
fn is_same_key(open: &[ArrayRef], keys: &[ArrayRef]) -> Result<bool> {
    for (open, key) in open.iter().zip(keys) {
        if !is_same(open, 0, key, 0)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two values are equal, NULL to NULL.
pub(super) fn is_same(left: &dyn Array, left_row: usize, right: &dyn Array, right_row: usize) -> Result<bool> {
    Ok(make_comparator(left, right, SortOptions::default())?(left_row, right_row).is_eq())
}

/// A copy of one row that does not keep the batch alive.
pub(super) fn copy_row(column: &ArrayRef, row: usize) -> Result<ArrayRef> {
    Ok(take(column, &UInt32Array::from(vec![row as u32]), None)?)
}

/// For every row but the first whether it differs from the one before in any of `columns`; the first counts as different.
pub(super) fn changes(columns: &[ArrayRef], n_rows: usize) -> Result<BooleanArray> {
    let mut changed = vec![columns.is_empty(); n_rows];
    if n_rows > 0 && !columns.is_empty() {
        for range in partition(columns)?.ranges() {
            changed[range.start] = true;
        }
    }
    Ok(changed.into())
}
