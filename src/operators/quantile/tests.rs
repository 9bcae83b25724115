//! Percentiles by counting against sorting, under every kind of pressure.

use arrow::array::{AsArray, BooleanArray, Float64Array, Int32Array};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::operators::aggregate::AggregateFunction;
use crate::operators::trial::Trial;
use crate::spill::{Disk, Fault};

/// A float (in quarters), an integer, a condition.
type Row = (Option<i32>, Option<i32>, Option<bool>);

fn batch_of(rows: &[Row]) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("float", Arc::new(rows.iter().map(|row| row.0.map(float_of)).collect::<Float64Array>()), true),
        ("int", Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()), true),
        ("flag", Arc::new(rows.iter().map(|row| row.2).collect::<BooleanArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn float_of(quarters: i32) -> f64 {
    f64::from(quarters) / 4.0
}

fn calls() -> Vec<QuantileCall> {
    let output = |data_type| Arc::new(Field::new("result", data_type, true));
    let float = |pick, filter| QuantileCall::Pick { pick, column: 0, filter, output: output(DataType::Float64) };
    let int = |pick| QuantileCall::Pick { pick, column: 1, filter: None, output: output(DataType::Int32) };
    let count = AggregateCall {
        function: AggregateFunction::Count,
        args: vec![1],
        filter: Some(2),
        output: output(DataType::Int64),
    };
    vec![
        float(Pick::Median, None),
        QuantileCall::Ordinary(count),
        float(Pick::At(0.9), None),
        float(Pick::Median, Some(2)),
        int(Pick::Value(0.3)),
        int(Pick::Value(0.0)),
    ]
}

type Results = (Vec<Option<f64>>, i64, Vec<Option<i32>>);

fn oracle(rows: &[Row]) -> Results {
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values
    };
    let all = sorted(rows.iter().filter_map(|row| row.0.map(float_of)).collect());
    let flagged = sorted(rows.iter().filter(|row| row.2 == Some(true)).filter_map(|row| row.0.map(float_of)).collect());
    let between = |values: &[f64], part: f64| {
        let at = part * values.len().checked_sub(1)? as f64;
        let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
        Some(low + (high - low) * at.fract())
    };
    let mut ints: Vec<i32> = rows.iter().filter_map(|row| row.1).collect();
    ints.sort_unstable();
    let at = |part: f64| Some(ints[((part * ints.len() as f64).ceil() as usize).clamp(1, ints.len().max(1)) - 1]);
    let n = rows.iter().filter(|row| row.2 == Some(true) && row.1.is_some()).count();
    let floats = vec![between(&all, 0.5), between(&all, 0.9), between(&flagged, 0.5)];
    let picked = if ints.is_empty() { vec![None, None] } else { vec![at(0.3), at(0.0)] };
    (floats, n as i64, picked)
}

fn run(rows: &[Row], batch_rows: usize, trial: &Trial) -> Result<Results> {
    let cx = trial.context();
    let reserved_before = cx.memory.reserved_outside_pages();
    let outcome = (|| {
        let fields: Vec<FieldRef> = calls()
            .iter()
            .map(|call| match call {
                QuantileCall::Pick { output, .. } => output.clone(),
                QuantileCall::Ordinary(call) => call.output.clone(),
            })
            .collect();
        let quantile = Quantile::new(batch_of(&[]).schema(), calls(), Arc::new(Schema::new(fields)), &cx)?;
        let batches: Vec<_> = rows.chunks(batch_rows).map(batch_of).collect();
        let found = trial.run(&cx, &batches, &*quantile.sink(), &*quantile.source())?;
        assert_eq!(found.len(), 1);
        let row = &found[0];
        assert_eq!(row.num_rows(), 1);
        let float = |column: usize| row.column(column).as_primitive::<Float64Type>().iter().next().unwrap();
        let int = |column: usize| row.column(column).as_primitive::<Int32Type>().iter().next().unwrap();
        let count = row.column(1).as_primitive::<Int64Type>().value(0);
        Ok((vec![float(0), float(2), float(3)], count, vec![int(4), int(5)]))
    })();
    cx.memory.refuse_every(0);
    assert_eq!(cx.memory.reserved_outside_pages(), reserved_before, "every reservation was given back");
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn counting_finds_what_sorting_finds(
        rows in proptest::collection::vec(
            (
                proptest::option::weighted(0.9, prop_oneof![-3i32..3, -100_000i32..100_000]),
                proptest::option::weighted(0.9, any::<i32>()),
                proptest::option::weighted(0.8, any::<bool>()),
            ),
            0..5000,
        ),
        batch_rows in prop_oneof![Just(1usize), Just(100), Just(8192)],
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed_kib in prop_oneof![Just(4096u64), Just(65536)],
        refuse_every in prop_oneof![Just(0u64), Just(3), Just(17)],
        evict_always in any::<bool>(),
    ) {
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed_kib << 10, threads) };
        match run(&rows, batch_rows, &trial) {
            Ok(found) => prop_assert_eq!(found, oracle(&rows)),
            Err(error) => prop_assert!(refuse_every > 0 && error.kind() == ErrorKind::Budget, "{error}"),
        }
    }
}

fn many_rows(n_rows: i32, n_values: i32) -> Vec<Row> {
    (0..n_rows).map(|n| (Some(n.wrapping_mul(7919) % n_values), Some(n % n_values), Some(n % 3 == 0))).collect()
}

#[test]
fn values_many_times_the_memory_are_found() {
    for n_values in [1, 300, 1_000_000] {
        let rows = many_rows(400_000, n_values);
        let trial = Trial::new(5 << 20, 2);
        assert_eq!(run(&rows, 8192, &trial).unwrap(), oracle(&rows), "{n_values} different values");
        assert!(trial.disk.calls() > 0, "keys were spilled");
    }
}

#[test]
fn a_failing_disk_is_a_disk_error_at_every_call() {
    let rows = many_rows(20_000, 1000);
    let expected = oracle(&rows);
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        let mut n = 1;
        loop {
            let trial = Trial { disk: Disk::faulty(n, fault), evict_always: true, ..Trial::new(4 << 20, 1) };
            match run(&rows, 4096, &trial) {
                Ok(found) => {
                    assert_eq!(found, expected);
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
