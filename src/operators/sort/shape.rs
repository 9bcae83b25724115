//! How a batch becomes rows with a key, and rows become a batch again.
//!
//! ```text
//! field 0: first bytes of the key   field 1: the rest of a long key   then: columns that the key does not hold
//! ```
//!
//! The width of field 0 is that of all keys where it is fixed, else that of the longest key of the first batch.
//! Memory: none of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};

use super::SortSpec;
use super::decode::decode_keys;
use super::encode::{KeyEncoder, Keys};
use crate::error::{Error, Result};
use crate::row::{Columns, KeyField, KeySpread, Layout, LayoutBuilder, MAX_KEY_WORDS, Rows, gather_fields};

/// The most bytes of a key that are kept inline; what is longer is looked at only when all of these are the same.
const MAX_INLINE_BYTES: usize = MAX_KEY_WORDS * 8;

/// How rows of one sort look.
pub(crate) struct RowShape {
    pub(super) layout: Arc<Layout>,
    pub(super) key: KeyField,
    pub(super) key_bytes: usize,
    has_rest: bool,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// The fields that columns come from.
    fields: Vec<usize>,
    /// Which key columns are read back from the key.
    is_decoded: Vec<bool>,
}

/// Where a column of the output comes from.
enum Column {
    /// The next field of the layout.
    Field,
    /// A key column.
    Key(usize),
}

impl RowShape {
    /// Bytes of the inline key when the longest key seen has `longest` bytes.
    pub(crate) fn inline_bytes(longest: usize) -> usize {
        longest.next_multiple_of(8).clamp(8, MAX_INLINE_BYTES)
    }

    /// For rows with inline keys of `key_bytes`.
    pub(crate) fn new(spec: &SortSpec, encoder: &KeyEncoder, key_bytes: usize) -> Result<Self> {
        let has_rest = encoder.fixed_bytes().is_none_or(|bytes| bytes > key_bytes);
        let mut builder = LayoutBuilder::default().payload(DataType::FixedSizeBinary(key_bytes as i32));
        let mut n_fields = 1;
        if has_rest {
            builder = builder.payload(DataType::Binary);
            n_fields += 1;
        }
        let decodable = encoder.columns.iter().all(|column| column.kind.is_decodable());
        let mut is_decoded = vec![false; encoder.columns.len()];
        let mut columns = Vec::with_capacity(spec.schema.fields().len());
        let mut fields = Vec::new();
        for (column, field) in spec.schema.fields().iter().enumerate() {
            let key = encoder.columns.iter().position(|key| key.column == column);
            columns.push(match key.filter(|_| decodable) {
                Some(key) => {
                    is_decoded[key] = true;
                    Column::Key(key)
                }
                None => {
                    builder = builder.payload(field.data_type().clone());
                    fields.push(n_fields);
                    n_fields += 1;
                    Column::Field
                }
            });
        }
        let layout = builder.build()?;
        let key = KeyField::new(&layout, 0, has_rest.then_some(1));
        Ok(RowShape { layout, key, key_bytes, has_rest, schema: spec.schema.clone(), columns, fields, is_decoded })
    }

    /// Prepares a batch for being written into rows, and adds its keys to `spread`.
    pub(super) fn columns(&self, batch: &[ArrayRef], keys: Keys, spread: &mut KeySpread) -> Result<Columns> {
        let n_rows = keys.len();
        let (inline, rest) = keys.into_inline(self.key_bytes);
        spread.add(&inline, self.key.n_words());
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len() + 2);
        let inline = FixedSizeBinaryArray::try_new(self.key_bytes as i32, Buffer::from_vec(inline), None)?;
        arrays.push(Arc::new(inline));
        if self.has_rest {
            arrays.push(match rest {
                Some(rest) => Arc::new(rest) as ArrayRef,
                None => Arc::new(BinaryArray::new_null(n_rows)),
            });
        }
        let stored = self.columns.iter().zip(batch).filter(|(column, _)| matches!(column, Column::Field));
        arrays.extend(stored.map(|(_, array)| array.clone()));
        Columns::new(&self.layout, &arrays)
    }

    /// The output batch of some rows.
    pub(super) fn batch(&self, encoder: &KeyEncoder, rows: Rows<'_>) -> Result<RecordBatch> {
        let mut decoded = decode_keys(encoder, self.key, rows, &self.is_decoded)?;
        let mut gathered = gather_fields(&self.layout, &self.fields, rows)?.into_iter();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let array = match column {
                Column::Field => gathered.next(),
                Column::Key(key) => decoded[*key].take(),
            };
            arrays.push(array.ok_or_else(|| Error::query("a column of a sort is missing"))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?)
    }
}
