//! The first rows of an ORDER BY: a sort that forgets.
//!
//! Each worker keeps copies of the rows that may still be among the first `n`, never references to batches. When it has
//! twice as many as are wanted it keeps the first `n` and tells all workers the key of the last, and from then on most rows
//! are left out by the first bytes of their first key column. At the end the workers' rows are merged.
//!
//! Memory: twice `n` rows a worker. Where that is refused the rows are written as runs, as by [`Sort`]: there is no `n`
//! that is too large.

use std::sync::Arc;

use super::sort::{Sort, SortSpec};
use crate::error::{Error, Result};
use crate::exec::{OperatorReport, QueryContext, Report, Sink, Source};

/// A top-n: a sink for its input and a source of its rows in order.
pub struct TopN {
    sort: Arc<Sort>,
}

impl TopN {
    /// Prepares `spec`, which has a limit.
    ///
    /// # Errors
    /// A key of a type that has no order; a query error without a limit.
    pub fn new(spec: SortSpec, cx: &QueryContext) -> Result<Arc<Self>> {
        if spec.limit.is_none() {
            return Err(Error::query("a top-n needs a limit"));
        }
        Ok(Arc::new(TopN { sort: Sort::forgetting("TopN", spec, cx)? }))
    }

    /// Where the input goes.
    pub fn sink(&self) -> Arc<dyn Sink> {
        self.sort.sink()
    }

    /// Where the rows come from in order, after the sink is finished.
    pub fn source(&self) -> Arc<dyn Source> {
        self.sort.source()
    }
}

impl Report for TopN {
    fn report(&self) -> OperatorReport {
        self.sort.report()
    }
}
