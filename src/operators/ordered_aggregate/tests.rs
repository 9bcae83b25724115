//! Ordered aggregation against a dull oracle, under every kind of pressure.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::*;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::operators::aggregate::AggregateFunction;
use crate::operators::sort::{Sort, SortKey, SortSpec};
use crate::operators::trial::Trial;
use crate::spill::{Disk, Fault};

/// One row of input: a key, a number and a string to aggregate, a condition.
#[derive(Debug, Clone)]
struct Row {
    key: Option<i32>,
    /// In quarters, so that sums are exact.
    number: Option<i32>,
    is_negative_zero: bool,
    text: Option<String>,
    flag: Option<bool>,
}

impl Row {
    fn float(&self) -> Option<f64> {
        self.number
            .map(|quarters| if quarters == 0 && self.is_negative_zero { -0.0 } else { f64::from(quarters) / 4.0 })
    }
}

fn batch_of(rows: &[Row]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("key", Arc::new(rows.iter().map(|row| row.key).collect::<Int32Array>()), true),
        ("number", Arc::new(rows.iter().map(Row::float).collect::<Float64Array>()), true),
        ("text", Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringArray>()), true),
        ("flag", Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

const KEY: usize = 0;
const TAG: usize = 1;
const NUMBER: usize = 2;
const TEXT: usize = 3;
const FLAG: usize = 4;
const NUMBER_BY_TEXT: usize = 5;

/// Rows by number, and copies by text.
fn copies(is_ungrouped: bool) -> Vec<Vec<ArrangedColumn>> {
    use ArrangedColumn::*;
    let key = if is_ungrouped { Constant(0) } else { Input(0) };
    vec![
        vec![key, Constant(0), Comparable(1), Null, Input(3), Null],
        vec![key, Constant(1), Null, Input(2), Input(3), Input(1)],
    ]
}

fn spec(is_ungrouped: bool) -> OrderedSpec {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let input = Schema::new(vec![
        field("key", if is_ungrouped { DataType::UInt16 } else { DataType::Int32 }),
        field("tag", DataType::UInt16),
        field("number", DataType::Float64),
        field("text", DataType::Utf8),
        field("flag", DataType::Boolean),
        field("number by text", DataType::Float64),
    ]);
    let call = |function, args: &[usize], filter, is_distinct, tag, data_type| OrderedCall {
        output: Arc::new(field(&format!("{function:?}"), data_type)),
        function,
        args: args.to_vec(),
        filter,
        is_distinct,
        tag,
    };
    use OrderedFunction::*;
    let list = DataType::new_list(DataType::Float64, true);
    let separator = "-".to_string();
    let calls = vec![
        call(Ordinary(AggregateFunction::CountStar), &[], None, false, 0, DataType::Int64),
        call(Median, &[NUMBER], None, false, 0, DataType::Float64),
        call(Percentile(0.3), &[NUMBER], Some(FLAG), false, 0, DataType::Float64),
        call(Median, &[NUMBER], None, true, 0, DataType::Float64),
        call(Mode, &[NUMBER], None, false, 0, DataType::Float64),
        call(Ordinary(AggregateFunction::Count), &[NUMBER], Some(FLAG), true, 0, DataType::Int64),
        call(Ordinary(AggregateFunction::Sum), &[NUMBER], None, true, 0, DataType::Float64),
        call(Ordinary(AggregateFunction::Sum), &[NUMBER], Some(FLAG), false, 0, DataType::Float64),
        call(Mode, &[TEXT], None, false, 1, DataType::Utf8),
        call(PercentileDisc(0.6), &[TEXT], None, false, 1, DataType::Utf8),
        call(Ordinary(AggregateFunction::Count), &[TEXT], None, true, 1, DataType::Int64),
        call(StringAgg { separator }, &[TEXT], None, true, 1, DataType::LargeUtf8),
        call(ArrayAgg { ignore_nulls: false }, &[NUMBER_BY_TEXT], None, false, 1, list),
        call(Nth { n: 2, ignore_nulls: true }, &[NUMBER_BY_TEXT], None, false, 1, DataType::Float64),
        call(Nth { n: -3, ignore_nulls: false }, &[TEXT], Some(FLAG), false, 1, DataType::Utf8),
    ];
    let key = (!is_ungrouped).then(|| Arc::new(input.field(KEY).clone()));
    let output: Fields = key.into_iter().chain(calls.iter().map(|call| call.output.clone())).collect();
    OrderedSpec {
        input: Arc::new(input),
        keys: vec![KEY],
        is_ungrouped,
        tag: Some(TAG),
        calls,
        output: Arc::new(Schema::new(output)),
    }
}

/// The same by collecting the rows of each group.
fn oracle(rows: &[Row], is_ungrouped: bool) -> Vec<String> {
    let mut groups: BTreeMap<Option<i32>, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.key.filter(|_| !is_ungrouped)).or_default().push(row);
    }
    let mut lines: Vec<String> = groups
        .into_iter()
        .map(|(key, rows)| {
            let key = (!is_ungrouped).then(|| text_of(key));
            key.into_iter().chain(results(&rows)).collect::<Vec<_>>().join(" | ")
        })
        .collect();
    lines.sort();
    lines
}

fn results(rows: &[&Row]) -> Vec<String> {
    let flagged: Vec<&Row> = rows.iter().copied().filter(|row| row.flag == Some(true)).collect();
    let numbers = |rows: &[&Row]| {
        let mut numbers: Vec<f64> = rows.iter().filter_map(|row| row.number).map(|n| f64::from(n) / 4.0).collect();
        numbers.sort_by(f64::total_cmp);
        numbers
    };
    let unique = |mut numbers: Vec<f64>| {
        numbers.dedup();
        numbers
    };
    let percentile = |numbers: &[f64], part: f64| {
        let at = part * numbers.len().checked_sub(1)? as f64;
        let (low, high) = (numbers[at.floor() as usize], numbers[at.ceil() as usize]);
        Some(low + (high - low) * at.fract())
    };
    let sum = |numbers: &[f64]| (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>());
    let mut by_text = rows.to_vec();
    by_text.sort_by_key(|row| (row.text.is_none(), row.text.clone()));
    let texts: Vec<String> = by_text.iter().filter_map(|row| row.text.clone()).collect();
    let distinct: BTreeSet<String> = texts.iter().cloned().collect();
    let list = by_text.iter().map(|row| row.float().map_or(String::new(), float_text)).collect::<Vec<_>>().join(", ");
    let by_text_flagged: Vec<&&Row> = by_text.iter().filter(|row| row.flag == Some(true)).collect();
    let third_last = by_text_flagged.len().checked_sub(3).and_then(|idx| by_text_flagged[idx].text.clone());
    let all = numbers(rows);
    vec![
        rows.len().to_string(),
        text_of(percentile(&all, 0.5).map(float_text)),
        text_of(percentile(&numbers(&flagged), 0.3).map(float_text)),
        text_of(percentile(&unique(all.clone()), 0.5).map(float_text)),
        text_of(most_frequent(&all).map(float_text)),
        unique(numbers(&flagged)).len().to_string(),
        text_of(sum(&unique(all.clone())).map(float_text)),
        text_of(sum(&numbers(&flagged)).map(float_text)),
        text_of(most_frequent(&texts)),
        text_of(((texts.len() as f64 * 0.6).ceil() as usize).checked_sub(1).map(|idx| texts[idx].clone())),
        distinct.len().to_string(),
        text_of((!distinct.is_empty()).then(|| distinct.into_iter().collect::<Vec<_>>().join("-"))),
        format!("[{list}]"),
        text_of(by_text.iter().filter_map(|row| row.float()).nth(1).map(float_text)),
        text_of(third_last),
    ]
}

/// Of sorted values.
fn most_frequent<T: PartialEq + Clone>(values: &[T]) -> Option<T> {
    let mut best: Option<(usize, &T)> = None;
    for run in values.chunk_by(|a, b| a == b) {
        if best.is_none_or(|(count, _)| run.len() > count) {
            best = Some((run.len(), &run[0]));
        }
    }
    best.map(|(_, value)| value.clone())
}

fn text_of<T: ToString>(value: Option<T>) -> String {
    value.map_or("null".into(), |value| value.to_string())
}

fn float_text(value: f64) -> String {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
    ArrayFormatter::try_new(&array, &FormatOptions::default()).unwrap().value(0).to_string()
}

fn lines_of(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let cells = |column: &ArrayRef| {
            // NULLs inside lists are empty, others are named.
            let options = FormatOptions::default().with_null(if column.data_type().is_nested() { "" } else { "null" });
            let formatter = ArrayFormatter::try_new(column, &options).unwrap();
            (0..column.len()).map(|row| formatter.value(row).to_string()).collect::<Vec<_>>()
        };
        let columns: Vec<Vec<String>> = batch.columns().iter().map(cells).collect();
        lines.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect::<Vec<_>>().join(" | ")),
        );
    }
    lines.sort();
    lines
}

/// A source with a transform behind it.
struct Behind<'a> {
    source: Arc<dyn Source>,
    transform: &'a OrderedAggregate,
}

struct LocalBehind {
    source: Box<dyn LocalSource>,
    transform: Box<dyn LocalTransform>,
}

impl Source for Behind<'_> {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        Ok(Box::new(LocalBehind { source: self.source.local(cx)?, transform: self.transform.local(cx)? }))
    }
}

impl LocalSource for LocalBehind {
    fn next(&mut self) -> Result<Option<Batch>> {
        while let Some(batch) = self.source.next()? {
            let mut emitted = None;
            self.transform.push(batch, &mut |batch| {
                emitted = Some(batch);
                Ok(Flow::More)
            })?;
            if emitted.is_some() {
                return Ok(emitted);
            }
        }
        Ok(None)
    }
}

/// Keys as a file's statistics would let them be kept.
fn narrow_keys(rows: &[Row], cx: &crate::exec::QueryContext) -> Arc<NarrowKeys> {
    let of = |value: Option<i32>| value.map(|value| Arc::new(Int32Array::from(vec![value])) as ArrayRef);
    let (min, max) = (rows.iter().filter_map(|row| row.key).min(), rows.iter().filter_map(|row| row.key).max());
    let statistics = crate::io::ColumnStatistics { min: of(min), max: of(max), ..Default::default() };
    Arc::new(NarrowKeys::new(vec![DataType::Int32], &[Some(statistics)], &cx.memory))
}

fn run(rows: &[Row], is_ungrouped: bool, batch_rows: usize, trial: &Trial) -> Result<Vec<String>> {
    let cx = trial.context();
    let reserved_before = cx.memory.reserved_outside_pages();
    let outcome = (|| {
        let mut spec = spec(is_ungrouped);
        let mut arrange = Arrange::new(copies(is_ungrouped), spec.input.clone());
        // Statistics are known of every other input.
        let narrow = (!is_ungrouped && rows.len().is_multiple_of(2)).then(|| narrow_keys(rows, &cx));
        if let Some(narrow) = &narrow {
            let mut fields: Vec<_> = spec.input.fields().iter().cloned().collect();
            fields[KEY] = Arc::new(Field::new("key", narrow.field_types().next().unwrap(), true));
            spec.input = Arc::new(Schema::new(fields));
            arrange = Arrange::new(copies(false), spec.input.clone()).narrowing(narrow.clone());
        }
        let input = rows.chunks(batch_rows).map(|rows| Batch::only(batch_of(rows))).collect();
        let arranged = crate::operators::testing::run_transform(&arrange, input);
        let arranged: Vec<RecordBatch> = arranged.into_iter().map(|batch| batch.data).collect();
        let key = |column| SortKey { column, descending: false, nulls_first: false };
        let keys = [KEY, TAG, NUMBER, TEXT].map(key).to_vec();
        let sort = SortSpec { schema: spec.input.clone(), keys, limit: None, n_grouping_keys: 1 };
        let sort = Sort::new(sort, &cx)?;
        let mut ordered = OrderedAggregate::new(spec, &cx)?;
        if let Some(narrow) = narrow {
            ordered = ordered.widening(narrow);
        }
        let groups =
            trial.run(&cx, &arranged, &*sort.sink(), &Behind { source: sort.source(), transform: &ordered })?;
        Ok(lines_of(&groups))
    })();
    cx.memory.refuse_every(0);
    assert_eq!(cx.memory.reserved_outside_pages(), reserved_before, "every reservation was given back");
    outcome
}

fn rows_strategy(most_rows: usize) -> impl Strategy<Value = Vec<Row>> {
    let skews = prop_oneof![Just(1i32), Just(3), Just(50), Just(100_000)];
    (skews, any::<bool>(), 1..most_rows).prop_flat_map(|(n_keys, long, n_rows)| {
        let suffix = if long { "x".repeat(40) } else { String::new() };
        let number = prop_oneof![-4i32..4, -4000i32..4000];
        let row = (
            // Half the rows have one key.
            proptest::option::weighted(0.9, prop_oneof![Just(0), 0..n_keys]),
            proptest::option::weighted(0.9, number),
            any::<bool>(),
            proptest::option::weighted(0.9, 0..300),
            proptest::option::weighted(0.8, any::<bool>()),
        );
        let row = row.prop_map(move |(key, number, is_negative_zero, text, flag)| Row {
            key,
            number,
            is_negative_zero,
            text: text.map(|text| format!("t{text}{suffix}")),
            flag,
        });
        proptest::collection::vec(row, n_rows)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn groups_equal_the_oracle_under_any_pressure(
        rows in rows_strategy(3000),
        is_ungrouped in any::<bool>(),
        batch_rows in prop_oneof![Just(1usize), Just(7), Just(1000), Just(8192)],
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed_kib in prop_oneof![Just(2048u64), Just(4096), Just(65536)],
        refuse_every in prop_oneof![Just(0u64), Just(3), Just(17)],
        evict_always in any::<bool>(),
    ) {
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed_kib << 10, threads) };
        match run(&rows, is_ungrouped, batch_rows, &trial) {
            Ok(found) => prop_assert_eq!(found, oracle(&rows, is_ungrouped)),
            Err(error) => prop_assert!(refuse_every > 0 && error.kind() == ErrorKind::Budget, "{error}"),
        }
    }
}

fn many_rows(n_rows: usize, n_keys: usize) -> Vec<Row> {
    let row = |idx: usize| Row {
        key: Some((idx * 7919 % n_keys) as i32),
        number: (!idx.is_multiple_of(11)).then_some((idx * 31 % 5003) as i32),
        is_negative_zero: false,
        text: Some(format!("text number {:012}", idx * 7 % 3001)),
        flag: Some(idx.is_multiple_of(3)),
    };
    (0..n_rows).map(row).collect()
}

#[test]
fn groups_many_times_the_memory_are_right() {
    for (n_keys, threads) in [(1, 1), (2, 2), (20_000, 2)] {
        let rows = many_rows(60_000, n_keys);
        let trial = Trial::new(3 << 20, threads);
        let found = run(&rows, false, 4096, &trial).unwrap();
        assert!(found == oracle(&rows, false), "{n_keys} groups");
    }
}

#[test]
fn a_list_that_does_not_fit_is_a_budget_error_that_names_its_function() {
    let mut rows = many_rows(60_000, 1);
    rows.iter_mut().enumerate().for_each(|(idx, row)| row.text = Some(format!("{idx} {}", "long".repeat(50))));
    let error = run(&rows, false, 4096, &Trial::new(3 << 20, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(error.message().contains("string_agg needs"), "{error}");
}

#[test]
fn a_failing_disk_is_a_disk_error_at_every_call() {
    let rows = many_rows(6_000, 3);
    let expected = oracle(&rows, false);
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        let mut n = 1;
        loop {
            let trial = Trial { disk: Disk::faulty(n, fault), evict_always: true, ..Trial::new(3 << 20, 1) };
            match run(&rows, false, 1000, &trial) {
                Ok(found) => {
                    assert!(found == expected);
                    if trial.disk.calls() < n {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
            n += 1 + n / 8;
        }
        assert!(n > 20, "the disk was used");
    }
}
