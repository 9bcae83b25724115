//! Functions of a row and the rows around it, and the rows that an expression is taken over.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{Sort, WindowFunction};
use datafusion_expr::{
    Expr as Planned, Operator, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition, binary_expr,
    cast, lit,
};

use super::{Over, Resolver};
use crate::error::{Error, Result};
use crate::frame::expr::{Expr, OverOptions, RankMethod, Running};
use crate::sql::functions;

impl Resolver<'_> {
    /// `input` over the rows that `options` says.
    pub(super) fn over(&self, input: &Expr, options: &OverOptions) -> Result<Planned> {
        if matches!(self.over, Over::Group { .. }) {
            return Err(Error::usage("over() cannot stand inside agg(): the rows are grouped already")
                .with_hint("use it in with_columns before group_by, or group by these columns, too"));
        }
        let partition = self.resolve_all(&options.partition)?;
        let mut order = Vec::with_capacity(options.order.len());
        for (expr, sort) in &options.order {
            order.push(Sort::new(self.resolve(expr)?, !sort.descending, !sort.nulls_last));
        }
        if partition.is_empty() && order.is_empty() {
            return Err(Error::usage("over() of nothing").with_hint("name the columns that make a group"));
        }
        Resolver { over: Over::Rows { partition, order }, ..self.clone() }.resolve(input)
    }

    pub(super) fn running(&self, running: Running, args: &[Expr]) -> Result<Planned> {
        let Over::Rows { partition, order } = &self.over else {
            return Err(Error::usage("a function of neighbouring rows has a value for every row of a group")
                .with_hint("put an aggregate around it, for example .diff(1).mean(), or use with_columns and over()"));
        };
        let args = self.resolve_all(args)?;
        let by_rows = self.order_of_rows(order);
        let window = Window { partition: partition.clone(), order: by_rows };
        match (running, args.as_slice()) {
            (Running::RowNumber, _) => Ok(cast(window.function("row_number", vec![])?, DataType::Int64)),
            (Running::Shift(n), [input]) => window.shift(input, n),
            (Running::Diff(n), [input]) => {
                let data_type = self.type_of(input)?;
                let input = match data_type.is_unsigned_integer() {
                    true => cast(input.clone(), DataType::Int64),
                    false => input.clone(),
                };
                let before = window.shift(&input, n)?;
                Ok(binary_expr(input, Operator::Minus, before))
            }
            (Running::CumSum, [input]) => {
                let number = match self.type_of(input)? {
                    DataType::Boolean => cast(input.clone(), DataType::Int64),
                    _ => {
                        self.expect_number(input, "cum_sum")?;
                        input.clone()
                    }
                };
                Self::unless_null(input.clone(), window.so_far("sum", vec![number])?)
            }
            (Running::CumCount, [input]) => window.so_far("count", vec![input.clone()]),
            (Running::CumMin, [input]) => Self::unless_null(input.clone(), window.so_far("min", vec![input.clone()])?),
            (Running::CumMax, [input]) => {
                Self::unless_null(input.clone(), self.greatest(input, |args| window.so_far("max", args))?)
            }
            (Running::Rank { method, descending }, [input]) => {
                let rank = self.rank(input, partition, &window.order, method, descending)?;
                Self::unless_null(input.clone(), rank)
            }
            _ => Err(Error::usage("a function of neighbouring rows wants one column")),
        }
    }

    fn rank(
        &self,
        input: &Planned,
        partition: &[Planned],
        rows: &[Sort],
        method: RankMethod,
        descending: bool,
    ) -> Result<Planned> {
        let order = vec![Sort::new(input.clone(), !descending, false)];
        let by_value = Window { partition: partition.to_vec(), order: order.clone() };
        let first = || -> Result<Planned> { Ok(cast(by_value.function("rank", vec![])?, DataType::Int64)) };
        let mut peers = Window { partition: partition.to_vec(), order: Vec::new() };
        peers.partition.push(input.clone());
        let others = || -> Result<Planned> {
            Ok(binary_expr(peers.aggregate("count", vec![lit(1i64)])?, Operator::Minus, lit(1i64)))
        };
        Ok(match method {
            RankMethod::Min => first()?,
            RankMethod::Dense => cast(by_value.function("dense_rank", vec![])?, DataType::Int64),
            RankMethod::Ordinal => {
                let mut order = order;
                order.extend(rows.iter().cloned());
                let in_order = Window { partition: partition.to_vec(), order };
                cast(in_order.function("row_number", vec![])?, DataType::Int64)
            }
            RankMethod::Max => binary_expr(first()?, Operator::Plus, others()?),
            RankMethod::Average => {
                let half = binary_expr(cast(others()?, DataType::Float64), Operator::Divide, lit(2.0));
                binary_expr(cast(first()?, DataType::Float64), Operator::Plus, half)
            }
        })
    }
}

/// Partition and order of a window.
struct Window {
    partition: Vec<Planned>,
    order: Vec<Sort>,
}

impl Window {
    fn call(&self, function: WindowFunctionDefinition, args: Vec<Planned>, frame: WindowFrame) -> Planned {
        let mut call = WindowFunction::new(function, args);
        call.params.partition_by = self.partition.clone();
        call.params.order_by = self.order.clone();
        call.params.window_frame = frame;
        Planned::WindowFunction(Box::new(call))
    }

    fn function(&self, name: &str, args: Vec<Planned>) -> Result<Planned> {
        let function = functions().window.get(name).cloned();
        let function =
            function.ok_or_else(|| Error::query(format!("the function {name} is missing from this build")))?;
        Ok(self.call(WindowFunctionDefinition::WindowUDF(function), args, WindowFrame::new(None)))
    }

    fn aggregate_with(&self, name: &str, args: Vec<Planned>, frame: WindowFrame) -> Result<Planned> {
        let function = functions().aggregate.get(name).cloned();
        let function =
            function.ok_or_else(|| Error::query(format!("the function {name} is missing from this build")))?;
        Ok(self.call(WindowFunctionDefinition::AggregateUDF(function), args, frame))
    }

    /// Over all rows of the partition.
    fn aggregate(&self, name: &str, args: Vec<Planned>) -> Result<Planned> {
        self.aggregate_with(name, args, WindowFrame::new(None))
    }

    /// Over the rows up to this one.
    fn so_far(&self, name: &str, args: Vec<Planned>) -> Result<Planned> {
        let start = WindowFrameBound::Preceding(ScalarValue::UInt64(None));
        let frame = WindowFrame::new_bounds(WindowFrameUnits::Rows, start, WindowFrameBound::CurrentRow);
        self.aggregate_with(name, args, frame)
    }

    fn shift(&self, input: &Planned, n: i64) -> Result<Planned> {
        let name = if n < 0 { "lead" } else { "lag" };
        let by = i64::try_from(n.unsigned_abs()).unwrap_or(i64::MAX);
        self.function(name, vec![input.clone(), lit(by)])
    }
}
