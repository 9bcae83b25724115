//! Aggregates over frames that move: nothing is ever subtracted.
//!
//! A frame is kept in two halves. The back half only grows: its aggregate takes a row at a time. The front half only
//! shrinks: it has an aggregate for each row with all that follow in that half, made in one go, backwards, when the front
//! half is used up and the back half takes its place. So each row is added about twice however large frames are, sums of
//! floats do not drift, and minimum and maximum need no order of their own. A frame that starts where its partition
//! starts has a back half only.
//!
//! Memory: aggregates for the rows of one batch, and one for every further batch of the front half: a frame of a billion
//! rows takes a few MiB. They are reserved before they are made.

use arrow::array::ArrayRef;

use super::frames::FrameRows;
use super::log::{Log, Reader};
use super::piece::Piece;
use super::results::ResultMemory;
use crate::error::Result;
use crate::exec::QueryContext;
use crate::memory::Reservation;

/// An aggregate that can be combined from those of parts.
pub(super) trait Fold: Send + 'static {
    /// The aggregate of some rows; the default is that of none.
    type State: Clone + Default + Send;
    /// The argument's column, ready to be read.
    type Input: Send;
    /// A result.
    type Output;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input>;
    fn add(&self, state: &mut Self::State, input: &Self::Input, row: usize);
    /// Adds the aggregate of later rows.
    fn merge(&self, state: &mut Self::State, later: &Self::State);
    fn result(&self, state: &Self::State) -> Result<Option<Self::Output>>;
    fn array(&self, results: Vec<Option<Self::Output>>) -> Result<ArrayRef>;
    /// Bytes of a state beside itself, at most as far as is known.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }
    /// Bytes of a result beside those of its width.
    fn result_bytes(&self, _result: &Self::Output) -> usize {
        0
    }
}

/// One of them over the frames of a partition after the other.
pub(super) struct Folding<F: Fold> {
    fold: F,
    /// Whether frames start where their partition does.
    grows_only: bool,
    /// The frame is `start..end`; the front half `start..turn`.
    start: u64,
    turn: u64,
    end: u64,
    back: F::State,
    /// For every row of one batch from `head_first` on, the aggregate of it and the rows after it up to `head_end`.
    head: Vec<F::State>,
    head_first: u64,
    head_end: u64,
    /// For every later batch of the front half, last first: where it starts, and the aggregate from there to `turn`.
    rest: Vec<(u64, F::State)>,
    front_rows: Typed<F>,
    back_rows: Typed<F>,
    memory: Reservation,
    results: ResultMemory,
}

struct Typed<F: Fold> {
    reader: Reader,
    input: Option<F::Input>,
}

impl<F: Fold> Typed<F> {
    fn seek(&mut self, fold: &F, log: &mut Log, position: u64) -> Result<()> {
        if self.reader.seek(log, position)? || self.input.is_none() {
            self.input = Some(fold.input(&self.reader.columns[0])?);
        }
        Ok(())
    }
}

impl<F: Fold> Folding<F> {
    pub(super) fn new(fold: F, column: usize, grows_only: bool, cx: &QueryContext) -> Self {
        let typed = || Typed { reader: Reader::new(vec![column], cx), input: None };
        Folding {
            fold,
            grows_only,
            start: 0,
            turn: 0,
            end: 0,
            back: F::State::default(),
            head: Vec::new(),
            head_first: 0,
            head_end: 0,
            rest: Vec::new(),
            front_rows: typed(),
            back_rows: typed(),
            memory: cx.memory.reserve("Window"),
            results: ResultMemory::new(cx),
        }
    }

    /// Starts anew with an empty frame.
    fn reset(&mut self, at: u64) {
        (self.start, self.turn, self.end) = (at, at, at);
        self.back = F::State::default();
        self.head.clear();
        self.rest.clear();
    }

    /// Adds rows up to `end`.
    #[inline(always)]
    fn extend(&mut self, end: u64, log: &mut Log) -> Result<()> {
        while self.end < end {
            if !self.back_rows.reader.has(self.end) {
                self.back_rows.seek(&self.fold, log, self.end)?;
            }
            let Some(input) = &self.back_rows.input else { break };
            let (first, stop) = (self.back_rows.reader.first, end.min(self.back_rows.reader.end));
            for row in (self.end - first) as usize..(stop - first) as usize {
                self.fold.add(&mut self.back, input, row);
            }
            self.end = stop;
        }
        Ok(())
    }

    /// Lets go of the rows before `start`.
    fn shrink(&mut self, start: u64, log: &mut Log) -> Result<()> {
        self.start = start;
        if start >= self.turn {
            self.turn_round(log)?;
        } else if start >= self.head_end {
            while self.rest.pop_if(|(first, _)| *first <= start).is_some() {}
            self.make_head(log)?;
        }
        Ok(())
    }

    /// Makes the back half the front half.
    #[cold]
    fn turn_round(&mut self, log: &mut Log) -> Result<()> {
        self.turn = self.end;
        self.back = F::State::default();
        self.rest.clear();
        self.memory.try_resize((self.head.capacity() * size_of::<F::State>()) as u64)?;
        let (head_first, head_rows) = log.extent(self.start)?;
        let head_end = head_first + head_rows as u64;
        let mut end = self.turn;
        let mut after = F::State::default();
        while end > head_end {
            let (first, _) = log.extent(end - 1)?;
            let mut state = self.aggregate(first, end, log)?;
            self.fold.merge(&mut state, &after);
            after = state.clone();
            let bytes = size_of::<(u64, F::State)>() + self.fold.heap_bytes(&state);
            self.memory.try_grow(bytes as u64)?;
            self.rest.push((first, state));
            end = first;
        }
        self.make_head(log)
    }

    /// The aggregate of `first..end`, rows of one batch.
    fn aggregate(&mut self, first: u64, end: u64, log: &mut Log) -> Result<F::State> {
        self.front_rows.seek(&self.fold, log, first)?;
        let mut state = F::State::default();
        if let Some(input) = &self.front_rows.input {
            let at = self.front_rows.reader.first;
            ((first - at) as usize..(end - at) as usize).for_each(|row| self.fold.add(&mut state, input, row));
        }
        Ok(state)
    }

    /// Makes the aggregates of the rows of the batch that has `self.start`.
    fn make_head(&mut self, log: &mut Log) -> Result<()> {
        self.front_rows.seek(&self.fold, log, self.start)?;
        self.head_first = self.start;
        self.head_end = self.front_rows.reader.end.min(self.turn);
        let n_rows = (self.head_end - self.head_first) as usize;
        self.head.clear();
        if n_rows > self.head.capacity() {
            self.memory.try_grow(((n_rows - self.head.capacity()) * size_of::<F::State>()) as u64)?;
            self.head.reserve_exact(n_rows);
        }
        let at = self.front_rows.reader.first;
        let mut after = F::State::default();
        if let Some(input) = &self.front_rows.input {
            for row in ((self.head_first - at) as usize..(self.head_end - at) as usize).rev() {
                let mut state = F::State::default();
                self.fold.add(&mut state, input, row);
                self.fold.merge(&mut state, &after);
                self.head.push(state.clone());
                after = state;
            }
        }
        Ok(())
    }

    /// The aggregate of the frame.
    #[inline(always)]
    fn result(&self) -> Result<Option<F::Output>> {
        if self.start >= self.turn {
            return self.fold.result(&self.back);
        }
        // The head was filled backwards.
        let mut state = self.head[(self.head_end - 1 - self.start) as usize].clone();
        if let Some((_, rest)) = self.rest.last() {
            self.fold.merge(&mut state, rest);
        }
        self.fold.merge(&mut state, &self.back);
        self.fold.result(&state)
    }

    pub(super) fn evaluate(&mut self, piece: &Piece, frame: &FrameRows, log: &mut Log) -> Result<ArrayRef> {
        let mut results = Vec::with_capacity(piece.n_rows);
        self.results.start();
        for (&start, &end) in frame.starts.iter().zip(&frame.ends) {
            if start >= self.end {
                self.reset(start);
            }
            self.extend(end, log)?;
            if start > self.start {
                self.shrink(start, log)?;
            }
            let result = self.result()?;
            let bytes = result.as_ref().map_or(0, |result| self.fold.result_bytes(result));
            if bytes > 0 {
                self.results.add(bytes)?;
            }
            results.push(result);
        }
        let results = self.fold.array(results)?;
        self.results.finish();
        Ok(results)
    }

    pub(super) fn needs_from(&self) -> u64 {
        if self.grows_only { self.end } else { self.start }
    }
}
