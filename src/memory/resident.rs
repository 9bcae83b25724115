//! What the operating system says this process holds.

use std::fs;
use std::time::Duration;

/// Resident memory as `/proc/self/status` reports it. Units: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidentSet {
    /// Resident now (VmRSS): anonymous memory, shared memory and mapped files, program text included.
    pub resident_bytes: u64,
    /// The most that was ever resident (VmHWM): the figure the budget is a promise about.
    pub peak_bytes: u64,
}

impl ResidentSet {
    /// Reads it; `None` where the system does not tell.
    pub fn read() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line[name.len()..].split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(ResidentSet { resident_bytes: field("VmRSS:")?, peak_bytes: field("VmHWM:")? })
    }
}

/// Resident bytes now, cheaper than [`ResidentSet::read`].
pub(super) fn resident_bytes_now() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Processor time of this process so far, user and system, all threads.
pub fn process_cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills in a `rusage`, for which all-zero bytes are valid should it fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |value: libc::timeval| {
        Duration::from_secs(value.tv_sec.max(0) as u64) + Duration::from_micros(value.tv_usec.max(0) as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Makes the allocator give freed memory back to the system now.
pub fn release_freed_memory() {
    use std::ptr::null_mut;
    /// Arena 4096 is jemalloc's name for "every arena".
    const PURGE_ALL_ARENAS: &[u8] = b"arena.4096.purge\0";
    // SAFETY: the name is NUL-terminated, and this control takes and returns no value. When jemalloc is not the allocator
    // in use it has nothing to purge.
    unsafe {
        tikv_jemalloc_sys::mallctl(PURGE_ALL_ARENAS.as_ptr().cast(), null_mut(), null_mut(), null_mut(), 0);
    }
}
