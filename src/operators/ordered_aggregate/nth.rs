//! nth_value: the n-th row of a group from the front or the back.
//!
//! Memory: a value of the open group; counted from the back, the last `n` values, which are reserved.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::DataType;

use super::GroupCall;
use super::groups::copy_row;
use super::selection::Selected;
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

/// One call of nth_value.
pub(super) struct NthCall {
    data_type: DataType,
    /// From 1.
    n: u64,
    from_end: bool,
    /// Rows of the open group so far.
    n_seen: u64,
    /// The value of the open group; from the end, its last values.
    kept: Option<ArrayRef>,
    memory: Reservation,
}

impl NthCall {
    pub(super) fn new(n: i64, data_type: DataType, memory: &Memory) -> Result<Self> {
        if n == 0 {
            return Err(Error::usage("nth_value counts from 1, or from -1 backwards; there is no 0"));
        }
        let memory = memory.reserve("nth_value");
        Ok(NthCall { data_type, n: n.unsigned_abs(), from_end: n < 0, n_seen: 0, kept: None, memory })
    }

    fn end_group(&mut self) {
        (self.n_seen, self.kept) = (0, None);
    }

    /// Notes rows of the open group.
    fn keep(&mut self, values: &ArrayRef) -> Result<()> {
        let before = self.n_seen;
        self.n_seen += values.len() as u64;
        if !self.from_end {
            if before < self.n && self.n <= self.n_seen {
                self.kept = Some(copy_row(values, (self.n - 1 - before) as usize)?);
            }
            return Ok(());
        }
        let all = match &self.kept {
            Some(kept) => {
                self.memory.try_resize((kept.get_array_memory_size() + values.get_array_memory_size()) as u64)?;
                concat(&[kept.as_ref(), values.as_ref()])?
            }
            None => values.clone(),
        };
        let n_kept = all.len().min(self.n.try_into().unwrap_or(usize::MAX));
        let last = concat(&[all.slice(all.len() - n_kept, n_kept).as_ref()])?;
        self.memory.try_resize(last.get_array_memory_size() as u64)?;
        self.kept = Some(last);
        Ok(())
    }

    /// The value of the group whose rows were all noted.
    fn kept_value(&self) -> Option<ArrayRef> {
        match (&self.kept, self.from_end) {
            (Some(kept), false) => Some(kept.clone()),
            (Some(kept), true) if self.n_seen >= self.n => Some(kept.slice(0, 1)),
            _ => None,
        }
    }

    /// The row of a group that lies in the batch as a whole.
    fn row_in(&self, start: usize, len: usize) -> Option<usize> {
        let n = usize::try_from(self.n).ok().filter(|&n| n <= len)?;
        Some(if self.from_end { start + len - n } else { start + n - 1 })
    }
}

impl GroupCall for NthCall {
    fn push(&mut self, rows: &Selected) -> Result<ArrayRef> {
        let Some(values) = rows.columns.first() else { return Err(Error::query("an nth_value without values")) };
        let mut places: Vec<(usize, usize)> = vec![(0, 0); rows.n_closed];
        let goes_on = self.n_seen > 0;
        let mut rest = None;
        for segment in &rows.segments {
            let slice = || values.slice(segment.start, segment.len);
            match segment.group {
                group if group >= rows.n_closed => rest = Some(slice()),
                0 if goes_on => self.keep(&slice())?,
                group => places[group] = self.row_in(segment.start, segment.len).map_or((0, 0), |row| (2, row)),
            }
        }
        let null = new_null_array(&self.data_type, 1);
        let mut kept = null.clone();
        if goes_on && rows.n_closed > 0 {
            if let Some(value) = self.kept_value() {
                (kept, places[0]) = (value, (1, 0));
            }
            self.end_group();
        }
        if let Some(rest) = rest {
            self.keep(&rest)?;
        }
        Ok(interleave(&[null.as_ref(), kept.as_ref(), values.as_ref()], &places)?)
    }
}
