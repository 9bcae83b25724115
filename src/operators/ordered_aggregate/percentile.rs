//! Median, percentile_cont and percentile_disc: the values of a group come in order, so the answer is picked by its place.
//!
//! Memory: a batch; the values of the group that goes on, from the first that may still be picked, in a [`Spool`]. Of a
//! median that is the upper half.
//! Why a spool and not counting first: the number of values is known only at the end of the group, and reading the sorted
//! rows twice would cost more than keeping a part of one column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowNumericType, AsArray, PrimitiveArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{
    ArrowNativeType, DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type,
};
use half::f16;

use super::GroupCall;
use super::selection::Selected;
use super::spool::{Shelf, Spool};
use crate::error::{Error, Result};

/// What is picked.
#[derive(Debug, Clone, Copy)]
pub enum Pick {
    /// The middle, or the mean of the two values there.
    Median,
    /// Between the two values at this part of the way.
    At(f64),
    /// The first value with at least this part of all values at or before it.
    Value(f64),
    /// One of the two values at this part of the way.
    Rounded(f64, Rounding),
}

/// Which of the two values that a part of the way lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// The nearer one; from the middle the upper one.
    Nearest,
    /// The lower one.
    Lower,
    /// The upper one.
    Higher,
    /// The mean of both.
    Midpoint,
}

/// Which values of a group the answer lies between.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::operators) struct Place {
    pub(in crate::operators) lower: u64,
    pub(in crate::operators) upper: u64,
    /// How far from the lower to the upper.
    pub(in crate::operators) weight: f64,
}

impl Pick {
    /// The place among `n_values`, at least one.
    pub(in crate::operators) fn place(self, n_values: u64) -> Place {
        match self {
            Pick::Median => Place { lower: (n_values - 1) / 2, upper: n_values / 2, weight: 0.5 },
            Pick::Value(part) => {
                let at = ((part * n_values as f64).ceil() as u64).clamp(1, n_values) - 1;
                Place { lower: at, upper: at, weight: 0.0 }
            }
            Pick::Rounded(part, rounding) => {
                let at = part * (n_values - 1) as f64;
                let (lower, upper) = match rounding {
                    Rounding::Nearest => (at.round(), at.round()),
                    Rounding::Lower => (at.floor(), at.floor()),
                    Rounding::Higher => (at.ceil(), at.ceil()),
                    Rounding::Midpoint => (at.floor(), at.ceil()),
                };
                let last = n_values - 1;
                Place { lower: (lower as u64).min(last), upper: (upper as u64).min(last), weight: 0.5 }
            }
            Pick::At(part) => {
                let at = part * (n_values - 1) as f64;
                let lower = (at.floor() as u64).min(n_values - 1);
                let upper = (at.ceil() as u64).min(n_values - 1);
                Place { lower, upper, weight: at - at.floor() }
            }
        }
    }
}

impl Pick {
    /// The results between `lower` and `upper`, one a group.
    pub(in crate::operators) fn result(
        self,
        lower: &ArrayRef,
        upper: &ArrayRef,
        weights: &[f64],
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        match self {
            Pick::Median | Pick::Rounded(_, Rounding::Midpoint) => middle(lower, upper, data_type),
            Pick::Value(_) | Pick::Rounded(..) => Ok(lower.clone()),
            Pick::At(_) => between(lower, upper, weights, data_type),
        }
    }
}

/// One call of a median or percentile.
pub(super) struct PercentileCall {
    pick: Pick,
    data_type: DataType,
    spool: Spool,
}

impl PercentileCall {
    pub(super) fn new(pick: Pick, data_type: DataType, shelf: Shelf) -> Result<Self> {
        match pick {
            Pick::At(part) | Pick::Value(part) | Pick::Rounded(part, _) if !(0.0..=1.0).contains(&part) => {
                Err(Error::usage(format!("a percentile is a number from 0 to 1, not {part}")))
            }
            _ => Ok(PercentileCall { pick, spool: Spool::new(shelf), data_type }),
        }
    }

    /// The values around the answer in the group that is in the spool; `None` without values.
    fn take_from_spool(&mut self) -> Result<Option<(ArrayRef, ArrayRef, f64)>> {
        let n_values = self.spool.len();
        if n_values == 0 {
            return Ok(None);
        }
        let place = self.pick.place(n_values);
        let (lower, upper) = (self.spool.get(place.lower)?, self.spool.get(place.upper)?);
        self.spool.clear();
        Ok(Some((lower, upper, place.weight)))
    }

    fn keep(&mut self, values: &ArrayRef) -> Result<()> {
        self.spool.push(values)?;
        // More values only move the place on.
        self.spool.forget_before(self.pick.place(self.spool.len()).lower);
        Ok(())
    }
}

impl GroupCall for PercentileCall {
    fn push(&mut self, rows: &Selected) -> Result<ArrayRef> {
        let Some(values) = rows.columns.first() else { return Err(Error::query("a percentile without values")) };
        let mut lower: Vec<Option<u32>> = vec![None; rows.n_closed];
        let mut upper = lower.clone();
        let mut weights = vec![0.0; rows.n_closed];
        let mut rest = None;
        let goes_on = self.spool.len() > 0;
        for segment in &rows.segments {
            let slice = || values.slice(segment.start, segment.len);
            match segment.group {
                group if group >= rows.n_closed => rest = Some(slice()),
                0 if goes_on => self.spool.push(&slice())?,
                group => {
                    let place = self.pick.place(segment.len as u64);
                    lower[group] = Some((segment.start as u64 + place.lower) as u32);
                    upper[group] = Some((segment.start as u64 + place.upper) as u32);
                    weights[group] = place.weight;
                }
            }
        }
        let mut lower = take(values, &UInt32Array::from(lower), None)?;
        let mut upper = take(values, &UInt32Array::from(upper), None)?;
        if rows.n_closed > 0
            && let Some((low, high, weight)) = self.take_from_spool()?
        {
            weights[0] = weight;
            lower = concat(&[low.as_ref(), lower.slice(1, lower.len() - 1).as_ref()])?;
            upper = concat(&[high.as_ref(), upper.slice(1, upper.len() - 1).as_ref()])?;
        }
        if let Some(rest) = rest {
            self.keep(&rest)?;
        }
        self.pick.result(&lower, &upper, &weights, &self.data_type)
    }
}

/// Whether there is a median of values of this type here.
pub fn has_middle(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Float16 | Float32 | Float64 | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
}

/// The means of `lower` and `upper`.
fn middle(lower: &ArrayRef, upper: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Float16 => Ok(middle_of::<Float16Type>(lower, upper, data_type)),
        DataType::Float32 => Ok(middle_of::<Float32Type>(lower, upper, data_type)),
        DataType::Float64 => Ok(middle_of::<Float64Type>(lower, upper, data_type)),
        DataType::Decimal32(..) => Ok(middle_of::<Decimal32Type>(lower, upper, data_type)),
        DataType::Decimal64(..) => Ok(middle_of::<Decimal64Type>(lower, upper, data_type)),
        DataType::Decimal128(..) => Ok(middle_of::<Decimal128Type>(lower, upper, data_type)),
        DataType::Decimal256(..) => Ok(middle_of::<Decimal256Type>(lower, upper, data_type)),
        other => Err(Error::query(format!("there is no median of values of type {other}"))),
    }
}

fn middle_of<T: ArrowNumericType>(lower: &ArrayRef, upper: &ArrayRef, data_type: &DataType) -> ArrayRef {
    let two = T::Native::usize_as(2);
    let pairs = lower.as_primitive::<T>().iter().zip(upper.as_primitive::<T>().iter());
    let middle = pairs.map(|(lower, upper)| {
        let (lower, upper) = lower.zip(upper)?;
        if lower.is_eq(upper) {
            return Some(lower);
        }
        Some(match lower.add_checked(upper) {
            Ok(sum) => sum.div_wrapping(two),
            // Halves first: the remainders of both decide about one more.
            Err(_) => {
                let rest = lower.mod_wrapping(two).add_wrapping(upper.mod_wrapping(two)).div_wrapping(two);
                lower.div_wrapping(two).add_wrapping(upper.div_wrapping(two)).add_wrapping(rest)
            }
        })
    });
    Arc::new(middle.collect::<PrimitiveArray<T>>().with_data_type(data_type.clone()))
}

/// The values between `lower` and `upper`.
fn between(lower: &ArrayRef, upper: &ArrayRef, weights: &[f64], data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Float16 => Ok(between_of::<Float16Type>(lower, upper, weights, f16::to_f64, f16::from_f64)),
        DataType::Float32 => Ok(between_of::<Float32Type>(lower, upper, weights, f64::from, |value| value as f32)),
        DataType::Float64 => Ok(between_of::<Float64Type>(lower, upper, weights, |value| value, |value| value)),
        other => Err(Error::query(format!("there is no percentile of values of type {other}"))),
    }
}

fn between_of<T: ArrowNumericType>(
    lower: &ArrayRef,
    upper: &ArrayRef,
    weights: &[f64],
    widen: impl Fn(T::Native) -> f64,
    narrow: impl Fn(f64) -> T::Native,
) -> ArrayRef {
    let pairs = lower.as_primitive::<T>().iter().zip(upper.as_primitive::<T>().iter()).zip(weights);
    let between = pairs.map(|((lower, upper), &weight)| {
        let (lower, upper) = lower.zip(upper)?;
        if weight == 0.0 || lower.is_eq(upper) {
            return Some(lower);
        }
        let (low, high) = (widen(lower), widen(upper));
        Some(narrow(low + (high - low) * weight))
    });
    Arc::new(between.collect::<PrimitiveArray<T>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_between_the_first_and_the_last() {
        for n_values in 1..50 {
            for part in [0.0, 0.1, 0.25, 1.0 / 3.0, 0.5, 0.9, 1.0] {
                let place = Pick::At(part).place(n_values);
                assert!(place.lower <= place.upper && place.upper < n_values && place.upper - place.lower <= 1);
                assert!(place.lower <= Pick::At(part).place(n_values + 1).lower, "more values only move it on");
                let value = Pick::Value(part).place(n_values).lower;
                assert!(value < n_values && value <= Pick::Value(part).place(n_values + 1).lower);
                assert!((value + 1) as f64 >= part * n_values as f64);
            }
            assert_eq!(Pick::Median.place(n_values).lower, Pick::At(0.5).place(n_values).lower);
        }
    }
}
