//! The engine's types, which are fewer than Arrow's: strings are `Utf8`, byte strings `Binary`, lists `List`, whatever the
//! writer used in its own memory (views, 64-bit offsets, dictionaries).
//!
//! Memory: one field a column.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

/// The field with the type that the engine has for it.
pub(in crate::io) fn engine_field(field: &Field) -> Field {
    Field::new(field.name(), engine_type(field.data_type()), field.is_nullable())
}

/// The engine's type for the values of `data_type`.
pub(in crate::io) fn engine_type(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(engine_field(field));
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => engine_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(inner(item))
        }
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(inner(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_types_have_no_views_dictionaries_or_long_offsets() {
        let text = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8));
        let list = DataType::LargeList(Arc::new(Field::new("item", text, true)));
        assert_eq!(engine_type(&list), DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
    }
}
