//! SQL that is made for a step, and which part of it the user wrote where.
//!
//! The planner points into the text that it was given. [`SqlText::relocate`] turns that place into one of the pipeline file.

use super::fields::Text;
use super::source::{Place, Source};
use super::yaml::Spread;
use crate::error::Error;

/// A query under construction.
#[derive(Debug, Clone, Default)]
pub(super) struct SqlText {
    text: String,
    marks: Vec<Mark>,
}

/// A part of the text that stands in the file.
#[derive(Debug, Clone)]
struct Mark {
    start: usize,
    end: usize,
    place: Place,
    spread: Spread,
}

impl SqlText {
    pub(super) fn new(text: &str) -> Self {
        SqlText { text: text.to_string(), marks: Vec::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds SQL of ours.
    pub(super) fn push(&mut self, sql: &str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    /// Adds a name in quotes.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.text.push_str(&quoted(name));
        self
    }

    /// Adds a name of the user's in quotes.
    pub(super) fn user_name(&mut self, name: &Text) -> &mut Self {
        let start = self.text.len();
        self.name(&name.text);
        // The quotes are ours.
        self.marks.push(Mark { start, end: self.text.len(), place: name.place, spread: Spread::Unknown });
        self
    }

    /// Adds SQL of the user's, in parentheses. A comment at its end ends with the line.
    pub(super) fn user_expr(&mut self, expr: &Text) -> &mut Self {
        self.push("(").user_sql(expr).push(if expr.text.contains("--") { "\n)" } else { ")" })
    }

    /// Adds SQL of the user's as it is.
    pub(super) fn user_sql(&mut self, sql: &Text) -> &mut Self {
        let start = self.text.len();
        self.text.push_str(&sql.text);
        self.marks.push(Mark { start, end: self.text.len(), place: sql.place, spread: sql.spread });
        self
    }

    /// Adds what `add` adds for each of `items`, with commas in between.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut add: impl for<'s> FnMut(&'s mut Self, T) -> &'s mut Self,
    ) -> &mut Self {
        for (idx, item) in items.into_iter().enumerate() {
            if idx > 0 {
                self.push(", ");
            }
            add(self, item);
        }
        self
    }

    /// Adds another text with its places.
    pub(super) fn append(&mut self, other: SqlText) -> &mut Self {
        let at = self.text.len();
        self.text.push_str(&other.text);
        let moved = |mark: Mark| Mark { start: mark.start + at, end: mark.end + at, ..mark };
        self.marks.extend(other.marks.into_iter().map(moved));
        self
    }

    /// The same error with its place in the file; at `otherwise` when it points at nothing of the user's.
    pub(super) fn relocate(&self, error: Error, source: &Source, otherwise: Place) -> Error {
        let offset = error.location().and_then(|location| self.offset(location));
        let mark = offset.and_then(|offset| self.marks.iter().find(|mark| (mark.start..=mark.end).contains(&offset)));
        let place = match (mark, offset) {
            (Some(mark), Some(offset)) => self.place_in(mark, offset),
            _ => otherwise,
        };
        error.relocated(Some(source.at(place)))
    }

    /// `sql:2:5` as bytes from the start.
    fn offset(&self, location: &str) -> Option<usize> {
        let (line, column) = location.strip_prefix("sql:")?.split_once(':')?;
        let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
        let mut start = 0;
        for (idx, text) in self.text.split('\n').enumerate() {
            if idx + 1 == line {
                let letters = text.char_indices().nth(column.checked_sub(1)?);
                return Some(start + letters.map_or(text.len(), |(byte, _)| byte));
            }
            start += text.len() + 1;
        }
        None
    }

    fn place_in(&self, mark: &Mark, offset: usize) -> Place {
        let before = &self.text[mark.start..offset];
        let letters = |text: &str| u32::try_from(text.chars().count()).unwrap_or(0);
        match mark.spread {
            Spread::Inline(Place::File { line, column }) => Place::File { line, column: column + letters(before) },
            Spread::Block { line, indent } => {
                let n_lines = u32::try_from(before.matches('\n').count()).unwrap_or(0);
                let last = before.rsplit('\n').next().unwrap_or_default();
                Place::File { line: line + n_lines, column: indent + letters(last) + 1 }
            }
            Spread::Inline(place @ Place::Set(_)) => place,
            Spread::Unknown => mark.place,
        }
    }
}

/// `name` as SQL writes a name that is taken as it is.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as SQL writes a text.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
