//! States of fixed size that live in the row of their group: how they are updated, combined and finished.
//!
//! Each function is one object; it is called once a piece of rows, and its inner loop is typed. Memory: the states are
//! part of the rows; nothing else is held.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::correlation::{Correlation, CorrelationResult};
use super::dense::Dense;
use super::extremes::{extreme_state, is_extreme_native};
use super::moments::{Moments, MomentsResult};
use super::spec::{AggregateCall, AggregateFunction};
use super::sums::{self, Average, DecimalAverage};
use crate::error::{Error, Result};
use crate::row::{CodedGroups, Layout, RowTable, Rows};

/// One aggregate call over rows that a table has located.
pub(super) trait State: Send + Sync {
    /// Adds the rows of a piece; row `i` of `args` belongs to the `i`-th row that `table` located last. Rows that are not
    /// in `selected` do not count; NULL arguments are for the function to skip.
    fn update(&self, table: &mut RowTable, args: &[ArrayRef], selected: Option<&NullBuffer>) -> Result<()>;

    /// Adds the rows of a piece by their key codes, all of which count; false, with nothing done, when the function or
    /// these values need [`State::update`]. `dense` has counted the codes.
    fn update_dense(
        &self,
        _groups: &mut CodedGroups<'_>,
        _codes: &[u32],
        _args: &[ArrayRef],
        _dense: &mut Dense,
    ) -> Result<bool> {
        Ok(false)
    }

    /// Adds the states in `rows` to the rows that `table` had before.
    fn combine(&self, table: &mut RowTable, rows: Rows<'_>) -> Result<()>;

    /// The results of `rows`.
    fn finish(&self, rows: Rows<'_>) -> Result<ArrayRef>;
}

/// Bytes of a state: an aligned part, and a flag that says whether any value was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StateSize {
    pub(super) words: usize,
    pub(super) has_flag: bool,
}

/// Where one call's state lies, relative to the states of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatePlace {
    pub(super) words_at: usize,
    pub(super) flag_at: usize,
}

/// Whether `function` over arguments of these types has a state of fixed size here. Others go through
/// [`AggregateFunction::Library`].
pub fn is_native(function: &AggregateFunction, args: &[DataType], output: &DataType) -> bool {
    use AggregateFunction::*;
    use DataType::*;
    match (function, args) {
        (CountStar, _) | (Count, [_]) => *output == Int64,
        (Sum, [arg]) => arg == output && matches!(arg, Int64 | UInt64 | Float64) || is_decimal_sum(arg, output),
        (Avg, [Float64]) => *output == Float64,
        (Avg, [arg]) => is_decimal_sum(arg, output),
        (Min | Max, [arg]) => arg == output && is_extreme_native(arg),
        (Var { .. } | StdDev { .. }, [Float64]) => *output == Float64,
        (Covar { .. } | Corr, [Float64, Float64]) => *output == Float64,
        (BoolAnd | BoolOr, [Boolean]) => *output == Boolean,
        _ => false,
    }
}

fn is_decimal_sum(arg: &DataType, output: &DataType) -> bool {
    matches!((arg, output), (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from <= to)
}

/// The size of the state of a native function.
pub(super) fn state_size(function: &AggregateFunction, args: &[DataType]) -> StateSize {
    use AggregateFunction::*;
    let (words, has_flag) = match function {
        CountStar | Count => (1, false),
        Sum => (if matches!(args, [DataType::Decimal128(..)]) { 2 } else { 1 }, true),
        Avg => (if matches!(args, [DataType::Decimal128(..)]) { 3 } else { 2 }, false),
        Min | Max => (args.first().and_then(DataType::primitive_width).unwrap_or(8).div_ceil(8), true),
        Var { .. } | StdDev { .. } => (3, false),
        Covar { .. } | Corr => (6, false),
        BoolAnd | BoolOr => (1, true),
        Library(_) => (0, false),
    };
    StateSize { words, has_flag }
}

/// Places states: all words first, then all flags. Returns the places and the bytes in total.
pub(super) fn place_states(sizes: &[StateSize]) -> (Vec<StatePlace>, usize) {
    let mut flag_at: usize = sizes.iter().map(|size| size.words * 8).sum();
    let mut words_at = 0;
    let mut places = Vec::with_capacity(sizes.len());
    for size in sizes {
        places.push(StatePlace { words_at, flag_at });
        words_at += size.words * 8;
        flag_at += usize::from(size.has_flag);
    }
    (places, flag_at)
}

/// The state of a native call at `place`.
pub(super) fn make_state(
    call: &AggregateCall,
    args: &[DataType],
    layout: &Layout,
    place: StatePlace,
) -> Result<Arc<dyn State>> {
    use AggregateFunction::*;
    let output = call.output.data_type();
    Ok(match (&call.function, args) {
        (CountStar | Count, _) => Arc::new(sums::Count::new(layout, place)),
        (Sum, [arg]) => sums::Sum::state(layout, place, arg, output)?,
        (Avg, [DataType::Decimal128(_, scale)]) => Arc::new(DecimalAverage::new(layout, place, *scale, output)),
        (Avg, _) => Arc::new(Average::new(layout, place)),
        (Min, [arg]) => extreme_state(layout, place, arg, false)?,
        (Max, [arg]) => extreme_state(layout, place, arg, true)?,
        (BoolAnd, _) => extreme_state(layout, place, &DataType::Boolean, false)?,
        (BoolOr, _) => extreme_state(layout, place, &DataType::Boolean, true)?,
        (Var { sample }, _) => Arc::new(Moments::new(layout, place, MomentsResult::Variance, *sample)),
        (StdDev { sample }, _) => Arc::new(Moments::new(layout, place, MomentsResult::StandardDeviation, *sample)),
        (Covar { sample }, _) => {
            Arc::new(Correlation::new(layout, place, CorrelationResult::Covariance { sample: *sample }))
        }
        (Corr, _) => Arc::new(Correlation::new(layout, place, CorrelationResult::Correlation)),
        (function, _) => {
            return Err(Error::query(format!("{function:?} has no state of fixed size for these arguments")));
        }
    })
}

/// The rows that count: selected and not NULL in `array`. `None` means all.
pub(super) fn counted(array: &dyn Array, selected: Option<&NullBuffer>) -> Option<NullBuffer> {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    NullBuffer::union(nulls.as_ref(), selected)
}

/// The rows where a filter is true, as a selection.
pub(super) fn selection_of(filter: &BooleanArray) -> NullBuffer {
    match filter.nulls() {
        Some(nulls) => NullBuffer::new(filter.values() & nulls.inner()),
        None => NullBuffer::new(filter.values().clone()),
    }
}
