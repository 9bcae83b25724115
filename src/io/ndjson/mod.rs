//! NDJSON: one JSON object a line; bounded, parallel within one file, never lossy.
//!
//! Memory: a worker holds one block of text (and at most one row that is longer) and the columns of one batch, reserved
//! before they are allocated.
//!
//! The surprising part: no newline stands inside a JSON text, so a block of a file can be read without knowing anything of
//! the blocks before it. And a value is never bent: `1.5` in a column of integers, a text in a column of numbers, a field
//! that no looked-at row had are errors with a place, or bad rows, and never NULL.
//!
//! The way of a byte: `feed` (blocks of whole lines) -> `cursor` (JSON tokens) -> `column` (typed builders, nested ones
//! too) -> `scan` (batches, filters).

mod column;
mod cursor;
mod feed;
mod guess;
mod open;
mod problem;
mod row;
mod scan;
#[cfg(test)]
mod tests;

pub use open::{NdJsonOptions, NdJsonTable};
