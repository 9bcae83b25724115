//! array_agg and string_agg: all values of a group as one.
//!
//! Memory: the result of the open group, reserved before it grows, and once more while it is put together. It is one value,
//! so it has to fit: when it does not, the error names the function.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, ListArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, FieldRef};

use super::GroupCall;
use super::selection::Selected;
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

/// One call of array_agg.
pub(super) struct ArrayAggCall {
    item: FieldRef,
    /// The values of the open group so far.
    open: Vec<ArrayRef>,
    n_open: usize,
    memory: Reservation,
    /// For the results handed out last, which whoever got them may still hold.
    emitted: Reservation,
}

impl ArrayAggCall {
    pub(super) fn new(output: DataType, memory: &Memory) -> Result<Self> {
        let DataType::List(item) = output else {
            return Err(Error::query(format!("array_agg gives a list, not {output}")));
        };
        let (memory, emitted) = (memory.reserve("array_agg"), memory.reserve("array_agg"));
        Ok(ArrayAggCall { item, open: Vec::new(), n_open: 0, memory, emitted })
    }

    /// Puts the values of the complete groups together.
    fn values(&mut self, here: ArrayRef) -> Result<ArrayRef> {
        if self.open.is_empty() {
            return Ok(here);
        }
        let parts: Vec<&dyn Array> = self.open.iter().chain([&here]).map(|part| part.as_ref()).collect();
        let bytes: usize = parts.iter().map(|part| part.get_array_memory_size()).sum();
        let n_values: usize = parts.iter().map(|part| part.len()).sum();
        if n_values.max(string_bytes(&parts)) > i32::MAX as usize {
            return Err(Error::query("a list of array_agg has more than 2^31 values or bytes"));
        }
        self.emitted.try_resize(bytes as u64)?;
        let values = concat(&parts)?;
        self.open.clear();
        self.n_open = 0;
        self.memory.shrink(self.memory.bytes());
        Ok(values)
    }
}

/// Bytes of strings with 32-bit offsets.
fn string_bytes(parts: &[&dyn Array]) -> usize {
    let bytes = |part: &&dyn Array| match part.data_type() {
        DataType::Utf8 => part.as_string::<i32>().offsets().lengths().sum::<usize>(),
        DataType::Binary => part.as_binary::<i32>().offsets().lengths().sum::<usize>(),
        _ => 0,
    };
    parts.iter().map(bytes).sum()
}

impl GroupCall for ArrayAggCall {
    fn push(&mut self, rows: &Selected) -> Result<ArrayRef> {
        let Some(values) = rows.columns.first() else { return Err(Error::query("an array_agg without values")) };
        self.emitted.shrink(self.emitted.bytes());
        let mut lengths = vec![0; rows.n_closed];
        let (mut end_of_closed, mut rest) = (0, None);
        for segment in &rows.segments {
            if segment.group >= rows.n_closed {
                rest = Some(values.slice(segment.start, segment.len));
            } else {
                lengths[segment.group] = segment.len;
                end_of_closed = segment.start + segment.len;
            }
        }
        let mut closed = values.slice(0, end_of_closed);
        if rows.n_closed > 0 {
            lengths[0] += self.n_open;
            closed = self.values(closed)?;
        }
        if let Some(rest) = rest {
            // What concat copies is a little more than what is sliced; the size of the copy is what is held.
            self.memory.try_grow(rest.len() as u64 * 8)?;
            let copy = concat(&[rest.as_ref()])?;
            let held: usize = self.open.iter().chain([&copy]).map(|part| part.get_array_memory_size()).sum();
            self.memory.try_resize(held as u64)?;
            self.n_open += copy.len();
            self.open.push(copy);
        }
        // A list without values is NULL.
        let nulls = NullBuffer::from_iter(lengths.iter().map(|&len| len > 0));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(self.item.clone(), offsets, closed, Some(nulls))?))
    }
}

/// One call of string_agg.
pub(super) struct StringAggCall {
    separator: String,
    output: DataType,
    /// The text of the open group; `None` before its first value.
    open: Option<Vec<u8>>,
    memory: Reservation,
    emitted: Reservation,
}

impl StringAggCall {
    pub(super) fn new(separator: String, output: DataType, memory: &Memory) -> Self {
        let (memory, emitted) = (memory.reserve("string_agg"), memory.reserve("string_agg"));
        StringAggCall { separator, output, open: None, memory, emitted }
    }

    /// Adds values to a text; `memory` pays for it.
    fn append(
        text: &mut Option<Vec<u8>>,
        values: &LargeStringArray,
        separator: &str,
        memory: &mut Reservation,
    ) -> Result<()> {
        let more: usize = values.offsets().lengths().sum::<usize>() + values.len() * separator.len();
        let is_first = text.is_none();
        let text = text.get_or_insert_default();
        if text.capacity() < text.len() + more {
            // Growing by half keeps copying linear; while it copies, both are held.
            let capacity = (text.len() + more).max(text.len() / 2 * 3);
            memory.try_grow(capacity as u64)?;
            text.reserve_exact(capacity - text.len());
            memory.try_resize(text.capacity() as u64)?;
        }
        for (idx, value) in values.iter().enumerate() {
            if idx > 0 || !is_first {
                text.extend_from_slice(separator.as_bytes());
            }
            text.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        Ok(())
    }
}

impl GroupCall for StringAggCall {
    fn push(&mut self, rows: &Selected) -> Result<ArrayRef> {
        let Some(values) = rows.columns.first() else { return Err(Error::query("a string_agg without values")) };
        self.emitted.shrink(self.emitted.bytes());
        let values = cast(values, &DataType::LargeUtf8)?;
        let values = values.as_string::<i64>();
        let mut texts: Vec<u8> = Vec::new();
        let mut lengths = vec![0; rows.n_closed];
        let mut is_valid = vec![false; rows.n_closed];
        let mut segments = rows.segments.iter().peekable();
        if rows.n_closed > 0 {
            if let Some(first) = segments.next_if(|segment| segment.group == 0) {
                let values = values.slice(first.start, first.len);
                Self::append(&mut self.open, &values, &self.separator, &mut self.memory)?;
            }
            if let Some(open) = self.open.take() {
                (lengths[0], is_valid[0]) = (open.len(), true);
                texts = open;
                std::mem::swap(&mut self.memory, &mut self.emitted);
            }
            let more = values.offsets().lengths().sum::<usize>() + values.len() * self.separator.len();
            self.emitted.try_grow((texts.len() + more) as u64)?;
            texts.reserve_exact(more);
            self.emitted.try_resize(texts.capacity() as u64)?;
        }
        for segment in segments {
            let values = values.slice(segment.start, segment.len);
            if segment.group >= rows.n_closed {
                Self::append(&mut self.open, &values, &self.separator, &mut self.memory)?;
                continue;
            }
            let start = texts.len();
            for (idx, value) in values.iter().enumerate() {
                if idx > 0 {
                    texts.extend_from_slice(self.separator.as_bytes());
                }
                texts.extend_from_slice(value.unwrap_or_default().as_bytes());
            }
            (lengths[segment.group], is_valid[segment.group]) = (texts.len() - start, true);
        }
        let offsets = OffsetBuffer::<i64>::from_lengths(lengths);
        let nulls = Some(NullBuffer::from(is_valid));
        let array: ArrayRef = Arc::new(LargeStringArray::try_new(offsets, Buffer::from_vec(texts), nulls)?);
        Ok(if *array.data_type() == self.output { array } else { cast(&array, &self.output)? })
    }
}
