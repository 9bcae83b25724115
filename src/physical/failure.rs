//! Errors of the planner crates in our kinds.

use datafusion_common::DataFusionError;

use crate::error::Error;

/// An expression or accumulator that failed on values, or a plan that cannot be lowered.
pub(super) fn query_failure(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::query(other.to_string()),
        },
        DataFusionError::Context(_, inner) => query_failure(*inner),
        DataFusionError::Diagnostic(_, inner) => query_failure(*inner),
        DataFusionError::ArrowError(error, _) => Error::query(error.to_string()),
        DataFusionError::Execution(message) => Error::query(message),
        DataFusionError::Plan(message) => Error::usage(message),
        DataFusionError::NotImplemented(message) => Error::usage(format!("not supported: {message}")),
        other => Error::query(other.strip_backtrace()),
    }
}
