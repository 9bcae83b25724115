//! Operators between two values, as Polars means them.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr as Planned, Operator, binary_expr, cast, lit, when};

use super::functions::whole_number;
use super::literals::{is_temporal, is_text, narrowed};
use super::own_functions::whole_power;
use super::{Resolver, scalar};
use crate::error::{Error, Result};
use crate::frame::expr::{Expr, Node, Op};
use crate::sql::plan_failure;

impl Resolver<'_> {
    pub(super) fn binary(&self, left: Planned, op: Op, right: Planned) -> Result<Planned> {
        match op {
            Op::Plus | Op::Minus | Op::Times => self.arithmetic(left, op, right),
            Op::TrueDivide => self.true_divide(left, right),
            Op::Modulo => {
                let (left, right) = self.whole_or_float(left, right, "%")?;
                self.modulo(left, right)
            }
            Op::FloorDivide => {
                let (left, right) = self.whole_or_float(left, right, "floor_div")?;
                self.floor_divide(left, right)
            }
            Op::Power => self.power(left, right),
            _ => {
                let operator = comparison(op);
                let (left, right) = self.fit_both(left, right, "a comparison")?;
                Ok(binary_expr(left, operator, right))
            }
        }
    }

    /// A chain of `&` or `|` as a tree that is as flat as can be, since it may be long.
    pub(super) fn logic(&self, expr: &Expr, op: Op) -> Result<Planned> {
        let (symbol, operator) = if op == Op::And { ("&", Operator::And) } else { ("|", Operator::Or) };
        let (mut waiting, mut conditions) = (vec![expr], Vec::new());
        while let Some(expr) = waiting.pop() {
            match expr.node.as_ref() {
                Node::Binary { left, op: same, right } if *same == op => waiting.extend([right, left]),
                _ => {
                    let condition = self.resolve(expr)?;
                    self.expect_boolean(&condition, symbol)?;
                    conditions.push(condition);
                }
            }
        }
        while conditions.len() > 1 {
            let mut pairs = conditions.into_iter();
            let mut paired = Vec::with_capacity(pairs.len().div_ceil(2));
            while let Some(left) = pairs.next() {
                paired.push(match pairs.next() {
                    Some(right) => binary_expr(left, operator, right),
                    None => left,
                });
            }
            conditions = paired;
        }
        conditions.pop().ok_or_else(|| Error::usage("a condition of nothing"))
    }

    /// Each side fitted to the other where it is a literal.
    pub(super) fn fit_both(&self, left: Planned, right: Planned, what: &str) -> Result<(Planned, Planned)> {
        if matches!(left, Planned::Literal(..)) {
            let left = self.fit_to(left, &right, what)?;
            return Ok((left, right));
        }
        let right = self.fit_to(right, &left, what)?;
        Ok((left, right))
    }

    fn arithmetic(&self, left: Planned, op: Op, right: Planned) -> Result<Planned> {
        let (one, other) = (self.type_of(&left)?, self.type_of(&right)?);
        let (symbol, operator) = match op {
            Op::Plus => ("+", Operator::Plus),
            Op::Minus => ("-", Operator::Minus),
            _ => ("*", Operator::Multiply),
        };
        if op == Op::Plus && is_text(&one) && is_text(&other) {
            return Ok(binary_expr(left, Operator::StringConcat, right));
        }
        let moves = |data_type: &DataType| {
            is_temporal(data_type) || matches!(data_type, DataType::Duration(_) | DataType::Interval(_))
        };
        if moves(&one) || moves(&other) {
            return Ok(binary_expr(left, operator, right));
        }
        let (left, right) = (self.number_of(left, symbol)?, self.number_of(right, symbol)?);
        let (left, right) = self.same_sign(left, right, op == Op::Minus)?;
        let planned = binary_expr(left, operator, right);
        self.type_of(&planned)?;
        Ok(planned)
    }

    /// A number; true is 1 and false 0.
    fn number_of(&self, expr: Planned, symbol: &str) -> Result<Planned> {
        if self.type_of(&expr)? == DataType::Boolean {
            return Ok(cast(expr, DataType::Int64));
        }
        self.expect_number(&expr, symbol)?;
        Ok(expr)
    }

    /// Whole numbers of 64 bits without a sign beside others: literals take on the type of the other side, and what may
    /// become negative is signed.
    fn same_sign(&self, left: Planned, right: Planned, signed: bool) -> Result<(Planned, Planned)> {
        let (left, right) = (self.like(left, &right)?, self.like(right.clone(), &right)?);
        let right = self.like(right, &left)?;
        let (one, other) = (self.type_of(&left)?, self.type_of(&right)?);
        let both = one.is_integer() && other.is_integer();
        let mixed = one.is_unsigned_integer() != other.is_unsigned_integer();
        let unsigned = one.is_unsigned_integer() && other.is_unsigned_integer();
        let has_widest = one == DataType::UInt64 || other == DataType::UInt64;
        if both && ((mixed && has_widest) || (unsigned && signed)) {
            return Ok((cast(left, DataType::Int64), cast(right, DataType::Int64)));
        }
        Ok((left, right))
    }

    fn like(&self, value: Planned, other: &Planned) -> Result<Planned> {
        let wanted = self.type_of(other)?;
        Ok(match &value {
            Planned::Literal(scalar, _) if !matches!(other, Planned::Literal(..)) => {
                narrowed(scalar, &wanted).map_or(value, lit)
            }
            _ => value,
        })
    }

    /// `/` never rounds: whole numbers become floating-point ones first.
    fn true_divide(&self, left: Planned, right: Planned) -> Result<Planned> {
        let (one, other) = (self.type_of(&left)?, self.type_of(&right)?);
        if matches!(one, DataType::Duration(_)) || (one.is_decimal() && !other.is_floating()) {
            return Ok(binary_expr(left, Operator::Divide, right));
        }
        let (left, right) = (self.number_of(left, "/")?, self.number_of(right, "/")?);
        let narrow = |data_type: &DataType| matches!(data_type, DataType::Float32);
        let wanted = match narrow(&one) && (narrow(&other) || matches!(right, Planned::Literal(..))) {
            true => DataType::Float32,
            false => DataType::Float64,
        };
        Ok(binary_expr(self.as_type(left, &wanted)?, Operator::Divide, self.as_type(right, &wanted)?))
    }

    pub(super) fn as_type(&self, expr: Planned, wanted: &DataType) -> Result<Planned> {
        Ok(if self.type_of(&expr)? == *wanted { expr } else { cast(expr, wanted.clone()) })
    }

    /// Both whole numbers, or both floating-point ones.
    fn whole_or_float(&self, left: Planned, right: Planned, symbol: &str) -> Result<(Planned, Planned)> {
        let (left, right) = (self.number_of(left, symbol)?, self.number_of(right, symbol)?);
        let (left, right) = self.same_sign(left, right, false)?;
        let is_whole = self.type_of(&left)?.is_integer() && self.type_of(&right)?.is_integer();
        if is_whole {
            return Ok((left, right));
        }
        Ok((self.as_type(left, &DataType::Float64)?, self.as_type(right, &DataType::Float64)?))
    }

    /// The remainder has the sign of the divisor, as in Python. Whole numbers by 0 are NULL.
    fn modulo(&self, left: Planned, right: Planned) -> Result<Planned> {
        if self.type_of(&left)?.is_integer() {
            let divisor = self.unless_zero(right)?;
            let once = binary_expr(left.clone(), Operator::Modulo, divisor.clone());
            let moved = binary_expr(once.clone(), Operator::Plus, divisor.clone());
            return self.where_signs_differ(&left, &divisor, moved, once);
        }
        let whole = scalar("floor", vec![binary_expr(left.clone(), Operator::Divide, right.clone())])?;
        Ok(binary_expr(left, Operator::Minus, binary_expr(whole, Operator::Multiply, right)))
    }

    fn floor_divide(&self, left: Planned, right: Planned) -> Result<Planned> {
        if !self.type_of(&left)?.is_integer() {
            return scalar("floor", vec![binary_expr(left, Operator::Divide, right)]);
        }
        let divisor = self.unless_zero(right)?;
        let once = binary_expr(left.clone(), Operator::Divide, divisor.clone());
        let one = ScalarValue::new_one(&self.type_of(&once)?).map_err(plan_failure)?;
        let below = binary_expr(once.clone(), Operator::Minus, lit(one));
        self.where_signs_differ(&left, &divisor, below, once)
    }

    /// `differ` where the remainder of `left` by `divisor` is not 0 and has another sign than `divisor`, else `same`. Only
    /// so is there no step between that the type cannot hold.
    fn where_signs_differ(&self, left: &Planned, divisor: &Planned, differ: Planned, same: Planned) -> Result<Planned> {
        if self.type_of(left)?.is_unsigned_integer() && self.type_of(divisor)?.is_unsigned_integer() {
            return Ok(same);
        }
        let remainder = binary_expr(left.clone(), Operator::Modulo, divisor.clone());
        let is_negative = |value: &Planned| -> Result<Planned> {
            let zero = ScalarValue::new_zero(&self.type_of(value)?).map_err(plan_failure)?;
            Ok(binary_expr(value.clone(), Operator::Lt, lit(zero)))
        };
        let zero = ScalarValue::new_zero(&self.type_of(&remainder)?).map_err(plan_failure)?;
        let leaves_some = binary_expr(remainder.clone(), Operator::NotEq, lit(zero));
        let signs_differ = binary_expr(is_negative(&remainder)?, Operator::NotEq, is_negative(divisor)?);
        when(binary_expr(leaves_some, Operator::And, signs_differ), differ).otherwise(same).map_err(plan_failure)
    }

    /// NULL where it is 0.
    fn unless_zero(&self, expr: Planned) -> Result<Planned> {
        if let Planned::Literal(value, _) = &expr
            && ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero != *value)
        {
            return Ok(expr);
        }
        let zero = ScalarValue::new_zero(&self.type_of(&expr)?).map_err(plan_failure)?;
        scalar("nullif", vec![expr, lit(zero)])
    }

    /// Whole numbers stay whole where the power is a whole number that is not negative, and known.
    fn power(&self, left: Planned, right: Planned) -> Result<Planned> {
        let base = self.expect_number(&left, "pow")?;
        self.expect_number(&right, "pow")?;
        let exponent = whole_number(&right).and_then(|exponent| u32::try_from(exponent).ok());
        match exponent.filter(|_| base.is_integer()) {
            Some(exponent) => Ok(whole_power(self.as_type(left, &DataType::Int64)?, exponent)),
            None => {
                scalar("power", vec![self.as_type(left, &DataType::Float64)?, self.as_type(right, &DataType::Float64)?])
            }
        }
    }

    /// `condition ? value : NULL`.
    pub(super) fn only_where(condition: Planned, value: Planned) -> Result<Planned> {
        when(condition, value).end().map_err(plan_failure)
    }
}

fn comparison(op: Op) -> Operator {
    match op {
        Op::Equal => Operator::Eq,
        Op::NotEqual => Operator::NotEq,
        Op::Less => Operator::Lt,
        Op::LessOrEqual => Operator::LtEq,
        Op::Greater => Operator::Gt,
        Op::GreaterOrEqual => Operator::GtEq,
        Op::NotEqualMissing => Operator::IsDistinctFrom,
        _ => Operator::IsNotDistinctFrom,
    }
}
