//! Arrow columns made ready to be written into rows: types resolved once a batch, not once a row.

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};

use super::layout::{Layout, Storage};
use crate::error::{Error, Result};

/// The columns of one batch, in the order of a layout's fields.
pub struct Columns {
    pub(super) columns: Vec<Column>,
    n_rows: usize,
}

/// One column, by how it is stored in rows.
pub(super) enum Column {
    Fixed {
        values: Buffer,
        start: usize,
        width: usize,
        nulls: Option<NullBuffer>,
    },
    Bool(BooleanArray),
    Bytes {
        offsets: OffsetBuffer<i32>,
        data: Buffer,
        nulls: Option<NullBuffer>,
    },
    LargeBytes {
        offsets: OffsetBuffer<i64>,
        data: Buffer,
        nulls: Option<NullBuffer>,
    },
    /// Dictionary codes over strings.
    Coded {
        codes: Buffer,
        start: usize,
        offsets: OffsetBuffer<i32>,
        data: Buffer,
        nulls: Option<NullBuffer>,
    },
    Null,
}

impl Columns {
    /// Prepares `arrays` for the first fields of `layout`. An array may be a dictionary of the field's type.
    ///
    /// # Errors
    /// A column of another type than the field's, or one that `arrow-row` cannot encode.
    pub fn new(layout: &Layout, arrays: &[ArrayRef]) -> Result<Self> {
        let n_rows = arrays.first().map_or(0, |array| array.len());
        let prepare = |(field, array): (_, &ArrayRef)| prepare(field, array);
        let columns = layout.fields.iter().zip(arrays).map(prepare).collect::<Result<_>>()?;
        Ok(Columns { columns, n_rows })
    }

    /// Rows of the batch.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }
}

fn prepare(field: &super::layout::Field, array: &ArrayRef) -> Result<Column> {
    if let DataType::Dictionary(_, values) = array.data_type()
        && **values == field.data_type
    {
        return prepare_dictionary(field, array);
    }
    if *array.data_type() != field.data_type {
        let (found, wanted) = (array.data_type(), &field.data_type);
        return Err(Error::query(format!("a column of type {found} arrived where {wanted} was planned")));
    }
    let nulls = array.logical_nulls();
    Ok(match &field.storage {
        Storage::Null => Column::Null,
        Storage::Bool => Column::Bool(array.as_boolean().clone()),
        Storage::Fixed(width) => {
            let data = array.to_data();
            Column::Fixed { values: data.buffers()[0].clone(), start: data.offset() * width, width: *width, nulls }
        }
        Storage::Slot => prepare_bytes(array, nulls)?,
        Storage::Encoded(converter) => {
            let encoded: BinaryArray = converter.convert_columns(std::slice::from_ref(array))?.try_into_binary()?;
            Column::Bytes { offsets: encoded.offsets().clone(), data: encoded.values().clone(), nulls }
        }
    })
}

fn prepare_bytes(array: &ArrayRef, nulls: Option<NullBuffer>) -> Result<Column> {
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Column::Bytes { offsets: array.offsets().clone(), data: array.values().clone(), nulls }
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Column::Bytes { offsets: array.offsets().clone(), data: array.values().clone(), nulls }
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Column::LargeBytes { offsets: array.offsets().clone(), data: array.values().clone(), nulls }
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            Column::LargeBytes { offsets: array.offsets().clone(), data: array.values().clone(), nulls }
        }
        _ => {
            let large = cast(array, &DataType::LargeBinary)?;
            let large = large.as_binary::<i64>();
            Column::LargeBytes { offsets: large.offsets().clone(), data: large.values().clone(), nulls }
        }
    })
}

/// Codes of 32 bits over strings are written through the dictionary; anything rarer is unpacked first.
fn prepare_dictionary(field: &super::layout::Field, array: &ArrayRef) -> Result<Column> {
    let coded = array.as_dictionary_opt::<Int32Type>();
    let strings =
        |values: &ArrayRef| matches!(values.data_type(), DataType::Utf8 | DataType::Binary) && values.null_count() == 0;
    match coded {
        Some(coded) if strings(coded.values()) => {
            let Column::Bytes { offsets, data, .. } = prepare_bytes(coded.values(), None)? else {
                return Err(Error::query("a dictionary of strings has other values"));
            };
            let codes = coded.keys().values();
            Ok(Column::Coded { codes: codes.inner().clone(), start: 0, offsets, data, nulls: coded.nulls().cloned() })
        }
        _ => prepare(field, &cast(array, &field.data_type)?),
    }
}
