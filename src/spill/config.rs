//! Where to spill and how much: `--spill-dir` and `--spill-limit`.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Disk;
use crate::error::{Error, Result};

/// `statfs` type of a file system that lives in memory, where spilling would defeat its purpose.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Where to spill and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpillConfig {
    /// Directories, used in turn. When there are none: `$BRIMFUL_TMPDIR`, else `$TMPDIR`, else `/tmp`, or `/var/tmp` where
    /// `/tmp` lies in memory.
    pub dirs: Vec<PathBuf>,
    /// The most bytes on disk at once; 80 % of the free space at the start when not given.
    pub limit_bytes: Option<u64>,
}

/// Directories that were looked at, and the limit that follows.
pub(super) struct Place {
    pub(super) dirs: Vec<PathBuf>,
    pub(super) limit_bytes: u64,
}

impl SpillConfig {
    /// A configuration for one directory, without a limit of its own.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        SpillConfig { dirs: vec![dir.into()], limit_bytes: None }
    }

    /// The directory for one file.
    pub(crate) fn first_dir(&self) -> PathBuf {
        self.dirs.first().cloned().unwrap_or_else(default_dir)
    }

    /// Looks at the directories. One that the user did not name need not be usable: many queries never spill.
    pub(super) fn resolve(&self, disk: &Disk) -> Result<Place> {
        if self.dirs.is_empty() {
            let dirs = vec![default_dir()];
            let limit_bytes = self.limit_bytes.or_else(|| share_of_free(disk, &dirs).ok()).unwrap_or(u64::MAX);
            return Ok(Place { dirs, limit_bytes });
        }
        let free_share = share_of_free(disk, &self.dirs)?;
        Ok(Place { dirs: self.dirs.clone(), limit_bytes: self.limit_bytes.unwrap_or(free_share) })
    }
}

/// 80 % of the bytes free in the file systems of `dirs`.
fn share_of_free(disk: &Disk, dirs: &[PathBuf]) -> Result<u64> {
    let mut free_bytes = 0u64;
    let mut file_systems = HashSet::new();
    for dir in dirs {
        let (file_system, free) = free_in(disk, dir).map_err(|error| {
            Error::disk(format!("cannot spill to {}: {error}", dir.display()))
                .with_hint("choose a directory on a disk with --spill-dir")
        })?;
        if file_systems.insert(file_system) {
            free_bytes = free_bytes.saturating_add(free);
        }
    }
    Ok(free_bytes / 10 * 8)
}

/// The file system of a directory and the bytes free there.
fn free_in(disk: &Disk, dir: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::metadata(dir)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok((found.dev(), disk.free_bytes(dir)?))
}

/// `$BRIMFUL_TMPDIR`, else `$TMPDIR`, else `/tmp`, or `/var/tmp` where `/tmp` is memory.
fn default_dir() -> PathBuf {
    let named = ["BRIMFUL_TMPDIR", "TMPDIR"].iter().filter_map(std::env::var_os);
    match named.into_iter().find(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None if is_memory(Path::new("/tmp")) => PathBuf::from("/var/tmp"),
        None => PathBuf::from("/tmp"),
    }
}

fn is_memory(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|stat| stat.f_type as u64 == TMPFS_MAGIC)
}
