//! Aggregate functions of the library over the frames of a window.
//!
//! Memory: what the accumulator says it holds.

use arrow::array::ArrayRef;
use datafusion_common::ScalarValue;
use datafusion_expr::Accumulator;

use super::failure::query_failure;
use super::library::Library;
use crate::error::Result;
use crate::operators::window::{FrameAccumulator, WindowAggregate};

/// A call whose rows come and go.
pub(super) struct SlidingLibrary {
    library: std::sync::Arc<Library>,
}

impl SlidingLibrary {
    pub(super) fn new(library: Library) -> Self {
        SlidingLibrary { library: std::sync::Arc::new(library) }
    }
}

impl WindowAggregate for SlidingLibrary {
    fn accumulator(&self, slides: bool) -> Result<Box<dyn FrameAccumulator>> {
        let library = self.library.clone();
        let accumulator = library.frame_accumulator(slides)?;
        Ok(Box::new(SlidingAccumulator { library, slides, accumulator, results: Vec::new() }))
    }
}

struct SlidingAccumulator {
    library: std::sync::Arc<Library>,
    slides: bool,
    accumulator: Box<dyn Accumulator>,
    results: Vec<ScalarValue>,
}

impl FrameAccumulator for SlidingAccumulator {
    fn reset(&mut self) -> Result<()> {
        self.accumulator = self.library.frame_accumulator(self.slides)?;
        Ok(())
    }

    fn add(&mut self, args: &[ArrayRef], n_rows: usize) -> Result<()> {
        let values = self.library.values(args, n_rows)?;
        self.accumulator.update_batch(&values).map_err(query_failure)
    }

    fn can_remove(&self) -> bool {
        self.accumulator.supports_retract_batch()
    }

    fn remove(&mut self, args: &[ArrayRef], n_rows: usize) -> Result<()> {
        let values = self.library.values(args, n_rows)?;
        self.accumulator.retract_batch(&values).map_err(query_failure)
    }

    fn push_result(&mut self) -> Result<usize> {
        let result = self.accumulator.evaluate().map_err(query_failure)?;
        let bytes = result.size();
        self.results.push(result);
        Ok(bytes)
    }

    fn repeat_result(&mut self) -> Result<usize> {
        self.results.extend(self.results.last().cloned());
        Ok(self.results.last().map_or(0, ScalarValue::size))
    }

    fn take_results(&mut self) -> Result<ArrayRef> {
        ScalarValue::iter_to_array(std::mem::take(&mut self.results)).map_err(query_failure)
    }

    fn bytes(&self) -> usize {
        self.accumulator.size()
    }
}
