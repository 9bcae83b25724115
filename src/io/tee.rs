//! Rows that go to several sinks at once.
//!
//! Memory: that of the sinks; a batch is shared between them. Every worker serves the sinks in the same order, so the
//! worker with the earliest morsel, for which an ordered sink may wait, never waits itself.

use std::sync::Arc;

use crate::error::Result;
use crate::exec::{Batch, Flow, LocalSink, Sink, TaskContext};

/// Hands every batch to each of several sinks.
pub struct Tee {
    sinks: Vec<Arc<dyn Sink>>,
}

struct LocalTee {
    /// With whether it wants more.
    sinks: Vec<(Box<dyn LocalSink>, Flow)>,
}

impl Tee {
    /// A sink that is all of `sinks`; one sink alone stays what it is.
    pub fn of(mut sinks: Vec<Arc<dyn Sink>>) -> Arc<dyn Sink> {
        match (sinks.len(), sinks.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                sinks.extend(last);
                Arc::new(Tee { sinks })
            }
        }
    }
}

impl Sink for Tee {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let sinks = self.sinks.iter().map(|sink| Ok((sink.local(cx)?, Flow::More))).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(LocalTee { sinks }))
    }

    fn finish(&self, cx: &TaskContext) -> Result<()> {
        self.sinks.iter().try_for_each(|sink| sink.finish(cx))
    }
}

impl LocalSink for LocalTee {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        let mut wanted = Flow::Done;
        for (sink, flow) in self.sinks.iter_mut().filter(|(_, flow)| *flow == Flow::More) {
            *flow = sink.push(batch.clone())?;
            if *flow == Flow::More {
                wanted = Flow::More;
            }
        }
        Ok(wanted)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        self.sinks.into_iter().try_for_each(|(sink, _)| sink.combine())
    }
}
