//! The fields of a row, into the columns that are read.
//!
//! Memory: that of the columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::column::Builder;
use super::cursor::{Cursor, Text};
use super::open::Definition;
use super::problem::{Problem, What};
use crate::error::{Error, Result};

/// The columns of a batch in the making.
pub(super) struct Columns {
    table: Arc<Definition>,
    /// By column of the table; `None` for those that are only passed over.
    builders: Vec<Option<Builder>>,
    /// The columns that are read.
    read: Vec<usize>,
    n_rows: usize,
    /// The field of the last row that stood at each place, which is likely to stand there again.
    order: Vec<usize>,
    seen: Vec<bool>,
    names: HashMap<String, usize>,
}

impl Columns {
    /// Builders for the columns `read` of `table`.
    pub(super) fn new(table: &Arc<Definition>, read: Vec<usize>) -> Result<Self> {
        let fields = table.schema.fields();
        let mut builders: Vec<Option<Builder>> = fields.iter().map(|_| None).collect();
        for &column in &read {
            let data_type = fields[column].data_type();
            let builder = Builder::new(data_type, table.takes(column));
            let unread = || Error::usage(format!("JSON cannot be read as {data_type}"));
            builders[column] = Some(builder.ok_or_else(unread)?);
        }
        let names = fields.iter().enumerate().map(|(idx, field)| (field.name().clone(), idx)).collect();
        let seen = vec![false; fields.len()];
        Ok(Columns { table: table.clone(), builders, read, n_rows: 0, order: Vec::new(), seen, names })
    }

    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Bytes of the values so far, about.
    pub(super) fn n_bytes(&self) -> usize {
        self.builders.iter().flatten().map(Builder::n_bytes).sum()
    }

    /// Appends the row in `line`, or nothing of it.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), Problem> {
        let appended = self.append_fields(line);
        match appended {
            Ok(()) => self.n_rows += 1,
            Err(_) => self.builders.iter_mut().flatten().for_each(|builder| builder.truncate(self.n_rows)),
        }
        appended
    }

    fn append_fields(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.seen.fill(false);
        let mut cursor = Cursor::new(line);
        let mut place = 0;
        cursor.object(|cursor, name| {
            let column = self.column(place, name, cursor)?;
            place += 1;
            if std::mem::replace(&mut self.seen[column], true) {
                return Err(cursor.problem(What::Twice).inside(self.table.schema.field(column).name()));
            }
            match &mut self.builders[column] {
                None => cursor.skip().map(|_| ()),
                Some(builder) => {
                    builder.append(cursor).map_err(|problem| problem.inside(self.table.schema.field(column).name()))
                }
            }
        })?;
        cursor.end()?;
        for &column in &self.read {
            if !self.seen[column]
                && let Some(builder) = &mut self.builders[column]
            {
                builder.append_null();
            }
        }
        Ok(())
    }

    /// The column of the field `name`, the so many-th of its row.
    #[inline]
    fn column(&mut self, place: usize, name: Text<'_>, cursor: &Cursor<'_>) -> Result<usize, Problem> {
        let fields = self.table.schema.fields();
        if let Some(&likely) = self.order.get(place)
            && !name.is_escaped
            && fields[likely].name().as_bytes() == name.raw
        {
            return Ok(likely);
        }
        let name = name.name().ok_or_else(|| cursor.problem(What::Escape))?;
        let column = match self.names.get(&name) {
            Some(&column) => column,
            None => return Err(cursor.problem(What::Unknown).inside(&name)),
        };
        if place < self.order.len() {
            self.order[place] = column;
        } else if place == self.order.len() {
            self.order.push(column);
        }
        Ok(column)
    }

    /// The columns that are read, in that order, and how many rows; the columns start anew.
    pub(super) fn finish(&mut self) -> Result<(Vec<ArrayRef>, usize)> {
        let n_rows = std::mem::take(&mut self.n_rows);
        let mut arrays = Vec::with_capacity(self.read.len());
        for &column in &self.read {
            if let Some(builder) = &mut self.builders[column] {
                arrays.push(builder.finish()?);
            }
        }
        Ok((arrays, n_rows))
    }
}
