//! Functions that give the argument of another row: lag, lead, first_value, last_value, nth_value.
//!
//! The other row's position never goes back either, so its values are read in one pass. With IGNORE NULLS a second cursor
//! looks for rows that are not NULL: the first one from the start of the frame on, or the one with a given number.
//!
//! Memory: two positions a row of the batch at hand, and the readers' columns.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Scalar, UInt32Array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;

use super::frames::FrameRows;
use super::log::{Log, Reader};
use super::piece::Piece;
use super::results::ResultMemory;
use crate::error::Result;
use crate::exec::QueryContext;

/// No row.
const NONE: u64 = u64::MAX;

/// Which row.
pub(super) enum Target {
    /// So many rows away.
    Shift(i64),
    /// The first of the frame.
    First,
    /// The last of the frame.
    Last,
    /// The n-th of the frame, from 1.
    Nth(u64),
}

pub(super) struct Positional {
    target: Target,
    /// With IGNORE NULLS.
    nulls: Option<Valid>,
    default: Option<ArrayRef>,
    /// Whether frames start where their partition does.
    grows_only: bool,
    values: Reader,
    data_type: DataType,
    /// The lowest position that later rows may ask for.
    low: u64,
    results: ResultMemory,
}

/// Finds rows that are not NULL.
struct Valid {
    /// Counts them up to a row.
    counter: ValidCursor,
    /// Finds one by its number.
    finder: ValidCursor,
    /// The last one seen.
    last: Option<u64>,
}

struct ValidCursor {
    reader: Reader,
    nulls: Option<NullBuffer>,
    at: u64,
    /// Rows of the partition before `at` that are not NULL.
    n_before: u64,
}

impl ValidCursor {
    fn new(column: usize, cx: &QueryContext) -> Self {
        ValidCursor { reader: Reader::new(vec![column], cx), nulls: None, at: 0, n_before: 0 }
    }

    /// Whether the row at `self.at` is not NULL.
    fn is_valid(&mut self, log: &mut Log) -> Result<bool> {
        if self.reader.seek(log, self.at)? {
            self.nulls = self.reader.columns[0].logical_nulls();
        }
        let row = (self.at - self.reader.first) as usize;
        Ok(self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)))
    }

    /// Counts up to `position`; calls `saw` with every row that is not NULL.
    fn count_to(&mut self, position: u64, log: &mut Log, mut saw: impl FnMut(u64)) -> Result<()> {
        while self.at < position {
            if self.is_valid(log)? {
                self.n_before += 1;
                saw(self.at);
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The row with number `wanted`, from 1, if it comes before `limit`.
    fn find(&mut self, wanted: u64, limit: u64, log: &mut Log) -> Result<u64> {
        while self.at < limit {
            let is_valid = self.is_valid(log)?;
            if is_valid && self.n_before + 1 == wanted {
                return Ok(self.at);
            }
            self.n_before += u64::from(is_valid);
            self.at += 1;
        }
        Ok(NONE)
    }
}

impl Positional {
    pub(super) fn new(
        target: Target,
        (ignore_nulls, grows_only): (bool, bool),
        default: Option<ArrayRef>,
        (column, data_type): (usize, DataType),
        cx: &QueryContext,
    ) -> Self {
        let nulls = ignore_nulls.then(|| Valid {
            counter: ValidCursor::new(column, cx),
            finder: ValidCursor::new(column, cx),
            last: None,
        });
        let default = default.filter(|default| default.null_count() == 0);
        Positional {
            target,
            nulls,
            default,
            grows_only,
            values: Reader::new(vec![column], cx),
            data_type,
            low: 0,
            results: ResultMemory::new(cx),
        }
    }

    pub(super) fn evaluate(&mut self, piece: &Piece, frame: &FrameRows, log: &mut Log) -> Result<ArrayRef> {
        let positions = match &mut self.nulls {
            None => plain_positions(&self.target, piece, frame),
            Some(valid) => valid.positions(&self.target, piece, frame, log)?,
        };
        let values = self.take_values(&positions, log)?;
        self.low = self.lowest(piece, frame, positions.last().copied().unwrap_or(NONE));
        let Some(default) = &self.default else { return Ok(values) };
        let has_row: BooleanArray = positions.iter().map(|&position| Some(position != NONE)).collect();
        Ok(zip(&has_row, &values, &Scalar::new(default.clone()))?)
    }

    /// The lowest position that rows after `piece` may ask for; `found` is the last one that was.
    fn lowest(&self, piece: &Piece, frame: &FrameRows, found: u64) -> u64 {
        let after = piece.first + piece.n_rows as u64;
        let of_frame = frame.starts.last().copied().unwrap_or(after);
        // A row that all later frames of the partition ask for again stays with the reader.
        let is_kept = self.grows_only && self.values.has(found);
        let first = match self.target {
            Target::Shift(by) => {
                let start = piece.segments.last().map_or(after, |segment| segment.start);
                after.saturating_add_signed(by.min(0)).max(start)
            }
            Target::First | Target::Nth(_) if is_kept && self.nulls.is_none() => u64::MAX,
            Target::First => of_frame,
            Target::Nth(n) => of_frame.saturating_add(n - 1),
            // The last row of a frame, or the row before an empty one, which is not read.
            Target::Last => frame.ends.last().map_or(after, |end| end.saturating_sub(1)),
        };
        let Some(valid) = &self.nulls else { return first };
        // Rows found by their number may lie far behind.
        match self.target {
            Target::First | Target::Nth(_) if is_kept && valid.finder.reader.has(found) => u64::MAX,
            Target::First | Target::Nth(_) if self.grows_only => valid.finder.at,
            Target::Last => {
                let last = valid.last.filter(|&last| !self.values.has(last));
                valid.counter.at.min(last.unwrap_or(u64::MAX))
            }
            _ => of_frame.min(first).min(valid.counter.at).min(valid.finder.at),
        }
    }

    pub(super) fn needs_from(&self) -> u64 {
        self.low
    }

    /// The values at `positions`, which do not go back.
    fn take_values(&mut self, positions: &[u64], log: &mut Log) -> Result<ArrayRef> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        self.results.start();
        let mut rows: Vec<Option<u32>> = Vec::with_capacity(positions.len());
        for &position in positions {
            if position != NONE && !self.values.has(position) {
                self.take_part(&mut rows, &mut parts)?;
                self.values.seek(log, position)?;
            }
            rows.push((position != NONE).then(|| (position - self.values.first) as u32));
        }
        self.take_part(&mut rows, &mut parts)?;
        let values = match parts.as_slice() {
            [] => new_null_array(&self.data_type, positions.len()),
            [only] => only.clone(),
            many => concat(&many.iter().map(|part| part.as_ref()).collect::<Vec<_>>())?,
        };
        drop(parts);
        self.results.finish();
        Ok(values)
    }

    fn take_part(&mut self, rows: &mut Vec<Option<u32>>, parts: &mut Vec<ArrayRef>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let none = rows.iter().all(Option::is_none);
        if let Some(column) = self.values.columns.first().filter(|_| !none) {
            self.results.add(bytes_at(column, rows))?;
        }
        let rows = UInt32Array::from(std::mem::take(rows));
        parts.push(match self.values.columns.first().filter(|_| !none) {
            Some(column) => take(column, &rows, None)?,
            None => new_null_array(&self.data_type, rows.len()),
        });
        Ok(())
    }
}

/// Bytes of some rows of a column beside those of its width; of nested values about so many.
fn bytes_at(column: &ArrayRef, rows: &[Option<u32>]) -> usize {
    let rows = || rows.iter().flatten().map(|&row| row as usize);
    let of = |offsets: &[i32]| rows().map(|row| (offsets[row + 1] - offsets[row]) as usize).sum();
    match column.data_type() {
        DataType::Utf8 => of(column.as_string::<i32>().value_offsets()),
        DataType::Binary => of(column.as_binary::<i32>().value_offsets()),
        fixed if fixed.is_primitive() || matches!(fixed, DataType::Boolean | DataType::Null) => 0,
        _ => rows().count() * column.get_array_memory_size() / column.len().max(1),
    }
}

fn plain_positions(target: &Target, piece: &Piece, frame: &FrameRows) -> Vec<u64> {
    let frames = || frame.starts.iter().zip(&frame.ends);
    match target {
        Target::Shift(by) => {
            let mut positions = Vec::with_capacity(piece.n_rows);
            for segment in &piece.segments {
                positions.extend((segment.from..segment.to).map(|row| {
                    let there = (piece.first + row as u64).checked_add_signed(*by);
                    there.filter(|there| (segment.start..segment.end).contains(there)).unwrap_or(NONE)
                }));
            }
            positions
        }
        Target::First => frames().map(|(&start, &end)| if start < end { start } else { NONE }).collect(),
        Target::Last => frames().map(|(&start, &end)| if start < end { end - 1 } else { NONE }).collect(),
        Target::Nth(n) => {
            let nth = |(&start, &end): (&u64, &u64)| match start.checked_add(n - 1) {
                Some(there) if there < end => there,
                _ => NONE,
            };
            frames().map(nth).collect()
        }
    }
}

impl Valid {
    fn positions(&mut self, target: &Target, piece: &Piece, frame: &FrameRows, log: &mut Log) -> Result<Vec<u64>> {
        let mut positions = Vec::with_capacity(piece.n_rows);
        for segment in &piece.segments {
            if piece.first + segment.from as u64 == segment.start {
                self.start_partition(segment.start);
            }
            for row in segment.from..segment.to {
                let (start, end) = (frame.starts[row], frame.ends[row]);
                let current = piece.first + row as u64;
                positions.push(match *target {
                    Target::First => self.nth_from(start, 1, end, log)?,
                    Target::Nth(n) => self.nth_from(start, n, end, log)?,
                    Target::Last => {
                        let last = &mut self.last;
                        self.counter.count_to(end, log, |seen| *last = Some(seen))?;
                        self.finder.at = self.finder.at.max(end);
                        self.last.filter(|&seen| seen >= start && start < end).unwrap_or(NONE)
                    }
                    Target::Shift(by) => self.shifted(current, by, segment.end, log)?,
                });
            }
        }
        Ok(positions)
    }

    /// Nothing of the partitions before is needed any more; their rows may not be there any more.
    fn start_partition(&mut self, start: u64) {
        (self.counter.at, self.counter.n_before) = (start, 0);
        (self.finder.at, self.finder.n_before) = (start, 0);
        self.last = None;
    }

    fn nth_from(&mut self, start: u64, n: u64, end: u64, log: &mut Log) -> Result<u64> {
        if start >= end {
            return Ok(NONE);
        }
        self.counter.count_to(start, log, |_| {})?;
        self.finder.find(self.counter.n_before.saturating_add(n), end, log)
    }

    /// The row that is not NULL and `by` such rows away.
    fn shifted(&mut self, current: u64, by: i64, end: u64, log: &mut Log) -> Result<u64> {
        match by {
            0 => Ok(current),
            1.. => {
                self.counter.count_to(current + 1, log, |_| {})?;
                self.finder.find(self.counter.n_before.saturating_add_signed(by), end, log)
            }
            _ => {
                self.counter.count_to(current, log, |_| {})?;
                let wanted = self.counter.n_before.checked_sub(by.unsigned_abs() - 1);
                match wanted.filter(|&wanted| wanted > 0) {
                    Some(wanted) => self.finder.find(wanted, current, log),
                    None => Ok(NONE),
                }
            }
        }
    }
}
