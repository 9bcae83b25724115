//! Makes rows ready for the sort: the group key first, and a copy of each row for every order, tagged.
//!
//! Memory: a few columns of the batch in hand; columns that are passed on are shared between the copies.
//! The surprising part: -0.0 becomes 0.0 and every NaN the same NaN where values are compared, so that equal values lie side
//! by side and are equal bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt16Array, new_null_array};
use arrow::compute::nullif;
use arrow::datatypes::{FieldRef, SchemaRef};

use crate::error::Result;
use crate::exec::{Batch, Emit, Flow, LocalTransform, TaskContext, Transform};
use crate::operators::aggregate::{NarrowCaches, NarrowKeys};
use crate::operators::equality::normalize;
use crate::operators::expression::assemble;

/// A column of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArrangedColumn {
    /// An input column as it is.
    Input(usize),
    /// An input column with equal values as equal bytes.
    Comparable(usize),
    /// The same number in every row.
    Constant(u16),
    /// An input column, NULL where a Boolean column is not true.
    Where {
        /// The values.
        column: usize,
        /// The Boolean column.
        condition: usize,
    },
    /// NULL in every row.
    Null,
}

impl ArrangedColumn {
    /// The input column that the values come from.
    pub fn input(&self) -> Option<usize> {
        match self {
            ArrangedColumn::Input(column) | ArrangedColumn::Comparable(column) => Some(*column),
            ArrangedColumn::Where { column, .. } => Some(*column),
            ArrangedColumn::Constant(_) | ArrangedColumn::Null => None,
        }
    }
}

/// Copies rows, each copy with columns of its own.
pub struct Arrange {
    copies: Arc<[Vec<ArrangedColumn>]>,
    schema: SchemaRef,
    /// How the first columns, the same in all copies, are kept in fewer bytes.
    narrow: Option<Arc<NarrowKeys>>,
}

struct LocalArrange {
    copies: Arc<[Vec<ArrangedColumn>]>,
    schema: SchemaRef,
    narrow: Option<Arc<NarrowKeys>>,
    caches: NarrowCaches,
}

impl Arrange {
    /// Makes `copies` of each row under `schema`.
    pub fn new(copies: Vec<Vec<ArrangedColumn>>, schema: SchemaRef) -> Self {
        Arrange { copies: copies.into(), schema, narrow: None }
    }

    /// Keeps the first columns, which are group keys, in a narrow form.
    pub fn narrowing(self, keys: Arc<NarrowKeys>) -> Self {
        Arrange { narrow: Some(keys), ..self }
    }
}

impl Transform for Arrange {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalArrange {
            copies: self.copies.clone(),
            schema: self.schema.clone(),
            narrow: self.narrow.clone(),
            caches: NarrowCaches::default(),
        }))
    }
}

impl LocalTransform for LocalArrange {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let column = |(column, field): (&ArrangedColumn, &FieldRef)| column_of(*column, &batch, field.data_type());
        let mut keys = Vec::new();
        if let (Some(narrow), Some(copy)) = (&self.narrow, self.copies.first()) {
            let plain = copy[..narrow.n_keys()].iter().zip(self.schema.fields()).map(column);
            keys = narrow.encode(&plain.collect::<Result<Vec<_>>>()?, &mut self.caches)?;
        }
        for (idx, copy) in self.copies.iter().enumerate() {
            let others = copy.iter().zip(self.schema.fields()).skip(keys.len()).map(column);
            let columns = keys.iter().cloned().map(Ok).chain(others).collect::<Result<_>>()?;
            let data = assemble(&self.schema, columns, batch.n_rows())?;
            let mut copy = batch.with_data(data);
            copy.last_of_morsel &= idx + 1 == self.copies.len();
            if emit(copy)? == Flow::Done {
                return Ok(Flow::Done);
            }
        }
        Ok(Flow::More)
    }
}

fn column_of(column: ArrangedColumn, batch: &Batch, declared: &arrow::datatypes::DataType) -> Result<ArrayRef> {
    Ok(match column {
        ArrangedColumn::Input(idx) => batch.data.column(idx).clone(),
        ArrangedColumn::Comparable(idx) => normalize(batch.data.column(idx))?,
        ArrangedColumn::Where { column, condition } => {
            let mask = batch.data.column(condition).as_boolean();
            let is_out = (0..mask.len()).map(|row| !(mask.is_valid(row) && mask.value(row)));
            nullif(batch.data.column(column), &is_out.collect::<Vec<_>>().into())?
        }
        ArrangedColumn::Constant(number) => Arc::new(UInt16Array::from_value(number, batch.n_rows())),
        ArrangedColumn::Null => new_null_array(declared, batch.n_rows()),
    })
}
