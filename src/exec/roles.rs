//! The three roles of a pipeline: a source, transforms, and a sink.
//!
//! Each is a shared object that makes one local object per worker. Emission is a callback, so there is no poll state.
//! Four methods a role is the ceiling: knowledge of the optimizer never becomes a method here.
//!
//! Memory: the roles hold nothing. What an implementation holds is either bounded by [`crate::memory::Sizes`] or under a
//! [`crate::memory::Reservation`].

use std::sync::Arc;

use super::{Batch, TaskContext};
use crate::error::{Error, Result};

/// Whether the receiver wants more batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// Nothing further will be used; the sender should stop.
    Done,
}

/// Hands a batch to the next step of the pipeline.
pub type Emit<'a> = dyn FnMut(Batch) -> Result<Flow> + 'a;

/// Where batches come from.
pub trait Source: Send + Sync {
    /// A worker's own reader. Workers share the morsels of the source.
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>>;
}

/// One worker's view of a source.
pub trait LocalSource: Send {
    /// The next batch, or `None` at the end.
    fn next(&mut self) -> Result<Option<Batch>>;
}

/// A step that turns batches into batches without waiting for all of them.
pub trait Transform: Send + Sync {
    /// A worker's own transformer.
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>>;

    /// Rows that are known only when every worker has flushed (such as the unmatched rows of a join's build side).
    fn remainder(&self) -> Result<Option<Arc<dyn Source>>> {
        Ok(None)
    }
}

/// One worker's side of a transform.
pub trait LocalTransform: Send {
    /// Takes a batch and emits what follows from it.
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow>;

    /// Emits what was held back; called once, after the last `push`.
    fn flush(&mut self, _emit: &mut Emit<'_>) -> Result<Flow> {
        Ok(Flow::More)
    }

    /// Takes an error of a step before this one, after which this worker pushes nothing more, and gives it back; `None`
    /// when no row is wanted from its place on, so that it does not matter. Who waits to know goes on emitting meanwhile.
    fn settle(&mut self, error: Error, _emit: &mut Emit<'_>) -> Result<Option<Error>> {
        Ok(Some(error))
    }
}

/// Where a pipeline ends: a blocking operator or an output.
pub trait Sink: Send + Sync {
    /// A worker's own collector.
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>>;

    /// Called once, after every worker has combined.
    fn finish(&self, cx: &TaskContext) -> Result<()>;
}

/// One worker's side of a sink.
pub trait LocalSink: Send {
    /// Takes a batch.
    fn push(&mut self, batch: Batch) -> Result<Flow>;

    /// Hands what was collected to the shared sink; called once, after the last `push`.
    fn combine(self: Box<Self>) -> Result<()>;
}
