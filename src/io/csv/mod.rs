//! CSV: bounded, parallel within one file, never lossy.
//!
//! Memory: a worker holds one block of text (and at most one row that is longer), one table of field positions, and the
//! columns of one batch; all three follow from [`crate::memory::Sizes`] and are reserved before they are allocated.
//!
//! The surprising part: a block of a file may begin inside a quoted field, and nothing in the block itself tells. Every
//! block therefore gets the quote state of its start from its predecessor ([`chain`]); blocks without a quote pass the
//! state on without being looked at. So the result never depends on block size or number of threads.
//!
//! The way of a byte: [`feed`] (blocks of whole records) -> [`structure`] (64-byte masks) -> [`tokens`] (field ends,
//! complete rows) -> [`column`] (typed kernels, one column at a time) -> [`scan`] (batches, filters).

mod bad_rows;
mod block;
mod chain;
mod column;
mod compressed;
mod dates;
mod facts;
mod feed;
mod header;
mod hints;
mod infer;
mod lines;
mod numbers;
mod open;
mod options;
mod reject_file;
mod sample;
mod scan;
mod seen_rows;
pub(crate) mod settings;
mod shared_schema;
mod sniff;
mod stream;
mod streamed;
mod strings;
mod structure;
mod time_format;
mod tokens;
mod transcode;

#[cfg(test)]
pub(crate) mod tests;

pub(in crate::io) use lines::{
    Lines, count_lines, lossless_f64, open_lines, parse_date, parse_decimal, parse_timestamp, read_failed, read_fully,
    read_fully_at,
};
pub use open::CsvTable;
pub use options::{CsvOptions, Encoding, OnBadRow, Quote, Ragged};
pub use reject_file::RejectFile;
pub(in crate::io) use seen_rows::{Kind as BadRowKind, Place, Seen, SeenRows};
pub use shared_schema::SharedSchema;
