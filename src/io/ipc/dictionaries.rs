//! The dictionaries that record batches refer to.
//!
//! Memory: their values, reserved. What a worker reads with is a copy of the list, not of the values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Fields};

use super::input::Input;
use super::message::Message;
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

/// The dictionaries of a file so far.
pub(super) struct Dictionaries {
    values: Arc<HashMap<i64, ArrayRef>>,
    reserved: Reservation,
}

impl Dictionaries {
    pub(super) fn new(memory: &Memory) -> Self {
        Dictionaries { values: Arc::default(), reserved: memory.reserve("Scan") }
    }

    /// By number, as they are now.
    pub(super) fn values(&self) -> Arc<HashMap<i64, ArrayRef>> {
        self.values.clone()
    }

    /// Adds what a dictionary message says.
    pub(super) fn add(&mut self, input: &Input, message: &Message, fields: &Fields) -> Result<()> {
        let header = message.dictionary(input)?;
        let data_type = fields.iter().find_map(|field| value_type(field, header.id));
        let Some(data_type) = data_type else {
            return Err(input.damaged(format!("no column refers to dictionary {}", header.id)));
        };
        let of_values: Fields = vec![Field::new("value", data_type, true)].into();
        let mut reading = self.reserved.memory().reserve("Scan");
        let read = message.read_columns(input, &of_values, &[0], &self.values, &mut reading)?;
        let mut values = read.column(0).clone();
        let before = self.values.get(&header.id).map_or(0, |before| before.get_array_memory_size() as u64);
        if let Some(known) = self.values.get(&header.id).filter(|_| header.is_delta) {
            reading.try_grow(before + values.get_array_memory_size() as u64)?;
            values = concat(&[known, &values])?;
        }
        let held = self.reserved.bytes();
        let bytes = held.saturating_sub(before) + values.get_array_memory_size() as u64;
        drop(read);
        drop(reading);
        self.reserved.try_resize(bytes).map_err(|refused| {
            let error: Error = refused.into();
            let hint = error.hint().unwrap_or_default().to_string();
            let path = input.path().display();
            Error::budget(format!("{path}: its dictionaries take {} MiB", bytes.div_ceil(1 << 20))).with_hint(hint)
        })?;
        let mut all = self.values.as_ref().clone();
        all.insert(header.id, values);
        self.values = Arc::new(all);
        Ok(())
    }
}

/// The type of the values of dictionary `id`, if `field` or a part of it refers to it.
fn value_type(field: &Field, id: i64) -> Option<DataType> {
    #[allow(deprecated)]
    let is_it = field.dict_id() == Some(id);
    match field.data_type() {
        DataType::Dictionary(_, value) if is_it => Some(value.as_ref().clone()),
        DataType::Dictionary(_, value) => match value.as_ref() {
            DataType::Struct(fields) => fields.iter().find_map(|field| value_type(field, id)),
            DataType::List(item) | DataType::LargeList(item) => value_type(item, id),
            _ => None,
        },
        DataType::Struct(fields) => fields.iter().find_map(|field| value_type(field, id)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => value_type(item, id),
        _ => None,
    }
}
