//! Planner errors in our words: what, where in the text, what to try.

use datafusion_common::utils::datafusion_strsim::levenshtein;
use datafusion_common::{Column, DataFusionError, SchemaError, Span};
use datafusion_sql::sqlparser::parser::ParserError;

use crate::error::Error;

/// A text that is not SQL.
pub(super) fn syntax(error: &ParserError) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => "too many nested parentheses or subqueries",
    };
    let (message, location) = split_location(message);
    let error = Error::usage(format!("syntax error: {message}"));
    match location {
        Some(location) => error.with_location(location),
        None => error,
    }
}

/// A statement that cannot be planned. `text` is the whole statement.
pub(super) fn usage(error: DataFusionError, text: &str) -> Error {
    translate(error, None, text)
}

fn translate(error: DataFusionError, span: Option<Span>, text: &str) -> Error {
    let located = |error: Error| match span {
        Some(span) => error.with_location(format!("sql:{}:{}", span.start.line, span.start.column)),
        None => error,
    };
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => translate(*inner, span.or(diagnostic.span), text),
        DataFusionError::Context(_, inner) => translate(*inner, span, text),
        DataFusionError::Shared(inner) => located(Error::usage(inner.strip_backtrace())),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => translate(first, span, text),
            None => located(Error::usage("the query cannot be planned")),
        },
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => locate_table(*ours, text),
            Err(other) => located(Error::usage(other.to_string())),
        },
        DataFusionError::SQL(error, _) => syntax(&error),
        DataFusionError::SchemaError(error, _) => schema(*error, span),
        DataFusionError::Plan(message) => located(plan(&message)),
        DataFusionError::NotImplemented(message) => {
            located(Error::usage(format!("not supported: {}", first_line(&message))))
        }
        DataFusionError::ArrowError(error, _) => located(Error::usage(error.to_string())),
        other => located(Error::usage(first_line(&other.strip_backtrace()).to_string())),
    }
}

/// Points at the path of a table that could not be opened.
fn locate_table(error: Error, text: &str) -> Error {
    let quoted = text.match_indices(['\'', '"']).find_map(|(start, quote)| {
        let rest = &text[start + 1..];
        let path = &rest[..rest.find(quote)?];
        (!path.is_empty() && error.message().contains(path)).then_some(start)
    });
    match quoted {
        Some(start) => {
            let before = &text[..start];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            error.with_location(format!("sql:{line}:{column}"))
        }
        None => error,
    }
}

fn schema(error: SchemaError, span: Option<Span>) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let span = field.spans().first().or(span);
            let error = unknown_column(&field, &valid_fields);
            match span {
                Some(span) => error.with_location(format!("sql:{}:{}", span.start.line, span.start.column)),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            let error = Error::usage(format!("column {:?} is in more than one table", field.name))
                .with_hint("write the table's name or alias in front of it");
            match field.spans().first().or(span) {
                Some(span) => error.with_location(format!("sql:{}:{}", span.start.line, span.start.column)),
                None => error,
            }
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::usage(format!("two columns are called {name:?}")).with_hint("rename one with AS")
        }
    }
}

fn unknown_column(field: &Column, valid: &[Column]) -> Error {
    let mut tables: Vec<String> = Vec::new();
    let of_table = |column: &&Column| match &field.relation {
        Some(relation) => column.relation.as_ref() == Some(relation),
        None => true,
    };
    for column in valid.iter().filter(of_table) {
        let table = column.relation.as_ref().map(ToString::to_string).unwrap_or_default();
        if !table.is_empty() && !tables.contains(&table) {
            tables.push(table);
        }
    }
    let place = if tables.is_empty() { String::new() } else { format!(" in {}", tables.join(" or ")) };
    let error = Error::usage(format!("column {:?} not found{place}", field.name));
    let known: Vec<&str> = valid.iter().map(|column| column.name.as_str()).collect();
    if let Some(other_case) = known.iter().find(|name| name.eq_ignore_ascii_case(&field.name)) {
        return error.with_hint(format!(
            "did you mean {other_case:?}? A name with upper-case letters is written in double quotes"
        ));
    }
    match closest(&field.name, known.iter().copied()) {
        Some(name) => error.with_hint(format!("did you mean {name:?}?")),
        None if known.is_empty() => error,
        None => error.with_hint(format!("there are: {}", list(&known))),
    }
}

/// The most similar of `names`, if one is similar at all.
fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let best = names.map(|other| (distance(other), other)).min_by_key(|(distance, _)| *distance)?;
    (best.0 * 2 <= name.chars().count().max(best.1.chars().count())).then_some(best.1)
}

fn list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn plan(message: &str) -> Error {
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let mut parts = rest.split('\'');
        let (name, suggested) = (parts.next().unwrap_or_default(), parts.nth(1));
        let error = Error::usage(format!("there is no function {name:?}"));
        return match suggested.and_then(|suggested| closest(name, std::iter::once(suggested))) {
            Some(suggested) => error.with_hint(format!("did you mean {suggested:?}?")),
            None => error,
        };
    }
    Error::usage(first_line(message).to_string())
}

/// Splits `... at Line: 1, Column: 8` off a parser's message.
fn split_location(message: &str) -> (&str, Option<String>) {
    let Some((before, after)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    match after.split_once(", Column: ") {
        Some((line, column)) => (before, Some(format!("sql:{line}:{}", column.trim()))),
        None => (message, None),
    }
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default().trim_end_matches('.')
}
