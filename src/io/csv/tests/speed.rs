//! Figures, not checks: `cargo test --release --lib csv::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use arrow::array::cast::AsArray;
use arrow::array::types::{Float64Type, Int64Type};
use arrow::datatypes::DataType;

use super::*;

/// Reads `BRIMFUL_CSV` with two workers and sums two columns.
#[test]
#[ignore = "measures"]
fn sums_of_two_columns() {
    let Some(path) = std::env::var_os("BRIMFUL_CSV").map(PathBuf::from) else { return };
    let table = open(std::slice::from_ref(&path), CsvOptions::default()).unwrap();
    let schema = table.schema();
    println!("{:?}", schema.fields().iter().map(|field| field.data_type().to_string()).collect::<Vec<_>>());
    for names in [
        &["v1", "v3"][..],
        &[],
        &["v3"],
        &["id1"],
        &["id1", "v1"],
        &["id1", "id2", "id3", "id4", "id5", "id6", "v1", "v2", "v3"],
    ] {
        for threads in [1, 2] {
            let projection: Vec<usize> = names.iter().map(|name| schema.index_of(name).unwrap()).collect();
            let started = Instant::now();
            let (n_rows, sum) = sum(&table, projection, threads);
            let seconds = started.elapsed().as_secs_f64();
            let bytes = table.statistics().file_bytes as f64;
            println!(
                "{threads} threads, {names:?}: {n_rows} rows, sum {sum}, {seconds:.3} s, {:.2} GB/s",
                bytes / seconds / 1e9
            );
        }
    }
}

fn sum(table: &CsvTable, projection: Vec<usize>, threads: usize) -> (usize, f64) {
    let memory = Memory::with_governed(512 << 20, threads);
    let scan = table.scan(ScanRequest { projection, ..ScanRequest::default() }).unwrap();
    let pages = PagePool::new(memory.clone(), Arc::new(NoStore)).unwrap();
    let work = |worker_idx| {
        let cancel = CancelToken::default();
        let cx = TaskContext { memory: memory.clone(), pages: pages.clone(), cancel, worker_idx, n_workers: threads };
        let mut local = scan.source.local(&cx).unwrap();
        let (mut n_rows, mut sum) = (0, 0.0);
        while let Some(batch) = local.next().unwrap() {
            n_rows += batch.n_rows();
            for column in batch.data.columns() {
                sum += match column.data_type() {
                    DataType::Int64 => arrow::compute::sum(column.as_primitive::<Int64Type>()).unwrap_or(0) as f64,
                    DataType::Float64 => arrow::compute::sum(column.as_primitive::<Float64Type>()).unwrap_or(0.0),
                    _ => column.as_string::<i32>().value_data().len() as f64,
                };
            }
        }
        (n_rows, sum)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|worker_idx| scope.spawn(move || work(worker_idx))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold((0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1))
    })
}
