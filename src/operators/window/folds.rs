//! The aggregates that can be combined from those of parts: count, sum, avg, min, max, var and stddev.
//!
//! Memory: none of their own, but for the string that min or max has found.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, BinaryArray, Decimal128Array, Float64Array, Int64Array,
    LargeBinaryArray, LargeStringArray, PrimitiveArray, StringArray, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::*;

use super::fold::Fold;
use crate::error::{Error, Result};

/// count(x).
pub(super) struct Count;

impl Fold for Count {
    type State = i64;
    type Input = Option<NullBuffer>;
    type Output = i64;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        Ok(match column.data_type() {
            DataType::Null => Some(NullBuffer::new_null(column.len())),
            _ => column.logical_nulls(),
        })
    }

    fn add(&self, state: &mut i64, nulls: &Option<NullBuffer>, row: usize) {
        *state += i64::from(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
    }

    fn merge(&self, state: &mut i64, later: &i64) {
        *state += later;
    }

    fn result(&self, state: &i64) -> Result<Option<i64>> {
        Ok(Some(*state))
    }

    fn array(&self, results: Vec<Option<i64>>) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(results)))
    }
}

/// The sum of integers, which is an error only when the sum of a frame is out of range.
pub(super) struct IntegerSum<T>(pub(super) PhantomData<fn() -> T>);

#[derive(Clone, Copy, Default)]
pub(super) struct WholeSum {
    sum: i128,
    n: u64,
}

impl<T: ArrowPrimitiveType> Fold for IntegerSum<T>
where
    T::Native: Into<i128> + TryFrom<i128>,
{
    type State = WholeSum;
    type Input = PrimitiveArray<T>;
    type Output = T::Native;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        primitive(column)
    }

    #[inline(always)]
    fn add(&self, state: &mut WholeSum, values: &Self::Input, row: usize) {
        if values.is_valid(row) {
            state.sum += values.values()[row].into();
            state.n += 1;
        }
    }

    fn merge(&self, state: &mut WholeSum, later: &WholeSum) {
        state.sum += later.sum;
        state.n += later.n;
    }

    #[inline(always)]
    fn result(&self, state: &WholeSum) -> Result<Option<T::Native>> {
        match (state.n, T::Native::try_from(state.sum)) {
            (0, _) => Ok(None),
            (_, Ok(sum)) => Ok(Some(sum)),
            (_, Err(_)) => Err(overflow(&T::DATA_TYPE)),
        }
    }

    fn array(&self, results: Vec<Option<T::Native>>) -> Result<ArrayRef> {
        Ok(Arc::new(results.into_iter().collect::<PrimitiveArray<T>>()))
    }
}

fn overflow(data_type: &DataType) -> Error {
    Error::query(format!("the sum of a window frame is out of range for {data_type}"))
        .with_hint("cast the argument to DOUBLE, or to a wider DECIMAL")
}

fn primitive<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<PrimitiveArray<T>> {
    match column.as_primitive_opt::<T>() {
        Some(values) => Ok(values.clone()),
        None => Err(Error::query(format!(
            "a column of type {} arrived where {} was planned",
            column.data_type(),
            T::DATA_TYPE
        ))),
    }
}

/// The sum of decimals.
pub(super) struct DecimalSum {
    pub(super) precision: u8,
    pub(super) scale: i8,
}

#[derive(Clone, Copy, Default)]
pub(super) struct WideSum {
    sum: i256,
    n: u64,
}

impl Fold for DecimalSum {
    type State = WideSum;
    type Input = Decimal128Array;
    type Output = i128;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        primitive(column)
    }

    fn add(&self, state: &mut WideSum, values: &Self::Input, row: usize) {
        if values.is_valid(row) {
            state.sum = state.sum.wrapping_add(i256::from_i128(values.value(row)));
            state.n += 1;
        }
    }

    fn merge(&self, state: &mut WideSum, later: &WideSum) {
        state.sum = state.sum.wrapping_add(later.sum);
        state.n += later.n;
    }

    fn result(&self, state: &WideSum) -> Result<Option<i128>> {
        match (state.n, state.sum.to_i128()) {
            (0, _) => Ok(None),
            (_, Some(sum)) if Decimal128Type::is_valid_decimal_precision(sum, self.precision) => Ok(Some(sum)),
            _ => Err(overflow(&DataType::Decimal128(self.precision, self.scale))),
        }
    }

    fn array(&self, results: Vec<Option<i128>>) -> Result<ArrayRef> {
        let sums: Decimal128Array = results.into_iter().collect();
        Ok(Arc::new(sums.with_precision_and_scale(self.precision, self.scale)?))
    }
}

/// The sum or mean of floats.
pub(super) struct FloatSum {
    pub(super) mean: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct RealSum {
    sum: f64,
    n: u64,
}

impl Fold for FloatSum {
    type State = RealSum;
    type Input = Float64Array;
    type Output = f64;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        primitive(column)
    }

    #[inline(always)]
    fn add(&self, state: &mut RealSum, values: &Self::Input, row: usize) {
        if values.is_valid(row) {
            state.sum += values.values()[row];
            state.n += 1;
        }
    }

    fn merge(&self, state: &mut RealSum, later: &RealSum) {
        state.sum += later.sum;
        state.n += later.n;
    }

    #[inline(always)]
    fn result(&self, state: &RealSum) -> Result<Option<f64>> {
        let result = if self.mean { state.sum / state.n as f64 } else { state.sum };
        Ok((state.n > 0).then_some(result))
    }

    fn array(&self, results: Vec<Option<f64>>) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::from(results)))
    }
}

/// Variance or standard deviation.
pub(super) struct Spread {
    pub(super) sample: bool,
    pub(super) root: bool,
}

/// Count, mean and the sum of squared differences from the mean.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Fold for Spread {
    type State = Moments;
    type Input = Float64Array;
    type Output = f64;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        primitive(column)
    }

    fn add(&self, state: &mut Moments, values: &Self::Input, row: usize) {
        if values.is_valid(row) {
            let value = values.values()[row];
            state.n += 1.0;
            let before = value - state.mean;
            state.mean += before / state.n;
            state.squares += before * (value - state.mean);
        }
    }

    fn merge(&self, state: &mut Moments, later: &Moments) {
        if later.n == 0.0 || state.n == 0.0 {
            *state = if later.n == 0.0 { *state } else { *later };
            return;
        }
        let n = state.n + later.n;
        let apart = later.mean - state.mean;
        state.squares += later.squares + apart * apart * state.n * later.n / n;
        state.mean += apart * later.n / n;
        state.n = n;
    }

    fn result(&self, state: &Moments) -> Result<Option<f64>> {
        let degrees = state.n - f64::from(u8::from(self.sample));
        let variance = state.squares / degrees;
        Ok((degrees > 0.0).then_some(if self.root { variance.sqrt() } else { variance }))
    }

    fn array(&self, results: Vec<Option<f64>>) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::from(results)))
    }
}

/// The smallest or largest value of fixed width; NaN is above all numbers.
pub(super) struct Extreme<T> {
    pub(super) largest: bool,
    pub(super) data_type: DataType,
    pub(super) of: PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType> Extreme<T> {
    #[inline(always)]
    fn replaces(&self, value: T::Native, held: T::Native) -> bool {
        let order = match (is_nan(value), is_nan(held)) {
            (false, false) => value.compare(held),
            (value, held) => value.cmp(&held),
        };
        if self.largest { order.is_gt() } else { order.is_lt() }
    }
}

/// Only a NaN is not ordered with itself.
#[inline(always)]
fn is_nan<N: PartialOrd>(value: N) -> bool {
    value.partial_cmp(&value).is_none()
}

impl<T: ArrowPrimitiveType> Fold for Extreme<T> {
    type State = Option<T::Native>;
    type Input = PrimitiveArray<T>;
    type Output = T::Native;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        primitive(column)
    }

    #[inline(always)]
    fn add(&self, state: &mut Self::State, values: &Self::Input, row: usize) {
        if values.is_valid(row) {
            let value = values.values()[row];
            if state.is_none_or(|held| self.replaces(value, held)) {
                *state = Some(value);
            }
        }
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) {
        if let Some(value) = *later
            && state.is_none_or(|held| self.replaces(value, held))
        {
            *state = Some(value);
        }
    }

    #[inline(always)]
    fn result(&self, state: &Self::State) -> Result<Option<T::Native>> {
        Ok(*state)
    }

    fn array(&self, results: Vec<Option<T::Native>>) -> Result<ArrayRef> {
        let values: PrimitiveArray<T> = results.into_iter().collect();
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }
}

/// The smallest or largest string.
pub(super) struct ExtremeBytes {
    pub(super) largest: bool,
    pub(super) data_type: DataType,
}

impl Fold for ExtremeBytes {
    type State = Option<Arc<[u8]>>;
    type Input = LargeBinaryArray;
    type Output = Arc<[u8]>;

    fn input(&self, column: &ArrayRef) -> Result<Self::Input> {
        Ok(cast(column, &DataType::LargeBinary)?.as_binary::<i64>().clone())
    }

    fn add(&self, state: &mut Self::State, values: &Self::Input, row: usize) {
        if values.is_valid(row) {
            let value = values.value(row);
            if state.as_ref().is_none_or(|held| if self.largest { value > &held[..] } else { value < &held[..] }) {
                *state = Some(value.into());
            }
        }
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) {
        if let Some(value) = later
            && state.as_ref().is_none_or(|held| if self.largest { value > held } else { value < held })
        {
            *state = Some(value.clone());
        }
    }

    fn result(&self, state: &Self::State) -> Result<Option<Arc<[u8]>>> {
        Ok(state.clone())
    }

    fn array(&self, results: Vec<Option<Arc<[u8]>>>) -> Result<ArrayRef> {
        let text = |value: &Option<Arc<[u8]>>| match value.as_deref().map(str::from_utf8) {
            Some(Err(_)) => Err(Error::query("a string is not UTF-8")),
            _ => Ok(()),
        };
        let is_text = self.data_type.is_string();
        results.iter().filter(|_| is_text).try_for_each(text)?;
        let bytes = || results.iter().map(|value| value.as_deref());
        let texts = || bytes().map(|value| value.and_then(|bytes| str::from_utf8(bytes).ok()));
        Ok(match &self.data_type {
            DataType::Utf8 => Arc::new(texts().collect::<StringArray>()),
            DataType::LargeUtf8 => Arc::new(texts().collect::<LargeStringArray>()),
            DataType::Utf8View => Arc::new(texts().collect::<StringViewArray>()),
            DataType::Binary => Arc::new(bytes().collect::<BinaryArray>()),
            other => cast(&(Arc::new(bytes().collect::<LargeBinaryArray>()) as ArrayRef), other)?,
        })
    }

    fn result_bytes(&self, result: &Arc<[u8]>) -> usize {
        result.len()
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, |bytes| bytes.len() + 16)
    }
}
