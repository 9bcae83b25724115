//! Lowering of DISTINCT aggregates without a sort: rows are grouped twice.
//!
//! ```text
//! Arrange: a copy of each row per set of DISTINCT arguments, tagged
//! Aggregate by keys, tag, arguments: every value once; ordinary calls are computed in part, from the first copy
//! Aggregate by keys: the values of each tag are counted or added up, the parts of ordinary calls put together
//! ```
//!
//! Both aggregations spill, and the first has a row a distinct value, so a group may have any number of them. This is for
//! queries whose ordinary calls can be computed in parts; others go through [`super::holistic`].

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, Schema, SchemaRef, UInt16Type};

use super::holistic::{OrderKey, Placed, Slots, Wanted};
use super::lower::{Lowering, Stream};
use crate::error::{Error, Result};
use crate::io::ColumnStatistics;
use crate::operators::aggregate::{AggregateCall, AggregateFunction, AggregateSpec};
use crate::operators::expression::Expression;
use crate::operators::ordered_aggregate::{Arrange, ArrangedColumn, OrderedFunction};
use crate::operators::project::Column;

/// Whether `calls` can be computed by grouping twice.
pub(super) fn fits(calls: &[Wanted]) -> bool {
    calls.iter().all(|call| match &call.function {
        OrderedFunction::Ordinary(function) => call.is_distinct || !parts_of(function, call).is_empty(),
        _ => false,
    })
}

/// How the result of a call follows from the columns of the second aggregation.
enum Final {
    /// It is that column.
    Column(usize),
    /// Zero where nothing was counted.
    Count(usize),
    /// A sum by a number of values.
    Mean { sum: usize, count: usize },
}

/// The functions that compute an ordinary call in parts, and those that put the parts together. None when it has no parts.
fn parts_of(function: &AggregateFunction, call: &Wanted) -> Vec<(AggregateFunction, AggregateFunction, DataType)> {
    use AggregateFunction::*;
    let output = call.output.data_type().clone();
    match function {
        CountStar | Count => vec![(function.clone(), Sum, DataType::Int64)],
        Sum => vec![(Sum, Sum, output)],
        Avg if output == DataType::Float64 => {
            vec![(Sum, Sum, DataType::Float64), (Count, Sum, DataType::Int64)]
        }
        Min | Max | BoolAnd | BoolOr => vec![(function.clone(), function.clone(), output)],
        Library(library) if matches!(library.name(), "min" | "max") => {
            vec![(function.clone(), function.clone(), output)]
        }
        _ => vec![],
    }
}

/// The two aggregations while their calls are collected.
#[derive(Default)]
struct TwoLevels {
    /// Calls of the first, on arranged columns.
    first: Vec<AggregateCall>,
    /// Calls of the second, on the columns of the first and the flags behind them.
    second: Vec<AggregateCall>,
    finals: Vec<Final>,
}

/// Where the columns of the first aggregation are.
struct Places {
    n_keys: usize,
    tag: Option<usize>,
    /// Of the key slots, by slot.
    first_slot: usize,
}

impl Lowering<'_> {
    pub(super) fn lower_by_grouping_twice(&mut self, placed: Placed, detail: String, by: &str) -> Result<Stream> {
        let Placed { stream, keys, calls, known, output } = placed;
        let input = stream.schema.clone();
        let copies = copies_of(&calls);
        let mut slots = Slots::for_copies(copies.len());
        for (copy, order) in copies.iter().enumerate() {
            slots.add_order(copy, order, |source| type_of(source, &input));
        }
        let n_sorted = slots.types.len();
        let n_keys = keys.len();
        let tag = (copies.len() > 1).then_some(n_keys);
        let places = Places { n_keys, tag, first_slot: n_keys + usize::from(tag.is_some()) };
        let levels = collect_calls(&calls, &copies, &mut slots, &places, &input);

        let arranged = arranged_schema(&input, &keys, &slots, &places);
        let key_statistics = key_statistics(&known, &keys, &slots, n_sorted, tag.is_some());
        let group: Vec<ArrangedColumn> = keys.iter().map(|&key| ArrangedColumn::Input(key)).collect();
        let arrange = Arrange::new(slots.copies(&group, tag.is_some()), arranged.clone());
        let text = match copies.len() {
            1 => "one set of DISTINCT arguments".to_string(),
            n => format!("{n} sets of DISTINCT arguments"),
        };
        let node = self.add_step_node("Arrange", text, &stream);
        let stream = stream.then(node, Arc::new(arrange), arranged.clone());

        let n_first_keys = places.first_slot + n_sorted;
        let fields = arranged.fields()[..n_first_keys].iter().cloned();
        let first_output = Arc::new(Schema::new(fields.chain(outputs(&levels.first)).collect::<Vec<_>>()));
        let spec = AggregateSpec {
            input: arranged,
            keys: (0..n_first_keys).collect(),
            calls: levels.first,
            output: first_output,
        };
        let name = if spec.calls.is_empty() { "Distinct" } else { "Aggregate" };
        let stream =
            self.aggregate_stream(stream, name, format!("each value once, {by}"), spec, key_statistics.clone())?;
        let stream = self.flag_copies(stream, tag, copies.len());

        let second_keys: Vec<usize> = (0..n_keys).collect();
        let plain = levels.finals.iter().all(|last| matches!(last, Final::Column(_)));
        let fields: Vec<FieldRef> = output.fields()[..n_keys].iter().cloned().chain(outputs(&levels.second)).collect();
        let second_output = if plain { output.clone() } else { Arc::new(Schema::new(fields)) };
        let spec = AggregateSpec {
            input: stream.schema.clone(),
            keys: second_keys,
            calls: levels.second,
            output: second_output,
        };
        let second_known = key_statistics[..n_keys].to_vec();
        let stream = self.aggregate_stream(stream, "Aggregate", detail, spec, second_known)?;
        if plain {
            return Ok(stream);
        }
        let columns = (0..n_keys).map(Column::Input).chain(levels.finals.iter().map(final_column)).collect();
        Ok(self.project(stream, columns, output, "parts put together".to_string()))
    }

    /// Adds a column for each copy that says whether a row belongs to it.
    fn flag_copies(&mut self, stream: Stream, tag: Option<usize>, n_copies: usize) -> Stream {
        let Some(tag) = tag else { return stream };
        let mut fields: Vec<FieldRef> = stream.schema.fields().iter().cloned().collect();
        let mut columns: Vec<Column> = (0..fields.len()).map(Column::Input).collect();
        for copy in 0..n_copies {
            fields.push(Arc::new(Field::new(format!("of set {copy}"), DataType::Boolean, false)));
            columns.push(Column::Computed(Arc::new(TagIs { tag, copy: copy as u16 })));
        }
        self.project(stream, columns, Arc::new(Schema::new(fields)), "the set each value is of".to_string())
    }
}

fn outputs(calls: &[AggregateCall]) -> impl Iterator<Item = FieldRef> + '_ {
    calls.iter().map(|call| call.output.clone())
}

/// The different sets of DISTINCT arguments; where FILTER is not true, an argument is NULL and so not counted.
fn copies_of(calls: &[Wanted]) -> Vec<Vec<OrderKey>> {
    let mut copies: Vec<Vec<OrderKey>> = Vec::new();
    for call in calls.iter().filter(|call| call.is_distinct) {
        let copy = arguments_of(call);
        if !copies.contains(&copy) {
            copies.push(copy);
        }
    }
    copies
}

fn arguments_of(call: &Wanted) -> Vec<OrderKey> {
    let source = |&arg: &usize| match call.filter {
        Some(condition) => ArrangedColumn::Where { column: arg, condition },
        None => ArrangedColumn::Input(arg),
    };
    let key = |source| OrderKey { source, descending: false, nulls_first: false };
    call.args.iter().map(source).map(key).collect()
}

fn type_of(source: &ArrangedColumn, input: &SchemaRef) -> DataType {
    source.input().map_or(DataType::UInt16, |column| input.field(column).data_type().clone())
}

fn collect_calls(
    calls: &[Wanted],
    copies: &[Vec<OrderKey>],
    slots: &mut Slots,
    places: &Places,
    input: &SchemaRef,
) -> TwoLevels {
    let n_sorted = slots.types.len();
    let mut levels = TwoLevels::default();
    for call in calls {
        let OrderedFunction::Ordinary(function) = &call.function else { continue };
        let at = levels.second.len();
        if call.is_distinct {
            let arguments = arguments_of(call);
            let copy = copies.iter().position(|known| *known == arguments).unwrap_or(0);
            let place = |key: &OrderKey| slots.find(copy, &key.source).map(|slot| places.first_slot + slot);
            levels.second.push(AggregateCall {
                function: function.clone(),
                args: arguments.iter().filter_map(place).collect(),
                // The flags come behind all columns of the first aggregation; their number is known at the end.
                filter: places.tag.map(|_| copy),
                output: call.output.clone(),
            });
            levels.finals.push(Final::Column(at));
            continue;
        }
        let mut place = |source: ArrangedColumn| {
            let data_type = type_of(&source, input);
            places.first_slot
                + match places.tag {
                    None => slots.add_value(0, source, data_type),
                    // A slot of arguments has values of other columns in other copies.
                    Some(_) => slots.add_unsorted(0, source, data_type),
                }
        };
        let args: Vec<usize> = match function {
            // With several copies only those rows count that are of the first.
            AggregateFunction::CountStar if places.tag.is_some() => vec![place(ArrangedColumn::Constant(0))],
            _ => call.args.iter().map(|&arg| place(ArrangedColumn::Input(arg))).collect(),
        };
        let filter = call.filter.map(|filter| place(ArrangedColumn::Input(filter)));
        let parts = parts_of(function, call);
        levels.finals.push(match (function, parts.len()) {
            // A group has rows, but without GROUP BY there may be none.
            (AggregateFunction::CountStar | AggregateFunction::Count, _) if places.n_keys == 0 => Final::Count(at),
            (_, 2) => Final::Mean { sum: at, count: at + 1 },
            _ => Final::Column(at),
        });
        for (first, second, data_type) in parts {
            let first = match first {
                AggregateFunction::CountStar if !args.is_empty() => AggregateFunction::Count,
                first => first,
            };
            let output = Arc::new(Field::new(format!("part {at}"), data_type, true));
            // The parts come behind the keys of the first aggregation.
            let part = places.first_slot + n_sorted + levels.first.len();
            levels.second.push(AggregateCall {
                function: second,
                args: vec![part],
                filter: None,
                output: output.clone(),
            });
            levels.first.push(AggregateCall { function: first, args: args.clone(), filter, output });
        }
    }
    let first_flag = places.first_slot + n_sorted + levels.first.len();
    levels.second.iter_mut().for_each(|call| call.filter = call.filter.map(|copy| first_flag + copy));
    for (last, call) in levels.finals.iter_mut().zip(calls) {
        let n_keys = places.n_keys;
        match last {
            Final::Column(at) | Final::Count(at) => *at += n_keys,
            Final::Mean { sum, count } => (*sum, *count) = (*sum + n_keys, *count + n_keys),
        }
        if let (Final::Column(at), false) = (&*last, call.is_distinct) {
            levels.second[at - n_keys].output = call.output.clone();
        }
    }
    levels
}

fn arranged_schema(input: &SchemaRef, keys: &[usize], slots: &Slots, places: &Places) -> SchemaRef {
    let mut fields: Vec<FieldRef> = keys.iter().map(|&key| input.fields()[key].clone()).collect();
    if places.tag.is_some() {
        fields.push(Arc::new(Field::new("set", DataType::UInt16, false)));
    }
    fields.extend(slots.fields());
    Arc::new(Schema::new(fields))
}

/// What is known of the keys of the first aggregation. A slot that copies share has values of several columns.
fn key_statistics(
    known: &[Option<ColumnStatistics>],
    keys: &[usize],
    slots: &Slots,
    n_sorted: usize,
    has_tag: bool,
) -> Vec<Option<ColumnStatistics>> {
    let mut statistics: Vec<Option<ColumnStatistics>> = keys.iter().map(|&key| known[key].clone()).collect();
    statistics.extend(has_tag.then_some(None));
    let of_slot = |slot: usize| {
        let mut sources = slots.used.iter().flatten().filter(|(_, used)| *used == slot);
        match (sources.next(), sources.next()) {
            (Some((source, _)), None) => {
                let statistics = known[source.input()?].clone()?;
                Some(ColumnStatistics { n_nulls: None, ..statistics })
            }
            _ => None,
        }
    };
    statistics.extend((0..n_sorted).map(of_slot));
    statistics
}

fn final_column(last: &Final) -> Column {
    match last {
        Final::Column(column) => Column::Input(*column),
        Final::Count(column) => Column::Computed(Arc::new(OrZero(*column))),
        Final::Mean { sum, count } => Column::Computed(Arc::new(Mean { sum: *sum, count: *count })),
    }
}

/// Whether the tag of a row is a number.
struct TagIs {
    tag: usize,
    copy: u16,
}

impl Expression for TagIs {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let tags = batch.column(self.tag).as_primitive::<UInt16Type>();
        Ok(Arc::new(BooleanArray::from_unary(tags, |tag| tag == self.copy)))
    }
}

/// A count that is 0 where there was nothing to count.
struct OrZero(usize);

impl Expression for OrZero {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let counts = batch.column(self.0).as_primitive::<Int64Type>();
        Ok(Arc::new(counts.iter().map(|count| count.unwrap_or(0)).collect::<Int64Array>()))
    }
}

/// A mean from its sum and count; NULL without values.
struct Mean {
    sum: usize,
    count: usize,
}

impl Expression for Mean {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let sums = batch.column(self.sum).as_primitive_opt::<Float64Type>();
        let Some(sums) = sums else { return Err(Error::query("a mean of something that is no number")) };
        let counts = batch.column(self.count).as_primitive::<Int64Type>();
        let mean = |(sum, count): (Option<f64>, Option<i64>)| Some(sum? / count? as f64);
        Ok(Arc::new(sums.iter().zip(counts.iter()).map(mean).collect::<Float64Array>()))
    }
}
