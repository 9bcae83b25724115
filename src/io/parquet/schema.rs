//! Schemas: what one file declares, and what several files have in common.
//!
//! Memory: one field a column; a table's schema is what stays of its files.
//! Engine types are fewer than Arrow's: strings are `Utf8`, byte strings `Binary`, lists `List`, whatever the writer used
//! in its own memory (views, 64-bit offsets, dictionaries).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use super::columns::flat_leaf;
use super::input::guarded;
use crate::error::{Error, Result};

/// The columns of one file.
pub(super) struct FileSchema {
    pub(super) columns: Vec<FileColumn>,
}

/// A column as it is read from one file.
#[derive(Debug, Clone)]
pub(super) struct FileColumn {
    /// Name and type, of the engine's types.
    pub(super) field: FieldRef,
    /// Index among the root columns of the file.
    pub(super) root: usize,
    /// The leaf column, unless the column is nested.
    pub(super) leaf: Option<usize>,
}

impl FileSchema {
    pub(super) fn of(metadata: &ParquetMetaData) -> ParquetResult<Self> {
        let file = metadata.file_metadata();
        let descriptor = file.schema_descr();
        // An embedded Arrow schema that does not fit the file is ignored, as the format asks for.
        let declared = guarded(|| parquet_to_arrow_schema(descriptor, file.key_value_metadata()))
            .or_else(|_| guarded(|| parquet_to_arrow_schema(descriptor, None)))?;
        let roots = descriptor.root_schema().get_fields();
        if declared.fields().len() != roots.len() {
            return Err(ParquetError::General("a column has no fields".into()));
        }
        let columns = declared.fields().iter().enumerate();
        let columns = columns.map(|(root, field)| FileColumn {
            field: Arc::new(engine_field(field)),
            root,
            leaf: flat_leaf(descriptor, root),
        });
        Ok(FileSchema { columns: columns.collect() })
    }
}

fn engine_field(field: &Field) -> Field {
    Field::new(field.name(), engine_type(field.data_type()), field.is_nullable())
}

fn engine_type(data_type: &DataType) -> DataType {
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

/// Unites schemas by column name, in the order in which names first appear.
#[derive(Default)]
pub(super) struct UnitedSchema {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    first_file: Option<String>,
    n_files: usize,
    seen_in: Vec<usize>,
}

impl UnitedSchema {
    /// Adds the columns of the file at `path`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] naming both files when two types have nothing in common.
    pub(super) fn add(&mut self, schema: &FileSchema, path: &Path) -> Result<()> {
        for column in &schema.columns {
            match self.by_name.get(column.field.name()) {
                Some(&idx) => {
                    let known = &mut self.fields[idx];
                    let common = common_type(known.data_type(), column.field.data_type())
                        .ok_or_else(|| no_common_type(known, &column.field, self.first_file.as_deref(), path))?;
                    let nullable = known.is_nullable() || column.field.is_nullable();
                    *known = Field::new(known.name(), common, nullable);
                    self.seen_in[idx] += 1;
                }
                None => {
                    self.by_name.insert(column.field.name().clone(), self.fields.len());
                    self.fields.push(column.field.as_ref().clone());
                    self.seen_in.push(1);
                }
            }
        }
        self.n_files += 1;
        self.first_file.get_or_insert_with(|| path.display().to_string());
        Ok(())
    }

    /// The united schema. A column that is missing in some file may be NULL.
    pub(super) fn finish(self) -> SchemaRef {
        let fields = self.fields.into_iter().zip(self.seen_in);
        let fields = fields.map(|(field, seen)| {
            let nullable = field.is_nullable() || seen < self.n_files;
            field.with_nullable(nullable)
        });
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }
}

fn no_common_type(known: &Field, other: &Field, first_file: Option<&str>, path: &Path) -> Error {
    Error::data(format!(
        "column {} is {} in {} but {} in {}",
        known.name(),
        known.data_type(),
        first_file.unwrap_or("an earlier file"),
        other.data_type(),
        path.display()
    ))
    .with_hint("read the files separately and cast the column")
}

/// The type that holds all values of both, if there is one.
pub(super) fn common_type(one: &DataType, other: &DataType) -> Option<DataType> {
    if one == other {
        return Some(one.clone());
    }
    match (one, other) {
        (DataType::Null, some) | (some, DataType::Null) => Some(some.clone()),
        (DataType::Timestamp(a, zone), DataType::Timestamp(b, other_zone)) if zone == other_zone => {
            Some(DataType::Timestamp(finer(*a, *b), zone.clone()))
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => {
            let scale = *s.max(t);
            let whole = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
            let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|&precision| precision <= 38)?;
            Some(DataType::Decimal128(precision, scale))
        }
        (DataType::Struct(a), DataType::Struct(b)) if a.len() == b.len() => {
            let fields = a.iter().zip(b).map(|(a, b)| {
                let common = common_type(a.data_type(), b.data_type()).filter(|_| a.name() == b.name())?;
                Some(Field::new(a.name(), common, a.is_nullable() || b.is_nullable()))
            });
            Some(DataType::Struct(fields.collect::<Option<Vec<_>>>()?.into()))
        }
        (DataType::List(a), DataType::List(b)) => {
            let common = common_type(a.data_type(), b.data_type())?;
            Some(DataType::List(Arc::new(Field::new(a.name(), common, a.is_nullable() || b.is_nullable()))))
        }
        _ => common_number(one, other),
    }
}

fn finer(one: TimeUnit, other: TimeUnit) -> TimeUnit {
    let rank = |unit: TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(one) >= rank(other) { one } else { other }
}

/// Bits and sign of integers.
fn integer(data_type: &DataType) -> Option<(u32, bool)> {
    Some(match data_type {
        DataType::Int8 => (8, true),
        DataType::Int16 => (16, true),
        DataType::Int32 => (32, true),
        DataType::Int64 => (64, true),
        DataType::UInt8 => (8, false),
        DataType::UInt16 => (16, false),
        DataType::UInt32 => (32, false),
        DataType::UInt64 => (64, false),
        _ => return None,
    })
}

fn common_number(one: &DataType, other: &DataType) -> Option<DataType> {
    let is_float =
        |data_type: &DataType| matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64);
    match (integer(one), integer(other)) {
        (Some((a, true)), Some((b, true))) => Some(signed(a.max(b))),
        (Some((a, false)), Some((b, false))) => Some(if a > b { one.clone() } else { other.clone() }),
        (Some((signed_bits, true)), Some((bits, false))) | (Some((bits, false)), Some((signed_bits, true))) => {
            // An unsigned number needs one bit more; no integer holds both Int64 and UInt64.
            (bits < 64).then(|| signed(signed_bits.max(bits * 2)))
        }
        (Some(_), None) if is_float(other) => Some(DataType::Float64),
        (None, Some(_)) if is_float(one) => Some(DataType::Float64),
        (None, None) if is_float(one) && is_float(other) => {
            let has_double = one == &DataType::Float64 || other == &DataType::Float64;
            Some(if has_double { DataType::Float64 } else { DataType::Float32 })
        }
        _ => None,
    }
}

fn signed(bits: u32) -> DataType {
    match bits {
        0..=8 => DataType::Int8,
        9..=16 => DataType::Int16,
        17..=32 => DataType::Int32,
        _ => DataType::Int64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_widen_only_where_no_value_is_lost() {
        use DataType::*;
        let check = |one: DataType, other: DataType, common: Option<DataType>| {
            assert_eq!(common_type(&one, &other), common, "{one} {other}");
            assert_eq!(common_type(&other, &one), common, "{other} {one}");
        };
        check(Int32, Int32, Some(Int32));
        check(Int8, Int64, Some(Int64));
        check(Int32, Float32, Some(Float64));
        check(Float32, Float64, Some(Float64));
        check(UInt8, Int8, Some(Int16));
        check(UInt32, Int32, Some(Int64));
        check(UInt64, Int64, None);
        check(UInt16, UInt64, Some(UInt64));
        check(Int32, Utf8, None);
        check(Null, Utf8, Some(Utf8));
        check(
            Timestamp(TimeUnit::Second, None),
            Timestamp(TimeUnit::Microsecond, None),
            Some(Timestamp(TimeUnit::Microsecond, None)),
        );
        check(Decimal128(10, 2), Decimal128(12, 4), Some(Decimal128(12, 4)));
        check(Decimal128(38, 0), Decimal128(38, 10), None);
    }

    #[test]
    fn engine_types_have_no_views_dictionaries_or_long_offsets() {
        let text = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8));
        let list = DataType::LargeList(Arc::new(Field::new("item", text, true)));
        assert_eq!(engine_type(&list), DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
    }
}
