//! The pages of one column chunk, one at a time.
//!
//! Memory: a read-ahead window, the dictionary, and one data page (two while one follows the other, or where memory is plenty). Buffers carry their
//! reservations with them, taken before they are allocated and given back when the last reader of the bytes drops them.
//! The size of the row group does not matter.
//! The surprising part: a page that nobody wants is stepped over by its header, without reading its bytes.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{CompressionCodec, Encoding, Type};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ColumnChunkMetaData;

use super::decompress::{decompress, decompress_snappy};
use super::input::{InputFile, from_parquet, into_parquet};
use super::page_header::{HeaderError, PageHeader, PageKind};
use super::page_index::PagePlaces;
use super::spare_page::SparePage;
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

/// Enough for any header without long statistics.
const HEADER_GUESS_BYTES: usize = 4 * 1024;
/// Statistics in a header may hold long values; beyond this it is no header.
const MAX_HEADER_BYTES: usize = 16 << 20;
/// Values of smaller pages are never much larger than a batch.
const LARGE_PAGE_BYTES: usize = 1 << 20;

/// Sizes that a chunk's pages must keep to. Units: bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLimits {
    /// Read at once.
    pub(super) window_bytes: usize,
    /// The largest page that is accepted.
    pub(super) max_page_bytes: usize,
}

/// Reads the pages of one column chunk in order.
pub(super) struct ChunkPages {
    window: Window,
    place: Place,
    codec: CompressionCodec,
    physical_type: Type,
    is_repeated: bool,
    limits: PageLimits,
    /// Where the data pages are, when the file tells and rows will be skipped.
    places: Option<Arc<PagePlaces>>,
    /// Where the next page header starts.
    at: u64,
    remaining_levels: u64,
    peeked: Option<PageHeader>,
    has_def_levels: bool,
    /// What decoders keep of the dictionary.
    dictionary_bytes: u64,
    /// What decoders make of the current page beyond a batch: levels, and values that are larger than a batch.
    decoded: Reservation,
    spare: SparePage,
    memory: Memory,
}

/// Names a chunk in errors.
#[derive(Clone)]
struct Place {
    row_group: usize,
    column: String,
}

/// The part of the chunk that is in memory.
struct Window {
    file: Arc<InputFile>,
    bytes: Bytes,
    start: u64,
    end_of_chunk: u64,
    window_bytes: usize,
    memory: Memory,
}

/// Bytes and the memory they were granted.
struct ReservedBytes {
    bytes: Vec<u8>,
    _granted: Reservation,
}

impl ReservedBytes {
    /// Room for `n_bytes`.
    fn with_capacity(n_bytes: usize, memory: &Memory) -> Result<Self> {
        let mut granted = memory.reserve("Scan");
        granted.try_grow(n_bytes as u64)?;
        Ok(ReservedBytes { bytes: Vec::with_capacity(n_bytes), _granted: granted })
    }
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where a chunk lies in its file, checked against the file's length.
pub(super) fn chunk_range(file: &InputFile, chunk: &ColumnChunkMetaData) -> Result<std::ops::Range<u64>> {
    let data = chunk.data_page_offset();
    let start = match chunk.dictionary_page_offset() {
        Some(dictionary) if dictionary > 0 && dictionary < data => dictionary,
        _ => data,
    };
    let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
    match range.and_then(|(start, length)| Some(start..start.checked_add(length)?)) {
        Some(range) if range.end <= file.n_bytes() => Ok(range),
        _ => Err(file.damaged(format!("column {} lies beyond the end of the file", chunk.column_path()))),
    }
}

impl ChunkPages {
    /// The pages of `chunk`, which belongs to row group `row_group` of `file`.
    pub(super) fn new(
        file: &Arc<InputFile>,
        row_group: usize,
        chunk: &ColumnChunkMetaData,
        limits: PageLimits,
        memory: &Memory,
    ) -> Result<Self> {
        let range = chunk_range(file, chunk)?;
        let chunk_bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let window_bytes = limits.window_bytes.min(chunk_bytes);
        let window = Window {
            file: file.clone(),
            bytes: Bytes::new(),
            start: range.start,
            end_of_chunk: range.end,
            window_bytes,
            memory: memory.clone(),
        };
        Ok(ChunkPages {
            window,
            place: Place { row_group, column: chunk.column_path().string() },
            codec: chunk.compression_codec(),
            physical_type: chunk.column_type(),
            is_repeated: chunk.column_descr().max_rep_level() > 0,
            limits,
            places: None,
            at: range.start,
            remaining_levels: u64::try_from(chunk.num_values()).unwrap_or(0),
            peeked: None,
            has_def_levels: chunk.column_descr().max_def_level() > 0,
            dictionary_bytes: 0,
            decoded: memory.reserve("Scan"),
            spare: SparePage::new(memory),
            memory: memory.clone(),
        })
    }

    /// Steps over pages by their places instead of their headers.
    pub(super) fn with_places(mut self, places: Option<Arc<PagePlaces>>) -> Self {
        self.places = places;
        self
    }

    /// Bytes of a value of the dictionary on average, if the chunk begins with one.
    pub(super) fn mean_dictionary_value_bytes(&mut self) -> Result<Option<f64>> {
        Ok(self.header()?.and_then(|header| match header.kind {
            PageKind::Dictionary { n_values, .. } => {
                Some(header.uncompressed_bytes as f64 / f64::from(n_values.max(1)))
            }
            _ => None,
        }))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> Error {
        let Place { row_group, column } = &self.place;
        self.window.file.damaged(format!("row group {row_group}, column {column}, offset {}: {what}", self.at))
    }

    /// The header of the next page that is not an index page.
    fn header(&mut self) -> Result<Option<PageHeader>> {
        if self.peeked.is_some() {
            return Ok(self.peeked);
        }
        while self.remaining_levels > 0 && self.at < self.window.end_of_chunk {
            let header = self.read_header()?;
            if header.kind == PageKind::Index {
                self.step_over(&header);
                continue;
            }
            self.check(&header)?;
            self.peeked = Some(header);
            return Ok(self.peeked);
        }
        Ok(None)
    }

    fn read_header(&mut self) -> Result<PageHeader> {
        let mut want = HEADER_GUESS_BYTES;
        loop {
            let bytes = self.window.get_up_to(self.at, want)?;
            match PageHeader::parse(&bytes) {
                Ok(header) => return Ok(header),
                Err(HeaderError::Incomplete) if bytes.len() >= want && want < MAX_HEADER_BYTES => want *= 8,
                Err(HeaderError::Incomplete) => return Err(self.damaged("a page header ends too early")),
                Err(HeaderError::Malformed(why)) => return Err(self.damaged(format!("not a page header: {why}"))),
            }
        }
    }

    /// Refuses sizes that cannot be, before anything is allocated for them.
    fn check(&self, header: &PageHeader) -> Result<()> {
        header.check().map_err(|why| self.damaged(format!("a page header cannot be right: {why}")))?;
        let body = self.at + header.header_bytes as u64;
        if body.checked_add(header.compressed_bytes as u64).is_none_or(|end| end > self.window.end_of_chunk) {
            return Err(self.damaged("a page reaches beyond its column chunk"));
        }
        if header.n_levels() as u64 > self.remaining_levels {
            return Err(self.damaged("a page has more values than the column chunk"));
        }
        let largest = header.uncompressed_bytes.max(header.compressed_bytes);
        let limit = self.limits.max_page_bytes;
        if largest > limit {
            let (path, at) = (self.window.file.path().display(), &self.place);
            let what = format!("a page of {largest} bytes is above the limit of {limit}");
            let message = format!("{path}: row group {}, column {}: {what}", at.row_group, at.column);
            return Err(Error::data(message).with_hint("if the file is sound, raise the limit with --max-page-bytes"));
        }
        Ok(())
    }

    fn step_over(&mut self, header: &PageHeader) {
        self.at += (header.header_bytes + header.compressed_bytes) as u64;
        self.remaining_levels -= header.n_levels() as u64;
        self.peeked = None;
    }

    /// Steps over data page `idx` without looking at its header.
    fn jump_over(&mut self, places: &PagePlaces, idx: usize) {
        self.at = places.end_of(idx);
        let rows = places.rows(idx);
        if !self.is_repeated {
            self.remaining_levels = self.remaining_levels.saturating_sub(rows.end - rows.start);
        }
        self.peeked = None;
    }

    /// The data page that comes next, if its place is known.
    fn next_place(&self) -> Option<(Arc<PagePlaces>, usize)> {
        let places = self.places.as_ref()?;
        Some((places.clone(), places.page_at(self.at)?))
    }

    fn next(&mut self) -> Result<Option<Page>> {
        let Some(header) = self.header()? else { return Ok(None) };
        let body = self.window.get(self.at + header.header_bytes as u64, header.compressed_bytes)?;
        let body = self.decompressed(&header, body)?;
        self.reserve_decoded(&header, &body)?;
        self.step_over(&header);
        Ok(Some(into_page(&header, body)))
    }

    /// Makes room for what the decoder will make of the page.
    fn reserve_decoded(&mut self, header: &PageHeader, body: &Bytes) -> Result<()> {
        let is_text = self.physical_type == Type::BYTE_ARRAY;
        let mut bytes = 0;
        if let PageKind::Dictionary { n_values, .. } = header.kind {
            self.dictionary_bytes = header.uncompressed_bytes as u64 + 8 * u64::from(n_values);
        } else if self.is_repeated {
            bytes += 4 * header.n_levels() as u64;
        } else if is_text && body.len() > LARGE_PAGE_BYTES {
            // The buffer of a batch may double to make room for its last value.
            let largest = largest_value(self.values_of(header, body)).unwrap_or(body.len());
            bytes += 2 * largest as u64;
        }
        Ok(self.decoded.try_resize(self.dictionary_bytes + bytes)?)
    }

    /// The plain values of a flat text page, behind its levels; empty when they are not plain.
    fn values_of<'a>(&self, header: &PageHeader, body: &'a [u8]) -> &'a [u8] {
        let values = match header.kind {
            PageKind::DataV2 { encoding: Encoding::PLAIN, def_bytes, .. } => body.get(def_bytes as usize..),
            PageKind::Data { encoding: Encoding::PLAIN, .. } if self.has_def_levels => {
                let length = body.first_chunk().map_or(0, |&length| u32::from_le_bytes(length) as usize);
                body.get(4..).and_then(|rest| rest.get(length..))
            }
            PageKind::Data { encoding: Encoding::PLAIN, .. } => Some(body),
            _ => None,
        };
        values.unwrap_or_default()
    }

    fn decompressed(&self, header: &PageHeader, body: Bytes) -> Result<Bytes> {
        // Levels of a version 2 page are stored as they are, in front of the values.
        let (n_plain, is_compressed) = match header.kind {
            PageKind::DataV2 { def_bytes, rep_bytes, is_compressed, .. } => {
                (def_bytes as usize + rep_bytes as usize, is_compressed)
            }
            _ => (0, true),
        };
        if self.codec == CompressionCodec::UNCOMPRESSED || !is_compressed {
            return Ok(body);
        }
        // One byte more, to see that there are no more.
        let mut page = self.spare.room_for(header.uncompressed_bytes + 1, &self.memory)?;
        let n_values_bytes = header.uncompressed_bytes - n_plain;
        let decompressed = match self.codec {
            CompressionCodec::SNAPPY => {
                let values = page.overwrite(&body[..n_plain], n_values_bytes);
                decompress_snappy(&body[n_plain..], values)
            }
            codec => {
                let bytes = page.start_with(&body[..n_plain]);
                decompress(codec, &body[n_plain..], n_values_bytes, bytes, &self.memory)
            }
        };
        decompressed.map_err(|error| {
            from_parquet(error, |what| self.damaged(format!("a page cannot be decompressed: {what}")))
        })?;
        Ok(page.into_bytes(header.uncompressed_bytes))
    }
}

/// The longest of plain text values, each behind its length.
fn largest_value(mut values: &[u8]) -> Option<usize> {
    let mut largest = 0;
    while let Some((length, rest)) = values.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        values = rest.get(length..)?;
        largest = largest.max(length);
    }
    (largest > 0).then_some(largest)
}

fn into_page(header: &PageHeader, buf: Bytes) -> Page {
    match header.kind {
        PageKind::Data { n_values, encoding, def_encoding, rep_encoding } => Page::DataPage {
            buf,
            num_values: n_values,
            encoding,
            def_level_encoding: def_encoding,
            rep_level_encoding: rep_encoding,
            statistics: None,
        },
        PageKind::DataV2 { n_values, n_nulls, n_rows, encoding, def_bytes, rep_bytes, is_compressed } => {
            Page::DataPageV2 {
                buf,
                num_values: n_values,
                encoding,
                num_nulls: n_nulls,
                num_rows: n_rows,
                def_levels_byte_len: def_bytes,
                rep_levels_byte_len: rep_bytes,
                is_compressed,
                statistics: None,
            }
        }
        PageKind::Dictionary { n_values, encoding, is_sorted } => {
            Page::DictionaryPage { buf, num_values: n_values, encoding, is_sorted }
        }
        // `ChunkPages::header` steps over these.
        PageKind::Index => Page::DictionaryPage {
            buf: Bytes::new(),
            num_values: 0,
            encoding: parquet::basic::Encoding::PLAIN,
            is_sorted: false,
        },
    }
}

impl Window {
    /// Up to `n_bytes` from `at` on, fewer at the end of the chunk.
    fn get_up_to(&mut self, at: u64, n_bytes: usize) -> Result<Bytes> {
        let available = usize::try_from(self.end_of_chunk.saturating_sub(at)).unwrap_or(usize::MAX);
        self.get(at, n_bytes.min(available))
    }

    /// Exactly `n_bytes` from `at` on, which must lie in the chunk. Bytes that are already here are not read again.
    fn get(&mut self, at: u64, n_bytes: usize) -> Result<Bytes> {
        let have = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let have = have.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default();
        if have.len() < n_bytes {
            let available = usize::try_from(self.end_of_chunk - at).unwrap_or(usize::MAX);
            let length = n_bytes.max(self.window_bytes).min(available);
            let mut buffer = ReservedBytes::with_capacity(length, &self.memory)?;
            buffer.bytes.extend_from_slice(have);
            let n_kept = have.len();
            self.file.append_at(&mut buffer.bytes, length - n_kept, at + n_kept as u64)?;
            self.bytes = Bytes::from_owner(buffer);
            self.start = at;
        }
        let skip = (at - self.start) as usize;
        Ok(self.bytes.slice(skip..skip + n_bytes))
    }
}

impl Iterator for ChunkPages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for ChunkPages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        self.next().map_err(into_parquet)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        if let Some((places, idx)) = self.next_place() {
            let rows = places.rows(idx);
            let num_rows = Some((rows.end - rows.start) as usize);
            return Ok(Some(PageMetadata { num_rows, num_levels: None, is_dict: false }));
        }
        let header = self.header().map_err(into_parquet)?;
        Ok(header.map(|header| match header.kind {
            PageKind::DataV2 { n_values, n_rows, .. } => {
                PageMetadata { num_rows: Some(n_rows as usize), num_levels: Some(n_values as usize), is_dict: false }
            }
            PageKind::Data { n_values, .. } => {
                PageMetadata { num_rows: None, num_levels: Some(n_values as usize), is_dict: false }
            }
            PageKind::Dictionary { .. } | PageKind::Index => {
                PageMetadata { num_rows: None, num_levels: None, is_dict: true }
            }
        }))
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        if let Some((places, idx)) = self.next_place() {
            self.jump_over(&places, idx);
        } else if let Some(header) = self.header().map_err(into_parquet)? {
            self.step_over(&header);
        }
        Ok(())
    }
}

/// One column chunk as the array readers want it: an iterator over the chunks of a column.
pub(super) struct OneChunk(Option<ChunkPages>);

impl OneChunk {
    pub(super) fn new(pages: ChunkPages) -> Self {
        OneChunk(Some(pages))
    }
}

impl Iterator for OneChunk {
    type Item = ParquetResult<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}
