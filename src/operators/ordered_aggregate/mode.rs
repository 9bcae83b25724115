//! Mode: the values of a group come in order, so equal ones are counted as they pass.
//!
//! Memory: two values of the open group. Of several values that are equally frequent the smallest wins, because it came
//! first.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use super::GroupCall;
use super::groups::{changes, copy_row, is_same};
use super::selection::Selected;
use crate::error::{Error, Result};

/// One call of mode.
pub(super) struct ModeCall {
    data_type: DataType,
    /// Of the open group: the most frequent value before the last one, and the last one, with their counts.
    best: Option<(ArrayRef, u64)>,
    last: Option<(ArrayRef, u64)>,
}

/// Where a value is: of an earlier batch, or a row of this one.
#[derive(Clone, Copy)]
enum At {
    Best,
    Last,
    Row(usize),
}

impl ModeCall {
    pub(super) fn new(data_type: DataType) -> Self {
        ModeCall { data_type, best: None, last: None }
    }
}

/// The value that is ahead in one group.
#[derive(Default)]
struct Race {
    best: Option<(At, u64)>,
    last: Option<(At, u64)>,
}

impl Race {
    /// The value counted last gets `n` more, or the next one begins.
    fn count(&mut self, at: At, n: u64, continues: bool) {
        match &mut self.last {
            Some((_, count)) if continues => *count += n,
            _ => {
                self.settle();
                self.last = Some((at, n));
            }
        }
    }

    /// Compares the last value with the best before.
    fn settle(&mut self) {
        if let Some((at, count)) = self.last.take()
            && self.best.is_none_or(|(_, best)| count > best)
        {
            self.best = Some((at, count));
        }
    }
}

impl GroupCall for ModeCall {
    fn push(&mut self, rows: &Selected) -> Result<ArrayRef> {
        let Some(values) = rows.columns.first() else { return Err(Error::query("a mode without values")) };
        let changed = changes(std::slice::from_ref(values), values.len())?;
        let mut winners: Vec<Option<At>> = vec![None; rows.n_closed];
        let mut race = Race {
            best: self.best.as_ref().map(|(_, count)| (At::Best, *count)),
            last: self.last.as_ref().map(|(_, count)| (At::Last, *count)),
        };
        let mut group = 0;
        for segment in &rows.segments {
            if segment.group > group {
                race.settle();
                winners[group] = race.best.map(|(at, _)| at);
                (race, group) = (Race::default(), segment.group);
            }
            let end = segment.start + segment.len;
            let mut start = segment.start;
            while start < end {
                let next = (start + 1..end).find(|&row| changed.value(row)).unwrap_or(end);
                let continues = match (&self.last, race.last) {
                    (Some((last, _)), Some((At::Last, _))) if start == segment.start => {
                        is_same(last, 0, values, start)?
                    }
                    _ => false,
                };
                race.count(At::Row(start), (next - start) as u64, continues);
                start = next;
            }
        }
        if group < rows.n_closed {
            race.settle();
            winners[group] = race.best.map(|(at, _)| at);
            race = Race::default();
        } else if rows.n_groups > group + 1 {
            race = Race::default();
        }
        let result = self.values_of(&winners, values)?;
        let kept = |at: Option<(At, u64)>| -> Result<Option<(ArrayRef, u64)>> {
            Ok(match at {
                None => None,
                Some((At::Best, count)) => self.best.as_ref().map(|(value, _)| (value.clone(), count)),
                Some((At::Last, count)) => self.last.as_ref().map(|(value, _)| (value.clone(), count)),
                Some((At::Row(row), count)) => Some((copy_row(values, row)?, count)),
            })
        };
        (self.best, self.last) = (kept(race.best)?, kept(race.last)?);
        Ok(result)
    }
}

impl ModeCall {
    fn values_of(&self, winners: &[Option<At>], values: &ArrayRef) -> Result<ArrayRef> {
        let null = new_null_array(&self.data_type, 1);
        let earlier = |kept: &Option<(ArrayRef, u64)>| kept.as_ref().map_or(null.clone(), |(value, _)| value.clone());
        let (best, last) = (earlier(&self.best), earlier(&self.last));
        let arrays: [&dyn Array; 4] = [null.as_ref(), best.as_ref(), last.as_ref(), values.as_ref()];
        let places = winners.iter().map(|winner| match winner {
            None => (0, 0),
            Some(At::Best) => (1, 0),
            Some(At::Last) => (2, 0),
            Some(At::Row(row)) => (3, *row),
        });
        Ok(interleave(&arrays, &places.collect::<Vec<_>>())?)
    }
}
