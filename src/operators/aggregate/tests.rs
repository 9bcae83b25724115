//! Aggregation against a dull oracle, under every kind of pressure.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use proptest::prelude::*;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::operators::trial::Trial;
use crate::spill::{Disk, Fault};

/// One row of input: a string, an integer and a Boolean for keys; an integer and a float to aggregate.
#[derive(Debug, Clone)]
struct Row {
    text: Option<String>,
    number: Option<i32>,
    flag: Option<bool>,
    int: Option<i64>,
    /// A multiple of a quarter, so that sums are exact in any order.
    float: Option<f64>,
}

fn batch_of(rows: &[Row], as_dictionary: bool) -> RecordBatch {
    let mut text: ArrayRef = Arc::new(rows.iter().map(|row| row.text.as_deref()).collect::<StringArray>());
    if as_dictionary {
        text = cast(&text, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))).unwrap();
    }
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("text", text, true),
        ("number", Arc::new(rows.iter().map(|row| row.number).collect::<Int32Array>()), true),
        ("flag", Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()), true),
        ("int", Arc::new(rows.iter().map(|row| row.int).collect::<Int64Array>()), true),
        ("float", Arc::new(rows.iter().map(|row| row.float).collect::<Float64Array>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// `select keys, count(*), count(int), sum(int), min(float), max(int), avg(float), sum(int) filter (where flag)`.
fn spec_for(keys: &[usize]) -> AggregateSpec {
    let input = batch_of(&[], false).schema();
    let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
    let call = |function, args: &[usize], filter, data_type| AggregateCall {
        output: field(&format!("{function:?}"), data_type),
        function,
        args: args.to_vec(),
        filter,
    };
    let calls = vec![
        call(AggregateFunction::CountStar, &[], None, DataType::Int64),
        call(AggregateFunction::Count, &[3], None, DataType::Int64),
        call(AggregateFunction::Sum, &[3], None, DataType::Int64),
        call(AggregateFunction::Min, &[4], None, DataType::Float64),
        call(AggregateFunction::Max, &[3], None, DataType::Int64),
        call(AggregateFunction::Avg, &[4], None, DataType::Float64),
        call(AggregateFunction::Sum, &[3], Some(2), DataType::Int64),
    ];
    let key_fields = keys.iter().map(|&key| Arc::new(input.field(key).clone()));
    let fields: Fields = key_fields.chain(calls.iter().map(|call| call.output.clone())).collect();
    AggregateSpec { input, keys: keys.to_vec(), calls, output: Arc::new(Schema::new(fields)) }
}

fn text_of<T: ToString>(value: Option<T>) -> String {
    value.map_or("null".into(), |value| value.to_string())
}

/// The same by collecting the rows of each group.
fn oracle(rows: &[Row], keys: &[usize]) -> Vec<String> {
    let mut groups: BTreeMap<Vec<String>, Vec<&Row>> = BTreeMap::new();
    if keys.is_empty() {
        groups.insert(Vec::new(), Vec::new());
    }
    for row in rows {
        let values = [text_of(row.text.clone()), text_of(row.number), text_of(row.flag)];
        groups.entry(keys.iter().map(|&key| values[key].clone()).collect()).or_default().push(row);
    }
    let mut lines: Vec<String> = groups
        .into_iter()
        .map(|(key, rows)| {
            let ints: Vec<i64> = rows.iter().filter_map(|row| row.int).collect();
            let floats: Vec<f64> = rows.iter().filter_map(|row| row.float).collect();
            let flagged: Vec<i64> =
                rows.iter().filter(|row| row.flag == Some(true)).filter_map(|row| row.int).collect();
            let sum = |values: &[i64]| (!values.is_empty()).then(|| values.iter().sum::<i64>());
            let mean = (!floats.is_empty()).then(|| floats.iter().sum::<f64>() / floats.len() as f64);
            let values = [
                rows.len().to_string(),
                ints.len().to_string(),
                text_of(sum(&ints)),
                text_of(floats.iter().copied().reduce(f64::min).map(float_text)),
                text_of(ints.iter().max()),
                text_of(mean.map(float_text)),
                text_of(sum(&flagged)),
            ];
            key.into_iter().chain(values).collect::<Vec<_>>().join(" | ")
        })
        .collect();
    lines.sort();
    lines
}

fn float_text(value: f64) -> String {
    let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
    ArrayFormatter::try_new(&array, &FormatOptions::default()).unwrap().value(0).to_string()
}

fn lines_of(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    let options = FormatOptions::default().with_null("null");
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | "));
        }
    }
    lines.sort();
    lines
}

fn run(rows: &[Row], keys: &[usize], batch_rows: usize, as_dictionary: bool, trial: &Trial) -> Result<Vec<String>> {
    let batches: Vec<_> = rows.chunks(batch_rows).map(|rows| batch_of(rows, as_dictionary)).collect();
    run_batches(&batches, keys, trial).map(|(lines, _)| lines)
}

/// What a file's statistics would say of the keys, every second key unknown.
fn statistics_of(batches: &[RecordBatch], keys: &[usize]) -> Vec<Option<ColumnStatistics>> {
    let statistics = |&key: &usize| {
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(key).as_ref()).collect();
        match key {
            0 => Some(ColumnStatistics { max_distinct: Some(60_000), ..Default::default() }),
            1 if !columns.is_empty() => {
                let all = arrow::compute::concat(&columns).unwrap();
                let numbers = all.as_primitive::<Int32Type>();
                let (low, high) = (arrow::compute::min(numbers)?, arrow::compute::max(numbers)?);
                let of = |value: i32| Some(Arc::new(Int32Array::from(vec![value])) as ArrayRef);
                Some(ColumnStatistics { min: of(low), max: of(high), ..Default::default() })
            }
            _ => None,
        }
    };
    keys.iter().map(statistics).collect()
}

fn run_batches(batches: &[RecordBatch], keys: &[usize], trial: &Trial) -> Result<(Vec<String>, OperatorReport)> {
    let cx = trial.context();
    let reserved_before = cx.memory.reserved_outside_pages();
    let outcome = (|| {
        // More distinct strings than codes are the business of the tests without statistics.
        let n_rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let key_statistics = if n_rows < 60_000 { statistics_of(batches, keys) } else { Vec::new() };
        let aggregate = Aggregate::new(spec_for(keys), AggregateOptions { key_statistics }, &cx)?;
        let groups = trial.run(&cx, batches, &*aggregate.sink(), &*aggregate.source())?;
        Ok((lines_of(&groups), aggregate.report()))
    })();
    cx.memory.refuse_every(0);
    // Free frames stay with the pool; what is reserved beside pages must be back.
    assert_eq!(cx.memory.reserved_outside_pages(), reserved_before, "every reservation was given back");
    outcome
}

fn rows_strategy(most_rows: usize) -> impl Strategy<Value = Vec<Row>> {
    let skews = prop_oneof![Just(1usize), Just(3), Just(50), Just(100_000)];
    (skews, any::<bool>(), 0..most_rows).prop_flat_map(|(n_keys, long, n_rows)| {
        let suffix = if long { "x".repeat(40) } else { String::new() };
        let row = (
            proptest::option::weighted(0.9, 0..n_keys),
            proptest::option::weighted(0.9, 0..n_keys.min(300) as i32),
            proptest::option::weighted(0.8, any::<bool>()),
            proptest::option::weighted(0.9, -1000i64..1000),
            proptest::option::weighted(0.9, -4000i32..4000),
        );
        let row = row.prop_map(move |(text, number, flag, int, quarters)| Row {
            text: text.map(|key| format!("k{key}{suffix}")),
            number,
            flag,
            int,
            float: quarters.map(|quarters| f64::from(quarters) / 4.0),
        });
        proptest::collection::vec(row, n_rows)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn groups_equal_the_oracle_under_any_pressure(
        rows in rows_strategy(3000),
        keys in prop_oneof![Just(vec![]), Just(vec![0]), Just(vec![1]), Just(vec![0, 1]), Just(vec![2, 1, 0])],
        batch_rows in prop_oneof![Just(1usize), Just(7), Just(1000), Just(8192)],
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed_kib in prop_oneof![Just(1536u64), Just(4096), Just(65536)],
        refuse_every in prop_oneof![Just(0u64), Just(3), Just(17)],
        evict_always in any::<bool>(),
        as_dictionary in any::<bool>(),
    ) {
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed_kib << 10, threads) };
        match run(&rows, &keys, batch_rows, as_dictionary, &trial) {
            Ok(found) => prop_assert_eq!(found, oracle(&rows, &keys)),
            // With every third request refused, the second refusal in a row can be a first page's.
            Err(error) => prop_assert!(refuse_every > 0 && error.kind() == ErrorKind::Budget, "{error}"),
        }
    }
}

/// Many groups in little memory: spilled, merged and split again.
fn many_rows(n_rows: usize, n_keys: usize) -> Vec<Row> {
    let row = |idx: usize| Row {
        text: Some(format!("key number {:012}", idx * 7919 % n_keys)),
        number: Some((idx % n_keys % 97) as i32),
        flag: Some(idx.is_multiple_of(3)),
        int: Some(idx as i64),
        float: Some((idx % 100) as f64 / 4.0),
    };
    (0..n_rows).map(row).collect()
}

#[test]
fn groups_many_times_the_memory_are_split_and_right() {
    let rows = many_rows(420_000, 400_000);
    let batches: Vec<_> = rows.chunks(4096).map(|rows| batch_of(rows, false)).collect();
    let trial = Trial::new(1536 << 10, 2);
    let (found, report) = run_batches(&batches, &[0, 1], &trial).unwrap();
    assert!(found == oracle(&rows, &[0, 1]), "{} groups", found.len());
    assert!(report.spilled_raw_bytes > 10 << 20, "{report:?}");
    assert!(report.depth >= 1, "a partition had to be split: {report:?}");
    assert!(report.peak_bytes <= 1536 << 10, "{report:?}");
}

#[test]
fn keys_that_stand_together_are_forgotten_and_merged() {
    // Three rows of each key one after the other, then the same keys once more, then keys in no order.
    let text = |key: usize| Some(format!("key number {key:012}"));
    let together = (0..2).flat_map(|_| (0..9_000).map(|idx| idx / 3));
    let mut rows: Vec<Row> = many_rows(18_000, 1);
    rows.iter_mut().zip(together).for_each(|(row, key)| row.text = text(key));
    rows.extend(many_rows(6_000, 3_000));
    for (governed, batch_rows, threads) in [(64 << 20, 4096, 1), (1536 << 10, 100, 2), (8 << 20, 1, 2)] {
        let batches: Vec<_> = rows.chunks(batch_rows).map(|rows| batch_of(rows, false)).collect();
        let (found, _) = run_batches(&batches, &[0], &Trial::new(governed, threads)).unwrap();
        assert!(found == oracle(&rows, &[0]), "{governed} bytes, batches of {batch_rows}");
    }
}

#[test]
fn few_groups_in_many_rows_take_the_path_of_codes() {
    let rows = many_rows(100_000, 90);
    let batches: Vec<_> = rows.chunks(5000).map(|rows| batch_of(rows, true)).collect();
    for keys in [&[0][..], &[0, 1], &[2, 1]] {
        let (found, report) = run_batches(&batches, keys, &Trial::new(8 << 20, 2)).unwrap();
        assert!(found == oracle(&rows, keys), "keys {keys:?}");
        assert_eq!(report.spilled_raw_bytes, 0);
    }
}

#[test]
fn a_value_larger_than_a_page_is_a_group_like_any_other() {
    let mut rows = many_rows(500, 100);
    for (idx, row) in rows.iter_mut().enumerate().filter(|(idx, _)| idx % 50 == 0) {
        row.text = Some("long ".repeat(20_000 + idx % 100));
    }
    let trial = Trial { evict_always: true, ..Trial::new(8 << 20, 2) };
    let batches: Vec<_> = rows.chunks(10).map(|rows| batch_of(rows, false)).collect();
    let (found, _) = run_batches(&batches, &[0], &trial).unwrap();
    assert!(found == oracle(&rows, &[0]));
}

#[test]
fn float_keys_treat_zeros_and_nans_as_one_value_each() {
    let other_nan = f64::from_bits(f64::NAN.to_bits() | 1);
    let values = Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), Some(other_nan), None, Some(1.5)]);
    let input = RecordBatch::try_from_iter_with_nullable([("x", Arc::new(values) as ArrayRef, true)]).unwrap();
    let output = Schema::new(vec![Field::new("x", DataType::Float64, true), Field::new("n", DataType::Int64, true)]);
    let count = AggregateCall {
        function: AggregateFunction::CountStar,
        args: vec![],
        filter: None,
        output: Arc::new(output.field(1).clone()),
    };
    let spec = AggregateSpec { input: input.schema(), keys: vec![0], calls: vec![count], output: Arc::new(output) };
    let trial = Trial::new(8 << 20, 1);
    let cx = trial.context();
    let aggregate = Aggregate::new(spec, AggregateOptions::default(), &cx).unwrap();
    let groups = trial.run(&cx, &[input], &*aggregate.sink(), &*aggregate.source()).unwrap();
    assert_eq!(lines_of(&groups), ["0.0 | 2", "1.5 | 1", "NaN | 2", "null | 1"]);
}

#[test]
fn a_failing_disk_is_a_disk_error_at_every_call() {
    let rows = many_rows(12_000, 10_000);
    let expected = oracle(&rows, &[0]);
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        let mut n = 1;
        loop {
            let trial = Trial { disk: Disk::faulty(n, fault), ..Trial::new(1536 << 10, 1) };
            match run(&rows, &[0], 1000, false, &trial) {
                Ok(found) => {
                    assert!(found == expected);
                    if trial.disk.calls() < n {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
            // Every call at first, then ever larger steps: a run makes hundreds.
            n += 1 + n / 8;
        }
        assert!(n > 20, "the disk was used");
    }
}
