//! Parquet files as a table: schema, statistics, and how a scan is prepared.
//!
//! Memory: every footer is read for the schema, but only those of a few files stay in memory; the others are read again
//! when their turn comes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};

use super::chunk::{PageLimits, chunk_range};
use super::footer::OpenFile;
use super::morsels::{Files, MorselQueue};
use super::narrowing::BoundFilter;
use super::pruning::Pruning;
use super::row_group::WantedColumn;
use super::scan::{ParquetSource, ScanPlan};
use super::statistics::StatisticsOfFiles;
use crate::error::{Error, Result};
use crate::io::TableFacts;
use crate::io::drift::UnitedSchema;
use crate::io::table::{RowFilter, Scan, ScanRequest, Table, TableStatistics};
use crate::memory::Memory;

/// How Parquet files are read.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    /// The largest page that is accepted, before or after decompression (`--max-page-bytes`).
    pub max_page_bytes: usize,
}

impl Default for ParquetOptions {
    /// Pages up to 1 GiB; what a page takes is under the budget anyway.
    fn default() -> Self {
        ParquetOptions { max_page_bytes: 1 << 30 }
    }
}

/// Of more files than this, footers are not read a second time for statistics of columns. Reading a thousand takes about
/// 0.2 s.
const MAX_FILES_WITH_STATISTICS: usize = 1024;
/// Footers stay in memory while they are at most this part of the governed memory together.
const KEPT_FOOTERS_SHARE: u64 = 32;
/// Rows of a morsel: enough that the pages cut at its ends do not matter.
const MAX_MORSEL_ROWS: u64 = 1 << 20;
/// Fewer rows than this are not worth handing out.
const MIN_MORSEL_ROWS: u64 = 1 << 17;
/// Workers that read at the same time take at most this part of the governed memory, as far as that can be told.
const READERS_SHARE: u64 = 2;
/// Windows of all columns of all workers take at most this part of the governed memory.
const WINDOWS_SHARE: u64 = 8;

/// One or more Parquet files as one table.
pub struct ParquetTable {
    files: Arc<Files>,
    schema: SchemaRef,
    statistics: TableStatistics,
    options: ParquetOptions,
    memory: Memory,
    read_bytes: Arc<AtomicU64>,
}

impl ParquetTable {
    /// Opens `paths` as one table, columns united by name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for a file that is not Parquet, is damaged, or does not fit the others.
    pub fn open(paths: &[PathBuf], options: ParquetOptions, memory: &Memory) -> Result<Self> {
        if paths.is_empty() {
            return Err(Error::usage("no Parquet file to read"));
        }
        let read_bytes = Arc::new(AtomicU64::new(0));
        let n_bytes = paths.iter().map(|path| file_bytes(path)).collect::<Result<Vec<_>>>()?;
        let mut schemas = UnitedSchema::default();
        let mut open: Vec<Option<Arc<OpenFile>>> = vec![None; paths.len()];
        let (mut kept_bytes, mut n_rows) = (0, 0);
        for (idx, path) in paths.iter().enumerate() {
            let file = OpenFile::open(path, &read_bytes, memory)?;
            schemas.add(file.schema.columns.iter().map(|column| &column.field), path)?;
            n_rows += file.n_rows();
            kept_bytes += file.metadata.memory_size() as u64;
            if kept_bytes <= memory.governed_bytes() / KEPT_FOOTERS_SHARE {
                open[idx] = Some(Arc::new(file));
            }
        }
        let schema = schemas.finish();
        let file_bytes = n_bytes.iter().sum();
        let files = Arc::new(Files { paths: paths.to_vec(), n_bytes, open });
        let statistics = match paths.len() <= MAX_FILES_WITH_STATISTICS {
            true => statistics_of(&files, &schema, file_bytes, &read_bytes, memory)?,
            false => TableStatistics { n_rows: Some(n_rows), file_bytes, columns: Vec::new() },
        };
        Ok(ParquetTable { files, schema, statistics, options, memory: memory.clone(), read_bytes })
    }

    fn limits(&self, n_columns: usize) -> PageLimits {
        let sizes = self.memory.sizes();
        let share = self.memory.governed_bytes() / WINDOWS_SHARE / sizes.threads as u64 / n_columns.max(1) as u64;
        let window_bytes = (share as usize).clamp(16 * 1024, sizes.io_block_bytes);
        PageLimits { window_bytes, max_page_bytes: self.options.max_page_bytes }
    }

    fn wanted(&self, request: &ScanRequest, column: usize) -> WantedColumn {
        let field = self.schema.field(column);
        let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::Binary);
        // A filter over several columns needs them row by row.
        let alone = |filter: &Arc<dyn RowFilter>| filter.columns().len() == 1;
        let mut filters = request.filters.iter().filter(|filter| filter.columns().contains(&column)).peekable();
        let is_filtered = filters.peek().is_some();
        let may_keep_dictionary = is_text && filters.all(alone);
        WantedColumn {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            may_be_dictionary: may_keep_dictionary && request.dictionary_columns.contains(&column),
            filters_by_dictionary: may_keep_dictionary && is_filtered,
        }
    }

    fn projected(&self, columns: &[usize]) -> Result<SchemaRef> {
        let fields = columns.iter().map(|&column| match self.schema.fields().get(column) {
            Some(field) => Ok(field.clone()),
            None => Err(Error::query(format!("a scan asks for column {column}, which the table does not have"))),
        });
        Ok(Arc::new(Schema::new(fields.collect::<Result<Fields>>()?)))
    }

    /// The columns to read, filter columns first, as indices into the table's schema.
    fn columns_to_read(request: &ScanRequest) -> Vec<usize> {
        let mut columns: Vec<usize> = Vec::new();
        let add = |columns: &mut Vec<usize>, column: usize| {
            if !columns.contains(&column) {
                columns.push(column);
            }
        };
        request.filters.iter().flat_map(|filter| filter.columns()).for_each(|&column| add(&mut columns, column));
        request.projection.iter().for_each(|&column| add(&mut columns, column));
        columns
    }

    /// Rows of a morsel.
    fn morsel_rows(&self, request: &ScanRequest) -> u64 {
        let sizes = self.memory.sizes();
        if request.in_order {
            return 4 * sizes.batch_rows as u64;
        }
        match self.statistics.n_rows {
            Some(n_rows) => (n_rows / (4 * sizes.threads as u64)).clamp(MIN_MORSEL_ROWS, MAX_MORSEL_ROWS),
            None => MAX_MORSEL_ROWS,
        }
    }

    /// Bytes that the scan will read, as far as footers are known, and bytes that one worker's pages take.
    fn expected_bytes(&self, wanted: &[WantedColumn], limits: PageLimits) -> (u64, u64) {
        let (mut total, mut largest) = (0, 0);
        for (idx, file) in self.files.open.iter().enumerate() {
            let Some(file) = file else {
                total += self.files.n_bytes[idx];
                continue;
            };
            for group in file.metadata.row_groups() {
                let mut slot = 0;
                for column in wanted.iter().filter_map(|wanted| file.column(&wanted.name)) {
                    let schema = file.metadata.file_metadata().schema_descr();
                    let leaves =
                        (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == column.root);
                    for chunk in leaves.map(|leaf| group.column(leaf)) {
                        total += chunk_range(&file.input, chunk).map_or(0, |range| range.end - range.start);
                        let page_bytes = (chunk.uncompressed_size().max(0) as u64).min(1 << 20);
                        let window_bytes = (chunk.compressed_size().max(0) as u64).min(limits.window_bytes as u64);
                        let n_pages = if chunk.dictionary_page_offset().is_some() { 3 } else { 1 };
                        slot += window_bytes + n_pages * page_bytes;
                    }
                }
                largest = slot.max(largest);
            }
        }
        (total, largest)
    }
}

fn statistics_of(
    files: &Files,
    schema: &SchemaRef,
    file_bytes: u64,
    read_bytes: &Arc<AtomicU64>,
    memory: &Memory,
) -> Result<TableStatistics> {
    let mut known = StatisticsOfFiles::new(schema);
    for (path, open) in files.paths.iter().zip(&files.open) {
        match open {
            Some(file) => known.add(file),
            None => known.add(&OpenFile::open(path, read_bytes, memory)?),
        }
    }
    Ok(known.finish(file_bytes))
}

fn file_bytes(path: &Path) -> Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.len()).map_err(|error| Error::read_failed(path, &error))
}

impl Table for ParquetTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        self.statistics.clone()
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        let columns = Self::columns_to_read(&request);
        self.projected(&columns)?;
        let wanted: Vec<_> = columns.iter().map(|&column| self.wanted(&request, column)).collect();
        let place = |column: &usize| columns.iter().position(|known| known == column);
        let filters = request.filters.iter().map(|filter| {
            let schema = self.projected(filter.columns())?;
            let columns = filter.columns().iter().filter_map(place).collect();
            Ok(BoundFilter { filter: filter.clone(), columns, schema })
        });
        let filters = filters.collect::<Result<Vec<_>>>()?;
        let limits = self.limits(wanted.len());
        let (total_bytes, bytes_per_worker) = self.expected_bytes(&wanted, limits);
        let pruning = Arc::new(Pruning::new(&self.schema, &request));
        let plan = Arc::new(ScanPlan {
            memory: self.memory.clone(),
            limits,
            filters,
            output: request.projection.iter().filter_map(place).collect(),
            schema: self.projected(&request.projection)?,
            wanted,
            pruning: pruning.clone(),
            read_bytes: self.read_bytes.clone(),
            total_bytes,
        });
        let queue = MorselQueue::new(
            self.files.clone(),
            Box::new(move |file, row_group| Ok(pruning.may_match(file, row_group))),
            self.read_bytes.clone(),
            self.memory.clone(),
            self.morsel_rows(&request),
        )
        .of(request.files.clone());
        let affordable = self.memory.governed_bytes() / READERS_SHARE / bytes_per_worker.max(1);
        let places = AtomicUsize::new(affordable.clamp(1, 1 << 16) as usize);
        let source = Arc::new(ParquetSource { plan: plan.clone(), queue: Arc::new(queue), places: Arc::new(places) });
        Ok(Scan { source, report: plan, bytes_per_worker })
    }

    fn describe(&self) -> String {
        match self.files.paths.as_slice() {
            [only] => format!("parquet {}", only.display()),
            [first, ..] => format!("parquet {} and {} more files", first.display(), self.files.paths.len() - 1),
            [] => "parquet".into(),
        }
    }

    fn facts(&self) -> Result<TableFacts> {
        super::facts::facts(&self.files.paths, &self.schema, &self.memory)
    }
}
