//! Small answers that a command works with itself: a row or two.
//!
//! Memory: the rows, reserved.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::delivery::Delivery;
use crate::error::{Error, Result};
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};
use crate::io::Output;
use crate::io::text::{JsonLinesFormat, RowFormat};
use crate::memory::Reservation;
use crate::session::Session;

/// The rows of a query that has few.
pub(super) fn answer(session: &Session, delivery: &mut Delivery<'_>, sql: &str) -> Result<Vec<RecordBatch>> {
    let kept = Kept { rows: Arc::new(Mutex::new((Vec::new(), session.memory().reserve("Output")))) };
    let sink = |_, _, _: &_| -> Result<Arc<dyn Sink>> { Ok(Arc::new(kept.clone())) };
    delivery.run_with(session.sql(sql)?, &Output::Discard, &sink)?;
    let mut rows = kept.rows.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut rows.0))
}

/// The only row of a query of whole numbers; a NULL is 0.
pub(super) fn numbers(session: &Session, delivery: &mut Delivery<'_>, sql: &str) -> Result<Vec<u64>> {
    let batches = answer(session, delivery, sql)?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return Err(Error::query("a query of totals gave no row"));
    };
    let first = |column: &arrow::array::ArrayRef| {
        let values = column.as_primitive_opt::<Int64Type>();
        let value = values.map(|values| values.value(0));
        value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
    };
    Ok(batch.columns().iter().map(first).collect())
}

/// The first row of a query as a JSON object.
pub(super) fn first_row(session: &Session, delivery: &mut Delivery<'_>, sql: &str) -> Result<Option<String>> {
    let batches = answer(session, delivery, sql)?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let mut text = Vec::new();
    JsonLinesFormat::new(batch.schema()).format(&batch.slice(0, 1), &mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).trim_end().to_string()))
}

/// Keeps what it is given.
#[derive(Clone)]
struct Kept {
    rows: Arc<Mutex<(Vec<RecordBatch>, Reservation)>>,
}

impl Sink for Kept {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(self.clone()))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for Kept {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.1.try_grow(batch.data.get_array_memory_size() as u64)?;
        rows.0.push(batch.data);
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
