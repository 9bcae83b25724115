//! Rows in memory, in pieces and in files.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::ErrorKind;
use crate::frame::testing::{array, frame, session, shown, text};
use crate::frame::*;
use crate::session::{Session, SessionOptions, Strain};

/// A session with `mib` MiB of governed memory.
fn small(mib: u64) -> Session {
    let strain = Strain { governed_bytes: Some(mib << 20), ..Strain::default() };
    Session::new(SessionOptions { threads: Some(2), strain, ..Default::default() }).unwrap()
}

fn numbers(session: &Session, n_rows: i64) -> LazyFrame {
    let values: Int64Array = (0..1000).collect();
    let batch = RecordBatch::try_from_iter([("a", Arc::new(values) as _)]).unwrap();
    let thousand = session.from_batches(vec![batch]);
    let times = thousand.clone().filter(col("a").lt(n_rows / 1000)).rename(["a"], ["b"]);
    thousand.cross_join(times).select([(col("a") + col("b") * 1000).alias("n")])
}

#[test]
fn what_does_not_fit_says_what_to_do_and_gives_its_memory_back() {
    let session = small(16);
    let before = session.memory().reserved_outside_pages();
    let many = numbers(&session, 900_000).with_columns([(col("n") * 2).alias("m"), (col("n") * 3).alias("k")]);
    let error = many.collect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert!(error.to_string().contains("sink_parquet") && error.to_string().contains("collect_batches"), "{error}");
    drop(many);
    assert_eq!(session.memory().reserved_outside_pages(), before);
    let few = numbers(&session, 3000).collect().unwrap();
    assert_eq!(few.height(), 3000);
    assert!(session.memory().reserved_outside_pages() >= before + 24_000, "a frame counts as long as it lives");
    let size = few.estimated_size();
    let copy = few.clone();
    drop(few);
    assert_eq!(copy.estimated_size(), size);
    drop(copy);
    assert_eq!(session.memory().reserved_outside_pages(), before);
}

#[test]
fn batches_go_by_whatever_their_number() {
    let session = small(16);
    let (mut n_rows, mut sum) = (0, 0);
    for batch in numbers(&session, 900_000).collect_batches().unwrap() {
        let batch = batch.unwrap();
        n_rows += batch.num_rows();
        sum += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    assert_eq!((n_rows, sum), (900_000, 900_000 * 899_999 / 2));
}

#[test]
fn batches_come_in_order_and_other_queries_may_run_meanwhile() {
    let batches = || {
        (0..50).map(|idx| {
            let values: Int64Array = (idx * 100..(idx + 1) * 100).collect();
            RecordBatch::try_from_iter([("a", Arc::new(values) as _)]).unwrap()
        })
    };
    let frame = session().from_batches(batches().collect());
    let mut last = -1;
    for batch in frame.collect_batches().unwrap() {
        for value in batch.unwrap().column(0).as_primitive::<Int64Type>().values() {
            assert_eq!(*value, last + 1);
            last = *value;
        }
        assert_eq!(shown(frame.clone().select([col("a").max()]).collect()), "a|4999");
    }
    assert_eq!(last, 4999);
}

#[test]
fn dropping_the_iterator_ends_the_query() {
    let session = small(32);
    let before = session.memory().reserved_bytes();
    let many = numbers(&session, 1_000_000).sort("n", SortOptions::new());
    let mut batches = many.collect_batches().unwrap();
    assert!(batches.next().unwrap().is_ok());
    drop(batches);
    drop(many);
    assert_eq!(session.memory().reserved_outside_pages(), before);
}

#[test]
fn what_goes_wrong_comes_as_an_item() {
    let bad = frame(vec![("a", array::<arrow::array::StringArray>(vec!["1", "x"]))]).cast([("a", DataType::Int64)]);
    // The row before it comes first.
    let batches: Vec<_> = bad.collect_batches().unwrap().collect();
    let (last, before) = batches.split_last().unwrap();
    assert!(before.iter().all(|batch| batch.is_ok()));
    assert_eq!(last.as_ref().unwrap_err().kind(), ErrorKind::Query);
    let unknown = frame(vec![("a", array::<Int64Array>(vec![1]))]).select(["b"]);
    assert!(unknown.collect_batches().is_err(), "a mistake is told at once");
}

#[test]
fn frames_show_themselves() {
    let rows = frame(vec![("a", array::<Int64Array>((0..30).collect::<Vec<i64>>()))]).collect().unwrap();
    let shown = rows.to_string();
    assert!(shown.starts_with("shape: (30, 1)\n"), "{shown}");
    assert_eq!(shown.lines().count(), 1 + 4 + 10, "{shown}");
    assert_eq!((rows.shape(), rows.text(29, "a")), ((30, 1), Some("29".to_string())));
    assert_eq!(rows.column("b").unwrap_err().to_string(), "column \"b\" not found\n  hint: did you mean \"a\"?");
    let summary = rows.lazy().describe().unwrap();
    assert_eq!(
        text(&summary),
        "statistic,a|count,30.0|null_count,0.0|mean,14.5|std,8.803408430829505|min,0.0|25%,7.0|50%,15.0|75%,22.0|max,29.0"
    );
}

#[test]
fn files_go_out_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let rows = frame(vec![
        ("a", array::<Int64Array>(vec![Some(1), None])),
        ("b", array::<arrow::array::StringArray>(vec!["x", "007"])),
    ]);
    let path = |name: &str| folder.path().join(name);
    rows.sink_csv(path("rows.csv")).unwrap();
    rows.sink_parquet(path("rows.parquet"), Default::default()).unwrap();
    rows.sink_ndjson(path("rows.ndjson")).unwrap();
    let want = rows.collect().unwrap();
    assert!(session().read_csv(path("rows.csv")).unwrap().equals(&want));
    assert!(session().read_parquet(path("rows.parquet")).unwrap().equals(&want));
    let options = CsvScanOptions::new().with_has_header(false).with_schema_overrides([("column_1", DataType::Utf8)]);
    let as_text = session().scan_csv_with(path("rows.csv"), options).collect().unwrap();
    assert_eq!(as_text.shape(), (3, 2));
    assert_eq!(
        std::fs::read_to_string(path("rows.ndjson")).unwrap(),
        "{\"a\":1,\"b\":\"x\"}\n{\"a\":null,\"b\":\"007\"}\n"
    );
    let missing = session().scan_parquet(path("rows.parqet")).collect().unwrap_err().to_string();
    assert!(missing.contains("did you mean") && missing.contains("rows.parquet"), "{missing}");
}

#[test]
fn dates_of_csv_stay_texts_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("days.csv");
    std::fs::write(&path, "day,n\n2024-01-15,1\n2024-02-29,2\n").unwrap();
    let types =
        |options| session().scan_csv_with(&path, options).collect_schema().unwrap().field(0).data_type().clone();
    assert_eq!(types(CsvScanOptions::new()), DataType::Date32);
    assert_eq!(types(CsvScanOptions::new().with_try_parse_dates(false)), DataType::Utf8);
}
