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
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::chunk::{ChunkPages, OneChunk, PageLimits};
use super::columns::{column_reader, row_bytes};
use super::footer::OpenFile;
use super::input::{from_parquet, guarded, into_parquet};
use super::page_index::PagePlaces;
use super::schema::FileColumn;
use crate::error::{Error, Result};
use crate::io::drift::{common_type, widen};

/// A column that a scan wants.
#[derive(Debug, Clone)]
pub(super) struct WantedColumn {
    pub(super) name: String,
    /// The table's type.
    pub(super) data_type: DataType,
    /// Whether a dictionary of that type is welcome in the output.
    pub(super) may_be_dictionary: bool,
    /// Whether filters would rather look at a dictionary than at every row.
    pub(super) filters_by_dictionary: bool,
}

/// The wanted columns of one row group.
pub(super) struct RowGroupReader {
    pub(super) file: Arc<OpenFile>,
    pub(super) row_group: usize,
    /// The next row.
    pub(super) position: u64,
    /// Bytes that one row of the produced columns takes, as far as the file tells.
    pub(super) row_bytes: f64,
    /// Whether no row can take much more than that.
    pub(super) is_certain: bool,
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
    /// The table's type, where the file has a narrower one.
    widen_to: Option<DataType>,
    /// The type in the output.
    produced: DataType,
    /// Rows to skip before the next read.
    n_behind: usize,
    row_bytes: f64,
    is_certain: bool,
}

impl RowGroupReader {
    /// Opens the wanted columns of row group `row_group`. With `skips_rows`, the places of pages are read too, so that
    /// pages can be left out without reading their headers.
    pub(super) fn open(
        file: &Arc<OpenFile>,
        row_group: usize,
        wanted: &[WantedColumn],
        limits: PageLimits,
        skips_rows: bool,
    ) -> Result<Self> {
        let mut reader = RowGroupReader {
            file: file.clone(),
            row_group,
            position: 0,
            row_bytes: 0.0,
            is_certain: true,
            columns: Vec::with_capacity(wanted.len()),
        };
        for wanted in wanted {
            let column = match file.column(&wanted.name) {
                Some(column) => {
                    let opened = PresentColumn::open(file, row_group, column, wanted, limits, skips_rows)?;
                    reader.row_bytes += opened.row_bytes;
                    reader.is_certain &= opened.is_certain;
                    Column::Present(opened)
                }
                None => Column::Missing(wanted.data_type.clone()),
            };
            reader.columns.push(column);
        }
        Ok(reader)
    }

    /// The type in which column `idx` is produced.
    pub(super) fn data_type(&self, idx: usize) -> &DataType {
        match &self.columns[idx] {
            Column::Missing(data_type) => data_type,
            Column::Present(column) => &column.produced,
        }
    }

    /// `array`, which was read from column `idx`, in the type in which the column is produced.
    pub(super) fn produce(&self, idx: usize, array: ArrayRef) -> Result<ArrayRef> {
        let data_type = self.data_type(idx);
        if array.data_type() == data_type { Ok(array) } else { Ok(arrow::compute::cast(&array, data_type)?) }
    }

    /// The next `n_rows` rows of column `idx`; a dictionary where filters would rather have one.
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
        let (column, row_group) = (failure.column, self.row_group);
        match failure.error {
            Wrong::Damaged(error) => from_parquet(error, |what| {
                self.file.input.damaged(format!("row group {row_group}, column {column}: {what}"))
            }),
            Wrong::Unfit { value, data_type } => {
                let path = self.file.input.path().display();
                Error::data(format!(
                    "{path}, row group {row_group}, column {column}: {value} does not fit {}, the type of this column \
                     over all files",
                    data_type.to_string().to_lowercase()
                ))
                .with_hint("read the files separately and cast the column")
            }
        }
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
    error: Wrong,
}

enum Wrong {
    Damaged(ParquetError),
    /// This value would not be the same in the table's type.
    Unfit {
        value: String,
        data_type: DataType,
    },
}

impl From<ParquetError> for Wrong {
    fn from(error: ParquetError) -> Self {
        Wrong::Damaged(error)
    }
}

impl PresentColumn {
    fn open(
        file: &Arc<OpenFile>,
        row_group: usize,
        column: &FileColumn,
        wanted: &WantedColumn,
        limits: PageLimits,
        skips_rows: bool,
    ) -> Result<Self> {
        let own_type = column.field.data_type();
        check_type(file, wanted, own_type)?;
        let has_dictionary = own_type == &wanted.data_type
            && column.leaf.is_some_and(|leaf| is_dictionary_encoded(file.row_group(row_group).column(leaf)));
        let reads_dictionary = has_dictionary && (wanted.may_be_dictionary || wanted.filters_by_dictionary);
        let makes_dictionary = has_dictionary && wanted.may_be_dictionary;
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(own_type.clone()));
        let read_as = if reads_dictionary { &dictionary } else { own_type };
        let mut expected = ExpectedBytes { row_bytes: 0.0, is_certain: true };
        let mut open_leaf = |leaf: usize| {
            let pages = open_pages(file, row_group, leaf, limits, skips_rows);
            let mut pages = pages.map_err(into_parquet)?;
            if !makes_dictionary {
                expected.add(file.row_group(row_group), leaf, &mut pages).map_err(into_parquet)?;
            }
            Ok(Box::new(OneChunk::new(pages)) as Box<dyn parquet::column::page::PageIterator>)
        };
        let schema = file.metadata.file_metadata().schema_descr();
        let reader = column_reader(schema, column.root, read_as, &mut open_leaf).map_err(|error| {
            from_parquet(error, |what| file.input.damaged(format!("column {}: {what}", wanted.name)))
        })?;
        let widen_to = (!reads_dictionary && own_type != &wanted.data_type).then(|| wanted.data_type.clone());
        let fixed_width = wanted.data_type.primitive_width().map(|width| width as f64);
        let row_bytes = if makes_dictionary { 4.0 } else { fixed_width.unwrap_or(expected.row_bytes) };
        Ok(PresentColumn {
            reader,
            name: wanted.name.clone(),
            widen_to,
            produced: if makes_dictionary { dictionary } else { wanted.data_type.clone() },
            n_behind: 0,
            row_bytes,
            is_certain: makes_dictionary || fixed_width.is_some() || expected.is_certain,
        })
    }

    fn read_runs(&mut self, runs: &[Run]) -> Result<ArrayRef, Failure> {
        let read = guarded(|| self.decode_runs(runs)).map_err(Wrong::from);
        read.and_then(|array| self.widen(array)).map_err(|error| Failure { column: self.name.clone(), error })
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
        Ok(array)
    }

    /// `array` in the table's type.
    fn widen(&self, array: ArrayRef) -> Result<ArrayRef, Wrong> {
        let Some(data_type) = &self.widen_to else { return Ok(array) };
        widen(&array, data_type).map_err(|value| Wrong::Unfit { value, data_type: data_type.clone() })
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

/// Whether every data page of the chunk refers to the dictionary. A chunk that fell back to plain values on the way would
/// need a new dictionary for every batch.
pub(super) fn is_dictionary_encoded(chunk: &ColumnChunkMetaData) -> bool {
    let is_dictionary = |mask: &parquet::basic::EncodingMask| {
        mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY)
    };
    chunk.dictionary_page_offset().is_some() && chunk.page_encoding_stats_mask().is_some_and(is_dictionary)
}

fn open_pages(
    file: &OpenFile,
    row_group: usize,
    leaf: usize,
    limits: PageLimits,
    skips_rows: bool,
) -> Result<ChunkPages> {
    let chunk = file.row_group(row_group).column(leaf);
    let pages = ChunkPages::new(&file.input, row_group, chunk, limits, &file.memory)?;
    let places = if skips_rows { PagePlaces::read(file, row_group, leaf) } else { None };
    Ok(pages.with_places(places))
}

/// Bytes of a row of one column over its leaves.
struct ExpectedBytes {
    row_bytes: f64,
    is_certain: bool,
}

impl ExpectedBytes {
    /// Adds a leaf whose values may have any length. A dictionary hides how long the values are in all, so where the
    /// footer does not tell, its values count as equally frequent.
    fn add(&mut self, group: &RowGroupMetaData, leaf: usize, pages: &mut ChunkPages) -> Result<()> {
        let chunk = group.column(leaf);
        let n_rows = group.num_rows().max(1) as f64;
        if let Some(stated) = chunk.unencoded_byte_array_data_bytes() {
            self.row_bytes += stated.max(0) as f64 / n_rows + 4.0;
            return Ok(());
        }
        let encoded = chunk.uncompressed_size() as f64 / n_rows;
        let values_of_a_row = chunk.num_values() as f64 / n_rows;
        let mean = pages.mean_dictionary_value_bytes()?.unwrap_or(0.0) * values_of_a_row;
        self.row_bytes += encoded.max(mean) + 4.0;
        self.is_certain = false;
        Ok(())
    }
}

/// Bytes of the rows of all columns.
pub(super) fn total_row_bytes(columns: &[ArrayRef]) -> usize {
    columns.iter().map(row_bytes).sum()
}
