//! Running: the three roles of a pipeline and what drives them.
//!
//! Push-based and morsel-driven: a worker pulls a batch from its local source and pushes it through the transforms into
//! its local sink. There are no exchange channels between operators, and memory is waited for in one place only, at the
//! start of a morsel while holding nothing.

mod batch;
mod context;
mod driver;
mod metrics;
mod monitor;
mod pipeline;
mod progress;
mod recording;
mod reorder;
mod roles;

pub use batch::{Batch, Sequence};
pub use context::{CancelToken, QueryContext, TaskContext};
pub use driver::{measure, run, run_within};
pub use metrics::{OperatorMetrics, RunError, RunMetrics, format_bytes, group_digits};
pub use monitor::{Monitor, MonitoredNode, NodeFigures};
pub use pipeline::{Node, NodeIdx, OperatorReport, Pipeline, Query, Report, Step};
pub use progress::{Progress, ProgressStyle};
pub use recording::{Recorder, Sample};
pub use reorder::{Placed, ReorderWindow, ReorderWorker};
pub use roles::{Emit, Flow, LocalSink, LocalSource, LocalTransform, Sink, Source, Transform};
