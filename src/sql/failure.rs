//! Planner errors in our words: what, where in the text, what to try.

use arrow::datatypes::DataType;
use datafusion_common::{Column, DataFusionError, SchemaError, Span};
use datafusion_sql::sqlparser::parser::ParserError;

use super::functions::functions;
use crate::error::Error;
use crate::io::type_names::type_name;
use crate::physical::{unsupported, value_failure};

/// The words that clauses begin with.
const FIRST_WORDS: [&str; 16] = [
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "WITH", "EXPLAIN", "DESCRIBE", "CREATE", "COPY",
    "SHOW", "UNION", "JOIN", "VALUES",
];

/// A text that is not SQL.
pub(super) fn syntax(error: &ParserError) -> Error {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message.as_str(),
        ParserError::RecursionLimitExceeded => "too many nested parentheses or subqueries",
    };
    let (message, location) = split_location(message);
    let mut error = Error::usage(format!("syntax error: {message}"));
    let found = message.rsplit_once("found: ").map_or("", |(_, found)| found);
    if let Some(word) = closest(found, FIRST_WORDS.into_iter()).filter(|word| !found.eq_ignore_ascii_case(word)) {
        error = error.with_hint(format!("did you mean {word}?"));
    }
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
        DataFusionError::NotImplemented(message) => located(not_implemented(&message)),
        DataFusionError::ArrowError(error, _) => {
            let (message, hint) = value_failure(&error.to_string());
            let error = Error::usage(message);
            located(match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
        other => located(unexpected(&other.strip_backtrace())),
    }
}

fn not_implemented(message: &str) -> Error {
    if message.starts_with("Dot access not supported") {
        return Error::usage("a word of SQL stands in front of a dot, where the name of a column or table is expected")
            .with_hint("write such a name in double quotes: \"user\".name");
    }
    unsupported(message)
}

/// An error that the planner does not expect, of which one kind is the user's: no signature fits the arguments. The planner
/// then lists every signature, each with what it got.
fn unexpected(message: &str) -> Error {
    if let Some(error) = arithmetic(message) {
        return error;
    }
    let quoted = |after: &str| message.split_once(after)?.1.split(['\'', ' ', ',']).find(|word| !word.is_empty());
    match (message.contains("failed to match any signature"), quoted("Function '")) {
        (true, Some(name)) => {
            let found = quoted("but received ").filter(|word| word.chars().all(char::is_alphabetic));
            let given = found.map_or(String::new(), |found| format!(": it was given {}", found.to_ascii_lowercase()));
            Error::usage(format!("{name} does not take arguments of this type{given}"))
                .with_hint("convert the argument, for example CAST(x AS DOUBLE)")
        }
        _ => Error::usage(first_line(message).to_string()),
    }
}

/// An operator between types that it does not take: `Int64 + Utf8`.
fn arithmetic(message: &str) -> Option<Error> {
    let (_, rest) = message.split_once("arithmetic expression ").or(message.split_once("temporal operation "))?;
    let rest = rest.split(" to valid types").next()?.split(": ").next()?;
    let (left, op, right) = ["+", "-", "*", "/", "%"].iter().find_map(|op| {
        let (left, right) = rest.split_once(&format!(" {op} "))?;
        Some((left.parse::<DataType>().ok()?, *op, right.parse::<DataType>().ok()?))
    })?;
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let error = Error::usage(format!("{} {op} {} cannot be computed", type_name(&left), type_name(&right)));
    Some(match (is_text(&left) || is_text(&right), op) {
        (true, "+") => error.with_hint("texts are joined with ||; a text that is a number is CAST(x AS DOUBLE)"),
        (true, _) => {
            error.with_hint("a text that is a number is CAST(x AS DOUBLE), or TRY_CAST where not every one is")
        }
        _ => error.with_hint("convert one of them, for example CAST(x AS DOUBLE)"),
    })
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

/// `trips.city` of a table that was named by a path.
fn unknown_table(name: &str, valid: &[Column]) -> Error {
    let mut tables: Vec<&str> = Vec::new();
    for table in valid.iter().filter_map(|column| column.relation.as_ref()).map(|relation| relation.table()) {
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    let error = Error::usage(format!("no table or alias is called {name:?}"));
    let path = tables.iter().find(|table| table.contains(name)).or(tables.first());
    match path {
        Some(path) if path.contains(['.', '/']) => {
            error.with_hint(format!("the table is called {path:?}; give it an alias: FROM '{path}' AS {name}"))
        }
        Some(_) => error.with_hint(format!("there are: {}", list(&tables))),
        None => error,
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
    if let (Some(relation), true, false) = (&field.relation, tables.is_empty(), valid.is_empty()) {
        return unknown_table(relation.table(), valid);
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
        None if field.relation.is_none() => {
            error.with_hint(format!("there are: {}; a text is written in single quotes", list(&known)))
        }
        None => error.with_hint(format!("there are: {}", list(&known))),
    }
}

/// The most similar of `names`, if one is similar at all.
fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best = names.map(|other| (distance(name, other), other)).min_by_key(|&(distance, other)| {
        // Of equally near names one with the same letters wins: a typing error seldom changes the letters.
        let letters = |text: &str| {
            let mut letters: Vec<char> = text.to_lowercase().chars().collect();
            letters.sort_unstable();
            letters
        };
        (distance, letters(name) != letters(other), other)
    })?;
    (best.0 * 2 <= name.chars().count().max(best.1.chars().count())).then_some(best.1)
}

/// How many letters must be inserted, deleted, replaced or swapped with their neighbour, whatever their case.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for i in 0..one.len() {
        let mut row = vec![i + 1];
        for j in 0..other.len() {
            let replaced = last[j] + usize::from(one[i] != other[j]);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && one[i] == other[j - 1] && one[i - 1] == other[j] {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[other.len()]
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
        let name = rest.split('\'').next().unwrap_or_default();
        let error = Error::usage(format!("there is no function {name:?}"));
        return match closest(name, functions().names()) {
            Some(known) => error.with_hint(format!("did you mean {known:?}?")),
            None => error,
        };
    }
    if let Some((_, rest)) = message.split_once("While expanding wildcard, column \"") {
        let column = rest.split_once("\" must appear").map_or(rest, |(column, _)| column);
        return Error::usage(format!("{column} is neither in GROUP BY nor inside an aggregate function"))
            .with_hint("add it to GROUP BY, or say which value of the group you mean: min, max, any_value");
    }
    if message.contains("require unique expression names") {
        let mut quoted = message.split('"').skip(1).step_by(2);
        let name = quoted.next().unwrap_or_default();
        return Error::usage(format!("{name} is selected twice")).with_hint("give one of them another name with AS");
    }
    unexpected(message)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_typing_errors() {
        let check = |one, other, errors| assert_eq!(distance(one, other), errors, "{one} {other}");
        check("sum", "smu", 1);
        check("Price", "prce", 1);
        check("", "abc", 3);
        check("kitten", "sitting", 3);
    }
}
