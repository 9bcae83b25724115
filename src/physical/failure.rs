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
        DataFusionError::NotImplemented(message) => unsupported(&message),
        other => Error::query(other.strip_backtrace()),
    }
}

/// What the library has no operator or expression for.
pub(crate) fn unsupported(message: &str) -> Error {
    match message.split_once("does not support logical expression ").map(|(_, expr)| expr) {
        Some(expr) if expr.starts_with("InSubquery") || expr.starts_with("Exists") => {
            Error::usage("IN or EXISTS with a subquery is not supported outside of SELECT lists, WHERE and HAVING")
                .with_hint("write it as a LEFT JOIN, or as a count: (SELECT count(*) FROM .. WHERE ..) > 0")
        }
        Some(expr) if expr.starts_with("ScalarSubquery") => Error::usage(
            "a subquery of this form that depends on the row outside is not supported",
        )
        .with_hint("write it as a LEFT JOIN, or with min, max or first_value(.. ORDER BY ..) instead of LIMIT 1"),
        Some(expr) if expr.starts_with("WindowFunction") => {
            Error::usage("a window function (OVER) may only stand in SELECT, ORDER BY and QUALIFY")
                .with_hint("compute it in a subquery and filter outside")
        }
        Some(expr) => {
            let kind: String = expr.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            Error::usage(format!("{kind} is not supported here"))
        }
        None => {
            // What follows a brace is how the program sees it.
            let text = message.lines().next().unwrap_or_default().split(" {").next().unwrap_or_default();
            Error::usage(format!("not supported: {}", text.trim_end_matches('.')))
        }
    }
}
