//! COUNT, SUM and AVG.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};
use bytemuck::{Pod, Zeroable};

use super::dense::{Dense, DenseSums};
use super::state::{State, StatePlace, counted};
use crate::error::{Error, Result};
use crate::row::{CodedGroups, Layout, RowTable, Rows, StateOffset};

/// Rows, or rows that are not NULL.
pub(super) struct Count {
    n: StateOffset<i64>,
}

impl Count {
    pub(super) fn new(layout: &Layout, place: StatePlace) -> Self {
        Count { n: layout.state(place.words_at) }
    }
}

impl State for Count {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let counts = match args.first() {
            Some(array) => counted(array.as_ref(), selected),
            None => selected.cloned(),
        };
        match counts {
            None => {
                let n_rows = table.n_located() as i64;
                if let Some(mut row) = table.located_one() {
                    *row.state(self.n) += n_rows;
                } else {
                    table.for_each_located(|_, mut row| *row.state(self.n) += 1);
                }
            }
            Some(valid) => table.for_each_located(|idx, mut row| *row.state(self.n) += i64::from(valid.is_valid(idx))),
        }
        Ok(())
    }

    fn update_dense(
        &self,
        groups: &mut CodedGroups<'_>,
        _codes: &[u32],
        _args: &[ArrayRef],
        dense: &mut Dense,
    ) -> Result<bool> {
        groups.for_each(&dense.counts, |_, count, mut row| *row.state(self.n) += i64::from(count));
        Ok(true)
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| *group.state(self.n) += row.state(self.n));
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.state(self.n)))))
    }
}

/// What SUM adds up: how to add, and whether that can fail.
pub(super) trait Summand: ArrowPrimitiveType {
    /// The sum as it lies in the row.
    type Words: Pod + Send + Sync;

    /// What the values of a piece add up to.
    type Dense: Copy + Into<Self::Native>;

    /// Adds, wrapping around; returns how often the sum wrapped, up or down.
    fn add(sum: &mut Self::Words, value: Self::Native) -> i8;

    fn combine(sum: &mut Self::Words, other: Self::Words) -> i8;

    fn value(sum: Self::Words) -> Self::Native;

    /// The sums of `values` by code, when there is a cheap way.
    fn add_dense<'d>(_sums: &'d mut DenseSums, _codes: &[u32], _values: &[Self::Native]) -> Option<&'d [Self::Dense]> {
        None
    }
}

impl Summand for Float64Type {
    type Words = f64;
    type Dense = f64;

    #[inline(always)]
    fn add(sum: &mut f64, value: f64) -> i8 {
        *sum += value;
        0
    }

    fn combine(sum: &mut f64, other: f64) -> i8 {
        Self::add(sum, other)
    }

    fn value(sum: f64) -> f64 {
        sum
    }

    fn add_dense<'d>(sums: &'d mut DenseSums, codes: &[u32], values: &[f64]) -> Option<&'d [f64]> {
        Some(sums.add_floats(codes, values))
    }
}

macro_rules! integer_summand {
    ($arrow:ty, $native:ty, $($add_dense:item)?) => {
        impl Summand for $arrow {
            type Words = $native;
            type Dense = $native;

            #[inline(always)]
            fn add(sum: &mut $native, value: $native) -> i8 {
                let (total, wrapped) = sum.overflowing_add(value);
                *sum = total;
                // A sum wraps in the direction of what is added.
                match (wrapped, value > 0) {
                    (false, _) => 0,
                    (true, true) => 1,
                    (true, false) => -1,
                }
            }

            fn combine(sum: &mut $native, other: $native) -> i8 {
                Self::add(sum, other)
            }

            fn value(sum: $native) -> $native {
                sum
            }

            $($add_dense)?
        }
    };
}

integer_summand!(
    Int64Type,
    i64,
    fn add_dense<'d>(sums: &'d mut DenseSums, codes: &[u32], values: &[i64]) -> Option<&'d [i64]> {
        sums.add_ints(codes, values)
    }
);
integer_summand!(UInt64Type, u64,);

/// A 128-bit integer as two words, because rows are aligned to 8 bytes.
pub(super) type Words128 = [u64; 2];

pub(super) fn to_words(value: i128) -> Words128 {
    [value as u64, (value >> 64) as u64]
}

pub(super) fn from_words(words: Words128) -> i128 {
    (i128::from(words[1] as i64) << 64) | i128::from(words[0])
}

impl Summand for Decimal128Type {
    type Words = Words128;
    type Dense = i64;

    #[inline(always)]
    fn add(sum: &mut Words128, value: i128) -> i8 {
        let (total, wrapped) = from_words(*sum).overflowing_add(value);
        *sum = to_words(total);
        match (wrapped, value > 0) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => -1,
        }
    }

    fn combine(sum: &mut Words128, other: Words128) -> i8 {
        Self::add(sum, from_words(other))
    }

    fn value(sum: Words128) -> i128 {
        from_words(sum)
    }

    fn add_dense<'d>(sums: &'d mut DenseSums, codes: &[u32], values: &[i128]) -> Option<&'d [i64]> {
        sums.add_decimals(codes, values)
    }
}

/// The sum of the values that are not NULL; NULL when there are none.
///
/// The sum wraps around and a byte beside it counts how often, so that only a total that does not fit is an error: whether
/// there is one does not depend on the order of the rows.
pub(super) struct Sum<T: Summand> {
    sum: StateOffset<T::Words>,
    tally: StateOffset<Tally>,
    output: DataType,
}

/// Whether any value was seen (the lowest bit), and how often the sum wrapped (the others, as a signed number).
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Tally(i8);

impl Tally {
    #[inline(always)]
    fn see(&mut self, wraps: i8) {
        // Reading is cheaper than storing the same flag again and again.
        if self.0 & 1 == 0 {
            self.0 |= 1;
        }
        if wraps != 0 {
            self.wrap(wraps);
        }
    }

    #[cold]
    fn wrap(&mut self, wraps: i8) {
        self.0 = self.0.saturating_add(wraps.saturating_mul(2)) | 1;
    }

    fn is_seen(self) -> bool {
        self.0 & 1 != 0
    }

    fn wraps(self) -> i8 {
        self.0 >> 1
    }
}

impl Sum<Int64Type> {
    /// The state for arguments of type `arg`.
    pub(super) fn state(
        layout: &Layout,
        place: StatePlace,
        arg: &DataType,
        output: &DataType,
    ) -> Result<Arc<dyn State>> {
        fn make<T: Summand>(layout: &Layout, place: StatePlace, output: &DataType) -> Arc<dyn State> {
            let (sum, tally) = (layout.state(place.words_at), layout.state(place.flag_at));
            Arc::new(Sum::<T> { sum, tally, output: output.clone() })
        }
        Ok(match arg {
            DataType::Int64 => make::<Int64Type>(layout, place, output),
            DataType::UInt64 => make::<UInt64Type>(layout, place, output),
            DataType::Float64 => make::<Float64Type>(layout, place, output),
            DataType::Decimal128(..) => make::<Decimal128Type>(layout, place, output),
            other => return Err(Error::query(format!("sum over {other} is not a native function"))),
        })
    }
}

fn overflow() -> Error {
    Error::query("a sum is too large for its type")
        .with_hint("cast the argument first, for example sum(CAST(x AS DOUBLE))")
}

impl<T: Summand> State for Sum<T> {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let array = args[0].as_primitive::<T>();
        let values = array.values();
        let (sum, tally) = (self.sum, self.tally);
        match counted(array, selected) {
            None => {
                if let Some(mut row) = table.located_one() {
                    for &value in values {
                        let wraps = T::add(row.state(sum), value);
                        row.state(tally).see(wraps);
                    }
                } else {
                    table.for_each_with(values, |mut row, value| {
                        let wraps = T::add(row.state(sum), value);
                        row.state(tally).see(wraps);
                    });
                }
            }
            Some(valid) => table.for_each_located(|idx, mut row| {
                if valid.is_valid(idx) {
                    let wraps = T::add(row.state(sum), values[idx]);
                    row.state(tally).see(wraps);
                }
            }),
        }
        Ok(())
    }

    fn update_dense(
        &self,
        groups: &mut CodedGroups<'_>,
        codes: &[u32],
        args: &[ArrayRef],
        dense: &mut Dense,
    ) -> Result<bool> {
        let Some(sums) = T::add_dense(&mut dense.sums, codes, args[0].as_primitive::<T>().values()) else {
            return Ok(false);
        };
        groups.for_each(&dense.counts, |code, _, mut row| {
            let wraps = T::add(row.state(self.sum), sums[code].into());
            row.state(self.tally).see(wraps);
        });
        Ok(true)
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| {
            let other = row.state(self.tally);
            if other.is_seen() {
                let wraps = T::combine(group.state(self.sum), row.state(self.sum));
                group.state(self.tally).see(wraps.saturating_add(other.wraps()));
            }
        });
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        let value = |tally: Tally, sum: T::Words| match (tally.is_seen(), tally.wraps()) {
            (false, _) => Ok(None),
            (true, 0) => Ok(Some(T::value(sum))),
            (true, _) => Err(overflow()),
        };
        let values = rows.iter().map(|row| value(row.state(self.tally), row.state(self.sum)));
        let array: PrimitiveArray<T> = values.collect::<Result<Vec<_>>>()?.into_iter().collect();
        let array: ArrayRef = Arc::new(array.with_data_type(self.output.clone()));
        if let DataType::Decimal128(precision, _) = self.output {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(precision).map_err(|_| overflow())?;
        }
        Ok(array)
    }
}

/// The mean as a float.
pub(super) struct Average {
    sum: StateOffset<f64>,
    n: StateOffset<i64>,
}

impl Average {
    pub(super) fn new(layout: &Layout, place: StatePlace) -> Self {
        Average { sum: layout.state(place.words_at), n: layout.state(place.words_at + 8) }
    }
}

impl State for Average {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let array = args[0].as_primitive::<Float64Type>();
        let values = array.values();
        match counted(array, selected) {
            None => {
                let (sum, n) = (self.sum, self.n);
                table.for_each_with(values, |mut row, value| {
                    *row.state(sum) += value;
                    *row.state(n) += 1;
                });
            }
            Some(valid) => table.for_each_located(|idx, mut row| {
                if valid.is_valid(idx) {
                    *row.state(self.sum) += values[idx];
                    *row.state(self.n) += 1;
                }
            }),
        }
        Ok(())
    }

    fn update_dense(
        &self,
        groups: &mut CodedGroups<'_>,
        codes: &[u32],
        args: &[ArrayRef],
        dense: &mut Dense,
    ) -> Result<bool> {
        let sums = dense.sums.add_floats(codes, args[0].as_primitive::<Float64Type>().values());
        groups.for_each(&dense.counts, |code, count, mut row| {
            *row.state(self.sum) += sums[code];
            *row.state(self.n) += i64::from(count);
        });
        Ok(true)
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        table.for_each_found(rows, |mut group, row| {
            *group.state(self.sum) += row.state(self.sum);
            *group.state(self.n) += row.state(self.n);
        });
        Ok(())
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        let mean = |n: i64, sum: f64| (n > 0).then(|| sum / n as f64);
        let values: Float64Array = rows.iter().map(|row| mean(row.state(self.n), row.state(self.sum))).collect();
        Ok(Arc::new(values))
    }
}

/// The mean of decimals, in the scale of the output.
pub(super) struct DecimalAverage {
    sum: StateOffset<Words128>,
    n: StateOffset<i64>,
    scale_up: i128,
    output: DataType,
}

impl DecimalAverage {
    pub(super) fn new(layout: &Layout, place: StatePlace, arg_scale: i8, output: &DataType) -> Self {
        let scale = if let DataType::Decimal128(_, scale) = output { *scale } else { arg_scale };
        let scale_up = 10i128.pow(u32::try_from(i32::from(scale) - i32::from(arg_scale)).unwrap_or(0));
        let (sum, n) = (layout.state(place.words_at), layout.state(place.words_at + 16));
        DecimalAverage { sum, n, scale_up, output: output.clone() }
    }
}

impl State for DecimalAverage {
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()> {
        let array = args[0].as_primitive::<Decimal128Type>();
        let values = array.values();
        let valid = counted(array, selected);
        let mut overflowed = false;
        table.for_each_located(|idx, mut row| {
            if valid.as_ref().is_none_or(|valid| valid.is_valid(idx)) {
                overflowed |= Decimal128Type::add(row.state(self.sum), values[idx]) != 0;
                *row.state(self.n) += 1;
            }
        });
        if overflowed { Err(overflow()) } else { Ok(()) }
    }

    fn update_dense(
        &self,
        groups: &mut CodedGroups<'_>,
        codes: &[u32],
        args: &[ArrayRef],
        dense: &mut Dense,
    ) -> Result<bool> {
        let Some(sums) = dense.sums.add_decimals(codes, args[0].as_primitive::<Decimal128Type>().values()) else {
            return Ok(false);
        };
        let mut overflowed = false;
        groups.for_each(&dense.counts, |code, count, mut row| {
            overflowed |= Decimal128Type::add(row.state(self.sum), sums[code].into()) != 0;
            *row.state(self.n) += i64::from(count);
        });
        if overflowed { Err(overflow()) } else { Ok(true) }
    }

    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()> {
        let mut overflowed = false;
        table.for_each_found(rows, |mut group, row| {
            overflowed |= <Decimal128Type as Summand>::combine(group.state(self.sum), row.state(self.sum)) != 0;
            *group.state(self.n) += row.state(self.n);
        });
        if overflowed { Err(overflow()) } else { Ok(()) }
    }

    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef> {
        let mean = |sum: i128, n: i64| match n {
            0 => Ok(None),
            _ => sum.checked_mul(self.scale_up).map(|sum| Some(sum / i128::from(n))).ok_or_else(overflow),
        };
        let means = rows.iter().map(|row| mean(from_words(row.state(self.sum)), row.state(self.n)));
        let values: Decimal128Array = means.collect::<Result<Vec<_>>>()?.into_iter().collect();
        Ok(Arc::new(values.with_data_type(self.output.clone())))
    }
}
