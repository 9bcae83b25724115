//! What a residual condition sees at once, how soon a join stops that gives nothing, and which keys are kept twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::super::plan::{JoinPlan, Place};
use super::*;

/// False for every pair. Notes how much it was shown, and may pull the cancel token.
#[derive(Default)]
struct Never {
    n_calls: AtomicUsize,
    most_bytes: AtomicUsize,
    cancel: Option<CancelToken>,
}

impl Expression for Never {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.n_calls.fetch_add(1, Ordering::Relaxed);
        let bytes: usize = batch.columns().iter().map(|column| column.get_buffer_memory_size()).sum();
        self.most_bytes.fetch_max(bytes, Ordering::Relaxed);
        self.cancel.iter().for_each(CancelToken::cancel);
        Ok(Arc::new(BooleanArray::from(vec![false; batch.num_rows()])))
    }
}

fn keyed(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("v", data_type, true)]))
}

/// Rows of one key, with the values `values`.
fn one_key(values: ArrayRef) -> RecordBatch {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![7; values.len()]));
    RecordBatch::try_new(keyed(values.data_type().clone()), vec![keys, values]).unwrap()
}

/// Joins by `k`, gives the keys of rows of the probe side, and compares their `v` by `predicate`.
fn spec(probe: &RecordBatch, build: &RecordBatch, join_type: JoinType, predicate: Arc<Never>) -> JoinSpec {
    let field = |batch: &RecordBatch, idx: usize| batch.schema().field(idx).clone();
    JoinSpec {
        probe: probe.schema(),
        build: build.schema(),
        keys: vec![(0, 0)],
        join_type,
        null_equal: false,
        null_aware: false,
        residual: Some(Residual {
            predicate,
            columns: vec![JoinColumn::Probe(1), JoinColumn::Build(1)],
            schema: Arc::new(Schema::new(vec![field(probe, 1), field(build, 1)])),
        }),
        output: vec![JoinColumn::Probe(0)],
        schema: Arc::new(Schema::new(vec![field(probe, 0)])),
    }
}

#[test]
fn a_condition_over_long_values_sees_few_pairs_at_once() {
    let long: Vec<String> = (0..4).map(|n| if n == 2 { "x".repeat(60_000) } else { "y".to_string() }).collect();
    let docs = one_key(Arc::new(StringArray::from(long)));
    let numbers = one_key(Arc::new(Int64Array::from_iter_values(0..2000)));
    for join_type in [JoinType::Inner, JoinType::ProbeAnti, JoinType::Full] {
        for is_probe in [true, false] {
            let (probe, build) = if is_probe { (&docs, &numbers) } else { (&numbers, &docs) };
            let predicate = Arc::new(Never::default());
            let spec = spec(probe, build, join_type, predicate.clone());
            let (trial, inputs) = (plenty(), [vec![probe.clone()], vec![build.clone()]]);
            let cx = trial.context();
            run_join(&spec, JoinOptions::default(), inputs, &Arc::default(), (&cx, 1)).unwrap();
            let (most, bound) = (predicate.most_bytes.load(Ordering::Relaxed), cx.memory.sizes().batch_bytes + 70_000);
            assert!(most > 0 && most <= 2 * bound, "{join_type:?}: {most} bytes at once, bound {bound}");
        }
    }
}

#[test]
fn a_cancelled_join_that_gives_no_row_stops_soon() {
    let rows = |n: i64| one_key(Arc::new(Int64Array::from_iter_values(0..n)));
    for join_type in [JoinType::ProbeAnti, JoinType::BuildAnti, JoinType::ProbeSemi, JoinType::Inner] {
        for options in [JoinOptions::default(), NOTHING_FITS] {
            let (probe, build) = (rows(4000), rows(4000));
            let cx = plenty().context();
            let predicate = Arc::new(Never { cancel: Some(cx.cancel.clone()), ..Never::default() });
            let spec = spec(&probe, &build, join_type, predicate.clone());
            let inputs = [vec![probe], vec![build]];
            let error = run_join(&spec, options, inputs, &Arc::default(), (&cx, 2)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            let n_calls = predicate.n_calls.load(Ordering::Relaxed);
            assert!(n_calls <= 4, "{join_type:?}: went on for {n_calls} batches of pairs");
        }
    }
}

/// A key with -0.0 somewhere inside lies in its row as 0.0, so the value itself has to be there as well.
#[test]
fn keys_with_floats_anywhere_are_kept_as_they_were() {
    let field = |data_type| Arc::new(Field::new("item", data_type, true));
    let floats = DataType::List(field(DataType::Float64));
    let in_struct = DataType::Struct(vec![field(floats.clone())].into());
    for (key, is_changed) in [
        (DataType::Float32, true),
        (floats, true),
        (in_struct, true),
        (DataType::Int64, false),
        (DataType::List(field(DataType::Utf8)), false),
    ] {
        let schema = Arc::new(Schema::new(vec![Field::new("k", key.clone(), true)]));
        let spec = JoinSpec {
            probe: schema.clone(),
            build: schema.clone(),
            keys: vec![(0, 0)],
            join_type: JoinType::Inner,
            null_equal: false,
            null_aware: false,
            residual: None,
            output: vec![JoinColumn::Probe(0), JoinColumn::Build(0)],
            schema,
        };
        let plan = JoinPlan::new(&spec).unwrap();
        for place in &plan.output {
            let Place::Field { field, .. } = place else { panic!("{place:?}") };
            assert_eq!(*field >= plan.n_keys, is_changed, "{key}");
        }
    }
}
