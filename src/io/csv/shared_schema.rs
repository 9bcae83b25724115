//! Declared columns of a query that reads several tables with the same options.
//!
//! Memory: the names of the columns of tables that lack a declared one. One `--schema` serves all tables of a text: a
//! column has to be in one of them, and which of them only shows when the last one has been opened.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::io::suggest::closest;

/// Which declared columns have been found so far.
#[derive(Debug, Default)]
pub struct SharedSchema(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    used: BTreeSet<String>,
    missed: BTreeSet<String>,
    /// The columns of tables that lack one.
    known: BTreeSet<String>,
    /// A text has begun and not ended. Tables may be opened before it.
    in_text: bool,
}

impl SharedSchema {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another text begins; what one before it left that could not be planned is forgotten.
    pub(crate) fn start_text(&self) {
        let mut found = self.lock();
        if found.in_text {
            *found = Found::default();
        }
        found.in_text = true;
    }

    /// A table has the declared column `name`.
    pub(crate) fn note_used(&self, name: &str) {
        self.lock().used.insert(name.to_string());
    }

    /// A table with the columns `known` lacks `name`.
    pub(super) fn note_missed<'a>(&self, name: &str, known: impl Iterator<Item = &'a str>) {
        let mut found = self.lock();
        found.missed.insert(name.to_string());
        found.known.extend(known.map(String::from));
    }

    /// All tables have been opened.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for a declared column that none of them has.
    pub(crate) fn end_text(&self) -> Result<()> {
        let found = std::mem::take(&mut *self.lock());
        match found.missed.difference(&found.used).next() {
            None => Ok(()),
            Some(name) => Err(not_in_input(name, found.known.iter().map(String::as_str))),
        }
    }
}

/// A declared column that is not there.
pub(super) fn not_in_input<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::usage(format!("--schema names column {name:?}, which is not in the input"));
    match closest(name, known) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_must_be_in_one_table_at_least() {
        let shared = SharedSchema::default();
        shared.note_missed("zip", ["site", "name"].into_iter());
        shared.start_text();
        assert!(shared.end_text().is_err(), "also of tables that were opened before");
        shared.start_text();
        shared.note_missed("zip", ["site", "name"].into_iter());
        shared.note_used("zip");
        shared.end_text().unwrap();
        shared.start_text();
        shared.note_missed("nmae", ["site", "name"].into_iter());
        shared.start_text();
        shared.end_text().unwrap();
        shared.note_missed("nmae", ["site", "name"].into_iter());
        assert_eq!(shared.end_text().unwrap_err().hint(), Some("did you mean \"name\"?"));
    }
}
