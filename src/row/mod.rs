//! Rows on pages: the one layout that aggregation, sort, distinct, joins and windows share.
//!
//! A row is a fixed part and, for long values, a piece of heap in the same page:
//!
//! ```text
//! [16-byte slots {len u32, prefix 4 B, data 8 B}] [fixed-width fields, widest first] [validity bits] [pad] [states]
//! ```
//!
//! A slot holds up to 12 bytes inline. A longer value lies in the heap of the page, and the slot's data is its distance
//! from the **start of the row**. A page is therefore self-contained: it comes back from disk at another address without
//! any fix-up, and copying a row needs no page base. NULL fields are zero, so equal keys are equal bytes.
//!
//! Memory: a page has the size that [`crate::memory::Sizes`] says; a value that does not fit gets a page of its own.
//!
//! `unsafe` stands here because rows are read and written through pointers into pinned pages. Pages are written by this
//! module alone and carry a checksum while they are on disk, so what a page says about itself is trusted.

mod code_map;
mod columns;
mod format;
mod gather;
mod hash;
mod join_table;
mod key;
mod layout;
mod merge;
mod order;
mod page;
mod pages;
mod pointer;
mod run;
mod scatter;
mod scratch;
mod table;

pub use code_map::{CodeMap, CodedGroups};
pub use columns::Columns;
pub use format::RowPageFormat;
pub use gather::{gather, gather_fields, gather_pages};
pub use hash::{Hash, hash_rows};
pub use join_table::{JoinTable, Matches, PairBounds, matched_bits, set_matched_bits};
pub use key::{Condenser, IndexKey, KeyField, KeySpread, MAX_KEY_WORDS};
pub use layout::{Layout, LayoutBuilder, StateOffset};
pub use merge::{MergeInputs, MergeRun, PageBank, PieceBounds, RowMerge, SharedRun, Slice};
pub use order::SortedRows;
pub use page::{RowPage, RowPointers};
pub use pages::{PagesWriter, SealedPages};
pub use pointer::{RowMut, RowRef, Rows};
pub use run::{Run, RunWriter};
pub use scratch::RowScratch;
pub(crate) use table::prefetch;
pub use table::{Located, RowTable};
