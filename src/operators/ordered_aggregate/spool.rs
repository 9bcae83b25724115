//! Values of one group that are still needed, first in first out, read by their place.
//!
//! Memory: up to a page of values in arrays, one page being written; the rest are pages that can be evicted.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::DataType;

use super::groups::copy_row;
use crate::error::{Error, Result};
use crate::exec::TaskContext;
use crate::memory::{Page, PageOwner};
use crate::row::{
    Columns, Layout, LayoutBuilder, PagesWriter, RowPage, RowPageFormat, RowPointers, SealedPages, gather,
};

/// Values of fixed width by their place, of which the first may be forgotten.
pub(super) struct Spool {
    layout: Arc<Layout>,
    owner: Arc<PageOwner>,
    /// Place of the first value on `pages`.
    first: u64,
    /// Full pages and how many values each has.
    pages: VecDeque<(Page, usize)>,
    writer: PagesWriter,
    /// Values not written to pages yet.
    recent: Vec<ArrayRef>,
    n_recent: usize,
    recent_limit: usize,
}

impl Spool {
    /// An empty spool of values of `data_type`, which has a fixed width.
    pub(super) fn new(data_type: &DataType, cx: &TaskContext) -> Result<Self> {
        let layout = LayoutBuilder::default().payload(data_type.clone()).build()?;
        let owner = cx.pages.owner("OrderedAggregate", RowPageFormat::new(&layout));
        let recent_limit = cx.sizes().page_bytes / layout.row_bytes();
        let writer = PagesWriter::new(layout.clone(), owner.clone());
        let (pages, recent) = (VecDeque::new(), Vec::new());
        Ok(Spool { layout, owner, first: 0, pages, writer, recent, n_recent: 0, recent_limit })
    }

    /// Forgets all values.
    pub(super) fn clear(&mut self) {
        self.first = 0;
        self.pages.clear();
        self.recent.clear();
        self.n_recent = 0;
        if self.writer.n_rows() > 0 {
            self.writer = PagesWriter::new(self.layout.clone(), self.owner.clone());
        }
    }

    /// Values so far, forgotten ones too.
    pub(super) fn len(&self) -> u64 {
        let on_pages: usize = self.pages.iter().map(|(_, n_values)| n_values).sum();
        self.first + (on_pages + self.writer.n_rows() + self.n_recent) as u64
    }

    /// Adds values behind the others.
    pub(super) fn push(&mut self, values: &ArrayRef) -> Result<()> {
        // A copy, because a slice would keep its whole batch.
        self.recent.push(concat(&[values.as_ref()])?);
        self.n_recent += values.len();
        if self.n_recent >= self.recent_limit { self.write_recent() } else { Ok(()) }
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
        if at < self.writer.n_rows() {
            let mut ptrs = RowPointers::default();
            return gather(&self.layout, 0, self.writer.rows(&mut ptrs).slice(at, 1));
        }
        at -= self.writer.n_rows();
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
        let page = RowPage::restored(page.pin()?, &self.layout)?;
        let mut ptrs = RowPointers::default();
        let value = gather(&self.layout, 0, page.rows(&mut ptrs).slice(at, 1))?;
        self.pages.insert(idx, (page.unpin(0, 0)?, n_values));
        Ok(value)
    }

    fn write_recent(&mut self) -> Result<()> {
        self.n_recent = 0;
        for values in std::mem::take(&mut self.recent) {
            let columns = Columns::new(&self.layout, &[values])?;
            let mut done = 0;
            while done < columns.n_rows() {
                let before = done;
                let refused = match self.writer.append_columns(&columns, done, columns.n_rows() - done) {
                    Ok(()) => {
                        done = columns.n_rows();
                        None
                    }
                    Err((n_written, refused)) => {
                        done += n_written;
                        Some(refused)
                    }
                };
                let was_full = self.unpin_full()?;
                match refused {
                    Some(refused) if done == before && !was_full => return Err(refused.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Lets the pool evict the full pages; says whether there were any.
    fn unpin_full(&mut self) -> Result<bool> {
        let mut full = SealedPages::default();
        self.writer.unpin_full(0, 0, &mut full)?;
        let n_values = full.n_rows();
        let pages = full.into_pages();
        let any = !pages.is_empty();
        // Values have a fixed width, so full pages have the same number of them.
        let per_page = n_values.checked_div(pages.len()).unwrap_or(0);
        self.pages.extend(pages.into_iter().map(|page| (page, per_page)));
        Ok(any)
    }
}
