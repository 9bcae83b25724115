//! MIN and MAX of values of fixed width, and of Booleans (which are BOOL_AND and BOOL_OR).

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use bytemuck::{Pod, Zeroable};

use super::state::{State, StatePlace, counted};
use super::sums::{from_words, to_words};
use crate::error::{Error, Result};
use crate::row::{Layout, RowTable, Rows, StateOffset};

/// Whether values of this type have a fixed-size extreme here.
pub(super) fn is_extreme_native(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Boolean | Decimal128(..) | Timestamp(..) | Date32 | Date64 | Time32(_) | Time64(_) | Duration(_)
    ) || matches!(data_type, Float32 | Float64)
        || data_type.is_integer()
}

/// The smallest or largest value at `place`.
pub(super) fn extreme_state(
    layout: &Layout,
    place: StatePlace,
    data_type: &DataType,
    largest: bool,
) -> Result<Arc<dyn State>> {
    macro_rules! make {
        ($arrow:ty) => {
            Arc::new(Extreme::<$arrow> {
                value: layout.state(place.words_at),
                seen: layout.state(place.flag_at),
                largest,
                output: data_type.clone(),
            })
        };
    }
    use DataType::*;
    Ok(match data_type {
        Boolean => {
            Arc::new(BooleanExtreme { value: layout.state(place.words_at), seen: layout.state(place.flag_at), largest })
        }
        Int8 => make!(Int8Type),
        Int16 => make!(Int16Type),
        Int32 => make!(Int32Type),
        Int64 => make!(Int64Type),
        UInt8 => make!(UInt8Type),
        UInt16 => make!(UInt16Type),
        UInt32 => make!(UInt32Type),
        UInt64 => make!(UInt64Type),
        Float32 => make!(Float32Type),
        Float64 => make!(Float64Type),
        Date32 => make!(Date32Type),
        Date64 => make!(Date64Type),
        Time32(TimeUnit::Second) => make!(Time32SecondType),
        Time32(_) => make!(Time32MillisecondType),
        Time64(TimeUnit::Microsecond) => make!(Time64MicrosecondType),
        Time64(_) => make!(Time64NanosecondType),
        Timestamp(TimeUnit::Second, _) => make!(TimestampSecondType),
        Timestamp(TimeUnit::Millisecond, _) => make!(TimestampMillisecondType),
        Timestamp(TimeUnit::Microsecond, _) => make!(TimestampMicrosecondType),
        Timestamp(TimeUnit::Nanosecond, _) => make!(TimestampNanosecondType),
        Duration(TimeUnit::Second) => make!(DurationSecondType),
        Duration(TimeUnit::Millisecond) => make!(DurationMillisecondType),
        Duration(TimeUnit::Microsecond) => make!(DurationMicrosecondType),
        Duration(TimeUnit::Nanosecond) => make!(DurationNanosecondType),
        Decimal128(..) => make!(Decimal128Type),
        _ => return Err(Error::query(format!("min and max over {data_type} are not native functions"))),
    })
}

/// How a native value lies in a row: as one or two words.
pub(super) trait InRow: Copy {
    type Words: Pod + Zeroable + Send + Sync;

    fn store(self) -> Self::Words;

    /// The same value with one bit pattern: every NaN is the positive one, which is above all numbers.
    #[inline(always)]
    fn canonical(self) -> Self {
        self
    }

    fn load(words: Self::Words) -> Self;
}

macro_rules! in_row_as_itself {
    ($($native:ty);*) => {
        $(impl InRow for $native {
            type Words = $native;

            #[inline(always)]
            fn store(self) -> $native {
                self
            }

            #[inline(always)]
            fn load(words: $native) -> $native {
                words
            }
        })*
    };
}

in_row_as_itself!(i8; i16; i32; i64; u8; u16; u32; u64);

macro_rules! in_row_float {
    ($($native:ty),*) => {
        $(impl InRow for $native {
            type Words = $native;

            #[inline(always)]
            fn canonical(self) -> $native {
                if self.is_nan() { <$native>::NAN } else { self }
            }

            #[inline(always)]
            fn store(self) -> $native {
                self
            }

            #[inline(always)]
            fn load(words: $native) -> $native {
                words
            }
        })*
    };
}

in_row_float!(f32, f64);

impl InRow for i128 {
    type Words = [u64; 2];

    fn store(self) -> [u64; 2] {
        to_words(self)
    }

    fn load(words: [u64; 2]) -> i128 {
        from_words(words)
    }
}

/// The smallest or largest value that is not NULL. Floats compare in total order, NaN above all numbers.
struct Extreme<T: ArrowPrimitiveType>
where
    T::Native: InRow,
{
    value: StateOffset<<T::Native as InRow>::Words>,
    seen: StateOffset<u8>,
    largest: bool,
    output: DataType,
}

impl<T: ArrowPrimitiveType> Extreme<T>
where
    T::Native: InRow,
{
    #[inline(always)]
    fn replaces(&self, new: T::Native, old: T::Native) -> bool {
        if self.largest { new.is_gt(old) } else { new.is_lt(old) }
    }
}

impl<T: ArrowPrimitiveType> State for Extreme<T>
where
    T::Native: InRow,
{
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let array = args[0].as_primitive::<T>();
        let values = array.values();
        let valid = counted(array, selected);
        table.for_each_located(|idx, mut row| {
            if valid.as_ref().is_none_or(|valid| valid.is_valid(idx)) {
                let seen = row.state(self.seen);
                let first = *seen == 0;
                *seen = 1;
                let old = row.state(self.value);
                let new = values[idx].canonical();
                if first || self.replaces(new, T::Native::load(*old)) {
                    *old = new.store();
                }
            }
        });
        Ok(())
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| {
            if row.state(self.seen) == 0 {
                return;
            }
            let new = row.state(self.value);
            let first = *group.state(self.seen) == 0;
            *group.state(self.seen) = 1;
            let old = group.state(self.value);
            if first || self.replaces(T::Native::load(new), T::Native::load(*old)) {
                *old = new;
            }
        });
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        let value = rows.iter().map(|row| (row.state(self.seen) != 0).then(|| T::Native::load(row.state(self.value))));
        let array: PrimitiveArray<T> = value.collect();
        Ok(Arc::new(array.with_data_type(self.output.clone())))
    }
}

/// Whether any value is true (the largest) or all are (the smallest).
struct BooleanExtreme {
    value: StateOffset<u8>,
    seen: StateOffset<u8>,
    largest: bool,
}

impl BooleanExtreme {
    fn merge(&self, value: &mut u8, first: bool, new: u8) {
        *value = match (first, self.largest) {
            (true, _) => new,
            (false, true) => *value | new,
            (false, false) => *value & new,
        };
    }
}

impl State for BooleanExtreme {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let array = args[0].as_boolean();
        let valid = counted(array, selected);
        table.for_each_located(|idx, mut row| {
            if valid.as_ref().is_none_or(|valid| valid.is_valid(idx)) {
                let first = *row.state(self.seen) == 0;
                *row.state(self.seen) = 1;
                self.merge(row.state(self.value), first, u8::from(array.value(idx)));
            }
        });
        Ok(())
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| {
            if row.state(self.seen) != 0 {
                let first = *group.state(self.seen) == 0;
                *group.state(self.seen) = 1;
                self.merge(group.state(self.value), first, row.state(self.value));
            }
        });
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        let value = rows.iter().map(|row| (row.state(self.seen) != 0).then(|| row.state(self.value) != 0));
        Ok(Arc::new(value.collect::<BooleanArray>()))
    }
}
