//! From the pages of a row group to Arrow arrays: one reader for each column of the table.
//!
//! Memory: what the pages reserve; the arrays under construction are bounded by the rows that are asked for.
//! The surprising part: nested columns follow the three ways in which writers have spelled lists, so the walk below goes
//! through the Parquet type and the Arrow type side by side and counts definition and repetition levels itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::DataType;
use parquet::arrow::array_reader::{
    ArrayReader, FixedSizeListArrayReader, ListArrayReader, MapArrayReader, NullArrayReader, PrimitiveArrayReader,
    StructArrayReader, make_byte_array_dictionary_reader, make_byte_array_reader, make_fixed_len_byte_array_reader,
};
use parquet::basic::{ConvertedType, Repetition, Type as PhysicalType};
use parquet::column::page::PageIterator;
use parquet::data_type::{BoolType, DoubleType, FloatType, Int32Type, Int64Type, Int96Type};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor, Type, TypePtr};

/// Opens the pages of a leaf column, by its index in the file.
pub(super) type OpenLeaf<'a> = dyn FnMut(usize) -> Result<Box<dyn PageIterator>> + 'a;

/// Makes the reader of root column `root`, which produces arrays of `data_type`.
pub(super) fn column_reader(
    schema: &SchemaDescriptor,
    root: usize,
    data_type: &DataType,
    open_leaf: &mut OpenLeaf<'_>,
) -> Result<Box<dyn ArrayReader>> {
    let field = schema.root_schema().get_fields().get(root).ok_or_else(|| mismatch("column", data_type))?.clone();
    let mut walk = Walk { schema, next_leaf: first_leaf(schema, root), open_leaf };
    walk.any(&field, data_type, Levels::default(), None)
}

/// The first leaf column that belongs to root column `root`.
pub(super) fn first_leaf(schema: &SchemaDescriptor, root: usize) -> usize {
    (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == root).unwrap_or(schema.num_columns())
}

/// The leaf column that is root column `root`, unless that is nested.
pub(super) fn flat_leaf(schema: &SchemaDescriptor, root: usize) -> Option<usize> {
    let leaf = first_leaf(schema, root);
    let is_flat = leaf < schema.num_columns()
        && schema.get_column_root(leaf).is_primitive()
        && schema.column(leaf).max_rep_level() == 0;
    is_flat.then_some(leaf)
}

/// Definition and repetition level at which a value exists.
#[derive(Clone, Copy, Default)]
struct Levels {
    definition: i16,
    repetition: i16,
}

impl Levels {
    fn inside(self, repetition: Repetition) -> Self {
        match repetition {
            Repetition::REQUIRED => self,
            Repetition::OPTIONAL => Levels { definition: self.definition + 1, ..self },
            Repetition::REPEATED => Levels { definition: self.definition + 1, repetition: self.repetition + 1 },
        }
    }
}

/// What an item of a list needs to know of the list: the definition level from which an item exists.
type ItemThreshold = Option<i16>;

struct Walk<'a, 'b> {
    schema: &'a SchemaDescriptor,
    next_leaf: usize,
    open_leaf: &'a mut OpenLeaf<'b>,
}

impl Walk<'_, '_> {
    fn any(&mut self, ty: &TypePtr, data_type: &DataType, outer: Levels, threshold: ItemThreshold) -> Reader {
        if repetition(ty) == Repetition::REPEATED {
            return self.bare_list(ty, data_type, outer, false, threshold);
        }
        self.single(ty, data_type, outer.inside(repetition(ty)), threshold)
    }

    /// A value that is not itself repeated; `levels` are its own.
    fn single(&mut self, ty: &TypePtr, data_type: &DataType, levels: Levels, threshold: ItemThreshold) -> Reader {
        if ty.is_primitive() {
            return self.leaf(data_type, threshold);
        }
        match ty.get_basic_info().converted_type() {
            ConvertedType::LIST => self.list(ty, data_type, levels, threshold),
            ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => self.map(ty, data_type, levels, threshold),
            _ => self.group(ty, data_type, levels, is_optional(ty), threshold),
        }
    }

    /// A repeated field that is the list itself, its items being required.
    fn bare_list(
        &mut self,
        ty: &TypePtr,
        data_type: &DataType,
        outer: Levels,
        nullable: bool,
        threshold: ItemThreshold,
    ) -> Reader {
        let item_type = item_of(data_type).ok_or_else(|| mismatch(ty.name(), data_type))?;
        let levels = outer.inside(Repetition::REPEATED);
        let items = if ty.is_primitive() {
            self.leaf(item_type, Some(levels.definition))?
        } else {
            self.group(ty, item_type, levels, false, Some(levels.definition))?
        };
        list_reader(items, data_type, levels, nullable, threshold)
    }

    /// A group annotated as a list; `levels` are those of the list as a whole.
    fn list(&mut self, ty: &TypePtr, data_type: &DataType, levels: Levels, threshold: ItemThreshold) -> Reader {
        let [repeated] = ty.get_fields() else { return Err(mismatch(ty.name(), data_type)) };
        if repeated.is_primitive() || items_are_the_group_itself(ty, repeated) {
            return self.bare_list(repeated, data_type, levels, is_optional(ty), threshold);
        }
        let [item] = repeated.get_fields() else { return Err(mismatch(ty.name(), data_type)) };
        let item_type = item_of(data_type).ok_or_else(|| mismatch(ty.name(), data_type))?;
        let levels = levels.inside(Repetition::REPEATED);
        let items = self.any(item, item_type, levels, Some(levels.definition))?;
        list_reader(items, data_type, levels, is_optional(ty), threshold)
    }

    fn map(&mut self, ty: &TypePtr, data_type: &DataType, levels: Levels, threshold: ItemThreshold) -> Reader {
        let [entries] = ty.get_fields() else { return Err(mismatch(ty.name(), data_type)) };
        let DataType::Map(entry_field, _) = data_type else { return self.list(ty, data_type, levels, threshold) };
        let (DataType::Struct(fields), [key, value]) = (entry_field.data_type(), entries.get_fields()) else {
            return Err(mismatch(ty.name(), data_type));
        };
        let [key_field, value_field] = fields.as_ref() else { return Err(mismatch(ty.name(), data_type)) };
        let levels = levels.inside(Repetition::REPEATED);
        let exists = Some(levels.definition);
        let keys = self.any(key, key_field.data_type(), levels, exists)?;
        let values = self.any(value, value_field.data_type(), levels, exists)?;
        let Levels { definition, repetition } = levels;
        let reader =
            MapArrayReader::new(keys, values, data_type.clone(), definition, repetition, is_optional(ty), threshold);
        Ok(Box::new(reader))
    }

    fn group(
        &mut self,
        ty: &TypePtr,
        data_type: &DataType,
        levels: Levels,
        nullable: bool,
        threshold: ItemThreshold,
    ) -> Reader {
        let DataType::Struct(fields) = data_type else { return Err(mismatch(ty.name(), data_type)) };
        if fields.is_empty() || fields.len() != ty.get_fields().len() {
            return Err(mismatch(ty.name(), data_type));
        }
        let children = ty.get_fields().iter().zip(fields);
        let children = children.map(|(child, field)| self.any(child, field.data_type(), levels, threshold));
        let children = children.collect::<Result<Vec<_>>>()?;
        let Levels { definition, repetition } = levels;
        let reader = StructArrayReader::new(data_type.clone(), children, definition, repetition, nullable, threshold);
        Ok(Box::new(reader))
    }

    fn leaf(&mut self, data_type: &DataType, threshold: ItemThreshold) -> Reader {
        let leaf = self.next_leaf;
        self.next_leaf += 1;
        if leaf >= self.schema.num_columns() {
            return Err(mismatch("column", data_type));
        }
        let pages = (self.open_leaf)(leaf)?;
        leaf_reader(pages, self.schema.column(leaf), data_type.clone(), threshold)
    }
}

type Reader = Result<Box<dyn ArrayReader>>;

/// Rows for which a reader makes room at first. Without any, a batch of many short runs would grow its buffers exactly,
/// once a run; with all rows of a batch, a filter that leaves few would waste most of them.
const ROWS_BEFOREHAND: usize = 1024;

fn leaf_reader(
    pages: Box<dyn PageIterator>,
    column: ColumnDescPtr,
    data_type: DataType,
    threshold: ItemThreshold,
) -> Reader {
    const N: usize = ROWS_BEFOREHAND;
    if data_type == DataType::Null {
        return Ok(Box::new(NullArrayReader::<Int32Type>::new(pages, column, N, threshold)?));
    }
    let is_dictionary = matches!(data_type, DataType::Dictionary(_, _));
    let physical_type = column.physical_type();
    let data_type = Some(data_type);
    Ok(match physical_type {
        PhysicalType::BOOLEAN => {
            Box::new(PrimitiveArrayReader::<BoolType>::new(pages, column, data_type, N, threshold)?)
        }
        PhysicalType::INT32 => {
            Box::new(PrimitiveArrayReader::<Int32Type>::new(pages, column, data_type, N, threshold)?)
        }
        PhysicalType::INT64 => {
            Box::new(PrimitiveArrayReader::<Int64Type>::new(pages, column, data_type, N, threshold)?)
        }
        PhysicalType::INT96 => {
            Box::new(PrimitiveArrayReader::<Int96Type>::new(pages, column, data_type, N, threshold)?)
        }
        PhysicalType::FLOAT => {
            Box::new(PrimitiveArrayReader::<FloatType>::new(pages, column, data_type, N, threshold)?)
        }
        PhysicalType::DOUBLE => {
            Box::new(PrimitiveArrayReader::<DoubleType>::new(pages, column, data_type, N, threshold)?)
        }
        PhysicalType::BYTE_ARRAY if is_dictionary => {
            make_byte_array_dictionary_reader(pages, column, data_type, N, threshold)?
        }
        PhysicalType::BYTE_ARRAY => make_byte_array_reader(pages, column, data_type, N, threshold)?,
        PhysicalType::FIXED_LEN_BYTE_ARRAY => make_fixed_len_byte_array_reader(pages, column, data_type, N, threshold)?,
    })
}

fn list_reader(
    items: Box<dyn ArrayReader>,
    data_type: &DataType,
    levels: Levels,
    nullable: bool,
    threshold: ItemThreshold,
) -> Reader {
    let Levels { definition, repetition } = levels;
    Ok(match data_type {
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).map_err(|_| mismatch("list", data_type))?;
            Box::new(FixedSizeListArrayReader::new(
                items,
                size,
                data_type.clone(),
                definition,
                repetition,
                nullable,
                threshold,
            ))
        }
        DataType::List(_) => {
            Box::new(ListArrayReader::<i32>::new(items, data_type.clone(), definition, repetition, nullable, threshold))
        }
        _ => return Err(mismatch("list", data_type)),
    })
}

/// Old writers left out the inner group of a list: then the repeated group is the item, unless it has one field and a
/// name of the newer kind.
fn items_are_the_group_itself(list: &Type, repeated: &Type) -> bool {
    let [only] = repeated.get_fields() else { return true };
    let is_annotated = repeated.get_basic_info().converted_type() == ConvertedType::LIST;
    let holds_a_repeated_field = repetition(only) == Repetition::REPEATED;
    let has_old_name = repeated.name() == "array" || repeated.name().strip_suffix("_tuple") == Some(list.name());
    !is_annotated && !holds_a_repeated_field && has_old_name
}

fn item_of(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item) | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

fn repetition(ty: &Type) -> Repetition {
    let info = ty.get_basic_info();
    if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED }
}

fn is_optional(ty: &Type) -> bool {
    repetition(ty) == Repetition::OPTIONAL
}

fn mismatch(name: &str, data_type: &DataType) -> ParquetError {
    ParquetError::General(format!("{name} cannot be read as {data_type}"))
}

/// Bytes that the rows of `array` take, without the values of a dictionary, which batches share.
pub(super) fn row_bytes(array: &ArrayRef) -> usize {
    match array.as_any_dictionary_opt() {
        Some(dictionary) => dictionary.keys().get_buffer_memory_size(),
        None => Arc::as_ref(array).get_buffer_memory_size(),
    }
}
