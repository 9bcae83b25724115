//! Values of one group that are still needed, first in first out, read by their place.
//!
//! Memory: up to two pages of values in arrays, reserved; without room for them they are written at once. Pages while they
//! are written; all others can be evicted.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::DataType;

use super::groups::copy_row;
use crate::error::{Error, Result};
use crate::exec::QueryContext;
use crate::memory::{Memory, OwnerCounters, Page, PageOwner, Reservation};
use crate::row::{Columns, Layout, LayoutBuilder, PagesWriter, RowPage, RowPageFormat, RowPointers, gather};

/// Pages' worth of values that are written at once: enough that the last page, which is not full, matters little.
const PAGES_AT_ONCE: usize = 2;

/// Where the values of one call wait, for all workers.
#[derive(Clone)]
pub(super) struct Shelf {
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    memory: Memory,
}

impl Shelf {
    /// For values of `data_type`.
    pub(super) fn new(data_type: &DataType, cx: &QueryContext) -> Result<Self> {
        let layout = LayoutBuilder::default().payload(data_type.clone()).build()?;
        let owner = cx.pages.owner("OrderedAggregate", RowPageFormat::new(&layout));
        Ok(Shelf { layout, owner, memory: cx.memory.clone() })
    }

    /// What its pages have cost.
    pub(super) fn counters(&self) -> OwnerCounters {
        self.owner.counters()
    }
}

/// Values by their place, of which the first may be forgotten.
pub(super) struct Spool {
    shelf: Shelf,
    /// Place of the first value on `pages`.
    first: u64,
    /// Values so far, forgotten ones too.
    len: u64,
    /// Pages and how many values each has.
    pages: VecDeque<(Page, usize)>,
    /// Values not written to pages yet.
    recent: Vec<ArrayRef>,
    recent_bytes: usize,
    /// For those.
    memory: Reservation,
}

impl Spool {
    /// An empty spool.
    pub(super) fn new(shelf: Shelf) -> Self {
        let memory = shelf.memory.reserve("OrderedAggregate");
        Spool { shelf, first: 0, len: 0, pages: VecDeque::new(), recent: Vec::new(), recent_bytes: 0, memory }
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        (self.first, self.len) = (0, 0);
        self.pages.clear();
        self.recent.clear();
        self.let_go_of_recent();
    }

    /// Values so far, forgotten ones too.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds values behind the others.
    pub(super) fn push(&mut self, values: &ArrayRef) -> Result<()> {
        // A copy, because a slice would keep its whole batch.
        let values = concat(&[values.as_ref()])?;
        self.recent_bytes += values.get_array_memory_size();
        self.len += values.len() as u64;
        self.recent.push(values);
        let is_enough = self.recent_bytes >= PAGES_AT_ONCE * self.shelf.owner.page_bytes();
        match is_enough || self.memory.try_resize(self.recent_bytes as u64).is_err() {
            true => self.write_recent(),
            false => Ok(()),
        }
    }

    fn let_go_of_recent(&mut self) {
        self.recent_bytes = 0;
        self.memory.shrink(self.memory.bytes());
    }

    /// Forgets values before `place`, as far as whole pages hold them.
    pub(super) fn forget_before(&mut self, place: u64) {
        while let Some((_, n_values)) = self.pages.front()
            && self.first + *n_values as u64 <= place
        {
            self.first += *n_values as u64;
            self.pages.pop_front();
        }
    }

    /// The value at `place`, as an array of one.
    pub(super) fn get(&mut self, place: u64) -> Result<ArrayRef> {
        let lost = || Error::query("a value of a percentile was forgotten too early");
        let mut at = place.checked_sub(self.first).ok_or_else(lost)? as usize;
        for idx in 0..self.pages.len() {
            if at < self.pages[idx].1 {
                return self.get_from_page(idx, at);
            }
            at -= self.pages[idx].1;
        }
        for values in &self.recent {
            if at < values.len() {
                return copy_row(values, at);
            }
            at -= values.len();
        }
        Err(lost())
    }

    /// Brings a page back and leaves it there as it was.
    fn get_from_page(&mut self, idx: usize, at: usize) -> Result<ArrayRef> {
        let Some((page, n_values)) = self.pages.remove(idx) else {
            return Err(Error::query("a page of values is missing"));
        };
        let page = RowPage::restored(page.pin()?, &self.shelf.layout)?;
        let mut ptrs = RowPointers::default();
        let value = gather(&self.shelf.layout, 0, page.rows(&mut ptrs).slice(at, 1))?;
        self.pages.insert(idx, (page.unpin(0, 0)?, n_values));
        Ok(value)
    }

    fn write_recent(&mut self) -> Result<()> {
        let mut writer = PagesWriter::new(self.shelf.layout.clone(), self.shelf.owner.clone());
        for values in std::mem::take(&mut self.recent) {
            // Their pages take the place of the values.
            self.memory.shrink(self.memory.bytes().min(values.get_array_memory_size() as u64));
            let columns = Columns::new(&self.shelf.layout, &[values])?;
            let mut done = 0;
            while done < columns.n_rows() {
                match writer.append_columns(&columns, done, columns.n_rows() - done) {
                    Ok(()) => done = columns.n_rows(),
                    Err((n_written, refused)) => {
                        done += n_written;
                        if n_written == 0 && writer.n_rows() == 0 {
                            return Err(refused.into());
                        }
                        self.take_pages(&mut writer)?;
                    }
                }
            }
        }
        self.let_go_of_recent();
        self.take_pages(&mut writer)
    }

    /// Lets the pool evict the pages that were written.
    fn take_pages(&mut self, writer: &mut PagesWriter) -> Result<()> {
        for page in writer.take_pages() {
            let n_values = page.n_rows();
            self.pages.push_back((page.unpin(0, 0)?, n_values));
        }
        Ok(())
    }
}
