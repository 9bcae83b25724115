//! Folders that are written: what comes back, what a failing disk leaves behind, what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;
use tempfile::TempDir;

use super::PartitionedOutput;
use crate::error::{ErrorKind, Result};
use crate::exec::{Batch, Sequence};
use crate::io::testing::{contexts, everything, rows, scan};
use crate::io::{FileTables, OpenTable, OutputFormat};
use crate::memory::Memory;
use crate::spill::{Disk, Fault};

/// Columns `n`, `key` and `other`, sorted by the last two.
fn sorted_rows(keys: &[(Option<String>, i64)]) -> RecordBatch {
    let n: Int64Array = (0..keys.len() as i64).collect();
    let key: StringArray = keys.iter().map(|(key, _)| key.clone()).collect();
    let other: Int64Array = keys.iter().map(|(_, other)| *other).collect();
    let fields = vec![
        Field::new("n", DataType::Int64, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("other", DataType::Int64, false),
    ];
    let columns: Vec<ArrayRef> = vec![Arc::new(n), Arc::new(key), Arc::new(other)];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    sorted(&batch, &[1, 2])
}

fn sorted(batch: &RecordBatch, by: &[usize]) -> RecordBatch {
    let columns: Vec<_> =
        by.iter().map(|&column| SortColumn { values: batch.column(column).clone(), options: None }).collect();
    take_record_batch(batch, &lexsort_to_indices(&columns, None).unwrap()).unwrap()
}

fn output(folder: &Path, format: OutputFormat) -> PartitionedOutput {
    PartitionedOutput::new(folder, format, vec!["key".into(), "other".into()])
}

/// Writes `rows` in morsels that begin where `key` changes, each in batches of `batch_rows`, from one worker after the
/// other.
fn write(to: &PartitionedOutput, disk: Arc<Disk>, rows: &RecordBatch, batch_rows: usize) -> Result<()> {
    let memory = Memory::with_governed(16 << 20, 2);
    let workers = contexts(&memory, 2);
    let sink = to.sink_on(disk, rows.schema())?;
    let mut locals = workers.iter().map(|cx| sink.local(cx)).collect::<Result<Vec<_>>>()?;
    let morsels = arrow::compute::partition(&[rows.column(1).clone()])?.ranges();
    for (morsel, range) in morsels.iter().enumerate() {
        for (batch, start) in range.clone().step_by(batch_rows).enumerate() {
            let data = rows.slice(start, batch_rows.min(range.end - start));
            let sequence = Sequence { morsel: morsel as u64, batch: batch as u32 };
            locals[morsel % 2].push(Batch { data, sequence, last_of_morsel: start + batch_rows >= range.end })?;
        }
    }
    locals.into_iter().try_for_each(|local| local.combine())?;
    sink.finish(&workers[0])?;
    drop(sink);
    assert_eq!(memory.reserved_bytes(), 0);
    Ok(())
}

/// What is in a folder, `n` in order.
fn read_back(folder: &Path) -> RecordBatch {
    let memory = Memory::with_governed(64 << 20, 2);
    let mut tables = FileTables::default();
    let declared = [("key", DataType::Utf8), ("other", DataType::Int64)];
    tables.csv.schema_overrides = declared.map(|(name, data_type)| (name.to_string(), data_type)).to_vec();
    let table = tables.open(folder.to_str().unwrap(), &memory).unwrap();
    let found = rows(&table.schema(), &scan(&*table, everything(&*table), &memory, 2).unwrap());
    sorted(&found, &[0])
}

fn values(batch: &RecordBatch) -> Vec<(i64, Option<String>, i64)> {
    let (n, other) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(2).as_primitive::<Int64Type>());
    let key = batch.column(1).as_string::<i32>();
    (0..batch.num_rows())
        .map(|row| (n.value(row), key.is_valid(row).then(|| key.value(row).to_string()), other.value(row)))
        .collect()
}

fn names_below(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(names_below(&path));
        }
        names.push(path.display().to_string());
    }
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_comes_back(
        keys in prop::collection::vec((prop::option::of("[a-c%/=. \u{e9}]{0,3}"), -2i64..3), 1..60),
        batch_rows in 1usize..20,
        format in prop::sample::select(vec![OutputFormat::Csv, OutputFormat::Parquet, OutputFormat::Ipc]),
    ) {
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("out");
        let rows = sorted_rows(&keys);
        write(&output(&target, format), Disk::real(), &rows, batch_rows).unwrap();
        prop_assert_eq!(values(&read_back(&target)), values(&sorted(&rows, &[0])));
        // A file for each pair of values, and nothing beside the target.
        let pairs: BTreeMap<_, _> = keys.iter().map(|pair| (pair, ())).collect();
        let files = names_below(&target).iter().filter(|name| name.contains("/part-")).count();
        prop_assert_eq!(files, pairs.len());
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

fn few_rows() -> RecordBatch {
    let keys: Vec<_> = (0..40).map(|n| (Some(format!("k{}", n % 4)), i64::from(n % 2))).collect();
    sorted_rows(&keys)
}

#[test]
fn the_target_is_the_old_folder_or_the_whole_new_one_whatever_call_fails() {
    for format in [OutputFormat::Csv, OutputFormat::JsonLines, OutputFormat::Parquet, OutputFormat::Ipc] {
        for (fault, overwrites) in [(Fault::NoSpace, false), (Fault::Io, true), (Fault::ShortWrite, true)] {
            let folder = TempDir::new().unwrap();
            let target = folder.path().join("out");
            if overwrites {
                std::fs::create_dir_all(target.join("key=old")).unwrap();
                std::fs::write(target.join("key=old/part-0.csv"), "n\n1\n").unwrap();
            }
            let old = overwrites.then(|| names_below(&target));
            let rows = few_rows();
            for n in 1.. {
                let disk = Disk::faulty(n, fault);
                let to = PartitionedOutput { overwrite: overwrites, ..output(&target, format) };
                let written = write(&to, disk.clone(), &rows, 3);
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), usize::from(target.exists()));
                if disk.calls() < n {
                    written.unwrap();
                    let files = names_below(&target).iter().filter(|name| name.contains("/part-")).count();
                    assert_eq!(files, 4, "every call was tried");
                    break;
                }
                match written {
                    Ok(()) => assert_eq!(fault, Fault::ShortWrite),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
                        let found = target.exists().then(|| names_below(&target));
                        // Only the very last call comes after the folder is in place.
                        let is_new =
                            found.as_ref().is_some_and(|names| names.iter().any(|name| name.contains("key=k3")));
                        assert!(found == old || is_new, "{found:?}");
                    }
                }
                if target.exists() && old != Some(names_below(&target)) {
                    std::fs::remove_dir_all(&target).unwrap();
                    if overwrites {
                        std::fs::create_dir_all(target.join("key=old")).unwrap();
                        std::fs::write(target.join("key=old/part-0.csv"), "n\n1\n").unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn folders_with_something_in_them_are_not_touched_unless_asked() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("out");
    let rows = few_rows();
    std::fs::create_dir(&target).unwrap();
    write(&output(&target, OutputFormat::Csv), Disk::real(), &rows, 7).unwrap();
    let before = names_below(&target);
    let error = write(&output(&target, OutputFormat::Csv), Disk::real(), &rows, 7).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert_eq!(names_below(&target), before);
    let fewer = rows.slice(0, 5);
    let to = PartitionedOutput { overwrite: true, ..output(&target, OutputFormat::Parquet) };
    write(&to, Disk::real(), &fewer, 7).unwrap();
    assert_eq!(values(&read_back(&target)), values(&sorted(&fewer, &[0])));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = write(&output(&file, OutputFormat::Csv), Disk::real(), &rows, 7).unwrap_err();
    assert!(error.to_string().contains("there is a file of that name"), "{error}");
    let error = write(&output(&folder.path().join("no/where"), OutputFormat::Csv), Disk::real(), &rows, 7).unwrap_err();
    assert!(error.to_string().contains("its folder does not exist"), "{error}");
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_a_live_one_holds_is_not() {
    let folder = TempDir::new().unwrap();
    let left = folder.path().join(".brimful-1-0.partial");
    std::fs::create_dir_all(left.join("key=a")).unwrap();
    let rows = few_rows();
    let to = output(&folder.path().join("live"), OutputFormat::Csv);
    let live = to.sink_on(Disk::real(), rows.schema()).unwrap();
    assert!(!left.exists());
    write(&output(&folder.path().join("out"), OutputFormat::Csv), Disk::real(), &rows, 7).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "that of the other output is still there");
    drop(live);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn columns_that_cannot_make_folders_are_refused() {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("l", DataType::new_list(DataType::Int64, true), true),
        Field::new("f", DataType::Float64, true),
    ]);
    let check = |by: &[&str], want: &str| {
        let by = by.iter().map(|name| name.to_string()).collect();
        let error = PartitionedOutput::new("out", OutputFormat::Csv, by).clustering(&schema).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().starts_with(want), "{error}");
    };
    check(&["b"], "the output is to be partitioned by \"b\"");
    check(&["l"], "column \"l\" of type");
    check(&["f"], "column \"f\" of type");
    check(&["a", "a"], "the output is to be partitioned by \"a\" twice");
    check(&[], "a partitioned output needs a column");
    let only = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let to = PartitionedOutput::new("out", OutputFormat::Csv, vec!["a".into()]);
    assert!(to.clustering(&only).unwrap_err().to_string().starts_with("no column is left"));
}

#[test]
fn a_value_too_long_for_a_name_is_an_error() {
    let folder = TempDir::new().unwrap();
    let rows = sorted_rows(&[(Some("x".repeat(300)), 1)]);
    let error = write(&output(&folder.path().join("out"), OutputFormat::Csv), Disk::real(), &rows, 7).unwrap_err();
    assert!(error.to_string().contains("too long for the name of a folder: 304 bytes"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn rows_of_a_partition_keep_their_order() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("out");
    let keys: Vec<_> = (0..500).map(|_| (Some("a".to_string()), 0)).collect();
    let rows = sorted_rows(&keys);
    write(&output(&target, OutputFormat::Parquet), Disk::real(), &rows, 11).unwrap();
    let memory = Memory::with_governed(64 << 20, 1);
    let table = FileTables::default().open(target.to_str().unwrap(), &memory).unwrap();
    let found = scan(&*table, everything(&*table), &memory, 1).unwrap();
    let found: Vec<_> = found.into_iter().map(|batch| batch.data.project(&[0]).unwrap()).collect();
    let found = concat_batches(&found[0].schema(), &found).unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values().to_vec(), (0..500).collect::<Vec<_>>());
}
