//! Arrow files in and out: what other writers make, every type, damage at every byte, a failing disk at every call.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::*;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::*;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use proptest::prelude::*;
use tempfile::TempDir;

use super::IpcTable;
use super::sink::{IpcLayout, IpcSink};
use crate::error::{ErrorKind, Result};
use crate::exec::{Batch, QueryContext, Sequence, Sink};
use crate::io::parquet::fixtures::random_batch;
use crate::io::testing::{contexts, everything, rows, scan};
use crate::io::text::Destination;
use crate::io::{OutputFile, RowFilter, ScanRequest, Table};
use crate::memory::Memory;
use crate::spill::{Disk, Fault};

fn memory() -> Memory {
    Memory::with_governed(64 << 20, 2)
}

/// Columns of many types, as other programs write them.
fn schema() -> SchemaRef {
    let text = || Box::new(DataType::Utf8);
    let item = |data_type: DataType| Arc::new(Field::new("item", data_type, true));
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("s", DataType::Utf8, true),
        Field::new("v", DataType::Utf8View, true),
        Field::new("big", DataType::LargeUtf8, true),
        Field::new("d", DataType::Dictionary(Box::new(DataType::Int32), text()), true),
        Field::new("b", DataType::Boolean, true),
        Field::new("l", DataType::List(item(DataType::Int32)), true),
        Field::new("f", DataType::Float64, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

fn numbered(n_batches: usize, rows_of_a_batch: usize) -> Vec<RecordBatch> {
    let batches = (0..n_batches).map(|number| {
        let batch = random_batch(&schema(), rows_of_a_batch, number as u64);
        let mut columns = batch.columns().to_vec();
        let first = (number * rows_of_a_batch) as i64;
        columns[0] = Arc::new((first..first + rows_of_a_batch as i64).collect::<Int64Array>());
        RecordBatch::try_new(schema(), columns).unwrap()
    });
    batches.collect()
}

fn write_file(path: &Path, batches: &[RecordBatch], is_stream: bool) {
    let file = std::fs::File::create(path).unwrap();
    let schema = batches[0].schema();
    if is_stream {
        let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
        let mut writer = StreamWriter::try_new_with_options(file, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new(file, &schema).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    }
}

/// With one dictionary for all, as a file needs.
fn with_one_dictionary(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let whole = concat_batches(&batches[0].schema(), batches).unwrap();
    let mut first = 0;
    let slices = batches.iter().map(|batch| {
        first += batch.num_rows();
        whole.slice(first - batch.num_rows(), batch.num_rows())
    });
    slices.collect()
}

/// The rows with the engine's types.
fn expected(batches: &[RecordBatch], schema: &SchemaRef) -> RecordBatch {
    let whole = concat_batches(&batches[0].schema(), batches).unwrap();
    let columns = whole.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

#[test]
fn files_and_streams_of_others_are_read_at_any_budget() {
    let folder = TempDir::new().unwrap();
    let batches = numbered(7, 900);
    for is_stream in [false, true] {
        let path = folder.path().join(if is_stream { "a.arrows" } else { "a.arrow" });
        let written = if is_stream { batches.clone() } else { with_one_dictionary(&batches) };
        write_file(&path, &written, is_stream);
        for (governed, n_workers) in [(3 << 20, 1), (64 << 20, 2), (64 << 20, 8)] {
            let memory = Memory::with_governed(governed, n_workers);
            let table = IpcTable::open(std::slice::from_ref(&path), &memory).unwrap();
            assert_eq!(table.statistics().n_rows, Some(6300));
            let found = scan(&table, everything(&table), &memory, n_workers).unwrap();
            assert_eq!(rows(&table.schema(), &found), expected(&batches, &table.schema()));
            assert!(table.schema().fields().iter().all(|field| !matches!(
                field.data_type(),
                DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..)
            )));
            let counted = scan(&table, ScanRequest::default(), &memory, n_workers).unwrap();
            assert_eq!(counted.iter().map(Batch::n_rows).sum::<usize>(), 6300);
            drop(table);
            assert_eq!(memory.reserved_bytes(), 0);
        }
    }
}

struct Even(Vec<usize>);

impl RowFilter for Even {
    fn columns(&self) -> &[usize] {
        &self.0
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let n = batch.column(0).as_primitive::<Int64Type>();
        Ok(n.iter().map(|n| n.map(|n| n % 2 == 0)).collect())
    }
}

#[test]
fn only_wanted_columns_are_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.arrow");
    let batches = with_one_dictionary(&numbered(3, 30_000));
    write_file(&path, &batches, false);
    let memory = memory();
    let table = IpcTable::open(std::slice::from_ref(&path), &memory).unwrap();
    let filters: Vec<Arc<dyn RowFilter>> = vec![Arc::new(Even(vec![0]))];
    let request = ScanRequest { projection: vec![5], filters, ..ScanRequest::default() };
    let prepared = table.scan(request.clone()).unwrap();
    let found = scan(&table, request, &memory, 2).unwrap();
    assert_eq!(found.iter().map(Batch::n_rows).sum::<usize>(), 45_000);
    drop(prepared);
    // A batch that does not fit is read after all when few of its columns are wanted.
    let small = Memory::with_governed(1 << 20, 1);
    let table = IpcTable::open(&[path], &small).unwrap();
    let error = scan(&table, everything(&table), &small, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Budget);
    let text = error.to_string();
    assert!(text.contains("a record batch of 30000 rows takes") && text.contains("smaller record batches"), "{text}");
    let found = scan(&table, ScanRequest { projection: vec![0], ..ScanRequest::default() }, &small, 1).unwrap();
    assert_eq!(found.iter().map(Batch::n_rows).sum::<usize>(), 90_000);
}

/// The message of one batch of integers, compressed by hand as other writers do it.
fn compressed_stream(codec: arrow::ipc::CompressionType) -> Vec<u8> {
    use arrow::ipc;
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let values: Vec<u8> = (0..1000i64).flat_map(|n| (n / 10).to_le_bytes()).collect();
    let mut body = Vec::new();
    let packed = match codec {
        ipc::CompressionType::ZSTD => zstd::encode_all(&values[..], 1).unwrap(),
        _ => {
            use std::io::Write;
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&values).unwrap();
            encoder.finish().unwrap()
        }
    };
    body.extend((values.len() as i64).to_le_bytes());
    body.extend(&packed);
    let length = body.len();
    body.resize(length.next_multiple_of(8), 0);
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let mut compression = ipc::BodyCompressionBuilder::new(&mut builder);
    compression.add_codec(codec);
    let compression = compression.finish();
    let nodes = builder.create_vector(&[ipc::FieldNode::new(1000, 0)]);
    let buffers = builder.create_vector(&[ipc::Buffer::new(0, 0), ipc::Buffer::new(0, length as i64)]);
    let mut batch = ipc::RecordBatchBuilder::new(&mut builder);
    batch.add_length(1000);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    batch.add_compression(compression);
    let batch = batch.finish().as_union_value();
    let mut message = ipc::MessageBuilder::new(&mut builder);
    message.add_version(ipc::MetadataVersion::V5);
    message.add_header_type(ipc::MessageHeader::RecordBatch);
    message.add_header(batch);
    message.add_bodyLength(body.len() as i64);
    let message = message.finish();
    builder.finish(message, None);
    let mut metadata = builder.finished_data().to_vec();
    metadata.resize(metadata.len().next_multiple_of(8), 0);
    let mut stream = Vec::new();
    let mut writer = StreamWriter::try_new(&mut stream, &schema).unwrap();
    writer.flush().unwrap();
    drop(writer);
    stream.extend([0xFF; 4]);
    stream.extend((metadata.len() as i32).to_le_bytes());
    stream.extend(metadata);
    stream.extend(body);
    stream
}

#[test]
fn compressed_buffers_are_unpacked_and_not_believed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.arrows");
    for codec in [arrow::ipc::CompressionType::ZSTD, arrow::ipc::CompressionType::LZ4_FRAME] {
        let stream = compressed_stream(codec);
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let memory = memory();
            let table = IpcTable::open(std::slice::from_ref(&path), &memory)?;
            let found = scan(&table, everything(&table), &memory, 1)?;
            Ok::<_, crate::Error>(rows(&table.schema(), &found))
        };
        let found = read(&stream).unwrap();
        let want: Int64Array = (0..1000).map(|n| n / 10).collect();
        assert_eq!(found.column(0).as_ref(), &want as &dyn Array);
        // The stated size is that of the buffer, or memory for it is refused.
        let at = stream.windows(8).rposition(|bytes| bytes == 8000i64.to_le_bytes()).unwrap();
        for (stated, kind) in [(7992i64, ErrorKind::Data), (8008, ErrorKind::Data), (1 << 40, ErrorKind::Budget)] {
            let mut forged = stream.clone();
            forged[at..at + 8].copy_from_slice(&stated.to_le_bytes());
            assert_eq!(read(&forged).unwrap_err().kind(), kind, "{stated}");
        }
    }
}

#[test]
fn files_that_differ_are_united_and_widened() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let path = folder.path().join(name);
        write_file(&path, &[RecordBatch::try_from_iter(columns).unwrap()], false);
        path
    };
    let one = write("1.arrow", vec![("a", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
    let two = write(
        "2.arrow",
        vec![
            ("b", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
            ("a", Arc::new(Float64Array::from(vec![0.5])) as ArrayRef),
        ],
    );
    let three = write("3.arrow", vec![("b", Arc::new(BinaryArray::from(vec![&b"x"[..]])) as ArrayRef)]);
    let memory = memory();
    let table = IpcTable::open(&[one.clone(), two.clone()], &memory).unwrap();
    assert_eq!(
        crate::io::testing::read(&table, &memory, 2).unwrap(),
        "a:Float64 | b:Utf8\n1.0 | ~\n2.0 | ~\n0.5 | x\n"
    );
    let error = IpcTable::open(&[one, two, three], &memory).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("column b is Utf8 in") && error.contains("3.arrow"), "{error}");
}

#[test]
fn a_piece_of_a_message_is_not_the_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.arrows");
    write_file(&path, &numbered(2, 10), true);
    let bytes = std::fs::read(&path).unwrap();
    // What ends a stream may be missing; anything else may not.
    let n_bytes = bytes.len() - 8;
    for n_more in 0..4 {
        std::fs::write(&path, &bytes[..n_bytes + n_more]).unwrap();
        let read = IpcTable::open(std::slice::from_ref(&path), &memory())
            .and_then(|table| scan(&table, everything(&table), &memory(), 1));
        assert_eq!(read.is_ok(), n_more == 0, "{n_more}");
    }
}

#[test]
fn damage_anywhere_is_an_error_and_never_a_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.arrow");
    for is_stream in [false, true] {
        let batches = with_one_dictionary(&numbered(2, 20));
        write_file(&path, &batches, is_stream);
        let whole = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| -> Result<()> {
            std::fs::write(&path, bytes).unwrap();
            let memory = Memory::with_governed(16 << 20, 1);
            let table = IpcTable::open(std::slice::from_ref(&path), &memory)?;
            scan(&table, everything(&table), &memory, 1).map(|_| ())
        };
        read(&whole).unwrap();
        for cut in (0..whole.len()).step_by(13) {
            let result = read(&whole[..cut]);
            // A stream may end behind any record batch.
            assert!(is_stream || result.is_err(), "cut at {cut}");
        }
        for at in (0..whole.len()).step_by(7) {
            for bits in [0xFF, 0x01, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= bits;
                if let Err(error) = read(&damaged) {
                    assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Budget | ErrorKind::Query), "{error}");
                }
            }
        }
    }
}

/// Pushes batch `i` as part of morsel `i / per_morsel`, from `n_workers` threads.
fn write(sink: &IpcSink, batches: &[RecordBatch], per_morsel: usize, memory: &Memory, n_workers: usize) -> Result<()> {
    let workers = contexts(memory, n_workers);
    let next = AtomicU64::new(0);
    let locals = workers.iter().map(|cx| sink.local(cx)).collect::<Result<Vec<_>>>()?;
    let n_morsels = batches.len().div_ceil(per_morsel) as u64;
    let work = |mut local: Box<dyn crate::exec::LocalSink>| {
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
    };
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = locals.into_iter().map(|local| scope.spawn(move || work(local))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    results.into_iter().collect::<Result<()>>()?;
    sink.finish(&workers[0])
}

fn sink(path: &Path, disk: Arc<Disk>, layout: IpcLayout, ordered: bool, memory: &Memory) -> Result<IpcSink> {
    let cx = contexts(memory, 1).remove(0);
    let cx = QueryContext { memory: cx.memory, pages: cx.pages, cancel: cx.cancel };
    let destination = Destination::to(OutputFile::create_on(disk, path)?);
    let schema = schema();
    let fields = schema.fields().iter().map(|field| {
        let data_type = crate::io::drift::engine_type(field.data_type());
        Field::new(field.name(), data_type, field.is_nullable())
    });
    Ok(IpcSink::new(destination, Arc::new(Schema::new(fields.collect::<Vec<_>>())), layout, ordered, &cx))
}

/// Reads with the library, to see that others can.
fn read_by_library(path: &Path, layout: IpcLayout) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let (schema, batches): (_, Vec<_>) = match layout {
        IpcLayout::File => {
            let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
            (reader.schema(), reader.map(|batch| batch.unwrap()).collect())
        }
        IpcLayout::Stream => {
            let reader = arrow::ipc::reader::StreamReader::try_new(file, None).unwrap();
            (reader.schema(), reader.map(|batch| batch.unwrap()).collect())
        }
    };
    concat_batches(&schema, &batches).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_is_read_by_us_and_by_others(
        n_batches in 0usize..12,
        batch_rows in 1usize..400,
        per_morsel in 1usize..4,
        n_workers in prop::sample::select(vec![1usize, 2, 8]),
        ordered in any::<bool>(),
        layout in prop::sample::select(vec![IpcLayout::File, IpcLayout::Stream]),
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("out");
        let memory = Memory::with_governed(8 << 20, n_workers);
        let batches = numbered(n_batches.max(1), batch_rows);
        let batches = if n_batches == 0 { vec![batches[0].slice(0, 0)] } else { batches };
        let sink = sink(&path, Disk::real(), layout, ordered, &memory).unwrap();
        // Dictionaries, views and long offsets may stand in for the declared types.
        write(&sink, &batches, per_morsel, &memory, n_workers).unwrap();
        drop(sink);
        prop_assert_eq!(memory.reserved_bytes(), 0);
        let table = IpcTable::open(std::slice::from_ref(&path), &memory).unwrap();
        let want = expected(&batches, &table.schema());
        let found = rows(&table.schema(), &scan(&table, everything(&table), &memory, 2).unwrap());
        let by_library = read_by_library(&path, layout);
        prop_assert_eq!(sorted(&by_library), sorted(&want));
        prop_assert_eq!(sorted(&found), sorted(&want));
        if ordered {
            prop_assert_eq!(found, want);
        }
    }
}

#[test]
fn files_are_packed_and_streams_are_not() {
    let folder = TempDir::new().unwrap();
    // Large batches, and one value that is longer than what is packed.
    let batch = |first: i64, n: i64| {
        let long = |row: i64| (row == 7_000).then(|| "long ".repeat(100_000));
        let texts: StringArray =
            (first..first + n).map(|row| long(row).or(Some(format!("text {}", row % 10)))).collect();
        let numbers: Int64Array = (first..first + n).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("n", Arc::new(numbers) as ArrayRef, true),
            ("s", Arc::new(texts) as ArrayRef, true),
        ])
        .unwrap()
    };
    let batches = [batch(0, 5_000), batch(5_000, 3_000), batch(8_000, 100_000), batch(108_000, 10)];
    let schema = batches[0].schema();
    let want = concat_batches(&schema, &batches).unwrap();
    for (layout, n_workers) in [(IpcLayout::File, 1), (IpcLayout::File, 2), (IpcLayout::Stream, 1)] {
        let path = folder.path().join("out");
        let memory = Memory::with_governed(70 << 20, 2);
        let cx = contexts(&memory, 1).remove(0);
        let cx = QueryContext { memory: cx.memory, pages: cx.pages, cancel: cx.cancel };
        let destination = Destination::to(OutputFile::create_on(Disk::real(), &path).unwrap());
        let sink = IpcSink::new(destination, schema.clone(), layout, true, &cx);
        write(&sink, &batches, 2, &memory, n_workers).unwrap();
        let n_bytes = std::fs::metadata(&path).unwrap().len();
        let plain = want.get_array_memory_size() as u64;
        match layout {
            IpcLayout::File => assert!(n_bytes * 3 / 2 < plain, "{n_bytes} of {plain}"),
            IpcLayout::Stream => assert!(n_bytes * 3 > plain * 2, "{n_bytes} of {plain}"),
        }
        assert_eq!(read_by_library(&path, layout), want);
        let table = IpcTable::open(std::slice::from_ref(&path), &memory).unwrap();
        assert_eq!(rows(&table.schema(), &scan(&table, everything(&table), &memory, 2).unwrap()), want);
    }
}

fn sorted(batch: &RecordBatch) -> RecordBatch {
    let order = arrow::compute::sort_to_indices(batch.column(0), None, None).unwrap();
    arrow::compute::take_record_batch(batch, &order).unwrap()
}

#[test]
fn a_failing_disk_is_an_error_and_leaves_the_old_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.arrow");
    let batches = numbered(6, 300);
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
        std::fs::write(&path, "old").unwrap();
        for n in 1.. {
            let disk = Disk::faulty(n, fault);
            let memory = Memory::with_governed(8 << 20, 2);
            let written = sink(&path, disk.clone(), IpcLayout::File, true, &memory)
                .and_then(|sink| write(&sink, &batches, 1, &memory, 2));
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the target is there");
            if disk.calls() < n {
                written.unwrap();
                break;
            }
            let is_old = std::fs::read(&path).unwrap() == b"old";
            match written {
                Ok(()) => assert!(!is_old),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disk, "{error}"),
            }
            if !is_old {
                read_by_library(&path, IpcLayout::File);
                std::fs::write(&path, "old").unwrap();
            }
        }
    }
}

#[test]
fn many_files_are_one_table() {
    let folder = TempDir::new().unwrap();
    let mut want: HashMap<i64, usize> = HashMap::new();
    let paths: Vec<PathBuf> = (0..50i64)
        .map(|n| {
            let path = folder.path().join(format!("{n:02}.arrow"));
            let batch =
                RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![n; 3])) as ArrayRef)]).unwrap();
            write_file(&path, &[batch.clone(), batch], n % 2 == 0);
            want.insert(n, 6);
            path
        })
        .collect();
    let memory = memory();
    let table = IpcTable::open(&paths, &memory).unwrap();
    for n_workers in [1, 2, 8] {
        let mut found: HashMap<i64, usize> = HashMap::new();
        for batch in scan(&table, everything(&table), &memory, n_workers).unwrap() {
            let n = batch.data.column(0).as_primitive::<Int64Type>();
            n.values().iter().for_each(|n| *found.entry(*n).or_default() += 1);
        }
        assert_eq!(found, want);
    }
}

#[test]
fn refused_memory_is_an_error_and_never_a_lost_row() {
    let folder = TempDir::new().unwrap();
    for is_stream in [false, true] {
        let path = folder.path().join("a");
        write_file(&path, &with_one_dictionary(&numbered(5, 400)), is_stream);
        crate::io::testing::check_refusals(2000, |memory| {
            Ok(Arc::new(IpcTable::open(std::slice::from_ref(&path), memory)?))
        });
    }
}
