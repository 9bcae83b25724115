//! Lowering of aggregates that need the rows of a group in an order: a sort by key and order, then an ordered aggregation.
//!
//! Which calls these are is decided here: median, percentiles, mode, array_agg, string_agg, nth_value, first_value and
//! last_value without ORDER BY, and all calls with DISTINCT for which it matters. Other calls of the same query are computed from the same sorted rows.
//!
//! Calls with the same order share rows. With several orders each row is copied once an order; what a copy needs lies in
//! **slots**, columns that each copy uses for values of its own of the same type, so that rows stay narrow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{AggregateFunction as Call, NullTreatment};
use datafusion_expr::{Aggregate, Expr};

use super::aggregate::{Inputs, constant, describe, lower_call, unaliased};
use super::distinct;
use super::lower::{Lowering, Stream};
use super::quantile;
use super::statistics;
use crate::error::{Error, Result};
use crate::exec::{Node, Report, Step};
use crate::io::ColumnStatistics;
use crate::operators::aggregate::NarrowKeys;
use crate::operators::equality::holds_floats;
use crate::operators::expand::Set;
use crate::operators::ordered_aggregate::{
    Arrange, ArrangedColumn, OrderedAggregate, OrderedCall, OrderedFunction, OrderedSpec, Rounding, has_middle,
};
use crate::operators::sort::{Sort, SortKey, SortSpec};

/// A call before its rows have a place. Columns are numbers of [`Inputs`], later of the stream.
pub(super) struct Wanted {
    pub(super) function: OrderedFunction,
    pub(super) args: Vec<usize>,
    pub(super) filter: Option<usize>,
    pub(super) is_distinct: bool,
    /// Whether equal values of the arguments must be equal bytes.
    compares: bool,
    /// `None` when rows may come in any order.
    pub(super) order: Option<Vec<SortKey>>,
    pub(super) output: FieldRef,
}

/// What is aggregated, by columns of a stream.
pub(super) struct Placed {
    pub(super) stream: Stream,
    pub(super) keys: Vec<usize>,
    pub(super) calls: Vec<Wanted>,
    /// What is known of each column of the stream.
    pub(super) known: Vec<Option<ColumnStatistics>>,
    pub(super) output: SchemaRef,
}

/// Whether any call of `aggregate` needs its rows in an order.
pub(super) fn is_needed(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.iter().any(|expr| match unaliased(expr.clone()) {
        Expr::AggregateFunction(call) => is_holistic(&call),
        _ => false,
    })
}

/// Whether the states of all holistic calls fit into memory for certain, so that they need not be sorted: medians of a known
/// number of rows, not percentiles, since the library's are off by up to a millionth of the gap between two values. States
/// of many groups may still be spilled by the aggregation; one group holds all values at worst.
pub(super) fn fits_in_memory(aggregate: &Aggregate, governed_bytes: u64) -> bool {
    let Some(n_rows) = statistics::max_rows(&aggregate.input) else { return false };
    let mut n_states = 0;
    for expr in &aggregate.aggr_expr {
        let Expr::AggregateFunction(call) = unaliased(expr.clone()) else { return false };
        let is_pick = call.func.name() == "median" && !call.params.distinct;
        match (is_holistic(&call), is_pick) {
            (true, true) => n_states += 1,
            (true, false) => return false,
            (false, _) => {}
        }
    }
    let has_sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
    // Without GROUP BY values are counted, which is cheaper still.
    !has_sets
        && !aggregate.group_expr.is_empty()
        && n_rows.saturating_mul(n_states * PICK_STATE_BYTES) <= governed_bytes
}

/// Bytes of governed memory for each value of a median that is computed in memory. A value has 8 bytes (16 as a decimal), a
/// buffer that grows has up to three times as many as it holds, states are reserved twice, and half is for others.
const PICK_STATE_BYTES: u64 = 96;

fn is_holistic(call: &Call) -> bool {
    let has_columns = call.params.args.iter().any(|arg| constant(arg).is_none());
    match call.func.name() {
        "min" | "max" | "bool_and" | "bool_or" => false,
        // Of a constant too: the library would keep it once a row.
        "mode" | "percentile_disc" | "median" | "percentile_cont" | "array_agg" | "string_agg" | "nth_value" => true,
        name if rounding_of(name).is_some() => true,
        "first_value" | "last_value" => has_columns && call.params.order_by.is_empty(),
        _ => call.params.distinct && has_columns,
    }
}

/// The functions that pick one of the two values at a part of the way.
fn rounding_of(name: &str) -> Option<Rounding> {
    Some(match name {
        "percentile_nearest" => Rounding::Nearest,
        "percentile_lower" => Rounding::Lower,
        "percentile_higher" => Rounding::Higher,
        "percentile_midpoint" => Rounding::Midpoint,
        _ => return None,
    })
}

impl Lowering<'_> {
    pub(super) fn lower_holistic(
        &mut self,
        aggregate: &Aggregate,
        keys: &[Expr],
        sets: Option<Vec<Set>>,
        mut inputs: Inputs<'_>,
        key_columns: Vec<usize>,
    ) -> Result<Stream> {
        let output = aggregate.schema.inner().clone();
        let n_keys = output.fields().len() - aggregate.aggr_expr.len();
        let mut calls = Vec::with_capacity(aggregate.aggr_expr.len());
        for (expr, field) in aggregate.aggr_expr.iter().zip(&output.fields()[n_keys..]) {
            calls.push(wanted_call(expr, field, &mut inputs)?);
        }
        let texts: Vec<String> = inputs.exprs.iter().map(|expr| self.namer.text(expr)).collect();
        let orders = order_texts(&calls, &texts);
        let by = self.namer.list(keys);

        let (mut stream, columns) = self.lower_inputs(&inputs, &key_columns, sets.is_some(), vec![])?;
        let mut keys_at: Vec<usize> = key_columns.iter().map(|&idx| columns[idx]).collect();
        let mut shift = 0;
        if let Some(sets) = sets {
            stream = self.expand(stream, sets, &output, keys_at.len());
            (shift, keys_at) = (1, (0..n_keys).collect());
        }
        let place = |idx: usize| columns[idx] + if columns[idx] + shift < n_keys { 0 } else { shift };
        for call in &mut calls {
            call.args.iter_mut().chain(&mut call.filter).for_each(|idx| *idx = place(*idx));
            call.order.iter_mut().flatten().for_each(|key| key.column = place(key.column));
        }
        let mut known = vec![None; stream.schema.fields().len()];
        for (idx, expr) in inputs.exprs.iter().enumerate() {
            known[place(idx)] = statistics::of_expression(expr, inputs.plan)
                .map(|statistics| ColumnStatistics { n_nulls: None, ..statistics });
        }
        // Each order or set of DISTINCT arguments has a number, which rows are tagged with.
        if calls.len() > usize::from(u16::MAX) {
            return Err(Error::usage(format!("{} aggregates are too many for one query", calls.len()))
                .with_hint("compute some of them in a query of their own"));
        }
        let detail = describe(aggregate, keys, &self.namer);
        let by = sort_text(&by, &orders);
        let placed = Placed { stream, keys: keys_at, calls, known, output };
        if placed.keys.is_empty() && quantile::fits(&placed) {
            return self.lower_quantiles(placed, detail);
        }
        if distinct::fits(&placed.calls) {
            return self.lower_by_grouping_twice(placed, detail, &by);
        }
        let Placed { stream, keys, calls, known, output } = placed;
        let types = keys.iter().map(|&key| stream.schema.field(key).data_type().clone()).collect();
        let known: Vec<_> = keys.iter().map(|&key| known[key].clone()).collect();
        let narrow = NarrowKeys::new(types, &known, &self.cx.memory);
        let arranged = Arrangement::new(&stream, &keys, narrow, calls, output);
        self.ordered_stream(stream, arranged, detail, by)
    }

    /// Arranges, sorts and aggregates.
    fn ordered_stream(&mut self, stream: Stream, arranged: Arrangement, detail: String, by: String) -> Result<Stream> {
        let Arrangement { copies, keys, narrow, spec } = arranged;
        let schema = spec.input.clone();
        let copies_text = if copies.len() == 1 { "one order".to_string() } else { format!("{} orders", copies.len()) };
        let node = self.add_step_node("Arrange", copies_text, &stream);
        let arrange = Arrange::new(copies, schema.clone()).narrowing(narrow.clone());
        let stream = stream.then(node, Arc::new(arrange), schema.clone());

        let sort = SortSpec { schema: schema.clone(), keys, limit: None, n_grouping_keys: spec.keys.len() };
        let sort = Sort::new(sort, self.cx)?;
        let inputs = vec![stream.top()];
        let node = self.add_node(Node { name: "Sort", detail: by, inputs, report: Some(sort.clone()) });
        self.close(stream, node, sort.sink());
        let stream = Stream::new(Step { node, role: sort.source() }, schema, false);

        let output = spec.output.clone();
        let ordered = Arc::new(OrderedAggregate::new(spec, self.cx)?.widening(narrow));
        let (inputs, report) = (vec![stream.top()], Some(ordered.clone() as Arc<dyn Report>));
        let node = self.add_node(Node { name: "OrderedAggregate", detail, inputs, report });
        Ok(stream.then(node, ordered, output))
    }
}

/// The orders of `calls` as a person would write them, each once.
fn order_texts(calls: &[Wanted], texts: &[String]) -> Vec<String> {
    let mut orders: Vec<String> = Vec::new();
    for order in calls.iter().filter_map(|call| call.order.as_ref()) {
        let key = |key: &SortKey| format!("{}{}", texts[key.column], if key.descending { " DESC" } else { "" });
        let text = order.iter().map(key).collect::<Vec<_>>().join(", ");
        if !orders.contains(&text) {
            orders.push(text);
        }
    }
    orders
}

fn sort_text(keys: &str, orders: &[String]) -> String {
    let orders = match orders {
        [only] => only.clone(),
        several => several.iter().map(|order| format!("({order})")).collect::<Vec<_>>().join(" and "),
    };
    let parts: Vec<&str> = [keys, &orders].into_iter().filter(|part| !part.is_empty()).collect();
    format!("by {}", parts.join(", "))
}

fn wanted_call(expr: &Expr, output: &FieldRef, inputs: &mut Inputs<'_>) -> Result<Wanted> {
    let Expr::AggregateFunction(mut call) = unaliased(expr.clone()) else {
        return Err(Error::query(format!("{expr} is not an aggregate")));
    };
    if matches!(call.func.name(), "first_value" | "last_value") {
        // The first of all values is the first of the different ones.
        call.params.distinct = false;
    }
    let params = &call.params;
    let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let function = match call.func.name() {
        _ if !is_holistic(&call) => None,
        "median" if has_middle(&inputs.type_of(&params.args[0])?) => Some(OrderedFunction::Median),
        "percentile_cont" if inputs.type_of(&params.args[0])?.is_floating() => {
            Some(OrderedFunction::Percentile(percentile(&call)?))
        }
        "percentile_disc" => Some(OrderedFunction::PercentileDisc(percentile(&call)?)),
        "mode" => Some(OrderedFunction::Mode),
        "array_agg" => Some(OrderedFunction::ArrayAgg { ignore_nulls }),
        "string_agg" => Some(OrderedFunction::StringAgg { separator: separator(&call)? }),
        "nth_value" => Some(OrderedFunction::Nth { n: place_of(&call)?, ignore_nulls }),
        // In the order of the input, which an aggregation does not keep.
        "first_value" if params.order_by.is_empty() => Some(OrderedFunction::Nth { n: 1, ignore_nulls }),
        "last_value" if params.order_by.is_empty() => Some(OrderedFunction::Nth { n: -1, ignore_nulls }),
        name => match rounding_of(name) {
            Some(rounding) => Some(OrderedFunction::PercentileRounded(percentile(&call)?, rounding)),
            None => None,
        },
    };
    match function {
        Some(function) => ordered_call(&call, function, output, inputs),
        None => ordinary_call(&call, output, inputs),
    }
}

/// A call whose values come in an order: that of their values, or what its ORDER BY says.
fn ordered_call(call: &Call, function: OrderedFunction, output: &FieldRef, inputs: &mut Inputs<'_>) -> Result<Wanted> {
    let params = &call.params;
    let arg = inputs.add(params.args[0].clone());
    let filter = params.filter.as_ref().map(|filter| inputs.add(filter.as_ref().clone()));
    use OrderedFunction::{Median, Mode, Percentile, PercentileDisc, PercentileRounded};
    let by_value = matches!(function, Median | Percentile(_) | PercentileDisc(_) | PercentileRounded(..) | Mode);
    let mut order = Vec::new();
    if !by_value {
        for key in &params.order_by {
            if params.distinct && key.expr != params.args[0] {
                return Err(Error::usage(format!(
                    "{} with DISTINCT can only be ordered by its own argument",
                    call.func.name()
                )));
            }
            let column = inputs.add(key.expr.clone());
            order.push(SortKey { column, descending: !key.asc, nulls_first: key.nulls_first });
        }
    }
    if by_value || (params.distinct && order.is_empty()) {
        let descending = matches!(function, PercentileDisc(_)) && is_descending(call);
        order = vec![SortKey { descending, ..ascending(arg) }];
    }
    Ok(Wanted {
        function,
        args: vec![arg],
        filter,
        is_distinct: params.distinct,
        compares: by_value || params.distinct,
        order: Some(order),
        output: output.clone(),
    })
}

/// A call whose values may come in any order; with DISTINCT equal ones come together.
fn ordinary_call(call: &Call, output: &FieldRef, inputs: &mut Inputs<'_>) -> Result<Wanted> {
    let is_distinct = is_holistic(call) && call.params.distinct;
    let mut plain = call.clone();
    if is_distinct {
        plain.params.distinct = false;
        plain.params.order_by.clear();
    }
    let lowered = lower_call(&Expr::AggregateFunction(plain), output, inputs)?;
    let order = is_distinct.then(|| lowered.args.iter().map(|&arg| ascending(arg)).collect());
    Ok(Wanted {
        function: OrderedFunction::Ordinary(lowered.function),
        args: lowered.args,
        filter: lowered.filter,
        is_distinct,
        compares: is_distinct,
        order,
        output: output.clone(),
    })
}

fn ascending(column: usize) -> SortKey {
    SortKey { column, descending: false, nulls_first: false }
}

/// The part of the way, from 0 to 1.
fn percentile(call: &Call) -> Result<f64> {
    let name = call.func.name();
    let not_constant = || Error::usage(format!("the second argument of {name} is a constant number from 0 to 1"));
    let part = match call.params.args.get(1).and_then(constant) {
        Some(ScalarValue::Float64(Some(part))) => *part,
        Some(ScalarValue::Float32(Some(part))) => f64::from(*part),
        Some(ScalarValue::Int64(Some(part))) => *part as f64,
        _ => return Err(not_constant()),
    };
    if !(0.0..=1.0).contains(&part) {
        return Err(not_constant());
    }
    // Which value percentile_disc takes depends on the end it counts from, so its rows are sorted that way.
    Ok(if is_descending(call) && name == "percentile_cont" { 1.0 - part } else { part })
}

fn is_descending(call: &Call) -> bool {
    call.params.order_by.first().is_some_and(|key| !key.asc)
}

fn separator(call: &Call) -> Result<String> {
    match call.params.args.get(1).and_then(constant) {
        Some(value) if value.is_null() => Ok(String::new()),
        Some(value) => match value.try_as_str() {
            Some(Some(text)) => Ok(text.to_string()),
            _ => Err(Error::usage("the separator of string_agg is a text")),
        },
        None => Err(Error::usage("the separator of string_agg is a constant text")),
    }
}

fn place_of(call: &Call) -> Result<i64> {
    match call.params.args.get(1).and_then(constant) {
        Some(ScalarValue::Int64(Some(n))) if *n != 0 => Ok(*n),
        _ => Err(Error::usage("the second argument of nth_value is a constant whole number other than 0")),
    }
}

/// How rows are arranged for the sort, and what is computed from them.
struct Arrangement {
    copies: Vec<Vec<ArrangedColumn>>,
    keys: Vec<SortKey>,
    narrow: Arc<NarrowKeys>,
    spec: OrderedSpec,
}

/// What a sort key of a copy is, wherever it lies.
#[derive(Clone, PartialEq)]
pub(super) struct OrderKey {
    pub(super) source: ArrangedColumn,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// The columns that copies share, behind group keys and tag.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) types: Vec<DataType>,
    /// The slots that are sorted by, in order.
    sorted: Vec<(usize, bool, bool)>,
    /// For each copy what is in which slot.
    pub(super) used: Vec<Vec<(ArrangedColumn, usize)>>,
}

impl Slots {
    /// None yet, for so many copies of each row.
    pub(super) fn for_copies(n_copies: usize) -> Self {
        Slots { used: vec![Vec::new(); n_copies], ..Slots::default() }
    }

    /// Gives the keys of an order their slots, which come in the order of the sort.
    pub(super) fn add_order(&mut self, copy: usize, order: &[OrderKey], type_of: impl Fn(&ArrangedColumn) -> DataType) {
        let mut from = 0;
        for key in order {
            if self.find(copy, &key.source).is_some() {
                continue;
            }
            let data_type = type_of(&key.source);
            let fits = |&(slot, descending, nulls_first): &(usize, bool, bool)| {
                self.types[slot] == data_type && descending == key.descending && nulls_first == key.nulls_first
            };
            let at = match self.sorted[from..].iter().position(fits) {
                Some(at) => from + at,
                None => {
                    self.types.push(data_type);
                    self.sorted.push((self.types.len() - 1, key.descending, key.nulls_first));
                    self.sorted.len() - 1
                }
            };
            from = at + 1;
            self.used[copy].push((key.source, self.sorted[at].0));
        }
    }

    /// The slot of a value; a new one unless the copy has it already.
    pub(super) fn add_value(&mut self, copy: usize, source: ArrangedColumn, data_type: DataType) -> usize {
        match self.find(copy, &source) {
            Some(slot) => slot,
            None => self.add_unsorted(copy, source, data_type),
        }
    }

    /// The slot of a value, one that is not sorted by.
    pub(super) fn add_unsorted(&mut self, copy: usize, source: ArrangedColumn, data_type: DataType) -> usize {
        let is_sorted = |slot: usize| self.sorted.iter().any(|(sorted, _, _)| *sorted == slot);
        let known = self.used[copy].iter().find(|(known, slot)| *known == source && !is_sorted(*slot));
        if let Some((_, slot)) = known {
            return *slot;
        }
        let is_free = |slot: &usize| {
            self.types[*slot] == data_type && !is_sorted(*slot) && self.used[copy].iter().all(|(_, used)| used != slot)
        };
        let slot = (0..self.types.len()).find(is_free).unwrap_or_else(|| {
            self.types.push(data_type.clone());
            self.types.len() - 1
        });
        self.used[copy].push((source, slot));
        slot
    }

    /// The fields of all slots.
    pub(super) fn fields(&self) -> impl Iterator<Item = FieldRef> + '_ {
        let field = |(idx, data_type): (usize, &DataType)| Field::new(format!("slot {idx}"), data_type.clone(), true);
        self.types.iter().enumerate().map(field).map(Arc::new)
    }

    /// The columns of each copy: `group`, the tag if there is one, and what is in the slots.
    pub(super) fn copies(&self, group: &[ArrangedColumn], has_tag: bool) -> Vec<Vec<ArrangedColumn>> {
        let copies = self.used.iter().enumerate().map(|(copy, used)| {
            let tag = has_tag.then_some(ArrangedColumn::Constant(copy as u16));
            let in_slot = |slot: usize| {
                used.iter().find(|(_, at)| *at == slot).map_or(ArrangedColumn::Null, |(source, _)| *source)
            };
            group.iter().copied().chain(tag).chain((0..self.types.len()).map(in_slot)).collect()
        });
        copies.collect()
    }

    /// The slot of a value of a copy, if it has one.
    pub(super) fn find(&self, copy: usize, source: &ArrangedColumn) -> Option<usize> {
        self.used[copy].iter().find(|(known, _)| known == source).map(|(_, slot)| *slot)
    }
}

impl Arrangement {
    /// For `calls` over `stream`, grouped by the columns `keys`.
    fn new(stream: &Stream, keys: &[usize], narrow: NarrowKeys, calls: Vec<Wanted>, output: SchemaRef) -> Self {
        let input = stream.schema.clone();
        let source = |column: usize, compares: bool| match input.field(column).data_type() {
            data_type if compares && holds_floats(data_type) => ArrangedColumn::Comparable(column),
            _ => ArrangedColumn::Input(column),
        };
        let type_of = |source: &ArrangedColumn| {
            source.input().map_or(DataType::UInt16, |column| input.field(column).data_type().clone())
        };
        let order_of = |call: &Wanted| -> Option<Vec<OrderKey>> {
            let key = |key: &SortKey| OrderKey {
                source: source(key.column, call.compares),
                descending: key.descending,
                nulls_first: key.nulls_first,
            };
            call.order.as_ref().map(|order| order.iter().map(key).collect())
        };
        let mut orders: Vec<Vec<OrderKey>> = Vec::new();
        for order in calls.iter().filter_map(order_of) {
            if !orders.contains(&order) {
                orders.push(order);
            }
        }
        let mut slots = Slots::for_copies(orders.len().max(1));
        for (copy, order) in orders.iter().enumerate() {
            slots.add_order(copy, order, type_of);
        }
        let is_ungrouped = keys.is_empty();
        let n_keys = keys.len().max(1);
        let tag = (orders.len() > 1).then_some(n_keys);
        let first_slot = n_keys + usize::from(tag.is_some());
        let mut ordered = Vec::with_capacity(calls.len());
        for call in &calls {
            let copy = order_of(call).and_then(|order| orders.iter().position(|known| *known == order)).unwrap_or(0);
            let mut place = |column: usize, compares: bool| {
                let source = source(column, compares);
                first_slot + slots.add_value(copy, source, type_of(&source))
            };
            ordered.push(OrderedCall {
                function: call.function.clone(),
                args: call.args.iter().map(|&arg| place(arg, call.compares)).collect(),
                filter: call.filter.map(|filter| place(filter, false)),
                is_distinct: call.is_distinct,
                tag: copy as u16,
                output: call.output.clone(),
            });
        }

        let mut group: Vec<ArrangedColumn> = keys.iter().map(|&key| source(key, true)).collect();
        let mut fields: Vec<FieldRef> = keys
            .iter()
            .zip(narrow.field_types())
            .map(|(&key, data_type)| Arc::new(Field::clone(&input.fields()[key]).with_data_type(data_type)))
            .collect();
        if is_ungrouped {
            group.push(ArrangedColumn::Constant(0));
            fields.push(Arc::new(Field::new("group", DataType::UInt16, false)));
        }
        if tag.is_some() {
            fields.push(Arc::new(Field::new("order", DataType::UInt16, false)));
        }
        fields.extend(slots.fields());
        let copies = slots.copies(&group, tag.is_some());
        let mut sort: Vec<SortKey> = (0..first_slot).map(ascending).collect();
        let slot_key =
            |&(slot, descending, nulls_first)| SortKey { column: first_slot + slot, descending, nulls_first };
        sort.extend(slots.sorted.iter().map(slot_key));
        let spec = OrderedSpec {
            input: Arc::new(Schema::new(fields)),
            keys: (0..n_keys).collect(),
            is_ungrouped,
            tag,
            calls: ordered,
            output,
        };
        Arrangement { copies, keys: sort, narrow: Arc::new(narrow), spec }
    }
}
