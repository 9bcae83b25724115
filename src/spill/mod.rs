//! Temporary files: where pages go when memory runs out.
//!
//! [`SpillStore`] implements [`crate::memory::PageStore`]. Its files have no name, so they vanish however the process
//! ends. Every call to the operating system that can fail goes through [`Disk`], where a test makes any one of them fail.
//!
//! Memory: a few buffers per thread that exist from the start, and 36 bytes per extent (256 KiB to 1 MiB of disk).
//! Blocks themselves cost nothing: a block's name says where it lies and how long it is.

mod block;
mod choice;
mod config;
mod disk;
mod extents;
mod files;
mod store;
#[cfg(test)]
mod tests;

pub use config::SpillConfig;
pub use disk::{Disk, Fault, PendingFile};
pub use store::{SpillCounters, SpillStore};
