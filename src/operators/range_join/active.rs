//! The rows of one side that may still meet rows to come: in chunks, each ordered by last place, the furthest first.
//!
//! A chunk is in columns as long as a share of memory lasts, and else on unpinned pages.
//!
//! Memory: the share, under a reservation; the columns of one chunk that is read from pages, likewise; and
//! [`HEADER_BYTES`] and a bit a row for every chunk.

use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::exec::QueryContext;
use crate::memory::{Page, PageOwner, Reservation};
use crate::operators::window::log::{bytes_of, write_pages};
use crate::row::{Layout, RowPage, gather_pages};

/// What a chunk costs beside its rows.
pub(in crate::operators) const HEADER_BYTES: u64 = 512;

/// The most bytes of a value of any size in a column, beside those that it has on pages.
const VALUE_BYTES: usize = 16;

/// A bit for every row of a chunk: whether it has a match. Empty when nobody asks.
#[derive(Default, Clone)]
pub(in crate::operators) struct Marks(Vec<u64>);

impl Marks {
    /// Marks for `n_rows` rows, of which those are set that `is_set` says.
    pub(in crate::operators) fn collect(n_rows: usize, is_set: impl Fn(usize) -> bool) -> Self {
        let mut words = vec![0; n_rows.div_ceil(64)];
        for row in (0..n_rows).filter(|&row| is_set(row)) {
            words[row / 64] |= 1 << (row % 64);
        }
        Marks(words)
    }

    #[inline(always)]
    pub(in crate::operators) fn get(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    #[inline(always)]
    pub(in crate::operators) fn set(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }
}

/// Kept rows.
pub(in crate::operators) struct Chunk {
    pub(in crate::operators) n_rows: usize,
    /// Where the first row, which reaches furthest, ends.
    pub(in crate::operators) max_until: i128,
    pub(in crate::operators) marks: Marks,
    rows: ChunkRows,
}

enum ChunkRows {
    /// In columns, of which so many bytes are reserved.
    Columns(Vec<ArrayRef>, u64),
    /// On pages.
    Pages(Vec<Page>),
}

/// See the module.
pub(in crate::operators) struct Active {
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    share_bytes: u64,
    stream: u32,
    pub(in crate::operators) chunks: Vec<Chunk>,
    /// For columns.
    memory: Reservation,
    /// For what chunks cost beside their rows.
    headers: Reservation,
    /// For the columns of one chunk that was read from pages.
    reading: Reservation,
    n_stored: u32,
}

impl Active {
    pub(in crate::operators) fn new(
        layout: Arc<Layout>,
        owner: Arc<PageOwner>,
        share_bytes: u64,
        stream: u32,
        cx: &QueryContext,
    ) -> Self {
        let reserve = || cx.memory.reserve(owner.name());
        let (memory, headers, reading) = (reserve(), reserve(), reserve());
        let (chunks, n_stored) = (Vec::new(), 0);
        Active { layout, owner, share_bytes, stream, chunks, memory, headers, reading, n_stored }
    }

    /// Keeps rows that are ordered by last place.
    ///
    /// # Errors
    /// A budget error when there is no room even on pages, or a failing disk.
    pub(in crate::operators) fn push(
        &mut self,
        columns: Vec<ArrayRef>,
        n_rows: usize,
        max_until: i128,
        marks: Marks,
    ) -> Result<()> {
        let header = header_bytes(n_rows);
        if self.headers.try_grow(header).is_err() {
            self.give_up_columns()?;
            self.headers.try_grow(header)?;
        }
        let bytes = bytes_of(&columns);
        let fits = self.memory.bytes() + bytes <= self.share_bytes && self.memory.try_grow(bytes).is_ok();
        let rows = match fits {
            true => ChunkRows::Columns(columns, bytes),
            false => ChunkRows::Pages(self.write(&columns)?),
        };
        self.chunks.push(Chunk { n_rows, max_until, marks, rows });
        Ok(())
    }

    /// Takes the chunk at `idx` out, with its columns.
    ///
    /// # Errors
    /// As [`Active::columns`].
    pub(in crate::operators) fn take(&mut self, idx: usize) -> Result<(Chunk, Vec<ArrayRef>)> {
        let columns = self.columns(idx)?;
        let chunk = self.chunks.swap_remove(idx);
        self.release(&chunk);
        Ok((chunk, columns))
    }

    /// The chunks of few rows and few bytes, from the last to the first.
    pub(in crate::operators) fn small(&self, most_rows: usize, most_bytes: usize) -> Vec<usize> {
        let is_small = |chunk: &Chunk| {
            let bytes = match &chunk.rows {
                ChunkRows::Columns(_, bytes) => *bytes as usize,
                ChunkRows::Pages(pages) => pages.len() * self.owner.page_bytes(),
            };
            chunk.n_rows <= most_rows && bytes <= most_bytes
        };
        (0..self.chunks.len()).rev().filter(|&idx| is_small(&self.chunks[idx])).collect()
    }

    /// Forgets the chunk at `idx`.
    pub(in crate::operators) fn drop_chunk(&mut self, idx: usize) {
        let chunk = self.chunks.swap_remove(idx);
        self.release(&chunk);
    }

    fn release(&mut self, chunk: &Chunk) {
        if let ChunkRows::Columns(_, reserved) = &chunk.rows {
            self.memory.shrink(*reserved);
        }
        self.headers.shrink(header_bytes(chunk.n_rows));
    }

    /// The columns of the chunk at `idx`; what they take is reserved until the next chunk is read.
    ///
    /// # Errors
    /// A budget error when there is no room for them, or a failing disk.
    pub(in crate::operators) fn columns(&mut self, idx: usize) -> Result<Vec<ArrayRef>> {
        let layout = self.layout.clone();
        let chunk = &self.chunks[idx];
        let n_pages = match &chunk.rows {
            ChunkRows::Columns(columns, _) => return Ok(columns.clone()),
            ChunkRows::Pages(pages) => pages.len(),
        };
        let wanted: Vec<usize> = (0..layout.n_fields()).collect();
        // Heap values lie on the pages as they will in the columns; beside them a view and a bit each.
        let widths = wanted.iter().map(|&field| layout.field_type(field).primitive_width().unwrap_or(VALUE_BYTES) + 1);
        let estimate = n_pages * self.owner.page_bytes() + chunk.n_rows * widths.sum::<usize>();
        self.reserve_reading(estimate as u64)?;
        let ChunkRows::Pages(pages) = &mut self.chunks[idx].rows else { return Ok(Vec::new()) };
        let pages = std::mem::take(pages);
        let mut pinned = Vec::with_capacity(pages.len());
        for page in pages {
            pinned.push(RowPage::restored(page.pin()?, &layout)?);
        }
        let columns = gather_pages(&layout, &wanted, &pinned)?;
        self.n_stored += 1;
        let priority = self.n_stored;
        let pages = pinned.into_iter().map(|page| page.unpin(priority, self.stream)).collect::<Result<_>>()?;
        self.chunks[idx].rows = ChunkRows::Pages(pages);
        self.reserve_reading(bytes_of(&columns))?;
        Ok(columns)
    }

    fn write(&mut self, columns: &[ArrayRef]) -> Result<Vec<Page>> {
        write_pages(&self.layout, &self.owner, columns, self.stream)
    }

    /// Writes all columns that are under the reservation to pages, which can be evicted.
    fn give_up_columns(&mut self) -> Result<()> {
        for idx in 0..self.chunks.len() {
            let ChunkRows::Columns(columns, reserved) = &self.chunks[idx].rows else { continue };
            let reserved = *reserved;
            let pages = write_pages(&self.layout, &self.owner, columns, self.stream)?;
            self.chunks[idx].rows = ChunkRows::Pages(pages);
            self.memory.shrink(reserved);
        }
        Ok(())
    }

    fn reserve_reading(&mut self, bytes: u64) -> Result<()> {
        if self.reading.try_resize(bytes).is_err() {
            self.give_up_columns()?;
            self.reading.try_resize(bytes)?;
        }
        Ok(())
    }

    /// Nothing is being read any more.
    pub(in crate::operators) fn end_reading(&mut self) -> Result<()> {
        Ok(self.reading.try_resize(0)?)
    }
}

fn header_bytes(n_rows: usize) -> u64 {
    HEADER_BYTES + n_rows as u64 / 8
}
