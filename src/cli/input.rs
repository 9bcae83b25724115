//! The files a command works on, and how names and texts are written in the SQL it makes.

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};

use crate::error::{Error, Result};
use crate::io::{Table, closest};
use crate::session::Session;

/// Files that were opened as one table.
pub(super) struct Input {
    table: Arc<dyn Table>,
    name: String,
}

impl Input {
    /// Opens `paths` under the name of the first of them.
    pub(super) fn open(session: &Session, paths: &[String]) -> Result<Self> {
        let name = match paths {
            [only] => only.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
            [] => String::new(),
        };
        Ok(Input { table: session.add_files(&name, paths)?, name })
    }

    /// What to say for it in FROM.
    pub(super) fn sql(&self) -> String {
        quoted(&self.name)
    }

    /// What to call it in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is standard input.
    pub(super) fn is_stdin(&self) -> bool {
        matches!(self.name.as_str(), "-" | "stdin" | "/dev/stdin")
    }

    /// As [`Input::name`]; `-` is hard to see in a sentence.
    pub(super) fn shown_name(&self) -> &str {
        if self.is_stdin() { "standard input" } else { &self.name }
    }

    /// The table.
    pub(super) fn table(&self) -> &dyn Table {
        &*self.table
    }

    /// Its columns.
    pub(super) fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    /// The column called `name`.
    pub(super) fn field(&self, name: &str) -> Result<Arc<Field>> {
        let schema = self.schema();
        if let Some((_, field)) = schema.fields().find(name) {
            return Ok(field.clone());
        }
        let error = Error::usage(format!("column {name:?} not found in {}", self.name));
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        Err(match closest(name, names()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error.with_hint(format!("its columns are {}", listed(names()))),
        })
    }

    /// The columns called `names`; all of them when there are none.
    pub(super) fn fields(&self, names: &[String]) -> Result<Vec<Arc<Field>>> {
        if names.is_empty() {
            return Ok(self.schema().fields().iter().cloned().collect());
        }
        names.iter().map(|name| self.field(name.trim())).collect()
    }

    /// SELECT and FROM for these columns, or for all of them.
    pub(super) fn select(&self, columns: &[String]) -> Result<String> {
        if columns.is_empty() {
            return Ok(format!("SELECT * FROM {}", self.sql()));
        }
        let names: Vec<String> = self.fields(columns)?.iter().map(|field| quoted(field.name())).collect();
        Ok(format!("SELECT {} FROM {}", names.join(", "), self.sql()))
    }
}

/// The first names of a list that may be long.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let mut names: Vec<&str> = names.take(MOST + 1).collect();
    if names.len() > MOST {
        names[MOST] = "..";
    }
    names.join(", ")
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
