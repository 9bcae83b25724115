//! Files that are cut off, overwritten or forged: every one is read, or refused with an error that names it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::fixtures::*;
use super::{ParquetOptions, ParquetTable};
use crate::error::{Error, ErrorKind, Result};
use crate::io::table::{ScanRequest, Table};
use crate::memory::Memory;

fn read_all(path: &Path, options: ParquetOptions, memory: &Memory) -> Result<usize> {
    let table = ParquetTable::open(&[path.to_path_buf()], options, memory)?;
    let mut request = everything(&table);
    request.dictionary_columns = vec![0, 1, 2];
    let batches = scan(&table, request, memory, 1)?;
    Ok(batches.iter().map(|batch| batch.n_rows()).sum())
}

fn expect_named(error: &Error, path: &Path) {
    assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Budget), "{error:?}");
    if error.kind() == ErrorKind::Data {
        assert!(error.message().contains(&path.display().to_string()), "{error}");
    }
}

fn sample(folder: &Path, version: WriterVersion) -> std::path::PathBuf {
    let path = folder.join("sample.parquet");
    let schema = Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("l", DataType::List(Arc::new(Field::new("element", DataType::Int32, true))), true),
    ]));
    let properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_data_page_row_count_limit(50)
        .set_write_batch_size(25);
    write_file(&path, &[random_batch(&schema, 300, 1)], properties.build());
    path
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = sample(folder.path(), WriterVersion::PARQUET_1_0);
    let bytes = std::fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(23) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = read_all(&path, ParquetOptions::default(), &Memory::with_governed(64 << 20, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        expect_named(&error, &path);
    }
}

#[test]
fn a_file_with_overwritten_bytes_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let path = sample(folder.path(), version);
        let bytes = std::fs::read(&path).unwrap();
        let mut numbers = Numbers(42);
        for _ in 0..600 {
            let mut damaged = bytes.clone();
            let at = numbers.below(bytes.len() as u64) as usize;
            damaged[at] = numbers.next() as u8;
            std::fs::write(&path, &damaged).unwrap();
            let memory = Memory::with_governed(64 << 20, 1);
            if let Err(error) = read_all(&path, ParquetOptions::default(), &memory) {
                expect_named(&error, &path);
            }
            assert_eq!(memory.reserved_bytes(), 0);
            assert!(memory.peak_reserved_bytes() <= 64 << 20);
        }
    }
}

#[test]
fn other_formats_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for content in [
        &b""[..],
        b"PAR1",
        b"a,b\n1,2\n3,4\n5,6\n",
        b"PAR1 and something that is not a footer PAR1",
        b"PAR1\xff\xff\xff\xffPAR1",
    ] {
        let path = folder.path().join("data.parquet");
        std::fs::write(&path, content).unwrap();
        let error = read_all(&path, ParquetOptions::default(), &Memory::with_governed(64 << 20, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.hint().is_some());
        expect_named(&error, &path);
    }
    let error = read_all(
        &folder.path().join("missing.parquet"),
        ParquetOptions::default(),
        &Memory::with_governed(64 << 20, 1),
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Data);
}

fn one_text_file(path: &Path, text: String) {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let batch = RecordBatch::try_from_iter([("s", texts)]).unwrap();
    write_file(
        path,
        &[batch],
        WriterProperties::builder().set_compression(parquet::basic::Compression::ZSTD(Default::default())).build(),
    );
}

#[test]
fn a_page_above_the_limit_is_refused_before_it_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.parquet");
    one_text_file(&path, "x".repeat(5 << 20));
    let memory = Memory::with_governed(256 << 20, 1);
    let error = read_all(&path, ParquetOptions { max_page_bytes: 1 << 20 }, &memory).unwrap_err();
    assert!(error.message().contains("row group 0") && error.message().contains("column s"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--max-page-bytes")));
    assert_eq!(read_all(&path, ParquetOptions::default(), &memory).unwrap(), 1);
}

#[test]
fn a_page_above_the_budget_is_a_budget_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.parquet");
    one_text_file(&path, "x".repeat(20 << 20));
    let memory = Memory::with_governed(24 << 20, 1);
    let error = read_all(&path, ParquetOptions::default(), &memory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    assert_eq!(memory.reserved_bytes(), 0);
    assert_eq!(read_all(&path, ParquetOptions::default(), &Memory::with_governed(256 << 20, 1)).unwrap(), 1);
}

#[test]
fn a_cancelled_scan_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = sample(folder.path(), WriterVersion::PARQUET_1_0);
    let (table, memory) = open(&[path]);
    let scan = table.scan(ScanRequest::default()).unwrap();
    let cx = contexts(&memory, 1).remove(0);
    cx.cancel.cancel();
    assert_eq!(scan.source.local(&cx).unwrap().next().unwrap_err().kind(), ErrorKind::Cancelled);
}
