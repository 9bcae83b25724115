//! From our expressions to the planner's: names are looked up, types are checked, and every aggregate is told which rows it
//! is taken over.
//!
//! The result may have aggregates and windows in it; the verb takes them out into nodes of the plan. So one expression works
//! in `select`, in `filter` and in `agg`, and `(col("a") - col("a").mean()).over("k")` needs no rule of its own.

mod aggregates;
mod binary;
mod functions;
mod lists;
mod literals;
mod names;
mod own_functions;
mod running;
mod temporal;
mod texts;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::expr::{ScalarFunction, Sort};
use datafusion_expr::{Expr as Planned, ExprSchemable, ScalarUDF, cast, lit, try_cast};

pub(super) use literals::is_text;
pub(super) use names::{expand, output_name};
pub(super) use own_functions::sample_rank;
pub(crate) use temporal::parse_duration;

use super::expr::{Expr, Node, Op};
use crate::error::{Error, Result};
use crate::io::closest;
use crate::sql::{functions, plan_failure};

/// Finds out what expressions mean over rows of a schema.
#[derive(Clone)]
pub(super) struct Resolver<'a> {
    pub(super) schema: &'a DFSchema,
    /// The rows that aggregates are taken over.
    pub(super) over: Over,
    /// What orders the rows where their order is not that of the plan, or where an aggregate needs it.
    pub(super) row_order: Option<Planned>,
    /// The condition of [`Node::Filtered`] around the expression.
    filter: Option<Planned>,
}

/// The rows that aggregates are taken over.
#[derive(Clone)]
pub(super) enum Over {
    /// Those of a group: an aggregate is an aggregate.
    Group {
        /// What the rows are grouped by.
        keys: Vec<Planned>,
    },
    /// Those that are equal in `partition`: an aggregate is a window, and has a value in every row.
    Rows {
        /// Empty: all rows.
        partition: Vec<Planned>,
        /// The order that functions of neighbours go by.
        order: Vec<Sort>,
    },
}

impl Over {
    pub(super) fn all_rows() -> Self {
        Over::Rows { partition: Vec::new(), order: Vec::new() }
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn new(schema: &'a DFSchema, over: Over, row_order: Option<Planned>) -> Self {
        Resolver { schema, over, row_order, filter: None }
    }

    /// The planner's expression, under the name that its column gets.
    pub(super) fn resolve_named(&self, expr: &Expr) -> Result<Planned> {
        let name = output_name(expr)?;
        let planned = self.resolve(expr)?;
        Ok(match &planned {
            Planned::Column(column) if column.name == name => planned,
            _ => planned.alias(name),
        })
    }

    /// The planner's expression.
    pub(super) fn resolve(&self, expr: &Expr) -> Result<Planned> {
        match expr.node.as_ref() {
            Node::Column(name) => self.column_of_group(self.column(name)?),
            Node::Columns(_) => Err(Error::usage("several columns stand where one value is wanted")
                .with_hint("name one with col(\"..\"), or give the verb one expression for each")),
            Node::Literal(value) => Ok(lit(value.clone())),
            Node::Alias(input, _) | Node::Affix { input, .. } => self.resolve(input),
            Node::Binary { op: op @ (Op::And | Op::Or), .. } => self.logic(expr, *op),
            Node::Binary { left, op, right } => self.binary(self.resolve(left)?, *op, self.resolve(right)?),
            Node::Not(input) => {
                let input = self.resolve(input)?;
                self.expect_boolean(&input, "!")?;
                Ok(datafusion_expr::not(input))
            }
            Node::Negative(input) => {
                let input = self.resolve(input)?;
                self.expect_number(&input, "-")?;
                Ok(Planned::Negative(Box::new(input)))
            }
            Node::Cast { input, to, strict } => self.cast(self.resolve(input)?, to, *strict),
            Node::Case { branches, otherwise } => self.case(branches, otherwise.as_ref()),
            Node::IsIn(input, values) => self.is_in(self.resolve(input)?, values),
            Node::Call(function, args) => self.call(function, args),
            Node::Named(name, args) => self.named(name, args),
            Node::Aggregate(aggregate, args) => self.aggregate(*aggregate, args),
            Node::Filtered(input, predicate) => {
                // The condition itself is taken over all rows.
                let mut inner = self.clone();
                inner.filter = None;
                let filter = inner.resolve(predicate)?;
                self.expect_boolean(&filter, "filter")?;
                let _ = input;
                Err(Error::usage("filter() of an expression stands directly before an aggregate")
                    .with_hint("for example col(\"a\").filter(col(\"b\").gt(0)).sum()"))
            }
            Node::Running(running, args) => self.running(*running, args),
            Node::Over { input, options } => self.over(input, options),
        }
    }

    /// The column of that name.
    pub(super) fn column(&self, name: &str) -> Result<Planned> {
        find_column(self.schema, name)
            .map(Planned::Column)
            .ok_or_else(|| unknown_column(name, visible_names(self.schema)))
    }

    /// Beside aggregates a column that is no key is a list of its values.
    fn column_of_group(&self, column: Planned) -> Result<Planned> {
        match &self.over {
            Over::Group { keys } if !keys.contains(&column) => self.implode(column),
            _ => Ok(column),
        }
    }

    /// Types that can be seen are not computed: a long chain of conditions is asked for its type at every link.
    pub(super) fn type_of(&self, expr: &Planned) -> Result<DataType> {
        match expr {
            Planned::Not(_) => Ok(DataType::Boolean),
            Planned::BinaryExpr(binary) if binary.op.is_logic_operator() => Ok(DataType::Boolean),
            _ => expr.get_type(self.schema).map_err(plan_failure),
        }
    }

    pub(super) fn resolve_all(&self, exprs: &[Expr]) -> Result<Vec<Planned>> {
        exprs.iter().map(|expr| self.resolve(expr)).collect()
    }

    fn cast(&self, input: Planned, to: &DataType, strict: bool) -> Result<Planned> {
        let from = self.type_of(&input)?;
        if from == *to {
            return Ok(input);
        }
        if !arrow::compute::can_cast_types(&from, to) {
            return Err(Error::usage(format!("{} of type {from} cannot be cast to {to}", self.text(&input))));
        }
        // Texts that are nearly dates are trimmed by nobody: "2024-01-15 " is an error, or NULL.
        Ok(if strict { cast(input, to.clone()) } else { try_cast(input, to.clone()) })
    }

    fn case(&self, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Planned> {
        let mut resolved = Vec::with_capacity(branches.len());
        for (condition, value) in branches {
            let condition = self.resolve(condition)?;
            self.expect_boolean(&condition, "when")?;
            resolved.push((Box::new(condition), Box::new(self.resolve(value)?)));
        }
        let otherwise = otherwise.map(|value| self.resolve(value)).transpose()?;
        Ok(Planned::Case(datafusion_expr::expr::Case::new(None, resolved, otherwise.map(Box::new))))
    }

    fn is_in(&self, input: Planned, values: &[Expr]) -> Result<Planned> {
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            let value = self.resolve(value)?;
            // NULL is in no list, as in Polars; in SQL it would make the answer unknown.
            if !matches!(&value, Planned::Literal(value, _) if value.is_null()) {
                list.push(self.fit_to(value, &input, "is_in")?);
            }
        }
        if list.is_empty() {
            let none = ScalarValue::Boolean(Some(false));
            return datafusion_expr::when(input.is_not_null(), lit(none)).end().map_err(plan_failure);
        }
        Ok(input.in_list(list, false))
    }

    fn named(&self, name: &str, args: &[Expr]) -> Result<Planned> {
        let args = self.resolve_all(args)?;
        let lower = name.to_lowercase();
        if let Some(function) = functions().scalar.get(&lower) {
            let call = Planned::ScalarFunction(ScalarFunction::new_udf(function.clone(), args));
            self.type_of(&call)?;
            return Ok(call);
        }
        if let Some(function) = functions().aggregate.get(&lower) {
            return self.aggregate_call(function.clone(), args, false, Vec::new());
        }
        let error = Error::usage(format!("there is no function {name:?}"));
        Err(match closest(&lower, functions().names()) {
            Some(known) => error.with_hint(format!("did you mean {known:?}?")),
            None => error,
        })
    }

    pub(super) fn expect_boolean(&self, expr: &Planned, what: &str) -> Result<()> {
        match self.type_of(expr)? {
            DataType::Boolean | DataType::Null => Ok(()),
            other => Err(Error::usage(format!("{what} wants true or false, not {} of type {other}", self.text(expr)))
                .with_hint("compare it with a value, for example col(\"a\").gt(0)")),
        }
    }

    pub(super) fn expect_number(&self, expr: &Planned, what: &str) -> Result<DataType> {
        let data_type = self.type_of(expr)?;
        if data_type.is_numeric() || data_type.is_null() {
            return Ok(data_type);
        }
        Err(Error::usage(format!("{what} wants a number, not {} of type {data_type}", self.text(expr)))
            .with_hint("convert it with cast(DataType::Float64), or cast_or_null where not every value is a number"))
    }

    pub(super) fn expect_text(&self, expr: &Planned, what: &str) -> Result<()> {
        use DataType::*;
        let data_type = self.type_of(expr)?;
        let is_text = |data_type: &DataType| matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Null);
        match &data_type {
            Dictionary(_, value) if is_text(value) => Ok(()),
            data_type if is_text(data_type) => Ok(()),
            _ => Err(Error::usage(format!("{what} wants a text, not {} of type {data_type}", self.text(expr)))
                .with_hint("convert it with cast(DataType::Utf8)")),
        }
    }

    /// An expression as a person would write it.
    pub(super) fn text(&self, expr: &Planned) -> String {
        match expr {
            Planned::Column(column) => format!("{:?}", column.name),
            Planned::Literal(value, _) => value.to_string(),
            _ => "an expression".to_string(),
        }
    }
}

/// The column of `schema` with that name.
pub(super) fn find_column(schema: &DFSchema, name: &str) -> Option<Column> {
    let idx = schema.fields().iter().position(|field| field.name() == name)?;
    Some(Column::from(schema.qualified_field(idx)))
}

/// Names that are not ours.
pub(super) fn visible_names(schema: &DFSchema) -> impl Iterator<Item = &str> {
    schema.fields().iter().map(|field| field.name().as_str()).filter(|name| !super::rows::is_hidden(name))
}

pub(super) fn unknown_column<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Error {
    const SHOWN: usize = 12;
    let known: Vec<&str> = known.collect();
    let error = Error::usage(format!("column {name:?} not found"));
    if let Some(near) = closest(name, known.iter().copied()) {
        return error.with_hint(format!("did you mean {near:?}?"));
    }
    let more = match known.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let shown = known.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    error.with_hint(format!("there are: {shown}{more}"))
}

/// The library's function of that name.
pub(super) fn scalar(name: &str, args: Vec<Planned>) -> Result<Planned> {
    match functions().scalar.get(name) {
        Some(function) => Ok(of_function(function.clone(), args)),
        None => Err(Error::query(format!("the function {name} is missing from this build"))),
    }
}

fn of_function(function: Arc<ScalarUDF>, args: Vec<Planned>) -> Planned {
    Planned::ScalarFunction(ScalarFunction::new_udf(function, args))
}
