//! A thousand files whose columns drift over the years, as CSV and as Parquet, against what was put into them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::array_value_to_string;
use tempfile::TempDir;

use crate::error::Result;
use crate::io::testing::{everything, rows, scan};
use crate::io::{Comparison, ComparisonOp, FileTables, OpenTable, RowFilter, ScanRequest, Table};
use crate::memory::Memory;

#[test]
fn two_columns_of_one_name_in_a_file_are_an_error() {
    let folder = TempDir::new().unwrap();
    let field = |data_type| arrow::datatypes::Field::new("a", data_type, true);
    let schema = arrow::datatypes::Schema::new(vec![field(DataType::Int64), field(DataType::Float64)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(Float64Array::from(vec![2.5]))];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let path = folder.path().join("twice.arrow");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(file, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let opened = FileTables::default().open(path.to_str().unwrap(), &Memory::with_governed(64 << 20, 1));
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("twice.arrow: two columns are called \"a\""), "{error}");
}

/// The columns of file `n` of 1,000: an integer becomes a float, a date a timestamp, numbers become texts, columns come and
/// go and change places.
fn file(n: usize) -> Vec<(&'static str, ArrayRef)> {
    let id = ("id", Arc::new(Int64Array::from(vec![n as i64, 1000 + n as i64])) as ArrayRef);
    let amount: ArrayRef = match n {
        0..600 => Arc::new(Int32Array::from(vec![n as i32, 7])),
        600..900 => Arc::new(Int64Array::from(vec![Some(n as i64), None])),
        _ => Arc::new(Float64Array::from(vec![n as f64 + 0.5, 0.25])),
    };
    let day: ArrayRef = match n {
        0..500 => Arc::new(Date32Array::from(vec![n as i32, 0])),
        _ => Arc::new(TimestampMicrosecondArray::from(vec![n as i64 * 3_600_000_000, 1_000_000])),
    };
    let code: ArrayRef = match n {
        0..950 => Arc::new(Int64Array::from(vec![n as i64, 5])),
        _ => Arc::new(StringArray::from(vec!["0123A", "x"])),
    };
    let mut columns = vec![id, ("amount", amount), ("day", day), ("code", code)];
    if n >= 700 {
        columns.insert(1, ("added", Arc::new(BooleanArray::from(vec![Some(true), None]))));
    }
    if n % 2 == 1 {
        columns.reverse();
    }
    if n == 333 {
        columns.retain(|(name, _)| *name != "day");
    }
    // Only one file of all has these.
    if n == 777 {
        columns.push(("once", Arc::new(Int64Array::from(vec![7, 8]))));
    }
    columns
}

fn write(folder: &Path, n: usize, parquet: bool) -> PathBuf {
    let path = folder.join(format!("{n:04}.{}", if parquet { "parquet" } else { "csv" }));
    let batch = RecordBatch::try_from_iter_with_nullable(file(n).into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let out = std::fs::File::create(&path).unwrap();
    if parquet {
        let mut writer = parquet::arrow::ArrowWriter::try_new(out, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    } else {
        arrow::csv::Writer::new(out).write(&batch).unwrap();
    }
    path
}

fn memory() -> Memory {
    Memory::with_governed(64 << 20, 2)
}

/// Each row as `id amount day code added`, by id.
fn shown(table: &dyn Table, memory: &Memory) -> Vec<String> {
    let found = rows(&table.schema(), &scan(table, everything(table), memory, 2).unwrap());
    let columns = ["id", "amount", "day", "code", "added"].map(|name| found.column_by_name(name).unwrap().clone());
    let cell = |column: &ArrayRef, row| match column.is_null(row) {
        true => "~".to_string(),
        false => array_value_to_string(column, row).unwrap(),
    };
    let mut lines: Vec<(i64, String)> = (0..found.num_rows())
        .map(|row| {
            let cells: Vec<String> = columns.iter().map(|column| cell(column, row)).collect();
            (cells[0].parse().unwrap(), cells.join(" "))
        })
        .collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn want() -> Vec<String> {
    let mut lines = Vec::new();
    for row in 0..2 {
        for n in 0..1000 {
            let columns = file(n);
            let cell = |name: &str, data_type: &DataType| match columns.iter().find(|(known, _)| *known == name) {
                Some((_, array)) if array.is_valid(row) => {
                    let array = arrow::compute::cast(array, data_type).unwrap();
                    array_value_to_string(&array, row).unwrap()
                }
                _ => "~".to_string(),
            };
            let microseconds = DataType::Timestamp(TimeUnit::Microsecond, None);
            let cells = [
                cell("id", &DataType::Int64),
                cell("amount", &DataType::Float64),
                cell("day", &microseconds),
                cell("code", &DataType::Utf8),
                cell("added", &DataType::Boolean),
            ];
            lines.push(cells.join(" "));
        }
    }
    lines
}

#[test]
fn a_thousand_files_that_drift_are_one_table() {
    for parquet in [true, false] {
        let folder = TempDir::new().unwrap();
        (0..1000).for_each(|n| drop(write(folder.path(), n, parquet)));
        let memory = memory();
        let table = FileTables::default().open(folder.path().to_str().unwrap(), &memory).unwrap();
        let schema = table.schema();
        let types =
            ["id", "amount", "day", "code", "added"].map(|name| schema.field_with_name(name).unwrap().data_type());
        let microseconds = DataType::Timestamp(TimeUnit::Microsecond, None);
        let wanted = [DataType::Int64, DataType::Float64, microseconds, DataType::Utf8, DataType::Boolean];
        assert_eq!(types.map(Clone::clone), wanted, "{parquet}");
        assert_eq!(schema.field_with_name("once").unwrap().data_type(), &DataType::Int64, "{parquet}");
        assert_eq!(shown(&*table, &memory), want(), "{parquet}");
    }
}

struct Code(&'static str);

impl RowFilter for Code {
    fn columns(&self) -> &[usize] {
        &[0]
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let codes = batch.column(0).as_string::<i32>();
        Ok(codes.iter().map(|code| code.map(|code| code < self.0)).collect())
    }
}

/// As text, 10 comes before 9: what a file of numbers says of its smallest and largest must not be compared with texts.
#[test]
fn numbers_read_as_text_are_not_pruned_by_their_order_as_numbers() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, column: ArrayRef| {
        let batch = RecordBatch::try_from_iter([("code", column)]).unwrap();
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    write("a.parquet", Arc::new(Int64Array::from(vec![9, 10])));
    write("b.parquet", Arc::new(StringArray::from(vec!["x"])));
    let memory = memory();
    let table = FileTables::default().open(folder.path().to_str().unwrap(), &memory).unwrap();
    assert!(table.statistics().columns[0].min.is_none());
    let values: ArrayRef = Arc::new(StringArray::from(vec!["2"]));
    let comparisons = vec![Comparison { column: 0, op: ComparisonOp::Less, values }];
    let filters: Vec<Arc<dyn RowFilter>> = vec![Arc::new(Code("2"))];
    let request = ScanRequest { filters, comparisons, ..everything(&*table) };
    let found = rows(&table.schema(), &scan(&*table, request, &memory, 1).unwrap());
    assert_eq!(crate::io::testing::show(&found), "code:Utf8\n10\n");
}
