//! Lowering of the frames of windows.
//!
//! An offset of RANGE becomes an expression for the key at which the frame ends. Numbers are kept inside their type: a
//! frame that would end beyond the largest number ends with it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
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
use crate::operators::window::{Bound, Frame, Unit};

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
    /// The frame of a call with `order_by`, which is `order` without constants.
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
    fn value(&self, direction: Direction, by: &ScalarValue, key: &Sort) -> Result<Arc<dyn Expression>> {
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
            return Ok(Arc::new(ShiftedNumber { key, by, subtract }));
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
        Ok(Arc::new(Evaluator::compile(&shifted, self.schema, self.props)?))
    }
}

fn is_negative(by: &ScalarValue) -> bool {
    match by {
        ScalarValue::IntervalMonthDayNano(Some(by)) => by.months < 0 || by.days < 0 || by.nanoseconds < 0,
        other => ScalarValue::new_zero(&other.data_type()).is_ok_and(|zero| *other < zero),
    }
}

/// A number plus or minus a constant, kept inside its type.
struct ShiftedNumber {
    key: Evaluator,
    /// One value.
    by: ArrayRef,
    subtract: bool,
}

impl Expression for ShiftedNumber {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let keys = self.key.evaluate(batch)?;
        macro_rules! whole {
            ($arrow:ty) => {
                self.shift::<$arrow>(
                    &keys,
                    |key, by, subtract| {
                        if subtract { key.saturating_sub(by) } else { key.saturating_add(by) }
                    },
                )
            };
        }
        macro_rules! real {
            ($arrow:ty) => {
                self.shift::<$arrow>(&keys, |key, by, subtract| if subtract { key - by } else { key + by })
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
}

impl ShiftedNumber {
    fn shift<T: ArrowPrimitiveType>(
        &self,
        keys: &ArrayRef,
        shifted: impl Fn(T::Native, T::Native, bool) -> T::Native,
    ) -> Result<ArrayRef> {
        let (Some(keys), Some(by)) = (keys.as_primitive_opt::<T>(), self.by.as_primitive_opt::<T>()) else {
            return Err(Error::query(format!("a key of type {} arrived where another was planned", keys.data_type())));
        };
        let (by, subtract) = (by.value(0), self.subtract);
        let values: PrimitiveArray<T> = keys.unary(|key| shifted(key, by, subtract));
        Ok(Arc::new(values.with_data_type(keys.data_type().clone())))
    }
}
