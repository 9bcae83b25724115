//! Merging sorted runs, all of them at once or a slice of the key space at a time.
//!
//! The index of a run tells which pages hold which keys, so that several workers may each merge a slice of their own. A
//! page that holds the border of two slices is shared: whoever needs it first brings it back, and whoever needs it last
//! lets go of it. Pages are consumed as the merge advances, in memory and on disk alike.
//!
//! Memory: a merge holds one page a run, and the pages whose rows are in the piece handed out last. Pages come back into
//! the memory of a [`PageBank`], which is filled before the merge starts, so that a merge never asks the pool for more.

use std::sync::{Arc, Mutex, MutexGuard};

use super::key::{Condenser, IndexKey, KeyField};
use super::layout::Layout;
use super::order::SortedRows;
use super::page::{RowPage, row_heap_bytes};
use super::pointer::{RowPtr, Rows};
use super::run::{Run, prefetch_row};
use crate::error::{Error, Result};
use crate::memory::{Page, PageOwner, PinnedPage, Reservation};

/// Pinned pages that a merge may use for the pages it brings back.
pub struct PageBank {
    owner: Arc<PageOwner>,
    free: Mutex<Vec<PinnedPage>>,
    keep: usize,
}

impl PageBank {
    /// A bank of up to `want` standard pages; as many as the pool gives.
    pub fn fill(owner: Arc<PageOwner>, want: usize, mut free: Vec<PinnedPage>) -> Self {
        let mut refusals = 0;
        while free.len() < want && refusals < Self::REFUSALS {
            match owner.allocate(owner.page_bytes()) {
                Ok(page) => free.push(page),
                Err(_) => refusals += 1,
            }
        }
        PageBank { owner, keep: free.len(), free: Mutex::new(free) }
    }

    /// A refusal may be due to what another thread holds for a moment, so a few are not the end.
    const REFUSALS: usize = 4;

    /// Pages the bank has when all have been given back.
    pub fn n_pages(&self) -> usize {
        self.keep
    }

    /// A page, of the pool's if the bank is empty.
    ///
    /// # Errors
    /// A budget error when neither has one.
    pub fn take(&self) -> Result<PinnedPage> {
        match self.lock().pop() {
            Some(page) => Ok(page),
            None => Ok(self.owner.allocate(self.owner.page_bytes())?),
        }
    }

    /// Gives a page back.
    pub fn put(&self, page: PinnedPage) {
        let mut free = self.lock();
        if page.len() == self.owner.page_bytes() && free.len() < self.keep {
            free.push(page);
        }
    }

    fn restore(&self, page: Page, memory: PinnedPage, layout: &Layout) -> Result<RowPage> {
        let (page, spare) = page.pin_into(memory)?;
        spare.into_iter().for_each(|spare| self.put(spare));
        RowPage::restored(page, layout)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PinnedPage>> {
        lock(&self.free)
    }
}

/// A sorted run that is being merged, perhaps by several workers.
pub enum MergeRun {
    /// On pages.
    Pages(SharedRun),
    /// Pinned where the rows were collected.
    Pinned(SortedRows),
}

/// The pages of a run.
pub struct SharedRun {
    pages: Vec<SharedPage>,
    last: IndexKey,
    borders: Arc<[IndexKey]>,
    _memory: Reservation,
}

struct SharedPage {
    first: IndexKey,
    cell: Mutex<Cell>,
}

/// Where a page is. One in memory is kept for as many slices as have yet to use it.
enum Cell {
    Sealed(Page),
    Restored(Box<(Arc<RowPage>, usize)>),
    Gone,
}

impl SharedRun {
    /// For a merge of the slices between `borders`, which ascend; one more slice than borders.
    pub fn new(run: Run, borders: Arc<[IndexKey]>) -> Self {
        let (pages, last, memory) = run.into_parts();
        let share =
            |page: super::run::RunPage| SharedPage { first: page.first, cell: Mutex::new(Cell::Sealed(page.page)) };
        SharedRun { pages: pages.into_iter().map(share).collect(), last, borders, _memory: memory }
    }

    /// How many slices need a page.
    fn n_uses(&self, idx: usize) -> usize {
        let from = self.borders.partition_point(|border| *border <= self.pages[idx].first);
        let to = self.borders.partition_point(|border| *border <= self.end(idx));
        to - from + 1
    }

    /// The first key of the next page; the last key of the last page.
    fn end(&self, idx: usize) -> IndexKey {
        self.pages.get(idx + 1).map_or(self.last, |next| next.first)
    }

    /// The pages that hold rows of the slice, and perhaps one more at either end.
    fn pages_of(&self, slice: &Slice) -> std::ops::Range<usize> {
        let to = slice.to.map_or(self.pages.len(), |to| self.pages.partition_point(|page| page.first < to));
        let Some(border) = slice.from else { return 0..to };
        let from = partition_point(self.pages.len(), |idx| self.end(idx) < border);
        from..to.max(from)
    }

    /// Lets one slice have a page.
    fn take(&self, idx: usize, bank: &PageBank, layout: &Layout) -> Result<Arc<RowPage>> {
        let mut cell = lock(&self.pages[idx].cell);
        // When there is no memory, the page stays, so that others who need it are refused memory too.
        let memory = if matches!(*cell, Cell::Sealed(_)) { Some(bank.take()?) } else { None };
        match (std::mem::replace(&mut *cell, Cell::Gone), memory) {
            (Cell::Sealed(page), Some(memory)) => {
                let page = Arc::new(bank.restore(page, memory, layout)?);
                let uses = self.n_uses(idx);
                if uses > 1 {
                    *cell = Cell::Restored(Box::new((page.clone(), uses - 1)));
                }
                Ok(page)
            }
            (Cell::Restored(restored), _) if restored.1 > 1 => {
                let (page, uses) = *restored;
                *cell = Cell::Restored(Box::new((page.clone(), uses - 1)));
                Ok(page)
            }
            (Cell::Restored(restored), _) => Ok(restored.0),
            _ => Err(Error::query("a page of a run was needed after its last use")),
        }
    }
}

/// A part of the key space: keys not below `from` and below `to`, by their index keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slice {
    /// `None` is the beginning.
    pub from: Option<IndexKey>,
    /// `None` is the end.
    pub to: Option<IndexKey>,
}

/// How much a merge hands out at once.
#[derive(Debug, Clone, Copy)]
pub struct PieceBounds {
    /// Rows at most.
    pub max_rows: usize,
    /// A piece is complete when its rows have so many bytes.
    pub max_bytes: usize,
    /// A piece is complete when it has used up so many pages.
    pub max_pages: usize,
}

/// What all slices of a merge share.
pub struct MergeInputs {
    /// The layout of all rows.
    pub layout: Arc<Layout>,
    /// Where the key is.
    pub key: KeyField,
    /// For the spread of all runs together.
    pub condenser: Condenser,
    /// The runs.
    pub runs: Vec<MergeRun>,
    /// Where pages come back to.
    pub bank: Arc<PageBank>,
}

impl MergeInputs {
    /// The same with other runs.
    pub fn with_runs(&self, runs: Vec<MergeRun>) -> Self {
        let (layout, condenser, bank) = (self.layout.clone(), self.condenser.clone(), self.bank.clone());
        MergeInputs { layout, key: self.key, condenser, runs, bank }
    }
}

/// One merge, of all rows or of a slice.
pub struct RowMerge {
    inputs: Arc<MergeInputs>,
    slice: Slice,
    cursors: Vec<Cursor>,
    /// `players[0]` has the smallest row; node `n > 0` holds the loser of the match at that node.
    players: Vec<Player>,
    /// Pages whose last rows are in the piece handed out last.
    used_up: Vec<Arc<RowPage>>,
    piece: Vec<RowPtr>,
}

// SAFETY: the pointers point into pages that the merge or its inputs hold.
unsafe impl Send for RowMerge {}

/// A cursor and the condensed key of its row.
#[derive(Clone, Copy, Default)]
struct Player {
    head: u64,
    cursor: u32,
}

struct Cursor {
    run: usize,
    page: Option<Arc<RowPage>>,
    /// What is left of the run: pages, or rows of a pinned run.
    next: usize,
    end: usize,
    at: usize,
    condensed: Vec<u64>,
    rows: Vec<RowPtr>,
    /// Whether any of the rows may have heap bytes.
    has_heap: bool,
}

/// Rows of a pinned run that a cursor looks at at once.
const WINDOW_ROWS: usize = 1024;

impl Cursor {
    fn new(run: usize, range: std::ops::Range<usize>) -> Self {
        let (condensed, rows) = (Vec::new(), Vec::new());
        Cursor { run, page: None, next: range.start, end: range.end, at: 0, condensed, rows, has_heap: false }
    }

    /// Bytes that a cursor needs beside its page of `page_bytes`.
    fn window_bytes(layout: &Layout, page_bytes: usize) -> usize {
        (page_bytes / layout.row_bytes + 1) * (size_of::<u64>() + size_of::<RowPtr>())
    }

    fn is_exhausted(&self) -> bool {
        self.at == self.rows.len()
    }
}

impl RowMerge {
    /// Bytes that a merge needs for each run beside a page.
    pub fn bytes_per_run(layout: &Layout, page_bytes: usize) -> usize {
        Cursor::window_bytes(layout, page_bytes).max(WINDOW_ROWS * 16) + 128
    }

    /// Starts merging a slice.
    ///
    /// # Errors
    /// When a page cannot be brought back.
    pub fn new(inputs: Arc<MergeInputs>, slice: Slice) -> Result<Self> {
        let mut cursors = Vec::new();
        for (idx, run) in inputs.runs.iter().enumerate() {
            let range = match run {
                MergeRun::Pages(run) => run.pages_of(&slice),
                MergeRun::Pinned(rows) => {
                    let below = |border: &IndexKey| rows.n_below(border);
                    slice.from.as_ref().map_or(0, below)..slice.to.as_ref().map_or(rows.len(), below)
                }
            };
            cursors.push(Cursor::new(idx, range));
        }
        let (players, used_up, piece) = (Vec::new(), Vec::new(), Vec::new());
        let mut merge = RowMerge { inputs, slice, cursors, players, used_up, piece };
        for idx in 0..merge.cursors.len() {
            merge.refill(idx)?;
        }
        merge.cursors.retain(|cursor| !cursor.is_exhausted());
        merge.start_matches();
        Ok(merge)
    }

    /// Where the memory of its pages comes from.
    pub fn bank(&self) -> &PageBank {
        &self.inputs.bank
    }

    /// Whether all rows have been handed out.
    pub fn is_done(&self) -> bool {
        self.players.first().is_none_or(|winner| self.cursors[winner.cursor as usize].is_exhausted())
    }

    /// The next rows in order; none at the end.
    ///
    /// # Errors
    /// When a page cannot be brought back.
    pub fn next_piece(&mut self, bounds: PieceBounds) -> Result<Rows<'_>> {
        self.piece.clear();
        for page in self.used_up.drain(..) {
            if let Some(page) = Arc::into_inner(page) {
                self.inputs.bank.put(page.into_memory());
            }
        }
        let row_bytes = self.inputs.layout.row_bytes;
        let mut bytes = 0;
        while self.piece.len() < bounds.max_rows && bytes < bounds.max_bytes {
            let Some(&Player { cursor: winner, .. }) = self.players.first() else { break };
            let cursor = &mut self.cursors[winner as usize];
            let Some(&row) = cursor.rows.get(cursor.at) else { break };
            self.piece.push(row);
            bytes += row_bytes;
            if cursor.has_heap {
                // SAFETY: the row is of this layout and its page is held until the next piece.
                bytes += unsafe { row_heap_bytes(&self.inputs.layout, row) };
            }
            cursor.at += 1;
            if let Some(&head) = cursor.condensed.get(cursor.at) {
                self.replay(Player { head, cursor: winner });
                continue;
            }
            let head = self.refill(winner as usize)?;
            self.replay(Player { head, cursor: winner });
            if self.used_up.len() >= bounds.max_pages {
                break;
            }
        }
        // SAFETY: the rows' pages are held by cursors, by `used_up`, or by pinned runs until the next call.
        Ok(unsafe { Rows::new(&self.piece) })
    }

    /// Gives the cursor its next rows, if there are any; returns the condensed key of the first.
    #[cold]
    fn refill(&mut self, idx: usize) -> Result<u64> {
        let cursor = &mut self.cursors[idx];
        cursor.at = 0;
        cursor.condensed.clear();
        cursor.rows.clear();
        self.used_up.extend(cursor.page.take());
        while cursor.rows.is_empty() && cursor.next < cursor.end {
            match &self.inputs.runs[cursor.run] {
                MergeRun::Pages(run) => {
                    let page = run.take(cursor.next, &self.inputs.bank, &self.inputs.layout)?;
                    cursor.next += 1;
                    cursor.look_at(page, &self.inputs, &self.slice);
                }
                MergeRun::Pinned(rows) => {
                    let window = cursor.next..cursor.end.min(cursor.next + WINDOW_ROWS);
                    cursor.next = window.end;
                    let entries = &rows.entries()[window];
                    cursor.rows.extend(entries.iter().map(|entry| entry.row));
                    // These rows lie anywhere; all of them will be needed soon.
                    cursor.rows.iter().for_each(|&row| prefetch_row(row, self.inputs.layout.row_bytes));
                    cursor.has_heap = rows.has_heap();
                    cursor.condensed.extend(entries.iter().map(|entry| entry.condensed));
                }
            }
        }
        Ok(cursor.condensed.first().copied().unwrap_or(u64::MAX))
    }

    /// Plays all matches.
    fn start_matches(&mut self) {
        let n = self.cursors.len();
        let mut winners = vec![Player::default(); 2 * n];
        for (idx, cursor) in self.cursors.iter().enumerate() {
            winners[n + idx] = Player { head: cursor.condensed[0], cursor: idx as u32 };
        }
        self.players.clear();
        self.players.resize(n, Player::default());
        for node in (1..n).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            let (winner, loser) = if self.comes_before(a, b) { (a, b) } else { (b, a) };
            winners[node] = winner;
            self.players[node] = loser;
        }
        if let Some(first) = self.players.first_mut() {
            *first = winners[1];
        }
    }

    /// Plays the matches of `player`, whose row has changed, up to the root.
    #[inline(always)]
    fn replay(&mut self, player: Player) {
        let mut winner = player;
        let mut node = (player.cursor as usize + self.players.len()) / 2;
        while node > 0 {
            let other = self.players[node];
            let other_wins = if other.head != winner.head {
                other.head < winner.head
            } else {
                self.comes_before_by_key(other.cursor, winner.cursor)
            };
            let (won, lost) = if other_wins { (other, winner) } else { (winner, other) };
            self.players[node] = lost;
            winner = won;
            node /= 2;
        }
        self.players[0] = winner;
    }

    fn comes_before(&self, a: Player, b: Player) -> bool {
        if a.head != b.head { a.head < b.head } else { self.comes_before_by_key(a.cursor, b.cursor) }
    }

    #[cold]
    fn comes_before_by_key(&self, a: u32, b: u32) -> bool {
        let (cursor_a, cursor_b) = (&self.cursors[a as usize], &self.cursors[b as usize]);
        match (cursor_a.rows.get(cursor_a.at), cursor_b.rows.get(cursor_b.at)) {
            // SAFETY: both are live rows of the key's layout. Equal keys go by run, so that the order is a total one.
            (Some(&a_row), Some(&b_row)) => unsafe { self.inputs.key.compare(a_row, b_row).then(a.cmp(&b)).is_lt() },
            (a_row, _) => a_row.is_some(),
        }
    }
}

impl Drop for RowMerge {
    /// Gives the memory of its pages back to the bank.
    fn drop(&mut self) {
        let held = self.cursors.iter_mut().filter_map(|cursor| cursor.page.take());
        for page in held.chain(self.used_up.drain(..)) {
            if let Some(page) = Arc::into_inner(page) {
                self.inputs.bank.put(page.into_memory());
            }
        }
    }
}

impl Cursor {
    /// Takes over the rows of `page` that are in the slice.
    fn look_at(&mut self, page: Arc<RowPage>, inputs: &MergeInputs, slice: &Slice) {
        let key = inputs.key;
        // SAFETY: rows of the page are of the key's layout.
        let is_below = |idx: usize, border: &IndexKey| unsafe { key.index_key(page.row(idx)) } < *border;
        let n_below = |border: &IndexKey| partition_point(page.n_rows(), |idx| is_below(idx, border));
        let from = slice.from.as_ref().map_or(0, n_below);
        let to = slice.to.as_ref().map_or(page.n_rows(), n_below);
        if from >= to {
            if let Some(page) = Arc::into_inner(page) {
                inputs.bank.put(page.into_memory());
            }
            return;
        }
        self.rows.extend((from..to).map(|idx| page.row(idx)));
        self.condensed.reserve(self.rows.len());
        // SAFETY: as above.
        unsafe { inputs.condenser.condense(key, &self.rows, |condensed, _| self.condensed.push(condensed)) };
        self.has_heap = page.has_heap();
        self.page = Some(page);
    }
}

/// The first of `0..n` for which `is_below` no longer holds.
fn partition_point(n: usize, is_below: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = (low + high) / 2;
        if is_below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
