//! What a user reads when a file is wrong, and the smaller promises.

use arrow::array::{BooleanArray, Int64Array, cast::AsArray, types::Int64Type};
use arrow::datatypes::DataType;
use expect_test::{Expect, expect};

use super::*;
use crate::io::RowFilter;
use crate::io::csv::OnBadRow;

fn check(text: impl AsRef<[u8]>, options: CsvOptions, want: Expect) {
    let folder = Folder::new();
    let path = folder.write("t.csv", text);
    want.assert_eq(&match read(&path, options) {
        Ok(table) => table,
        Err(error) => folder.shown(&error),
    });
}

fn first_rows(n: u64) -> CsvOptions {
    CsvOptions { infer_rows: Some(n), block_bytes: Some(16), ..CsvOptions::default() }
}

/// 200 good rows, then `last`.
fn late(good: &str, last: &str) -> String {
    format!("id,price\n{}{last}\n", format!("{good}\n").repeat(200))
}

#[test]
fn a_late_value_that_does_not_fit_is_an_error() {
    check(
        late("1,2", "3,12.50"),
        first_rows(1),
        expect![[r#"
        t.csv, line 202, column "price": "12.50" does not fit the type int64
          hint: the type was inferred from the first rows: look at more with --infer-rows 100000, declare it with --schema price=string, or leave such rows out with --on-bad-row skip
    "#]],
    );
    check(
        late("1,2", "3,01234"),
        first_rows(1),
        expect![[r#"
        t.csv, line 202, column "price": "01234" does not fit the type int64
          hint: the type was inferred from the first rows: look at more with --infer-rows 100000, declare it with --schema price=string, or leave such rows out with --on-bad-row skip
    "#]],
    );
    check(
        late("1,2024-01-01", "3,2024-01-01 10:00:00"),
        first_rows(1),
        expect![[r#"
        t.csv, line 202, column "price": "2024-01-01 10:00:00" does not fit the type date
          hint: the type was inferred from the first rows: look at more with --infer-rows 100000, declare it with --schema price=string, or leave such rows out with --on-bad-row skip
    "#]],
    );
}

#[test]
fn a_declared_type_that_does_not_fit_is_an_error() {
    let declared = |data_type| CsvOptions { schema_overrides: vec![("b".into(), data_type)], ..CsvOptions::default() };
    check(
        "a,b\n1,300\n",
        declared(DataType::Int8),
        expect![[r#"
        t.csv, line 2, column "b": "300" does not fit the type int8
          hint: declare another type with --schema b=string, or leave such rows out with --on-bad-row skip
    "#]],
    );
    check(
        "a,b\n1,1.235\n",
        declared(DataType::Decimal128(10, 2)),
        expect![[r#"
        t.csv, line 2, column "b": "1.235" does not fit the type decimal128(10, 2)
          hint: declare another type with --schema b=string, or leave such rows out with --on-bad-row skip
    "#]],
    );
    check(
        "a,b\n1,0123\n2,\n",
        declared(DataType::Int32),
        expect![[r#"
        a:int64 | b:int32
        1 | 123
        2 | ~
    "#]],
    );
    check(
        "a,b\n1,2\n",
        declared(DataType::Binary),
        expect![[r#"
            column "b" cannot be read from CSV as binary
              hint: types are: string, boolean, int8 to uint64, float32, float64, decimal, date, time, timestamp
        "#]],
    );
    let misspelt = CsvOptions { schema_overrides: vec![("prce".into(), DataType::Int8)], ..CsvOptions::default() };
    check(
        "id,price\n1,2\n",
        misspelt,
        expect![[r#"
        --schema names column "prce", which is not in the input
          hint: did you mean "price"?
    "#]],
    );
}

#[test]
fn rows_of_the_wrong_width_are_errors() {
    check(
        "a,b\n1,2\n3\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 3: 1 field where 2 are expected
              hint: check delimiter and quotes of that row (--delimiter, --quote), make it fit with --ragged pad, or leave such rows out with --on-bad-row skip
        "#]],
    );
    check(
        "a,b\n1,2\n3,4,5\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 3: 3 fields where 2 are expected
              hint: if lines stand before the header, pass over them with --skip-rows; check delimiter and quotes of that row (--delimiter, --quote), make it fit with --ragged fit, or leave such rows out with --on-bad-row skip
        "#]],
    );
}

#[test]
fn a_quote_that_is_never_closed_is_an_error() {
    check(
        "a,b\n1,2\n3,\"x\n5,6\n7,8\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 3: the quote that opens here is never closed
              hint: add the closing quote, or say --quote none if quotes are text here
        "#]],
    );
    check(
        "a,b\n1,2\n3,\"x\"\"\n5,6\n",
        CsvOptions { block_bytes: Some(7), ..CsvOptions::default() },
        expect![[r#"
            t.csv, line 3: the quote that opens here is never closed
              hint: add the closing quote, or say --quote none if quotes are text here
        "#]],
    );
    check(
        "\"a,b\n1,2\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 1: the quote that opens here is never closed
              hint: add the closing quote, or say --quote none if quotes are text here
        "#]],
    );
    check(
        "a,b\n1,\"x\"y\n",
        CsvOptions::default(),
        expect![[r#"
        t.csv, line 2, column "b": "\"x\"y" has text after the closing quote
          hint: a quote inside a quoted field is written twice; or leave such rows out with --on-bad-row skip
    "#]],
    );
}

#[test]
fn a_row_beyond_the_bound_is_an_error() {
    let bounded =
        |block_bytes| CsvOptions { max_row_bytes: Some(20), block_bytes: Some(block_bytes), ..CsvOptions::default() };
    let text = format!("a,b\n1,2\n3,{}\n", "x".repeat(30));
    let want = expect![[r#"
        t.csv, line 3: this row is longer than 20 bytes
          hint: a quote that is never closed may have swallowed the rows after it; if rows are really that long, raise --max-row-bytes
    "#]];
    for block_bytes in [1, 8, 64, 1024] {
        let folder = Folder::new();
        let path = folder.write("t.csv", &text);
        want.assert_eq(&folder.shown(&read(&path, bounded(block_bytes)).unwrap_err()));
    }
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    check(
        b"a,b\n1,x\n2,caf\xE9\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 3, column "b": "caf�" is not UTF-8
              hint: say how the file is encoded, for example --encoding cp1252 for Western Europe (cp1250, cp1251, shift_jis, gb18030 and others are known too)
        "#]],
    );
    check(
        b"a,caf\xE9\n1,x\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 1: the name of column 2 is not UTF-8
              hint: say how the file is encoded, for example --encoding cp1252 for Western Europe (cp1250, cp1251, shift_jis, gb18030 and others are known too)
        "#]],
    );
    check(
        b"a,b,c\n1,\xC3,\xA9\n",
        CsvOptions::default(),
        expect![[r#"
            t.csv, line 2, column "b": "�" is not UTF-8
              hint: say how the file is encoded, for example --encoding cp1252 for Western Europe (cp1250, cp1251, shift_jis, gb18030 and others are known too)
        "#]],
    );
}

#[test]
fn files_that_are_not_csv_are_errors() {
    check(
        "",
        CsvOptions::default(),
        expect![[r#"
        t.csv is empty: it has neither a header nor a row
          hint: declare its columns, for example: --schema id=int64
    "#]],
    );
    check(
        b"PK\x03\x04....",
        CsvOptions::default(),
        expect![[r#"
        t.csv is a zip archive, not CSV
          hint: unpack it first, or give the file an extension that says what it is
    "#]],
    );
    check(
        b"PAR1....",
        CsvOptions::default(),
        expect![[r#"
        t.csv is a Parquet file, not CSV
          hint: unpack it first, or give the file an extension that says what it is
    "#]],
    );
    check(
        "a,b\r1,2\r3,4\r",
        CsvOptions::default(),
        expect![[r#"
            t.csv ends its lines with carriage returns only, and has no newline
              hint: convert it first, for example: tr '\r' '\n' < t.csv > lines.csv
        "#]],
    );
    check(
        b"\x28\xB5\x2F\xFD\x00\xA0............",
        CsvOptions::default(),
        expect![[r#"
        t.csv was compressed with a window of 1024 MiB, too much for a memory budget of 64 MiB
          hint: the smallest budget that would do is about 4096 MiB: --memory-budget 4096MiB
    "#]],
    );
}

#[test]
fn damaged_compressed_files_are_errors() {
    let gz = fixtures::gzip_in_members(late("1,2", "3,4").as_bytes(), 1 << 20);
    check(
        &gz[..gz.len() / 2],
        CsvOptions::default(),
        expect![[r#"
            cannot read t.csv: the file is cut off: its gzip stream goes on behind the last byte, 23
              hint: copy or download the file again; gzip -t tells whether a copy is whole
        "#]],
    );
    check(
        [&gz[..], b"trailing"].concat(),
        CsvOptions::default(),
        expect![[r#"
            cannot read t.csv: its gzip stream ends at byte 46, and something else follows
              hint: keep the stream only, for example: head -c 46 t.csv > whole.csv.gz
        "#]],
    );
    let mut broken = gz.clone();
    broken[20] ^= 0xFF;
    check(
        broken,
        CsvOptions::default(),
        expect![[r#"
            cannot read t.csv: its gzip stream is damaged near byte 46: corrupt gzip stream does not have a matching checksum
              hint: copy or download the file again; gzip -t tells whether a copy is whole
        "#]],
    );
    let zst = zstd::encode_all(late("1,2", "3,4").as_bytes(), 1).unwrap();
    check(
        &zst[..zst.len() - 3],
        CsvOptions::default(),
        expect![[r#"
            cannot read t.csv: the file is cut off: its zstd stream goes on behind the last byte, 29
              hint: copy or download the file again; zstd -t tells whether a copy is whole
        "#]],
    );
    check(
        [&zst[..], b"trailing"].concat(),
        CsvOptions::default(),
        expect![[r#"
            cannot read t.csv: its zstd stream ends at byte 32, and something else follows
              hint: keep the stream only, for example: head -c 32 t.csv > whole.csv.zst
        "#]],
    );
}

#[test]
fn schemas_of_files_are_united() {
    let folder = Folder::new();
    let paths = [
        folder.write("1.csv", "id,price\n1,2\n"),
        folder.write("2.csv", "id,price,note\n3,4.5,x\n"),
        folder.write("3.csv", "note,id\n"),
        folder.write("4.csv", ""),
        folder.write("5.csv", "note,id\ny,7\n"),
    ];
    let table = open(&paths, CsvOptions::default()).unwrap();
    let types: Vec<_> = table.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [DataType::Int64, DataType::Float64, DataType::Utf8]);
    let rows = scan(&table, all_columns(&table), 2).unwrap().rows();
    assert_eq!(rows, [["1", "2.0", "~"], ["3", "4.5", "x"], ["7", "~", "y"]]);
}

#[test]
fn files_with_and_without_a_header_are_not_guessed_at() {
    let folder = Folder::new();
    let paths = [folder.write("1.csv", "id,name\n1,x\n"), folder.write("2.csv", "3,y\n4,z\n")];
    let shown = |paths: &[PathBuf]| folder.shown(&open(paths, CsvOptions::default()).err().unwrap());
    let want = expect![[r#"
        1.csv seems to begin with a header and 2.csv without one
          hint: say which it is for all files: --header yes or --header no; if they really differ, give those without a header one
    "#]];
    want.assert_eq(&shown(&paths));
    want.assert_eq(&shown(&[paths[1].clone(), paths[0].clone()]));
    let told = CsvOptions { header: Some(false), ..CsvOptions::default() };
    let table = open(&paths, told).unwrap();
    assert_eq!(scan(&table, all_columns(&table), 2).unwrap().n_rows(), 4);
    // The same names, although the values below do not tell.
    let paths = [paths[0].clone(), folder.write("3.csv", "id,name\n,\n"), folder.write("4.csv", "id,name\n")];
    let table = open(&paths, CsvOptions::default()).unwrap();
    assert_eq!(scan(&table, all_columns(&table), 2).unwrap().n_rows(), 2);
}

#[test]
fn a_value_of_an_unseen_file_that_does_not_fit_is_an_error() {
    let folder = Folder::new();
    let mut paths: Vec<_> = (0..1100).map(|n| folder.write(&format!("{n:04}.csv"), "id\n1\n")).collect();
    paths[1025] = folder.write("1025.csv", "id\n1.5\n");
    let table = open(&paths, CsvOptions::default()).unwrap();
    let error = scan(&table, all_columns(&table), 1).err().unwrap();
    expect![[r#"
        1025.csv, line 2, column "id": "1.5" does not fit the type int64
          hint: the type was inferred from other files, because there are many: declare it with --schema id=string, or leave such rows out with --on-bad-row skip
    "#]]
    .assert_eq(&folder.shown(&error));
}

#[test]
fn a_long_header_of_a_compressed_file_is_under_the_budget() {
    let folder = Folder::new();
    let names: Vec<String> = (0..20_000).map(|n| format!("column number {n}")).collect();
    let text = format!("{}\n{}1\n", names.join(","), "1,".repeat(names.len() - 1));
    let path = folder.write("t.csv.gz", fixtures::gzip_in_members(text.as_bytes(), 1 << 20));
    let memory = Memory::with_governed(64 << 20, 1);
    let table = CsvTable::open(std::slice::from_ref(&path), CsvOptions::default(), &memory).unwrap();
    assert!(memory.peak_reserved_bytes() as usize > text.len(), "{}", memory.peak_reserved_bytes());
    assert_eq!(table.schema().fields().len(), 20_000);
    assert_eq!(memory.reserved_bytes(), 0);
}

#[test]
fn a_column_that_only_an_unseen_file_has_is_an_error() {
    let folder = Folder::new();
    let mut paths: Vec<_> = (0..1100).map(|n| folder.write(&format!("{n:04}.csv"), "id\n1\n")).collect();
    let table = open(&paths, CsvOptions::default()).unwrap();
    assert_eq!(scan(&table, all_columns(&table), 3).unwrap().n_rows(), 1100);
    paths[1025] = folder.write("1025.csv", "id,extra\n1,2\n");
    let table = open(&paths, CsvOptions::default()).unwrap();
    let error = scan(&table, all_columns(&table), 1).err().unwrap();
    expect![[r#"
        1025.csv, line 1: column "extra" is not in any of the files that were looked at for the schema
          hint: declare it, for example: --schema extra=string
    "#]]
    .assert_eq(&folder.shown(&error));
    let declared = CsvOptions { schema_overrides: vec![("extra".into(), DataType::Int64)], ..CsvOptions::default() };
    let table = open(&paths, declared).unwrap();
    assert_eq!(scan(&table, all_columns(&table), 2).unwrap().rows()[1025], ["1", "2"]);
}

#[test]
fn bad_rows_are_skipped_and_counted() {
    let folder = Folder::new();
    let path = folder.write("t.csv", late("1,2", "3\nx,4\n5,6"));
    for block_bytes in [5, 1000] {
        let options = CsvOptions {
            on_bad_row: OnBadRow::Skip,
            schema_overrides: vec![("id".into(), DataType::Int64)],
            block_bytes: Some(block_bytes),
            ..CsvOptions::default()
        };
        let table = open(std::slice::from_ref(&path), options).unwrap();
        let scanned = scan(&table, all_columns(&table), 2).unwrap();
        assert_eq!((scanned.n_rows(), scanned.report.n_bad_rows), (201, 2));
        assert_eq!(scanned.report.read_bytes, scanned.report.total_bytes - "id,price\n".len() as u64);
    }
}

#[test]
fn the_rows_left_out_do_not_depend_on_the_columns_read() {
    let folder = Folder::new();
    let path = folder.write("t.csv", b"a,b,c\n1,2,x\nx,2,x\n3,y,x\n4,5,\xE9\n6,7,x\n");
    let options = CsvOptions {
        on_bad_row: OnBadRow::Skip,
        schema_overrides: vec![("a".into(), DataType::Int64), ("b".into(), DataType::Int64)],
        ..CsvOptions::default()
    };
    let table = open(&[path], options).unwrap();
    for projection in [vec![], vec![0], vec![1], vec![2, 0], vec![0, 1, 2]] {
        let scanned = scan(&table, ScanRequest { projection, ..ScanRequest::default() }, 2).unwrap();
        assert_eq!((scanned.n_rows(), scanned.report.n_bad_rows), (2, 3));
    }
}

struct GreaterThan(Vec<usize>, i64);

impl RowFilter for GreaterThan {
    fn columns(&self) -> &[usize] {
        &self.0
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let column = batch.column(0).as_primitive::<Int64Type>();
        Ok(arrow::compute::kernels::cmp::gt(column, &Int64Array::new_scalar(self.1))?)
    }
}

#[test]
fn filters_keep_the_rows_that_pass_all() {
    let folder = Folder::new();
    let text: String = (0..500).map(|n| format!("{n},{},x{n}\n", 500 - n)).collect();
    let path = folder.write("t.csv", format!("a,b,c\n{text},9,\n"));
    let table = open(&[path], CsvOptions { block_bytes: Some(100), ..CsvOptions::default() }).unwrap();
    let request = ScanRequest {
        projection: vec![2],
        filters: vec![Arc::new(GreaterThan(vec![0], 100)), Arc::new(GreaterThan(vec![1], 397))],
        ..ScanRequest::default()
    };
    assert_eq!(scan(&table, request, 2).unwrap().rows(), [["x101"], ["x102"]]);
}

#[test]
fn batches_are_bounded() {
    let folder = Folder::new();
    let path = folder.write("t.csv", format!("a,b\n{}", format!("1,{}\n", "y".repeat(5000)).repeat(400)));
    let table = CsvTable::open(&[path], CsvOptions::default(), &Memory::with_governed(4 << 20, 1)).unwrap();
    let scanned = scan(&table, all_columns(&table), 1).unwrap();
    assert_eq!(scanned.n_rows(), 400);
    assert!(scanned.batches.iter().all(|batch| batch.data.get_array_memory_size() <= 64 << 10));
}

#[test]
fn text_that_looks_like_something_else_is_told() {
    let folder = Folder::new();
    let path = folder.write("t.csv", "a;b;c;d\n1;31.12.2024;x;1,234\n1,5;01.01.2025;1/2/2024;2,345\n");
    let table = open(std::slice::from_ref(&path), CsvOptions::default()).unwrap();
    expect![[r#"
        column "a" looks like numbers with decimal commas and is text: --decimal-comma
        column "b" looks like dates and is text: --date-format %d.%m.%Y"#]]
    .assert_eq(&table.hints().join("\n"));
    let options = CsvOptions { decimal_comma: true, date_format: Some("%d.%m.%Y".into()), ..CsvOptions::default() };
    assert!(open(&[path], options).unwrap().hints().is_empty());
}
