//! Tables in memory and a driver of one thread, to run small queries from text to rows.

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::exec::*;
use crate::io::*;
use crate::memory::Memory;
use crate::operators::expression::assemble;
use crate::operators::testing::{Scripted, task_context};

/// A table of given batches, each a morsel. Columns that may be dictionaries are.
pub struct MemTable {
    name: String,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    in_order: Arc<Mutex<Vec<bool>>>,
}

impl Table for MemTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        // Only one table knows its number of rows, as a file without a footer does not.
        let n_rows = self.batches.iter().map(|batch| batch.num_rows() as u64).sum();
        TableStatistics { n_rows: (self.name == "many.csv").then_some(n_rows), ..TableStatistics::default() }
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        self.in_order.lock().unwrap().push(request.in_order);
        let batches = self.batches.iter().enumerate().map(|(morsel, batch)| {
            let sequence = Sequence { morsel: morsel as u64, batch: 0 };
            Ok(Batch { data: scan_batch(batch, &request)?, sequence, last_of_morsel: true })
        });
        let source = Arc::new(Scripted::new(batches.collect::<Result<_>>()?));
        Ok(Scan { source, report: Arc::new(NoReport), bytes_per_worker: 0 })
    }

    fn describe(&self) -> String {
        format!("mem {}", self.name)
    }
}

fn scan_batch(batch: &RecordBatch, request: &ScanRequest) -> Result<RecordBatch> {
    let mut encoded = Vec::new();
    for (idx, column) in batch.columns().iter().enumerate() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(column.data_type().clone()));
        let wanted = request.dictionary_columns.contains(&idx);
        encoded.push(if wanted { cast(column, &dictionary)? } else { column.clone() });
    }
    let batch = assemble(&batch.schema(), encoded, batch.num_rows())?;
    let columns = ScanColumns::new(&request.projection, &request.filters);
    columns.finish(batch.project(columns.columns())?)
}

struct NoReport;

impl Report for NoReport {
    fn report(&self) -> OperatorReport {
        OperatorReport::default()
    }
}

/// `sales.csv` (id Utf8, Price Float64, qty Int64, day Date32 as days, note Utf8) in two batches; `one.csv` (x Int64) with
/// 1; `empty.csv` (x Int64); `pairs.csv` (see [`pairs`]).
#[derive(Default)]
pub struct TestTables {
    /// For every scan whether it was asked to keep the order.
    pub in_order: Arc<Mutex<Vec<bool>>>,
}

impl OpenTable for TestTables {
    fn open(&self, path: &str, _memory: &Memory) -> Result<Arc<dyn Table>> {
        let batches = match path {
            "sales.csv" => vec![
                sales(&[Some("a"), Some("b"), Some("a")], &[1.5, 2.0, 0.5], &[Some(3), Some(1), None], &[0, 1, 2]),
                sales(&[None, Some("b"), Some("c")], &[4.0, 8.0, 1.0], &[Some(2), Some(2), Some(7)], &[3, 4, 5]),
            ],
            "one.csv" => vec![numbers(&[1])],
            "many.csv" => (0..4).map(|n| numbers(&[10 * n, 10 * n + 1, 10 * n + 2])).collect(),
            "empty.csv" => vec![numbers(&[])],
            "pairs.csv" => (0..30).map(pairs).collect(),
            "many_pairs.csv" => (0..150).map(pairs).collect(),
            _ => return Err(Error::data(format!("cannot read {path}: no such file"))),
        };
        Ok(Arc::new(MemTable {
            name: path.to_string(),
            schema: batches[0].schema(),
            batches,
            in_order: self.in_order.clone(),
        }))
    }
}

fn sales(ids: &[Option<&str>], prices: &[f64], quantities: &[Option<i64>], days: &[i32]) -> RecordBatch {
    let days = arrow::array::Date32Array::from(days.to_vec());
    let notes: Vec<String> = ids.iter().map(|id| format!("note {}", id.unwrap_or("-"))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(StringArray::from(ids.to_vec()))),
        ("Price", Arc::new(Float64Array::from(prices.to_vec()))),
        ("qty", Arc::new(Int64Array::from(quantities.to_vec()))),
        ("day", Arc::new(days)),
        ("note", Arc::new(StringArray::from(notes))),
    ];
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect()).unwrap()
}

/// A piece of `pairs.csv`: g Int64 (997 different), x Int64, s Utf8.
fn pairs(piece: i64) -> RecordBatch {
    let ns = || (0..400).map(|n| piece * 400 + n);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("g", Arc::new(ns().map(|n| n * 31 % 997).collect::<Int64Array>()), true),
        ("x", Arc::new(ns().map(|n| (n % 7 > 0).then_some(n * 7919 % 1009)).collect::<Int64Array>()), true),
        ("s", Arc::new(ns().map(|n| Some(format!("text number {}", n * 17 % 503))).collect::<StringArray>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn numbers(values: &[i64]) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
}

/// Runs every pipeline to its end, one after the other, on this thread.
pub fn run(query: &Query) -> Result<()> {
    let cx = task_context();
    for pipeline in &query.pipelines {
        let steps = &pipeline.transforms;
        run_pass(pipeline.source.role.as_ref(), steps, pipeline.sink.role.as_ref(), &cx)?;
        for (idx, step) in steps.iter().enumerate() {
            if let Some(rest) = step.role.remainder()? {
                run_pass(rest.as_ref(), &steps[idx + 1..], pipeline.sink.role.as_ref(), &cx)?;
            }
        }
        pipeline.sink.role.finish(&cx)?;
    }
    Ok(())
}

fn run_pass(source: &dyn Source, steps: &[Step<dyn Transform>], sink: &dyn Sink, cx: &TaskContext) -> Result<()> {
    let mut source = source.local(cx)?;
    let mut transforms = steps.iter().map(|step| step.role.local(cx)).collect::<Result<Vec<_>>>()?;
    let mut sink = sink.local(cx)?;
    while let Some(batch) = source.next()? {
        if push(&mut transforms, sink.as_mut(), batch)? == Flow::Done {
            break;
        }
    }
    for idx in 0..transforms.len() {
        let (current, later) = transforms[idx..].split_first_mut().unwrap();
        current.flush(&mut |batch| push(later, sink.as_mut(), batch))?;
    }
    sink.combine()
}

fn push(transforms: &mut [Box<dyn LocalTransform>], sink: &mut dyn LocalSink, batch: Batch) -> Result<Flow> {
    match transforms.split_first_mut() {
        Some((first, later)) => first.push(batch, &mut |batch| push(later, sink, batch)),
        None => sink.push(batch),
    }
}

/// Keeps what arrives.
#[derive(Default, Clone)]
pub struct Output {
    pub batches: Arc<Mutex<Vec<Batch>>>,
}

impl Sink for Output {
    fn local(&self, _cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        Ok(Box::new(self.clone()))
    }

    fn finish(&self, _cx: &TaskContext) -> Result<()> {
        Ok(())
    }
}

impl LocalSink for Output {
    fn push(&mut self, batch: Batch) -> Result<Flow> {
        self.batches.lock().unwrap().push(batch);
        Ok(Flow::More)
    }

    fn combine(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
