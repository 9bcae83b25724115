//! Encoding batches into the column chunks of one row group.
//!
//! Memory: encoded pages and the encoders' own buffers, under a reservation that grows before a batch is taken and is
//! corrected after it. Small budgets mean small row groups, small pages and small dictionaries. A compressor holds more than
//! the page it compresses, so when there is no memory for one a column, a row group is collected first and then encoded
//! column by column.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, ArrowWriterOptions,
    compute_leaves,
};
use parquet::basic::{Compression, PageType, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;

use super::input::from_parquet;
use super::row_group::total_row_bytes;
use crate::error::{Error, Result};
use crate::io::OutputFile;
use crate::memory::{Memory, Reservation};

/// How a Parquet file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParquetCompression {
    /// Zstandard at a level from 1 to 22.
    Zstd(i32),
    /// Snappy: larger files, about twice as fast to write.
    Snappy,
    /// LZ4 without framing.
    Lz4,
    /// As encoded.
    None,
}

/// The most rows that a row group may be asked to have: what its header can say of one page.
pub const ROW_GROUP_ROWS_MAX: u64 = 1 << 30;

/// How a Parquet file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetSinkOptions {
    /// The codec of the pages.
    pub compression: ParquetCompression,
    /// The most rows of a row group. Row groups end earlier when their bytes reach what memory allows.
    pub row_group_rows: usize,
    /// Whether equal rows in an order that is kept give equal bytes in every run at the same budget and thread count: row
    /// groups and pages end at the same rows. Costs a copy of the rows, and tries dictionaries in every row group.
    pub repeatable: bool,
}

impl Default for ParquetSinkOptions {
    /// Zstandard level 1, row groups of up to 1,048,576 rows.
    fn default() -> Self {
        ParquetSinkOptions { compression: ParquetCompression::Zstd(1), row_group_rows: 1 << 20, repeatable: false }
    }
}

impl ParquetCompression {
    /// What one compressor holds, measured on pages of up to 1 MiB.
    fn context_bytes(self) -> u64 {
        match self {
            ParquetCompression::Zstd(..=2) => 704 << 10,
            ParquetCompression::Zstd(..=5) => 2 << 20,
            ParquetCompression::Zstd(..=9) => 5 << 20,
            ParquetCompression::Zstd(..=15) => 16 << 20,
            ParquetCompression::Zstd(_) => 32 << 20,
            ParquetCompression::Snappy | ParquetCompression::Lz4 => 64 << 10,
            ParquetCompression::None => 0,
        }
    }

    fn codec(self) -> Result<Compression> {
        Ok(match self {
            ParquetCompression::Zstd(level) => {
                let level = ZstdLevel::try_new(level)
                    .map_err(|_| Error::usage(format!("{level} is not a zstd level")).with_hint("from 1 to 22"))?;
                Compression::ZSTD(level)
            }
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::Lz4 => Compression::LZ4_RAW,
            ParquetCompression::None => Compression::UNCOMPRESSED,
        })
    }
}

/// Encoded bytes of a row group. Larger ones make no query faster.
const MAX_GROUP_BYTES: u64 = 64 << 20;
/// Smaller row groups cost more in the footer than they are worth.
const MIN_GROUP_BYTES: u64 = 1 << 20;
/// Part of the governed memory that all row groups under construction take together.
const GROUPS_SHARE: u64 = 4;
/// The largest dictionary of a column. What does not fit a cache costs more to look up than it saves.
const MAX_DICTIONARY_BYTES: usize = 512 << 10;
/// Below this much governed memory, pages have no index of their own: it would stay in memory until the file is complete.
const PAGE_INDEX_FROM_GOVERNED: u64 = 256 << 20;

/// The same with a distance that what is governed never differs by, where every run is to give the same bytes.
const PAGE_INDEX_FROM_BUDGET: u64 = 384 << 20;
/// Part of the budget that all row groups under construction take, where every run is to give the same bytes.
const BUDGET_SHARE: u64 = 8;
/// The most rows that are encoded at once then.
const MAX_PIECE_ROWS: u64 = 8192;
/// What a text takes, about.
const TEXT_BYTES: usize = 24;

/// What every row group of a file has in common.
pub(super) struct Encoding {
    factory: Mutex<ArrowRowGroupWriterFactory>,
    /// Leaf columns whose values are written plainly, because an earlier row group had too many for a dictionary.
    plain: Mutex<BTreeSet<usize>>,
    properties: WriterProperties,
    schema: SchemaRef,
    fields: Vec<Field>,
    /// Encoded bytes at which a row group ends.
    pub(super) group_bytes: u64,
    /// Rows at which a row group ends.
    pub(super) group_rows: usize,
    /// Row groups that may be under construction at once.
    pub(super) max_builders: usize,
    /// What the compressors of one row group hold from the first page on.
    codec_bytes: u64,
    /// What encoding a single column holds.
    column_bytes: u64,
    /// Rows of the batches that are encoded, where every run is to give the same bytes.
    pub(super) piece_rows: Option<usize>,
    /// Whether row groups are encoded column by column, because their compressors would take too much.
    pub(super) by_column: bool,
    memory: Memory,
}

/// A file under construction: row groups are appended in order.
pub(super) type FileWriter = SerializedFileWriter<OutputFile>;

impl Encoding {
    /// Begins a file in `output`.
    pub(super) fn begin(
        output: OutputFile,
        schema: &SchemaRef,
        options: &ParquetSinkOptions,
        memory: &Memory,
    ) -> Result<(FileWriter, Self)> {
        check_types(schema)?;
        let threads = memory.sizes().threads as u64;
        let share = match options.repeatable {
            // What is governed differs from run to run, as the process holds more or less when it starts.
            true => (memory.budget().bytes() / BUDGET_SHARE).min(memory.governed_bytes() / GROUPS_SHARE),
            false => memory.governed_bytes() / GROUPS_SHARE,
        };
        let group_bytes = (share / threads).clamp(MIN_GROUP_BYTES, MAX_GROUP_BYTES);
        let n_columns = schema.fields().len().max(1) as u64;
        let page_bytes = (group_bytes / n_columns / 4).clamp(8 << 10, 1 << 20) as usize;
        let has_room = memory.governed_bytes() >= PAGE_INDEX_FROM_GOVERNED
            && (!options.repeatable || memory.budget().bytes() >= PAGE_INDEX_FROM_BUDGET);
        let statistics = match has_room {
            true => EnabledStatistics::Page,
            false => EnabledStatistics::Chunk,
        };
        let properties = WriterProperties::builder()
            .set_compression(options.compression.codec()?)
            .set_data_page_size_limit(page_bytes)
            .set_dictionary_page_size_limit(page_bytes.min(MAX_DICTIONARY_BYTES))
            .set_statistics_enabled(statistics)
            .set_offset_index_disabled(statistics != EnabledStatistics::Page)
            .set_created_by(concat!("brimful version ", env!("CARGO_PKG_VERSION")).into())
            .build();
        let target = output.target().to_path_buf();
        let options_of_writer = ArrowWriterOptions::new().with_properties(properties.clone());
        let schema = Arc::new(Schema::new(schema.fields().clone()));
        let writer = ArrowWriter::try_new_with_options(output, schema.clone(), options_of_writer)
            .and_then(ArrowWriter::into_serialized_writer);
        let (file, factory) = writer.map_err(|error| write_failed(error, &target))?;
        let schema_of_pieces = schema.clone();
        let fields = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        let n_leaves = file.schema_descr().num_columns() as u64;
        let context_bytes = options.compression.context_bytes();
        let codec_bytes = n_leaves * context_bytes;
        let one_builder = codec_bytes + n_leaves * 2 * page_bytes as u64;
        let affordable = memory.governed_bytes() / GROUPS_SHARE / one_builder.max(1);
        let encoding = Encoding {
            factory: Mutex::new(factory),
            plain: Mutex::default(),
            properties,
            schema,
            fields,
            group_bytes,
            group_rows: options.row_group_rows.max(1),
            max_builders: affordable.clamp(1, threads) as usize,
            codec_bytes,
            column_bytes: context_bytes + 2 * page_bytes as u64,
            piece_rows: options.repeatable.then(|| piece_rows(&schema_of_pieces, memory)),
            by_column: affordable == 0,
            memory: memory.clone(),
        };
        Ok((file, encoding))
    }

    /// One batch of the declared types of `batches`, so that what is encoded does not depend on how they were cut.
    pub(super) fn piece_of(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.fields.len());
        for (idx, field) in self.fields.iter().enumerate() {
            let mut parts: Vec<ArrayRef> = Vec::with_capacity(batches.len());
            for batch in batches {
                let part = batch.column(idx);
                parts.push(match part.data_type() == field.data_type() {
                    true => part.clone(),
                    false => arrow::compute::cast(part, field.data_type())?,
                });
            }
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            columns.push(arrow::compute::concat(&parts)?);
        }
        let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// An empty row group.
    pub(super) fn row_group(&self) -> Result<RowGroupBuilder> {
        let mut reserved = self.memory.reserve("Output");
        reserved.try_grow(self.codec_bytes)?;
        let writers = lock(&self.factory).create_column_writers(0).map_err(encoding_failed)?;
        Ok(RowGroupBuilder { writers, n_rows: 0, reserved })
    }

    /// For rows that others have paid for.
    pub(super) fn nothing_reserved(&self) -> Reservation {
        self.memory.reserve("Output")
    }

    /// Encodes the rows of a whole row group, which `collected` pays for, in as little memory as there can be.
    pub(super) fn encode_by_column(
        &self,
        batches: Vec<RecordBatch>,
        mut collected: Reservation,
    ) -> Result<EncodedRowGroup> {
        let mut reserved = self.memory.reserve("Output");
        let mut writers = lock(&self.factory).create_column_writers(0).map_err(encoding_failed)?.into_iter();
        let mut chunks = Vec::new();
        let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
        let columns: Vec<Vec<ArrayRef>> =
            (0..self.fields.len()).map(|idx| batches.iter().map(|batch| batch.column(idx).clone()).collect()).collect();
        drop(batches);
        for (field, arrays) in self.fields.iter().zip(columns) {
            let mut of_field: Vec<ArrowColumnWriter> = Vec::new();
            let encoded = reserved.bytes();
            for array in &arrays {
                for (idx, leaf) in leaves(field, array)?.iter().enumerate() {
                    if idx == of_field.len() {
                        reserved.try_grow(self.column_bytes)?;
                        of_field.extend(writers.next());
                    }
                    let writer = of_field.get_mut(idx).ok_or_else(too_many_columns)?;
                    writer.write(leaf).map_err(encoding_failed)?;
                }
            }
            collected.shrink((total_row_bytes(&arrays) as u64).min(collected.bytes()));
            drop(arrays);
            let closed = of_field.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>();
            let closed = closed.map_err(encoding_failed)?;
            let bytes: u64 = closed.iter().map(|chunk| chunk.close().bytes_written).sum();
            reserved.shrink(reserved.bytes() - encoded);
            // What is held already cannot be refused any more.
            let _ = reserved.try_grow(bytes);
            chunks.extend(closed);
        }
        self.learn(&chunks)?;
        Ok(EncodedRowGroup { chunks, n_rows, reserved })
    }

    /// Looks which columns of a complete row group outgrew their dictionaries, and tries none for them from now on.
    fn learn(&self, chunks: &[ArrowColumnChunk]) -> Result<()> {
        if self.piece_rows.is_some() {
            // Which row groups are encoded before this one was looked at differs from run to run.
            return Ok(());
        }
        let outgrew = |chunk: &ColumnChunkMetaData| {
            let plain_pages = chunk.page_encoding_stats().into_iter().flatten();
            let is_plain = |stats: &PageEncodingStats| {
                stats.page_type != PageType::DICTIONARY_PAGE && stats.encoding == parquet::basic::Encoding::PLAIN
            };
            chunk.dictionary_page_offset().is_some() && plain_pages.into_iter().any(is_plain)
        };
        let mut plain = lock(&self.plain);
        let n_before = plain.len();
        plain.extend((0..chunks.len()).filter(|&leaf| outgrew(&chunks[leaf].close().metadata)));
        if plain.len() == n_before {
            return Ok(());
        }
        let paths = plain.iter().map(|&leaf| chunks[leaf].close().metadata.column_path().clone());
        let properties = paths.fold(self.properties.clone().into_builder(), |properties, path| {
            properties.set_column_dictionary_enabled(path, false)
        });
        let options = ArrowWriterOptions::new().with_properties(properties.build());
        let nowhere = ArrowWriter::try_new_with_options(std::io::sink(), self.schema.clone(), options);
        let (_, factory) = nowhere.and_then(ArrowWriter::into_serialized_writer).map_err(encoding_failed)?;
        *lock(&self.factory) = factory;
        Ok(())
    }
}

/// As many rows as a batch may have bytes for.
fn piece_rows(schema: &Schema, memory: &Memory) -> usize {
    let widths = schema.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(TEXT_BYTES));
    let row_bytes = widths.sum::<usize>().max(1) as u64;
    let n_rows = (memory.sizes().batch_bytes as u64 / row_bytes).clamp(256, MAX_PIECE_ROWS);
    1 << n_rows.ilog2()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A row group under construction.
pub(super) struct RowGroupBuilder {
    writers: Vec<ArrowColumnWriter>,
    n_rows: usize,
    reserved: Reservation,
}

/// A complete row group that is not in the file yet.
pub(super) struct EncodedRowGroup {
    pub(super) chunks: Vec<ArrowColumnChunk>,
    pub(super) n_rows: usize,
    pub(super) reserved: Reservation,
}

impl RowGroupBuilder {
    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Makes room for `bytes` of rows.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<(), crate::memory::OverBudget> {
        self.reserved.try_grow(bytes)
    }

    /// Whether the row group is as large as it should be.
    pub(super) fn is_full(&self, encoding: &Encoding) -> bool {
        let bytes: usize = self.writers.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum();
        self.n_rows >= encoding.group_rows || bytes as u64 >= encoding.group_bytes
    }

    /// Encodes `batch`; its columns may be dictionaries of the declared types.
    pub(super) fn write(&mut self, encoding: &Encoding, batch: &RecordBatch) -> Result<()> {
        let mut writers = self.writers.iter_mut();
        for (field, array) in encoding.fields.iter().zip(batch.columns()) {
            for leaf in leaves(field, array)? {
                let writer = writers.next().ok_or_else(too_many_columns)?;
                writer.write(&leaf).map_err(encoding_failed)?;
            }
        }
        self.n_rows += batch.num_rows();
        let held: usize = self.writers.iter().map(ArrowColumnWriter::memory_size).sum();
        // What is held already cannot be refused any more; the next batch is.
        let _ = self.reserved.try_resize(encoding.codec_bytes + held as u64);
        Ok(())
    }

    /// Closes the column chunks.
    pub(super) fn finish(self, encoding: &Encoding) -> Result<EncodedRowGroup> {
        let RowGroupBuilder { writers, n_rows, mut reserved } = self;
        let chunks = writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>();
        let chunks = chunks.map_err(encoding_failed)?;
        encoding.learn(&chunks)?;
        let bytes: u64 = chunks.iter().map(|chunk| chunk.close().bytes_written).sum();
        reserved.shrink(reserved.bytes().saturating_sub(bytes));
        Ok(EncodedRowGroup { chunks, n_rows, reserved })
    }
}

/// The leaf columns of a column, which may be a dictionary of its declared type.
fn leaves(field: &Field, array: &ArrayRef) -> Result<Vec<ArrowLeafColumn>> {
    let is_nested_dictionary = matches!(array.data_type(), DataType::Dictionary(_, value) if value.is_nested());
    let array = match is_nested_dictionary {
        true => &arrow::compute::cast(array, field.data_type())?,
        false => array,
    };
    compute_leaves(field, array).map_err(encoding_failed)
}

fn too_many_columns() -> Error {
    Error::query("a batch has too many columns")
}

/// A batch or type that Parquet cannot hold.
fn encoding_failed(error: ParquetError) -> Error {
    from_parquet(error, |what| Error::query(format!("cannot write this as Parquet: {what}")))
}

/// Refuses what the format has no type for, before anything is computed.
fn check_types(schema: &SchemaRef) -> Result<()> {
    let is_interval = |field: &&FieldRef| matches!(field.data_type(), DataType::Interval(_));
    match schema.fields().iter().find(is_interval) {
        None => Ok(()),
        Some(field) => {
            Err(Error::usage(format!("column {:?} is an interval, which Parquet files do not hold", field.name()))
                .with_hint("write its seconds, extract(epoch FROM x), or its text, CAST(x AS VARCHAR)"))
        }
    }
}

/// A failed write of the file.
pub(super) fn write_failed(error: ParquetError, target: &std::path::Path) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => crate::io::output_file::write_error(target, &error),
            Err(other) => encoding_failed(ParquetError::External(other)),
        },
        other => encoding_failed(other),
    }
}
