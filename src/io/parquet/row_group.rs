//! Reading rows of one row group, forward only: each column moves on by itself and skips what nobody wants.
//!
//! Memory: one set of pages a column, as `chunk` reserves them. Rows that are skipped cost nothing until the next read,
//! and then whole pages are stepped over.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::DataType;
use parquet::arrow::array_reader::ArrayReader;
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;

use super::chunk::{ChunkPages, OneChunk, PageLimits};
use super::columns::{column_reader, first_leaf, row_bytes};
use super::footer::OpenFile;
use super::input::{from_parquet, guarded, into_parquet};
use super::schema::{FileColumn, common_type};
use crate::error::{Error, Result};
use crate::memory::Memory;

/// A column that a scan wants.
#[derive(Debug, Clone)]
pub(super) struct WantedColumn {
    pub(super) name: String,
    /// The table's type.
    pub(super) data_type: DataType,
    /// Whether a dictionary of that type is welcome.
    pub(super) may_be_dictionary: bool,
}

/// The wanted columns of one row group.
pub(super) struct RowGroupReader {
    pub(super) file: Arc<OpenFile>,
    pub(super) row_group: usize,
    /// The next row.
    pub(super) position: u64,
    columns: Vec<Column>,
}

enum Column {
    /// Not in this file: NULL in every row.
    Missing(DataType),
    Present(PresentColumn),
}

struct PresentColumn {
    reader: Box<dyn ArrayReader>,
    name: String,
    /// What the reader makes, and what is wanted of it.
    cast_to: Option<DataType>,
    produced: DataType,
    /// Rows to skip before the next read.
    n_behind: usize,
}

impl RowGroupReader {
    /// Opens the wanted columns of row group `row_group`. Nothing is read yet.
    pub(super) fn open(
        file: &Arc<OpenFile>,
        row_group: usize,
        wanted: &[WantedColumn],
        limits: PageLimits,
        memory: &Memory,
    ) -> Result<Self> {
        let columns = wanted.iter().map(|wanted| match file.column(&wanted.name) {
            Some(column) => PresentColumn::open(file, row_group, column, wanted, limits, memory).map(Column::Present),
            None => Ok(Column::Missing(wanted.data_type.clone())),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RowGroupReader { file: file.clone(), row_group, position: 0, columns })
    }

    /// The type in which column `idx` is produced.
    pub(super) fn data_type(&self, idx: usize) -> &DataType {
        match &self.columns[idx] {
            Column::Missing(data_type) => data_type,
            Column::Present(column) => &column.produced,
        }
    }

    /// The next `n_rows` rows of column `idx`.
    pub(super) fn read(&mut self, idx: usize, n_rows: usize) -> Result<ArrayRef> {
        match &mut self.columns[idx] {
            Column::Missing(data_type) => Ok(new_null_array(data_type, n_rows)),
            Column::Present(column) => column.read_runs(&[Run { n_skip: 0, n_read: n_rows }]),
        }
        .map_err(|failure| self.describe(failure))
    }

    /// Rows of column `idx` in runs, each after a gap, as one array.
    pub(super) fn read_runs(&mut self, idx: usize, runs: &[Run]) -> Result<ArrayRef> {
        match &mut self.columns[idx] {
            Column::Missing(data_type) => Ok(new_null_array(data_type, runs.iter().map(|run| run.n_read).sum())),
            Column::Present(column) => column.read_runs(runs),
        }
        .map_err(|failure| self.describe(failure))
    }

    /// Leaves out the next `n_rows` rows of column `idx`.
    pub(super) fn skip(&mut self, idx: usize, n_rows: usize) {
        if let Column::Present(column) = &mut self.columns[idx] {
            column.n_behind += n_rows;
        }
    }

    /// Moves all columns on to row `row`, which must not lie behind.
    pub(super) fn move_to(&mut self, row: u64) {
        let n_rows = (row - self.position) as usize;
        for idx in 0..self.columns.len() {
            self.skip(idx, n_rows);
        }
        self.position = row;
    }

    fn describe(&self, failure: Failure) -> Error {
        let Failure { column, error } = failure;
        let row_group = self.row_group;
        from_parquet(error, |what| self.file.input.damaged(format!("row group {row_group}, column {column}: {what}")))
    }
}

/// `n_read` rows after `n_skip` rows that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) n_skip: usize,
    pub(super) n_read: usize,
}

struct Failure {
    column: String,
    error: ParquetError,
}

impl PresentColumn {
    fn open(
        file: &Arc<OpenFile>,
        row_group: usize,
        column: &FileColumn,
        wanted: &WantedColumn,
        limits: PageLimits,
        memory: &Memory,
    ) -> Result<Self> {
        let group = file.row_group(row_group);
        let own_type = column.field.data_type();
        check_type(file, wanted, own_type)?;
        let is_dictionary = wanted.may_be_dictionary
            && own_type == &wanted.data_type
            && column.leaf.is_some_and(|leaf| is_dictionary_encoded(group.column(leaf)));
        let read_as = if is_dictionary { dictionary_of(own_type) } else { own_type.clone() };
        let produced = if is_dictionary { read_as.clone() } else { wanted.data_type.clone() };
        let schema = file.metadata.file_metadata().schema_descr();
        let mut open_leaf = |leaf: usize| {
            let pages = ChunkPages::new(&file.input, row_group, group.column(leaf), limits, memory.reserve("Scan"));
            let pages = OneChunk::new(pages.map_err(into_parquet)?);
            Ok(Box::new(pages) as Box<dyn parquet::column::page::PageIterator>)
        };
        let reader = column_reader(schema, column.root, &read_as, &mut open_leaf).map_err(|error| {
            from_parquet(error, |what| file.input.damaged(format!("column {}: {what}", wanted.name)))
        })?;
        let cast_to = (read_as != produced).then(|| produced.clone());
        Ok(PresentColumn { reader, name: wanted.name.clone(), cast_to, produced, n_behind: 0 })
    }

    fn read_runs(&mut self, runs: &[Run]) -> Result<ArrayRef, Failure> {
        guarded(|| self.decode_runs(runs)).map_err(|error| Failure { column: self.name.clone(), error })
    }

    fn decode_runs(&mut self, runs: &[Run]) -> Result<ArrayRef, ParquetError> {
        let mut n_expected = 0;
        for run in runs {
            let n_skip = std::mem::take(&mut self.n_behind) + run.n_skip;
            if n_skip > 0 && self.reader.skip_records(n_skip)? != n_skip {
                return Err(too_few_rows());
            }
            if self.reader.read_records(run.n_read)? != run.n_read {
                return Err(too_few_rows());
            }
            n_expected += run.n_read;
        }
        let array = self.reader.consume_batch()?;
        if array.len() != n_expected {
            return Err(too_few_rows());
        }
        match &self.cast_to {
            Some(data_type) => Ok(arrow::compute::cast(&array, data_type)?),
            None => Ok(array),
        }
    }
}

fn too_few_rows() -> ParquetError {
    ParquetError::General("it has fewer rows than its row group".into())
}

fn check_type(file: &OpenFile, wanted: &WantedColumn, own_type: &DataType) -> Result<()> {
    if common_type(own_type, &wanted.data_type).as_ref() == Some(&wanted.data_type) {
        return Ok(());
    }
    let (name, path) = (&wanted.name, file.input.path().display());
    Err(Error::data(format!("column {name} is {own_type} in {path} but {} in the first file", wanted.data_type))
        .with_hint("read the files separately and cast the column"))
}

fn dictionary_of(value: &DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(value.clone()))
}

/// Whether every data page of the chunk refers to the dictionary. A chunk that fell back to plain values on the way would
/// need a new dictionary for every batch.
pub(super) fn is_dictionary_encoded(chunk: &ColumnChunkMetaData) -> bool {
    let is_dictionary = |mask: &parquet::basic::EncodingMask| {
        mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY)
    };
    chunk.dictionary_page_offset().is_some() && chunk.page_encoding_stats_mask().is_some_and(is_dictionary)
}

/// Bytes that one row of the wanted columns takes, as far as the footer tells, and whether that is certain.
pub(super) fn expected_row_bytes(file: &OpenFile, row_group: usize, wanted: &[WantedColumn]) -> (f64, bool) {
    let group = file.row_group(row_group);
    let n_rows = group.num_rows().max(1) as f64;
    let schema = file.metadata.file_metadata().schema_descr();
    let (mut bytes, mut is_certain) = (0.0, true);
    for wanted in wanted {
        let Some(column) = file.column(&wanted.name) else { continue };
        if let Some(width) = wanted.data_type.primitive_width() {
            bytes += width as f64;
            continue;
        }
        let first = first_leaf(schema, column.root);
        let leaves = (first..schema.num_columns()).take_while(|&leaf| schema.get_column_root_idx(leaf) == column.root);
        for chunk in leaves.map(|leaf| group.column(leaf)) {
            let is_dictionary = wanted.may_be_dictionary && is_dictionary_encoded(chunk);
            match chunk.unencoded_byte_array_data_bytes() {
                _ if is_dictionary => bytes += 4.0,
                Some(stated) => bytes += stated.max(0) as f64 / n_rows + 4.0,
                None => {
                    is_certain = false;
                    bytes += chunk.uncompressed_size() as f64 / n_rows + 4.0;
                }
            }
        }
    }
    (bytes, is_certain)
}

/// Bytes of the rows of all columns.
pub(super) fn total_row_bytes(columns: &[ArrayRef]) -> usize {
    columns.iter().map(row_bytes).sum()
}
