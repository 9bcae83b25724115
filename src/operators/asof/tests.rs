//! Every direction against an oracle that looks at all right rows: with ties, NULL, NaN, tolerances, little memory,
//! everything evicted, refusals and failing disks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::operators::range_join::tests::run_tagged;
use crate::operators::tagged::{RIGHT, TaggedSide};
use crate::operators::trial::Trial;
use crate::spill::{Disk, Fault};

/// A row of either side.
#[derive(Debug, Clone)]
struct Row {
    key: Option<i64>,
    at: Option<i64>,
    id: i64,
}

#[derive(Debug, Clone)]
struct Case {
    /// Places are halves as floats, 13 is NaN; else integers.
    floats: bool,
    has_key: bool,
    direction: Direction,
    strict: bool,
    tolerance: Option<i64>,
    keeps_left: bool,
    left: Vec<Row>,
    right: Vec<Row>,
}

fn float(at: i64) -> f64 {
    if at == 13 { f64::NAN } else { at as f64 / 2.0 }
}

impl Case {
    fn batch(&self, rows: &[Row]) -> RecordBatch {
        let at: ArrayRef = match self.floats {
            true => Arc::new(rows.iter().map(|row| row.at.map(float)).collect::<Float64Array>()),
            false => Arc::new(rows.iter().map(|row| row.at).collect::<Int64Array>()),
        };
        let note = |row: &Row| (row.id % 3 > 0).then(|| format!("{:>60}", row.id));
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("k", Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>()), true),
            ("at", at, true),
            ("id", Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()), true),
            ("note", Arc::new(rows.iter().map(note).collect::<StringArray>()), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    /// Where a place is: NaN is after all numbers.
    fn place(&self, at: i64) -> (bool, f64) {
        match self.floats {
            true if float(at).is_nan() => (true, 0.0),
            true => (false, float(at)),
            false => (false, at as f64),
        }
    }

    fn expected(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for left in &self.left {
            match self.right_row(left) {
                Some(right) => rows.push(format!("{} {right}", left.id)),
                None if self.keeps_left => rows.push(format!("{} _", left.id)),
                None => {}
            }
        }
        rows.sort_unstable();
        rows
    }

    fn right_row(&self, left: &Row) -> Option<i64> {
        let here = self.place(left.at?);
        left.key.filter(|_| self.has_key).or((!self.has_key).then_some(0))?;
        let distance = |place: (bool, f64)| match (here.0, place.0) {
            (true, true) => 0.0,
            (false, false) => (here.1 - place.1).abs(),
            _ => f64::NAN,
        };
        // The first of the best, in the order of the input, or the last one.
        let mut best: Option<((bool, f64), i64)> = None;
        for right in self.right.iter().filter(|right| !self.has_key || right.key == left.key) {
            let Some(at) = right.at else { continue };
            let place = self.place(at);
            let order = place.partial_cmp(&here).unwrap();
            let is_candidate = match self.direction {
                Direction::Backward => order.is_lt() || order.is_eq() && !self.strict,
                Direction::Forward => order.is_gt() || order.is_eq() && !self.strict,
                Direction::Nearest => true,
            };
            let is_better = best.is_none_or(|(known, _)| match self.direction {
                Direction::Backward => place >= known,
                Direction::Forward => place < known,
                Direction::Nearest => {
                    let (new, old) = (distance(place), distance(known));
                    // A NaN is far from all numbers, and after them.
                    match (new.is_nan(), old.is_nan()) {
                        (true, true) => place > known,
                        (false, false) => new < old || new == old && place < known,
                        (new_is_far, _) => !new_is_far,
                    }
                }
            });
            if is_candidate && is_better {
                best = Some((place, right.id));
            }
        }
        let (place, id) = best?;
        let far = distance(place);
        self.tolerance.is_none_or(|most| far <= most as f64).then_some(id)
    }

    fn run(&self, trial: &Trial, columns_bytes: u64) -> Result<Vec<String>> {
        let cx = trial.context();
        let schema = self.batch(&[]).schema();
        let keys = if self.has_key { vec![0] } else { vec![] };
        let side = || TaggedSide { keys: keys.clone(), place: 1, last: None, columns: vec![2, 3] };
        let sides = [side(), side()];
        let input = TaggedLayout::new(&sides, [&schema, &schema]);
        let tolerance =
            |most: i64| if self.floats { Tolerance::Float(most as f64) } else { Tolerance::Steps(most.into()) };
        let fields = ["l", "ln", "r", "rn"].map(|name| {
            let data_type = if name.ends_with('n') { DataType::Utf8 } else { DataType::Int64 };
            Field::new(name, data_type, true)
        });
        let spec = AsofSpec {
            input: input.clone(),
            direction: self.direction,
            strict: self.strict,
            tolerance: self.tolerance.map(tolerance),
            keeps_left: self.keeps_left,
            output: vec![JoinColumn::Probe(0), JoinColumn::Probe(1), JoinColumn::Build(0), JoinColumn::Build(1)],
            schema: Arc::new(Schema::new(fields.to_vec())),
        };
        let by = [(input.place(), self.direction == Direction::Forward), (input.side(), !self.strict)];
        let join = AsofJoin::with_columns(spec, &cx, columns_bytes)?;
        let inputs = [&self.left, &self.right].map(|rows| rows.chunks(53).map(|rows| self.batch(rows)).collect());
        let found = run_tagged(trial, &cx, (&input, &sides, &by), inputs, join)?;
        let mut rows = Vec::new();
        for batch in found {
            let cell = |side: usize, row: usize| {
                let ids = batch.data.column(2 * side).as_primitive::<Int64Type>();
                let notes = batch.data.column(2 * side + 1).as_string::<i32>();
                let id = ids.is_valid(row).then(|| ids.value(row));
                let note = id.filter(|id| id % 3 > 0).map(|id| format!("{id:>60}"));
                assert_eq!(notes.is_valid(row).then(|| notes.value(row).to_string()), note);
                id.map_or("_".to_string(), |id| id.to_string())
            };
            rows.extend((0..batch.n_rows()).map(|row| format!("{} {}", cell(LEFT, row), cell(RIGHT, row))));
        }
        rows.sort_unstable();
        Ok(rows)
    }

    #[track_caller]
    fn assert_same(&self, found: &[String]) {
        let expected = self.expected();
        if found != expected {
            let extra = found.iter().filter(|row| !expected.contains(row)).take(5).collect::<Vec<_>>();
            let missing = expected.iter().filter(|row| !found.contains(row)).take(5).collect::<Vec<_>>();
            panic!("{} rows and not {}, extra {extra:?}, missing {missing:?} in {self:?}", found.len(), expected.len());
        }
    }
}

fn rows(n: usize, n_places: i64, n_keys: i64, nulls: bool, first_id: i64) -> Vec<Row> {
    let row = |idx: i64| {
        let scattered = (idx * 7919 + first_id * 31) % 1_000_003;
        let at = Some(scattered % n_places).filter(|_| !nulls || idx % 9 != 4);
        let key = Some(scattered / 3 % n_keys).filter(|_| !nulls || idx % 13 != 5);
        Row { key, at, id: first_id + idx }
    };
    (0..n as i64).map(row).collect()
}

const DIRECTIONS: [Direction; 3] = [Direction::Backward, Direction::Forward, Direction::Nearest];

#[test]
fn a_failing_disk_at_every_call_is_an_error() {
    for direction in DIRECTIONS {
        let case = Case {
            floats: false,
            has_key: true,
            direction,
            strict: false,
            tolerance: None,
            keeps_left: true,
            left: rows(9000, 3000, 2, true, 10_000),
            right: rows(60, 900, 2, true, 50_000),
        };
        let expected = case.expected();
        let mut n = 1;
        loop {
            let trial = Trial { evict_always: true, disk: Disk::faulty(n, Fault::NoSpace), ..Trial::new(2 << 20, 1) };
            match case.run(&trial, 0) {
                Ok(found) => {
                    assert!(found == expected, "rows differ");
                    if trial.disk.calls() < n {
                        break;
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "call {n}: {error}"),
            }
            n += 1 + n / 3;
        }
        assert!(n > 10, "the disk was used");
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let side = || (0usize..220, prop_oneof![Just(1i64), 1i64..40, 100i64..2000], any::<bool>());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let tolerance = prop_oneof![Just(None), (0i64..30).prop_map(Some)];
    (side(), side(), flags, tolerance, proptest::sample::select(DIRECTIONS.to_vec()), 1i64..5).prop_map(
        |(left, right, (floats, has_key, strict, keeps_left), tolerance, direction, n_keys)| {
            let side = |(n, n_places, nulls), id| rows(n, n_places, n_keys, nulls, id);
            let (left, right) = (side(left, 1000), side(right, 5000));
            let strict = strict && direction != Direction::Nearest;
            Case { floats, has_key, direction, strict, tolerance, keeps_left, left, right }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

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
            Ok(found) => case.assert_same(&found),
            // A refusal may hit a request that nothing can do without.
            Err(error) => prop_assert!(refuse_every > 0 && error.kind() == ErrorKind::Budget, "{error}"),
        }
    }
}
