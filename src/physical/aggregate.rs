//! Lowering of GROUP BY and DISTINCT.
//!
//! Keys, arguments and FILTER conditions that are not plain columns are computed by a projection before. Functions with a
//! state of fixed size are ours; all others run through the library's accumulators.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::AggregateFunction as Call;
use datafusion_expr::utils::grouping_set_to_exprlist;
use datafusion_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, cast};

use super::expression::plain_column;
use super::failure::query_failure;
use super::grouping_sets;
use super::known_keys::{WantedKeys, call_cannot_fail, cannot_fail};
use super::library::Library;
use super::lower::{Lowering, Stream, Wishes};
use super::statistics;
use super::table::FileTable;
use super::text::Namer;
use crate::error::{Error, Result};
use crate::exec::{Node, Step};
use crate::io::ColumnStatistics;
use crate::operators::aggregate::{
    Aggregate as AggregateOperator, AggregateCall, AggregateFunction, AggregateOptions, AggregateSpec, is_native,
};
use crate::operators::if_empty::IfEmpty;
use crate::operators::project::Column;

/// The columns an aggregation reads, gathered while its keys and calls are looked at.
pub(super) struct Inputs<'a> {
    pub(super) plan: &'a LogicalPlan,
    pub(super) exprs: Vec<Expr>,
    /// Columns before this one are not shared: with grouping sets the keys are NULLed, while an argument must not be.
    pub(super) shared_from: usize,
}

impl<'a> Inputs<'a> {
    /// Begins with `keys`; returns which columns they are.
    fn with_keys(plan: &'a LogicalPlan, keys: &[Expr], has_sets: bool) -> (Self, Vec<usize>) {
        let mut inputs = Inputs { plan, exprs: vec![], shared_from: 0 };
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            columns.push(inputs.add(key.clone()));
            inputs.shared_from = if has_sets { inputs.exprs.len() } else { 0 };
        }
        (inputs, columns)
    }

    /// The number of the column with `expr`, added if it is new.
    pub(super) fn add(&mut self, expr: Expr) -> usize {
        let expr = unaliased(expr);
        match self.exprs[self.shared_from..].iter().position(|known| *known == expr) {
            Some(idx) => self.shared_from + idx,
            None => {
                self.exprs.push(expr);
                self.exprs.len() - 1
            }
        }
    }

    pub(super) fn type_of(&self, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.plan.schema().as_ref()).map_err(query_failure)
    }

    /// Adds `expr` as a value of `data_type`.
    fn add_as(&mut self, expr: &Expr, data_type: &DataType) -> Result<usize> {
        let same = self.type_of(expr)? == *data_type;
        Ok(self.add(if same { expr.clone() } else { cast(expr.clone(), data_type.clone()) }))
    }

    fn field(&self, expr: &Expr, name: String) -> Result<FieldRef> {
        let field = expr.to_field(self.plan.schema().as_ref()).map_err(query_failure)?.1;
        Ok(Arc::new(Field::clone(&field).with_name(name)))
    }
}

pub(super) fn unaliased(expr: Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => unaliased(*alias.expr),
        other => other,
    }
}

impl Lowering<'_> {
    /// DISTINCT is an aggregation by all columns without calls.
    pub(super) fn lower_distinct(&mut self, input: &LogicalPlan, wishes: &Wishes) -> Result<Stream> {
        let schema = input.schema().inner().clone();
        let n_columns = schema.fields().len();
        let stream = self.lower_plan(
            input,
            &Wishes { dictionary: vec![true; n_columns], in_order: false, keys: wishes.keys.clone() },
        )?;
        let spec = AggregateSpec {
            input: stream.schema.clone(),
            keys: (0..n_columns).collect(),
            calls: vec![],
            output: schema,
        };
        let known = (0..n_columns).map(|idx| statistics::of_column(idx, input)).collect();
        let names = spec.output.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        self.aggregate_stream(stream, "Distinct", names, spec, known)
    }

    pub(super) fn lower_aggregate(&mut self, aggregate: &Aggregate, wishes: &Wishes) -> Result<Stream> {
        if let Some((n_rows, table)) = count_from_metadata(aggregate) {
            let schema = aggregate.schema.inner().clone();
            let count: ArrayRef = Arc::new(Int64Array::from(vec![n_rows]));
            let row = RecordBatch::try_new(schema.clone(), vec![count; schema.fields().len()])?;
            return Ok(self.values(row, format!("count(*) from the metadata of {table}")));
        }
        let keys: Vec<Expr> =
            grouping_set_to_exprlist(&aggregate.group_expr).map_err(query_failure)?.into_iter().cloned().collect();
        let output = aggregate.schema.inner().clone();
        let sets = grouping_sets::sets(&aggregate.group_expr, &keys, &output)?;
        let without_rows = sets.as_deref().map(|sets| grouping_sets::rows_over_none(sets, aggregate)).transpose()?;
        let (mut inputs, key_columns) = Inputs::with_keys(&aggregate.input, &keys, sets.is_some());
        let governed_bytes = self.cx.memory.governed_bytes();
        if super::holistic::is_needed(aggregate) && !super::holistic::fits_in_memory(aggregate, governed_bytes) {
            let stream = self.lower_holistic(aggregate, &keys, sets, inputs, key_columns)?;
            return Ok(unless_empty(stream, without_rows.flatten(), output));
        }
        let n_keys = output.fields().len() - aggregate.aggr_expr.len();
        let mut calls = Vec::new();
        for (expr, field) in aggregate.aggr_expr.iter().zip(&output.fields()[n_keys..]) {
            calls.push(lower_call(expr, field, &mut inputs)?);
        }
        let known = |key: &Expr| statistics::of_expression(key, &aggregate.input);
        let mut known: Vec<Option<ColumnStatistics>> = keys.iter().map(known).collect();
        let detail = describe(aggregate, &keys, &self.namer);
        let name = if calls.is_empty() && sets.is_none() { "Distinct" } else { "Aggregate" };

        let wanted = wishes.keys_through(|idx| match &sets {
            None => plain_column(keys.get(idx)?, aggregate.input.schema().as_ref()),
            Some(_) => None,
        });
        let schema = aggregate.input.schema();
        let is_total = keys.iter().all(|key| cannot_fail(key, schema))
            && aggregate.aggr_expr.iter().all(|call| call_cannot_fail(call, schema));
        let wanted = if is_total { wanted } else { vec![] };
        let (mut stream, columns) = self.lower_inputs(&inputs, &key_columns, sets.is_some(), wanted)?;
        let mut keys: Vec<usize> = key_columns.iter().map(|&idx| columns[idx]).collect();
        let mut shift = 0;
        if let Some(sets) = sets {
            // Expanding puts the grouping id right after the keys, which come first then.
            stream = self.expand(stream, sets, &output, keys.len());
            known.iter_mut().flatten().for_each(|statistics| statistics.n_nulls = None);
            known.push(None);
            shift = 1;
            keys = (0..n_keys).collect();
        }
        let place = |idx: usize| columns[idx] + if columns[idx] + shift < n_keys { 0 } else { shift };
        for call in &mut calls {
            call.args.iter_mut().chain(&mut call.filter).for_each(|idx| *idx = place(*idx));
        }
        let spec = AggregateSpec { input: stream.schema.clone(), keys, calls, output: output.clone() };
        let stream = self.aggregate_stream(stream, name, detail, spec, known)?;
        Ok(unless_empty(stream, without_rows.flatten(), output))
    }

    /// Lowers the input and computes what is not there yet. Returns where each of `inputs` is. With `keys_first` the
    /// columns are exactly `inputs`, in order.
    pub(super) fn lower_inputs(
        &mut self,
        inputs: &Inputs<'_>,
        keys: &[usize],
        keys_first: bool,
        wanted: Vec<WantedKeys>,
    ) -> Result<(Stream, Vec<usize>)> {
        let schema = inputs.plan.schema();
        let n_columns = schema.fields().len();
        let columns =
            inputs.exprs.iter().map(|expr| self.compile_column(expr, inputs.plan)).collect::<Result<Vec<_>>>()?;
        let mut wishes = Wishes { keys: wanted, ..Wishes::none(n_columns) };
        for &key in keys {
            if let Column::Input(idx) = columns[key] {
                // An argument or condition over the key reads its values, not its codes.
                let read_otherwise = inputs.exprs.iter().enumerate().any(|(other, expr)| {
                    let refers = || expr.column_refs().iter().any(|c| schema.maybe_index_of_column(c) == Some(idx));
                    !keys.contains(&other) && refers()
                });
                wishes.dictionary[idx] = !read_otherwise;
            }
        }
        let stream = self.lower_plan(inputs.plan, &wishes)?;
        let plain: Option<Vec<usize>> = inputs.exprs.iter().map(|expr| plain_column(expr, schema.as_ref())).collect();
        if let Some(plain) = plain.filter(|_| !keys_first) {
            return Ok((stream, plain));
        }
        let fields = inputs.exprs.iter().map(|expr| inputs.field(expr, self.namer.text(expr)));
        let fields = fields.collect::<Result<Vec<_>>>()?;
        let detail = self.namer.list(&inputs.exprs);
        let n_inputs = columns.len();
        let stream = self.project(stream, columns, Arc::new(Schema::new(fields)), detail);
        Ok((stream, (0..n_inputs).collect()))
    }

    pub(super) fn expand(
        &mut self,
        stream: Stream,
        sets: Vec<crate::operators::expand::Set>,
        output: &SchemaRef,
        n_keys: usize,
    ) -> Stream {
        let mut fields: Vec<FieldRef> = stream.schema.fields().iter().cloned().collect();
        for field in &mut fields[..n_keys] {
            *field = Arc::new(Field::clone(field).with_nullable(true));
        }
        fields.insert(n_keys, output.fields()[n_keys].clone());
        let schema = Arc::new(Schema::new(fields));
        let detail = format!("{} grouping sets", sets.len());
        let node = self.add_step_node("Expand", detail, &stream);
        stream.then(node, Arc::new(crate::operators::expand::Expand::new(sets, schema.clone())), schema)
    }

    pub(super) fn aggregate_stream(
        &mut self,
        stream: Stream,
        name: &'static str,
        detail: String,
        spec: AggregateSpec,
        key_statistics: Vec<Option<ColumnStatistics>>,
    ) -> Result<Stream> {
        let schema = spec.output.clone();

        let options = AggregateOptions { key_statistics };
        let aggregate = AggregateOperator::new(spec, options, self.cx)?;
        let inputs = vec![stream.top()];
        let node = self.add_node(Node { name, detail, inputs, report: Some(aggregate.clone()) });
        self.close(stream, node, aggregate.sink());
        Ok(Stream::new(Step { node, role: aggregate.source() }, schema, false))
    }
}

/// The groups of `stream`, or `without_rows` when there are none: grouping sets have a group of all rows even then.
fn unless_empty(stream: Stream, without_rows: Option<RecordBatch>, output: SchemaRef) -> Stream {
    match without_rows {
        Some(rows) => {
            let node = stream.top();
            stream.then(node, Arc::new(IfEmpty::new(rows)), output)
        }
        None => stream,
    }
}

/// The number of rows of a whole table, when that is all that is asked for and its files say it.
fn count_from_metadata(aggregate: &Aggregate) -> Option<(i64, String)> {
    let is_count = |expr: &Expr| match expr {
        Expr::AggregateFunction(Call { func, params }) => {
            let rows = matches!(params.args.as_slice(), [] | [Expr::Literal(..)]);
            let of_null = params.args.iter().any(|arg| constant(arg).is_some_and(ScalarValue::is_null));
            func.name() == "count" && rows && !of_null && !params.distinct && params.filter.is_none()
        }
        _ => false,
    };
    let LogicalPlan::TableScan(scan) = aggregate.input.as_ref() else { return None };
    if !aggregate.group_expr.is_empty() || !scan.filters.is_empty() || !aggregate.aggr_expr.iter().all(is_count) {
        return None;
    }
    let table = scan.source.downcast_ref::<FileTable>()?;
    let n_rows = i64::try_from(table.statistics().n_rows?).ok()?;
    Some((n_rows, table.table().describe()))
}

pub(super) fn describe(aggregate: &Aggregate, keys: &[Expr], namer: &Namer) -> String {
    let keys = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(_)] => namer.list(&aggregate.group_expr),
        _ => namer.list(keys),
    };
    let calls = namer.list(&aggregate.aggr_expr);
    match (keys.is_empty(), calls.is_empty()) {
        (true, _) => calls,
        (false, true) => keys,
        (false, false) => format!("{calls} by {keys}"),
    }
}

pub(super) fn lower_call(expr: &Expr, output: &FieldRef, inputs: &mut Inputs<'_>) -> Result<AggregateCall> {
    let Expr::AggregateFunction(call) = unaliased(expr.clone()) else {
        return Err(Error::query(format!("{expr} is not an aggregate")));
    };
    let filter = call.params.filter.as_ref().map(|filter| inputs.add(filter.as_ref().clone()));
    let (function, args) = match native(&call, output.data_type(), inputs)? {
        Some(native) => native,
        None => library(&call, inputs)?,
    };
    Ok(AggregateCall { function, args, filter, output: output.clone() })
}

/// The function of ours that computes `call`, and its arguments.
fn native(call: &Call, output: &DataType, inputs: &mut Inputs<'_>) -> Result<Option<(AggregateFunction, Vec<usize>)>> {
    use AggregateFunction::*;
    let params = &call.params;
    let name = call.func.name();
    let same_with_distinct = matches!(name, "min" | "max" | "bool_and" | "bool_or");
    if (params.distinct && !same_with_distinct) || !params.order_by.is_empty() {
        return Ok(None);
    }
    let args = params.args.as_slice();
    let types = args.iter().map(|arg| inputs.type_of(arg)).collect::<Result<Vec<_>>>()?;
    let decimal = matches!(types.as_slice(), [DataType::Decimal128(..)]);
    let function = match (name, args) {
        ("count", []) => CountStar,
        ("count", [Expr::Literal(value, _)]) if !value.is_null() => CountStar,
        ("count", [_]) => Count,
        ("sum", [_]) => Sum,
        ("avg", [_]) => Avg,
        ("min", [_]) => Min,
        ("max", [_]) => Max,
        ("var", [_]) => Var { sample: true },
        ("var_pop", [_]) => Var { sample: false },
        ("stddev", [_]) => StdDev { sample: true },
        ("stddev_pop", [_]) => StdDev { sample: false },
        ("covar_samp", [_, _]) => Covar { sample: true },
        ("covar_pop", [_, _]) => Covar { sample: false },
        ("corr", [_, _]) => Corr,
        ("bool_and", [_]) => BoolAnd,
        ("bool_or", [_]) => BoolOr,
        _ => return Ok(None),
    };
    let wanted: Vec<DataType> = match function {
        CountStar => vec![],
        Sum if !decimal && types[0].is_numeric() => vec![output.clone()],
        Avg if !decimal && types[0].is_numeric() => vec![DataType::Float64],
        Var { .. } | StdDev { .. } | Covar { .. } | Corr => vec![DataType::Float64; types.len()],
        _ => types,
    };
    if !is_native(&function, &wanted, output) {
        return Ok(None);
    }
    let args = args.iter().zip(&wanted).map(|(arg, data_type)| inputs.add_as(arg, data_type));
    Ok(Some((function, args.collect::<Result<_>>()?)))
}

/// The call through the library's accumulators. Constant arguments are not columns.
fn library(call: &Call, inputs: &mut Inputs<'_>) -> Result<(AggregateFunction, Vec<usize>)> {
    let sorted = call.params.order_by.iter().map(|key| &key.expr);
    let column_exprs: Vec<&Expr> =
        call.params.args.iter().filter(|arg| constant(arg).is_none()).chain(sorted).collect();
    let args = column_exprs.iter().map(|expr| inputs.add((*expr).clone())).collect();
    let library = Library::new(call, inputs.plan.schema())?;
    Ok((AggregateFunction::Library(Arc::new(library)), args))
}

/// The value of a constant argument.
pub(super) fn constant(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => constant(&alias.expr),
        _ => None,
    }
}
