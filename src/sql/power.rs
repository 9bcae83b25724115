//! `a ^ b` is a power, as in PostgreSQL: of doubles, binding tighter than `*` and looser than a sign.
//!
//! Memory: none. The surprising part: the parser's generic dialect takes `^` for XOR of bits, binding looser than `+`.

use datafusion_sql::sqlparser::ast::{BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, UnaryOperator, Value};

/// Between `*` and what binds to an operand.
pub(super) const PRECEDENCE: u8 = 45;

/// Makes a power of `expr` when it is written as one.
pub(super) fn rewrite(expr: &mut Expr) {
    if let Expr::BinaryOp { left, op, .. } = expr
        && *op == BinaryOperator::BitwiseXor
    {
        *op = BinaryOperator::PGExp;
        let base = std::mem::replace(left.as_mut(), Expr::value(Value::Null));
        **left = double(base);
    }
    if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } = expr
        && is_power(inner)
    {
        let mut power = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
        negate_base(&mut power);
        *expr = power;
    }
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
}

/// `-2 ^ 2` is 4: the sign belongs to the base.
fn negate_base(power: &mut Expr) {
    let Expr::BinaryOp { left, op: BinaryOperator::PGExp, .. } = power else { return };
    // What `double` has made.
    let Expr::Cast { expr: base, .. } = left.as_mut() else { return };
    if is_power(base) {
        return negate_base(base);
    }
    let inner = std::mem::replace(base.as_mut(), Expr::value(Value::Null));
    **base = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(inner) };
}

fn double(expr: Expr) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    }
}
