//! Whole scans: rows and messages as text, against another JSON reader at every block size, compressed, damaged.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::{NdJsonOptions, NdJsonTable};
use crate::error::Result;
use crate::exec::CancelToken;
use crate::io::csv::{OnBadRow, RejectFile};
use crate::io::testing::{everything, read, rows, scan, show};
use crate::io::text::{JsonLinesFormat, RowFormat};
use crate::io::{RowFilter, ScanRequest, Table};
use crate::memory::Memory;

fn memory() -> Memory {
    Memory::with_governed(64 << 20, 2)
}

fn write(folder: &TempDir, files: &[(&str, &str)]) -> Vec<PathBuf> {
    let write = |(name, text): &(&str, &str)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    files.iter().map(write).collect()
}

fn declared(types: &[(&str, DataType)]) -> NdJsonOptions {
    let schema_overrides = types.iter().map(|(name, data_type)| (name.to_string(), data_type.clone())).collect();
    NdJsonOptions { schema_overrides, ..NdJsonOptions::default() }
}

fn check_files(files: &[(&str, &str)], options: &NdJsonOptions, want: Expect) {
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, files);
    let shown = NdJsonTable::open(&paths, options.clone(), &memory()).and_then(|table| read(&table, &memory(), 2));
    let shown = shown.unwrap_or_else(|error| format!("{error}\n"));
    want.assert_eq(&shown.replace(&format!("{}/", folder.path().display()), ""));
}

fn check(text: &str, want: Expect) {
    check_files(&[("a.ndjson", text)], &NdJsonOptions::default(), want);
}

/// Looks at the first row only.
fn first_row() -> NdJsonOptions {
    NdJsonOptions { infer_rows: Some(1), ..NdJsonOptions::default() }
}

#[test]
fn rows_of_all_kinds_are_read() {
    check(
        "{\"id\":1,\"name\":\"a\\\"b\",\"ok\":true,\"x\":1.5}\n{\"x\":2,\"id\":-2,\"extra\":\"e\"}\n\n  \n{\"id\":null}",
        expect![[r#"
        id:Int64 | name:Utf8 | ok:Boolean | x:Float64 | extra:Utf8
        1 | a"b | true | 1.5 | ~
        -2 | ~ | ~ | 2.0 | e
        ~ | ~ | ~ | ~ | ~
    "#]],
    );
    check(
        "{\"user\":{\"id\":1,\"tags\":[\"x\",null]},\"l\":[[1],[]]}\r\n{\"user\":{\"tags\":[]},\"l\":null}\r\n{\"user\":null}\n",
        expect![[r#"
        user:Struct("id": Int64, "tags": List(Utf8)) | l:List(List(Int64))
        {id: 1, tags: [x, ~]} | [[1], []]
        {id: ~, tags: []} | ~
        ~ | ~
    "#]],
    );
    check(
        "\u{feff}{\"a\":\"\\u00e9\\ud83d\\ude00\"}\n{\"a\":\"\"}\n",
        expect![[r#"
        a:Utf8
        é😀

    "#]],
    );
    check(
        "{\"n\":99999999999999999999}\n{\"n\":1}\n",
        expect![[r#"
        n:Utf8
        99999999999999999999
        1
    "#]],
    );
    check(
        "{}\n{\"a\":{}}\n",
        expect![[r#"
        a:Utf8
        ~
        {}
    "#]],
    );
    check(
        "",
        expect![[r#"
        a.ndjson is empty: it has no row with a field
          hint: declare its columns, for example: --schema id=int64
    "#]],
    );
}

#[test]
fn types_can_be_declared() {
    let text = "{\"d\":\"2024-01-31\",\"t\":\"2024-01-31T10:00:00.5\",\"p\":12.34,\"s\":{\"a\":[1]},\"i\":7}\n{\"s\":\"x\"}\n{\"s\":1.50,\"p\":\"5\"}\n";
    let options = declared(&[
        ("d", DataType::Date32),
        ("t", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("p", DataType::Decimal128(9, 3)),
        ("s", DataType::Utf8),
        ("i", DataType::Int8),
        ("later", DataType::Float64),
    ]);
    check_files(
        &[("a.ndjson", text)],
        &options,
        expect![[r#"
        d:Date32 | t:Timestamp(µs) | p:Decimal128(9, 3) | s:Utf8 | i:Int8 | later:Float64
        2024-01-31 | 2024-01-31T10:00:00.500 | 12.340 | {"a":[1]} | 7 | ~
        ~ | ~ | ~ | x | ~ | ~
        ~ | ~ | 5.000 | 1.50 | ~ | ~
    "#]],
    );
    check_files(
        &[("a.ndjson", "{\"a\":1}\n")],
        &declared(&[("a", DataType::Binary)]),
        expect![[r#"
        column "a" cannot be read from JSON as binary
          hint: types are: string, boolean, int8 to uint64, float32, float64, decimal, date, timestamp
    "#]],
    );
}

#[test]
fn what_does_not_fit_has_a_place_and_a_remedy() {
    check(
        "{\"a\":1}\n{\"a\":\"x\"}\n",
        expect![[r#"
        a.ndjson, line 2, field "a": a text where an integer was expected
          hint: declare a type that holds it: --schema a=string; or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"a\":{\"b\":1}}\n{\"a\":{\"b\":[1]}}\n",
        expect![[r#"
        a.ndjson, line 2, field "a.b": a list where an integer was expected
          hint: read the whole of it as text: --schema a=string; or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"a\":1}\n{\"a\":\n",
        expect![[r#"
        a.ndjson, line 2, field "a": not a JSON object on one line: expected a value, and not the end of the line
          hint: leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "[{\"a\":1},{\"a\":2}]\n",
        expect![[r#"
        a.ndjson, line 1: not JSON at [{"a":1},{"a":2}]: expected an object in braces
          hint: every line must be one JSON object (jq -c '.[]' makes lines of an array); or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"a\":1} x\n",
        expect![[r#"
        a.ndjson, line 1: not JSON at x: expected the end of the line behind the object
          hint: every line must be one JSON object (jq -c '.[]' makes lines of an array); or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"a\":\"\\x\"}\n",
        expect![[r#"
        a.ndjson, line 1, field "a": "\x"} has an escape that means nothing
          hint: leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    for late in
        ["{\"a\":1.5}", "{\"a\":true}", "{\"b\":1}", "{\"a\":1,\"a\":2}", "{\"a\":99999999999999999999}", "nonsense"]
    {
        let text = format!("{{\"a\":1}}\n{{\"a\":2}}\n{late}\n");
        let options = first_row();
        check_late(&text, &options);
    }
}

fn check_late(text: &str, options: &NdJsonOptions) {
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, &[("a.ndjson", text)]);
    let table = NdJsonTable::open(&paths, options.clone(), &memory()).unwrap();
    let error = read(&table, &memory(), 2).unwrap_err().to_string();
    assert!(error.contains("a.ndjson, line 3") && error.contains("hint: "), "{error}");
    assert!(error.contains("--schema") || error.contains("--on-bad-row"), "{error}");
}

#[test]
fn late_problems_are_described() {
    let check = |late: &str, want: Expect| {
        let text = format!("{{\"a\":1,\"o\":{{\"b\":1}}}}\n{late}\n");
        check_files(&[("a.ndjson", &text)], &first_row(), want);
    };
    check(
        "{\"a\":1.5}",
        expect![[r#"
        a.ndjson, line 2, field "a": 1.5 does not fit the type int64
          hint: declare a type that holds it: --schema a=double or a=string; or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"a\":\"x\"}",
        expect![[r#"
        a.ndjson, line 2, field "a": a text where an integer was expected
          hint: declare a type that holds it: --schema a=string; or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"c\":1}",
        expect![[r#"
        a.ndjson, line 2, field "c": no row that was looked at for the columns has this field
          hint: declare it: --schema c=string, or look at more rows: --infer-rows 1000000
    "#]],
    );
    check(
        "{\"o\":{\"c\":1}}",
        expect![[r#"
        a.ndjson, line 2, field "o.c": no row that was looked at for the columns has this field
          hint: look at more rows: --infer-rows 1000000, or read the whole of it as text: --schema o=string
    "#]],
    );
    check(
        "{\"o\":{\"b\":\"x\"}}",
        expect![[r#"
        a.ndjson, line 2, field "o.b": a text where an integer was expected
          hint: read the whole of it as text: --schema o=string; or leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
    check(
        "{\"a\":1,\"a\":1}",
        expect![[r#"
        a.ndjson, line 2, field "a": the field stands twice in one object
          hint: leave such rows out: --on-bad-row skip or reject=FILE
    "#]],
    );
}

#[test]
fn files_are_united_by_name() {
    check_files(
        &[("a.ndjson", "{\"a\":1,\"b\":\"x\"}\n"), ("b.ndjson", ""), ("c.ndjson", "{\"c\":true,\"a\":2.5}\n")],
        &NdJsonOptions::default(),
        expect![[r#"
            a:Float64 | b:Utf8 | c:Boolean
            1.0 | x | ~
            2.5 | ~ | true
        "#]],
    );
    check_files(
        &[("a.ndjson", "{\"a\":1}\n"), ("c.ndjson", "{\"a\":2}\n{\"a\":\"x\"}\n")],
        &NdJsonOptions::default(),
        expect![[r#"
            c.ndjson, line 2, field "a": a text where an integer was expected
              hint: declare a type that holds it: --schema a=string; or leave such rows out: --on-bad-row skip or reject=FILE
        "#]],
    );
}

#[test]
fn bad_rows_are_left_out_counted_and_written_down() {
    let mut text = String::new();
    for n in 0..3000 {
        text += &match n % 100 {
            7 => "{\"a\":\"x\",\"b\":1}\n".to_string(),
            50 => "broken,\"line\"\n".to_string(),
            _ => format!("{{\"a\":{n},\"b\":2}}\n"),
        };
    }
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, &[("a.ndjson", &text)]);
    for block_bytes in [64, 1000, 1 << 20] {
        for n_workers in [1, 2, 8] {
            let target = folder.path().join("rejects.csv");
            let rejects = RejectFile::new(&target);
            let on_bad_row = OnBadRow::Reject(rejects.clone());
            let options = NdJsonOptions { on_bad_row, block_bytes: Some(block_bytes), ..NdJsonOptions::default() };
            let table = NdJsonTable::open(&paths, options, &memory()).unwrap();
            // Only `b` is asked for; rows are left out because of `a` all the same.
            let request = ScanRequest { projection: vec![1], ..ScanRequest::default() };
            // Another scan of the same query reads the file as well.
            let query = Some(CancelToken::default());
            let request = ScanRequest { query, ..request };
            let other = table.scan(request.clone()).unwrap();
            scan(&table, request.clone(), &memory(), 1).unwrap();
            assert_eq!(other.report.report().n_bad_rows, 60, "the first scan counts for all");
            let found = scan(&table, request, &memory(), n_workers).unwrap();
            assert_eq!(found.iter().map(|batch| batch.n_rows()).sum::<usize>(), 2940);
            rejects.publish().unwrap();
            let written = std::fs::read_to_string(&target).unwrap();
            let mut lines: Vec<(usize, &str)> =
                written.lines().skip(1).map(|line| (line.split(',').nth(1).unwrap().parse().unwrap(), line)).collect();
            lines.sort();
            assert_eq!(lines.len(), 60);
            let places: Vec<usize> = lines.iter().map(|(line, _)| *line).collect();
            let want: Vec<usize> = (0..30).flat_map(|n| [n * 100 + 8, n * 100 + 51]).collect();
            assert_eq!(places, want, "{block_bytes} {n_workers}");
            assert!(
                lines[0].1.contains(",a,") && lines[0].1.contains("\"{\"\"a\"\":\"\"x\"\",\"\"b\"\":1}\""),
                "{}",
                lines[0].1
            );
            let offset: usize = lines[1].1.split(',').nth(2).unwrap().parse().unwrap();
            assert!(text[offset..].starts_with("broken"));
        }
    }
}

/// One JSON value a row and column, as another reader understands the text.
fn oracle(text: &str, names: &[&str]) -> Vec<Vec<Value>> {
    let rows = text.lines().filter(|line| !line.trim().is_empty());
    let rows = rows.map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| names.iter().map(|name| row.get(name).cloned().unwrap_or(Value::Null)).collect()).collect()
}

/// The same of what was read, through our own writer.
fn values(batch: &RecordBatch, names: &[&str]) -> Vec<Vec<Value>> {
    let mut text = Vec::new();
    JsonLinesFormat::new(batch.schema()).format(batch, &mut text).unwrap();
    oracle(std::str::from_utf8(&text).unwrap(), names)
}

fn any_row() -> impl Strategy<Value = String> {
    let text = "[a-c\u{e9}\\\\\"\n{}, ]{0,12}".prop_map(Value::String);
    let number = any::<i64>().prop_map(Value::from);
    let float = (-1e6f64..1e6).prop_map(Value::from);
    let list = prop::collection::vec(prop::option::of(-5i64..5), 0..4).prop_map(Value::from);
    let object = (prop::option::of(any::<bool>()), prop::option::of("[xy]{0,3}"))
        .prop_map(|(a, b)| serde_json::json!({"t": a, "u": b}));
    let fields = (
        prop::option::of(number),
        prop::option::of(text),
        prop::option::of(float),
        prop::option::of(list),
        prop::option::of(object),
        any::<bool>(),
    );
    fields.prop_map(|(n, s, f, l, o, reversed)| {
        let mut fields: Vec<String> = [("n", n), ("s", s), ("f", f), ("l", l), ("o", o)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("\"{name}\" : {}", value?)))
            .collect();
        if reversed {
            fields.reverse();
        }
        format!("{{{}}}", fields.join(", "))
    })
}

/// A first row from which all types are known.
const FIRST: &str = r#"{"n":1,"s":"","f":0.5,"l":[1],"o":{"t":true,"u":"x"}}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn rows_are_those_of_another_reader_at_any_block_size(
        lines in prop::collection::vec(any_row(), 0..40),
        block_bytes in 1usize..300,
        n_workers in prop::sample::select(vec![1usize, 2, 8]),
        ends_in_newline in any::<bool>(),
        is_zipped in any::<bool>(),
    ) {
        let mut text = std::iter::once(FIRST.to_string()).chain(lines).collect::<Vec<_>>().join("\n");
        if ends_in_newline {
            text.push('\n');
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a");
        match is_zipped {
            true => std::fs::write(&path, gzip(text.as_bytes())).unwrap(),
            false => std::fs::write(&path, &text).unwrap(),
        }
        let options = NdJsonOptions { block_bytes: Some(block_bytes), ..NdJsonOptions::default() };
        let memory = Memory::with_governed(4 << 20, n_workers);
        let table = NdJsonTable::open(&[path], options, &memory).unwrap();
        let found = rows(&table.schema(), &scan(&table, everything(&table), &memory, n_workers).unwrap());
        let names = ["n", "s", "f", "l", "o"];
        prop_assert_eq!(values(&found, &names), oracle(&text, &names));
        drop(table);
        prop_assert_eq!(memory.reserved_bytes(), 0);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct AtLeast(i64);

impl RowFilter for AtLeast {
    fn columns(&self) -> &[usize] {
        &[0]
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = batch.column(0).as_primitive::<Int64Type>();
        Ok(values.iter().map(|value| value.map(|value| value >= self.0)).collect())
    }
}

#[test]
fn filters_and_projections_are_applied() {
    let text: String = (0..5000).map(|n| format!("{{\"n\":{n},\"s\":\"text {n}\",\"x\":[{n}]}}\n")).collect();
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, &[("a.ndjson", &text)]);
    for block_bytes in [100, 10_000, 1 << 20] {
        let options = NdJsonOptions { block_bytes: Some(block_bytes), ..NdJsonOptions::default() };
        let table = NdJsonTable::open(&paths, options, &memory()).unwrap();
        let filters: Vec<Arc<dyn RowFilter>> = vec![Arc::new(AtLeast(4998))];
        let request = ScanRequest { projection: vec![1], filters, ..ScanRequest::default() };
        let found = scan(&table, request, &memory(), 2).unwrap();
        let schema = Arc::new(table.schema().project(&[1]).unwrap());
        assert_eq!(show(&rows(&schema, &found)), "s:Utf8\ntext 4998\ntext 4999\n");
        let request = ScanRequest::default();
        let counted: usize = scan(&table, request, &memory(), 2).unwrap().iter().map(|batch| batch.n_rows()).sum();
        assert_eq!(counted, 5000);
    }
}

#[test]
fn rows_before_a_bad_one_come_first() {
    let text: String = (0..1000).map(|n| if n == 700 { "{]\n".into() } else { format!("{{\"n\":{n}}}\n") }).collect();
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, &[("a.ndjson", &text)]);
    let table = NdJsonTable::open(&paths, first_row(), &memory()).unwrap();
    let prepared = table.scan(everything(&table)).unwrap();
    let cx = crate::io::testing::contexts(&memory(), 1).remove(0);
    let mut local = prepared.source.local(&cx).unwrap();
    let mut n_rows = 0;
    let error = loop {
        match local.next() {
            Ok(Some(batch)) => n_rows += batch.n_rows(),
            Ok(None) => panic!("the bad row was passed over"),
            Err(error) => break error,
        }
    };
    assert_eq!((n_rows, error.morsel()), (700, Some(0)));
}

#[test]
fn rows_longer_than_a_block_or_a_batch_are_read_up_to_the_bound() {
    let long = "x".repeat(300_000);
    let text = format!("{{\"s\":\"{long}\"}}\n{{\"s\":\"a\"}}\n{{\"s\":\"{long}\"}}");
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, &[("a.ndjson", &text)]);
    let zipped = folder.path().join("a.gz");
    std::fs::write(&zipped, gzip(text.as_bytes())).unwrap();
    for path in [paths[0].clone(), zipped] {
        let memory = Memory::with_governed(8 << 20, 2);
        let table = NdJsonTable::open(std::slice::from_ref(&path), NdJsonOptions::default(), &memory).unwrap();
        let found = scan(&table, everything(&table), &memory, 2).unwrap();
        let lengths: Vec<usize> = found
            .iter()
            .flat_map(|batch| {
                batch.data.column(0).as_string::<i32>().iter().map(|s| s.unwrap().len()).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(lengths, [300_000, 1, 300_000]);
        drop(table);
        assert_eq!(memory.reserved_bytes(), 0);
        let bounded = NdJsonOptions { max_row_bytes: Some(200_000), infer_rows: Some(1), ..NdJsonOptions::default() };
        let error = NdJsonTable::open(&[path], bounded, &memory).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("line 1: this row is longer than 200000 bytes"), "{error}");
    }
}

#[test]
fn a_damaged_compressed_file_is_told_from_its_end() {
    let text: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let folder = TempDir::new().unwrap();
    let zipped = gzip(text.as_bytes());
    let path = folder.path().join("a.ndjson.gz");
    for cut in [zipped.len() / 2, zipped.len() - 4] {
        std::fs::write(&path, &zipped[..cut]).unwrap();
        let opened = NdJsonTable::open(std::slice::from_ref(&path), first_row(), &memory());
        let error = opened.and_then(|table| read(&table, &memory(), 2)).unwrap_err();
        assert!(error.to_string().contains("the file is cut off"), "{error}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_a_bad_row_of_their_own() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.ndjson");
    std::fs::write(&path, b"{\"a\":\"x\"}\n{\"a\":\"\xE9\"}\n{\"a\":\"y\"}\n").unwrap();
    let table = NdJsonTable::open(std::slice::from_ref(&path), first_row(), &memory()).unwrap();
    let error = read(&table, &memory(), 1).unwrap_err().to_string();
    assert!(error.contains("line 2: not UTF-8"), "{error}");
    let options = NdJsonOptions { on_bad_row: OnBadRow::Skip, ..NdJsonOptions::default() };
    let table = NdJsonTable::open(&[path], options, &memory()).unwrap();
    assert_eq!(read(&table, &memory(), 1).unwrap(), "a:Utf8\nx\ny\n");
}

/// How fast a plain file is read, for `--ignored --nocapture` in release builds.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.ndjson");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for n in 0..1_000_000u64 {
        writeln!(
            out,
            "{{\"id\":{n},\"name\":\"person {n}\",\"x\":{}.5,\"ok\":true,\"at\":\"2024-01-01T00:00:00\"}}",
            n % 97
        )
        .unwrap();
    }
    drop(out);
    let bytes = std::fs::metadata(&path).unwrap().len() as f64;
    for n_workers in [1, 2] {
        let memory = Memory::with_governed(256 << 20, n_workers);
        let table = NdJsonTable::open(&[Path::new(&path).to_path_buf()], NdJsonOptions::default(), &memory).unwrap();
        let start = std::time::Instant::now();
        let n_rows: usize =
            scan(&table, everything(&table), &memory, n_workers).unwrap().iter().map(|batch| batch.n_rows()).sum();
        println!("{n_workers} workers: {n_rows} rows, {:.0} MB/s", bytes / 1e6 / start.elapsed().as_secs_f64());
    }
}

#[test]
fn refused_memory_is_an_error_and_never_a_lost_row() {
    let text: String = (0..3000).map(|n| format!("{{\"n\":{n},\"s\":\"text {n}\"}}\n")).collect();
    let folder = TempDir::new().unwrap();
    let paths = write(&folder, &[("a.ndjson", &text)]);
    let zipped = folder.path().join("a.gz");
    std::fs::write(&zipped, gzip(text.as_bytes())).unwrap();
    for path in [paths[0].clone(), zipped] {
        crate::io::testing::check_refusals(3000, |memory| {
            let options = NdJsonOptions { block_bytes: Some(4000), ..NdJsonOptions::default() };
            Ok(Arc::new(NdJsonTable::open(std::slice::from_ref(&path), options, memory)?))
        });
    }
}
