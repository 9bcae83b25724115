//! From a join down to the scans of its probe side: rows whose key no build row has are not read any further.
//!
//! The build side is complete before the probe side is read. So a join can tell whoever reads its probe side which keys
//! have a partner, through projections, filters, groups and other joins, as long as the column is the same.
//! The surprising part: a row without a partner may be looked at or not, since asking is given up where it does not pay.
//! Nothing that could fail for such a row may lie between, or whether a query fails would be left to chance.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::DFSchema;
use datafusion_common::tree_node::TreeNode;
use datafusion_expr::{Cast, Expr, ExprSchemable, Join, LogicalPlan, Operator};

use super::cardinality::{estimate, estimate_rows};
use super::expression::plain_column;
use crate::error::Result;
use crate::io::{Comparison, ComparisonOp, RowFilter};
use crate::memory::Memory;
use crate::operators::join::{JoinType, KnownKeys};

/// Only rows whose value in this column has a partner in a join are wanted; others may be left out.
#[derive(Clone)]
pub(super) struct WantedKeys {
    pub(super) column: usize,
    pub(super) known: Arc<KnownKeys>,
}

/// When about this share of all keys have a partner, telling which is not worth it.
pub(crate) const MOST_KEYS: f64 = 0.8;

/// The keys of a join that are worth telling, by their place: those that the scans of `probe` might ask about.
pub(super) fn worth_telling(
    join: &Join,
    join_type: JoinType,
    (probe, probe_keys): (&LogicalPlan, &[Expr]),
    (build, build_keys): (&LogicalPlan, &[Expr]),
    memory: &Memory,
) -> Vec<(usize, WantedKeys)> {
    use JoinType::*;
    let drops_probe_rows = matches!(join_type, Inner | BuildOuter | ProbeSemi | BuildSemi | BuildAnti | BuildMark);
    let null_equal = join.null_equality == datafusion_common::NullEquality::NullEqualsNull;
    // Computed keys are computed for the rows that are left.
    let may_fail = !probe_keys.iter().all(|key| cannot_fail(key, probe.schema()));
    if may_fail || !drops_probe_rows || null_equal || join.null_aware {
        return Vec::new();
    }
    let known_rows = estimate_rows(build);
    let guess = estimate(build);
    let tell = |(place, (probe_key, build_key)): (usize, (&Expr, &Expr))| {
        let column = plain_column(probe_key, probe.schema())?;
        let key = guess.key(build_key, build.schema());
        if known_rows.is_some_and(|rows| key.partners(rows) >= MOST_KEYS) {
            return None;
        }
        let range = key.range.map(|(min, max)| max - min + 1.0);
        let known = KnownKeys::new(probe.schema().field(column).data_type(), range, known_rows, memory)?;
        Some((place, WantedKeys { column, known }))
    };
    probe_keys.iter().zip(build_keys).enumerate().filter_map(tell).collect()
}

/// Whether `expr` has a value for every row of a plan of `schema`.
pub(super) fn cannot_fail(expr: &Expr, schema: &DFSchema) -> bool {
    use Operator::*;
    let may_fail = |part: &Expr| {
        let is_total = match part {
            Expr::Column(_) | Expr::Literal(..) | Expr::Alias(_) | Expr::Not(_) | Expr::Between(_) => true,
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsUnknown(_) => true,
            Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => true,
            Expr::Like(_) | Expr::InList(_) | Expr::Case(_) => true,
            Expr::Cast(cast) => casts(cast, schema, is_widening),
            Expr::BinaryExpr(binary) => {
                matches!(binary.op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
            }
            _ => false,
        };
        Ok(!is_total)
    };
    !expr.exists(may_fail).unwrap_or(true)
}

/// Whether `fits` says so of what `cast` makes of what.
pub(super) fn casts(cast: &Cast, schema: &DFSchema, fits: fn(&DataType, &DataType) -> bool) -> bool {
    cast.expr.get_type(schema).is_ok_and(|from| fits(&from, cast.field.data_type()))
}

/// Whether every value of `from` is one of `to`. Dates of years past 290,000 aside, which no microsecond counts.
pub(super) fn is_widening(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    use TimeUnit::{Millisecond, Second};
    match (from, to) {
        _ if from == to => true,
        (from, Float64) => from.is_numeric(),
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64) => true,
        (UInt16, UInt32 | UInt64 | Int32 | Int64) | (UInt32, UInt64 | Int64) => true,
        (Utf8, LargeUtf8 | Utf8View) | (Utf8View, LargeUtf8) => true,
        // The last date has no microseconds in 64 bits.
        (Date32, Timestamp(Second | Millisecond, None)) => true,
        _ => match (digits(from), digits(to)) {
            (Some((whole, decimals)), Some(to_digits)) if to.is_decimal() => {
                whole <= to_digits.0 && decimals <= to_digits.1
            }
            _ => false,
        },
    }
}

/// Digits before and after the point that values of `data_type` may have.
fn digits(data_type: &DataType) -> Option<(i16, i16)> {
    use DataType::*;
    Some(match data_type {
        Int8 | UInt8 => (3, 0),
        Int16 | UInt16 => (5, 0),
        Int32 | UInt32 => (10, 0),
        Int64 => (19, 0),
        UInt64 => (20, 0),
        Decimal32(precision, scale) | Decimal64(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), (*scale).into())
        }
        Decimal128(precision, scale) | Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), (*scale).into())
        }
        _ => return None,
    })
}

/// Whether the call has a value for every group, however many rows that has, within reason: sums of narrow numbers.
pub(super) fn call_cannot_fail(call: &Expr, schema: &DFSchema) -> bool {
    let Expr::AggregateFunction(call) = call else {
        return matches!(call, Expr::Alias(alias) if call_cannot_fail(&alias.expr, schema));
    };
    let params = &call.params;
    if !params.order_by.is_empty() || params.distinct {
        return false;
    }
    let mut inputs = params.args.iter().chain(params.filter.as_deref());
    let is_narrow = |arg: &Expr| match arg.get_type(schema) {
        Ok(DataType::Decimal128(precision, _)) => precision <= 28,
        Ok(data_type) => data_type.is_floating() || data_type.is_integer() && data_type.primitive_width() < Some(8),
        Err(_) => false,
    };
    let is_total = match call.func.name() {
        "count" | "min" | "max" | "bool_and" | "bool_or" => true,
        "sum" | "avg" => params.args.iter().all(is_narrow),
        _ => false,
    };
    is_total && inputs.all(|input| cannot_fail(input, schema))
}

/// Asks a join about the keys of one column of a scan.
pub(super) struct PartnerFilter {
    pub(super) known: Arc<KnownKeys>,
    /// An index into the table's schema, and the type of that column.
    pub(super) column: [usize; 1],
    pub(super) data_type: DataType,
    /// Whether it may leave out rows before other filters have seen them.
    pub(super) may_prune: bool,
}

impl RowFilter for PartnerFilter {
    fn columns(&self) -> &[usize] {
        &self.column
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let all = || BooleanArray::new(arrow::buffer::BooleanBuffer::new_set(batch.num_rows()), None);
        Ok(self.known.may_have(batch.column(0)).unwrap_or_else(all))
    }

    fn is_active(&self) -> bool {
        self.known.is_active()
    }

    fn is_total(&self) -> bool {
        true
    }

    fn may_skip_files(&self) -> bool {
        self.may_prune
    }

    fn late_comparisons(&self) -> Vec<Comparison> {
        if !self.may_prune {
            return Vec::new();
        }
        let Some((min, max)) = self.known.extremes(&self.data_type) else { return Vec::new() };
        let comparison = |op, values| Comparison { column: self.column[0], op, values };
        vec![comparison(ComparisonOp::GreaterOrEqual, min), comparison(ComparisonOp::LessOrEqual, max)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_that_has_a_place_for_every_value_cannot_fail() {
        use DataType::*;
        use TimeUnit::*;
        for (from, to, want) in [
            (Int32, Int64, true),
            (Int64, Int32, false),
            (Int64, Decimal128(22, 2), true),
            (Int64, Decimal128(20, 2), false),
            (UInt64, Decimal128(20, 0), true),
            (Int32, Decimal64(10, 0), true),
            (Decimal128(9, 2), Decimal128(12, 5), true),
            (Decimal128(9, 2), Decimal128(12, 6), false),
            (Decimal128(9, 2), Decimal128(12, 1), false),
            (Decimal128(9, -2), Decimal128(11, 0), true),
            (Decimal128(9, 0), Int64, false),
            (Date32, Timestamp(Millisecond, None), true),
            (Date32, Timestamp(Microsecond, None), false),
            (Date32, Timestamp(Nanosecond, None), false),
            (Date32, Timestamp(Microsecond, Some("Europe/Paris".into())), false),
            (Timestamp(Second, None), Timestamp(Microsecond, None), false),
        ] {
            assert_eq!(is_widening(&from, &to), want, "{from} to {to}");
        }
    }
}
