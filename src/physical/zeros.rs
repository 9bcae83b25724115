//! Comparisons that the library makes by bits, made to agree with `=`: there -0.0 is 0.0 and every NaN is the same.
//!
//! Memory: a copy of each column of floats that is compared this way, a batch at a time.
//! These are long IN lists, `CASE x WHEN`, `nullif`, looking for a value in a list, and lists and structs with floats in
//! them. Their operands are normalized, constants once and for all. What `nullif` passes on is normalized, too.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::expressions::{BinaryExpr, CaseExpr, InListExpr, Literal};
use datafusion_physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::operators::equality::{holds_floats, normalize};

type Part = Arc<dyn PhysicalExpr>;

/// Functions that compare their arguments with one another.
const COMPARING: [&str; 6] =
    ["nullif", "array_has", "array_has_all", "array_has_any", "array_position", "array_positions"];

/// Puts normalized operands into `expr` if it compares floats by their bits.
pub(super) fn compare_as_equals(expr: Part, schema: &Schema) -> Result<Transformed<Part>> {
    let has_floats = |part: &Part| part.data_type(schema).map(|data_type| holds_floats(&data_type));
    if let Some(list) = expr.downcast_ref::<InListExpr>()
        && has_floats(list.expr())?
    {
        let values = list.list().iter().map(normalized).collect::<Result<_>>()?;
        let list = InListExpr::try_new(normalized(list.expr())?, values, list.negated(), schema)?;
        return Ok(Transformed::yes(Arc::new(list)));
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>()
        && let Some(compared) = case.expr()
        && has_floats(compared)?
    {
        let branches = case.when_then_expr().iter().map(|(when, then)| Ok((normalized(when)?, then.clone())));
        let branches = branches.collect::<Result<_>>()?;
        let case = CaseExpr::try_new(Some(normalized(compared)?), branches, case.else_expr().cloned())?;
        return Ok(Transformed::yes(Arc::new(case)));
    }
    let compares = match (expr.downcast_ref::<BinaryExpr>(), expr.downcast_ref::<ScalarFunctionExpr>()) {
        (Some(binary), _) => binary.op().supports_propagation() && binary.left().data_type(schema)?.is_nested(),
        (_, Some(call)) => COMPARING.contains(&call.name()),
        _ => false,
    };
    let children = expr.children();
    if !compares || !children.iter().map(|part| has_floats(part)).collect::<Result<Vec<_>>>()?.contains(&true) {
        return Ok(Transformed::no(expr));
    }
    let children = children.into_iter().map(normalized).collect::<Result<_>>()?;
    expr.with_new_children(children).map(Transformed::yes)
}

fn normalized(expr: &Part) -> Result<Part> {
    let Some(literal) = expr.downcast_ref::<Literal>() else { return Ok(Arc::new(Normalized { expr: expr.clone() })) };
    let value = normalize(&literal.value().to_array()?).map_err(external)?;
    Ok(Arc::new(Literal::new(ScalarValue::try_from_array(&value, 0)?)))
}

fn external(error: crate::error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// See [`normalize`].
#[derive(Debug, Eq)]
struct Normalized {
    expr: Part,
}

impl PartialEq for Normalized {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr)
    }
}

impl Hash for Normalized {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}

impl fmt::Display for Normalized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

impl PhysicalExpr for Normalized {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.expr.return_field(schema)
    }

    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.expr.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.expr.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        Ok(match self.expr.evaluate(batch)? {
            ColumnarValue::Array(rows) => ColumnarValue::Array(normalize(&rows).map_err(external)?),
            ColumnarValue::Scalar(one) => {
                let one = normalize(&one.to_array()?).map_err(external)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?)
            }
        })
    }

    fn children(&self) -> Vec<&Part> {
        vec![&self.expr]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Part>) -> Result<Part> {
        let expr = children.pop().unwrap_or_else(|| self.expr.clone());
        Ok(Arc::new(Normalized { expr }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt_sql(f)
    }
}
