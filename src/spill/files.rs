//! The temporary files: one per directory and lane, without a name, made at the first write.
//!
//! Memory: a file handle each. Why lanes: the file system lets one thread at a time write to a file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::Disk;
use super::extents::Range;

/// More writers at once than a disk has use for.
const MAX_LANES: usize = 8;

/// Files `0..n_dirs * n_lanes`; file `i` lies in directory `i % n_dirs`.
pub(super) struct Files {
    disk: Arc<Disk>,
    dirs: Vec<PathBuf>,
    files: Vec<OnceLock<File>>,
    creating: Mutex<()>,
}

impl Files {
    pub(super) fn new(disk: Arc<Disk>, dirs: Vec<PathBuf>, threads: usize) -> Self {
        let n_lanes = threads.clamp(1, MAX_LANES);
        let files = (0..dirs.len() * n_lanes).map(|_| OnceLock::new()).collect();
        Files { disk, dirs, files, creating: Mutex::new(()) }
    }

    pub(super) fn n_dirs(&self) -> usize {
        self.dirs.len()
    }

    pub(super) fn n_lanes(&self) -> usize {
        self.files.len() / self.dirs.len()
    }

    /// The number and path of the directory of a file.
    pub(super) fn dir(&self, file: usize) -> (usize, &Path) {
        let dir = file % self.dirs.len();
        (dir, &self.dirs[dir])
    }

    /// All directories, for a message.
    pub(super) fn dir_names(&self) -> String {
        self.dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    #[cfg(test)]
    pub(super) fn all_opened(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter_map(OnceLock::get)
    }

    pub(super) fn write(&self, range: Range, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_all_at(self.create(range.file)?, bytes, range.offset)
    }

    pub(super) fn read(&self, range: Range, into: &mut [u8]) -> io::Result<()> {
        self.disk.read_exact_at(self.opened(range.file)?, into, range.offset)
    }

    pub(super) fn punch(&self, range: Range) -> io::Result<()> {
        self.disk.punch_hole(self.opened(range.file)?, range.offset, range.bytes)
    }

    /// Advice; nothing is wrong when it is not taken.
    pub(super) fn drop_behind(&self, range: Range) {
        let _ = self.opened(range.file).and_then(|file| self.disk.drop_behind(file, range.offset, range.bytes));
    }

    /// Advice, as above.
    pub(super) fn read_ahead(&self, range: Range) {
        let _ = self.opened(range.file).and_then(|file| self.disk.read_ahead(file, range.offset, range.bytes));
    }

    fn opened(&self, file: usize) -> io::Result<&File> {
        self.files[file].get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, idx: usize) -> io::Result<&File> {
        if let Some(file) = self.files[idx].get() {
            return Ok(file);
        }
        let _alone = self.creating.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(file) = self.files[idx].get() {
            return Ok(file);
        }
        let file = self.disk.create_unlinked(self.dir(idx).1)?;
        let _ = self.disk.expect_random_access(&file);
        Ok(self.files[idx].get_or_init(|| file))
    }
}
