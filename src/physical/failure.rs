//! Errors of the planner crates in our kinds.

use arrow::datatypes::DataType;
use datafusion_common::DataFusionError;

use crate::error::Error;
use crate::io::type_names::type_name;

/// An expression or accumulator that failed on values, or a plan that cannot be lowered.
pub(super) fn query_failure(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::query(other.to_string()),
        },
        DataFusionError::Context(_, inner) => query_failure(*inner),
        DataFusionError::Diagnostic(_, inner) => query_failure(*inner),
        DataFusionError::ArrowError(error, _) => {
            let (message, hint) = value_failure(&error.to_string());
            match hint {
                Some(hint) => Error::query(message).with_hint(hint),
                None => Error::query(message),
            }
        }
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

const OR_NULL: &str = "try_cast (in a frame cast_or_null) gives NULL for what does not fit";

/// What the library says of a value that it cannot compute with, in our words, and what to try.
pub(crate) fn value_failure(message: &str) -> (String, Option<&'static str>) {
    if message.eq_ignore_ascii_case("divide by zero error") {
        return ("division of a whole number or decimal by zero".into(), Some("x / nullif(y, 0) is NULL where y is 0"));
    }
    let message = ["Cast error: ", "Parser error: ", "Invalid argument error: "]
        .iter()
        .find_map(|kind| message.strip_prefix(kind))
        .unwrap_or(message);
    let of_type = |from: &str, to: &str| {
        let (_, rest) = message.split_once(from)?;
        let (value, rest) = rest.rsplit_once(to)?;
        let data_type: DataType = rest.trim_end_matches(" type").parse().ok()?;
        Some((value.to_string(), type_name(&data_type)))
    };
    let text =
        of_type("Cannot cast string ", " to value of ").or_else(|| of_type("Cannot cast value ", " to value of "));
    if let Some((value, to)) = text {
        return (format!("the text {value} is no {to}"), Some(OR_NULL));
    }
    if let Some((value, to)) = of_type("Can't cast value ", " to type ") {
        return (format!("{value} does not fit into {to}"), Some(OR_NULL));
    }
    if let Some((value, reason)) =
        message.strip_prefix("Error parsing timestamp from ").and_then(|rest| rest.split_once(": "))
    {
        return (format!("the text {value} is no timestamp: {reason}"), Some(OR_NULL));
    }
    let is_too_large = message.contains("is too large to store in a Decimal")
        || message.contains("is too small to store in a Decimal");
    (message.to_string(), is_too_large.then_some(OR_NULL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_do_not_fit_are_told_in_words_of_sql() {
        let check = |message: &str, want: &str, has_hint: bool| {
            let (said, hint) = value_failure(message);
            assert_eq!((said.as_str(), hint.is_some()), (want, has_hint));
        };
        check("Cast error: Cannot cast string 'P0' to value of Int32 type", "the text 'P0' is no int", true);
        check(
            "Cast error: Cannot cast string 'a to value of b' to value of Date32 type",
            "the text 'a to value of b' is no date",
            true,
        );
        check("Cast error: Can't cast value 300 to type Int8", "300 does not fit into tinyint", true);
        check("Divide by zero error", "division of a whole number or decimal by zero", true);
        check("Compute error: odd", "Compute error: odd", false);
    }
}
