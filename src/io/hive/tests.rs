//! Tables in folders: which columns there are, what conditions leave, against a plain reading of the same rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use expect_test::{Expect, expect};
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::io::testing::{everything, read, rows, scan, show};
use crate::io::{FileTables, HiveFolders, OpenTable, RowFilter, ScanRequest, Table};
use crate::memory::Memory;

fn memory() -> Memory {
    Memory::with_governed(64 << 20, 2)
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn open(folder: &Path, tables: &FileTables, memory: &Memory) -> Result<Arc<dyn Table>> {
    tables.open(folder.to_str().unwrap(), memory)
}

fn check(files: &[(&str, &str)], tables: &FileTables, want: Expect) {
    let folder = TempDir::new().unwrap();
    write(folder.path(), files);
    let shown = open(folder.path(), tables, &memory()).and_then(|table| read(&*table, &memory(), 2));
    let shown = shown.unwrap_or_else(|error| format!("{error}\n"));
    let path = folder.path().display().to_string();
    want.assert_eq(&shown.replace(&format!("{path}/"), "").replace(&path, "."));
}

#[test]
fn folders_are_columns_behind_those_of_the_files() {
    let files =
        [("year=2023/month=04/a.csv", "id,amount\n1,10\n2,20\n"), ("year=2024/month=12/b.csv", "id,amount\n3,30\n")];
    check(
        &files,
        &FileTables::default(),
        expect![[r#"
            id:Int64 | amount:Int64 | year:Int64 | month:Utf8
            1 | 10 | 2023 | 04
            2 | 20 | 2023 | 04
            3 | 30 | 2024 | 12
        "#]],
    );
    check(
        &files,
        &FileTables { hive: HiveFolders::Ignored, ..FileTables::default() },
        expect![[r#"
            id:Int64 | amount:Int64
            1 | 10
            2 | 20
            3 | 30
        "#]],
    );
    let mut declared = FileTables::default();
    declared.csv.schema_overrides = vec![("month".into(), DataType::Int8), ("amount".into(), DataType::Float64)];
    check(
        &files,
        &declared,
        expect![[r#"
            id:Int64 | amount:Float64 | year:Int64 | month:Int8
            1 | 10.0 | 2023 | 4
            2 | 20.0 | 2023 | 4
            3 | 30.0 | 2024 | 12
        "#]],
    );
}

#[test]
fn a_folder_hides_a_column_of_its_name_and_drift_goes_on_below_it() {
    check(
        &[
            ("city=New%20York/a.csv", "city,n\nwrong,1\n"),
            ("city=__HIVE_DEFAULT_PARTITION__/a.csv", "n,extra\n2,x\n"),
            ("city=Oslo/b.csv", "n\n3.5\n"),
        ],
        &FileTables::default(),
        expect![[r#"
            n:Float64 | extra:Utf8 | city:Utf8
            1.0 | ~ | New York
            3.5 | ~ | Oslo
            2.0 | x | ~
        "#]],
    );
    check(
        &[("year=2024/a.csv", "n\n1\n"), ("b.csv", "n,year\n2,2023\n")],
        &FileTables::default(),
        expect![[r#"
        .: no folder is called year=..., as others are, and files have a column year besides
          hint: read the files with and without such folders separately, or with --hive no
    "#]],
    );
}

#[test]
fn only_folders_below_what_the_user_named_are_columns() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), &[("k=outer/y=1/z=2/a.csv", "k,y\nown,7\n")]);
    let open = |path: &str| {
        let path = format!("{}/{path}", folder.path().display());
        let table = FileTables::default().open(&path, &memory()).unwrap();
        table.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(" ")
            + "\n"
            + read(&*table, &memory(), 1).unwrap().lines().nth(1).unwrap_or_default()
    };
    let own = "k y\nown | 7";
    for path in ["k=outer/y=1/z=2/a.csv", "k=outer/y=1/z=2", "k=outer/y=1/z=2/*.csv"] {
        assert_eq!(open(path), own, "{path}");
    }
    for path in ["k=outer/y=1", "k=outer/./y=1/*/a.csv", "k=outer/y=1/**/*.csv"] {
        assert_eq!(open(path), "k y z\nown | 7 | 2", "{path}");
    }
    assert_eq!(open("k=outer"), "k y z\nown | 1 | 2");
}

#[test]
fn a_value_that_does_not_fit_names_its_folder() {
    let mut declared = FileTables::default();
    declared.csv.schema_overrides = vec![("code".into(), DataType::Int64)];
    check(
        &[("code=01001/a.csv", "n\n1\n"), ("code=2A001/a.csv", "n\n1\n")],
        &declared,
        expect![[r#"
            code=2A001: "2A001" in code=2A001 does not fit the declared type Int64
              hint: declare another type, for example --schema code=string
        "#]],
    );
}

/// `test` of the rows of some columns.
struct Rows<F> {
    columns: Vec<usize>,
    test: F,
}

impl<F: Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync> RowFilter for Rows<F> {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        assert_eq!(batch.num_columns(), self.columns.len());
        (self.test)(batch)
    }
}

fn filter(
    columns: Vec<usize>,
    test: impl Fn(&RecordBatch) -> Result<BooleanArray> + Send + Sync + 'static,
) -> Arc<dyn RowFilter> {
    Arc::new(Rows { columns, test })
}

fn ints(batch: &RecordBatch, column: usize) -> &Int64Array {
    batch.column(column).as_primitive::<Int64Type>()
}

/// Twelve months of three files, as CSV and as Parquet.
fn months(folder: &Path, parquet: bool) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for month in 1..=12i64 {
        for part in 0..3i64 {
            let path = folder.join(format!("month={month}/part-{part}.{}", if parquet { "parquet" } else { "csv" }));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let first = month * 1000 + part * 100;
            let n: Int64Array = (first..first + 50).collect();
            let s: StringArray = (first..first + 50).map(|n| Some(format!("text {n}"))).collect();
            let batch = RecordBatch::try_from_iter([("n", Arc::new(n) as _), ("s", Arc::new(s) as _)]).unwrap();
            let file = std::fs::File::create(&path).unwrap();
            if parquet {
                let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
                writer.write(&batch).unwrap();
                writer.close().unwrap();
            } else {
                arrow::csv::Writer::new(file).write(&batch).unwrap();
            }
            paths.push(path);
        }
    }
    paths
}

#[test]
fn conditions_on_folders_leave_files_out_and_others_leave_rows_out() {
    for parquet in [false, true] {
        let folder = TempDir::new().unwrap();
        months(folder.path(), parquet);
        let memory = memory();
        let table = open(folder.path(), &FileTables::default(), &memory).unwrap();
        assert_eq!(table.schema().field(2).data_type(), &DataType::Int64);
        let statistics = table.statistics();
        assert_eq!(statistics.columns[2].max_distinct, Some(12));
        assert_eq!(statistics.columns[2].max.as_ref().unwrap().as_primitive::<Int64Type>().value(0), 12);
        let summer = filter(vec![2], |rows| Ok(ints(rows, 0).iter().map(|month| month.map(|m| m % 12 >= 6)).collect()));
        let even = filter(vec![0], |rows| Ok(ints(rows, 0).iter().map(|n| n.map(|n| n % 2 == 0)).collect()));
        // A number whose thousands are the month, and the last part only.
        let mixed = filter(vec![2, 0], |rows| {
            let pairs = ints(rows, 0).iter().zip(ints(rows, 1));
            Ok(pairs.map(|(month, n)| Some(n? / 1000 == month? && n? % 1000 >= 200)).collect())
        });
        for n_workers in [1, 2, 8] {
            let request = ScanRequest {
                projection: vec![2, 1],
                filters: vec![summer.clone(), even.clone(), mixed.clone()],
                dictionary_columns: vec![1],
                ..ScanRequest::default()
            };
            assert!(table.describe_scan(&request).ends_with("18 of 36 files"), "{}", table.describe_scan(&request));
            let found = scan(&*table, request, &memory, n_workers).unwrap();
            let fields = [2, 1].map(|column| table.schema().field(column).clone());
            let found = rows(&Arc::new(arrow::datatypes::Schema::new(fields.to_vec())), &found);
            let mut want = Vec::new();
            for month in ["10", "11", "6", "7", "8", "9"].map(|month| month.parse::<i64>().unwrap()) {
                want.extend(
                    (0..50).filter(|n| n % 2 == 0).map(|n| format!("{month} | text {}", month * 1000 + 200 + n)),
                );
            }
            let shown = show(&found);
            assert_eq!(shown.lines().skip(1).collect::<Vec<_>>(), want, "{n_workers}");
        }
        drop(table);
        assert_eq!(memory.reserved_bytes(), 0);
    }
}

/// Knows which months are wanted only after the scan was prepared, as a join does.
struct Partners {
    wanted: std::sync::OnceLock<Vec<i64>>,
    may_skip: bool,
}

impl RowFilter for Partners {
    fn columns(&self) -> &[usize] {
        &[2]
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let wanted = self.wanted.get().unwrap();
        Ok(ints(batch, 0).iter().map(|month| month.map(|month| wanted.contains(&month))).collect())
    }

    fn is_active(&self) -> bool {
        self.wanted.get().is_some()
    }

    fn is_total(&self) -> bool {
        true
    }

    fn may_skip_files(&self) -> bool {
        self.may_skip
    }
}

#[test]
fn partners_that_are_known_late_leave_folders_out() {
    for (parquet, may_skip) in [(true, true), (true, false), (false, true)] {
        let folder = TempDir::new().unwrap();
        months(folder.path(), parquet);
        let memory = memory();
        let table = open(folder.path(), &FileTables::default(), &memory).unwrap();
        let mut read_bytes = Vec::new();
        for wanted in [Some(vec![]), Some(vec![3, 11]), Some((1..=12).collect::<Vec<_>>()), None] {
            let partners = Arc::new(Partners { wanted: std::sync::OnceLock::new(), may_skip });
            let request = ScanRequest { filters: vec![partners.clone()], ..everything(&*table) };
            let prepared = table.scan(request).unwrap();
            let before = prepared.report.report().read_bytes;
            let n_months = wanted.as_ref().map_or(12, Vec::len);
            if let Some(wanted) = wanted {
                partners.wanted.set(wanted).unwrap();
            }
            let mut reader = prepared.source.local(&crate::io::testing::contexts(&memory, 1)[0]).unwrap();
            let mut n_rows = 0;
            while let Some(batch) = reader.next().unwrap() {
                n_rows += batch.n_rows();
            }
            assert_eq!(n_rows, n_months * 150);
            read_bytes.push(prepared.report.report().read_bytes - before);
        }
        // A malformed row of a CSV file is told, whoever joins it.
        match may_skip && parquet {
            true => assert!(read_bytes[0] == 0 && read_bytes[1] * 5 < read_bytes[2], "{read_bytes:?}"),
            false => assert!(read_bytes.iter().all(|bytes| *bytes == read_bytes[3]), "{read_bytes:?}"),
        }
        assert_eq!(read_bytes[2], read_bytes[3]);
    }
}

#[test]
fn a_condition_that_fails_for_a_folder_is_left_to_its_rows() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), &[("k=1/a.csv", "n\n1\n"), ("k=2/a.csv", "n\n")]);
    let table = open(folder.path(), &FileTables::default(), &memory()).unwrap();
    // Fails where the folder is 2, which has no rows.
    let picky = filter(vec![1], |rows| {
        if ints(rows, 0).iter().any(|k| k == Some(2)) {
            return Err(Error::query("not for 2"));
        }
        Ok(BooleanArray::from(vec![true; rows.num_rows()]))
    });
    let request = ScanRequest { filters: vec![picky], ..everything(&*table) };
    let found = scan(&*table, request, &memory(), 1).unwrap();
    assert_eq!(found.iter().map(|batch| batch.n_rows()).sum::<usize>(), 1);
}

#[test]
fn long_values_make_small_batches() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(200);
    let text: String = std::iter::once("n\n".to_string()).chain((0..5000).map(|n| format!("{n}\n"))).collect();
    write(folder.path(), &[(&format!("k={long}/a.csv"), &text)]);
    let memory = Memory::with_governed(4 << 20, 1);
    let table = open(folder.path(), &FileTables::default(), &memory).unwrap();
    let found = scan(&*table, everything(&*table), &memory, 1).unwrap();
    assert_eq!(found.iter().map(|batch| batch.n_rows()).sum::<usize>(), 5000);
    let most = found.iter().map(|batch| batch.data.column(1).as_string::<i32>().value_data().len()).max().unwrap();
    assert!(most <= memory.sizes().batch_bytes, "{most}");
}

#[test]
fn refused_memory_is_an_error_and_never_a_lost_row() {
    let folder = TempDir::new().unwrap();
    months(folder.path(), true);
    crate::io::testing::check_refusals(12 * 3 * 50, |memory| open(folder.path(), &FileTables::default(), memory));
}
