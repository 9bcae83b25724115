//! Functions of lists.

use arrow::datatypes::DataType;
use datafusion_expr::{Expr as Planned, Operator, binary_expr, cast, lit, when};

use super::functions::{take, whole_number};
use super::{Resolver, scalar};
use crate::error::{Error, Result};
use crate::frame::expr::ListFunction;
use crate::sql::plan_failure;

impl Resolver<'_> {
    pub(super) fn list_call(&self, function: &ListFunction, args: Vec<Planned>) -> Result<Planned> {
        let Some(input) = args.first().cloned() else { return Err(Error::usage("a function of lists has no list")) };
        let element = self.element_type(&input)?;
        match function {
            ListFunction::Len => {
                let length = cast(scalar("array_length", vec![input.clone()])?, DataType::Int64);
                Self::unless_null(input, scalar("coalesce", vec![length, lit(0i64)])?)
            }
            ListFunction::Get => self.get(args),
            ListFunction::Contains => {
                let [input, value] = take(args)?;
                let value = match &value {
                    Planned::Literal(value, _) => value.cast_to(&element).map_or(lit(value.clone()), lit),
                    _ => value,
                };
                let found = scalar("array_has", vec![input.clone(), value])?;
                Self::unless_null(input, scalar("coalesce", vec![found, lit(false)])?)
            }
            ListFunction::Join => {
                let [input, separator] = take(args)?;
                scalar("array_to_string", vec![input, separator])
            }
        }
    }

    fn element_type(&self, list: &Planned) -> Result<DataType> {
        match self.type_of(list)? {
            DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
                Ok(field.data_type().clone())
            }
            other => Err(Error::usage(format!("list() wants a list, not {} of type {other}", self.text(list)))
                .with_hint("a text becomes a list with str().split(..)")),
        }
    }

    /// SQL counts elements from 1.
    fn get(&self, args: Vec<Planned>) -> Result<Planned> {
        let [input, index] = take(args)?;
        let place = match whole_number(&index) {
            Some(index) if index >= 0 => lit(index + 1),
            Some(index) => lit(index),
            None => {
                let index = self.as_type(index, &DataType::Int64)?;
                let forward = binary_expr(index.clone(), Operator::Plus, lit(1i64));
                when(index.clone().gt_eq(lit(0i64)), forward).otherwise(index).map_err(plan_failure)?
            }
        };
        scalar("array_element", vec![input, place])
    }
}
