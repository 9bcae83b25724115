//! Windows against a dull oracle: over functions, frames, data, memory, threads, refusals and failing disks.

mod oracle;
mod speed;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use self::oracle::{Cell, cell, same};
use super::{Bound, EdgeKeys, FoldFunction, Frame, FrameEdges, Unit, Window, WindowCall, WindowFunction, WindowSpec};
use crate::ErrorKind;
use crate::error::Result;
use crate::exec::{
    Batch, Flow, LocalSource, LocalTransform, OperatorReport, Report, Sequence, Source, TaskContext, Transform,
};
use crate::operators::sort::{Sort, SortKey, SortSpec};
use crate::operators::trial::Trial;
use crate::spill::{Disk, Fault};

pub(super) const PARTITION: usize = 0;
pub(super) const KEY: usize = 1;
pub(super) const REAL: usize = 2;
pub(super) const TEXT: usize = 3;
pub(super) const NUMBER: usize = 4;
pub(super) const ID: usize = 5;

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("partition", DataType::Int32),
        field("key", DataType::Int64),
        field("real", DataType::Float64),
        field("text", DataType::Utf8),
        field("number", DataType::Int64),
        field("id", DataType::Int64),
    ]))
}

/// One row in so many is NULL in each column.
fn rows(seed: u64, n_rows: usize, n_partitions: u64, n_keys: u64, nulls: u64) -> RecordBatch {
    let mut state = seed;
    let mut next = move |n: u64| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 33) % n
    };
    let mut draw = |n: u64| if next(nulls) == 0 { None } else { Some(next(n)) };
    // Half of the rows are in one partition.
    let partition: Int32Array =
        (0..n_rows).map(|_| draw(2 * n_partitions).map(|n| n.saturating_sub(n_partitions) as i32)).collect();
    let key: Int64Array = (0..n_rows).map(|_| draw(n_keys).map(|n| n as i64 - 3)).collect();
    let special = [f64::NAN, -0.0, 0.0, 1e15, -1e15];
    let real = |n: u64| special.get(n as usize).copied().unwrap_or(n as f64 / 4.0);
    let reals: Float64Array = (0..n_rows).map(|_| draw(40).map(real)).collect();
    let text: StringArray = (0..n_rows).map(|_| draw(30).map(|n| "ab".repeat(n as usize) + "c")).collect();
    let number: Int64Array = (0..n_rows).map(|_| draw(1000).map(|n| n as i64 - 500)).collect();
    let id = Int64Array::from_iter_values(0..n_rows as i64);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(partition), Arc::new(key), Arc::new(reals), Arc::new(text), Arc::new(number), Arc::new(id)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The first key, moved by a constant.
pub(super) struct Moved(pub(super) i64);

impl FrameEdges for Moved {
    fn evaluate(&self, batch: &RecordBatch) -> Result<EdgeKeys> {
        let keys = batch.column(KEY).as_primitive::<Int64Type>();
        let keys = Arc::new(keys.unary::<_, Int64Type>(|key| key.saturating_add(self.0)));
        Ok(EdgeKeys { keys, before_all: None, after_all: None })
    }

    fn never_goes_back(&self) -> bool {
        self.0 % 2 == 0
    }
}

/// How sorted rows go through a window.
#[derive(Debug, Clone, Copy)]
struct Pieces {
    /// So many rows at a time.
    n_rows: usize,
    /// Every partition in a morsel of its own.
    are_partitions: bool,
}

/// A sort whose batches go through a window a few rows at a time.
struct Windowed {
    sorted: Arc<dyn Source>,
    window: Arc<Window>,
    pieces: Pieces,
    partition: Vec<usize>,
}

struct LocalWindowed {
    sorted: Box<dyn LocalSource>,
    window: Box<dyn LocalTransform>,
    pieces: Pieces,
    partition: Vec<usize>,
    /// The partition of the last row.
    last: Option<Vec<Cell>>,
    /// Morsels that were cut off from one of the sort.
    n_morsels: u64,
    out: VecDeque<Batch>,
}

impl Source for Windowed {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let (sorted, window) = (self.sorted.local(cx)?, self.window.local(cx)?);
        let (pieces, partition) = (self.pieces, self.partition.clone());
        let (last, n_morsels, out) = (None, 0, VecDeque::new());
        Ok(Box::new(LocalWindowed { sorted, window, pieces, partition, last, n_morsels, out }))
    }
}

impl LocalWindowed {
    fn push(&mut self, data: RecordBatch, of: &Batch, last_of_morsel: bool) -> Result<()> {
        let morsel = (of.sequence.morsel << 20) + self.n_morsels;
        let sequence = Sequence { morsel, batch: of.sequence.batch };
        let out = &mut self.out;
        self.window.push(Batch { data, sequence, last_of_morsel }, &mut |batch| {
            out.push_back(batch);
            Ok(Flow::More)
        })?;
        Ok(())
    }

    /// How many of the rows of `data` belong to the partition of the first of them.
    fn of_one_partition(&mut self, data: &RecordBatch, of: &Batch) -> Result<usize> {
        if !self.pieces.are_partitions {
            return Ok(data.num_rows());
        }
        let key = |row| -> Vec<Cell> { self.partition.iter().map(|&column| cell(data.column(column), row)).collect() };
        let first = key(0);
        let n_rows = (1..data.num_rows()).find(|&row| key(row) != first).unwrap_or(data.num_rows());
        if self.last.replace(first.clone()).is_some_and(|last| last != first) {
            self.push(data.slice(0, 0), of, true)?;
            self.n_morsels += 1;
        }
        Ok(n_rows)
    }
}

impl LocalSource for LocalWindowed {
    fn next(&mut self) -> Result<Option<Batch>> {
        while self.out.is_empty() {
            let Some(batch) = self.sorted.next()? else { return Ok(None) };
            let mut rest = batch.data.clone();
            loop {
                let mut len = self.pieces.n_rows.min(rest.num_rows());
                if len > 0 {
                    len = self.of_one_partition(&rest.slice(0, len), &batch)?;
                }
                let piece = rest.slice(0, len);
                rest = rest.slice(len, rest.num_rows() - len);
                let is_last = rest.num_rows() == 0;
                self.push(piece, &batch, batch.last_of_morsel && is_last)?;
                if is_last {
                    break;
                }
            }
            if batch.last_of_morsel {
                (self.last, self.n_morsels) = (None, 0);
            }
        }
        Ok(self.out.pop_front())
    }
}

fn whole(n_rows: usize) -> Pieces {
    Pieces { n_rows, are_partitions: false }
}

fn run(
    trial: &Trial,
    rows: &RecordBatch,
    spec: &WindowSpec,
    pieces: Pieces,
    columns_bytes: u64,
) -> Result<(RecordBatch, OperatorReport)> {
    let cx = trial.context();
    let by_partition = |&column: &usize| SortKey { column, descending: true, nulls_first: true };
    let keys: Vec<SortKey> = spec.partition.iter().map(by_partition).chain(spec.order.iter().copied()).collect();
    let n_grouping_keys = spec.partition.len();
    let limit = (n_grouping_keys == 0).then_some(u64::MAX);
    let sort = Sort::new(SortSpec { schema: rows.schema(), keys, limit, n_grouping_keys }, &cx)?;
    let window = Window::with_columns(spec.clone(), &cx, columns_bytes)?;
    let batches: Vec<RecordBatch> =
        (0..rows.num_rows()).step_by(50).map(|at| rows.slice(at, 50.min(rows.num_rows() - at))).collect();
    let partition = spec.partition.clone();
    let source = Windowed { sorted: sort.source(), window: window.clone(), pieces, partition };
    let found = trial.run(&cx, &batches, &*sort.sink(), &source)?;
    let report = window.report();
    drop((sort, source));
    Ok((concat_batches(&window.schema(), &found)?, report))
}

/// Checks every result of `spec` against the oracle.
fn check(trial: &Trial, rows: &RecordBatch, spec: &WindowSpec, pieces: Pieces, columns_bytes: u64) -> Result<()> {
    let (found, _) = run(trial, rows, spec, pieces, columns_bytes)?;
    assert_eq!(found.num_rows(), rows.num_rows());
    let ids = found.column(ID).as_primitive::<Int64Type>();
    for (idx, call) in spec.calls.iter().enumerate() {
        let expected = oracle::results(rows, spec, call);
        let results = found.column(rows.num_columns() + idx);
        for row in 0..found.num_rows() {
            let (id, result) = (ids.value(row), cell(results, row));
            let expected = &expected[id as usize];
            let what = || format!("{} of row {id}: {result:?} is not {expected:?}", call.output.name());
            assert!(same(&result, expected), "{}", what());
        }
    }
    Ok(())
}

fn any_bound(unit: Unit, is_start: bool) -> BoxedStrategy<Bound> {
    let far = prop_oneof![-6..7i64, Just(-100), Just(100)];
    let offset = match unit {
        Unit::Range => {
            prop_oneof![1 => Just(Bound::Offset(0)), 3 => far.prop_map(|by| Bound::Value(Arc::new(Moved(by))))].boxed()
        }
        _ => far.prop_map(Bound::Offset).boxed(),
    };
    let _ = is_start;
    prop_oneof![1 => Just(Bound::Unbounded), 2 => offset].boxed()
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let unit = prop_oneof![Just(Unit::Rows), Just(Unit::Groups), Just(Unit::Range)];
    unit.prop_flat_map(|unit| {
        let n_order = if unit == Unit::Range { 1..2usize } else { 0..3usize };
        (any_bound(unit, true), any_bound(unit, false), n_order).prop_map(move |(start, end, n_order)| Frame {
            unit,
            start,
            end,
            n_order,
        })
    })
}

fn any_function() -> impl Strategy<Value = (WindowFunction, Vec<usize>, DataType)> {
    use FoldFunction::*;
    let value =
        prop_oneof![Just((REAL, DataType::Float64)), Just((TEXT, DataType::Utf8)), Just((NUMBER, DataType::Int64))];
    let ranking = prop_oneof![
        Just(WindowFunction::RowNumber),
        Just(WindowFunction::Rank),
        Just(WindowFunction::DenseRank),
        Just(WindowFunction::PercentRank),
        Just(WindowFunction::CumeDist),
        (1..9u64).prop_map(WindowFunction::Ntile),
    ];
    let ranking = ranking.prop_map(|function| {
        let is_part = matches!(function, WindowFunction::PercentRank | WindowFunction::CumeDist);
        (function, vec![], if is_part { DataType::Float64 } else { DataType::UInt64 })
    });
    let positional = (0..4, any::<bool>(), prop_oneof![-4..5i64, Just(-60), Just(70)], any::<bool>(), value.clone());
    let positional = positional.prop_map(|(which, ignore_nulls, by, with_default, (column, data_type))| {
        let default: Option<ArrayRef> = with_default.then(|| match column {
            REAL => Arc::new(Float64Array::from(vec![77.0])) as ArrayRef,
            TEXT => Arc::new(StringArray::from(vec!["none"])),
            _ => Arc::new(Int64Array::from(vec![-7])),
        });
        let function = match which {
            0 => WindowFunction::First { ignore_nulls },
            1 => WindowFunction::Last { ignore_nulls },
            2 => WindowFunction::Nth { n: by.unsigned_abs().max(1), ignore_nulls },
            _ => WindowFunction::Shift { by, default, ignore_nulls },
        };
        (function, vec![column], data_type)
    });
    let fold = prop_oneof![
        Just((CountStar, None)),
        Just((Sum, Some((NUMBER, DataType::Int64)))),
        Just((Sum, Some((REAL, DataType::Float64)))),
        Just((Avg, Some((REAL, DataType::Float64)))),
        any::<bool>().prop_map(|sample| (Var { sample }, Some((REAL, DataType::Float64)))),
        any::<bool>().prop_map(|sample| (StdDev { sample }, Some((REAL, DataType::Float64)))),
        value.clone().prop_map(|value| (Count, Some(value))),
        value.clone().prop_map(|value| (Min, Some(value))),
        value.prop_map(|value| (Max, Some(value))),
    ];
    let fold = fold.prop_map(|(function, arg)| {
        let data_type = match (&function, &arg) {
            (CountStar | Count, _) | (_, None) => DataType::Int64,
            (_, Some((_, data_type))) => data_type.clone(),
        };
        (WindowFunction::Fold(function), arg.into_iter().map(|(column, _)| column).collect(), data_type)
    });
    prop_oneof![ranking, positional, fold]
}

fn any_spec() -> impl Strategy<Value = WindowSpec> {
    let calls = prop::collection::vec((any_function(), any_frame()), 1..4);
    (calls, 0..3usize, any::<bool>(), any::<bool>()).prop_map(|(calls, n_partition, descending, nulls_first)| {
        let order =
            vec![SortKey { column: KEY, descending, nulls_first }, SortKey { column: REAL, descending, nulls_first }];
        let (mut frames, mut made) = (Vec::new(), Vec::new());
        for (number, ((function, args, data_type), frame)) in calls.into_iter().enumerate() {
            let output = Arc::new(Field::new(format!("call {number}"), data_type, true));
            made.push(WindowCall { function, args, frame: number, output });
            frames.push(frame);
        }
        let partition = [vec![], vec![PARTITION], vec![PARTITION, TEXT]][n_partition].clone();
        WindowSpec { input: schema(), partition, order, frames, calls: made }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(100) })]
    #[test]
    fn results_are_those_of_the_definition(
        spec in any_spec(),
        (seed, n_rows, n_partitions, n_keys) in (any::<u64>(), 0..160usize, 1..20u64, 1..60u64),
        nulls in prop_oneof![Just(1u64), 2..30u64, Just(1_000_000)],
        n_rows_of_piece in prop_oneof![1..8usize, 8..100usize, Just(1000)],
        are_partitions in any::<bool>(),
        threads in prop_oneof![Just(1usize), Just(2), Just(8)],
        governed in prop_oneof![Just(3u64 << 20), Just(64 << 20)],
        columns_bytes in prop_oneof![Just(0u64), Just(20_000), Just(1 << 30)],
        evict_always in any::<bool>(),
        refuse_every in prop_oneof![3 => Just(0u64), 1 => 20..60u64],
    ) {
        let rows = rows(seed, n_rows, n_partitions, n_keys, nulls);
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed, threads) };
        let pieces = Pieces { n_rows: n_rows_of_piece, are_partitions };
        match check(&trial, &rows, &spec, pieces, columns_bytes) {
            Ok(()) => {}
            Err(error) => {
                prop_assert!(error.kind() == ErrorKind::Budget && refuse_every > 0, "{}", error);
                // Only the refusals were in the way.
                check(&Trial { refuse_every: 0, ..trial }, &rows, &spec, pieces, columns_bytes).unwrap();
            }
        }
    }
}

fn call(function: WindowFunction, args: &[usize], data_type: DataType, frame: usize) -> WindowCall {
    let output = Arc::new(Field::new(format!("{frame}"), data_type, true));
    WindowCall { function, args: args.to_vec(), frame, output }
}

/// A few functions that wait for the end of the partition, and one that reaches far back.
fn far_reaching() -> WindowSpec {
    let frame = |start, end| Frame { unit: Unit::Rows, start, end, n_order: 1 };
    let sum = WindowFunction::Fold(FoldFunction::Sum);
    WindowSpec {
        input: schema(),
        partition: vec![PARTITION],
        order: vec![SortKey { column: KEY, descending: false, nulls_first: false }],
        frames: vec![
            frame(Bound::Unbounded, Bound::Unbounded),
            frame(Bound::Offset(-700), Bound::Offset(600)),
            frame(Bound::Unbounded, Bound::Offset(0)),
        ],
        calls: vec![
            call(sum.clone(), &[NUMBER], DataType::Int64, 0),
            call(WindowFunction::Fold(FoldFunction::Max), &[TEXT], DataType::Utf8, 1),
            call(sum, &[NUMBER], DataType::Int64, 2),
            call(WindowFunction::Shift { by: -300, default: None, ignore_nulls: false }, &[TEXT], DataType::Utf8, 2),
        ],
    }
}

#[test]
fn partitions_larger_than_memory() {
    let rows = rows(7, 60_000, 3, 5000, 20);
    let plenty = run(&Trial::new(1 << 30, 1), &rows, &far_reaching(), whole(1000), 1 << 30).unwrap();
    assert_eq!(plenty.1.spilled_raw_bytes, 0);
    for threads in [1, 2] {
        let trial = Trial { evict_always: threads == 2, ..Trial::new(3 << 20, threads) };
        let (found, report) = run(&trial, &rows, &far_reaching(), whole(1000), 100_000).unwrap();
        assert!(report.spilled_raw_bytes > 1 << 20 && report.restored_bytes > 1 << 20, "{report:?}");
        assert!(report.peak_bytes < 3 << 20, "{report:?}");
        let by_id = |batch: &RecordBatch| {
            let order = arrow::compute::sort_to_indices(batch.column(ID), None, None).unwrap();
            arrow::compute::take_record_batch(batch, &order).unwrap()
        };
        assert_eq!(by_id(&found), by_id(&plenty.0));
    }
}

#[test]
fn a_failing_disk_is_an_error_wherever_it_fails() {
    let rows = rows(9, 1200, 2, 100, 20);
    let expected = run(&Trial::new(1 << 30, 1), &rows, &far_reaching(), whole(100), 1 << 30).unwrap().0;
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        let mut n = 1;
        loop {
            let trial = Trial { evict_always: true, disk: Disk::faulty(n, fault), ..Trial::new(3 << 20, 1) };
            match run(&trial, &rows, &far_reaching(), whole(100), 0) {
                Ok((found, _)) => {
                    assert_eq!(found, expected);
                    if trial.disk.calls() < n {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
            // Every call at first, then ever larger steps: a run makes hundreds.
            n += 1 + n / 8;
        }
        assert!(n > 60, "the disk was used");
    }
}

#[test]
fn morsels_without_rows_still_end() {
    let window = Window::new(far_reaching(), &Trial::new(16 << 20, 1).context()).unwrap();
    let batch = |n_rows, morsel, number, last_of_morsel| {
        let sequence = Sequence { morsel, batch: number };
        Batch { data: rows(1, n_rows, 1, 5, 1_000_000), sequence, last_of_morsel }
    };
    let input = vec![batch(0, 0, 0, true), batch(3, 1, 0, false), batch(0, 1, 1, true), batch(2, 2, 0, true)];
    let out = crate::operators::testing::run_transform(&*window, input);
    let found: Vec<_> =
        out.iter().map(|b| (b.n_rows(), b.sequence.morsel, b.sequence.batch, b.last_of_morsel)).collect();
    assert_eq!(found, [(0, 0, 0, true), (3, 1, 0, true), (2, 2, 0, true)]);
    assert_eq!(
        cell(out[1].data.column(6), 0),
        Cell::Int(out[1].data.column(4).as_primitive::<Int64Type>().iter().flatten().sum())
    );
}

#[test]
fn values_that_are_not_null_in_many_morsels_of_one_worker() {
    use WindowFunction::*;
    let functions = [First { ignore_nulls: true }, Last { ignore_nulls: true }, Nth { n: 2, ignore_nulls: true }];
    let shifts = [-2, 2].map(|by| Shift { by, default: None, ignore_nulls: true });
    for (start, end) in [(Bound::Offset(-1), Bound::Offset(1)), (Bound::Unbounded, Bound::Offset(0))] {
        let frame = Frame { unit: Unit::Rows, start, end, n_order: 1 };
        let calls = functions.iter().chain(&shifts).map(|function| call(function.clone(), &[TEXT], DataType::Utf8, 0));
        let spec = WindowSpec { frames: vec![frame], calls: calls.collect(), ..far_reaching() };
        for n_rows in [3, 1000] {
            let pieces = Pieces { n_rows, are_partitions: true };
            check(&Trial::new(64 << 20, 1), &rows(3, 300, 9, 40, 3), &spec, pieces, 20_000).unwrap();
        }
    }
}

/// Functions of text over frames that grow from the start of the partition.
fn growing() -> WindowSpec {
    use WindowFunction::*;
    let frame = Frame { unit: Unit::Rows, start: Bound::Unbounded, end: Bound::Offset(0), n_order: 1 };
    let first = [true, false].map(|ignore_nulls| First { ignore_nulls });
    let nth = [true, false].map(|ignore_nulls| Nth { n: 3, ignore_nulls });
    let last = [Last { ignore_nulls: true }, Fold(FoldFunction::Max)];
    let calls = first.into_iter().chain(nth).chain(last).map(|function| call(function, &[TEXT], DataType::Utf8, 0));
    WindowSpec { frames: vec![frame], calls: calls.collect(), partition: vec![], ..far_reaching() }
}

#[test]
fn frames_that_grow_do_not_keep_their_rows() {
    for nulls in [4, 1_000_000] {
        let rows = rows(11, 30_000, 1, 5000, nulls);
        let (_, report) = run(&Trial::new(64 << 20, 1), &rows, &growing(), whole(1000), 300_000).unwrap();
        assert!(report.peak_bytes < 1 << 20, "{report:?}");
        check(&Trial::new(64 << 20, 1), &rows.slice(0, 300), &growing(), whole(20), 0).unwrap();
    }
}

#[test]
fn long_strings_in_all_rows_go_on_in_parts() {
    let trial = Trial::new(24 << 20, 1);
    let cx = trial.context();
    let mut rows = rows(5, 1000, 1, 50, 1_000_000);
    let mut columns = rows.columns().to_vec();
    columns[TEXT] = Arc::new(StringArray::from_iter_values((0..1000).map(|row| match row {
        2 => "z".repeat(40_000),
        _ => "a".to_string(),
    })));
    rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let window = Window::new(growing(), &cx).unwrap();
    let mut local = window.local(&trial.task(&cx, 0)).unwrap();
    let (mut n_rows, mut most) = (0, 0);
    let batch = Batch { data: rows, sequence: Sequence { morsel: 0, batch: 0 }, last_of_morsel: true };
    local
        .push(batch, &mut |batch| {
            n_rows += batch.n_rows();
            most = most.max(batch.data.columns()[ID + 1..].iter().map(|c| c.get_array_memory_size()).sum());
            Ok(Flow::More)
        })
        .unwrap();
    // Of all rows together it would be far more than all memory.
    assert!(n_rows == 1000 && most < 12 << 20, "{n_rows} rows, {most} bytes at once");

    let refused = Trial { refuse_every: 0, ..Trial::new(3 << 20, 1) };
    let cx = refused.context();
    let window = Window::new(growing(), &cx).unwrap();
    let mut local = window.local(&refused.task(&cx, 0)).unwrap();
    let mut columns = self::rows(5, 100, 1, 50, 1_000_000).columns().to_vec();
    columns[TEXT] = Arc::new(StringArray::from_iter_values((0..100).map(|_| "z".repeat(100_000))));
    let data = RecordBatch::try_new(schema(), columns).unwrap();
    let batch = Batch { data, sequence: Sequence { morsel: 0, batch: 0 }, last_of_morsel: true };
    let error = local.push(batch, &mut |_| Ok(Flow::More)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget, "{error}");
}

/// Every third key reaches further than those after it.
struct Jagged;

impl FrameEdges for Jagged {
    fn evaluate(&self, batch: &RecordBatch) -> Result<EdgeKeys> {
        let keys = batch.column(KEY).as_primitive::<Int64Type>();
        let keys = Arc::new(keys.unary::<_, Int64Type>(|key| if key % 3 == 0 { key + 9 } else { key }));
        Ok(EdgeKeys { keys, before_all: None, after_all: None })
    }

    fn never_goes_back(&self) -> bool {
        false
    }
}

#[test]
fn an_edge_that_goes_back_stays_where_it_was() {
    let mut columns = rows(1, 100, 1, 5, 1_000_000).columns().to_vec();
    columns[KEY] = Arc::new(Int64Array::from_iter_values(0..100));
    let rows = RecordBatch::try_new(schema(), columns).unwrap();
    let frame = Frame { unit: Unit::Range, start: Bound::Unbounded, end: Bound::Value(Arc::new(Jagged)), n_order: 1 };
    let count = call(WindowFunction::Fold(FoldFunction::CountStar), &[], DataType::Int64, 0);
    let spec = WindowSpec { partition: vec![], frames: vec![frame], calls: vec![count], ..far_reaching() };
    for n_rows in [1, 2, 5, 100] {
        let (found, _) = run(&Trial::new(64 << 20, 1), &rows, &spec, whole(n_rows), 1 << 20).unwrap();
        let counts = found.column(ID + 1).as_primitive::<Int64Type>();
        let expected: Vec<i64> = (0..100).map(|key| (key / 3 * 3 + 10).min(100)).collect();
        assert_eq!(counts.values().to_vec(), expected, "{n_rows} rows at a time");
    }
}
