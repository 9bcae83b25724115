//! Writing: what comes back, in which order, and what a failing disk leaves behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::*;
use arrow::compute::{SortColumn, cast, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::*;

use super::fixtures::*;
use super::{ParquetCompression, ParquetSink, ParquetSinkOptions};
use crate::error::{ErrorKind, Result};
use crate::exec::{Batch, Sequence, Sink};
use crate::io::OutputFile;
use crate::io::table::Table;
use crate::memory::{Budget, Memory};
use crate::spill::{Disk, Fault};

/// Pushes batch `i` as part of morsel `i / per_morsel`, from `n_workers` threads of a pool.
fn write(
    sink: &ParquetSink,
    batches: &[RecordBatch],
    per_morsel: usize,
    memory: &Memory,
    n_workers: usize,
) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_workers).build().unwrap();
    let workers = contexts(memory, n_workers);
    let next = AtomicU64::new(0);
    // All workers' ends exist before the first of them pushes.
    let locals = workers.iter().map(|cx| sink.local(cx).map(Some)).collect::<Result<Vec<_>>>()?;
    let locals = std::sync::Mutex::new(locals);
    let n_morsels = batches.len().div_ceil(per_morsel) as u64;
    let results: Vec<Result<()>> = pool.broadcast(|broadcast| {
        let mut local = locals.lock().unwrap()[broadcast.index()].take().unwrap();
        loop {
            let morsel = next.fetch_add(1, Ordering::Relaxed);
            if morsel >= n_morsels {
                return local.combine();
            }
            let first = morsel as usize * per_morsel;
            let own = &batches[first..(first + per_morsel).min(batches.len())];
            for (number, batch) in own.iter().enumerate() {
                let sequence = Sequence { morsel, batch: number as u32 };
                let last_of_morsel = number + 1 == own.len();
                local.push(Batch { data: batch.clone(), sequence, last_of_morsel })?;
            }
        }
    });
    results.into_iter().collect::<Result<()>>()?;
    sink.finish(&workers[0])
}

fn numbered(n_batches: usize, rows_of_a_batch: usize) -> Vec<RecordBatch> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("s", DataType::Utf8, true),
        Field::new("l", DataType::List(Arc::new(Field::new("element", DataType::Int32, true))), true),
    ]));
    let batches = (0..n_batches).map(|number| {
        let batch = random_batch(&schema, rows_of_a_batch, number as u64);
        let mut columns = batch.columns().to_vec();
        let first = (number * rows_of_a_batch) as i64;
        columns[0] = Arc::new((first..first + rows_of_a_batch as i64).collect::<Int64Array>());
        RecordBatch::try_new(schema.clone(), columns).unwrap()
    });
    batches.collect()
}

fn read_back(path: &Path) -> RecordBatch {
    let (table, memory) = open(&[path.to_path_buf()]);
    let batches = scan(&table, everything(&table), &memory, 2).unwrap();
    rows(&table.schema(), &batches)
}

fn sorted(batch: &RecordBatch) -> RecordBatch {
    let column = SortColumn { values: batch.column(0).clone(), options: None };
    take_record_batch(batch, &lexsort_to_indices(&[column], None).unwrap()).unwrap()
}

#[test]
fn rows_come_back_in_order_or_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let batches = numbered(60, 700);
    let expected = concat_batches(&batches[0].schema(), &batches).unwrap();
    for ordered in [false, true] {
        for n_workers in [1, 2, 8] {
            for (governed_mib, row_group_rows) in [(4, 1 << 20), (12, 1 << 20), (256, 1 << 20), (256, 1000)] {
                let memory = Memory::with_governed(governed_mib << 20, n_workers);
                let options = ParquetSinkOptions { row_group_rows, ..ParquetSinkOptions::default() };
                let sink = ParquetSink::new(&path, expected.schema(), &options, ordered, &memory).unwrap();
                write(&sink, &batches, 4, &memory, n_workers).unwrap();
                drop(sink);
                assert_eq!(memory.reserved_bytes(), 0);
                let found = read_back(&path);
                assert_eq!(if ordered { found } else { sorted(&found) }, expected);
            }
        }
    }
}

#[test]
fn repeatable_files_are_equal_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let all = concat_batches(&numbered(1, 1)[0].schema(), &numbered(90, 700)).unwrap();
    let mut files = Vec::new();
    // Cut into batches in any way, by any number of workers; a little more or less memory is left in each run.
    for (run, rows_of_a_batch) in [700, 333, 4096, 9000].into_iter().enumerate() {
        let starts = (0..all.num_rows()).step_by(rows_of_a_batch);
        let copied = |start: usize| {
            let rows = start..(start + rows_of_a_batch).min(all.num_rows());
            take_record_batch(&all, &rows.map(|row| row as u32).collect::<UInt32Array>()).unwrap()
        };
        let batches: Vec<_> = starts.map(copied).collect();
        let memory =
            Memory::with_governed((40 << 20) + run as u64 * 100_000, 2).with_budget(Budget::from_bytes(64 << 20));
        let options = ParquetSinkOptions { repeatable: true, ..ParquetSinkOptions::default() };
        let sink = ParquetSink::new(&path, all.schema(), &options, true, &memory).unwrap();
        write(&sink, &batches, 2, &memory, 2).unwrap();
        drop(sink);
        assert_eq!(memory.reserved_bytes(), 0);
        assert_eq!(read_back(&path), all);
        files.push(std::fs::read(&path).unwrap());
    }
    assert!(files.iter().all(|file| *file == files[0]), "{:?}", files.iter().map(Vec::len).collect::<Vec<_>>());
}

#[test]
fn many_columns_are_written_at_the_smallest_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let fields = (0..200).map(|idx| match idx % 3 {
        0 => Field::new(format!("n{idx}"), DataType::Int64, true),
        1 => Field::new(format!("s{idx}"), DataType::Utf8, true),
        _ => Field::new(format!("l{idx}"), DataType::new_list(DataType::Int32, true), true),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batches: Vec<_> = (0..8).map(|seed| random_batch(&schema, 200, seed)).collect();
    for (ordered, n_workers) in [(true, 1), (true, 2), (false, 1), (false, 2)] {
        let memory = Memory::with_governed(70 << 20, n_workers);
        let sink = ParquetSink::new(&path, schema.clone(), &ParquetSinkOptions::default(), ordered, &memory).unwrap();
        write(&sink, &batches, 2, &memory, n_workers).unwrap();
        drop(sink);
        assert_eq!(memory.reserved_bytes(), 0);
        let found = read_back(&path);
        assert_eq!(found.num_rows(), 1600);
        if ordered {
            let expected = concat_batches(&schema, &batches).unwrap();
            assert_eq!(found.columns()[..2], expected.columns()[..2]);
        }
    }
}

#[test]
fn every_type_and_dictionaries_survive_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let schema = every_type();
    let batch = random_batch(&schema, 500, 11);
    for compression in
        [ParquetCompression::Zstd(3), ParquetCompression::Snappy, ParquetCompression::Lz4, ParquetCompression::None]
    {
        let memory = Memory::with_governed(512 << 20, 1);
        let options = ParquetSinkOptions { compression, ..ParquetSinkOptions::default() };
        let sink = ParquetSink::new(&path, schema.clone(), &options, true, &memory).unwrap();
        write(&sink, std::slice::from_ref(&batch), 1, &memory, 1).unwrap();
        let (table, memory) = open(std::slice::from_ref(&path));
        let found = rows(&table.schema(), &scan(&table, everything(&table), &memory, 1).unwrap());
        let columns = batch
            .columns()
            .iter()
            .zip(table.schema().fields())
            .map(|(column, field)| cast(column, field.data_type()).unwrap())
            .collect();
        assert_eq!(found, RecordBatch::try_new(table.schema(), columns).unwrap());
    }
}

#[test]
fn columns_declared_plain_may_arrive_as_dictionaries() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("y"), Some("x")]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(1)]));
    let plain = RecordBatch::try_from_iter_with_nullable([("s", texts, true), ("n", numbers, true)]).unwrap();
    let packed = plain.columns().iter().map(|column| {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(column.data_type().clone()));
        cast(column, &dictionary).unwrap()
    });
    let packed = RecordBatch::try_from_iter(["s", "n"].into_iter().zip(packed)).unwrap();
    let memory = Memory::with_governed(64 << 20, 1);
    let sink = ParquetSink::new(&path, plain.schema(), &ParquetSinkOptions::default(), false, &memory).unwrap();
    write(&sink, &[plain.clone(), packed, plain.clone()], 1, &memory, 1).unwrap();
    assert_eq!(read_back(&path), concat_batches(&plain.schema(), &[plain.clone(), plain.clone(), plain]).unwrap());
}

#[test]
fn no_rows_make_a_file_with_a_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let schema = numbered(1, 1)[0].schema();
    for ordered in [false, true] {
        let memory = Memory::with_governed(64 << 20, 2);
        let sink = ParquetSink::new(&path, schema.clone(), &ParquetSinkOptions::default(), ordered, &memory).unwrap();
        write(&sink, &[RecordBatch::new_empty(schema.clone())], 1, &memory, 2).unwrap();
        let (table, _) = open(std::slice::from_ref(&path));
        assert_eq!(table.statistics().n_rows, Some(0));
        assert_eq!(table.schema().fields(), schema.fields());
    }
}

#[test]
fn a_failing_disk_is_an_error_and_leaves_the_old_file() {
    let batches = numbered(12, 500);
    for ordered in [false, true] {
        for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
            for n in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("out.parquet");
                std::fs::write(&path, "old").unwrap();
                let memory = Memory::with_governed(64 << 20, 2);
                let options = ParquetSinkOptions { row_group_rows: 1500, ..ParquetSinkOptions::default() };
                let disk = Disk::faulty(n, fault);
                let result = OutputFile::create_on(disk.clone(), &path)
                    .and_then(|output| {
                        ParquetSink::into_output(output, batches[0].schema(), &options, ordered, &memory)
                    })
                    .and_then(|sink| write(&sink, &batches, 2, &memory, 2));
                if disk.calls() < n {
                    result.unwrap();
                    assert_eq!(read_back(&path).num_rows(), 6000);
                    break;
                }
                // A short write is no error when nothing is written after it.
                if let Err(error) = result {
                    assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
                }
                match std::fs::read(&path).unwrap().as_slice() {
                    b"old" => {}
                    _ => assert_eq!(read_back(&path).num_rows(), 6000),
                }
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
                // A job that was offered to the pool may still find that there is nothing to do.
                for _ in 0..200 {
                    if memory.reserved_bytes() == 0 {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                assert_eq!(memory.reserved_bytes(), 0);
            }
        }
    }
}

#[test]
fn a_column_that_outgrew_its_dictionary_gets_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let texts: ArrayRef =
        Arc::new((0..30_000).map(|row| Some(format!("a text of some length {row}"))).collect::<StringArray>());
    let few: ArrayRef = Arc::new((0..30_000).map(|row| Some(row % 10)).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("s", texts), ("few", few)]).unwrap();
    let memory = Memory::with_governed(256 << 20, 1);
    let options = ParquetSinkOptions { row_group_rows: 30_000, ..ParquetSinkOptions::default() };
    let sink = ParquetSink::new(&path, batch.schema(), &options, true, &memory).unwrap();
    write(&sink, &[batch.clone(), batch.clone()], 1, &memory, 1).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let metadata = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
    let has_dictionary =
        |group: usize, column: usize| metadata.row_group(group).column(column).dictionary_page_offset().is_some();
    assert_eq!([has_dictionary(0, 0), has_dictionary(1, 0)], [true, false]);
    assert_eq!([has_dictionary(0, 1), has_dictionary(1, 1)], [true, true]);
    assert_eq!(read_back(&path), concat_batches(&batch.schema(), &[batch.clone(), batch]).unwrap());
}
