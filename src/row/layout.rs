//! Where each field lies in a row.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use bytemuck::Pod;

use crate::error::Result;

/// Bytes of a slot that are kept inline.
pub(super) const INLINE_BYTES: usize = 12;
/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = 16;

/// The shape of a row. Cheap to share; made by [`LayoutBuilder`].
pub struct Layout {
    pub(super) fields: Vec<Field>,
    pub(super) row_bytes: usize,
    /// The bytes that decide whether two rows have the same key: slots, fixed fields and validity, a multiple of 8.
    pub(super) key_bytes: usize,
    pub(super) n_key_slots: usize,
    pub(super) states_at: usize,
    pub(super) state_bytes: usize,
    /// Offsets of all slots, the key's first.
    pub(super) slots: Vec<usize>,
}

/// One field of a row.
pub(super) struct Field {
    pub(super) data_type: DataType,
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) validity_byte: usize,
    pub(super) validity_mask: u8,
}

/// How a value is stored.
#[derive(Clone)]
pub(super) enum Storage {
    /// So many bytes in the row.
    Fixed(usize),
    /// One byte, 0 or 1.
    Bool,
    /// A slot with the bytes of a string or binary value.
    Slot,
    /// A slot with the value's encoding by `arrow-row`: nested and rare types.
    Encoded(Arc<RowConverter>),
    /// Nothing: the column is all NULL.
    Null,
}

/// A typed place for a state in a row; only the layout that made it may be used with it.
pub struct StateOffset<S> {
    pub(super) offset: usize,
    state: PhantomData<fn() -> S>,
}

impl<S> Clone for StateOffset<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for StateOffset<S> {}

/// Collects fields and states, then places them.
#[derive(Default, Clone)]
pub struct LayoutBuilder {
    keys: Vec<DataType>,
    payload: Vec<DataType>,
    state_bytes: usize,
    trailing: Vec<DataType>,
}

impl LayoutBuilder {
    /// Adds a field that is part of the key.
    pub fn key(mut self, data_type: DataType) -> Self {
        self.keys.push(data_type);
        self
    }

    /// Adds a field that only travels along. Fields are numbered keys first, then payload, then
    /// trailing, in the order of adding.
    pub fn payload(mut self, data_type: DataType) -> Self {
        self.payload.push(data_type);
        self
    }

    /// Adds a field behind the states: a row of this layout begins with a row of the layout without it.
    pub fn trailing(mut self, data_type: DataType) -> Self {
        self.trailing.push(data_type);
        self
    }

    /// Adds room for `bytes` of states; see [`Layout::state`].
    pub fn states(mut self, bytes: usize) -> Self {
        self.state_bytes += bytes.next_multiple_of(8);
        self
    }

    /// Places everything.
    ///
    /// # Errors
    /// A data type that `arrow-row` cannot encode.
    pub fn build(self) -> Result<Arc<Layout>> {
        let mut placed = Placement::default();
        let keys = placed.place(&self.keys)?;
        placed.end = placed.end.next_multiple_of(8);
        let key_bytes = placed.end;
        let n_key_slots = placed.slots.len();
        let payload = placed.place(&self.payload)?;
        let states_at = placed.end.next_multiple_of(8);
        placed.end += self.state_bytes;
        let trailing = placed.place(&self.trailing)?;
        let fields = keys.into_iter().chain(payload).chain(trailing).collect();
        // A row is at least one word, so that pages have a bounded number of rows.
        let row_bytes = placed.end.next_multiple_of(8).max(8);
        let (slots, state_bytes) = (placed.slots, self.state_bytes);
        Ok(Arc::new(Layout { fields, row_bytes, key_bytes, n_key_slots, states_at, state_bytes, slots }))
    }
}

/// The state of placing fields from the front of the row to its end.
#[derive(Default)]
struct Placement {
    end: usize,
    slots: Vec<usize>,
}

impl Placement {
    /// Places one group of fields: slots, then fixed fields from wide to narrow, then their validity bits.
    fn place(&mut self, types: &[DataType]) -> Result<Vec<Field>> {
        let storages = types.iter().map(storage_of).collect::<Result<Vec<_>>>()?;
        let mut order: Vec<usize> = (0..types.len()).collect();
        order.sort_by_key(|&idx| std::cmp::Reverse(storages[idx].rank()));
        let mut offsets = vec![0; types.len()];
        for idx in order {
            offsets[idx] = self.end;
            let width = storages[idx].width();
            if storages[idx].is_slot() {
                self.slots.push(self.end);
            }
            self.end += width;
        }
        let validity_at = self.end;
        self.end += types.len().div_ceil(8);
        let field = |(idx, storage): (usize, Storage)| Field {
            data_type: types[idx].clone(),
            storage,
            offset: offsets[idx],
            validity_byte: validity_at + idx / 8,
            validity_mask: 1 << (idx % 8),
        };
        Ok(storages.into_iter().enumerate().map(field).collect())
    }
}

impl Storage {
    fn width(&self) -> usize {
        match self {
            Storage::Fixed(width) => *width,
            Storage::Bool => 1,
            Storage::Slot | Storage::Encoded(_) => SLOT_BYTES,
            Storage::Null => 0,
        }
    }

    pub(super) fn is_slot(&self) -> bool {
        matches!(self, Storage::Slot | Storage::Encoded(_))
    }

    /// Slots come first, then wide before narrow.
    fn rank(&self) -> usize {
        if self.is_slot() { usize::MAX } else { self.width() }
    }
}

fn storage_of(data_type: &DataType) -> Result<Storage> {
    use DataType::*;
    Ok(match data_type {
        Null => Storage::Null,
        Boolean => Storage::Bool,
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => Storage::Slot,
        FixedSizeBinary(width) => Storage::Fixed(*width as usize),
        other => match other.primitive_width() {
            Some(width) => Storage::Fixed(width),
            None => Storage::Encoded(Arc::new(RowConverter::new(vec![SortField::new(other.clone())])?)),
        },
    })
}

impl Layout {
    /// Bytes of the fixed part of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Number of fields, keys first.
    pub fn n_fields(&self) -> usize {
        self.fields.len()
    }

    /// The type of a field.
    pub fn field_type(&self, field: usize) -> &DataType {
        &self.fields[field].data_type
    }

    /// Whether rows may have heap bytes.
    pub fn has_heap(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The place of a state of type `S`, `at` bytes into the states.
    ///
    /// # Panics
    /// When it does not lie inside the states or is not aligned: a mistake of the caller, not of the data.
    pub fn state<S: Pod>(&self, at: usize) -> StateOffset<S> {
        let offset = self.states_at + at;
        assert!(
            offset + size_of::<S>() <= self.row_bytes && offset.is_multiple_of(align_of::<S>()) && align_of::<S>() <= 8
        );
        StateOffset { offset, state: PhantomData }
    }
}
