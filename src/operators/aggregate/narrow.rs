//! Keys in fewer bytes, where statistics allow: integers as their distance from the smallest value, strings of few
//! distinct values as codes. Fewer bytes in a row are fewer bytes to compare and to spill.
//!
//! Memory: two copies of each distinct string, under a reservation; at most 65,536 of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::*;

use crate::error::{Error, Result};
use crate::io::ColumnStatistics;
use crate::memory::{Memory, Reservation};

/// How one key is kept in rows.
pub(super) enum KeyForm {
    /// As it is.
    Plain,
    /// An unsigned integer of `width` bytes: the distance from `low`.
    Distance { low: i64, high: i64, width: usize },
    /// A 16-bit code of a string.
    Code(Box<Interner>),
}

impl KeyForm {
    /// The narrowest form that `statistics` allow for values of `data_type`.
    pub(super) fn new(data_type: &DataType, statistics: Option<&ColumnStatistics>, memory: &Memory) -> Self {
        let Some(statistics) = statistics else { return KeyForm::Plain };
        if let (Some(low), Some(high)) = (integer(&statistics.min), integer(&statistics.max))
            && is_narrowable(data_type)
            && low <= high
        {
            return distance_form(data_type, low, high);
        }
        match statistics.max_distinct {
            Some(n) if *data_type == DataType::Utf8 && n <= u64::from(u16::MAX) => {
                KeyForm::Code(Box::new(Interner::new(memory)))
            }
            _ => KeyForm::Plain,
        }
    }

    /// The type of the field in a row, for keys of `data_type`.
    pub(super) fn field_type(&self, data_type: &DataType) -> DataType {
        match self {
            KeyForm::Plain => data_type.clone(),
            KeyForm::Distance { width: 1, .. } => DataType::UInt8,
            KeyForm::Distance { width: 2, .. } | KeyForm::Code(_) => DataType::UInt16,
            KeyForm::Distance { .. } => DataType::UInt32,
        }
    }

    /// A key column in this form. `cache` is the worker's own, one a key.
    ///
    /// # Errors
    /// A value outside the statistics: the file says one thing and holds another.
    pub(super) fn encode(&self, column: &ArrayRef, cache: &mut DictionaryCodes) -> Result<ArrayRef> {
        match self {
            KeyForm::Plain => Ok(column.clone()),
            KeyForm::Distance { low, high, width } => encode_distance(column, *low, *high, *width),
            KeyForm::Code(interner) => interner.encode(column, cache),
        }
    }

    /// The values of a field read from rows.
    pub(super) fn decode(&self, field: ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        match self {
            KeyForm::Plain => Ok(field),
            KeyForm::Distance { low, .. } => decode_distance(&field, *low, data_type),
            KeyForm::Code(interner) => interner.decode(&field),
        }
    }
}

/// Group keys in the narrowest form that is known to hold them, for operators that only ask which keys are equal.
pub struct NarrowKeys {
    types: Vec<DataType>,
    forms: Vec<KeyForm>,
}

/// A worker's part of [`NarrowKeys`].
#[derive(Default)]
pub struct NarrowCaches(Vec<DictionaryCodes>);

impl NarrowKeys {
    /// For keys of `types`, of which `statistics` are known.
    pub fn new(types: Vec<DataType>, statistics: &[Option<ColumnStatistics>], memory: &Memory) -> Self {
        let form = |(data_type, known): (&DataType, &Option<ColumnStatistics>)| {
            KeyForm::new(data_type, known.as_ref(), memory)
        };
        let forms = types.iter().zip(statistics).map(form).collect();
        NarrowKeys { types, forms }
    }

    /// The types of the keys in their narrow form.
    pub fn field_types(&self) -> impl Iterator<Item = DataType> + '_ {
        self.forms.iter().zip(&self.types).map(|(form, data_type)| form.field_type(data_type))
    }

    /// How many keys there are.
    pub fn n_keys(&self) -> usize {
        self.forms.len()
    }

    /// Key columns in their narrow form.
    ///
    /// # Errors
    /// A value outside the statistics.
    pub fn encode(&self, keys: &[ArrayRef], caches: &mut NarrowCaches) -> Result<Vec<ArrayRef>> {
        caches.0.resize_with(self.forms.len(), DictionaryCodes::default);
        let keys = self.forms.iter().zip(keys).zip(&mut caches.0);
        keys.map(|((form, key), cache)| form.encode(key, cache)).collect()
    }

    /// Key columns as the query knows them.
    ///
    /// # Errors
    /// None that a file can cause.
    pub fn decode(&self, keys: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let keys = self.forms.iter().zip(keys).zip(&self.types);
        keys.map(|((form, key), data_type)| form.decode(key, data_type)).collect()
    }
}

fn is_narrowable(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Int16 | Int32 | Int64 | UInt16 | UInt32 | Date32 | Timestamp(..) | Date64)
}

fn integer(value: &Option<ArrayRef>) -> Option<i64> {
    let value = value
        .as_ref()
        .filter(|value| value.len() == 1 && value.null_count() == 0 && is_narrowable(value.data_type()))?;
    let wide = as_i64(value).ok()?;
    Some(wide.value(0))
}

/// Any narrowable array as 64-bit integers.
fn as_i64(array: &ArrayRef) -> Result<Int64Array> {
    let array = match array.data_type() {
        DataType::Date32 => cast(array, &DataType::Int32)?,
        DataType::Timestamp(..) | DataType::Date64 => cast(array, &DataType::Int64)?,
        _ => array.clone(),
    };
    Ok(cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn distance_form(data_type: &DataType, low: i64, high: i64) -> KeyForm {
    let span = high.abs_diff(low);
    let width = if span <= u64::from(u8::MAX) {
        1
    } else if span <= u64::from(u16::MAX) {
        2
    } else if span <= u64::from(u32::MAX) {
        4
    } else {
        8
    };
    match data_type.primitive_width() {
        Some(plain) if width < plain => KeyForm::Distance { low, high, width },
        _ => KeyForm::Plain,
    }
}

fn encode_distance(column: &ArrayRef, low: i64, high: i64, width: usize) -> Result<ArrayRef> {
    macro_rules! encode {
        ($arrow:ty) => {{
            let array = column.as_primitive::<$arrow>();
            encode_values(array.values(), array.nulls(), low, high, width)
        }};
    }
    match column.data_type() {
        DataType::Int16 => encode!(Int16Type),
        DataType::Int32 => encode!(Int32Type),
        DataType::UInt16 => encode!(UInt16Type),
        DataType::UInt32 => encode!(UInt32Type),
        DataType::Int64 => encode!(Int64Type),
        _ => {
            let wide = as_i64(column)?;
            encode_values(wide.values(), wide.nulls(), low, high, width)
        }
    }
}

fn encode_values<T: Copy + Into<i64>>(
    values: &[T],
    nulls: Option<&NullBuffer>,
    low: i64,
    high: i64,
    width: usize,
) -> Result<ArrayRef> {
    let is_inside = |value: i64| low <= value && value <= high;
    let all_inside = match nulls {
        None => values.iter().all(|&value| is_inside(value.into())),
        Some(nulls) => values.iter().zip(nulls).all(|(&value, is_valid)| !is_valid || is_inside(value.into())),
    };
    if !all_inside {
        return Err(Error::data(format!(
            "a key column holds a value outside its statistics, which say {low} to {high}"
        ))
        .with_hint("the file is damaged or was changed while it was read"));
    }
    let nulls = nulls.cloned();
    let distance = |value: T| value.into().wrapping_sub(low);
    Ok(match width {
        1 => Arc::new(UInt8Array::new(values.iter().map(|&value| distance(value) as u8).collect(), nulls)),
        2 => Arc::new(UInt16Array::new(values.iter().map(|&value| distance(value) as u16).collect(), nulls)),
        _ => Arc::new(UInt32Array::new(values.iter().map(|&value| distance(value) as u32).collect(), nulls)),
    })
}

fn decode_distance(field: &ArrayRef, low: i64, data_type: &DataType) -> Result<ArrayRef> {
    let wide = cast(field, &DataType::Int64)?;
    let wide: Int64Array = wide.as_primitive::<Int64Type>().unary(|distance: i64| distance.wrapping_add(low));
    let wide: ArrayRef = Arc::new(wide);
    let through = if *data_type == DataType::Date32 { cast(&wide, &DataType::Int32)? } else { wide };
    Ok(cast(&through, data_type)?)
}

/// Gives each distinct string a code; shared by all workers.
pub(super) struct Interner {
    strings: Mutex<Strings>,
}

struct Strings {
    codes: HashMap<Box<str>, u16, ahash::RandomState>,
    values: StringBuilder,
    n_values: usize,
    /// All values by their codes, instead of in `values`, once they are read back.
    table: Option<StringArray>,
    memory: Reservation,
}

/// A worker's codes of the dictionary it met last.
#[derive(Default)]
pub(super) struct DictionaryCodes {
    dictionary: Option<ArrayRef>,
    codes: Vec<u16>,
}

impl Interner {
    fn new(memory: &Memory) -> Self {
        let strings = Strings {
            codes: HashMap::default(),
            values: StringBuilder::new(),
            n_values: 0,
            table: None,
            memory: memory.reserve("Aggregate"),
        };
        Interner { strings: Mutex::new(strings) }
    }

    fn encode(&self, column: &ArrayRef, cache: &mut DictionaryCodes) -> Result<ArrayRef> {
        if let Some(coded) = column.as_dictionary_opt::<Int32Type>()
            && let Some(values) = coded.values().as_string_opt::<i32>()
            && values.null_count() == 0
        {
            if !cache.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, coded.values())) {
                cache.codes = super::lock(&self.strings).codes_of(values)?;
                cache.dictionary = Some(coded.values().clone());
            }
            let code = |&key: &i32| cache.codes.get(key as usize).copied().unwrap_or(0);
            let codes = coded.keys().values().iter().map(code).collect();
            return Ok(Arc::new(UInt16Array::new(codes, coded.nulls().cloned())));
        }
        let plain = cast(column, &DataType::Utf8)?;
        let plain = plain.as_string::<i32>();
        let codes = super::lock(&self.strings).codes_of(plain)?;
        Ok(Arc::new(UInt16Array::new(codes.into(), plain.nulls().cloned())))
    }

    fn decode(&self, field: &ArrayRef) -> Result<ArrayRef> {
        let table = super::lock(&self.strings).table();
        Ok(take(&table, field, None)?)
    }
}

impl Strings {
    /// All values by their codes.
    fn table(&mut self) -> StringArray {
        self.table.get_or_insert_with(|| self.values.finish()).clone()
    }

    /// The code of each value; that of a NULL is 0 and means nothing.
    fn codes_of(&mut self, values: &StringArray) -> Result<Vec<u16>> {
        values.iter().map(|value| value.map_or(Ok(0), |value| self.code_of(value))).collect()
    }

    fn code_of(&mut self, value: &str) -> Result<u16> {
        if let Some(&code) = self.codes.get(value) {
            return Ok(code);
        }
        let code = u16::try_from(self.n_values).map_err(|_| {
            Error::data("a key column holds more distinct values than its dictionaries")
                .with_hint("the file was changed while it was read")
        })?;
        // Twice the value, a map entry and an offset.
        self.memory.try_grow(value.len() as u64 * 2 + 48)?;
        if let Some(table) = self.table.take() {
            self.values.append_array(&table)?;
        }
        self.codes.insert(value.into(), code);
        self.values.append_value(value);
        self.n_values += 1;
        Ok(code)
    }
}
