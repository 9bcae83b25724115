//! UNION ALL: one pipeline an input, all into the same steps and the same sink.
//!
//! Memory: none of its own.
//! Why pipelines and not a source over sources: inputs run one after the other, so each can use all memory and all
//! workers, and the order of the result is defined: first all rows of the first input, then those of the second.
//! Morsels are renumbered so that those of a later input follow without a gap, and only the last pipeline finishes the
//! sink.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::exec::{Batch, Emit, Flow, LocalSink, LocalTransform, Sink, TaskContext, Transform};

/// How many morsels earlier inputs had; shared by all inputs of one union.
#[derive(Default)]
pub struct MorselCounter {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// The number of the first morsel of each input that has started.
    first_of_input: Vec<(usize, u64)>,
    /// Morsels seen so far over all inputs.
    n_morsels: u64,
}

impl MorselCounter {
    fn first_of(&self, input_idx: usize) -> u64 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, first)) = counts.first_of_input.iter().find(|(idx, _)| *idx == input_idx) {
            return *first;
        }
        let first = counts.n_morsels;
        counts.first_of_input.push((input_idx, first));
        first
    }

    fn saw(&self, morsel: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.n_morsels = counts.n_morsels.max(morsel + 1);
    }
}

/// The last step of an input of a union: its morsels follow those of the inputs before it.
pub struct UnionInput {
    counter: Arc<MorselCounter>,
    input_idx: usize,
}

struct LocalUnionInput {
    counter: Arc<MorselCounter>,
    first: u64,
}

impl UnionInput {
    /// Renumbers the morsels of the input number `input_idx` of the union that owns `counter`.
    pub fn new(counter: Arc<MorselCounter>, input_idx: usize) -> Self {
        UnionInput { counter, input_idx }
    }
}

impl Transform for UnionInput {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let first = self.counter.first_of(self.input_idx);
        Ok(Box::new(LocalUnionInput { counter: self.counter.clone(), first }))
    }
}

impl LocalTransform for LocalUnionInput {
    fn push(&mut self, mut batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        batch.sequence.morsel += self.first;
        if batch.last_of_morsel {
            self.counter.saw(batch.sequence.morsel);
        }
        emit(batch)
    }

    fn settle(&mut self, error: Error, _emit: &mut Emit<'_>) -> Result<Option<Error>> {
        Ok(Some(error.renumbered_from(self.first)))
    }
}

/// A sink that more pipelines will push into: it is not finished yet when this one ends.
pub struct Unfinished(pub Arc<dyn Sink>);

impl Sink for Unfinished {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        self.0.local(cx)
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

/// A transform that more pipelines will push through: what it gives at the end is not known yet when this one ends.
pub struct Unended(pub Arc<dyn Transform>);

impl Transform for Unended {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        self.0.local(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::testing::{batches, run_transform, show};

    #[test]
    fn morsels_of_later_inputs_follow() {
        let counter = Arc::new(MorselCounter::default());
        let mut output = Vec::new();
        for (input_idx, input) in ["1; 2", "", "3 | 4; 5"].into_iter().enumerate() {
            output.extend(run_transform(&UnionInput::new(counter.clone(), input_idx), batches(input)));
        }
        expect_test::expect!["1; 2; 3 | 4; 5"].assert_eq(&show(&output));
        assert_eq!(output.iter().map(|batch| batch.sequence.morsel).collect::<Vec<_>>(), [0, 1, 2, 2, 3]);
    }
}
