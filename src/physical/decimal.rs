//! Sums, differences and products of decimals whose values are small enough for 64 bits.
//!
//! Memory: the result of a batch.
//! A decimal column has 128 bits a value, and checking each operation on 128 bits for overflow costs more than the
//! operation. If all values of both sides fit into 64 bits, and they mostly do, then neither their product nor their sum
//! at a common scale can overflow. The first value that does not fit leaves the batch to the library's checked kernels.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array, Scalar};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType, Decimal128Type, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::BinaryExpr;

/// The largest power of ten that fits into 63 bits.
const MOST_DIGITS: u32 = 18;

/// `+`, `-` or `*` of two `Decimal128`; fails on overflow as the library's expression does.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DecimalArithmetic {
    checked: BinaryExpr,
}

/// Puts the operation in place of `expr` if that is arithmetic on decimals.
pub(super) fn on_narrow_values(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Result<Transformed<Arc<dyn PhysicalExpr>>, DataFusionError> {
    let Some(binary) = expr.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(expr)) };
    let is_decimal = |side: &Arc<dyn PhysicalExpr>| {
        side.data_type(schema).map(|data_type| matches!(data_type, DataType::Decimal128(..)))
    };
    let is_known = matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply);
    let both = is_known && is_decimal(binary.left())? && is_decimal(binary.right())?;
    match both {
        true => Ok(Transformed::yes(Arc::new(DecimalArithmetic { checked: binary.clone() }))),
        false => Ok(Transformed::no(expr)),
    }
}

impl fmt::Display for DecimalArithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checked.fmt(f)
    }
}

impl PhysicalExpr for DecimalArithmetic {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef, DataFusionError> {
        self.checked.return_field(schema)
    }

    fn data_type(&self, schema: &Schema) -> Result<DataType, DataFusionError> {
        self.checked.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool, DataFusionError> {
        self.checked.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue, DataFusionError> {
        let (left, right) = (self.checked.left().evaluate(batch)?, self.checked.right().evaluate(batch)?);
        if let (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) = (&left, &right) {
            let value = checked(&left.to_array()?, &right.to_array()?, self.checked.op())?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?));
        }
        let (left, right) = (Operand::new(left)?, Operand::new(right)?);
        if let Some(values) = narrow(&left, &right, self.checked.op()) {
            return Ok(ColumnarValue::Array(Arc::new(values)));
        }
        let values = match (left, right) {
            (Operand::Rows(left), Operand::Rows(right)) => checked(&left, &right, self.checked.op()),
            (Operand::Rows(left), Operand::One(right)) => checked(&left, &Scalar::new(right), self.checked.op()),
            (Operand::One(left), Operand::Rows(right)) => checked(&Scalar::new(left), &right, self.checked.op()),
            (Operand::One(left), Operand::One(right)) => checked(&left, &right, self.checked.op()),
        };
        Ok(ColumnarValue::Array(values?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.checked.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        match <[Arc<dyn PhysicalExpr>; 2]>::try_from(children) {
            Ok([left, right]) => {
                let checked = BinaryExpr::new(left, *self.checked.op(), right).with_fail_on_overflow(true);
                Ok(Arc::new(DecimalArithmetic { checked }))
            }
            Err(children) => Err(DataFusionError::Internal(format!("{self} of {} operands", children.len()))),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.checked.fmt_sql(f)
    }
}

/// One side of an operation.
enum Operand {
    Rows(ArrayRef),
    /// One value for all rows.
    One(ArrayRef),
}

impl Operand {
    fn new(value: ColumnarValue) -> Result<Self, DataFusionError> {
        Ok(match value {
            ColumnarValue::Array(rows) => Operand::Rows(rows),
            ColumnarValue::Scalar(one) => Operand::One(one.to_array()?),
        })
    }

    fn values(&self) -> Option<&Decimal128Array> {
        match self {
            Operand::Rows(values) | Operand::One(values) => values.as_primitive_opt::<Decimal128Type>(),
        }
    }
}

fn checked(left: &dyn Datum, right: &dyn Datum, op: &Operator) -> Result<ArrayRef, ArrowError> {
    match op {
        Operator::Plus => numeric::add(left, right),
        Operator::Minus => numeric::sub(left, right),
        _ => numeric::mul(left, right),
    }
}

/// The operation on 64 bits, or `None` when a value is wider or the result's type is none: see [`checked`].
fn narrow(left: &Operand, right: &Operand, op: &Operator) -> Option<Decimal128Array> {
    let (left_values, right_values) = (left.values()?, right.values()?);
    let ((p1, s1), (p2, s2)) = (digits(left_values), digits(right_values));
    if *op == Operator::Multiply {
        let precision = p1.saturating_add(p2 + 1).min(DECIMAL128_MAX_PRECISION);
        let scale = s1.checked_add(s2).filter(|scale| *scale <= DECIMAL128_MAX_SCALE)?;
        let values = combine(left, right, |a, b| i128::from(a) * i128::from(b))?;
        return values.with_precision_and_scale(precision, scale).ok();
    }
    let scale = s1.max(s2);
    let whole_digits = (p1 as i8 - s1).max(p2 as i8 - s2);
    let precision = (scale.saturating_add(whole_digits) as u8).saturating_add(1).min(DECIMAL128_MAX_PRECISION);
    let factor = |own: i8| {
        let steps = u32::try_from(scale - own).ok().filter(|steps| *steps <= MOST_DIGITS)?;
        Some(10i64.pow(steps))
    };
    let (f1, f2) = (factor(s1)?, factor(s2)?);
    // A product of 64 bits with 64 bits is one instruction, of 128 bits three.
    let times = |value: i64, factor: i64| i128::from(value) * i128::from(factor);
    let values = match (op, f1 == 1 && f2 == 1) {
        (Operator::Plus, true) => combine(left, right, |a, b| i128::from(a) + i128::from(b)),
        (Operator::Plus, false) => combine(left, right, |a, b| times(a, f1) + times(b, f2)),
        (Operator::Minus, true) => combine(left, right, |a, b| i128::from(a) - i128::from(b)),
        (Operator::Minus, false) => combine(left, right, |a, b| times(a, f1) - times(b, f2)),
        _ => None,
    };
    values?.with_precision_and_scale(precision, scale).ok()
}

fn digits(values: &Decimal128Array) -> (u8, i8) {
    (values.precision(), values.scale())
}

/// `op` of each row, or `None` when a value needs more than 64 bits or the one value is NULL.
#[inline(always)]
fn combine(left: &Operand, right: &Operand, op: impl Fn(i64, i64) -> i128) -> Option<Decimal128Array> {
    let nulls = |operand: &Operand| operand.values().and_then(|values| values.nulls().cloned());
    // Bits beyond the 64 that any value has.
    let mut beyond = 0u64;
    let mut cut = |value: i128| {
        let narrow = value as i64;
        beyond |= (value >> 64) as u64 ^ (narrow >> 63) as u64;
        narrow
    };
    let single = |values: &ArrayRef| {
        let values = values.as_primitive_opt::<Decimal128Type>()?;
        (values.len() == 1 && values.is_valid(0)).then(|| values.value(0))
    };
    let values: Vec<i128> = match (left, right) {
        (Operand::Rows(_), Operand::Rows(_)) => {
            let (left, right) = (left.values()?.values(), right.values()?.values());
            left.iter().zip(right.iter()).map(|(&a, &b)| op(cut(a), cut(b))).collect()
        }
        (Operand::Rows(_), Operand::One(one)) => {
            let b = cut(single(one)?);
            left.values()?.values().iter().map(|&a| op(cut(a), b)).collect()
        }
        (Operand::One(one), Operand::Rows(_)) => {
            let a = cut(single(one)?);
            right.values()?.values().iter().map(|&b| op(a, cut(b))).collect()
        }
        (Operand::One(_), Operand::One(_)) => return None,
    };
    let nulls = match (left, right) {
        (Operand::Rows(_), Operand::Rows(_)) => NullBuffer::union(nulls(left).as_ref(), nulls(right).as_ref()),
        (Operand::Rows(_), _) => nulls(left),
        (_, _) => nulls(right),
    };
    (beyond == 0).then(|| Decimal128Array::new(values.into(), nulls))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    }

    /// Compares with the library's kernels, rows with rows, rows with one value and one value with rows.
    fn check(left: &ArrayRef, right: &ArrayRef, is_narrow: bool) {
        for op in [Operator::Plus, Operator::Minus, Operator::Multiply] {
            let rows = (Operand::Rows(left.clone()), Operand::Rows(right.clone()));
            compare(narrow(&rows.0, &rows.1, &op), checked(left, right, &op), is_narrow, op);
            for at in 0..left.len() {
                let (one, scalar) = (right.slice(at, 1), Scalar::new(right.slice(at, 1)));
                let got = narrow(&rows.0, &Operand::One(one.clone()), &op);
                compare(got, checked(left, &scalar, &op), is_narrow && one.is_valid(0), op);
                let got = narrow(&Operand::One(one.clone()), &rows.0, &op);
                compare(got, checked(&scalar, left, &op), is_narrow && one.is_valid(0), op);
            }
        }
    }

    fn compare(got: Option<Decimal128Array>, library: Result<ArrayRef, ArrowError>, is_narrow: bool, op: Operator) {
        match got {
            Some(values) => assert_eq!(&(Arc::new(values) as ArrayRef), &library.unwrap(), "{op}"),
            None => assert!(!is_narrow, "{op} was left to the library"),
        }
    }

    #[test]
    fn the_widest_narrow_values_do_not_overflow() {
        let edges = || vec![Some(i128::from(i64::MIN)), Some(i128::from(i64::MAX)), Some(-1), Some(0), None, Some(7)];
        for (s1, s2) in [(0, 0), (2, 2), (0, 18), (18, 0), (4, 15)] {
            let mut turned = edges();
            turned.rotate_left(2);
            check(&decimals(edges(), 19, s1), &decimals(turned, 19, s2), true);
            check(&decimals(edges(), 19, s1), &decimals(edges(), 19, s2), true);
        }
    }

    #[test]
    fn wide_values_are_left_to_the_library() {
        for wide in [i128::from(i64::MAX) + 1, i128::from(i64::MIN) - 1, 10i128.pow(30)] {
            let rows = decimals(vec![Some(1), Some(wide), None], 38, 0);
            let ones = decimals(vec![Some(1), Some(1), Some(2)], 38, 0);
            for (left, right) in [(&rows, &ones), (&ones, &rows)] {
                let rows = (Operand::Rows(left.clone()), Operand::Rows(right.clone()));
                assert!(narrow(&rows.0, &rows.1, &Operator::Plus).is_none());
            }
        }
        // A scale that 128 bits cannot have is the library's error.
        let deep = decimals(vec![Some(1)], 38, 30);
        let rows = || Operand::Rows(deep.clone());
        assert!(narrow(&rows(), &rows(), &Operator::Multiply).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn narrow_values_give_what_the_library_gives(
            rows in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(any::<i64>())), 1..12),
            scales in (0..19i8, 0..19i8),
        ) {
            let (left, right): (Vec<_>, Vec<_>) =
                rows.into_iter().map(|(a, b)| (a.map(i128::from), b.map(i128::from))).unzip();
            check(&decimals(left, 19, scales.0), &decimals(right, 19, scales.1), true);
        }
    }
}
