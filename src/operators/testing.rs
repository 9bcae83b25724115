//! Small inputs and outputs as text, for the tests of operators: one Int64 column, `_` is NULL, `|` separates batches,
//! `;` separates morsels.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::expression::Expression;
use crate::error::Result;
use crate::exec::{Batch, CancelToken, Flow, LocalSource, Sequence, Source, TaskContext, Transform};
use crate::memory::{BlockId, Memory, PagePool, PageStore};

/// A worker's context with 16 MiB.
pub fn task_context() -> TaskContext {
    let memory = Memory::with_governed(16 << 20, 1);
    let pages = PagePool::new(memory.clone(), Arc::new(NoStore)).unwrap();
    TaskContext { memory, pages, cancel: CancelToken::default(), worker_idx: 0, n_workers: 1 }
}

/// A store that refuses.
pub struct NoStore;

impl PageStore for NoStore {
    fn write(&self, _stream: u64, _raw: &[u8]) -> Result<(BlockId, u64)> {
        Err(crate::Error::disk("no store"))
    }

    fn read(&self, _block: BlockId, _into: &mut [u8]) -> Result<()> {
        Err(crate::Error::disk("no store"))
    }

    fn free(&self, _block: BlockId) {}
}

/// Batches from text.
pub fn batches(text: &str) -> Vec<Batch> {
    if text.is_empty() {
        return Vec::new();
    }
    let morsels = text.split(';').enumerate();
    morsels.flat_map(|(morsel, text)| batches_of_morsel(morsel as u64, text)).collect()
}

fn batches_of_morsel(morsel: u64, text: &str) -> Vec<Batch> {
    let parts: Vec<&str> = text.split('|').collect();
    let n_parts = parts.len();
    let parts = parts.into_iter().enumerate().map(|(idx, part)| {
        let values = part.split_whitespace().map(|word| word.parse::<i64>().ok());
        let column: ArrayRef = Arc::new(Int64Array::from_iter(values));
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let data = RecordBatch::try_new(schema, vec![column]).unwrap();
        Batch { data, sequence: Sequence { morsel, batch: idx as u32 }, last_of_morsel: idx + 1 == n_parts }
    });
    parts.collect()
}

/// Text from batches.
pub fn show(batches: &[Batch]) -> String {
    let mut text = String::new();
    for batch in batches {
        let column = batch.data.column(0).as_primitive::<Int64Type>();
        let words = column.iter().map(|value| value.map_or("_".to_string(), |value| value.to_string()));
        text += &words.collect::<Vec<_>>().join(" ");
        text += if batch.last_of_morsel { "; " } else { " | " };
    }
    let text = text.trim_end();
    text.strip_suffix(';').filter(|rest| !rest.ends_with([' ', ';'])).unwrap_or(text).to_string()
}

/// Pushes all batches through one local transform.
pub fn run_transform(transform: &dyn Transform, input: Vec<Batch>) -> Vec<Batch> {
    let mut local = transform.local(&task_context()).unwrap();
    let mut output = Vec::new();
    let mut emit = |batch: Batch| {
        output.push(batch);
        Ok(Flow::More)
    };
    for batch in input {
        if local.push(batch, &mut emit).unwrap() == Flow::Done {
            break;
        }
    }
    local.flush(&mut emit).unwrap();
    output
}

/// Whether the only column is above a number.
pub struct Above(pub i64);

impl Expression for Above {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let column = batch.column(0).as_primitive::<Int64Type>();
        let mask: BooleanArray = column.iter().map(|value| value.map(|value| value > self.0)).collect();
        debug_assert_eq!(mask.len(), batch.num_rows());
        Ok(Arc::new(mask))
    }
}

/// A source of given batches; workers share its morsels.
pub struct Scripted {
    batches: Arc<Mutex<VecDeque<Batch>>>,
}

struct LocalScripted {
    shared: Arc<Mutex<VecDeque<Batch>>>,
    morsel: VecDeque<Batch>,
}

impl Scripted {
    /// Hands out `batches`.
    pub fn new(batches: Vec<Batch>) -> Self {
        Scripted { batches: Arc::new(Mutex::new(batches.into())) }
    }
}

impl Source for Scripted {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalScripted { shared: self.batches.clone(), morsel: VecDeque::new() }))
    }
}

impl LocalSource for LocalScripted {
    fn next(&mut self) -> Result<Option<Batch>> {
        if self.morsel.is_empty() {
            let mut shared = self.shared.lock().unwrap();
            while let Some(batch) = shared.pop_front() {
                let last = batch.last_of_morsel;
                self.morsel.push_back(batch);
                if last {
                    break;
                }
            }
        }
        Ok(self.morsel.pop_front())
    }
}
