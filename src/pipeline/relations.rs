//! The columns of inputs and steps, and what is said about a column that is not there.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, SchemaRef};

use super::fields::Text;
use super::source::Source;
use crate::error::{Error, Result};
use crate::io::suggest::closest;

/// What is known of an input or a step.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) schema: SchemaRef,
    pub(super) order: RowOrder,
}

/// In which order rows come, when nobody asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// That of files or of a sort: the same every time.
    Given,
    /// None, but rows differ in these columns, so that sorting by them gives the same order every time.
    Keys(Vec<String>),
    /// None.
    Unknown,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Relations {
    by_name: HashMap<String, Relation>,
}

impl Relations {
    pub(super) fn insert(&mut self, name: &str, relation: Relation) {
        self.by_name.insert(name.to_string(), relation);
    }

    pub(super) fn get(&self, name: &str) -> Result<&Relation> {
        self.by_name.get(name).ok_or_else(|| Error::query(format!("the step {name:?} was not planned; this is a bug")))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }
}

impl Relation {
    pub(super) fn has(&self, column: &str) -> bool {
        self.schema.field_with_name(column).is_ok()
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// The column that the user named.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with its place and the name that was meant.
    pub(super) fn column(&self, source: &Source, of: &str, name: &Text) -> Result<&Field> {
        match self.schema.field_with_name(&name.text) {
            Ok(field) => Ok(field),
            Err(_) => Err(self.no_column(source, of, name)),
        }
    }

    pub(super) fn no_column(&self, source: &Source, of: &str, name: &Text) -> Error {
        let error = source.error(name.place, format!("column {:?} not found in {of}", name.text));
        match closest(&name.text, self.columns()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => error.with_hint(format!("there are: {}", self.columns().collect::<Vec<_>>().join(", "))),
        }
    }

    /// Columns that hold dates or times of day with a date.
    pub(super) fn time_columns(&self) -> Vec<&str> {
        let is_time = |field: &&std::sync::Arc<Field>| is_time(field.data_type());
        self.schema.fields().iter().filter(is_time).map(|field| field.name().as_str()).collect()
    }
}

pub(super) fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
