//! Folders called `key=value`: columns that stand in the path of a file instead of in the file.
//!
//! Memory: one number a file and the values of each folder, under a reservation; a scan adds one array a batch and column.
//!
//! The surprising part: conditions on these columns are settled before anything is opened, by evaluating them once a
//! folder, whatever they look like. And values keep what they are: a column is a number or a date only where every value
//! would be spelled exactly so again, so `01001` stays text.

mod folder_name;
mod partitions;
mod scan;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use folder_name::folder_name;
pub(super) use partitions::BYTES_PER_FILE;
pub use partitions::Partitions;
pub use table::HiveTable;
