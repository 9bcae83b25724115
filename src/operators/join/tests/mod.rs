//! Every join type against an oracle that compares all rows: in memory, spilling, split, swapped, in chunks, and with a
//! failing disk.

mod limits;
mod oracle;

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use self::oracle::{KeyKind, Row, batches, output_schema, schema};
use super::{HashJoin, JoinColumn, JoinOptions, JoinSpec, JoinType, Residual};
use crate::error::{ErrorKind, Result};
use crate::exec::*;
use crate::operators::expression::Expression;
use crate::operators::testing::Scripted;
use crate::operators::trial::Trial;
use crate::spill::{Disk, Fault};

const TYPES: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::ProbeOuter,
    JoinType::BuildOuter,
    JoinType::Full,
    JoinType::ProbeSemi,
    JoinType::ProbeAnti,
    JoinType::ProbeMark,
    JoinType::BuildSemi,
    JoinType::BuildAnti,
    JoinType::BuildMark,
];

/// A join and its input.
#[derive(Clone)]
struct Case {
    spec: JoinSpec,
    kind: KeyKind,
    probe: Vec<Row>,
    build: Vec<Row>,
}

struct TestResidual;

impl Expression for TestResidual {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let ids = |idx: usize| batch.column(idx).as_primitive::<Int64Type>();
        Ok(Arc::new(oracle::residual_mask(ids(0), ids(1))))
    }
}

impl Case {
    fn new(join_type: JoinType, kind: KeyKind, probe: Vec<Row>, build: Vec<Row>) -> Self {
        let schema = schema(kind);
        let at = kind.n_keys();
        let mut output = Vec::new();
        if join_type.gives_pairs() || join_type.gives_probe_rows() {
            output.extend([JoinColumn::Probe(at), JoinColumn::Probe(at + 1)]);
        }
        if join_type.gives_pairs() || join_type.gives_build_rows() {
            output.extend([JoinColumn::Build(at), JoinColumn::Build(at + 1)]);
        }
        if matches!(join_type, JoinType::ProbeMark | JoinType::BuildMark) {
            output.push(JoinColumn::Mark);
        }
        let spec = JoinSpec {
            probe: schema.clone(),
            build: schema,
            keys: (0..at).map(|key| (key, key)).collect(),
            join_type,
            null_equal: false,
            null_aware: false,
            residual: None,
            output,
            schema: output_schema(join_type),
        };
        Case { spec, kind, probe, build }
    }

    fn null_equal(mut self, null_equal: bool) -> Self {
        self.spec.null_equal = null_equal;
        self
    }

    fn null_aware(mut self) -> Self {
        self.spec.null_aware = true;
        self
    }

    fn with_residual(mut self, has_residual: bool) -> Self {
        let at = self.kind.n_keys();
        let schema = &self.spec.probe;
        let [field, note] = [at, at + 1].map(|at| Arc::new(schema.field(at).clone()));
        self.spec.residual = has_residual.then(|| Residual {
            predicate: Arc::new(TestResidual),
            // The notes are not looked at, but there.
            columns: [at, at + 1].iter().flat_map(|&at| [JoinColumn::Probe(at), JoinColumn::Build(at)]).collect(),
            schema: Arc::new(arrow::datatypes::Schema::new(vec![field.clone(), field, note.clone(), note])),
        });
        self
    }

    fn expected(&self) -> Vec<String> {
        oracle::join(&self.spec, self.kind, &self.probe, &self.build)
    }

    /// Runs it under `trial` on the real driver.
    fn run(&self, trial: &Trial, options: JoinOptions) -> Result<(Vec<String>, OperatorReport)> {
        let output = Arc::new(Collector::default());
        let report = self.run_into(&output, trial, options)?;
        let found = std::mem::take(&mut *output.batches.lock().unwrap());
        check_morsels(&found);
        let data: Vec<RecordBatch> = found.into_iter().map(|batch| batch.data).collect();
        Ok((oracle::show(&data), report))
    }

    fn run_into(&self, output: &Arc<Collector>, trial: &Trial, options: JoinOptions) -> Result<OperatorReport> {
        let cx = &trial.context();
        let inputs = [&self.probe, &self.build].map(|rows| batches(self.kind, rows, 37));
        run_join(&self.spec, options, inputs, output, (cx, trial.threads))
    }

    #[track_caller]
    fn check(&self, trial: &Trial, options: JoinOptions) -> OperatorReport {
        let (found, report) = self.run(trial, options).unwrap_or_else(|error| panic!("{:?}: {error}", self.spec));
        assert_same(&found, &self.expected(), self);
        report
    }
}

/// Runs `spec` over the inputs, those of the probe side first, on the real driver with so many threads.
fn run_join(
    spec: &JoinSpec,
    options: JoinOptions,
    [probe, build]: [Vec<RecordBatch>; 2],
    output: &Arc<Collector>,
    (cx, threads): (&QueryContext, usize),
) -> Result<OperatorReport> {
    *output.cancel.lock().unwrap() = cx.cancel.clone();
    let join = HashJoin::new(spec, options, cx)?;
    let node = |name| Node { name, detail: String::new(), inputs: vec![], report: None };
    let source = |batches| Step { node: 0, role: Arc::new(scripted(batches)) as _ };
    let build = Pipeline { source: source(build), transforms: vec![], sink: Step { node: 1, role: join.build_sink() } };
    let probe = Pipeline {
        source: source(probe),
        transforms: vec![Step { node: 1, role: join.probe() }],
        sink: Step { node: 2, role: output.clone() },
    };
    let nodes = vec![node("Scan"), node("Join"), node("Output")];
    let query = Query { nodes, pipelines: vec![build, probe], labels: vec![] };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    crate::exec::run(&query, cx, &pool, &Monitor::new(&query))?;
    Ok(join.report())
}

#[track_caller]
fn assert_same(found: &[String], expected: &[String], case: &Case) {
    if found != expected {
        let extra = found.iter().filter(|row| !expected.contains(row)).take(5).collect::<Vec<_>>();
        let missing = expected.iter().filter(|row| !found.contains(row)).take(5).collect::<Vec<_>>();
        panic!(
            "{:?} {:?}: {} rows and not {}, extra {extra:?}, missing {missing:?}",
            case.spec,
            case.kind,
            found.len(),
            expected.len()
        );
    }
}

fn scripted(batches: Vec<RecordBatch>) -> Scripted {
    let batch = |(idx, data): (usize, RecordBatch)| {
        // Two batches a morsel.
        let sequence = Sequence { morsel: idx as u64 / 2, batch: idx as u32 % 2 };
        Batch { data, sequence, last_of_morsel: idx % 2 == 1 }
    };
    let mut batches: Vec<Batch> = batches.into_iter().enumerate().map(batch).collect();
    if let Some(last) = batches.last_mut() {
        last.last_of_morsel = true;
    }
    Scripted::new(batches)
}

#[derive(Default)]
struct Collector {
    batches: Arc<Mutex<Vec<Batch>>>,
    /// Pulls it at the first batch.
    cancels: bool,
    cancel: Mutex<CancelToken>,
}

struct LocalCollector {
    batches: Arc<Mutex<Vec<Batch>>>,
    cancel: Option<CancelToken>,
}

impl Sink for Collector {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        let cancel = self.cancels.then(|| self.cancel.lock().unwrap().clone());
        Ok(Box::new(LocalCollector { batches: self.batches.clone(), cancel }))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for LocalCollector {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        self.cancel.iter().for_each(CancelToken::cancel);
        self.batches.lock().unwrap().push(batch);
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Places are unique, and every morsel ends with exactly one batch that says so.
fn check_morsels(batches: &[Batch]) {
    let mut places: Vec<(Sequence, bool)> = batches.iter().map(|b| (b.sequence, b.last_of_morsel)).collect();
    places.sort();
    for pair in places.windows(2) {
        assert!(pair[0].0 != pair[1].0, "twice at {:?}", pair[0].0);
        assert_eq!(pair[0].1, pair[0].0.morsel != pair[1].0.morsel, "at {:?}", pair[0].0);
    }
}

/// How keys are spread.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Uniform(i64),
    /// Half of the rows have one key.
    Hot(i64),
    One,
    AllNull,
}

fn rows(n: usize, spread: Spread, nulls: bool, first_id: i64) -> Vec<Row> {
    let row = |idx: i64| {
        let scattered = (idx * 7919 + first_id * 31) % 1_000_003;
        let key = match spread {
            Spread::Uniform(n) => Some(scattered % n),
            Spread::Hot(_) if idx % 2 == 0 => Some(3),
            Spread::Hot(n) => Some(scattered % n),
            Spread::One => Some(3),
            Spread::AllNull => None,
        };
        Row { key: key.filter(|_| !nulls || idx % 9 != 4), id: first_id + idx }
    };
    (0..n as i64).map(row).collect()
}

fn plenty() -> Trial {
    // Pages of 16 KiB, so that few rows are many pages.
    Trial::new(14 << 20, 2)
}

#[test]
fn every_type_in_memory() {
    for join_type in TYPES {
        for kind in [KeyKind::Int, KeyKind::Short, KeyKind::Long, KeyKind::Float, KeyKind::Two, KeyKind::None] {
            for has_residual in [false, true] {
                let n = if kind == KeyKind::None { 40 } else { 150 };
                let probe = rows(n, Spread::Uniform(60), true, 1000);
                let build = rows(n, Spread::Hot(50), true, 5000);
                let case = Case::new(join_type, kind, probe, build).with_residual(has_residual);
                case.clone().check(&plenty(), JoinOptions::default());
                case.null_equal(true).check(&plenty(), JoinOptions::default());
            }
        }
    }
}

#[test]
fn not_in_with_nulls_on_either_side_and_none() {
    for join_type in [JoinType::ProbeAnti, JoinType::BuildAnti] {
        for (probe_nulls, build_nulls) in [(false, false), (true, false), (false, true), (true, true)] {
            for (n_probe, n_build) in [(50, 50), (0, 50), (50, 0), (0, 0)] {
                let probe = rows(n_probe, Spread::Uniform(70), probe_nulls, 1000);
                let build = rows(n_build, Spread::Uniform(70), build_nulls, 5000);
                let case = Case::new(join_type, KeyKind::Int, probe, build).null_aware();
                case.check(&plenty(), JoinOptions::default());
                let spilling = JoinOptions { most_bytes: Some(0), ..JoinOptions::default() };
                case.check(&plenty(), spilling);
            }
        }
        let only_null = rows(3, Spread::AllNull, false, 9000);
        for (probe, build) in [(rows(9, Spread::One, false, 1), only_null.clone()), (only_null, vec![])] {
            let case = Case::new(join_type, KeyKind::Int, probe.clone(), build.clone()).null_aware();
            case.check(&plenty(), JoinOptions::default());
            Case::new(join_type, KeyKind::Int, build, probe).null_aware().check(&plenty(), JoinOptions::default());
        }
    }
}

#[test]
fn an_empty_side_and_sides_without_columns_in_the_output() {
    for join_type in TYPES {
        for (n_probe, n_build) in [(0, 20), (20, 0), (0, 0)] {
            let (probe, build) = (rows(n_probe, Spread::One, true, 100), rows(n_build, Spread::One, true, 500));
            let case = Case::new(join_type, KeyKind::Int, probe, build);
            case.check(&plenty(), JoinOptions::default());
            case.check(&plenty(), JoinOptions { most_bytes: Some(0), partition_bits: Some(1) });
        }
    }
}

/// No table may have more than a page, so that all is spilled and split as long as that helps.
const NOTHING_FITS: JoinOptions = JoinOptions { most_bytes: Some(0), partition_bits: Some(2) };

#[test]
fn pairs_are_split_again_and_again() {
    for join_type in TYPES {
        let probe = rows(400, Spread::Uniform(300), true, 1000);
        let build = rows(300, Spread::Uniform(300), true, 5000);
        let case = Case::new(join_type, KeyKind::Int, probe, build);
        let report = case.check(&plenty(), NOTHING_FITS);
        assert!(report.depth >= 2, "{report:?}");
        let some = JoinOptions { most_bytes: Some(40_000), partition_bits: Some(1) };
        case.with_residual(true).check(&plenty(), some);
    }
}

#[test]
fn one_key_is_joined_in_chunks() {
    for join_type in TYPES {
        for has_residual in [false, true] {
            let (probe, build) = (rows(180, Spread::One, true, 1000), rows(260, Spread::Hot(20), true, 5000));
            let case = Case::new(join_type, KeyKind::Long, probe.clone(), build.clone()).with_residual(has_residual);
            case.check(&plenty(), NOTHING_FITS);
            let case = Case::new(join_type, KeyKind::Int, build, probe).with_residual(has_residual);
            case.null_equal(true).check(&plenty(), NOTHING_FITS);
        }
    }
}

#[test]
fn the_smaller_side_of_a_pair_becomes_the_table() {
    for join_type in TYPES {
        // All build rows have one key, of which the probe side has few: one chunk, whose table is of probe rows.
        let probe = rows(40, Spread::Hot(10), false, 1000);
        let build = rows(2000, Spread::One, false, 5000);
        let case = Case::new(join_type, KeyKind::Int, probe, build);
        let report = case.check(&plenty(), JoinOptions { most_bytes: Some(60_000), partition_bits: Some(2) });
        assert_eq!(report.depth, 0, "{report:?}");
    }
}

#[test]
fn rows_whose_key_is_nowhere_are_not_spilled() {
    let build = rows(300, Spread::Uniform(1000), false, 5000);
    let elsewhere = |row: Row| Row { key: row.key.map(|key| key + 1_000_000), ..row };
    let probe: Vec<Row> = rows(4000, Spread::Uniform(1000), false, 10_000).into_iter().map(elsewhere).collect();
    for join_type in [JoinType::ProbeOuter, JoinType::ProbeSemi, JoinType::Full] {
        let case = Case::new(join_type, KeyKind::Int, probe.clone(), build.clone());
        let trial = Trial { evict_always: true, ..plenty() };
        let report = case.check_fast(&trial, NOTHING_FITS);
        assert!(report.spilled_raw_bytes < 4000 * 60, "{report:?}");
    }
}

#[test]
fn a_key_is_kept_once_where_that_is_enough() {
    for join_type in [JoinType::ProbeSemi, JoinType::ProbeAnti, JoinType::ProbeMark] {
        // Few keys, and so many that remembering them is given up.
        for (n_build, spread) in [(20_000, Spread::Uniform(30)), (70_000, Spread::Uniform(1_000_000))] {
            let case =
                Case::new(join_type, KeyKind::Int, rows(500, spread, true, 1000), rows(n_build, spread, true, 5000));
            let report = case.check_fast(&plenty(), JoinOptions::default());
            assert_eq!(report.peak_bytes < 300_000, n_build == 20_000, "{report:?}");
        }
    }
}

#[test]
fn little_memory_and_many_threads() {
    for (threads, governed) in [(1, 2 << 20), (2, 4 << 20), (8, 13 << 20)] {
        for join_type in [JoinType::Inner, JoinType::Full, JoinType::BuildAnti, JoinType::ProbeMark] {
            let probe = rows(6000, Spread::Uniform(20_000), true, 10_000);
            let build = rows(6000, Spread::Uniform(20_000), true, 50_000);
            let case = Case::new(join_type, KeyKind::Long, probe, build);
            let trial = Trial { evict_always: threads == 2, ..Trial::new(governed, threads) };
            let report = case.check_fast(&trial, JoinOptions::default());
            let is_large = join_type.gives_pairs() && threads < 8;
            assert!(!is_large || report.spilled_raw_bytes > 0, "{report:?}");
        }
    }
}

impl Case {
    /// As [`Case::check`], with an oracle that looks keys up, for larger inputs without a residual condition.
    #[track_caller]
    fn check_fast(&self, trial: &Trial, options: JoinOptions) -> OperatorReport {
        let (found, report) = self.run(trial, options).unwrap_or_else(|error| panic!("{:?}: {error}", self.spec));
        assert_same(&found, &self.expected_by_bucket(), self);
        report
    }

    fn expected_by_bucket(&self) -> Vec<String> {
        assert!(self.spec.residual.is_none());
        let mut expected = Vec::new();
        let key_of = |row: &Row| row.key.map(|key| key % 64).unwrap_or(64);
        for bucket in 0..=64 {
            let part = |rows: &[Row]| rows.iter().filter(|row| key_of(row) == bucket).cloned().collect::<Vec<_>>();
            expected.extend(oracle::join(&self.spec, self.kind, &part(&self.probe), &part(&self.build)));
        }
        expected.sort_unstable();
        expected
    }
}

#[test]
fn a_failing_disk_at_every_call_is_an_error() {
    let probe = rows(250, Spread::Hot(200), true, 1000);
    let build = rows(250, Spread::Hot(200), true, 5000);
    let faults = [Fault::NoSpace, Fault::Io, Fault::ShortWrite];
    for (join_type, fault) in [JoinType::Inner, JoinType::Full, JoinType::BuildAnti].into_iter().zip(faults) {
        let case = Case::new(join_type, KeyKind::Long, probe.clone(), build.clone());
        let expected = case.expected();
        let mut n = 1;
        loop {
            let disk = Disk::faulty(n, fault);
            let trial = Trial { evict_always: true, disk, ..Trial::new(7 << 20, 1) };
            match case.run(&trial, NOTHING_FITS) {
                Ok((found, _)) => {
                    assert_same(&found, &expected, &case);
                    if trial.disk.calls() < n {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
            // Every call at first, then ever larger steps.
            n += 1 + n / 8;
        }
        assert!(n > 20, "the disk was used");
    }
}

#[test]
fn a_cancelled_join_stops_soon() {
    let (probe, build) = (rows(3000, Spread::One, false, 10_000), rows(3000, Spread::One, false, 50_000));
    for options in [JoinOptions::default(), NOTHING_FITS] {
        let case = Case::new(JoinType::Inner, KeyKind::Int, probe.clone(), build.clone());
        let output = Arc::new(Collector { cancels: true, ..Collector::default() });
        let error = case.run_into(&output, &plenty(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        let n_rows: usize = output.batches.lock().unwrap().iter().map(Batch::n_rows).sum();
        assert!(n_rows < 1_000_000, "{n_rows} of nine million rows");
    }
}

/// More often than not a refusal costs nothing but a spilled partition; the rows are the same then. How often depends on who
/// meets it: eight workers on fewer processors meet a second one before they have spilled.
#[test]
fn refusals_are_survived_and_change_no_row() {
    for (refuse_every, threads, n_build, at_least) in
        [(31, 2, 700, 7), (67, 2, 3000, 7), (131, 2, 3000, 7), (131, 8, 3000, 1)]
    {
        let mut n_done = 0;
        for join_type in TYPES {
            let probe = rows(3000, Spread::Uniform(2500), true, 10_000);
            let build = rows(n_build, Spread::Uniform(2500), true, 50_000);
            let case = Case::new(join_type, KeyKind::Long, probe, build);
            let trial = Trial { refuse_every, evict_always: true, ..Trial::new(14 << 20, threads) };
            match case.run(&trial, JoinOptions { most_bytes: Some(300_000), partition_bits: Some(3) }) {
                Ok((found, _)) => {
                    assert_same(&found, &case.expected_by_bucket(), &case);
                    n_done += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Budget, "{error}"),
            }
        }
        let of = TYPES.len();
        assert!(n_done >= at_least, "refusing every {refuse_every}, {threads} threads: {n_done} of {of} joins ended");
    }
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop_oneof![
        (1i64..400).prop_map(Spread::Uniform),
        (1i64..100).prop_map(Spread::Hot),
        Just(Spread::One),
        Just(Spread::AllNull),
    ]
}

fn kinds() -> impl Strategy<Value = KeyKind> {
    let kinds = [KeyKind::Int, KeyKind::Short, KeyKind::Long, KeyKind::Float, KeyKind::Two, KeyKind::None];
    proptest::sample::select(kinds.to_vec())
}

fn cases() -> impl Strategy<Value = Case> {
    let side = || (0usize..250, spreads(), any::<bool>());
    let types = proptest::sample::select(TYPES.to_vec());
    (types, kinds(), side(), side(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(join_type, kind, probe, build, null_equal, has_residual, null_aware)| {
            let most = if kind == KeyKind::None { 60 } else { 250 };
            let side = |(n, spread, nulls), id| rows(std::cmp::min(n, most), spread, nulls, id);
            let case = Case::new(join_type, kind, side(probe, 1000), side(build, 5000));
            let is_anti = matches!(join_type, JoinType::ProbeAnti | JoinType::BuildAnti);
            if null_aware && is_anti && kind.n_keys() == 1 {
                return case.null_aware();
            }
            case.null_equal(null_equal).with_residual(has_residual)
        },
    )
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Case { spec, kind, probe, build } = self;
        write!(f, "{spec:?} {kind:?}, {} probe rows, {} build rows", probe.len(), build.len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_join_is_the_oracles(
        case in cases(),
        threads in proptest::sample::select(vec![1usize, 2, 8]),
        governed_mib in proptest::sample::select(vec![14u64, 30]),
        refuse_every in proptest::sample::select(vec![0u64, 0, 13, 60, 250]),
        evict_always in any::<bool>(),
        most_bytes in proptest::sample::select(vec![None, Some(0), Some(20_000), Some(80_000)]),
        partition_bits in proptest::sample::select(vec![None, Some(1), Some(3)]),
    ) {
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed_mib << 20, threads) };
        let options = JoinOptions { most_bytes, partition_bits };
        match case.run(&trial, options) {
            Ok((found, _)) => assert_same(&found, &case.expected(), &case),
            // A refusal may hit a request that nothing can do without.
            Err(error) => prop_assert!(
                refuse_every > 0 && error.kind() == ErrorKind::Budget,
                "{error}"
            ),
        }
    }
}
