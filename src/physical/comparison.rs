//! Conditions that statistics can decide, taken out of a filter.
//!
//! A filter implies each comparison found here, never the other way round, so whatever is not understood is left out.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::{Between, BinaryExpr, Expr, Like, Operator};

use crate::io::{Comparison, ComparisonOp};

/// The comparisons that `filter` implies for columns of `schema`.
pub(super) fn implied_comparisons(filter: &Expr, schema: &Schema) -> Vec<Comparison> {
    let mut found = Vec::new();
    collect(filter, schema, &mut found);
    found
}

fn collect(filter: &Expr, schema: &Schema, found: &mut Vec<Comparison>) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            collect(left, schema, found);
            collect(right, schema, found);
        }
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) => found.extend(one_of(filter, schema)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => found.extend(compare(left, *op, right, schema)),
        Expr::InList(list) if !list.negated => {
            found.extend(column(&list.expr, schema).and_then(|column| member(column, &list.list, schema)));
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            found.extend(compare(expr, Operator::GtEq, low, schema));
            found.extend(compare(expr, Operator::LtEq, high, schema));
        }
        Expr::Like(like) => found.extend(prefix(like, schema).into_iter().flatten()),
        Expr::IsNull(expr) => found.extend(null_test(expr, ComparisonOp::IsNull, schema)),
        Expr::IsNotNull(expr) => found.extend(null_test(expr, ComparisonOp::IsNotNull, schema)),
        // A Boolean column by itself.
        Expr::Column(_) => {
            let literal = Expr::Literal(ScalarValue::Boolean(Some(true)), None);
            found.extend(compare(filter, Operator::Eq, &literal, schema));
        }
        Expr::Not(inner) => {
            let literal = Expr::Literal(ScalarValue::Boolean(Some(false)), None);
            if matches!(inner.as_ref(), Expr::Column(_)) {
                found.extend(compare(inner, Operator::Eq, &literal, schema));
            }
        }
        _ => {}
    }
}

fn compare(left: &Expr, op: Operator, right: &Expr, schema: &Schema) -> Option<Comparison> {
    let (column_idx, op, literal) = match (column(left, schema), column(right, schema)) {
        (Some(column_idx), None) => (column_idx, op, right),
        (None, Some(column_idx)) => (column_idx, op.swap()?, left),
        _ => return None,
    };
    let data_type = schema.field(column_idx).data_type();
    let op = match op {
        Operator::Eq => ComparisonOp::Equal,
        // NaN is neither in a file's minimum nor in its maximum, yet it compares below or above all numbers.
        _ if data_type.is_floating() => return None,
        Operator::Lt => ComparisonOp::Less,
        Operator::LtEq => ComparisonOp::LessOrEqual,
        Operator::Gt => ComparisonOp::Greater,
        Operator::GtEq => ComparisonOp::GreaterOrEqual,
        _ => return None,
    };
    Some(Comparison { column: column_idx, op, values: lossless(literal, data_type)? })
}

/// `a = 1 OR a = 2 OR a IN (3, 4)` is `a IN (1, 2, 3, 4)`.
fn one_of(filter: &Expr, schema: &Schema) -> Option<Comparison> {
    let mut column_idx = None;
    let mut values = Vec::new();
    let mut pending = vec![filter];
    while let Some(expr) = pending.pop() {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => pending.extend([&**left, &**right]),
            Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) | Expr::InList(_) => {
                let mut found = Vec::new();
                collect(expr, schema, &mut found);
                let [comparison] = found.try_into().ok()?;
                if *column_idx.get_or_insert(comparison.column) != comparison.column {
                    return None;
                }
                values.push(comparison.values);
            }
            _ => return None,
        }
    }
    Some(Comparison { column: column_idx?, op: ComparisonOp::In, values: together(&values)? })
}

fn member(column_idx: usize, list: &[Expr], schema: &Schema) -> Option<Comparison> {
    let data_type = schema.field(column_idx).data_type();
    let values: Option<Vec<ArrayRef>> = list.iter().map(|literal| lossless(literal, data_type)).collect();
    Some(Comparison { column: column_idx, op: ComparisonOp::In, values: together(&values?)? })
}

fn together(values: &[ArrayRef]) -> Option<ArrayRef> {
    let values: Vec<&dyn arrow::array::Array> = values.iter().map(Arc::as_ref).collect();
    arrow::compute::concat(&values).ok()
}

/// `a LIKE 'abc%'` means `a >= 'abc'` and `a < 'abd'`.
fn prefix(like: &Like, schema: &Schema) -> Option<[Comparison; 2]> {
    if like.negated || like.case_insensitive || like.escape_char.is_some() {
        return None;
    }
    let Expr::Literal(pattern, _) = like.pattern.as_ref() else { return None };
    let pattern = pattern.try_as_str()??;
    let prefix: String = pattern.chars().take_while(|c| !matches!(c, '%' | '_' | '\\')).collect();
    let last = prefix.chars().next_back()?;
    // Bytes of UTF-8 order like characters; a successor exists for every ASCII character but the last.
    let successor = last.is_ascii().then(|| char::from(last as u8 + 1)).filter(char::is_ascii)?;
    let above = format!("{}{successor}", &prefix[..prefix.len() - 1]);
    let bound = |op, text: String| compare(&like.expr, op, &Expr::Literal(ScalarValue::Utf8(Some(text)), None), schema);
    Some([bound(Operator::GtEq, prefix.clone())?, bound(Operator::Lt, above)?])
}

fn null_test(expr: &Expr, op: ComparisonOp, schema: &Schema) -> Option<Comparison> {
    let column = column(expr, schema)?;
    Some(Comparison { column, op, values: new_empty_array(schema.field(column).data_type()) })
}

fn column(expr: &Expr, schema: &Schema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.index_of(&column.name).ok(),
        _ => None,
    }
}

/// The literal as an array of one value of `data_type`, if it is exactly that value. Never NULL.
fn lossless(literal: &Expr, data_type: &DataType) -> Option<ArrayRef> {
    let Expr::Literal(value, _) = literal else { return None };
    if value.is_null() {
        return None;
    }
    let array = value.to_array().ok()?;
    if array.data_type() == data_type {
        return Some(array);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let converted = cast_with_options(&array, data_type, &strict).ok()?;
    let back = cast_with_options(&converted, array.data_type(), &strict).ok()?;
    (*back == *array && converted.null_count() == 0).then_some(converted)
}
