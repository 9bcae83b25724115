//! Reading against what was written, and against the format library's own reader.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use proptest::prelude::*;

use super::fixtures::*;
use super::{ParquetOptions, ParquetTable};
use crate::error::{ErrorKind, Result};
use crate::io::table::{Comparison, ComparisonOp, RowFilter, ScanRequest, Table};
use crate::memory::Memory;

/// All rows as the format library reads them, with the types of `schema`.
fn oracle(path: &Path, schema: &SchemaRef) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<_> = reader
        .map(|batch| {
            let batch = batch.unwrap();
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        })
        .collect();
    arrow::compute::concat_batches(schema, &batches).unwrap()
}

fn small_pages() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_data_page_row_count_limit(37)
        .set_write_batch_size(16)
        .set_max_row_group_row_count(Some(1 << 20))
        .set_dictionary_page_size_limit(400)
}

#[test]
fn every_type_reads_back_as_the_format_library_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let batch = random_batch(&every_type(), 1500, 7);
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(Default::default())] {
            for row_group_rows in [400, 1 << 20] {
                let path = folder.path().join("all.parquet");
                let properties = small_pages()
                    .set_writer_version(version)
                    .set_compression(compression)
                    .set_max_row_group_row_count(Some(row_group_rows));
                write_file(&path, std::slice::from_ref(&batch), properties.build());
                let (table, memory) = open(std::slice::from_ref(&path));
                let expected = oracle(&path, &table.schema());
                for n_workers in [1, 2, 8] {
                    let mut request = everything(&table);
                    request.in_order = n_workers == 2;
                    let batches = scan(&table, request, &memory, n_workers).unwrap();
                    assert_eq!(rows(&table.schema(), &batches), expected);
                }
                assert_eq!(table.statistics().n_rows, Some(1500));
            }
        }
    }
}

#[test]
fn every_codec_and_encoding_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let schema = Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("f", DataType::Float64, false),
    ]));
    let batch = random_batch(&schema, 3000, 3);
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::BROTLI(Default::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
    ];
    for codec in codecs {
        for encodings in
            [None, Some([Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_BYTE_ARRAY, Encoding::BYTE_STREAM_SPLIT])]
        {
            let mut properties = small_pages().set_compression(codec);
            for (column, encoding) in ["i", "s", "f"].iter().zip(encodings.into_iter().flatten()) {
                let column = parquet::schema::types::ColumnPath::from(*column);
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, encoding);
            }
            write_file(&path, std::slice::from_ref(&batch), properties.build());
            let (table, memory) = open(std::slice::from_ref(&path));
            // Where memory is plenty, buffers of pages are used again.
            for memory in [memory, Memory::with_governed(1 << 30, 2)] {
                let batches = scan(&table, everything(&table), &memory, 2).unwrap();
                assert_eq!(rows(&table.schema(), &batches), batch, "{codec:?}");
            }
        }
    }
}

/// Keeps rows whose value modulo `of` is in a range; NULL for NULL.
struct Modulo {
    columns: Vec<usize>,
    of: i64,
    below: i64,
}

impl RowFilter for Modulo {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = batch.column(0).as_primitive::<Int64Type>();
        Ok(values.iter().map(|value| value.map(|value| value % self.of < self.below)).collect())
    }
}

/// Keeps rows whose text does not begin with a letter.
struct BeginsWith {
    columns: Vec<usize>,
    letter: char,
}

impl RowFilter for BeginsWith {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = batch.column(0).as_string::<i32>();
        Ok(values.iter().map(|value| value.map(|value| value.starts_with(self.letter))).collect())
    }
}

/// Keeps rows whose text, as a number, divides 100; fails on a zero as SQL does.
struct Divides {
    columns: Vec<usize>,
}

impl RowFilter for Divides {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = cast(batch.column(0), &DataType::Int64)?;
        let divided = arrow::compute::kernels::numeric::div(&Int64Array::new_scalar(100), &values)?;
        Ok(arrow::compute::kernels::cmp::gt(&divided, &Int64Array::new_scalar(20))?)
    }
}

#[test]
fn a_filter_is_not_asked_about_rows_that_an_earlier_one_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let numbers: Int64Array = (0..1000).map(|row| Some(row % 10)).collect();
    let texts: StringArray = (0..1000).map(|row| Some((row % 10).to_string())).collect();
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef), ("s", Arc::new(texts) as ArrayRef)]).unwrap();
    for dictionary in [false, true] {
        let properties = WriterProperties::builder().set_dictionary_enabled(dictionary).build();
        write_file(&path, std::slice::from_ref(&batch), properties);
        let (table, memory) = open(std::slice::from_ref(&path));
        for column in [0, 1] {
            let filters: Vec<Arc<dyn RowFilter>> = vec![
                Arc::new(AtLeast { columns: vec![0], value: 1 }),
                Arc::new(Divides { columns: vec![column] }),
                Arc::new(Modulo { columns: vec![0], of: 4, below: 2 }),
            ];
            let request = ScanRequest { filters, ..everything(&table) };
            let batches = scan(&table, request.clone(), &memory, 2).unwrap();
            let found = rows(&table.schema(), &batches);
            let found: Vec<i64> = found.column(0).as_primitive::<Int64Type>().values()[..2].to_vec();
            assert_eq!((found, count(&batches)), (vec![1, 4], 200));
            let alone = ScanRequest { filters: request.filters[1..].to_vec(), ..request };
            assert_eq!(scan(&table, alone, &memory, 2).err().unwrap().kind(), ErrorKind::Query);
        }
    }
}

#[test]
fn of_thousands_of_files_every_schema_counts() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let path = folder.path().join(name);
        write_file(&path, &[RecordBatch::try_from_iter(columns).unwrap()], WriterProperties::default());
        path
    };
    let first = write("0000", vec![("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]);
    let mut paths = vec![first.clone()];
    for n in 1..1100 {
        let path = folder.path().join(format!("{n:04}"));
        std::fs::hard_link(&first, &path).unwrap();
        paths.push(path);
    }
    paths.push(write(
        "last",
        vec![
            ("a", Arc::new(Int64Array::from(vec![1 << 40])) as ArrayRef),
            ("b", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
        ],
    ));
    let (table, memory) = open(&paths);
    assert_eq!(table.statistics().n_rows, Some(1101));
    let read = rows(&table.schema(), &scan(&table, everything(&table), &memory, 2).unwrap());
    assert_eq!(read.column(0).as_primitive::<Int64Type>().values()[1099..], [1, 1 << 40]);
    assert_eq!(read.column(1).null_count(), 1100);
}

#[test]
fn integers_that_a_double_would_round_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, column: ArrayRef| {
        let path = folder.path().join(name);
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        write_file(&path, &[batch], WriterProperties::default());
        path
    };
    let double = write("double.parquet", Arc::new(Float64Array::from(vec![0.5])));
    let read = |last: i64| {
        let path = write("whole.parquet", Arc::new(Int64Array::from(vec![Some(1), None, Some(last)])));
        let (table, memory) = open(&[double.clone(), path]);
        scan(&table, everything(&table), &memory, 1).map(|batches| count(&batches))
    };
    assert_eq!(read(-(1 << 53)).unwrap(), 4);
    assert_eq!(read(1 << 60).unwrap(), 4);
    let error = read((1 << 53) + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let want = "whole.parquet, row group 0, column a: 9007199254740993 does not fit float64, the type of this column over \
                all files";
    assert!(error.message().ends_with(want), "{error}");
}

fn number_and_text() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("d", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true),
        Field::new("l", DataType::List(Arc::new(Field::new("element", DataType::Int32, true))), true),
    ]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn filtering_while_reading_equals_filtering_afterwards(
        n_rows in 0usize..5000,
        row_group_rows in 50usize..6000,
        of in 1i64..2000,
        below in 0i64..2000,
        with_text in any::<bool>(),
        version_two in any::<bool>(),
        n_workers in 1usize..4,
        in_order in any::<bool>(),
        runs in 1i64..300,
        governed_mib in 8u64..64,
        projection in proptest::collection::vec(0usize..4, 0..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        let batch = random_batch(&number_and_text(), n_rows, of as u64 * 7 + below as u64);
        // Kept rows come in runs of various lengths.
        let numbers: Int64Array = (0..n_rows as i64).map(|row| (row % 31 != 7).then_some(row / runs)).collect();
        let mut columns = batch.columns().to_vec();
        columns[0] = Arc::new(numbers);
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        let version = if version_two { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let properties = small_pages().set_writer_version(version).set_max_row_group_row_count(Some(row_group_rows));
        write_file(&path, std::slice::from_ref(&batch), properties.build());

        let memory = Memory::with_governed(governed_mib << 20, n_workers);
        let table = ParquetTable::open(&[path], ParquetOptions::default(), &memory).unwrap();
        let mut filters: Vec<Arc<dyn RowFilter>> = vec![Arc::new(Modulo { columns: vec![0], of, below })];
        if with_text {
            filters.push(Arc::new(BeginsWith { columns: vec![1], letter: 'b' }));
        }
        let request = ScanRequest {
            projection: projection.clone(), filters: filters.clone(), comparisons: vec![], dictionary_columns: vec![1, 2], in_order, ..ScanRequest::default()
        };
        let batches = scan(&table, request, &memory, n_workers).unwrap();

        let schema = Arc::new(table.schema().project(&projection).unwrap());
        let whole = arrow::compute::cast(&StructArray::from(batch.clone()), &DataType::Struct(table.schema().fields().clone())).unwrap();
        let mut expected = RecordBatch::from(whole.as_struct());
        for filter in &filters {
            let mask = filter.evaluate(&expected.project(filter.columns()).unwrap()).unwrap();
            expected = filter_record_batch(&expected, &mask).unwrap();
        }
        let expected = expected.project(&projection).unwrap();
        prop_assert_eq!(rows(&schema, &batches), expected);
    }
}

#[test]
fn one_row_group_of_many_pages_is_read_by_all_workers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let schema =
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("s", DataType::Utf8, false)]));
    let n_rows = 300_000;
    let numbers: ArrayRef = Arc::new((0..n_rows).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new((0..n_rows).map(|row| Some(format!("text {row}"))).collect::<StringArray>());
    let batch = RecordBatch::try_new(schema, vec![numbers, texts]).unwrap();
    write_file(
        &path,
        std::slice::from_ref(&batch),
        small_pages().set_data_page_row_count_limit(1000).set_write_batch_size(500).build(),
    );
    // A budget that a whole row group of 6 MiB would not fit.
    let memory = Memory::with_governed(6 << 20, 2);
    let table = ParquetTable::open(&[path], ParquetOptions::default(), &memory).unwrap();
    for in_order in [false, true] {
        let mut request = everything(&table);
        request.in_order = in_order;
        let batches = scan(&table, request, &memory, 2).unwrap();
        assert!(batches.last().unwrap().sequence.morsel >= 1);
        assert!(batches.iter().all(|batch| batch.n_rows() <= memory.sizes().batch_rows));
        assert_eq!(rows(&table.schema(), &batches), batch);
    }
    drop(table);
    assert_eq!(memory.reserved_bytes(), 0);
    assert!(memory.peak_reserved_bytes() < 4 << 20, "{}", memory.peak_reserved_bytes());
}

#[test]
fn batches_keep_to_their_bytes_when_values_grow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let lengths = (0..3000).map(|row| if row < 2000 { 4 } else { 20_000 });
    let texts: StringArray = lengths.map(|length| Some("x".repeat(length))).collect();
    let batch = RecordBatch::try_from_iter([("s", Arc::new(texts) as ArrayRef)]).unwrap();
    for dictionary in [false, true] {
        write_file(
            &path,
            std::slice::from_ref(&batch),
            WriterProperties::builder().set_dictionary_enabled(dictionary).build(),
        );
        let memory = Memory::with_governed(128 << 20, 1);
        let table = ParquetTable::open(std::slice::from_ref(&path), ParquetOptions::default(), &memory).unwrap();
        let batches = scan(&table, everything(&table), &memory, 1).unwrap();
        let largest = batches.iter().map(|batch| batch.data.get_array_memory_size()).max().unwrap();
        assert!(largest < 8 * memory.sizes().batch_bytes, "{largest}");
        assert_eq!(rows(&table.schema(), &batches).num_rows(), 3000);
    }
}

#[test]
fn a_dictionary_stays_one_for_all_batches_of_a_row_group() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let few: StringArray = (0..50_000).map(|row| Some(format!("value {}", row % 20))).collect();
    let many: StringArray = (0..50_000).map(|row| Some(format!("value {row}"))).collect();
    let batch =
        RecordBatch::try_from_iter([("few", Arc::new(few) as ArrayRef), ("many", Arc::new(many) as ArrayRef)]).unwrap();
    write_file(
        &path,
        std::slice::from_ref(&batch),
        WriterProperties::builder().set_dictionary_page_size_limit(10_000).build(),
    );
    let (table, memory) = open(&[path]);
    let mut request = everything(&table);
    request.dictionary_columns = vec![0, 1];
    let batches = scan(&table, request, &memory, 1).unwrap();
    assert!(batches.len() > 2);
    let values: Vec<_> =
        batches.iter().map(|batch| batch.data.column(0).as_any_dictionary().values().to_data()).collect();
    assert!(values.windows(2).all(|pair| pair[0].ptr_eq(&pair[1])));
    // This one fell back to plain values on the way.
    assert!(batches.iter().all(|batch| batch.data.column(1).data_type() == &DataType::Utf8));
    assert_eq!(rows(&table.schema(), &batches), batch);
}

#[test]
fn schemas_of_several_files_are_united_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let path = folder.path().join(name);
        write_file(&path, &[RecordBatch::try_from_iter(columns).unwrap()], WriterProperties::default());
        path
    };
    let one = write(
        "one.parquet",
        vec![
            ("a", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
        ],
    );
    let two = write(
        "two.parquet",
        vec![
            ("c", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
            ("a", Arc::new(Int64Array::from(vec![1 << 40])) as ArrayRef),
        ],
    );
    let (table, memory) = open(&[one.clone(), two]);
    let batches = scan(&table, everything(&table), &memory, 2).unwrap();
    let read = rows(&table.schema(), &batches);
    let expected = RecordBatch::try_from_iter_with_nullable([
        ("a", Arc::new(Int64Array::from(vec![1, 2, 1 << 40])) as ArrayRef, false),
        ("b", Arc::new(StringArray::from(vec![Some("x"), Some("y"), None])) as ArrayRef, true),
        ("c", Arc::new(BooleanArray::from(vec![None, None, Some(true)])) as ArrayRef, true),
    ])
    .unwrap();
    assert_eq!(read, expected);
    let statistics = table.statistics();
    assert_eq!(statistics.columns[0].max.as_ref().unwrap().as_primitive::<Int64Type>().value(0), 1 << 40);
    assert_eq!(statistics.columns[1].n_nulls, Some(1));

    let three = write("three.parquet", vec![("a", Arc::new(BinaryArray::from(vec![&b"no number"[..]])) as ArrayRef)]);
    let error = ParquetTable::open(&[one, three], ParquetOptions::default(), &memory).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.message().contains("one.parquet") && error.message().contains("three.parquet"), "{error}");
}

#[test]
fn statistics_prune_row_groups_and_never_lose_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let numbers: Int64Array = (0..1000).map(Some).collect();
    let texts: StringArray = (0..1000).map(|row| (row >= 100).then(|| format!("{row:04}"))).collect();
    let floats: Float64Array = (0..1000).map(|row| Some(if row == 150 { f64::NAN } else { row as f64 })).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("n", Arc::new(numbers) as ArrayRef, false),
        ("s", Arc::new(texts) as ArrayRef, true),
        ("f", Arc::new(floats) as ArrayRef, true),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    write_file(&path, &[batch], properties.build());
    let (table, memory) = open(&[path]);
    let check = |column: usize, op: ComparisonOp, values: ArrayRef, n_rows: usize| {
        let request = ScanRequest {
            projection: vec![0],
            comparisons: vec![Comparison { column, op, values }],
            ..Default::default()
        };
        let batches = scan(&table, request, &memory, 2).unwrap();
        assert_eq!(batches.iter().map(|batch| batch.n_rows()).sum::<usize>(), n_rows, "{column} {op:?}");
    };
    let int = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    let float = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let none = Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef;
    check(0, ComparisonOp::Equal, int(555), 100);
    check(0, ComparisonOp::Equal, int(5555), 0);
    check(0, ComparisonOp::Less, int(200), 200);
    check(0, ComparisonOp::LessOrEqual, int(200), 300);
    check(0, ComparisonOp::Greater, int(899), 100);
    check(0, ComparisonOp::GreaterOrEqual, int(899), 200);
    check(0, ComparisonOp::In, Arc::new(Int64Array::from(vec![1, 901, 7777])), 200);
    check(0, ComparisonOp::IsNull, none.clone(), 0);
    check(1, ComparisonOp::IsNull, none.clone(), 100);
    check(1, ComparisonOp::IsNotNull, none, 900);
    check(1, ComparisonOp::Equal, text("0555"), 100);
    check(1, ComparisonOp::Less, text("0150"), 100);
    // NaN is above every number, and statistics do not tell of it.
    check(2, ComparisonOp::Greater, float(5000.0), 1000);
    check(2, ComparisonOp::Less, float(50.0), 100);
}

#[test]
fn columns_may_be_none_repeated_or_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let batch = random_batch(&number_and_text(), 1000, 5);
    write_file(&path, &[batch], small_pages().build());
    let (table, memory) = open(std::slice::from_ref(&path));
    let expected = oracle(&path, &table.schema());
    for projection in [vec![], vec![3, 0], vec![1, 1, 2]] {
        let request = ScanRequest { projection: projection.clone(), ..Default::default() };
        let batches = scan(&table, request, &memory, 2).unwrap();
        let schema = Arc::new(table.schema().project(&projection).unwrap());
        assert_eq!(rows(&schema, &batches), expected.project(&projection).unwrap());
    }
}

/// A filter that compares one column with a value, and the comparison that it implies.
struct AtLeast {
    columns: Vec<usize>,
    value: i64,
}

impl RowFilter for AtLeast {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let values = batch.column(0).as_primitive::<Int64Type>();
        Ok(values.iter().map(|value| value.map(|value| value >= self.value)).collect())
    }
}

fn count(batches: &[crate::exec::Batch]) -> usize {
    batches.iter().map(crate::exec::Batch::n_rows).sum()
}

#[test]
fn pages_are_left_out_by_their_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let batch = random_batch(&number_and_text(), 20_000, 9);
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new((0..20_000).map(|row| (row % 100 != 3).then_some(row)).collect::<Int64Array>());
    let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let expected = RecordBatch::from(
        cast(&StructArray::from(batch.clone()), &DataType::Struct(everything_as_text(&batch).fields().clone()))
            .unwrap()
            .as_struct(),
    );
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(50)
            .set_statistics_enabled(EnabledStatistics::Page);
        write_file(&path, std::slice::from_ref(&batch), properties.build());
        let (table, memory) = open(std::slice::from_ref(&path));
        let value = Arc::new(Int64Array::from(vec![19_321])) as ArrayRef;
        let comparisons = vec![Comparison { column: 0, op: ComparisonOp::GreaterOrEqual, values: value }];
        let pruned = ScanRequest { comparisons, ..everything(&table) };
        // Without a filter, whole pages remain.
        let found = scan(&table, pruned.clone(), &memory, 2).unwrap();
        assert_eq!(rows(&table.schema(), &found), expected.slice(19_300, 700));
        let filters: Vec<Arc<dyn RowFilter>> = vec![Arc::new(AtLeast { columns: vec![0], value: 19_321 })];
        let found = scan(&table, ScanRequest { filters, ..pruned }, &memory, 2).unwrap();
        assert_eq!(count(&found), 679 - 6);
    }
}

fn everything_as_text(batch: &RecordBatch) -> Schema {
    let fields = batch
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Dictionary(_, value) => field.as_ref().clone().with_data_type(value.as_ref().clone()),
            _ => field.as_ref().clone(),
        })
        .collect::<Vec<_>>();
    Schema::new(fields)
}

#[test]
fn bloom_filters_leave_row_groups_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    // Even numbers and texts of them, so that extremes never tell.
    let numbers = |row: i64| row * 7919 % 10_000 * 2;
    let ints: Int64Array = (0..10_000).map(|row| Some(numbers(row))).collect();
    let small: Int32Array = (0..10_000).map(|row| Some(numbers(row) as i32)).collect();
    let texts: StringArray = (0..10_000).map(|row| Some(format!("{:06}", numbers(row)))).collect();
    let batch = RecordBatch::try_from_iter([
        ("i", Arc::new(ints) as ArrayRef),
        ("m", Arc::new(small) as ArrayRef),
        ("s", Arc::new(texts) as ArrayRef),
    ])
    .unwrap();
    let properties = WriterProperties::builder()
        .set_bloom_filter_enabled(true)
        .set_bloom_filter_fpp(0.0001)
        .set_max_row_group_row_count(Some(1000));
    write_file(&path, &[batch], properties.build());
    let (table, memory) = open(&[path]);
    let check = |column: usize, op: ComparisonOp, values: ArrayRef, n_rows: usize| {
        let request = ScanRequest {
            projection: vec![0],
            comparisons: vec![Comparison { column, op, values }],
            ..Default::default()
        };
        assert_eq!(count(&scan(&table, request, &memory, 2).unwrap()), n_rows, "{column}");
    };
    for (column, value, n_rows) in [(0, 4444, 1000), (0, 4445, 0), (1, 4444, 1000), (1, 4445, 0)] {
        check(column, ComparisonOp::Equal, Arc::new(Int64Array::from(vec![value])), n_rows);
    }
    check(2, ComparisonOp::Equal, Arc::new(StringArray::from(vec!["004444"])), 1000);
    check(2, ComparisonOp::In, Arc::new(StringArray::from(vec!["004445", "004447"])), 0);
    // Too large for the column of 32 bits.
    check(1, ComparisonOp::Equal, Arc::new(Int64Array::from(vec![1 << 40])), 0);
}

#[test]
fn dictionaries_tell_how_many_values_there_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let few: Int64Array = (0..3000).map(|row| Some(row % 10)).collect();
    let all: Int64Array = (0..3000).map(Some).collect();
    let batch =
        RecordBatch::try_from_iter([("few", Arc::new(few) as ArrayRef), ("all", Arc::new(all) as ArrayRef)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000));
    let properties = properties.set_column_dictionary_enabled("all".into(), false);
    write_file(&path, &[batch], properties.build());
    let (table, _) = open(&[path]);
    let columns = table.statistics().columns;
    assert_eq!((columns[0].max_distinct, columns[1].max_distinct), (Some(30), None));
}

/// Counts how many values it is asked about.
struct Asking {
    columns: Vec<usize>,
    n_asked: std::sync::atomic::AtomicUsize,
    fails_at: Option<&'static str>,
    keeps_null: bool,
}

impl RowFilter for Asking {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        self.n_asked.fetch_add(batch.num_rows(), std::sync::atomic::Ordering::Relaxed);
        let values = batch.column(0).as_string::<i32>();
        if self.fails_at.is_some_and(|fails_at| values.iter().flatten().any(|value| value == fails_at)) {
            return Err(crate::Error::query("no such value"));
        }
        Ok(values.iter().map(|value| value.map_or(Some(self.keeps_null), |value| Some(value.ends_with('3')))).collect())
    }
}

#[test]
fn a_filter_on_text_looks_at_each_value_of_a_dictionary_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.parquet");
    let texts: StringArray = (0..40_000).map(|row| (row % 7 != 0).then(|| format!("value {}", row % 20))).collect();
    let numbers: Int64Array = (0..40_000).map(Some).collect();
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("s", Arc::new(texts.clone()) as ArrayRef, true),
        ("n", Arc::new(numbers) as ArrayRef, false),
    ])
    .unwrap();
    write_file(&path, std::slice::from_ref(&batch), WriterProperties::default());
    let (table, memory) = open(&[path]);
    for keeps_null in [false, true] {
        for dictionary_columns in [vec![], vec![0]] {
            let filter = Arc::new(Asking { columns: vec![0], n_asked: Default::default(), fails_at: None, keeps_null });
            let filters: Vec<Arc<dyn RowFilter>> = vec![filter.clone()];
            let request = ScanRequest { filters, dictionary_columns: dictionary_columns.clone(), ..everything(&table) };
            let batches = scan(&table, request, &memory, 1).unwrap();
            let is_dictionary = matches!(batches[0].data.column(0).data_type(), DataType::Dictionary(_, _));
            assert_eq!(is_dictionary, !dictionary_columns.is_empty());
            let mask = texts.iter().map(|value| Some(value.map_or(keeps_null, |value| value.ends_with('3')))).collect();
            assert_eq!(rows(&table.schema(), &batches), filter_record_batch(&batch, &mask).unwrap());
            assert_eq!(filter.n_asked.load(std::sync::atomic::Ordering::Relaxed), 21);
        }
    }
    let filter = Asking { columns: vec![0], n_asked: Default::default(), fails_at: Some("value 5"), keeps_null: false };
    let filters: Vec<Arc<dyn RowFilter>> = vec![Arc::new(filter)];
    let error = scan(&table, ScanRequest { filters, ..everything(&table) }, &memory, 1).unwrap_err();
    assert_eq!(error.message(), "no such value");
}

#[test]
fn a_wide_table_is_read_by_fewer_workers_when_memory_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.parquet");
    let fields: Vec<_> = (0..64).map(|idx| Field::new(format!("c{idx}"), DataType::Int64, false)).collect();
    let batch = random_batch(&Arc::new(Schema::new(fields)), 20_000, 4);
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_data_page_row_count_limit(1 << 20);
    write_file(&path, std::slice::from_ref(&batch), properties.build());
    let memory = Memory::with_governed(28 << 20, 8);
    let table = ParquetTable::open(&[path], ParquetOptions::default(), &memory).unwrap();
    let batches = scan(&table, ScanRequest { in_order: true, ..everything(&table) }, &memory, 8).unwrap();
    assert_eq!(rows(&table.schema(), &batches), batch);
}

#[test]
fn long_texts_that_a_dictionary_hides_do_not_make_large_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docs.parquet");
    let docs: StringArray = (0..1200).map(|row| Some(format!("{} ", row % 10).repeat(20_000))).collect();
    let batch = RecordBatch::try_from_iter([("doc", Arc::new(docs) as ArrayRef)]).unwrap();
    write_file(&path, std::slice::from_ref(&batch), WriterProperties::default());
    let memory = Memory::with_governed(24 << 20, 1);
    let table = ParquetTable::open(&[path], ParquetOptions::default(), &memory).unwrap();
    let batches = scan(&table, everything(&table), &memory, 1).unwrap();
    let largest = batches.iter().map(|batch| batch.data.get_array_memory_size()).max().unwrap();
    assert!(largest <= 4 * memory.sizes().batch_bytes, "{largest}");
    assert_eq!(rows(&table.schema(), &batches), batch);
}
