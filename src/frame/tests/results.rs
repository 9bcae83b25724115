//! Rows in memory, in pieces and in files.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::ErrorKind;
use crate::frame::testing::{array, check_unordered, frame, session, shown, text};
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
fn copies_count_as_long_as_they_live() {
    let session = small(16);
    let before = session.memory().reserved_outside_pages();
    let texts = numbers(&session, 300_000).with_columns([col("n").cast(DataType::Utf8).alias("s")]);
    let frame = texts.collect().unwrap();
    assert!(frame.batches().len() > 1);
    let held = session.memory().reserved_outside_pages();
    let column = frame.column("n").unwrap();
    let with_column = session.memory().reserved_outside_pages();
    assert!(with_column >= held + 8 * 300_000, "{held} {with_column}");
    let part = column.slice(17, 3);
    drop(column);
    assert_eq!(session.memory().reserved_outside_pages(), with_column, "a part holds the whole");
    drop(part);
    assert_eq!(session.memory().reserved_outside_pages(), held);
    // Equal rows in other batches; nothing is copied for that, so no memory is needed.
    let mut hog = session.memory().reserve("test");
    while hog.try_grow(64 << 10).is_ok() {}
    assert!(frame.equals(&frame.clone()));
    let pieces: Vec<_> = (0..300).flat_map(|idx| frame.slice(idx * 1000, 1000)).collect();
    drop(hog);
    let rebatched = crate::frame::testing::session().data_frame(pieces).unwrap();
    assert!(rebatched.equals(&frame) && frame.equals(&rebatched));
    drop(rebatched);
    let whole = frame.to_batch().unwrap();
    assert_eq!((whole.num_rows(), whole.num_columns()), (300_000, 2));
    assert_eq!(whole.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>(), 300_000 * 299_999 / 2);
    // A second copy is one too many.
    let mut copies = vec![whole];
    let refused = loop {
        match frame.to_batch() {
            Ok(copy) => copies.push(copy),
            Err(error) => break error,
        }
        assert!(copies.len() < 4, "copies are not counted");
    };
    assert_eq!(refused.kind(), ErrorKind::Budget);
    assert!(refused.to_string().contains("batch by batch"), "{refused}");
    drop((copies, frame, texts));
    assert_eq!(session.memory().reserved_outside_pages(), before);
}

#[test]
fn frames_differ_in_values_names_types_and_length() {
    let of = |name: &str, values: Vec<Option<i64>>| frame(vec![(name, array::<Int64Array>(values))]).collect().unwrap();
    let one = of("a", vec![Some(1), None, Some(3)]);
    assert!(one.equals(&of("a", vec![Some(1), None, Some(3)])));
    for other in [
        of("a", vec![Some(1), None, Some(4)]),
        of("a", vec![Some(1), Some(0), Some(3)]),
        of("a", vec![Some(1), None]),
        of("b", vec![Some(1), None, Some(3)]),
        of("a", vec![]),
        one.clone().lazy().cast([("a", DataType::Float64)]).collect().unwrap(),
    ] {
        assert!(!one.equals(&other) && !other.equals(&one), "{other}");
    }
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
fn dates_and_times_have_quartiles() {
    let days = array::<arrow::array::Date32Array>(vec![Some(4), Some(1), None, Some(3), Some(2)]);
    let at = array::<arrow::array::TimestampMicrosecondArray>((1..=5).map(|n| n * 3_600_000_000).collect::<Vec<i64>>());
    let summary = frame(vec![("d", days), ("t", at)]).describe().unwrap();
    assert_eq!(
        text(&summary),
        "statistic,d,t|count,4,5|null_count,1,0|mean,-,-|std,-,-|min,1970-01-02,1970-01-01T01:00:00|\
         25%,1970-01-02,1970-01-01T02:00:00|50%,1970-01-03,1970-01-01T03:00:00|75%,1970-01-04,1970-01-01T04:00:00|\
         max,1970-01-05,1970-01-01T05:00:00"
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
fn lists_and_objects_of_json_go_through_everything_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let row = |n: i64| {
        let tags = if n % 7 == 0 { "null".to_string() } else { format!("{:?}", vec!["t"; (n % 4) as usize]) };
        let user = match n % 5 {
            0 => "null".to_string(),
            _ => format!("{{\"name\":\"n{}\",\"at\":{{\"x\":{n},\"y\":[{n},null]}}}}", n % 3),
        };
        format!("{{\"id\":{n},\"tags\":{},\"user\":{user}}}\n", tags.replace(", ", ","))
    };
    // Backwards, so that a sort has something to do.
    std::fs::write(path("in.ndjson"), (0..12_000).rev().map(row).collect::<String>()).unwrap();
    let session = small(14);
    let rows = session.scan_ndjson(path("in.ndjson")).sort("id", SortOptions::new());
    rows.sink_ndjson(path("out.ndjson")).unwrap();
    let written = std::fs::read_to_string(path("out.ndjson")).unwrap();
    assert!(written == (0..12_000).map(row).collect::<String>(), "{}", &written[..300]);
    rows.sink_parquet(path("out.parquet"), Default::default()).unwrap();
    rows.sink_ipc(path("out.arrow")).unwrap();
    for back in [session.scan_parquet(path("out.parquet")), session.scan_ipc(path("out.arrow"))] {
        back.sink_ndjson(path("back.ndjson")).unwrap();
        assert!(std::fs::read_to_string(path("back.ndjson")).unwrap() == written);
    }
    rows.clone().head(2).sink_csv(path("out.csv")).unwrap();
    assert_eq!(
        std::fs::read_to_string(path("out.csv")).unwrap(),
        "id,tags,user\n0,,\n1,\"[\"\"t\"\"]\",\"{\"\"name\"\":\"\"n1\"\",\"\"at\"\":{\"\"x\"\":1,\"\"y\"\":[1,null]}}\"\n"
    );
    check_unordered(
        rows.clone().group_by("tags").agg([len().alias("n")]),
        "tags,n|-,1715|[],2571|[t, t, t],2571|[t, t],2571|[t],2572",
    );
    rows.create_view("t").unwrap();
    let joined = session.sql(
        "SELECT a.id, b.user.at.y[1] AS y, user.name AS n FROM (SELECT id FROM t) AS a \
         JOIN (SELECT id AS i, user FROM t) AS b ON b.i = a.id + 1 WHERE user.name = 'n2' ORDER BY 1 LIMIT 2",
    );
    assert_eq!(shown(joined.and_then(|query| query.collect())), "id,y,n|1,2,n2|7,8,n2");
}

#[test]
fn every_format_is_read_into_memory_with_options() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.csv"), "day;at\n15.01.2024;16.01.2024 10:30\n").unwrap();
    let options = CsvScanOptions::new().with_date_format("%d.%m.%Y").with_timestamp_format("%d.%m.%Y %H:%M");
    let rows = session().read_csv_with(path("a.csv"), options).unwrap();
    assert_eq!(text(&rows), "day,at|2024-01-15,2024-01-16T10:30:00");
    rows.lazy().sink_ndjson(path("a.ndjson")).unwrap();
    rows.lazy().sink_ipc(path("a.arrow")).unwrap();
    assert!(session().read_ipc(path("a.arrow")).unwrap().equals(&rows));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let options = NdjsonScanOptions::new()
        .with_schema_overrides([("day", DataType::Date32), ("at", micros)])
        .with_infer_schema_length(5);
    assert!(session().read_ndjson_with(path("a.ndjson"), options).unwrap().equals(&rows));
    assert_eq!(session().read_ndjson(path("a.ndjson")).unwrap().shape(), (1, 2));
    let unknown = NdjsonScanOptions::new().with_schema_overrides([("id", DataType::Int64)]);
    assert_eq!(text(&session().read_ndjson_with(path("a.ndjson"), unknown).unwrap()).matches("id").count(), 1);
    let wrong = session().read_ipc(path("a.csv")).unwrap_err();
    assert_eq!(wrong.hint(), Some("session.scan(..) reads every format"));
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
