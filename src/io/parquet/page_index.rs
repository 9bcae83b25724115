//! The page index of one column chunk: where its pages are, which rows they hold, and their extremes.
//!
//! Memory: one chunk's index at a time, reserved at four times its bytes on disk. An index is advice: one that is missing,
//! damaged or does not fit its chunk is left unused.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{
    FileMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::chunk::chunk_range;
use super::footer::OpenFile;
use super::input::guarded;
use super::schema::FileColumn;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

/// Where a page begins in the file, and its first row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PagePlace {
    pub(super) offset: u64,
    pub(super) first_row: u64,
}

/// The data pages of one column chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PagePlaces {
    pub(super) pages: Vec<PagePlace>,
    pub(super) n_rows: u64,
    /// Where the last page ends.
    pub(super) end: u64,
}

/// The extremes of every page of a column chunk.
pub(super) struct PageExtremes {
    pub(super) places: PagePlaces,
    pub(super) mins: ArrayRef,
    pub(super) maxes: ArrayRef,
    pub(super) n_nulls: UInt64Array,
}

impl PagePlaces {
    /// Reads where the pages of leaf column `leaf` are.
    pub(super) fn read(file: &OpenFile, row_group: usize, leaf: usize) -> Option<Arc<Self>> {
        let index = read_index(file, row_group, leaf, Part::Places)?;
        Self::checked(file, row_group, leaf, &index).map(Arc::new)
    }

    fn checked(file: &OpenFile, row_group: usize, leaf: usize, index: &ParquetMetaData) -> Option<Self> {
        let chunk = file.row_group(row_group).column(leaf);
        let range = chunk_range(&file.input, chunk).ok()?;
        let n_rows = file.row_group(row_group).num_rows() as u64;
        let locations = index.offset_index()?.first()?.first()?.page_locations();
        let mut pages: Vec<PagePlace> = Vec::with_capacity(locations.len());
        for location in locations {
            let place = PagePlace {
                offset: u64::try_from(location.offset).ok()?,
                first_row: u64::try_from(location.first_row_index).ok()?,
            };
            let follows = match pages.last() {
                Some(last) => place.offset > last.offset && place.first_row > last.first_row,
                None => place.offset >= range.start && place.first_row == 0,
            };
            if !follows || place.offset >= range.end || place.first_row >= n_rows {
                return None;
            }
            pages.push(place);
        }
        let last = locations.last()?;
        let end = pages.last()?.offset + u64::try_from(last.compressed_page_size).ok()?;
        (end <= range.end).then_some(PagePlaces { pages, n_rows, end })
    }

    /// The rows of page `idx`.
    pub(super) fn rows(&self, idx: usize) -> Range<u64> {
        let end = self.pages.get(idx + 1).map_or(self.n_rows, |next| next.first_row);
        self.pages[idx].first_row..end
    }

    /// The page that begins at `offset`.
    pub(super) fn page_at(&self, offset: u64) -> Option<usize> {
        self.pages.binary_search_by_key(&offset, |page| page.offset).ok()
    }

    /// Where page `idx` ends.
    pub(super) fn end_of(&self, idx: usize) -> u64 {
        self.pages.get(idx + 1).map_or(self.end, |next| next.offset)
    }
}

impl PageExtremes {
    /// Reads the extremes of the pages of `column`.
    pub(super) fn read(file: &OpenFile, row_group: usize, column: &FileColumn) -> Option<Self> {
        let leaf = column.leaf?;
        file.row_group(row_group).column(leaf).column_index_offset()?;
        let places_index = read_index(file, row_group, leaf, Part::Places)?;
        let places = PagePlaces::checked(file, row_group, leaf, &places_index)?;
        let index = read_index(file, row_group, leaf, Part::Extremes)?;
        let schema = index.file_metadata().schema_descr();
        let (extremes, offsets) = (index.column_index()?, places_index.offset_index()?);
        if extremes.first()?.first()?.num_pages() as usize != places.pages.len() {
            return None;
        }
        let read = || {
            let converter = StatisticsConverter::from_column_index(0, &column.field, schema)?;
            let converter = converter.with_missing_null_counts_as_zero(false);
            Ok(PageExtremes {
                mins: converter.data_page_mins(extremes, offsets, [&0])?,
                maxes: converter.data_page_maxes(extremes, offsets, [&0])?,
                n_nulls: converter.data_page_null_counts(extremes, offsets, [&0])?,
                places,
            })
        };
        guarded(read).ok().filter(|found: &PageExtremes| {
            let n_pages = found.places.pages.len();
            [found.mins.len(), found.maxes.len(), found.n_nulls.len()] == [n_pages; 3]
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Places,
    Extremes,
}

/// Reads one part of the index of one column chunk, as the index of a file that has only this chunk: the format library
/// would otherwise read those of all columns and row groups.
fn read_index(file: &OpenFile, row_group: usize, leaf: usize, part: Part) -> Option<ParquetMetaData> {
    let group = file.row_group(row_group);
    let chunk = group.column(leaf);
    let index_bytes = match part {
        Part::Places => chunk.offset_index_length()?,
        Part::Extremes => chunk.column_index_length()?,
    };
    let mut reserved = file.memory.reserve("Scan");
    reserved.try_grow(4 * u64::try_from(index_bytes).ok()?).ok()?;
    let read = || -> ParquetResult<ParquetMetaData> {
        let leaf_type = file.metadata.file_metadata().schema_descr().column(leaf).self_type_ptr();
        let root = Type::group_type_builder("schema").with_fields(vec![leaf_type]).build()?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(root)));
        let group = RowGroupMetaData::builder(schema.clone())
            .set_num_rows(group.num_rows())
            .set_column_metadata(vec![chunk.clone()])
            .build()?;
        let alone = FileMetaData::new(1, group.num_rows(), None, None, schema, None);
        let (places, extremes) = match part {
            Part::Places => (PageIndexPolicy::Optional, PageIndexPolicy::Skip),
            Part::Extremes => (PageIndexPolicy::Skip, PageIndexPolicy::Optional),
        };
        let mut reader = ParquetMetaDataReader::new_with_metadata(ParquetMetaData::new(alone, vec![group]))
            .with_offset_index_policy(places)
            .with_column_index_policy(extremes);
        reader.read_page_indexes(file.input.as_ref())?;
        reader.finish()
    };
    guarded(read).ok()
}
