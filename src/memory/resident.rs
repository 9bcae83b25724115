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

/// Makes the system forget which pages of the program's code this process has touched. They stay in the page cache, and
/// those in use come back at about a microsecond per 64 KiB; but planning alone touches 25 MiB of code that running a
/// query does not need, and resident memory counts it.
pub fn release_program_pages() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, bytes) in maps.lines().filter_map(code_of_file) {
        // SAFETY: the range is a mapping of a file for reading and executing that was never writable, so what is dropped
        // is read from the same file again when it is next used. Should the mapping have gone meanwhile, the call fails.
        unsafe { libc::madvise(start as *mut libc::c_void, bytes, libc::MADV_DONTNEED) };
    }
}

/// Start and length of a mapping in `/proc/self/maps` (`start-end r-xp offset device inode path`) if it is the code of a file.
fn code_of_file(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let is_code = fields.next()? == "r-xp" && fields.nth(2)? != "0";
    is_code.then_some((start, end - start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_files_is_found_and_nothing_else() {
        let line = "55d0c8a00000-55d0c8a10000 r-xp 00100000 fe:00 1234     /usr/bin/brimful";
        assert_eq!(code_of_file(line), Some((0x55d0_c8a0_0000, 0x10000)));
        for other in [
            "55d0c8a00000-55d0c8a10000 r--p 00100000 fe:00 1234     /usr/bin/brimful",
            "55d0c8a00000-55d0c8a10000 rw-p 00100000 fe:00 1234     /usr/bin/brimful",
            "7ffc1a1f0000-7ffc1a1f2000 r-xp 00000000 00:00 0        [vdso]",
            "",
        ] {
            assert_eq!(code_of_file(other), None, "{other}");
        }
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        for n in 0..100 {
            release_program_pages();
            assert_eq!(format!("{n}").parse::<i32>(), Ok(n));
        }
    }
}
