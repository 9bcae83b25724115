//! The `brimful` command. What it can do stands in [`brimful::cli`].

use std::process::ExitCode;

/// Counts every live byte, so that memory nobody reserved is charged to the budget too.
#[global_allocator]
static ALLOCATOR: brimful::memory::CountingAllocator = brimful::memory::CountingAllocator;

fn main() -> ExitCode {
    brimful::cli::run()
}
