//! Values that take on the type of what stands beside them.
//!
//! `col("x") + 1` keeps the type of a narrow `x`, and a text beside a date is read as a date when the plan is made, so that
//! a wrong one is an error before anything is read.

use arrow::compute::CastOptions;
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr as Planned, lit};

use super::Resolver;
use crate::error::{Error, Result};

impl Resolver<'_> {
    /// `value` as something that can stand beside `other`: a literal in the other's type where that loses nothing.
    pub(super) fn fit_to(&self, value: Planned, other: &Planned, what: &str) -> Result<Planned> {
        let wanted = self.type_of(other)?;
        let Planned::Literal(scalar, _) = &value else {
            self.check_comparable(&self.type_of(&value)?, &wanted, &value, other, what)?;
            return Ok(value);
        };
        if scalar.is_null() {
            return Ok(value);
        }
        let given = scalar.data_type();
        if is_text(&given) && is_temporal(&wanted) {
            return read_temporal(scalar, &wanted).map(lit);
        }
        if matches!((&given, &wanted), (DataType::Date32, DataType::Timestamp(..))) {
            return Ok(scalar.cast_to(&wanted).map_or(value, lit));
        }
        self.check_comparable(&given, &wanted, &value, other, what)?;
        Ok(narrowed(scalar, &wanted).map_or(value, lit))
    }

    fn check_comparable(
        &self,
        given: &DataType,
        wanted: &DataType,
        value: &Planned,
        other: &Planned,
        what: &str,
    ) -> Result<()> {
        let kind = |data_type: &DataType| match data_type {
            data_type if data_type.is_numeric() => Some("a number"),
            data_type if is_text(data_type) => Some("a text"),
            data_type if is_temporal(data_type) => Some("a date or time"),
            DataType::Boolean => Some("true or false"),
            _ => None,
        };
        match (kind(given), kind(wanted)) {
            (Some(one), Some(two)) if one != two => Err(Error::usage(format!(
                "{what} between {} of type {wanted} and {} of type {given}",
                self.text(other),
                self.text(value)
            ))
            .with_hint("convert one of them with cast(..)")),
            _ => Ok(()),
        }
    }
}

/// `value` in the type `wanted`, when both are whole numbers or both are not and nothing is lost.
pub(super) fn narrowed(value: &ScalarValue, wanted: &DataType) -> Option<ScalarValue> {
    let given = value.data_type();
    let fits = (given.is_integer() && wanted.is_integer()) || (given.is_floating() && wanted.is_floating());
    if !fits || given == *wanted {
        return None;
    }
    let narrow = value.cast_to(wanted).ok()?;
    let lossless = given.is_floating() || narrow.cast_to(&given).ok().as_ref() == Some(value);
    lossless.then_some(narrow)
}

fn read_temporal(text: &ScalarValue, wanted: &DataType) -> Result<ScalarValue> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let array = text.to_array().map_err(crate::sql::plan_failure)?;
    let read = arrow::compute::cast_with_options(&array, wanted, &strict);
    let wrong = || {
        Error::usage(format!("{text} is not a value of type {wanted}"))
            .with_hint("write dates as 2024-01-15 and datetimes as 2024-01-15 08:30:00")
    };
    let read = read.map_err(|_| wrong())?;
    ScalarValue::try_from_array(&read, 0).map_err(crate::sql::plan_failure)
}

pub(in crate::frame) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

pub(super) fn is_temporal(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Date32 | Date64 | Timestamp(..) | Time32(_) | Time64(_))
}
