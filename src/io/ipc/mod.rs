//! Arrow IPC: files and streams of record batches, as other programs write them (`.arrow`, `.feather`), in and out.
//!
//! Memory: a worker holds the wanted columns of one record batch of the file; they are reserved before they are read, and
//! a batch that does not fit is an error that says so. What goes on is cut into batches of the usual size.
//!
//! The surprising part: a record batch is not decoded from the file as it lies there. Its wanted buffers are read one by
//! one, unpacked if need be, and put together as a smaller message (`message`); so columns that nobody wants cost nothing,
//! and no stated size is believed before memory for it is reserved.

mod dictionaries;
mod file;
mod input;
mod layout;
mod message;
mod open;
mod scan;
mod sink;
#[cfg(test)]
mod tests;

pub use open::IpcTable;
pub use sink::{IpcLayout, IpcSink};
