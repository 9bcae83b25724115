//! The rows of one worker that are still needed: those that wait for their frames to be complete, and those that later
//! frames reach back to.
//!
//! Rows are numbered from 0 in the order in which they arrive: their positions. They are kept a batch at a time, in
//! columns as long as a share of memory lasts and else on unpinned pages, so a partition may be of any size. Readers go
//! forward through the log, each at its own place; what no reader needs any more is forgotten.
//!
//! Memory: the share for columns, under a reservation; each reader's columns of one batch where that is on pages, likewise;
//! and a few hundred bytes a batch for what is known about it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};

use crate::error::{Error, Result};
use crate::exec::QueryContext;
use crate::memory::{Page, PageOwner, Reservation};
use crate::row::{Columns, Layout, PagesWriter, RowPage, SealedPages, gather_pages};

/// What a batch costs beside its rows: what is known about it, and the handles of its pages.
const CHUNK_BYTES: u64 = 1024;

/// The most bytes of a value of any size in a column, beside those that it has on pages.
const VALUE_BYTES: usize = 16;

/// A page that may be refused for the moment is asked for so many times.
const ATTEMPTS: usize = 4;

/// What is known about a batch in the log.
#[derive(Default)]
pub(super) struct Facts {
    /// The first start of a partition.
    pub(super) partition_start: Option<u64>,
    /// For every order, the first start of a group of peers.
    pub(super) peer_start: Vec<Option<u64>>,
    /// For every order, the starts of groups of peers in this batch and all before.
    pub(super) n_peer_starts: Vec<u64>,
    /// For every frame that ends at a value, the last of those values.
    pub(super) last_bounds: Vec<ArrayRef>,
}

struct Chunk {
    first: u64,
    n_rows: usize,
    rows: ChunkRows,
    facts: Facts,
}

enum ChunkRows {
    /// In columns, of which so many bytes are reserved.
    Columns(Vec<ArrayRef>, u64),
    /// On pages.
    Pages(Vec<Page>),
}

/// See the module.
pub(super) struct Log {
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    chunks: VecDeque<Chunk>,
    /// For columns.
    memory: Reservation,
    /// For what is known about batches.
    facts_memory: Reservation,
    share_bytes: u64,
    stream: u32,
    /// Position after the last row.
    pub(super) end: u64,
}

impl Log {
    pub(super) fn new(
        layout: Arc<Layout>,
        owner: Arc<PageOwner>,
        share_bytes: u64,
        stream: u32,
        cx: &QueryContext,
    ) -> Self {
        let memory = cx.memory.reserve(owner.name());
        let facts_memory = cx.memory.reserve(owner.name());
        Log { layout, owner, chunks: VecDeque::new(), memory, facts_memory, share_bytes, stream, end: 0 }
    }

    /// Appends a batch. The batch before it goes to pages when there is no room for its columns.
    pub(super) fn push(&mut self, columns: Vec<ArrayRef>, n_rows: usize, facts: Facts) -> Result<()> {
        self.settle_last()?;
        if self.facts_memory.try_grow(CHUNK_BYTES).is_err() {
            self.give_up_columns()?;
            self.facts_memory.try_grow(CHUNK_BYTES)?;
        }
        self.chunks.push_back(Chunk { first: self.end, n_rows, rows: ChunkRows::Columns(columns, 0), facts });
        self.end += n_rows as u64;
        Ok(())
    }

    /// Reserves the columns of the last batch, or writes them to pages.
    fn settle_last(&mut self) -> Result<()> {
        let Some(Chunk { rows: ChunkRows::Columns(columns, reserved), .. }) = self.chunks.back_mut() else {
            return Ok(());
        };
        let bytes = bytes_of(columns);
        let fits = self.memory.bytes() + bytes <= self.share_bytes && self.memory.try_grow(bytes).is_ok();
        if fits {
            *reserved = bytes;
            return Ok(());
        }
        let pages = write_pages(&self.layout, &self.owner, columns, self.stream)?;
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.rows = ChunkRows::Pages(pages);
        }
        Ok(())
    }

    /// Writes all columns that are under the reservation to pages, which can be evicted.
    fn give_up_columns(&mut self) -> Result<()> {
        for chunk in &mut self.chunks {
            let ChunkRows::Columns(columns, reserved @ 1..) = &chunk.rows else { continue };
            let pages = write_pages(&self.layout, &self.owner, columns, self.stream)?;
            self.memory.shrink(*reserved);
            chunk.rows = ChunkRows::Pages(pages);
        }
        Ok(())
    }

    /// Forgets all batches that end at or before `position`.
    pub(super) fn forget_before(&mut self, position: u64) {
        while let Some(chunk) = self.chunks.pop_front_if(|chunk| chunk.first + chunk.n_rows as u64 <= position) {
            if let ChunkRows::Columns(_, reserved) = chunk.rows {
                self.memory.shrink(reserved);
            }
            self.facts_memory.shrink(CHUNK_BYTES);
        }
    }

    /// The index of the batch that has `position`.
    fn find(&self, position: u64) -> Result<usize> {
        let idx = self.chunks.partition_point(|chunk| chunk.first + chunk.n_rows as u64 <= position);
        match self.chunks.get(idx) {
            Some(chunk) if chunk.first <= position => Ok(idx),
            _ => Err(Error::query(format!("row {position} of a window is not there any more, or not yet"))),
        }
    }

    /// First position and number of rows of the batch that has `position`.
    pub(super) fn extent(&self, position: u64) -> Result<(u64, usize)> {
        let chunk = &self.chunks[self.find(position)?];
        Ok((chunk.first, chunk.n_rows))
    }

    /// What is known about the batch that has `position`.
    pub(super) fn facts(&self, position: u64) -> Result<&Facts> {
        Ok(&self.chunks[self.find(position)?].facts)
    }

    /// The first start that `start` finds among what is known about the batches after the one that has `position`.
    pub(super) fn first_after(&self, position: u64, start: impl Fn(&Facts) -> Option<u64>) -> Result<Option<u64>> {
        let idx = self.find(position)?;
        Ok(self.chunks.iter().skip(idx + 1).find_map(|chunk| start(&chunk.facts)))
    }

    /// Some columns of the batch at `idx`; what they take beside the log is reserved before they are made.
    fn columns(&mut self, idx: usize, wanted: &[usize], memory: &mut Reservation) -> Result<Vec<ArrayRef>> {
        let (layout, stream) = (self.layout.clone(), self.stream);
        let chunk = &self.chunks[idx];
        let (first, n_rows) = (chunk.first, chunk.n_rows);
        let n_pages = match &chunk.rows {
            ChunkRows::Columns(columns, _) => {
                memory.try_resize(0)?;
                return Ok(wanted.iter().map(|&column| columns[column].clone()).collect());
            }
            ChunkRows::Pages(pages) => pages.len(),
        };
        // Heap values lie on the pages as they will in the columns; beside them a view and a bit each.
        let width = |&column: &usize| layout.field_type(column).primitive_width();
        let on_pages = if wanted.iter().all(|column| width(column).is_some()) { 0 } else { n_pages };
        let widths: usize = wanted.iter().map(|column| width(column).unwrap_or(VALUE_BYTES) + 1).sum();
        let estimate = (on_pages * self.owner.page_bytes() + n_rows * widths) as u64;
        self.resize(memory, estimate)?;
        let ChunkRows::Pages(pages) = &mut self.chunks[idx].rows else { return Ok(Vec::new()) };
        let pages = std::mem::take(pages);
        let mut pinned = Vec::with_capacity(pages.len());
        for page in pages {
            pinned.push(RowPage::restored(page.pin()?, &layout)?);
        }
        let columns = gather_pages(&layout, wanted, &pinned)?;
        let priority = priority_of(first);
        let pages = pinned.into_iter().map(|page| page.unpin(priority, stream)).collect::<Result<_>>()?;
        self.chunks[idx].rows = ChunkRows::Pages(pages);
        self.resize(memory, bytes_of(&columns))?;
        Ok(columns)
    }

    /// Resizes what a reader holds. When there is no room the log gives up its columns first.
    fn resize(&mut self, memory: &mut Reservation, bytes: u64) -> Result<()> {
        if memory.try_resize(bytes).is_err() {
            self.give_up_columns()?;
            memory.try_resize(bytes)?;
        }
        Ok(())
    }
}

/// Rows that came later are needed later.
fn priority_of(position: u64) -> u32 {
    (position >> 10).min(u64::from(u32::MAX)) as u32
}

pub(in crate::operators) fn bytes_of(columns: &[ArrayRef]) -> u64 {
    columns.iter().map(|column| column.get_array_memory_size() as u64).sum()
}

/// Writes a batch to unpinned pages.
pub(in crate::operators) fn write_pages(
    layout: &Arc<Layout>,
    owner: &Arc<PageOwner>,
    columns: &[ArrayRef],
    stream: u32,
) -> Result<Vec<Page>> {
    let columns = Columns::new(layout, columns)?;
    let mut writer = PagesWriter::new(layout.clone(), owner.clone());
    let (mut start, mut attempts) = (0, 0);
    while start < columns.n_rows() {
        match writer.append_columns(&columns, start, columns.n_rows() - start) {
            Ok(()) => break,
            Err((n_rows, refused)) => {
                start += n_rows;
                attempts = if n_rows > 0 { 0 } else { attempts + 1 };
                if attempts == ATTEMPTS {
                    return Err(refused.into());
                }
            }
        }
    }
    let mut pages = SealedPages::default();
    writer.seal(0, stream, &mut pages)?;
    Ok(pages.into_pages())
}

/// Goes forward through some columns of a log.
pub(super) struct Reader {
    wanted: Vec<usize>,
    /// The batch at hand.
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) columns: Vec<ArrayRef>,
    memory: Reservation,
}

impl Reader {
    pub(super) fn new(wanted: Vec<usize>, cx: &QueryContext) -> Self {
        Reader { wanted, first: 0, end: 0, columns: Vec::new(), memory: cx.memory.reserve("Window") }
    }

    /// Whether the row at `position` is in the batch at hand.
    #[inline(always)]
    pub(super) fn has(&self, position: u64) -> bool {
        self.first <= position && position < self.end
    }

    /// Goes to the batch that has `position`. Returns whether that is another one than before.
    ///
    /// # Errors
    /// A budget error when there is no room for its columns, or a failing disk.
    pub(super) fn seek(&mut self, log: &mut Log, position: u64) -> Result<bool> {
        if self.has(position) {
            return Ok(false);
        }
        self.columns.clear();
        let idx = log.find(position)?;
        self.columns = log.columns(idx, &self.wanted, &mut self.memory)?;
        (self.first, self.end) = (log.chunks[idx].first, log.chunks[idx].first + log.chunks[idx].n_rows as u64);
        Ok(true)
    }
}
