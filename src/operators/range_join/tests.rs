//! Every join type against an oracle that compares all rows: with little memory, everything evicted, reservations refused
//! and failing disks; over spread and equal places, NULL, NaN, intervals that end before they begin, and empty sides.

use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::exec::*;
use crate::operators::expression::Expression;
use crate::operators::project::Project;
use crate::operators::sort::{Sort, SortKey, SortSpec};
use crate::operators::tagged::TaggedSide;
use crate::operators::testing::Scripted;
use crate::operators::trial::Trial;
use crate::operators::union::{MorselCounter, Unfinished, UnionInput};
use crate::spill::{Disk, Fault};

/// A row of either side.
#[derive(Debug, Clone)]
struct Row {
    key: Option<i64>,
    from: Option<i64>,
    until: Option<i64>,
    id: i64,
}

/// Places as integers, or as floats of which some are NaN and -0.0.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Int,
    Float,
}

impl Kind {
    fn float(place: i64) -> f64 {
        match place {
            7 => f64::NAN,
            0 => -0.0,
            1 => 0.0,
            other => other as f64 / 2.0,
        }
    }

    /// Places with equal numbers are the same.
    fn number(self, place: i64) -> (bool, f64) {
        match self {
            Kind::Int => (false, place as f64),
            Kind::Float if Self::float(place).is_nan() => (true, 0.0),
            Kind::Float => (false, Self::float(place)),
        }
    }

    fn column(self, places: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        match self {
            Kind::Int => Arc::new(places.collect::<Int64Array>()),
            Kind::Float => Arc::new(places.map(|place| place.map(Self::float)).collect::<Float64Array>()),
        }
    }

    fn batch(self, rows: &[Row]) -> RecordBatch {
        let note = |row: &Row| (row.id % 3 > 0).then(|| format!("{:>60}", row.id));
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("k", Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>()), true),
            ("from", self.column(rows.iter().map(|row| row.from)), true),
            ("until", self.column(rows.iter().map(|row| row.until)), true),
            ("id", Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()), true),
            ("note", Arc::new(rows.iter().map(note).collect::<StringArray>()), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }
}

/// About one pair in three holds.
struct TestResidual;

fn residual(left: i64, right: i64) -> Option<bool> {
    if (left + right) % 11 == 0 { None } else { Some((left * 7 + right) % 3 == 0) }
}

impl Expression for TestResidual {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        let ids = |idx: usize| batch.column(idx).as_primitive::<Int64Type>().iter();
        Ok(Arc::new(ids(0).zip(ids(1)).map(|(left, right)| residual(left?, right?)).collect::<BooleanArray>()))
    }
}

#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    has_key: bool,
    null_equal: bool,
    until: [Until; 2],
    strict: [bool; 2],
    descending: bool,
    join_type: JoinType,
    has_residual: bool,
    left: Vec<Row>,
    right: Vec<Row>,
}

impl Case {
    fn input(&self) -> (TaggedLayout, [TaggedSide; 2]) {
        let schema = self.kind.batch(&[]).schema();
        let keys = if self.has_key { vec![0] } else { vec![] };
        let side = |side: usize| TaggedSide {
            keys: keys.clone(),
            place: 1,
            last: (self.until[side] == Until::Last).then_some(2),
            columns: vec![3, 4],
        };
        let sides = [side(LEFT), side(RIGHT)];
        (TaggedLayout::new(&sides, [&schema, &schema]), sides)
    }

    fn spec(&self) -> RangeJoinSpec {
        let mut output = Vec::new();
        let join_type = self.join_type;
        if join_type.gives_pairs() || join_type.gives_probe_rows() {
            output.extend([JoinColumn::Probe(0), JoinColumn::Probe(1)]);
        }
        if join_type.gives_pairs() || join_type.gives_build_rows() {
            output.extend([JoinColumn::Build(0), JoinColumn::Build(1)]);
        }
        if matches!(join_type, JoinType::ProbeMark | JoinType::BuildMark) {
            output.push(JoinColumn::Mark);
        }
        let field = |column: &JoinColumn| match column {
            JoinColumn::Probe(0) | JoinColumn::Build(0) => Field::new("id", DataType::Int64, true),
            JoinColumn::Mark => Field::new("mark", DataType::Boolean, true),
            _ => Field::new("note", DataType::Utf8, true),
        };
        let id = Field::new("id", DataType::Int64, true);
        RangeJoinSpec {
            input: self.input().0,
            descending: self.descending,
            until: self.until,
            strict: self.strict,
            join_type,
            null_equal: self.null_equal,
            residual: self.has_residual.then(|| Residual {
                predicate: Arc::new(TestResidual),
                columns: vec![JoinColumn::Probe(0), JoinColumn::Build(0)],
                schema: Arc::new(Schema::new(vec![id.clone(), id])),
            }),
            schema: Arc::new(Schema::new(output.iter().map(field).collect::<Vec<_>>())),
            output,
        }
    }

    /// Where a row begins and ends, along the line as it is sorted.
    fn extent(&self, side: usize, row: &Row) -> Option<[(bool, f64); 2]> {
        let from = self.kind.number(row.from?);
        let until = match self.until[side] {
            Until::Place => from,
            Until::Last => self.kind.number(row.until?),
            Until::Forever => {
                return Some([from, (true, if self.descending { f64::NEG_INFINITY } else { f64::INFINITY })]);
            }
        };
        Some([from, until])
    }

    fn matches(&self, left: &Row, right: &Row) -> bool {
        let equal = match (left.key, right.key) {
            _ if !self.has_key => true,
            (None, None) => self.null_equal,
            (left, right) => left.is_some() && left == right,
        };
        let (Some(a), Some(b)) = (self.extent(LEFT, left), self.extent(RIGHT, right)) else { return false };
        let before = |place: (bool, f64), last: (bool, f64), side: usize| {
            if self.until[1 - side] == Until::Forever {
                return true;
            }
            let order = if self.descending { last.partial_cmp(&place) } else { place.partial_cmp(&last) };
            let order = order.unwrap();
            order.is_lt() || !self.strict[side] && order.is_eq()
        };
        let meets = before(a[0], b[1], LEFT) && before(b[0], a[1], RIGHT);
        equal && meets && (!self.has_residual || residual(left.id, right.id) == Some(true))
    }

    fn expected(&self) -> Vec<String> {
        let join_type = self.join_type;
        let mut rows = Vec::new();
        let mut right_matched = vec![false; self.right.len()];
        let alone = |gives: bool, mark: bool, id: String, matched: bool, rows: &mut Vec<String>| match mark {
            true => rows.push(format!("{id} {matched}")),
            false if gives => rows.push(id),
            false => {}
        };
        for left in &self.left {
            let mut matched = false;
            for (right, right_matched) in self.right.iter().zip(&mut right_matched) {
                if self.matches(left, right) {
                    (matched, *right_matched) = (true, true);
                    if join_type.gives_pairs() {
                        rows.push(format!("{} {}", left.id, right.id));
                    }
                }
            }
            let id = if join_type.gives_pairs() { format!("{} _", left.id) } else { left.id.to_string() };
            let is_mark = join_type == JoinType::ProbeMark;
            alone(join_type.gives_probe_row(matched), is_mark, id, matched, &mut rows);
        }
        for (right, matched) in self.right.iter().zip(right_matched) {
            let id = if join_type.gives_pairs() { format!("_ {}", right.id) } else { right.id.to_string() };
            let is_mark = join_type == JoinType::BuildMark;
            alone(join_type.mirrored().gives_probe_row(matched), is_mark, id, matched, &mut rows);
        }
        rows.sort_unstable();
        rows
    }

    fn run(&self, trial: &Trial, columns_bytes: u64) -> Result<(Vec<String>, OperatorReport)> {
        let cx = trial.context();
        let (tagged, sides) = self.input();
        let spec = self.spec();
        let join = RangeJoin::with_columns(spec, &cx, columns_bytes)?;
        let inputs = [&self.left, &self.right].map(|rows| rows.chunks(53).map(|rows| self.kind.batch(rows)).collect());
        let by = [(tagged.place(), self.descending)];
        let found = run_tagged(trial, &cx, (&tagged, &sides, &by), inputs, join.clone())?;
        Ok((show(&found, &self.spec().schema), join.report()))
    }

    #[track_caller]
    fn check(&self, trial: &Trial, columns_bytes: u64) -> OperatorReport {
        let (found, report) = self.run(trial, columns_bytes).unwrap_or_else(|error| panic!("{self:?}: {error}"));
        self.assert_same(&found);
        report
    }

    #[track_caller]
    fn assert_same(&self, found: &[String]) {
        let expected = self.expected();
        if found != expected {
            let extra = found.iter().filter(|row| !expected.contains(row)).take(5).collect::<Vec<_>>();
            let missing = expected.iter().filter(|row| !found.contains(row)).take(5).collect::<Vec<_>>();
            let (n, m) = (found.len(), expected.len());
            panic!("{n} rows and not {m}, extra {extra:?}, missing {missing:?} in {self:?}");
        }
    }
}

/// Sorts the rows of both sides together by the keys and by `by`, and sends them in small batches through `join`.
pub(in crate::operators) fn run_tagged(
    trial: &Trial,
    cx: &QueryContext,
    (tagged, sides, by): (&TaggedLayout, &[TaggedSide; 2], &[(usize, bool)]),
    inputs: [Vec<RecordBatch>; 2],
    join: Arc<dyn Transform>,
) -> Result<Vec<Batch>> {
    let key = |(column, descending)| SortKey { column, descending, nulls_first: false };
    let keys = (0..tagged.n_keys).map(|key| (key, false)).chain(by.iter().copied());
    let spec = SortSpec {
        schema: tagged.schema.clone(),
        keys: keys.map(key).collect(),
        limit: (tagged.n_keys == 0).then_some(u64::MAX),
        n_grouping_keys: tagged.n_keys,
    };
    let sort = Sort::new(spec, cx)?;
    let counter = Arc::new(MorselCounter::default());
    let input = |(side, batches): (usize, Vec<RecordBatch>)| {
        let project = Project::new(tagged.project(side, &sides[side]), tagged.schema.clone());
        let batches = batches.into_iter().enumerate().map(|(idx, data)| {
            let sequence = Sequence { morsel: idx as u64, batch: 0 };
            Batch { data, sequence, last_of_morsel: true }
        });
        let sink = if side == LEFT { Arc::new(Unfinished(sort.sink())) as Arc<dyn Sink> } else { sort.sink() };
        Pipeline {
            source: Step { node: 0, role: Arc::new(Scripted::new(batches.collect())) },
            transforms: vec![
                Step { node: 0, role: Arc::new(project) as Arc<dyn Transform> },
                Step { node: 0, role: Arc::new(UnionInput::new(counter.clone(), side)) },
            ],
            sink: Step { node: 1, role: sink },
        }
    };
    let output = Arc::new(Collector::default());
    let last = Pipeline {
        source: Step { node: 1, role: sort.source() },
        transforms: vec![Step { node: 1, role: Arc::new(Slicing) as Arc<dyn Transform> }, Step { node: 2, role: join }],
        sink: Step { node: 3, role: output.clone() },
    };
    let node = |name| Node { name, detail: String::new(), inputs: vec![], report: None };
    let nodes = ["Scan", "Sort", "Join", "Output"].map(node).into();
    let pipelines = inputs.into_iter().enumerate().map(input).chain([last]).collect();
    let query = Query { nodes, pipelines, labels: vec![] };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(trial.threads).build().unwrap();
    crate::exec::run(&query, cx, &pool, &Monitor::new(&query))?;
    let found = std::mem::take(&mut *output.0.lock().unwrap());
    check_morsels(&found);
    Ok(found)
}

/// Every morsel ends with exactly one batch that says so.
fn check_morsels(batches: &[Batch]) {
    let mut places: Vec<(Sequence, bool)> = batches.iter().map(|b| (b.sequence, b.last_of_morsel)).collect();
    places.sort();
    for pair in places.windows(2) {
        assert_eq!(pair[0].1, pair[0].0.morsel != pair[1].0.morsel, "at {:?}", pair[0].0);
    }
}

/// Cuts batches into small ones, so that few rows are many batches.
struct Slicing;

const SLICE_ROWS: usize = 37;

impl Transform for Slicing {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(Slicing))
    }
}

impl LocalTransform for Slicing {
    fn push(&mut self, batch: Batch, emit: &mut Emit<'_>) -> Result<Flow> {
        let n_rows = batch.n_rows();
        let mut start = 0;
        loop {
            let len = SLICE_ROWS.min(n_rows - start);
            let last_of_morsel = batch.last_of_morsel && start + len == n_rows;
            let data = batch.data.slice(start, len);
            start += len;
            if emit(Batch { data, sequence: batch.sequence, last_of_morsel })? == Flow::Done {
                return Ok(Flow::Done);
            }
            if start >= n_rows {
                return Ok(Flow::More);
            }
        }
    }
}

#[derive(Default)]
struct Collector(Arc<Mutex<Vec<Batch>>>);

struct LocalCollector(Arc<Mutex<Vec<Batch>>>);

impl Sink for Collector {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(LocalCollector(self.0.clone())))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for LocalCollector {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        self.0.lock().unwrap().push(batch);
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Rows as text, sorted; notes are checked on the way.
fn show(batches: &[Batch], schema: &SchemaRef) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.n_rows() {
            let mut cells = Vec::new();
            for (idx, field) in schema.fields().iter().enumerate() {
                let column = batch.data.column(idx);
                match field.name().as_str() {
                    "id" if column.is_null(row) => cells.push("_".to_string()),
                    "id" => cells.push(column.as_primitive::<Int64Type>().value(row).to_string()),
                    "mark" => cells.push(column.as_boolean().value(row).to_string()),
                    _ => {
                        let id = batch.data.column(idx - 1).as_primitive::<Int64Type>();
                        let id = id.is_valid(row).then(|| id.value(row)).filter(|id| id % 3 > 0);
                        let note = column.as_string::<i32>();
                        assert_eq!(
                            note.is_valid(row).then(|| note.value(row).to_string()),
                            id.map(|id| format!("{id:>60}"))
                        );
                    }
                }
            }
            rows.push(cells.join(" "));
        }
    }
    rows.sort_unstable();
    rows
}

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

/// Where rows of the two sides end, in all ways that conditions come to.
const ENDS: [[Until; 2]; 6] = [
    [Until::Place, Until::Last],
    [Until::Last, Until::Place],
    [Until::Last, Until::Last],
    [Until::Forever, Until::Place],
    [Until::Place, Until::Forever],
    [Until::Place, Until::Place],
];

/// How places are spread.
#[derive(Debug, Clone, Copy)]
enum Spread {
    /// Over so many places, with intervals of up to so many.
    Uniform(i64, i64),
    /// All at one place.
    One,
    /// Short ones, and now and then one that reaches far.
    Mixed(i64),
    AllNull,
}

fn rows(n: usize, spread: Spread, n_keys: i64, nulls: bool, first_id: i64) -> Vec<Row> {
    let row = |idx: i64| {
        let scattered = (idx * 7919 + first_id * 31) % 1_000_003;
        let (from, len) = match spread {
            Spread::Uniform(n, len) => (Some(scattered % n), scattered / 7 % (len + 2) - 1),
            Spread::One => (Some(5), 0),
            Spread::Mixed(n) => (Some(scattered % n), if idx % 17 == 0 { n } else { 1 }),
            Spread::AllNull => (None, 0),
        };
        let from = from.filter(|_| !nulls || idx % 9 != 4);
        let until = from.map(|from| from + len).filter(|_| !nulls || idx % 11 != 3);
        let key = Some(scattered / 3 % n_keys).filter(|_| !nulls || idx % 13 != 5);
        Row { key, from, until, id: first_id + idx }
    };
    (0..n as i64).map(row).collect()
}

fn plenty() -> Trial {
    Trial::new(14 << 20, 2)
}

fn case(join_type: JoinType, until: [Until; 2], left: Vec<Row>, right: Vec<Row>) -> Case {
    Case {
        kind: Kind::Int,
        has_key: true,
        null_equal: false,
        until,
        strict: [false, false],
        descending: false,
        join_type,
        has_residual: false,
        left,
        right,
    }
}

#[test]
fn every_type_and_every_form_of_condition() {
    for join_type in TYPES {
        for until in ENDS {
            let left = rows(300, Spread::Uniform(200, 9), 3, true, 1000);
            let right = rows(200, Spread::Mixed(200), 3, true, 5000);
            let plain = case(join_type, until, left, right);
            plain.check(&plenty(), 1 << 20);
            Case { has_key: false, kind: Kind::Float, ..plain.clone() }.check(&plenty(), 1 << 20);
            let strict = Case { strict: [true, false], has_residual: true, ..plain.clone() };
            strict.check(&plenty(), 1 << 20);
            Case { null_equal: true, descending: true, strict: [false, true], ..plain }.check(&plenty(), 0);
        }
    }
}

#[test]
fn empty_sides_and_one_place_that_has_all_rows() {
    for join_type in TYPES {
        for until in [ENDS[0], ENDS[3]] {
            for (n_left, n_right) in [(0, 0), (0, 40), (40, 0)] {
                let side = |n, id| rows(n, Spread::Uniform(10, 2), 2, true, id);
                case(join_type, until, side(n_left, 1000), side(n_right, 5000)).check(&plenty(), 1 << 20);
            }
            let (left, right) = (rows(150, Spread::One, 1, false, 1000), rows(130, Spread::One, 1, false, 5000));
            case(join_type, until, left.clone(), right.clone()).check(&plenty(), 0);
            Case { strict: [true, true], ..case(join_type, until, left, right) }.check(&plenty(), 0);
            let nulls = rows(30, Spread::AllNull, 1, false, 1000);
            case(join_type, until, nulls, rows(30, Spread::One, 1, false, 5000)).check(&plenty(), 0);
        }
    }
}

/// More rows than batches of the sort have, so that rows are kept from batch to batch.
#[test]
fn kept_rows_go_to_pages_and_come_back() {
    for join_type in [JoinType::Inner, JoinType::Full, JoinType::ProbeAnti, JoinType::BuildMark] {
        for (governed, threads) in [(2 << 20, 1), (4 << 20, 2), (13 << 20, 8)] {
            let left = rows(1500, Spread::Uniform(40_000, 30), 1, true, 10_000);
            let right = rows(1500, Spread::Mixed(40_000), 1, true, 50_000);
            let case = Case { has_key: false, ..case(join_type, ENDS[0], left, right) };
            let right: Vec<Row> =
                case.right.iter().filter(|row| row.id % 17 != 0 || row.id < 51_000).cloned().collect();
            let case = Case { right, ..case };
            let trial = Trial { evict_always: true, ..Trial::new(governed, threads) };
            let report = case.check_fast(&trial, 0);
            assert!(report.spilled_raw_bytes > 0 && report.restored_bytes > 0, "{report:?}");
        }
    }
}

impl Case {
    /// As [`Case::check`], with an oracle that knows which rows are near one another.
    #[track_caller]
    fn check_fast(&self, trial: &Trial, columns_bytes: u64) -> OperatorReport {
        let (found, report) = self.run(trial, columns_bytes).unwrap_or_else(|error| panic!("{error}"));
        let expected = self.expected();
        assert_eq!(found.len(), expected.len());
        assert!(found == expected, "rows differ");
        report
    }
}

#[test]
fn a_failing_disk_at_every_call_is_an_error() {
    let left = rows(1500, Spread::Uniform(700, 30), 2, true, 10_000);
    let right = rows(1500, Spread::Mixed(700), 2, true, 50_000);
    for (join_type, fault) in [(JoinType::Full, Fault::NoSpace), (JoinType::BuildAnti, Fault::Io)] {
        let case = case(join_type, ENDS[0], left.clone(), right.clone());
        let expected = case.expected();
        let mut n = 1;
        loop {
            let disk = Disk::faulty(n, fault);
            let trial = Trial { evict_always: true, disk, ..Trial::new(2 << 20, 1) };
            match case.run(&trial, 0) {
                Ok((found, _)) => {
                    assert!(found == expected, "rows differ");
                    if trial.disk.calls() < n {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
            n += 1 + n / 6;
        }
        assert!(n > 10, "the disk was used");
    }
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop_oneof![
        (1i64..600, 0i64..40).prop_map(|(n, len)| Spread::Uniform(n, len)),
        (1i64..600).prop_map(Spread::Mixed),
        Just(Spread::One),
        Just(Spread::AllNull),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let side = || (0usize..220, spreads(), any::<bool>());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let types = (proptest::sample::select(TYPES.to_vec()), proptest::sample::select(ENDS.to_vec()));
    let kind = proptest::sample::select(vec![Kind::Int, Kind::Float]);
    (types, kind, side(), side(), flags, any::<[bool; 2]>(), 1i64..5).prop_map(
        |((join_type, until), kind, left, right, flags, strict, n_keys)| {
            let (has_key, null_equal, descending, has_residual, _) = flags;
            let side = |(n, spread, nulls), id| rows(n, spread, n_keys, nulls, id);
            let (left, right) = (side(left, 1000), side(right, 5000));
            Case { kind, has_key, null_equal, until, strict, descending, join_type, has_residual, left, right }
        },
    )
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
        columns_bytes in proptest::sample::select(vec![0u64, 20_000, 10 << 20]),
    ) {
        let trial = Trial { refuse_every, evict_always, ..Trial::new(governed_mib << 20, threads) };
        match case.run(&trial, columns_bytes) {
            Ok((found, _)) => case.assert_same(&found),
            // A refusal may hit a request that nothing can do without.
            Err(error) => prop_assert!(refuse_every > 0 && error.kind() == ErrorKind::Budget, "{error}"),
        }
    }
}
