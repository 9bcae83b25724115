//! The number a user gives with `--memory-budget`, and the default when none is given.

use std::fs;

use crate::error::{Error, Result};

/// The memory budget of a process: a positive number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    bytes: u64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn from_bytes(bytes: u64) -> Self {
        Budget { bytes }
    }

    /// Bytes.
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// What is left ungoverned for fragmentation and for what libraries in C allocate: 6 %, at least 16 MiB or an eighth of
    /// the budget. With 12 MiB, writing Parquet at a budget of 128 MiB on a machine with six times more work than
    /// processors ended 0.3 MiB above it.
    pub fn safety_bytes(self) -> u64 {
        (self.bytes / 100 * 6).max((16 << 20).min(self.bytes / 8))
    }

    /// Reads `512MiB`, `4GB`, `1073741824` or `50%` (of physical memory, or of the container's limit if that is lower).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for anything else, and for less than 1 MiB.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = match text.trim().strip_suffix('%') {
            Some(number) => percent_of_machine(text, number)?,
            None => parse_bytes(text)?,
        };
        if bytes < 1 << 20 {
            return Err(Error::usage(format!("memory budget {text} is below 1 MiB"))
                .with_hint("for example 512MiB, 4GB or 50%"));
        }
        Ok(Budget { bytes })
    }

    /// 60 % of physical memory or 75 % of the container's limit, whichever is lower.
    pub fn default_for_machine() -> Self {
        let physical = physical_bytes() / 10 * 6;
        let container = container_limit_bytes().map_or(u64::MAX, |limit| limit / 4 * 3);
        Budget { bytes: physical.min(container) }
    }

    /// What the machine, or the container, has left for others when this budget is used up: room for the page cache.
    pub(crate) fn spare_beside(self) -> u64 {
        let machine = meminfo_bytes("MemAvailable:").unwrap_or(0);
        machine.min(container_limit_bytes().unwrap_or(u64::MAX)).saturating_sub(self.bytes)
    }
}

fn percent_of_machine(text: &str, number: &str) -> Result<u64> {
    match number.trim().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => {
            let machine = physical_bytes().min(container_limit_bytes().unwrap_or(u64::MAX));
            Ok((machine as f64 * percent / 100.0) as u64)
        }
        _ => Err(Error::usage(format!("{text:?} is not a percentage of memory")).with_hint("between 1% and 100%")),
    }
}

/// Reads a number of bytes with an optional unit: B, kB, MB, GB, TB (powers of 1000) or K, KiB, M, MiB, G, GiB, T, TiB
/// (powers of 1024), in any case.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for anything else.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("{text:?} is not a size")).with_hint("for example 512MiB, 4GB or 1073741824");
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    Ok((number * factor as f64) as u64)
}

/// Memory of the machine, or of the container if it may have less.
pub fn machine_bytes() -> u64 {
    physical_bytes().min(container_limit_bytes().unwrap_or(u64::MAX))
}

/// Physical memory of the machine.
fn physical_bytes() -> u64 {
    meminfo_bytes("MemTotal:").unwrap_or(8 << 30)
}

/// A line of `/proc/meminfo`.
fn meminfo_bytes(name: &str) -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The memory limit of the container this process runs in, cgroup version 2 or 1.
fn container_limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let candidates = groups.lines().filter_map(limit_files_of_group).flatten();
    candidates
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok())
        .filter(|&limit| limit < 1 << 60)
        .min()
}

/// The files that may hold the limit for one line of `/proc/self/cgroup` (`id:controllers:path`).
fn limit_files_of_group(line: &str) -> Option<Vec<String>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let path = if path == "/" { "" } else { path };
    if controllers.is_empty() {
        Some(vec![format!("/sys/fs/cgroup{path}/memory.max"), "/sys/fs/cgroup/memory.max".into()])
    } else if controllers.split(',').any(|name| name == "memory") {
        let root = "/sys/fs/cgroup/memory";
        Some(vec![format!("{root}{path}/memory.limit_in_bytes"), format!("{root}/memory.limit_in_bytes")])
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_in_every_spelling() {
        let check = |text: &str, bytes: u64| assert_eq!(Budget::parse(text).unwrap().bytes(), bytes, "{text}");
        check("512MiB", 512 << 20);
        check("4GB", 4_000_000_000);
        check("1.5g", 3 << 29);
        check(" 64 mib ", 64 << 20);
        check("1073741824", 1 << 30);
        assert!(Budget::parse("50%").unwrap().bytes() > 0);
    }

    #[test]
    fn nonsense_budgets_are_usage_errors() {
        for text in ["", "lots", "0", "-1GB", "120%", "5XB", "0%"] {
            assert_eq!(Budget::parse(text).unwrap_err().kind(), crate::ErrorKind::Usage, "{text}");
        }
    }
}
