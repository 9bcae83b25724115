//! Lowering of the frames of windows.
//!
//! An offset of RANGE becomes an expression for the key at which the frame ends. Numbers are kept inside their type; of
//! those that would be outside it is known that they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::*;
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::Sort;
use datafusion_expr::{ExprSchemable, WindowFrame, WindowFrameBound, WindowFrameUnits, cast, lit};

use super::expression::Evaluator;
use super::failure::query_failure;
use crate::error::{Error, Result};
use crate::operators::expression::Expression;
use crate::operators::sort::SortKey;
use crate::operators::window::{Bound, EdgeKeys, Frame, FrameEdges, Unit};

/// What frames are lowered over.
pub(super) struct FrameLowering<'a> {
    pub(super) schema: &'a DFSchema,
    pub(super) props: &'a ExecutionProps,
}

/// Where a bound lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Preceding,
    Following,
}

impl FrameLowering<'_> {
    /// The frame of a call with `order_by`, of which `order` may leave out constants where the frame has no edges at values.
    pub(super) fn lower(&self, frame: &WindowFrame, order_by: &[Sort], order: &[SortKey]) -> Result<Frame> {
        let unit = match frame.units {
            WindowFrameUnits::Rows => Unit::Rows,
            WindowFrameUnits::Groups => Unit::Groups,
            WindowFrameUnits::Range => Unit::Range,
        };
        let bound = |bound: &WindowFrameBound| match bound {
            WindowFrameBound::CurrentRow => Ok(Bound::Offset(0)),
            bound if bound.is_unbounded() => Ok(Bound::Unbounded),
            WindowFrameBound::Preceding(by) => self.bound(unit, Direction::Preceding, by, order_by),
            WindowFrameBound::Following(by) => self.bound(unit, Direction::Following, by, order_by),
        };
        Ok(Frame { unit, start: bound(&frame.start_bound)?, end: bound(&frame.end_bound)?, n_order: order.len() })
    }

    fn bound(&self, unit: Unit, direction: Direction, by: &ScalarValue, order_by: &[Sort]) -> Result<Bound> {
        if unit == Unit::Range {
            let [key] = order_by else {
                return Err(Error::usage("RANGE with an offset needs exactly one key in ORDER BY"));
            };
            return Ok(Bound::Value(self.value(direction, by, key)?));
        }
        let by = match by {
            ScalarValue::UInt64(Some(by)) => i64::try_from(*by).unwrap_or(i64::MAX),
            other => return Err(Error::usage(format!("a frame cannot reach {other} rows far"))),
        };
        Ok(Bound::Offset(if direction == Direction::Preceding { -by } else { by }))
    }

    /// The key so far from that of each row.
    fn value(&self, direction: Direction, by: &ScalarValue, key: &Sort) -> Result<Arc<dyn FrameEdges>> {
        let data_type = key.expr.get_type(self.schema).map_err(query_failure)?;
        let is_lower = (direction == Direction::Preceding) == key.asc;
        let subtract = is_lower;
        if is_negative(by) {
            return Err(Error::usage(format!(
                "a frame cannot begin or end {by} before or after a row: it is negative"
            )));
        }
        if data_type.is_numeric() {
            let key = Evaluator::compile(&key.expr, self.schema, self.props)?;
            let by = by.cast_to(&data_type).and_then(|by| by.to_array()).map_err(query_failure)?;
            return Ok(Arc::new(ShiftedNumber { key, by, subtract, direction }));
        }
        if !data_type.is_temporal() {
            return Err(Error::usage(format!(
                "RANGE with an offset needs a number or a time to order by, not {data_type}"
            )));
        }
        let shifted = if subtract { key.expr.clone() - lit(by.clone()) } else { key.expr.clone() + lit(by.clone()) };
        let shifted = match shifted.get_type(self.schema).map_err(query_failure)? == data_type {
            true => shifted,
            false => cast(shifted, data_type),
        };
        Ok(Arc::new(ShiftedTime(Evaluator::compile(&shifted, self.schema, self.props)?)))
    }
}

fn is_negative(by: &ScalarValue) -> bool {
    match by {
        ScalarValue::IntervalMonthDayNano(Some(by)) => by.months < 0 || by.days < 0 || by.nanoseconds < 0,
        other => ScalarValue::new_zero(&other.data_type()).is_ok_and(|zero| *other < zero),
    }
}

/// A time plus or minus a constant.
struct ShiftedTime(Evaluator);

impl FrameEdges for ShiftedTime {
    fn evaluate(&self, batch: &RecordBatch) -> Result<EdgeKeys> {
        Ok(EdgeKeys { keys: self.0.evaluate(batch)?, before_all: None, after_all: None })
    }

    fn never_goes_back(&self) -> bool {
        false
    }
}

/// A number plus or minus a constant, kept inside its type.
struct ShiftedNumber {
    key: Evaluator,
    /// One value.
    by: ArrayRef,
    subtract: bool,
    direction: Direction,
}

impl FrameEdges for ShiftedNumber {
    fn evaluate(&self, batch: &RecordBatch) -> Result<EdgeKeys> {
        let keys = self.key.evaluate(batch)?;
        macro_rules! whole {
            ($arrow:ty) => {
                match self.subtract {
                    true => {
                        self.shift::<$arrow>(&keys, |key, by| (key.saturating_sub(by), key.checked_sub(by).is_none()))
                    }
                    false => {
                        self.shift::<$arrow>(&keys, |key, by| (key.saturating_add(by), key.checked_add(by).is_none()))
                    }
                }
            };
        }
        macro_rules! real {
            ($arrow:ty) => {
                self.shift::<$arrow>(&keys, |key, by| (if self.subtract { key - by } else { key + by }, false))
            };
        }
        match keys.data_type() {
            DataType::Int8 => whole!(Int8Type),
            DataType::Int16 => whole!(Int16Type),
            DataType::Int32 => whole!(Int32Type),
            DataType::Int64 => whole!(Int64Type),
            DataType::UInt8 => whole!(UInt8Type),
            DataType::UInt16 => whole!(UInt16Type),
            DataType::UInt32 => whole!(UInt32Type),
            DataType::UInt64 => whole!(UInt64Type),
            DataType::Decimal128(..) => whole!(Decimal128Type),
            DataType::Float32 => real!(Float32Type),
            DataType::Float64 => real!(Float64Type),
            other => Err(Error::usage(format!("RANGE with an offset over {other} is not supported yet"))),
        }
    }

    fn never_goes_back(&self) -> bool {
        true
    }
}

impl ShiftedNumber {
    /// `shifted` gives a number inside its type, and whether it would be outside.
    fn shift<T: ArrowPrimitiveType>(
        &self,
        keys: &ArrayRef,
        shifted: impl Fn(T::Native, T::Native) -> (T::Native, bool),
    ) -> Result<EdgeKeys> {
        let (Some(keys), Some(by)) = (keys.as_primitive_opt::<T>(), self.by.as_primitive_opt::<T>()) else {
            return Err(Error::query(format!("a key of type {} arrived where another was planned", keys.data_type())));
        };
        let by = by.value(0);
        let values: PrimitiveArray<T> = keys.unary(|key| shifted(key, by).0);
        let is_outside = |row: usize| keys.is_valid(row) && shifted(keys.values()[row], by).1;
        let outside = BooleanBuffer::collect_bool(keys.len(), is_outside);
        let outside = Some(outside).filter(|rows| rows.count_set_bits() > 0);
        let (before_all, after_all) = match self.direction {
            Direction::Preceding => (outside, None),
            Direction::Following => (None, outside),
        };
        Ok(EdgeKeys { keys: Arc::new(values.with_data_type(keys.data_type().clone())), before_all, after_all })
    }
}
