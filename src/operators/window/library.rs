//! Aggregates of the library over frames, through its accumulators.
//!
//! Rows that a frame loses are removed where the accumulator can do that; else the frame is added anew, which costs its
//! whole length for every row.
//!
//! Memory: what the accumulator says it holds, reserved after every batch, and the results, reserved one by one. A state
//! that grows with its frame (array_agg, median) has to fit: over budget it is an error that says so.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::filter;

use super::frames::FrameRows;
use super::log::{Log, Reader};
use super::piece::Piece;
use super::results::ResultMemory;
use super::spec::{FrameAccumulator, WindowAggregate};
use crate::error::Result;
use crate::exec::QueryContext;
use crate::memory::Reservation;

pub(super) struct LibraryFrames {
    accumulator: Box<dyn FrameAccumulator>,
    grows_only: bool,
    /// Whether the last column read is a condition.
    has_filter: bool,
    start: u64,
    end: u64,
    /// Rows that come.
    entering: Reader,
    /// Rows that go.
    leaving: Reader,
    memory: Reservation,
    results: ResultMemory,
}

/// What is done with rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Add,
    Remove,
}

/// Rows after which memory is looked at.
const ROWS_AT_ONCE: u64 = 1024;

impl LibraryFrames {
    /// `columns` are the arguments, and with `has_filter` the condition.
    pub(super) fn new(
        function: &Arc<dyn WindowAggregate>,
        columns: Vec<usize>,
        has_filter: bool,
        grows_only: bool,
        cx: &QueryContext,
    ) -> Result<Self> {
        Ok(LibraryFrames {
            accumulator: function.accumulator(!grows_only)?,
            grows_only,
            has_filter,
            start: 0,
            end: 0,
            entering: Reader::new(columns.clone(), cx),
            leaving: Reader::new(columns, cx),
            memory: cx.memory.reserve("Window"),
            results: ResultMemory::new(cx),
        })
    }

    pub(super) fn evaluate(&mut self, piece: &Piece, frame: &FrameRows, log: &mut Log) -> Result<ArrayRef> {
        debug_assert_eq!(piece.n_rows, frame.starts.len());
        let mut before = None;
        self.results.start();
        for (&start, &end) in frame.starts.iter().zip(&frame.ends) {
            if before == Some((start, end)) {
                let bytes = self.accumulator.repeat_result()?;
                self.results.add(bytes)?;
                continue;
            }
            if start >= self.end {
                self.reset(start)?;
            } else if start > self.start && self.accumulator.can_remove() {
                self.pass(Act::Remove, self.start, start, log)?;
                self.start = start;
            } else if start > self.start {
                self.reset(start)?;
            }
            self.pass(Act::Add, self.end, end, log)?;
            self.end = end;
            let bytes = self.accumulator.push_result()?;
            self.results.add(bytes)?;
            before = Some((start, end));
        }
        self.memory.try_resize(self.accumulator.bytes() as u64)?;
        let results = self.accumulator.take_results()?;
        self.results.finish();
        Ok(results)
    }

    fn reset(&mut self, at: u64) -> Result<()> {
        self.accumulator.reset()?;
        (self.start, self.end) = (at, at);
        Ok(())
    }

    fn pass(&mut self, act: Act, mut from: u64, to: u64, log: &mut Log) -> Result<()> {
        let reader = if act == Act::Add { &mut self.entering } else { &mut self.leaving };
        while from < to {
            reader.seek(log, from)?;
            let len = (to.min(reader.end) - from).min(ROWS_AT_ONCE);
            let row = (from - reader.first) as usize;
            let mut n_rows = len as usize;
            let mut rows: Vec<ArrayRef> = reader.columns.iter().map(|column| column.slice(row, len as usize)).collect();
            if let Some(condition) = rows.pop_if(|_| self.has_filter) {
                let condition = condition.as_boolean();
                n_rows = condition.iter().filter(|&holds| holds == Some(true)).count();
                rows = rows.iter().map(|column| filter(column, condition)).collect::<Result<_, _>>()?;
            }
            match act {
                Act::Add => self.accumulator.add(&rows, n_rows)?,
                Act::Remove => self.accumulator.remove(&rows, n_rows)?,
            }
            if len == ROWS_AT_ONCE {
                self.memory.try_resize(self.accumulator.bytes() as u64)?;
            }
            from += len;
        }
        Ok(())
    }

    pub(super) fn needs_from(&self) -> u64 {
        if self.grows_only { self.end } else { self.start }
    }
}
