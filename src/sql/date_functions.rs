//! `year(ts)`, `month(ts)` and the like: short names for parts of a date, which the library only has as `date_part`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::types::{NativeType, logical_date, logical_string};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    Coercion, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, TypeSignatureClass, Volatility, lit,
};
use datafusion_functions::datetime::date_part;

/// Function names with the part of `date_part` that they mean. Weekdays count from Monday, 1, to Sunday, 7.
const PARTS: [(&str, &str); 10] = [
    ("year", "year"),
    ("quarter", "quarter"),
    ("month", "month"),
    ("week", "week"),
    ("day", "day"),
    ("hour", "hour"),
    ("minute", "minute"),
    ("second", "second"),
    ("weekday", "isodow"),
    ("dayofyear", "doy"),
];

/// One part of a date; replaced by `date_part` while the query is simplified.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    name: &'static str,
    part: &'static str,
    signature: Signature,
}

/// All of them.
pub(super) fn date_functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    PARTS.into_iter().map(|(name, part)| Arc::new(ScalarUDF::from(DatePart { name, part, signature: signature() })))
}

/// What `date_part` takes as its second argument.
fn signature() -> Signature {
    let exact = |class| TypeSignature::Coercible(vec![Coercion::new_exact(class)]);
    let text = TypeSignatureClass::Native(logical_string());
    let stamp = NativeType::Timestamp(TimeUnit::Nanosecond, None);
    let or_text = Coercion::new_implicit(TypeSignatureClass::Timestamp, vec![text], stamp);
    let signatures = vec![
        TypeSignature::Coercible(vec![or_text]),
        exact(TypeSignatureClass::Native(logical_date())),
        exact(TypeSignatureClass::Time),
        exact(TypeSignatureClass::Interval),
        exact(TypeSignatureClass::Duration),
    ];
    Signature::one_of(signatures, Volatility::Immutable)
}

impl ScalarUDFImpl for DatePart {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Int32)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef, DataFusionError> {
        let nullable = args.arg_fields.first().is_none_or(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name, DataType::Int32, nullable)))
    }

    /// Of a constant; anything else is simplified first.
    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        args.args.insert(0, ColumnarValue::Scalar(ScalarValue::from(self.part)));
        args.arg_fields.insert(0, Arc::new(Field::new("part", DataType::Utf8, false)));
        date_part().invoke_with_args(args)
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult, DataFusionError> {
        let args = std::iter::once(lit(self.part)).chain(args).collect();
        Ok(ExprSimplifyResult::Simplified(date_part().call(args)))
    }
}
