//! The batch of rows whose results are computed: where its partitions and groups of peers begin and end.
//!
//! Memory: two positions a row for every order that calls use.

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;

use super::log::Log;
use crate::error::Result;

/// The end of what is not known yet; no call asks for it.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// Rows of one batch, all of them ready.
pub(super) struct Piece {
    /// Position of the first row.
    pub(super) first: u64,
    pub(super) n_rows: usize,
    /// The input columns.
    pub(super) columns: Vec<ArrayRef>,
    /// The partitions, in order; together they cover the batch.
    pub(super) segments: Vec<Segment>,
    /// One a order.
    pub(super) peers: Vec<Peers>,
}

/// The rows of one partition in a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Rows of the batch.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Positions of the first row of the partition, and after the last.
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The groups of peers in a batch.
pub(super) struct Peers {
    /// Set where a group begins.
    pub(super) is_start: BooleanBuffer,
    /// For every row, the position of the first row of its group, and after the last.
    pub(super) starts: Vec<u64>,
    pub(super) ends: Vec<u64>,
}

impl Piece {
    /// `len` rows from row `at` on, with the partitions and groups of peers that those are in.
    pub(super) fn part(&self, at: usize, len: usize) -> Piece {
        let here = |row: usize| row.clamp(at, at + len) - at;
        let segments = self.segments.iter().filter(|segment| segment.from < at + len && segment.to > at);
        let peers = |peers: &Peers| Peers {
            is_start: peers.is_start.slice(at, len),
            starts: peers.starts[at..at + len].to_vec(),
            ends: peers.ends[at..at + len].to_vec(),
        };
        Piece {
            first: self.first + at as u64,
            n_rows: len,
            columns: self.columns.iter().map(|column| column.slice(at, len)).collect(),
            segments: segments.map(|one| Segment { from: here(one.from), to: here(one.to), ..*one }).collect(),
            peers: self.peers.iter().map(peers).collect(),
        }
    }
}

/// What is carried from batch to batch.
#[derive(Default)]
pub(super) struct Carried {
    partition_start: u64,
    partition_end: Option<u64>,
    peer_start: Vec<u64>,
    peer_end: Vec<Option<u64>>,
}

impl Carried {
    pub(super) fn new(n_orders: usize) -> Self {
        Carried { peer_start: vec![0; n_orders], peer_end: vec![None; n_orders], ..Carried::default() }
    }

    /// The partitions of the batch of `n_rows` at `first`, whose starts are set in `is_start`. All rows are there when
    /// `is_complete`.
    pub(super) fn segments(
        &mut self,
        (first, n_rows): (u64, usize),
        is_start: &BooleanBuffer,
        log: &Log,
        is_complete: bool,
    ) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        let mut open = Segment { from: 0, to: 0, start: self.partition_start, end: UNKNOWN };
        for row in is_start.set_indices() {
            let position = first + row as u64;
            if row > 0 {
                segments.push(Segment { to: row, end: position, ..open });
            }
            open = Segment { from: row, to: 0, start: position, end: UNKNOWN };
        }
        self.partition_start = open.start;
        let after = first + n_rows as u64;
        let known = self.partition_end.filter(|&end| end >= after);
        self.partition_end = match known {
            Some(end) => Some(end),
            None => log.first_after(first, |facts| facts.partition_start)?.or(is_complete.then_some(log.end)),
        };
        segments.push(Segment { to: n_rows, end: self.partition_end.unwrap_or(UNKNOWN), ..open });
        Ok(segments)
    }

    /// The groups of peers by order number `order`.
    pub(super) fn peers(
        &mut self,
        order: usize,
        (first, n_rows): (u64, usize),
        is_start: BooleanBuffer,
        log: &Log,
        is_complete: bool,
    ) -> Result<Peers> {
        let (mut starts, mut ends) = (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows));
        let mut start = self.peer_start[order];
        for row in is_start.set_indices() {
            let position = first + row as u64;
            starts.resize(row, start);
            ends.resize(row, position);
            start = position;
        }
        starts.resize(n_rows, start);
        self.peer_start[order] = start;
        let known = self.peer_end[order].filter(|&end| end >= first + n_rows as u64);
        self.peer_end[order] = match known {
            Some(end) => Some(end),
            None => log.first_after(first, |facts| facts.peer_start[order])?.or(is_complete.then_some(log.end)),
        };
        ends.resize(n_rows, self.peer_end[order].unwrap_or(UNKNOWN));
        Ok(Peers { is_start, starts, ends })
    }
}
