//! UNNEST: a row for every element of its lists; the other columns are repeated. Struct columns become their fields.
//!
//! Several lists go side by side: the longest says how many rows there are, the others are filled up with NULL. A row
//! whose lists are all empty or NULL has no rows, or one with NULL where that is asked for.
//!
//! Memory: one batch of output at a time, however long a list is, beside the batch in hand.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};

use super::expression::assemble;
use crate::error::{Error, Result};
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};

/// Where a column of the output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnnestColumn {
    /// An input column as it is.
    Copied(usize),
    /// The elements of an input column of lists, `depth` levels down.
    Elements {
        /// The input column.
        column: usize,
        /// 1 for the elements themselves, 2 for the elements of those, and so on.
        depth: usize,
    },
    /// A field of an input column of structs.
    Field {
        /// The input column.
        column: usize,
        /// The number of the field.
        field: usize,
    },
}

/// Turns lists into rows.
pub struct Unnest {
    columns: Arc<[UnnestColumn]>,
    keeps_empty: bool,
    schema: SchemaRef,
}

struct LocalUnnest {
    columns: Arc<[UnnestColumn]>,
    keeps_empty: bool,
    schema: SchemaRef,
    batch_bytes: usize,
    batch_rows: usize,
}

impl Unnest {
    /// `columns` under `schema`. With `keeps_empty`, rows with empty lists only stay, with NULL.
    pub fn new(columns: Vec<UnnestColumn>, keeps_empty: bool, schema: SchemaRef) -> Self {
        Unnest { columns: columns.into(), keeps_empty, schema }
    }
}

impl Transform for Unnest {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        let sizes = cx.sizes();
        Ok(Box::new(LocalUnnest {
            columns: self.columns.clone(),
            keeps_empty: self.keeps_empty,
            schema: self.schema.clone(),
            batch_bytes: sizes.batch_bytes,
            batch_rows: sizes.batch_rows,
        }))
    }
}

/// The lists of one column: all elements, and where each row's are.
struct Lists {
    values: ArrayRef,
    ranges: Vec<(usize, usize)>,
}

impl Lists {
    fn of(array: &ArrayRef, depth: usize) -> Result<Self> {
        let (values, ranges) = elements(array)?;
        if depth <= 1 {
            return Ok(Lists { values, ranges });
        }
        let inner = Lists::of(&values, depth - 1)?;
        // The elements of neighbouring lists are neighbours.
        let joined = ranges.into_iter().map(|(start, len)| match len {
            0 => (0, 0),
            _ => {
                let from = inner.ranges[start].0;
                let (last, last_len) = inner.ranges[start + len - 1];
                (from, last + last_len - from)
            }
        });
        Ok(Lists { ranges: joined.collect(), values: inner.values })
    }
}

/// The elements of an array of lists, and the range of each row: empty for NULL.
fn elements(array: &ArrayRef) -> Result<(ArrayRef, Vec<(usize, usize)>)> {
    let lists = match array.data_type() {
        DataType::LargeList(_) => array.clone(),
        DataType::List(field) | DataType::FixedSizeList(field, _) => cast(array, &DataType::LargeList(field.clone()))?,
        DataType::Null => {
            return Ok((array.clone(), vec![(0, 0); array.len()]));
        }
        other => return Err(Error::query(format!("UNNEST needs lists, not {other}"))),
    };
    let lists = lists.as_list::<i64>();
    let offsets = lists.value_offsets();
    let range = |row: usize| (offsets[row] as usize, (offsets[row + 1] - offsets[row]) as usize);
    let ranges = (0..lists.len()).map(|row| (range(row).0, if lists.is_valid(row) { range(row).1 } else { 0 }));
    Ok((lists.values().clone(), ranges.collect()))
}

impl LocalTransform for LocalUnnest {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let mut lists = Vec::new();
        for column in self.columns.iter() {
            if let UnnestColumn::Elements { column, depth } = column {
                lists.push(Lists::of(batch.data.column(*column), *depth)?);
            }
        }
        let n_elements = |row: usize| lists.iter().map(|list| list.ranges[row].1).max().unwrap_or(1);
        let least = usize::from(self.keeps_empty);
        let row_bytes = (batch.data.get_array_memory_size() / batch.n_rows().max(1)).max(1);
        let most_rows = (self.batch_bytes / row_bytes).clamp(1, self.batch_rows);
        // The input row and the place in its lists of every row of the piece.
        let mut piece: Vec<(u32, u32)> = Vec::with_capacity(most_rows);
        for row in 0..batch.n_rows() {
            for place in 0..n_elements(row).max(least) {
                piece.push((row as u32, place as u32));
                if piece.len() == most_rows {
                    let mut output = self.output(&batch, &lists, &piece)?;
                    output.last_of_morsel = false;
                    piece.clear();
                    if emit(output)? == Flow::Done {
                        return Ok(Flow::Done);
                    }
                }
            }
        }
        emit(self.output(&batch, &lists, &piece)?)
    }
}

impl LocalUnnest {
    fn output(&self, batch: &Batch, lists: &[Lists], piece: &[(u32, u32)]) -> Result<Batch> {
        let rows: UInt32Array = piece.iter().map(|(row, _)| *row).collect::<Vec<_>>().into();
        let mut lists = lists.iter();
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in self.columns.iter() {
            columns.push(match column {
                UnnestColumn::Copied(idx) => take(batch.data.column(*idx), &rows, None)?,
                UnnestColumn::Field { column, field } => {
                    let structs = batch.data.column(*column);
                    let Some(structs) = structs.as_struct_opt() else {
                        return Err(Error::query(format!("UNNEST needs a struct, not {}", structs.data_type())));
                    };
                    let values = match structs.nulls() {
                        None => structs.column(*field).clone(),
                        Some(valid) => {
                            let is_null = arrow::array::BooleanArray::new(!valid.inner(), None);
                            arrow::compute::nullif(structs.column(*field), &is_null)?
                        }
                    };
                    take(&values, &rows, None)?
                }
                UnnestColumn::Elements { .. } => {
                    let Some(list) = lists.next() else { return Err(Error::query("a list to unnest is missing")) };
                    let at = |&(row, place): &(u32, u32)| {
                        let (start, len) = list.ranges[row as usize];
                        ((place as usize) < len).then(|| (start + place as usize) as u64)
                    };
                    let at: arrow::array::UInt64Array = piece.iter().map(at).collect();
                    take(&list.values, &at, None)?
                }
            });
        }
        Ok(batch.with_data(assemble(&self.schema, columns, piece.len())?))
    }
}
