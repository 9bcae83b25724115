//! Copies of rows that go on being counted as long as somebody holds a part of them.
//!
//! Memory: every buffer of a copy holds a share of its reservation, so the bytes are given back with the last buffer.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::concat;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::memory::{Memory, OverBudget, Reservation};

/// A buffer and the reservation that covers it.
struct Counted {
    buffer: Buffer,
    _reservation: Arc<Reservation>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

/// The `parts`, of one type, one behind the other. What is there already is not copied and not counted twice.
///
/// # Errors
/// [`crate::ErrorKind::Budget`] when the copy does not fit.
pub(super) fn concat_counted(parts: &[&dyn Array], memory: &Memory) -> Result<ArrayRef> {
    if let [only] = parts {
        return Ok(only.slice(0, only.len()));
    }
    let mut reservation = memory.reserve("DataFrame");
    let bytes: usize = parts.iter().map(|part| part.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    reservation.try_grow(bytes as u64).map_err(does_not_fit)?;
    let whole = concat(parts)?;
    let more = (whole.get_array_memory_size() as u64).saturating_sub(reservation.bytes());
    reservation.try_grow(more).map_err(does_not_fit)?;
    let reservation = Arc::new(reservation);
    Ok(make_array(counted(whole.to_data(), &reservation)?))
}

/// The same values, whose buffers hold `reservation`.
fn counted(data: ArrayData, reservation: &Arc<Reservation>) -> Result<ArrayData> {
    let hold = |buffer: &Buffer| {
        Buffer::from(Bytes::from_owner(Counted { buffer: buffer.clone(), _reservation: reservation.clone() }))
    };
    let buffers = data.buffers().iter().map(hold).collect();
    let nulls = data.nulls().map(|nulls| {
        let bits = nulls.inner();
        NullBuffer::new(BooleanBuffer::new(hold(bits.inner()), bits.offset(), bits.len()))
    });
    let children = data.child_data().iter().map(|child| counted(child.clone(), reservation));
    let children = children.collect::<Result<Vec<_>>>()?;
    Ok(data.into_builder().buffers(buffers).nulls(nulls).child_data(children).build()?)
}

fn does_not_fit(refused: OverBudget) -> Error {
    let smallest = refused.smallest_budget().div_ceil(1 << 20);
    let error = Error::from(refused);
    Error::new(error.kind(), format!("a copy of the rows does not fit into memory: {}", error.message())).with_hint(
        format!("take them batch by batch with batches(), drop what is not needed any more, or raise the budget to {smallest} MiB or more"),
    )
}
