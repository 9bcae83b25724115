//! Which rows the frame of each row has.
//!
//! All frames move forward only: the offsets are constants. So each end of a frame is a cursor that never goes back, and
//! reading the keys or starts of peers it passes costs one pass over the rows. A frame is a range of positions; an empty
//! one begins where it ends. Times are the exception: a month after January 30th, 8:00, comes after a month after the
//! 31st, 7:00, and clocks are put back. The edge of a frame that would go back stays where that of the row before it is.
//!
//! Memory: two positions a row of the batch at hand, and the readers' columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DynComparator, RecordBatch, UInt32Array, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::SchemaRef;

use super::log::{Log, Reader};
use super::piece::{Peers, Piece, Segment};
use super::spec::{Bound, Frame, FrameEdges, Unit, WindowSpec};
use crate::error::Result;
use crate::exec::QueryContext;
use crate::operators::equality::normalize;

/// Frames of the rows of a piece.
#[derive(Default)]
pub(super) struct FrameRows {
    /// For every row, the position of the first row of its frame, and after the last.
    pub(super) starts: Vec<u64>,
    pub(super) ends: Vec<u64>,
}

impl FrameRows {
    /// Those of `len` rows from row `at` on, if frames are known.
    pub(super) fn part(&self, at: usize, len: usize) -> FrameRows {
        let part = |positions: &[u64]| positions.get(at..at + len).unwrap_or_default().to_vec();
        FrameRows { starts: part(&self.starts), ends: part(&self.ends) }
    }
}

/// Computes the frames of one kind.
pub(super) struct FrameCursor {
    start: Edge,
    end: Edge,
    /// Which of the piece's peers.
    order: usize,
}

enum Edge {
    /// The first row of the partition, or after the last.
    Partition,
    /// The row so many rows after the current one.
    Row(i64),
    /// The first peer, or after the last.
    Peers,
    /// The start of the group so many groups after the current one.
    Group(GroupCursor),
    /// The first row whose key is not before a value, or after it.
    Value(ValueCursor),
}

/// Which end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    End,
}

impl FrameCursor {
    /// `order` is the number of the frame's order among those in use, `peers_column` its column in the log.
    pub(super) fn new(frame: &Frame, order: usize, peers_column: usize, spec: &WindowSpec, cx: &QueryContext) -> Self {
        let edge = |bound: &Bound, side: Side| match (bound, frame.unit) {
            (Bound::Unbounded, _) => Edge::Partition,
            (Bound::Offset(by), Unit::Rows) => Edge::Row(by.saturating_add(i64::from(side == Side::End))),
            (Bound::Offset(0), _) => Edge::Peers,
            (Bound::Offset(by), _) => {
                let by = by.saturating_add(i64::from(side == Side::End));
                Edge::Group(GroupCursor::new(by, order, Reader::new(vec![peers_column], cx)))
            }
            (Bound::Value(edges), _) => {
                let key = spec.order[0];
                let reader = Reader::new(vec![key.column], cx);
                let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
                let state = ValueState { reader, options, compare: None, at: 0 };
                Edge::Value(ValueCursor { edges: edges.clone(), schema: spec.input.clone(), state })
            }
        };
        FrameCursor { start: edge(&frame.start, Side::Start), end: edge(&frame.end, Side::End), order }
    }

    /// The lowest position that is still needed.
    pub(super) fn needs_from(&self) -> u64 {
        self.start.needs_from().min(self.end.needs_from())
    }

    /// The frames of the rows of `piece`.
    pub(super) fn rows(&mut self, piece: &Piece, log: &mut Log) -> Result<FrameRows> {
        let mut starts = self.start.positions(Side::Start, piece, &piece.peers[self.order], log)?;
        let ends = self.end.positions(Side::End, piece, &piece.peers[self.order], log)?;
        starts.iter_mut().zip(&ends).for_each(|(start, end)| *start = (*start).min(*end));
        Ok(FrameRows { starts, ends })
    }
}

impl Edge {
    fn needs_from(&self) -> u64 {
        match self {
            Edge::Partition | Edge::Row(_) | Edge::Peers => u64::MAX,
            Edge::Group(cursor) => cursor.at,
            Edge::Value(cursor) => cursor.state.at,
        }
    }

    fn positions(&mut self, side: Side, piece: &Piece, peers: &Peers, log: &mut Log) -> Result<Vec<u64>> {
        let mut positions = Vec::with_capacity(piece.n_rows);
        match self {
            Edge::Partition => {
                for segment in &piece.segments {
                    positions.resize(segment.to, if side == Side::Start { segment.start } else { segment.end });
                }
            }
            Edge::Row(by) => {
                for segment in &piece.segments {
                    let position = |row: usize| {
                        let current = piece.first + row as u64;
                        current.saturating_add_signed(*by).clamp(segment.start, segment.end)
                    };
                    positions.extend((segment.from..segment.to).map(position));
                }
            }
            Edge::Peers if side == Side::Start => positions.extend_from_slice(&peers.starts),
            Edge::Peers => positions.extend_from_slice(&peers.ends),
            Edge::Group(cursor) => {
                for segment in &piece.segments {
                    cursor.positions(segment, piece, peers, log, &mut positions)?;
                }
            }
            Edge::Value(cursor) => cursor.positions(side, piece, log, &mut positions)?,
        }
        Ok(positions)
    }
}

/// Finds where groups of peers start, by their number since the first row of all.
struct GroupCursor {
    by: i64,
    order: usize,
    reader: Reader,
    /// The next position to look at, and how many groups start before it.
    at: u64,
    n_before: u64,
    /// The number of the current row's group, and of the first one of its partition.
    current: u64,
    partition: u64,
}

impl GroupCursor {
    fn new(by: i64, order: usize, reader: Reader) -> Self {
        GroupCursor { by, order, reader, at: 0, n_before: 0, current: 0, partition: 0 }
    }

    fn positions(
        &mut self,
        segment: &Segment,
        piece: &Piece,
        peers: &Peers,
        log: &mut Log,
        positions: &mut Vec<u64>,
    ) -> Result<()> {
        debug_assert!(self.order < piece.peers.len());
        let limit = segment.end.min(log.end);
        for row in segment.from..segment.to {
            self.current += u64::from(peers.is_start.value(row));
            if piece.first + row as u64 == segment.start {
                self.partition = self.current;
                // Groups of the partitions before are not looked for any more.
                if self.at < segment.start {
                    (self.at, self.n_before) = (segment.start, self.current - 1);
                }
            }
            let wanted = self.current.saturating_add_signed(self.by);
            positions.push(match wanted <= self.partition {
                true => segment.start,
                false => self.find(wanted, limit, log)?,
            });
        }
        Ok(())
    }

    /// The start of group `wanted`, or `limit` when that comes first.
    fn find(&mut self, wanted: u64, limit: u64, log: &mut Log) -> Result<u64> {
        while self.at < limit {
            self.reader.seek(log, self.at)?;
            let is_start = self.reader.columns[0].as_boolean().values();
            let end = self.reader.end.min(limit);
            while self.at < end {
                let starts = is_start.value((self.at - self.reader.first) as usize);
                if starts && self.n_before + 1 == wanted {
                    return Ok(self.at);
                }
                self.n_before += u64::from(starts);
                self.at += 1;
            }
        }
        Ok(limit)
    }
}

/// Finds the first row whose key is not before a value.
struct ValueCursor {
    edges: Arc<dyn FrameEdges>,
    schema: SchemaRef,
    state: ValueState,
}

struct ValueState {
    reader: Reader,
    options: SortOptions,
    /// Compares a key of the batch at hand with a value.
    compare: Option<DynComparator>,
    at: u64,
}

impl ValueCursor {
    fn positions(&mut self, side: Side, piece: &Piece, log: &mut Log, positions: &mut Vec<u64>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), piece.columns.clone())?;
        let edges = self.edges.evaluate(&batch)?;
        let values = normalize(&edges.keys)?;
        let is_in = |rows: &Option<BooleanBuffer>, row| rows.as_ref().is_some_and(|rows| rows.value(row));
        self.state.compare = None;
        for segment in &piece.segments {
            let limit = segment.end.min(log.end);
            self.state.at = self.state.at.max(segment.start);
            for row in segment.from..segment.to {
                // The first key of all is not before an edge that comes before it, and the last is no edge beyond it.
                let side = match () {
                    () if is_in(&edges.before_all, row) => Side::Start,
                    () if is_in(&edges.after_all, row) => Side::End,
                    () => side,
                };
                positions.push(self.state.find(side, &values, row, limit, log)?);
            }
        }
        Ok(())
    }
}

impl ValueState {
    fn find(&mut self, side: Side, values: &ArrayRef, row: usize, limit: u64, log: &mut Log) -> Result<u64> {
        while self.at < limit {
            if self.reader.seek(log, self.at)? || self.compare.is_none() {
                let keys = normalize(&self.reader.columns[0])?;
                self.compare = Some(make_comparator(&keys, values, self.options)?);
            }
            let Some(compare) = &self.compare else { break };
            let end = self.reader.end.min(limit);
            while self.at < end {
                let order = compare((self.at - self.reader.first) as usize, row);
                if order.is_gt() || order.is_eq() && side == Side::Start {
                    return Ok(self.at);
                }
                self.at += 1;
            }
        }
        Ok(limit)
    }
}

/// Whether `key` comes after `value` in the order of `options`; both are one value.
pub(super) fn comes_after(key: &ArrayRef, value: &ArrayRef, options: SortOptions) -> Result<bool> {
    debug_assert!(key.len() == 1 && value.len() == 1);
    Ok(make_comparator(&normalize(key)?, &normalize(value)?, options)?(0, 0).is_gt())
}

/// The last of some values in the order of `options`.
pub(super) fn last_of(values: &ArrayRef, options: SortOptions) -> Result<ArrayRef> {
    let values = normalize(values)?;
    let compare = make_comparator(&values, &values, options)?;
    let last = (0..values.len()).max_by(|&a, &b| compare(a, b)).unwrap_or(0);
    copy_row(&values, last)
}

/// A copy of one row, which does not hold on to its batch.
pub(super) fn copy_row(column: &ArrayRef, row: usize) -> Result<ArrayRef> {
    Ok(take(column, &UInt32Array::from(vec![row as u32]), None)?)
}
