//! The schema that several files have in common.
//!
//! Memory: one field and one path a column; a table's schema is what stays of its files.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};

use super::common_type;
use crate::error::{Error, Result};

/// Unites schemas by column name, in the order in which names first appear.
#[derive(Default)]
pub(in crate::io) struct UnitedSchema {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    /// The file that gave each column its type.
    typed_by: Vec<PathBuf>,
    n_files: usize,
    seen_in: Vec<usize>,
    /// The number of the last file that has each column.
    last_in: Vec<usize>,
}

impl UnitedSchema {
    /// Adds the columns of the file at `path`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] naming both files when two types have nothing in common, and for a name that two columns
    /// of the file have.
    pub(in crate::io) fn add<'a>(
        &mut self,
        columns: impl IntoIterator<Item = &'a FieldRef>,
        path: &Path,
    ) -> Result<()> {
        for field in columns {
            match self.by_name.get(field.name()) {
                Some(&idx) if self.last_in[idx] == self.n_files => {
                    let what = format!("{}: two columns are called {:?}", path.display(), field.name());
                    return Err(Error::data(what).with_hint("write the file again with another name for one of them"));
                }
                Some(&idx) => {
                    self.last_in[idx] = self.n_files;
                    let known = &mut self.fields[idx];
                    let common = common_type(known.data_type(), field.data_type())
                        .ok_or_else(|| no_common_type(known, field, &self.typed_by[idx], path))?;
                    let nullable = known.is_nullable() || field.is_nullable();
                    if &common != known.data_type() {
                        self.typed_by[idx] = path.to_path_buf();
                    }
                    *known = Field::new(known.name(), common, nullable);
                    self.seen_in[idx] += 1;
                }
                None => {
                    self.by_name.insert(field.name().clone(), self.fields.len());
                    self.fields.push(field.as_ref().clone());
                    self.seen_in.push(1);
                    self.last_in.push(self.n_files);
                    self.typed_by.push(path.to_path_buf());
                }
            }
        }
        self.n_files += 1;
        Ok(())
    }

    /// The united schema. A column that is missing in some file may be NULL.
    pub(in crate::io) fn finish(self) -> SchemaRef {
        let fields = self.fields.into_iter().zip(self.seen_in);
        let fields = fields.map(|(field, seen)| {
            let nullable = field.is_nullable() || seen < self.n_files;
            field.with_nullable(nullable)
        });
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }
}

fn no_common_type(known: &Field, other: &Field, typed_by: &Path, path: &Path) -> Error {
    let (one, another) = (typed_by.display(), path.display());
    Error::data(format!(
        "column {} is {} in {one} but {} in {another}, and no type holds both",
        known.name(),
        known.data_type(),
        other.data_type(),
    ))
    .with_hint("read the files separately and cast the column")
}
