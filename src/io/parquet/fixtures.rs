//! For tests: columns of every type, files made of them, and a scan on several threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::{ParquetOptions, ParquetTable};
pub(crate) use crate::io::testing::{contexts, everything, rows, scan};
use crate::memory::Memory;

/// A small generator of numbers that look random.
#[derive(Clone)]
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) ^ (self.0 >> 13)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

fn text(numbers: &mut Numbers) -> String {
    let length = numbers.below(12) as usize;
    "abcdefghijklµ".chars().cycle().skip(numbers.below(13) as usize).take(length).collect()
}

/// `n_rows` values of `data_type`, about an eighth of them NULL where `nullable`.
pub(crate) fn random_array(data_type: &DataType, n_rows: usize, nullable: bool, numbers: &mut Numbers) -> ArrayRef {
    use DataType as T;
    let validity: Vec<bool> = (0..n_rows).map(|_| !nullable || numbers.below(8) > 0).collect();
    let nulls = nullable.then(|| NullBuffer::from(validity.clone()));
    match data_type {
        T::Null => Arc::new(NullArray::new(n_rows)),
        T::Boolean => Arc::new(validity.iter().map(|ok| ok.then(|| numbers.below(2) == 0)).collect::<BooleanArray>()),
        T::Utf8 => Arc::new(validity.iter().map(|ok| ok.then(|| text(numbers))).collect::<StringArray>()),
        T::Binary => {
            Arc::new(validity.iter().map(|ok| ok.then(|| text(numbers).into_bytes())).collect::<BinaryArray>())
        }
        T::FixedSizeBinary(width) => {
            let values = validity.iter().map(|ok| ok.then(|| vec![numbers.below(256) as u8; *width as usize]));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *width).unwrap())
        }
        T::Struct(fields) => {
            let children = fields.iter().map(|f| random_array(f.data_type(), n_rows, f.is_nullable(), numbers));
            Arc::new(StructArray::new(fields.clone(), children.collect(), nulls))
        }
        T::List(item) => {
            let lengths = validity.iter().map(|ok| if *ok { numbers.below(4) as usize } else { 0 });
            let offsets = OffsetBuffer::from_lengths(lengths.collect::<Vec<_>>());
            let n_items = *offsets.last().unwrap() as usize;
            let items = random_array(item.data_type(), n_items, item.is_nullable(), numbers);
            Arc::new(ListArray::new(item.clone(), offsets, items, nulls))
        }
        T::FixedSizeList(item, size) => {
            let items = random_array(item.data_type(), n_rows * *size as usize, item.is_nullable(), numbers);
            Arc::new(FixedSizeListArray::new(item.clone(), *size, items, nulls))
        }
        T::Map(entries, sorted) => {
            let lengths = validity.iter().map(|ok| if *ok { numbers.below(3) as usize } else { 0 });
            let offsets = OffsetBuffer::from_lengths(lengths.collect::<Vec<_>>());
            let n_items = *offsets.last().unwrap() as usize;
            let items = random_array(entries.data_type(), n_items, false, numbers);
            Arc::new(MapArray::new(entries.clone(), offsets, items.as_struct().clone(), nulls, *sorted))
        }
        T::Decimal128(_, _) | T::Decimal256(_, _) | T::Decimal32(_, _) | T::Decimal64(_, _) => {
            let values = validity.iter().map(|ok| ok.then(|| numbers.below(1000) as i64 - 500));
            cast(&values.collect::<Int64Array>(), data_type).unwrap()
        }
        T::LargeUtf8 | T::Utf8View => cast(&random_array(&T::Utf8, n_rows, nullable, numbers), data_type).unwrap(),
        T::LargeBinary | T::BinaryView => {
            cast(&random_array(&T::Binary, n_rows, nullable, numbers), data_type).unwrap()
        }
        T::Dictionary(_, value) => {
            // Few distinct values, as dictionaries are for.
            let distinct = random_array(value, 7, false, numbers);
            let keys = validity.iter().map(|ok| ok.then(|| numbers.below(7) as i32));
            let array = DictionaryArray::<Int32Type>::new(keys.collect(), distinct);
            cast(&array, data_type).unwrap()
        }
        T::Time32(_) | T::Date32 => {
            let values = validity.iter().map(|ok| ok.then(|| numbers.below(80_000) as i32));
            cast(&values.collect::<Int32Array>(), data_type).unwrap()
        }
        T::Date64 => {
            let values = validity.iter().map(|ok| ok.then(|| numbers.below(80_000) as i64 * 86_400_000));
            cast(&values.collect::<Int64Array>(), data_type).unwrap()
        }
        T::Float16 | T::Float32 | T::Float64 => {
            let values = validity.iter().map(|ok| ok.then(|| numbers.below(1000) as f64 / 8.0));
            cast(&values.collect::<Float64Array>(), data_type).unwrap()
        }
        T::Int8 | T::UInt8 => {
            let values = validity.iter().map(|ok| ok.then(|| numbers.below(100) as i64));
            cast(&values.collect::<Int64Array>(), data_type).unwrap()
        }
        _ => {
            let values = validity.iter().map(|ok| ok.then(|| numbers.below(30_000) as i64));
            cast(&values.collect::<Int64Array>(), data_type).unwrap()
        }
    }
}

/// A batch of the given columns.
pub(crate) fn random_batch(schema: &SchemaRef, n_rows: usize, seed: u64) -> RecordBatch {
    let mut numbers = Numbers(seed);
    let columns = schema.fields().iter();
    let columns = columns.map(|f| random_array(f.data_type(), n_rows, f.is_nullable(), &mut numbers)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap()
}

/// One column of every type, flat and nested, nullable and not.
pub(crate) fn every_type() -> SchemaRef {
    use DataType as T;
    let list = |item: DataType, nullable| T::List(Arc::new(Field::new("element", item, nullable)));
    let pair = |a: DataType, b: DataType| T::Struct(vec![Field::new("a", a, true), Field::new("b", b, false)].into());
    let entries = pair(T::Utf8, T::Int64);
    let T::Struct(entry_fields) = &entries else { unreachable!() };
    let key = entry_fields[0].as_ref().clone().with_name("key").with_nullable(false);
    let value = entry_fields[1].as_ref().clone().with_name("value").with_nullable(true);
    let map = T::Map(Arc::new(Field::new("key_value", T::Struct(vec![key, value].into()), false)), false);
    let flat = [
        T::Null,
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Float64,
        T::Date32,
        T::Date64,
        T::Time32(TimeUnit::Second),
        T::Time32(TimeUnit::Millisecond),
        T::Time64(TimeUnit::Microsecond),
        T::Time64(TimeUnit::Nanosecond),
        T::Timestamp(TimeUnit::Second, None),
        T::Timestamp(TimeUnit::Millisecond, None),
        T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())),
        T::Duration(TimeUnit::Second),
        T::Decimal32(7, 2),
        T::Decimal64(15, 3),
        T::Decimal128(20, 4),
        T::Decimal256(50, 1),
        T::Utf8,
        T::LargeUtf8,
        T::Utf8View,
        T::Binary,
        T::LargeBinary,
        T::BinaryView,
        T::FixedSizeBinary(5),
        T::Dictionary(Box::new(T::Int8), Box::new(T::Utf8)),
        T::Dictionary(Box::new(T::Int32), Box::new(T::Int64)),
    ];
    let nested = [
        list(T::Int32, true),
        list(T::Utf8, false),
        list(list(T::Int64, true), true),
        pair(T::Int32, T::Utf8),
        pair(list(T::Int32, true), pair(T::Utf8, T::Int32)),
        list(pair(T::Utf8, list(T::Int8, true)), true),
        map.clone(),
        list(map, true),
        T::FixedSizeList(Arc::new(Field::new("element", T::Float32, true)), 3),
    ];
    let fields = flat.into_iter().chain(nested).enumerate().flat_map(|(idx, data_type)| {
        let may_be_required = data_type != T::Null;
        let optional = Field::new(format!("optional_{idx}"), data_type.clone(), true);
        let required = may_be_required.then(|| Field::new(format!("required_{idx}"), data_type, false));
        [Some(optional), required].into_iter().flatten()
    });
    Arc::new(Schema::new(fields.collect::<Fields>()))
}

/// Writes `batches` as one file.
pub(crate) fn write_file(path: &Path, batches: &[RecordBatch], properties: WriterProperties) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

/// Opens files with generous memory.
pub(crate) fn open(paths: &[PathBuf]) -> (ParquetTable, Memory) {
    let memory = Memory::with_governed(256 << 20, 8);
    (ParquetTable::open(paths, ParquetOptions::default(), &memory).unwrap(), memory)
}
