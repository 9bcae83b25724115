//! Rows that were not there before: what UNION keeps of each round of a recursive query.
//!
//! The rows seen so far are kept as bytes in a hash set that lives from round to round, so that a round costs what it finds
//! and not what was found before it.
//!
//! Memory: a reservation of at most a part of what is governed ([`SEEN_PART`]). When it is refused, the set gives up for good
//! and says so: whoever uses it has another way, which spills.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};

use super::equality::normalize;
use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, QueryContext, TaskContext, Transform};
use crate::memory::Reservation;

/// The part of governed memory that the set may take.
const SEEN_PART: u64 = 4;

/// What a row costs beside its bytes: its place in the set, also while that grows, and in the allocator.
const ROW_BYTES: u64 = 96;

/// The rows seen so far.
pub struct SeenRows {
    state: Mutex<Option<State>>,
}

struct State {
    converter: RowConverter,
    rows: HashSet<Box<[u8]>, ahash::RandomState>,
    memory: Reservation,
    used_bytes: u64,
    most_bytes: u64,
}

impl SeenRows {
    /// No rows yet, of `schema`.
    ///
    /// # Errors
    /// A type whose values cannot be compared.
    pub fn new(schema: &SchemaRef, cx: &QueryContext) -> Result<Arc<Self>> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let state = State {
            converter: RowConverter::new(fields.collect())?,
            rows: HashSet::default(),
            memory: cx.memory.reserve("Recursion"),
            used_bytes: 0,
            most_bytes: cx.memory.governed_bytes() / SEEN_PART,
        };
        Ok(Arc::new(SeenRows { state: Mutex::new(Some(state)) }))
    }

    /// Whether it gave up.
    pub fn gave_up(&self) -> bool {
        self.lock().is_none()
    }

    /// Adds the rows of `batch` and returns those that are new; none once it has given up.
    ///
    /// # Errors
    /// When values cannot be encoded, which no user can cause.
    pub fn insert(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let mut state = self.lock();
        let found = match state.as_mut() {
            Some(state) => state.insert(batch)?,
            None => None,
        };
        if found.is_none() {
            *state = None;
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        if batch.num_columns() == 0 {
            return Ok(None);
        }
        let columns = batch.columns().iter().map(normalize).collect::<Result<Vec<_>>>()?;
        let encoded = self.converter.convert_columns(&columns)?;
        let mut is_new = Vec::with_capacity(batch.num_rows());
        for row in encoded.iter() {
            let bytes = row.as_ref();
            let adds = !self.rows.contains(bytes);
            if adds {
                self.used_bytes += ROW_BYTES + bytes.len() as u64;
                let too_many = self.used_bytes > self.most_bytes;
                let missing = self.used_bytes.saturating_sub(self.memory.bytes());
                if too_many || missing > 0 && self.memory.try_grow(missing.next_multiple_of(1 << 16)).is_err() {
                    return Ok(None);
                }
                self.rows.insert(bytes.into());
            }
            is_new.push(adds);
        }
        Ok(Some(filter_record_batch(batch, &BooleanArray::from(is_new))?))
    }
}

/// Lets rows pass that are not in [`SeenRows`] yet, and nothing more once that has given up.
pub struct KeepNew(pub Arc<SeenRows>);

impl Transform for KeepNew {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(KeepNew(self.0.clone())))
    }
}

impl LocalTransform for KeepNew {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        match self.0.insert(&batch.data)? {
            Some(rows) => emit(batch.with_data(rows)),
            None => Ok(Flow::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;
    use crate::operators::trial::Trial;

    fn batch(values: Vec<Option<f64>>) -> RecordBatch {
        let texts: StringArray = values.iter().map(|value| value.map(|value| format!("{:>40}", value.abs()))).collect();
        let columns: Vec<(&str, ArrayRef, bool)> =
            vec![("a", Arc::new(Float64Array::from(values)), true), ("b", Arc::new(texts), true)];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn each_row_is_new_once() {
        let cx = Trial::new(8 << 20, 1).context();
        let first = batch(vec![Some(1.0), Some(-0.0), None, Some(1.0), Some(f64::NAN)]);
        let seen = SeenRows::new(&first.schema(), &cx).unwrap();
        assert_eq!(seen.insert(&first).unwrap().unwrap().num_rows(), 4);
        let second = batch(vec![Some(0.0), Some(2.0), None, Some(-f64::NAN), Some(2.0)]);
        let found = seen.insert(&second).unwrap().unwrap();
        assert_eq!(found, second.slice(1, 1));
        assert!(!seen.gave_up());
    }

    #[test]
    fn it_gives_up_where_there_is_no_memory() {
        let cx = Trial::new(2 << 20, 1).context();
        let seen = SeenRows::new(&batch(vec![]).schema(), &cx).unwrap();
        let mut n_batches = 0;
        while seen.insert(&batch((0..1000).map(|n| Some(f64::from(n + n_batches * 1000))).collect())).unwrap().is_some()
        {
            n_batches += 1;
        }
        assert!(seen.gave_up() && (1..10).contains(&n_batches), "{n_batches}");
        assert!(seen.insert(&batch(vec![])).unwrap().is_none());
    }
}
