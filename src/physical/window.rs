//! Lowering of window functions: for every PARTITION BY and ORDER BY a sort and a window over it.
//!
//! Windows directly on top of one another are looked at together: those with the same partitions share a sort when the
//! order of one begins with that of the other. Keys and arguments that are not plain columns are computed by a projection
//! before; what was added is dropped by one after.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::{AggregateFunction as AggregateCall, NullTreatment, WindowFunction as Call};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Window, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion_expr::{WindowFunctionDefinition, cast, lit, when};

use super::aggregate::constant;
use super::expression::plain_column;
use super::failure::query_failure;
use super::library::Library;
use super::lower::{Lowering, Stream, Wishes};
use super::window_frame::FrameLowering;
use super::window_library::SlidingLibrary;
use crate::error::{Error, Result};
use crate::exec::{Node, Step};
use crate::operators::project::Column;
use crate::operators::sort::{GroupLimit, Sort as SortOperator, SortKey, SortSpec};
use crate::operators::window::{
    Bound, FoldFunction, Frame, Unit, Window as WindowOperator, WindowCall, WindowFunction, WindowSpec, is_foldable,
};

/// The columns that windows read: those of the input, then computed ones.
struct Inputs<'a> {
    schema: &'a DFSchema,
    computed: Vec<Expr>,
}

impl Inputs<'_> {
    /// The number of the column with `expr`, added if it is new.
    fn add(&mut self, expr: &Expr) -> usize {
        let n_columns = self.schema.fields().len();
        if let Some(idx) = plain_column(expr, self.schema) {
            return idx;
        }
        let expr = unaliased(expr);
        match self.computed.iter().position(|known| known == expr) {
            Some(idx) => n_columns + idx,
            None => {
                self.computed.push(expr.clone());
                n_columns + self.computed.len() - 1
            }
        }
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.schema).map_err(query_failure)
    }

    /// Adds `expr` as a value of `data_type`, for rows where `filter` holds.
    fn add_as(&mut self, expr: &Expr, data_type: &DataType, filter: Option<&Expr>) -> Result<usize> {
        let same = self.type_of(expr)? == *data_type;
        let expr = if same { expr.clone() } else { cast(expr.clone(), data_type.clone()) };
        Ok(match filter {
            None => self.add(&expr),
            Some(filter) => self.add(&when(filter.clone(), expr).end().map_err(query_failure)?),
        })
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// Windows that share a sort.
struct Shared {
    partition: Vec<usize>,
    order: Vec<SortKey>,
    frames: Vec<Frame>,
    calls: Vec<WindowCall>,
    /// The number of each call among all.
    numbers: Vec<usize>,
    /// The rows of each partition that are wanted, if not all.
    limit: Option<GroupLimit>,
    /// How it is shown.
    by: String,
    names: Vec<String>,
}

impl Shared {
    /// Whether the results of a row depend on nothing that comes after it.
    fn looks_back_only(&self) -> bool {
        self.calls.iter().all(|call| {
            let frame = &self.frames[call.frame];
            match call.function {
                WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => true,
                WindowFunction::PercentRank | WindowFunction::CumeDist | WindowFunction::Ntile(_) => false,
                WindowFunction::Shift { by, .. } => by <= 0,
                _ => frame.unit == Unit::Rows && matches!(frame.end, Bound::Offset(..=0)),
            }
        })
    }

    /// Whether rows of equal rank are equal in the whole order, which may be longer than that of `rank()`.
    fn ties_are_peers(&self) -> bool {
        let ranks = self.calls.iter().filter(|call| matches!(call.function, WindowFunction::Rank));
        ranks.map(|call| &self.frames[call.frame]).all(|frame| frame.n_order == self.order.len())
    }
}

/// A call that is being lowered.
struct Pending<'a> {
    call: &'a Call,
    output: FieldRef,
    number: usize,
    partition: Vec<usize>,
    order: Vec<SortKey>,
}

impl Lowering<'_> {
    /// Lowers `window` for a reader that wants only the first rows of each partition, if there is a `limit`.
    pub(super) fn lower_window(&mut self, window: &Window, limit: Option<GroupLimit>) -> Result<Stream> {
        let (levels, base) = stacked(window);
        let schema = base.schema();
        let mut inputs = Inputs { schema, computed: Vec::new() };
        let mut pending = Vec::new();
        for window in levels {
            let n_inputs = window.schema.fields().len() - window.window_expr.len();
            for (expr, output) in window.window_expr.iter().zip(&window.schema.fields()[n_inputs..]) {
                let Expr::WindowFunction(call) = unaliased(expr) else {
                    return Err(Error::query(format!("{expr} is not a window function")));
                };
                let (partition, order) = keys_of(call, &mut inputs);
                pending.push(Pending { call, output: output.clone(), number: pending.len(), partition, order });
            }
        }
        let n_calls = pending.len();
        // The longest order of a partition comes first, so that the others find it.
        pending.sort_by_key(|pending| std::cmp::Reverse(pending.order.len()));
        let mut shared: Vec<Shared> = Vec::new();
        for pending in pending {
            self.lower_window_call(pending, &mut inputs, &mut shared)?;
        }
        let needs_column = schema.fields().is_empty() && inputs.computed.is_empty();
        if needs_column {
            inputs.computed.push(lit(true));
        }
        if let [only] = shared.as_mut_slice() {
            only.limit = limit.filter(|limit| only.looks_back_only() && (!limit.with_ties || only.ties_are_peers()));
        }
        let stream = self.lower_plan(base, &Wishes::none(schema.fields().len()))?;
        let stream = self.project_inputs(stream, &inputs, base)?;
        self.run_windows(stream, shared, n_calls, schema.fields().len(), window.schema.inner().clone())
    }

    /// Adds the columns that are computed.
    fn project_inputs(&mut self, stream: Stream, inputs: &Inputs<'_>, base: &LogicalPlan) -> Result<Stream> {
        if inputs.computed.is_empty() {
            return Ok(stream);
        }
        let n_columns = stream.schema.fields().len();
        let mut columns: Vec<Column> = (0..n_columns).map(Column::Input).collect();
        let mut fields: Vec<FieldRef> = stream.schema.fields().iter().cloned().collect();
        for expr in &inputs.computed {
            columns.push(self.compile_column(expr, base)?);
            let field = expr.to_field(inputs.schema).map_err(query_failure)?.1;
            fields.push(Arc::new(Field::clone(&field).with_name(self.namer.text(expr))));
        }
        let computed = self.namer.list(&inputs.computed);
        let detail = if n_columns > 0 { format!("all columns, {computed}") } else { computed };
        Ok(self.project(stream, columns, Arc::new(Schema::new(fields)), detail))
    }

    /// Lowers one call and puts it where its sort is.
    fn lower_window_call(
        &mut self,
        pending: Pending<'_>,
        inputs: &mut Inputs<'_>,
        shared: &mut Vec<Shared>,
    ) -> Result<()> {
        let Pending { call, output, number, partition, order } = pending;
        let params = &call.params;
        let same = |one: &Shared| is_same_set(&one.partition, &partition) && one.order.starts_with(&order);
        let idx = match shared.iter().position(same) {
            Some(idx) => idx,
            None => {
                let (frames, calls, numbers, names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                let by = self.describe_window(call);
                shared.push(Shared { partition, order: order.clone(), frames, calls, numbers, limit: None, by, names });
                shared.len() - 1
            }
        };
        let (function, args) = lower_function(call, &output, inputs)?;
        let frames = FrameLowering { schema: inputs.schema, props: self.props() };
        let frame = match function.uses_frame() {
            true => frames.lower(&params.window_frame, &params.order_by, &order)?,
            false => Frame::up_to_current_row(order.len()),
        };
        let shared = &mut shared[idx];
        let frame = match shared.frames.iter().position(|known| known.is_same(&frame)) {
            Some(known) => known,
            None => {
                shared.frames.push(frame);
                shared.frames.len() - 1
            }
        };
        shared.names.push(self.namer.name(&format!("{}({})", call.fun.name(), self.namer.list(&params.args))));
        shared.numbers.push(number);
        shared.calls.push(WindowCall { function, args, frame, output });
        Ok(())
    }

    /// Partition and order as EXPLAIN shows them.
    fn describe_window(&self, call: &Call) -> String {
        let params = &call.params;
        let mut by = String::new();
        if !params.partition_by.is_empty() {
            by += &format!(" by {}", self.namer.list(&params.partition_by));
        }
        if !params.order_by.is_empty() {
            by += &format!(" in order of {}", self.namer.sort_keys(&params.order_by));
        }
        by
    }

    /// One sort and window after the other; then columns in the order of `output`.
    fn run_windows(
        &mut self,
        mut stream: Stream,
        shared: Vec<Shared>,
        n_calls: usize,
        n_columns: usize,
        output: SchemaRef,
    ) -> Result<Stream> {
        let mut places: Vec<Column> = (0..n_columns).map(Column::Input).collect();
        places.resize(n_columns + n_calls, Column::Input(0));
        for one in shared {
            let first = stream.schema.fields().len();
            for (idx, &number) in one.numbers.iter().enumerate() {
                places[n_columns + number] = Column::Input(first + idx);
            }
            stream = self.sort_for_window(stream, &one)?;
            let input = stream.schema.clone();
            let detail = format!("{}{}", one.names.join(", "), one.by);
            let Shared { partition, order, frames, calls, .. } = one;
            let spec = WindowSpec { input, partition, order, frames, calls };
            let window = WindowOperator::new(spec, self.cx)?;
            let node = Node { name: "Window", detail, inputs: vec![stream.top()], report: Some(window.clone()) };
            let node = self.add_node(node);
            let schema = window.schema();
            stream = stream.then(node, window, schema);
        }
        let is_in_place = |(idx, column): (usize, &Column)| matches!(column, Column::Input(at) if *at == idx);
        if stream.schema.fields().len() == places.len() && places.iter().enumerate().all(is_in_place) {
            stream.schema = output;
            return Ok(stream);
        }
        Ok(self.project(stream, places, output, "without the columns of windows".to_string()))
    }

    fn sort_for_window(&mut self, stream: Stream, shared: &Shared) -> Result<Stream> {
        let by_partition = |&column: &usize| SortKey { column, descending: false, nulls_first: false };
        let keys: Vec<SortKey> =
            shared.partition.iter().map(by_partition).chain(shared.order.iter().copied()).collect();
        // A sort with a limit, be it never reached, gives all its rows to one worker: one partition.
        let limit = match (shared.partition.as_slice(), shared.limit) {
            ([], Some(GroupLimit { n_rows, with_ties: false })) => Some(n_rows as u64),
            ([], _) => Some(u64::MAX),
            _ => None,
        };
        let schema = stream.schema.clone();
        let names: Vec<&str> = keys.iter().map(|key| schema.field(key.column).name().as_str()).collect();
        let mut detail = match names.is_empty() {
            true => "in the order of the input".to_string(),
            false => format!("by {}", names.iter().map(|name| self.namer.name(name)).collect::<Vec<_>>().join(", ")),
        };
        let spec = SortSpec { schema: schema.clone(), keys, limit, n_grouping_keys: shared.partition.len() };
        let sort = match shared.limit {
            Some(limit) => {
                let whose = if shared.partition.is_empty() { "of all" } else { "of each partition" };
                let ties = if limit.with_ties { " with ties" } else { "" };
                detail += &format!("; the first {}{ties} {whose} are wanted", limit.n_rows);
                SortOperator::of_groups(spec, limit, self.cx)?
            }
            None => SortOperator::new(spec, self.cx)?,
        };
        let inputs = vec![stream.top()];
        let node = self.add_node(Node { name: "Sort", detail, inputs, report: Some(sort.clone()) });
        self.close(stream, node, sort.sink());
        Ok(Stream::new(Step { node, role: sort.source() }, schema, false))
    }
}

/// The windows that can be looked at together, innermost first, and what they read.
fn stacked(window: &Window) -> (Vec<&Window>, &LogicalPlan) {
    let mut levels = vec![window];
    let mut base = window.input.as_ref();
    while let LogicalPlan::Window(inner) = base {
        let schema = inner.input.schema();
        let is_known = |expr: &Expr| expr.column_refs().iter().all(|column| schema.has_column(column));
        if !levels.iter().flat_map(|window| &window.window_expr).all(is_known) {
            break;
        }
        levels.push(inner);
        base = inner.input.as_ref();
    }
    levels.reverse();
    (levels, base)
}

fn is_same_set(a: &[usize], b: &[usize]) -> bool {
    a.iter().all(|column| b.contains(column)) && b.iter().all(|column| a.contains(column))
}

/// The columns of PARTITION BY and ORDER BY. Constants tell nothing apart, but a frame may be so far from one.
fn keys_of(call: &Call, inputs: &mut Inputs<'_>) -> (Vec<usize>, Vec<SortKey>) {
    let params = &call.params;
    let mut partition = Vec::new();
    for expr in params.partition_by.iter().filter(|expr| constant(expr).is_none()) {
        let column = inputs.add(expr);
        if !partition.contains(&column) {
            partition.push(column);
        }
    }
    let mut order = Vec::new();
    for key in params.order_by.iter().filter(|key| has_edges(&params.window_frame) || constant(&key.expr).is_none()) {
        order.push(SortKey { column: inputs.add(&key.expr), descending: !key.asc, nulls_first: key.nulls_first });
    }
    (partition, order)
}

/// Whether the frame begins or ends at a value of the order key.
fn has_edges(frame: &WindowFrame) -> bool {
    let is_edge = |bound: &WindowFrameBound| !bound.is_unbounded() && *bound != WindowFrameBound::CurrentRow;
    frame.units == WindowFrameUnits::Range && (is_edge(&frame.start_bound) || is_edge(&frame.end_bound))
}

/// The function and its argument columns.
fn lower_function(call: &Call, output: &FieldRef, inputs: &mut Inputs<'_>) -> Result<(WindowFunction, Vec<usize>)> {
    let params = &call.params;
    let name = call.fun.name().to_lowercase();
    let function = match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => {
            if let Some(native) = lower_fold(&name, call, output, inputs)? {
                return Ok(native);
            }
            let call = AggregateCall::new_udf(
                function.clone(),
                params.args.clone(),
                params.distinct,
                None,
                Vec::new(),
                params.null_treatment,
            );
            let mut args: Vec<usize> =
                params.args.iter().filter(|arg| constant(arg).is_none()).map(|arg| inputs.add(arg)).collect();
            let has_filter = params.filter.is_some();
            args.extend(params.filter.as_ref().map(|filter| inputs.add(filter)));
            let function = Arc::new(SlidingLibrary::new(Library::new(&call, inputs.schema)?));
            return Ok((WindowFunction::Library { function, has_filter }, args));
        }
        WindowFunctionDefinition::WindowUDF(_) => {
            if params.filter.is_some() || params.distinct {
                return Err(Error::usage(format!("{name} is no aggregate and takes neither FILTER nor DISTINCT")));
            }
            lower_ranking(&name, call)?
        }
    };
    if let Some(function) = function {
        return Ok((function, vec![]));
    }
    let function = lower_positional(&name, call, output)?;
    let Some(value) = params.args.first() else { return Err(Error::usage(format!("{name} needs an argument"))) };
    Ok((function, vec![inputs.add_as(value, output.data_type(), None)?]))
}

fn lower_ranking(name: &str, call: &Call) -> Result<Option<WindowFunction>> {
    Ok(Some(match name {
        "row_number" => WindowFunction::RowNumber,
        "rank" => WindowFunction::Rank,
        "dense_rank" => WindowFunction::DenseRank,
        "percent_rank" => WindowFunction::PercentRank,
        "cume_dist" => WindowFunction::CumeDist,
        "ntile" => match number_arg(call, 0)?.flatten().map(u64::try_from) {
            Some(Ok(n_parts @ 1..)) => WindowFunction::Ntile(n_parts),
            _ => return Err(Error::usage("ntile needs a constant whole number above 0")),
        },
        _ => return Ok(None),
    }))
}

fn lower_positional(name: &str, call: &Call, output: &FieldRef) -> Result<WindowFunction> {
    let ignore_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    Ok(match name {
        "lag" | "lead" => {
            let by = match number_arg(call, 1)? {
                None => 1,
                Some(Some(by)) => by,
                Some(None) => return Err(Error::usage(format!("the offset of {name} is NULL"))),
            };
            let by = if name == "lag" { by.saturating_neg() } else { by };
            WindowFunction::Shift { by, default: default_value(call, output)?, ignore_nulls }
        }
        "first_value" => WindowFunction::First { ignore_nulls },
        "last_value" => WindowFunction::Last { ignore_nulls },
        "nth_value" => match number_arg(call, 1)?.flatten().map(u64::try_from) {
            Some(Ok(n @ 1..)) => WindowFunction::Nth { n, ignore_nulls },
            _ => return Err(Error::usage("the second argument of nth_value must be a constant whole number above 0")),
        },
        _ => return Err(Error::usage(format!("the window function {name} is not supported yet"))),
    })
}

/// A constant argument as a whole number.
fn number_arg(call: &Call, idx: usize) -> Result<Option<Option<i64>>> {
    let Some(arg) = call.params.args.get(idx) else { return Ok(None) };
    let name = call.fun.name();
    let Some(value) = constant(arg) else {
        return Err(Error::usage(format!("argument {} of {name} must be a constant", idx + 1)));
    };
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) => Ok(Some(number)),
        _ => Err(Error::usage(format!("argument {} of {name} must be a whole number, not {value}", idx + 1))),
    }
}

fn default_value(call: &Call, output: &FieldRef) -> Result<Option<arrow::array::ArrayRef>> {
    let Some(arg) = call.params.args.get(2) else { return Ok(None) };
    let Some(value) = constant(arg) else {
        return Err(Error::usage(format!("the default of {} must be a constant", call.fun.name()))
            .with_hint("write coalesce around the call for a default that is not"));
    };
    let value = value.cast_to(output.data_type()).map_err(query_failure)?;
    Ok(Some(value.to_array().map_err(query_failure)?))
}

/// The aggregate of ours that computes `call`, and its arguments.
fn lower_fold(
    name: &str,
    call: &Call,
    output: &FieldRef,
    inputs: &mut Inputs<'_>,
) -> Result<Option<(WindowFunction, Vec<usize>)>> {
    use FoldFunction::*;
    let params = &call.params;
    let filter = params.filter.as_deref();
    if params.distinct && !matches!(name, "min" | "max") {
        return Ok(None);
    }
    let function = match (name, params.args.as_slice()) {
        ("count", [] | [Expr::Literal(..)]) if params.args.iter().all(|arg| constant(arg).is_some_and(is_value)) => {
            return Ok(Some(match filter {
                None => (WindowFunction::Fold(CountStar), vec![]),
                Some(_) => (WindowFunction::Fold(Count), vec![inputs.add_as(&lit(true), &DataType::Boolean, filter)?]),
            }));
        }
        ("count", [_]) => Count,
        ("sum", [_]) => Sum,
        ("avg", [_]) => Avg,
        ("min", [_]) => Min,
        ("max", [_]) => Max,
        ("var", [_]) => Var { sample: true },
        ("var_pop", [_]) => Var { sample: false },
        ("stddev", [_]) => StdDev { sample: true },
        ("stddev_pop", [_]) => StdDev { sample: false },
        _ => return Ok(None),
    };
    let arg = &params.args[0];
    let given = inputs.type_of(arg)?;
    let wanted = match function {
        Sum if given.is_numeric() && !given.is_decimal() => output.data_type().clone(),
        Avg | Var { .. } | StdDev { .. } if given.is_numeric() && !(given.is_decimal() && function == Avg) => {
            DataType::Float64
        }
        _ => given,
    };
    if !is_foldable(function, Some(&wanted)) {
        return Ok(None);
    }
    Ok(Some((WindowFunction::Fold(function), vec![inputs.add_as(arg, &wanted, filter)?])))
}

fn is_value(value: &ScalarValue) -> bool {
    !value.is_null()
}
