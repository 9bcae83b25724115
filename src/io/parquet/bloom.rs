//! Asking a column chunk's bloom filter whether it can hold any of some values.
//!
//! Memory: the filter, reserved before it is read; one that does not fit is left unused.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use parquet::basic::Type as PhysicalType;
use parquet::bloom_filter::Sbbf;

use super::footer::OpenFile;
use super::input::guarded;
use super::schema::FileColumn;

/// Whether the filter of `column` allows for one of `values`. True when there is no filter, or it cannot tell.
pub(super) fn may_hold_any(file: &OpenFile, row_group: usize, column: &FileColumn, values: &ArrayRef) -> bool {
    let Some(probes) = Probes::of(file, column, values) else { return true };
    let Some(leaf) = column.leaf else { return true };
    let chunk = file.row_group(row_group).column(leaf);
    let (Some(offset), Some(length)) = (chunk.bloom_filter_offset(), chunk.bloom_filter_length()) else { return true };
    let (Ok(_), Ok(length)) = (u64::try_from(offset), u64::try_from(length)) else { return true };
    let mut reserved = file.memory.reserve("Scan");
    if reserved.try_grow(2 * length).is_err() {
        return true;
    }
    match guarded(|| Sbbf::read_from_column_chunk(chunk, file.input.as_ref())) {
        Ok(Some(filter)) => probes.any_in(&filter),
        _ => true,
    }
}

/// Values as the file stores them, which is what the filter was fed with.
enum Probes {
    Int32(ArrayRef),
    Int64(ArrayRef),
    Bytes(ArrayRef),
}

impl Probes {
    /// `None` for types whose equal values need not be stored as equal bytes.
    fn of(file: &OpenFile, column: &FileColumn, values: &ArrayRef) -> Option<Self> {
        let stored = column.field.data_type();
        let physical = file.metadata.file_metadata().schema_descr().column(column.leaf?).physical_type();
        let is_exact = values.data_type() == stored
            || (values.data_type().is_integer() && stored.is_integer() && stored.is_signed_integer());
        if !is_exact {
            return None;
        }
        // A value that the stored type cannot hold becomes NULL, which equals nothing.
        let values = cast(values, stored).ok()?;
        match (stored, physical) {
            (DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32, PhysicalType::INT32) => {
                Some(Probes::Int32(cast(&values, &DataType::Int32).ok()?))
            }
            (DataType::Int64 | DataType::Timestamp(_, _), PhysicalType::INT64) => {
                Some(Probes::Int64(cast(&values, &DataType::Int64).ok()?))
            }
            (DataType::Utf8 | DataType::Binary, PhysicalType::BYTE_ARRAY) => {
                Some(Probes::Bytes(cast(&values, &DataType::Binary).ok()?))
            }
            _ => None,
        }
    }

    fn any_in(&self, filter: &Sbbf) -> bool {
        match self {
            Probes::Int32(values) => values.as_primitive::<Int32Type>().iter().flatten().any(|v| filter.check(&v)),
            Probes::Int64(values) => values.as_primitive::<Int64Type>().iter().flatten().any(|v| filter.check(&v)),
            Probes::Bytes(values) => values.as_binary::<i32>().iter().flatten().any(|v| filter.check(v)),
        }
    }
}
