//! Medians and percentiles of a whole input, without GROUP BY: values are counted, not sorted.
//!
//! Every value becomes a 64-bit key whose order is that of the values. The keys are kept on pages, and those with the same
//! first 16 bits are counted. At the end the counts tell with which bits the wanted value begins; the pages are read again to
//! count the next 16 bits of the keys that begin so, until so few are left that they can be looked at.
//!
//! Memory: 8 bytes a value on pages that can be evicted; 512 KiB of counts a worker for each column (or column and FILTER).
//! Why not a sort: keys are written once and not moved, a read takes about a nanosecond a key, and three reads are enough for
//! any number of values. All workers collect; one finds the values.
//!
//! Ordinary aggregates of the same query are computed from the same batches by an [`Aggregate`] inside.

mod keys;
mod search;
mod sink;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use self::keys::Kind;
pub use self::keys::has_keys;
use self::search::find_values;
use self::sink::{Collected, QuantileSink};
use super::aggregate::{Aggregate, AggregateCall, AggregateOptions, AggregateSpec};
use super::ordered_aggregate::Pick;
use crate::error::{Error, Result};
use crate::exec::{Batch, LocalSource, OperatorReport, QueryContext, Report, Sequence, Sink, Source, TaskContext};
use crate::memory::PageOwner;
use crate::row::{Layout, LayoutBuilder, RowPageFormat};

/// Keys in a row on a page: enough that what a row needs besides hardly counts.
const KEYS_PER_ROW: usize = 64;

/// One call.
#[derive(Debug, Clone)]
pub enum QuantileCall {
    /// A value of a column by its place; only rows where the Boolean column `filter` is true count.
    Pick {
        /// Which value.
        pick: Pick,
        /// The values.
        column: usize,
        /// Which rows count.
        filter: Option<usize>,
        /// Name and type of the result.
        output: FieldRef,
    },
    /// Any function whose state is small.
    Ordinary(AggregateCall),
}

/// Medians and percentiles of a whole input: a sink for it and a source of the one row.
pub struct Quantile {
    shared: Arc<Shared>,
}

/// What the two halves share.
struct Shared {
    calls: Vec<QuantileCall>,
    output: SchemaRef,
    /// The columns whose values are kept.
    streams: Vec<Stream>,
    ordinary: Option<Arc<Aggregate>>,
    cx: QueryContext,
    collected: Mutex<Vec<Collected>>,
    is_taken: AtomicBool,
}

/// Values that calls may share: those of a column, all or where a condition holds.
struct Stream {
    column: usize,
    filter: Option<usize>,
    data_type: DataType,
    kind: Kind,
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
}

impl Quantile {
    /// Prepares `calls` over columns of `input`; the output has a column a call.
    ///
    /// # Errors
    /// A type without keys; see [`has_keys`].
    pub fn new(input: SchemaRef, calls: Vec<QuantileCall>, output: SchemaRef, cx: &QueryContext) -> Result<Arc<Self>> {
        let layout = LayoutBuilder::default().payload(DataType::FixedSizeBinary((KEYS_PER_ROW * 8) as i32)).build()?;
        let mut streams: Vec<Stream> = Vec::new();
        let mut ordinary = Vec::new();
        for call in &calls {
            match call {
                QuantileCall::Ordinary(call) => ordinary.push(call.clone()),
                QuantileCall::Pick { column, filter, .. } => {
                    if streams.iter().any(|known| known.is_of(*column, *filter)) {
                        continue;
                    }
                    let data_type = input.field(*column).data_type().clone();
                    let kind = Kind::of(&data_type)?;
                    let owner = cx.pages.owner("Quantile", RowPageFormat::new(&layout));
                    let (column, filter, layout) = (*column, *filter, layout.clone());
                    streams.push(Stream { column, filter, data_type, kind, layout, owner });
                }
            }
        }
        let ordinary = match ordinary.is_empty() {
            true => None,
            false => Some(ordinary_aggregate(input, ordinary, cx)?),
        };
        let shared = Shared {
            collected: Mutex::new(streams.iter().map(|_| Collected::default()).collect()),
            calls,
            output,
            streams,
            ordinary,
            cx: cx.clone(),
            is_taken: AtomicBool::new(false),
        };
        Ok(Arc::new(Quantile { shared: Arc::new(shared) }))
    }

    /// Where the input goes.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(QuantileSink { shared: self.shared.clone() })
    }

    /// Where the row comes from, after the sink is finished.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(QuantileSource { shared: self.shared.clone() })
    }
}

fn ordinary_aggregate(input: SchemaRef, calls: Vec<AggregateCall>, cx: &QueryContext) -> Result<Arc<Aggregate>> {
    let output: Vec<Arc<Field>> = calls.iter().map(|call| call.output.clone()).collect();
    let spec = AggregateSpec { input, keys: Vec::new(), calls, output: Arc::new(Schema::new(output)) };
    Aggregate::new(spec, AggregateOptions::default(), cx)
}

impl Stream {
    fn is_of(&self, column: usize, filter: Option<usize>) -> bool {
        self.column == column && self.filter == filter
    }
}

impl Report for Quantile {
    fn report(&self) -> OperatorReport {
        let mut report = self.shared.ordinary.as_ref().map_or(OperatorReport::default(), |inner| inner.report());
        for counters in self.shared.streams.iter().map(|stream| stream.owner.counters()) {
            report.peak_bytes += counters.peak_resident_bytes;
            report.spilled_raw_bytes += counters.spilled_raw_bytes;
            report.spilled_stored_bytes += counters.spilled_stored_bytes;
            report.restored_bytes += counters.restored_bytes;
        }
        report
    }
}

struct QuantileSource {
    shared: Arc<Shared>,
}

/// The worker that came first has the work.
struct LocalQuantile {
    shared: Option<Arc<Shared>>,
    ordinary: Option<Box<dyn LocalSource>>,
}

impl Source for QuantileSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let is_first = !self.shared.is_taken.swap(true, Ordering::Relaxed);
        let shared = is_first.then(|| self.shared.clone());
        let ordinary = shared.as_ref().and_then(|shared| shared.ordinary.as_ref());
        let ordinary = ordinary.map(|ordinary| ordinary.source().local(cx)).transpose()?;
        Ok(Box::new(LocalQuantile { shared, ordinary }))
    }
}

impl LocalSource for LocalQuantile {
    fn next(&mut self) -> Result<Option<Batch>> {
        let Some(shared) = self.shared.take() else { return Ok(None) };
        let mut ordinary: Vec<ArrayRef> = match &mut self.ordinary {
            Some(source) => match source.next()? {
                Some(batch) => batch.data.columns().to_vec(),
                None => return Err(Error::query("an aggregation without keys gave no row")),
            },
            None => Vec::new(),
        };
        let mut results: Vec<Option<ArrayRef>> = vec![None; shared.calls.len()];
        let collected = std::mem::take(&mut *lock(&shared.collected));
        for (stream, collected) in shared.streams.iter().zip(collected) {
            let picks: Vec<(usize, Pick)> = shared.picks_of(stream).collect();
            let values = find_values(stream, collected, picks.iter().map(|(_, pick)| *pick), &shared.cx)?;
            for ((call, _), value) in picks.into_iter().zip(values) {
                results[call] = Some(value);
            }
        }
        ordinary.reverse();
        let columns = results.into_iter().map(|result| match result.or_else(|| ordinary.pop()) {
            Some(column) => Ok(column),
            None => Err(Error::query("a call has no result")),
        });
        let data = RecordBatch::try_new(shared.output.clone(), columns.collect::<Result<_>>()?)?;
        Ok(Some(Batch { data, sequence: Sequence::default(), last_of_morsel: true }))
    }
}

impl Shared {
    /// The calls that pick from a stream.
    fn picks_of<'a>(&'a self, stream: &'a Stream) -> impl Iterator<Item = (usize, Pick)> + 'a {
        let picks = self.calls.iter().enumerate();
        picks.filter_map(|(idx, call)| match call {
            QuantileCall::Pick { pick, column, filter, .. } if stream.is_of(*column, *filter) => Some((idx, *pick)),
            _ => None,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
