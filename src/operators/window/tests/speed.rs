//! How fast windows are over many small partitions and over one large one. Run with optimization:
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test --lib window::tests::speed -- --ignored --nocapture`

use std::time::Instant;

use super::*;

fn frame(unit: Unit, start: Bound, end: Bound) -> Frame {
    Frame { unit, start, end, n_order: 1 }
}

#[test]
#[ignore = "measures"]
fn speed_of_windows() {
    let n_rows = 1_000_000;
    let sum = || WindowFunction::Fold(FoldFunction::Sum);
    let max = || WindowFunction::Fold(FoldFunction::Max);
    let lag = || WindowFunction::Shift { by: -1, default: None, ignore_nulls: false };
    let cases = [
        ("row_number", WindowFunction::RowNumber, frame(Unit::Rows, Bound::Unbounded, Bound::Offset(0))),
        ("running sum", sum(), frame(Unit::Range, Bound::Unbounded, Bound::Offset(0))),
        ("total", sum(), frame(Unit::Rows, Bound::Unbounded, Bound::Unbounded)),
        ("sliding sum", sum(), frame(Unit::Rows, Bound::Offset(-10), Bound::Offset(0))),
        ("sliding max", max(), frame(Unit::Rows, Bound::Offset(-1000), Bound::Offset(1000))),
        ("lag", lag(), frame(Unit::Rows, Bound::Unbounded, Bound::Offset(0))),
    ];
    for n_partitions in [200_000, 1] {
        let rows = super::rows(3, n_rows, n_partitions, 1 << 40, 20);
        for (name, function, frame) in &cases {
            let has_arg = !matches!(function, WindowFunction::RowNumber);
            let args: &[usize] = if has_arg { &[NUMBER] } else { &[] };
            let data_type = if has_arg { DataType::Int64 } else { DataType::UInt64 };
            let spec = WindowSpec {
                input: schema(),
                partition: vec![PARTITION],
                order: vec![SortKey { column: KEY, descending: false, nulls_first: false }],
                frames: vec![frame.clone()],
                calls: vec![call(function.clone(), args, data_type, 0)],
            };
            let window = Window::new(spec.clone(), &Trial::new(4 << 30, 1).context()).unwrap();
            let sorted = sort(&rows, &spec);
            let begin = Instant::now();
            let mut local = window.local(&crate::operators::testing::task_context()).unwrap();
            let mut n_out = 0;
            for start in (0..n_rows).step_by(8192) {
                let data = sorted.slice(start, 8192.min(n_rows - start));
                let sequence = Sequence { morsel: 0, batch: (start / 8192) as u32 };
                let batch = Batch { data, sequence, last_of_morsel: start + 8192 >= n_rows };
                local
                    .push(batch, &mut |batch| {
                        n_out += batch.n_rows();
                        Ok(Flow::More)
                    })
                    .unwrap();
            }
            let ns = begin.elapsed().as_nanos() as f64 / n_rows as f64;
            assert_eq!(n_out, n_rows);
            println!("{name:12} over {n_partitions:6} partitions: {ns:6.1} ns a row");
        }
    }
}

fn sort(rows: &RecordBatch, spec: &WindowSpec) -> RecordBatch {
    use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
    let by = [spec.partition[0], spec.order[0].column]
        .map(|column| SortColumn { values: rows.column(column).clone(), options: None });
    take_record_batch(rows, &lexsort_to_indices(&by, None).unwrap()).unwrap()
}
