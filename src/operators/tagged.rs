//! Rows of both sides of a join by order in one stream, so that one sort puts them in order and one worker sees what
//! belongs together.
//!
//! ```text
//! keys that must be equal | place | last place, if any | whether it is of the right side | left columns | right columns
//! ```
//!
//! A row has NULL in the columns of the other side. Memory: a batch of constants a column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::expression::Expression;
use super::project::Column;
use crate::error::Result;

/// The number of a side.
pub const LEFT: usize = 0;
/// See [`LEFT`].
pub const RIGHT: usize = 1;

/// Which columns of one input go into the stream.
#[derive(Debug, Clone)]
pub struct TaggedSide {
    /// Keys, as many as the other side has, of the same types.
    pub keys: Vec<usize>,
    /// Where the row is on the line.
    pub place: usize,
    /// Where it ends, if either side has such a column.
    pub last: Option<usize>,
    /// What comes out again.
    pub columns: Vec<usize>,
}

/// Where things are in the stream.
#[derive(Debug, Clone)]
pub struct TaggedLayout {
    /// Names and types.
    pub schema: SchemaRef,
    /// Keys come first, so many.
    pub n_keys: usize,
    /// The column of the last place, if there is one.
    pub last: Option<usize>,
    /// The first column of each side, and the number after the last one.
    pub first: [usize; 2],
    /// How many columns each side has.
    pub n_columns: [usize; 2],
}

impl TaggedLayout {
    /// For `sides` of inputs of `schemas`.
    pub fn new(sides: &[TaggedSide; 2], schemas: [&SchemaRef; 2]) -> Self {
        let nullable = |name: String, data_type: &DataType| Arc::new(Field::new(name, data_type.clone(), true));
        let left = &sides[LEFT];
        let mut fields: Vec<FieldRef> = Vec::new();
        for &key in &left.keys {
            fields.push(nullable(schemas[LEFT].field(key).name().clone(), schemas[LEFT].field(key).data_type()));
        }
        let place = schemas[LEFT].field(left.place);
        fields.push(nullable(place.name().clone(), place.data_type()));
        let last = (0..2).find_map(|side| Some(schemas[side].field(sides[side].last?)));
        let last = last.map(|field| {
            fields.push(nullable(field.name().clone(), field.data_type()));
            fields.len() - 1
        });
        fields.push(Arc::new(Field::new("side", DataType::Boolean, false)));
        let first_left = fields.len();
        for side in [LEFT, RIGHT] {
            for &column in &sides[side].columns {
                let field = schemas[side].field(column);
                fields.push(nullable(field.name().clone(), field.data_type()));
            }
        }
        let n_columns = [sides[LEFT].columns.len(), sides[RIGHT].columns.len()];
        let first = [first_left, first_left + n_columns[LEFT]];
        TaggedLayout { schema: Arc::new(Schema::new(fields)), n_keys: left.keys.len(), last, first, n_columns }
    }

    /// The column of places.
    pub fn place(&self) -> usize {
        self.n_keys
    }

    /// The column that tells sides apart.
    pub fn side(&self) -> usize {
        self.first[LEFT] - 1
    }

    /// How the columns of the stream are made of the rows of `side`.
    pub fn project(&self, side: usize, of: &TaggedSide) -> Vec<Column> {
        let fields = self.schema.fields();
        let null = |idx: usize| Column::Computed(Arc::new(Nulls(fields[idx].data_type().clone())));
        let mut columns: Vec<Column> = of.keys.iter().map(|&key| Column::Input(key)).collect();
        columns.push(Column::Input(of.place));
        if let Some(last) = self.last {
            columns.push(of.last.map_or_else(|| null(last), Column::Input));
        }
        columns.push(Column::Computed(Arc::new(SideOf(side == RIGHT))));
        for idx in self.first[LEFT]..fields.len() {
            let is_mine = (self.first[side]..self.first[side] + self.n_columns[side]).contains(&idx);
            columns.push(if is_mine { Column::Input(of.columns[idx - self.first[side]]) } else { null(idx) });
        }
        columns
    }

    /// The columns of `side` in a batch of the stream.
    pub fn columns_of<'a>(&self, side: usize, columns: &'a [ArrayRef]) -> &'a [ArrayRef] {
        &columns[self.first[side]..self.first[side] + self.n_columns[side]]
    }
}

/// NULL for every row.
struct Nulls(DataType);

impl Expression for Nulls {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        Ok(new_null_array(&self.0, batch.num_rows()))
    }
}

/// The same side for every row.
struct SideOf(bool);

impl Expression for SideOf {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let side = arrow::buffer::BooleanBuffer::collect_bool(batch.num_rows(), |_| self.0);
        Ok(Arc::new(arrow::array::BooleanArray::new(side, None)))
    }
}

/// Some rows of some columns.
///
/// # Errors
/// When text of more than 2 GiB comes together.
pub(super) fn take_rows(columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| Ok(take(column.as_ref(), rows, None)?)).collect()
}

/// Rows that have a NULL where that matches nothing.
pub(super) fn dead_rows<'a>(columns: impl IntoIterator<Item = &'a ArrayRef>, dead: &mut [bool]) {
    for column in columns {
        let Some(nulls) = column.logical_nulls().filter(|nulls| nulls.null_count() > 0) else { continue };
        for (dead, is_valid) in dead.iter_mut().zip(nulls.iter()) {
            *dead |= !is_valid;
        }
    }
}
