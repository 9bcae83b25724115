//! A join that compares every row with every other, over rows as they are written in a test.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::super::{JoinSpec, JoinType};

/// A row of either side: a key, and a number that tells rows apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub key: Option<i64>,
    pub id: i64,
}

/// How keys are made from numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Int,
    Short,
    Long,
    /// Odd numbers are -0.0 and 0.0, which are equal; see [`KeyKind::value`].
    Float,
    /// The number in two columns.
    Two,
    /// No key at all: everything is a candidate.
    None,
}

impl KeyKind {
    /// Numbers with equal values are equal keys.
    fn value(self, key: i64) -> i64 {
        match self {
            KeyKind::Float if key % 4 == 1 => 0,
            KeyKind::None => 0,
            _ => key,
        }
    }

    fn columns(self, keys: &[Option<i64>]) -> Vec<(&'static str, ArrayRef)> {
        let ints = |f: fn(i64) -> i64| Arc::new(keys.iter().map(|key| key.map(f)).collect::<Int64Array>()) as ArrayRef;
        let texts = |f: fn(i64) -> String| Arc::new(keys.iter().map(|key| key.map(f)).collect::<StringArray>());
        match self {
            KeyKind::Int => vec![("k", ints(|key| key))],
            KeyKind::Short => vec![("k", texts(|key| key.to_string()))],
            KeyKind::Long => vec![("k", texts(|key| format!("a key too long to lie in a slot, number {key}")))],
            KeyKind::Float => {
                let floats = keys.iter().enumerate().map(|(idx, key)| {
                    key.map(|key| match (key % 4, idx % 2) {
                        (1, 0) => -0.0,
                        (1, _) => 0.0,
                        (3, _) if key == 3 => f64::NAN,
                        _ => key as f64,
                    })
                });
                vec![("k", Arc::new(floats.collect::<Float64Array>()))]
            }
            KeyKind::Two => vec![("k", ints(|key| key / 7)), ("j", texts(|key| (key % 7).to_string()))],
            KeyKind::None => vec![],
        }
    }

    pub fn n_keys(self) -> usize {
        match self {
            KeyKind::None => 0,
            KeyKind::Two => 2,
            _ => 1,
        }
    }
}

/// Batches of `rows`: the key columns, `id`, and a `note` that makes rows wide.
pub fn batches(kind: KeyKind, rows: &[Row], batch_rows: usize) -> Vec<RecordBatch> {
    rows.chunks(batch_rows).map(|rows| batch(kind, rows)).collect()
}

fn batch(kind: KeyKind, rows: &[Row]) -> RecordBatch {
    let keys: Vec<Option<i64>> = rows.iter().map(|row| row.key).collect();
    let mut columns = kind.columns(&keys);
    columns.push(("id", Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>())));
    let note = |row: &Row| (row.id % 5 > 0).then(|| format!("{}{:>100}", row.id, "note"));
    columns.push(("note", Arc::new(rows.iter().map(note).collect::<StringArray>())));
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

pub fn schema(kind: KeyKind) -> SchemaRef {
    batch(kind, &[]).schema()
}

/// The columns `p.id, p.note, b.id, b.note, mark` as far as the type gives them.
pub fn output_schema(join_type: JoinType) -> SchemaRef {
    let column = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let side = |name: &str| {
        vec![column(&format!("{name}.id"), DataType::Int64), column(&format!("{name}.note"), DataType::Utf8)]
    };
    let mut fields = Vec::new();
    if join_type.gives_pairs() || join_type.gives_probe_rows() {
        fields.extend(side("p"));
    }
    if join_type.gives_pairs() || join_type.gives_build_rows() {
        fields.extend(side("b"));
    }
    if matches!(join_type, JoinType::ProbeMark | JoinType::BuildMark) {
        fields.push(column("mark", DataType::Boolean));
    }
    Arc::new(Schema::new(fields))
}

/// Whether two ids fulfil the residual condition of the tests.
pub fn residual(probe: i64, build: i64) -> Option<bool> {
    if (probe + build) % 11 == 0 { None } else { Some((probe * 7 + build) % 37 < 2) }
}

/// The ids of both sides and the mark of each row of the result, sorted; notes follow from the ids.
pub fn join(spec: &JoinSpec, kind: KeyKind, probe: &[Row], build: &[Row]) -> Vec<String> {
    let matches = |p: &Row, b: &Row| {
        let equal = match (kind, p.key, b.key) {
            (KeyKind::None, ..) => true,
            (_, None, None) => spec.null_equal,
            (_, Some(a), Some(b)) => kind.value(a) == kind.value(b),
            _ => false,
        };
        equal && (spec.residual.is_none() || residual(p.id, b.id) == Some(true))
    };
    let join_type = spec.join_type;
    let mut rows = Vec::new();
    let mut build_matched = vec![false; build.len()];
    for p in probe {
        let mut matched = false;
        for (b, build_matched) in build.iter().zip(&mut build_matched).filter(|(b, _)| matches(p, b)) {
            (matched, *build_matched) = (true, true);
            if join_type.gives_pairs() {
                rows.push(format!("{} {}", p.id, b.id));
            }
        }
        let unknown =
            spec.null_aware && !build.is_empty() && (p.key.is_none() || build.iter().any(|b| b.key.is_none()));
        match join_type {
            JoinType::ProbeOuter | JoinType::Full if !matched => rows.push(format!("{} _", p.id)),
            JoinType::ProbeSemi if matched => rows.push(p.id.to_string()),
            JoinType::ProbeAnti if !matched && !unknown => rows.push(p.id.to_string()),
            JoinType::ProbeMark => rows.push(format!("{} {matched}", p.id)),
            _ => {}
        }
    }
    for (b, matched) in build.iter().zip(build_matched) {
        let unknown =
            spec.null_aware && !probe.is_empty() && (b.key.is_none() || probe.iter().any(|p| p.key.is_none()));
        match join_type {
            JoinType::BuildOuter | JoinType::Full if !matched => rows.push(format!("_ {}", b.id)),
            JoinType::BuildSemi if matched => rows.push(b.id.to_string()),
            JoinType::BuildAnti if !matched && !unknown => rows.push(b.id.to_string()),
            JoinType::BuildMark => rows.push(format!("{} {matched}", b.id)),
            _ => {}
        }
    }
    rows.sort_unstable();
    rows
}

/// The same of the batches that an operator gave. Notes are checked on the way.
pub fn show(batches: &[RecordBatch]) -> Vec<String> {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let mut cells = Vec::new();
            for (idx, field) in schema.fields().iter().enumerate() {
                let column = batch.column(idx);
                match field.name().as_str() {
                    "mark" => cells.push(column.as_boolean().value(row).to_string()),
                    name if name.ends_with("id") && column.is_null(row) => {
                        assert!(batch.column(idx + 1).is_null(row), "a note without an id");
                        cells.push("_".to_string());
                    }
                    name if name.ends_with("id") => {
                        let id = column.as_primitive::<Int64Type>().value(row);
                        let note = batch.column(idx + 1).as_string::<i32>();
                        let expected = (id % 5 > 0).then(|| format!("{id}{:>100}", "note"));
                        assert_eq!(note.is_valid(row).then(|| note.value(row)), expected.as_deref(), "note of {id}");
                        cells.push(id.to_string());
                    }
                    _ => {}
                }
            }
            rows.push(cells.join(" "));
        }
    }
    rows.sort_unstable();
    rows
}

/// The residual condition over two columns of ids.
pub fn residual_mask(probe: &Int64Array, build: &Int64Array) -> BooleanArray {
    probe.iter().zip(build).map(|(probe, build)| residual(probe?, build?)).collect()
}
