//! Aggregates, as Polars means them: of the rows of a group, or as a window over rows.
//!
//! Some are made of several: `n_unique` counts NULL as a value and SQL does not, the sum of nothing is 0 and not NULL.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{AggregateFunction, Sort, WindowFunction};
use datafusion_expr::{AggregateUDF, Expr as Planned, Operator, WindowFrame, binary_expr, cast, lit, when};

use super::functions::take;
use super::{Over, Resolver, scalar};
use crate::error::{Error, Result};
use crate::frame::expr::{Aggregate, DATETIME, Expr, Node, QuantileMethod};
use crate::sql::{functions, plan_failure};

impl Resolver<'_> {
    pub(super) fn aggregate(&self, aggregate: Aggregate, args: &[Expr]) -> Result<Planned> {
        let mut within = self.for_arguments();
        let mut resolved = Vec::with_capacity(args.len());
        for arg in args {
            let arg = without_names(arg);
            match arg.node.as_ref() {
                Node::Filtered(input, predicate) => {
                    let filter = within.resolve(predicate)?;
                    within.expect_boolean(&filter, "filter")?;
                    within.filter = Some(match within.filter.take() {
                        Some(before) => before.and(filter),
                        None => filter,
                    });
                    let mut plain = within.clone();
                    plain.filter = None;
                    resolved.push(plain.resolve(input)?);
                }
                _ => resolved.push(within.resolve(arg)?),
            }
        }
        // Conditions are kept; the rows are again those of the aggregate itself.
        let outer = Resolver { filter: within.filter.clone(), ..self.clone() };
        outer.plan_aggregate(aggregate, resolved)
    }

    /// All values of a column as a list.
    pub(super) fn implode(&self, column: Planned) -> Result<Planned> {
        self.ordered("array_agg", vec![column])
    }

    /// What stands inside an aggregate: functions of neighbours look at the rows of the group.
    fn for_arguments(&self) -> Self {
        let over = match &self.over {
            Over::Group { keys } => Over::Rows { partition: keys.clone(), order: Vec::new() },
            rows => rows.clone(),
        };
        Resolver { over, ..self.clone() }
    }

    fn plan_aggregate(&self, aggregate: Aggregate, args: Vec<Planned>) -> Result<Planned> {
        use Aggregate::*;
        match (aggregate, args.as_slice()) {
            (Rows, _) | (Len, [_]) => self.count_rows(),
            (Count, [_]) => self.simple("count", args),
            (NullCount, [_]) => Ok(binary_expr(self.count_rows()?, Operator::Minus, self.simple("count", args)?)),
            (Sum, [input]) => self.sum(input),
            (Mean, [input]) => self.mean(input),
            (Min, [_]) => self.simple("min", args),
            (Max, [input]) => self.greatest(input, |args| self.simple("max", args)),
            (Median, [input]) => self.of_ticks(input, |input| {
                let input = self.float(input, "median")?;
                self.simple("median", vec![input])
            }),
            (Quantile(at, QuantileMethod::Discrete), [input]) => self.quantile(input, at, QuantileMethod::Discrete),
            (Quantile(at, method), [input]) => self.of_ticks(input, |input| self.quantile(input, at, method)),
            (Std(ddof), [input]) => self.spread(input, ["stddev_pop", "stddev"], ddof),
            (Var(ddof), [input]) => self.spread(input, ["var_pop", "var"], ddof),
            (NUnique, [input]) => self.n_unique(input),
            (First, [input]) => self.end("first_value", input),
            (Last, [input]) => self.end("last_value", input),
            (Corr, [_, _]) => {
                let [one, other] = take(args)?;
                let args = vec![self.float(&one, "corr")?, self.float(&other, "corr")?];
                self.simple("corr", args)
            }
            (Mode, [_]) => self.simple("mode", args),
            (All, [input]) => self.flags("bool_and", input, true),
            (Any, [input]) => self.flags("bool_or", input, false),
            (Implode, [_]) => self.ordered("array_agg", args),
            _ => Err(Error::usage(format!("{aggregate:?} has the wrong number of arguments"))),
        }
    }

    /// What `max` gives of `input`, whose NaNs count only when there is nothing else. NaN is the greatest number in SQL, so
    /// that a minimum needs no such care.
    pub(super) fn greatest(&self, input: &Planned, max: impl Fn(Vec<Planned>) -> Result<Planned>) -> Result<Planned> {
        let of_all = max(vec![input.clone()])?;
        if !self.type_of(input)?.is_floating() {
            return Ok(of_all);
        }
        let is_number = datafusion_expr::not(scalar("isnan", vec![input.clone()])?);
        let numbers = when(is_number, input.clone()).end().map_err(plan_failure)?;
        scalar("coalesce", vec![max(vec![numbers])?, of_all])
    }

    fn count_rows(&self) -> Result<Planned> {
        self.simple("count", vec![lit(1i64)])
    }

    fn sum(&self, input: &Planned) -> Result<Planned> {
        let is_duration = matches!(self.type_of(input)?, DataType::Duration(_));
        let input = if is_duration { input.clone() } else { self.number_or_flag(input, "sum")? };
        let sum = self.simple("sum", vec![input])?;
        let zero = ScalarValue::new_zero(&self.type_of(&sum)?).map_err(plan_failure)?;
        scalar("coalesce", vec![sum, lit(zero)])
    }

    /// The mean of decimals is a float, from their exact sum.
    fn mean(&self, input: &Planned) -> Result<Planned> {
        if self.type_of(input)?.is_decimal() {
            let sum = cast(self.simple("sum", vec![input.clone()])?, DataType::Float64);
            let count = cast(self.simple("count", vec![input.clone()])?, DataType::Float64);
            let has_any = count.clone().gt(lit(0.0));
            let mean = binary_expr(sum, Operator::Divide, count);
            return when(has_any, mean).end().map_err(plan_failure);
        }
        self.of_ticks(input, |input| {
            let input =
                if self.type_of(input)?.is_decimal() { input.clone() } else { self.number_or_flag(input, "mean")? };
            self.simple("avg", vec![input])
        })
    }

    /// `what` of dates, times and durations is taken of their ticks, as decimals: exactly. That of dates is a datetime.
    fn of_ticks(&self, input: &Planned, what: impl Fn(&Planned) -> Result<Planned>) -> Result<Planned> {
        let data_type = self.type_of(input)?;
        let to = match &data_type {
            DataType::Date32 | DataType::Date64 => DATETIME,
            DataType::Timestamp(..) | DataType::Duration(_) | DataType::Time64(_) => data_type.clone(),
            _ => return what(input),
        };
        let ticks = cast(cast(input.clone(), to.clone()), DataType::Int64);
        let of_ticks = what(&cast(ticks, DataType::Decimal128(19, 0)))?;
        Ok(cast(cast(of_ticks, DataType::Int64), to))
    }

    /// A number; true is 1 and false 0.
    fn number_or_flag(&self, input: &Planned, what: &str) -> Result<Planned> {
        if self.type_of(input)? == DataType::Boolean {
            return Ok(cast(input.clone(), DataType::Int64));
        }
        self.expect_number(input, what)?;
        Ok(input.clone())
    }

    fn float(&self, input: &Planned, what: &str) -> Result<Planned> {
        let input = self.number_or_flag(input, what)?;
        let data_type = self.type_of(&input)?;
        // Ticks are exact as they are.
        let is_ready = data_type.is_floating() || data_type == DataType::Decimal128(19, 0);
        if is_ready { Ok(input) } else { self.as_type(input, &DataType::Float64) }
    }

    fn quantile(&self, input: &Planned, at: f64, method: QuantileMethod) -> Result<Planned> {
        if !(0.0..=1.0).contains(&at) {
            return Err(Error::usage(format!("{at} is not a quantile")).with_hint("from 0 to 1; 0.5 is the median"));
        }
        let (name, input) = match method {
            QuantileMethod::Linear => ("percentile_cont", self.float(input, "quantile")?),
            QuantileMethod::Nearest => ("percentile_nearest", self.float(input, "quantile")?),
            QuantileMethod::Lower => ("percentile_lower", self.float(input, "quantile")?),
            QuantileMethod::Higher => ("percentile_higher", self.float(input, "quantile")?),
            QuantileMethod::Midpoint => ("percentile_midpoint", self.float(input, "quantile")?),
            QuantileMethod::Discrete => ("percentile_disc", input.clone()),
        };
        let order = vec![Sort::new(input.clone(), true, false)];
        self.aggregate_call(aggregate_function(name)?, vec![input, lit(at)], false, order)
    }

    fn spread(&self, input: &Planned, names: [&str; 2], ddof: u8) -> Result<Planned> {
        let input = self.float(input, "std and var")?;
        if let Some(name) = names.get(usize::from(ddof)) {
            return self.simple(name, vec![input]);
        }
        let count = cast(self.simple("count", vec![input.clone()])?, DataType::Float64);
        let of_population = self.simple("var_pop", vec![input])?;
        let less = binary_expr(count.clone(), Operator::Minus, lit(f64::from(ddof)));
        let variance =
            binary_expr(binary_expr(of_population, Operator::Multiply, count), Operator::Divide, less.clone());
        let spread = if names[1] == "stddev" { scalar("sqrt", vec![variance])? } else { variance };
        when(less.gt(lit(0.0)), spread).end().map_err(plan_failure)
    }

    fn n_unique(&self, input: &Planned) -> Result<Planned> {
        let function = aggregate_function("count")?;
        let distinct = self.aggregate_call(function, vec![input.clone()], true, Vec::new())?;
        let has_null = self.count_rows()?.gt(self.simple("count", vec![input.clone()])?);
        let of_null = when(has_null, lit(1i64)).otherwise(lit(0i64)).map_err(plan_failure)?;
        Ok(binary_expr(distinct, Operator::Plus, of_null))
    }

    fn flags(&self, name: &str, input: &Planned, of_nothing: bool) -> Result<Planned> {
        self.expect_boolean(input, if of_nothing { "all" } else { "any" })?;
        scalar("coalesce", vec![self.simple(name, vec![input.clone()])?, lit(of_nothing)])
    }

    /// The value at one end of the rows.
    fn end(&self, name: &str, input: &Planned) -> Result<Planned> {
        if let Over::Rows { partition, order } = &self.over {
            let function = functions().window.get(name).cloned();
            let function = function.ok_or_else(|| Error::query(format!("the function {name} is missing")))?;
            let input = match &self.filter {
                Some(_) => return Err(Error::usage("first and last of filtered rows stand in group_by only")),
                None => input.clone(),
            };
            let mut call = WindowFunction::new(function, vec![input]);
            call.params.partition_by = partition.clone();
            call.params.order_by = self.order_of_rows(order);
            call.params.window_frame = WindowFrame::new(None);
            return Ok(Planned::WindowFunction(Box::new(call)));
        }
        self.ordered(name, vec![input.clone()])
    }

    /// An aggregate that sees its rows in their order.
    fn ordered(&self, name: &str, args: Vec<Planned>) -> Result<Planned> {
        let order = self.order_of_rows(&[]);
        self.aggregate_call(aggregate_function(name)?, args, false, order)
    }

    /// `order`, or else that of the rows where the plan does not have it.
    pub(super) fn order_of_rows(&self, order: &[Sort]) -> Vec<Sort> {
        match &self.row_order {
            Some(row) if order.is_empty() => vec![Sort::new(row.clone(), true, false)],
            _ => order.to_vec(),
        }
    }

    fn simple(&self, name: &str, args: Vec<Planned>) -> Result<Planned> {
        self.aggregate_call(aggregate_function(name)?, args, false, Vec::new())
    }

    pub(super) fn aggregate_call(
        &self,
        function: Arc<AggregateUDF>,
        args: Vec<Planned>,
        distinct: bool,
        order: Vec<Sort>,
    ) -> Result<Planned> {
        let filter = self.filter.clone().map(Box::new);
        let planned = match &self.over {
            Over::Group { .. } => {
                Planned::AggregateFunction(AggregateFunction::new_udf(function, args, distinct, filter, order, None))
            }
            Over::Rows { partition, .. } => {
                let mut call = WindowFunction::new(function, args);
                call.params.partition_by = partition.clone();
                call.params.window_frame = WindowFrame::new(None);
                call.params.filter = filter;
                call.params.distinct = distinct;
                Planned::WindowFunction(Box::new(call))
            }
        };
        self.type_of(&planned)?;
        Ok(planned)
    }
}

fn aggregate_function(name: &str) -> Result<Arc<AggregateUDF>> {
    let function = functions().aggregate.get(name).cloned();
    function.ok_or_else(|| Error::query(format!("the function {name} is missing from this build")))
}

/// Names inside of an aggregate mean nothing.
fn without_names(expr: &Expr) -> &Expr {
    match expr.node.as_ref() {
        Node::Alias(input, _) | Node::Affix { input, .. } => without_names(input),
        _ => expr,
    }
}
