//! An open Arrow file: positioned reads that count their bytes, and errors that name the file.
//!
//! Memory: what a caller asks to read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::error::ArrowError;

use crate::error::{Error, Result};

/// A file that several workers read at positions of their own.
pub(super) struct Input {
    file: File,
    path: PathBuf,
    n_bytes: u64,
    read_bytes: Arc<AtomicU64>,
}

impl Input {
    /// Opens `path`; bytes read are added to `read_bytes`.
    pub(super) fn open(path: &Path, read_bytes: Arc<AtomicU64>) -> Result<Self> {
        let failed = |error| Error::read_failed(path, &error);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::data(format!("{} is not a regular file", path.display())));
        }
        Ok(Input { file, path: path.to_path_buf(), n_bytes: metadata.len(), read_bytes })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Fills `buffer` from `offset` on.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.read_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("it ends in the middle of a record batch"),
            _ => Error::read_failed(&self.path, &error),
        })
    }

    /// The error for a file that does not hold what it should.
    pub(super) fn damaged(&self, what: impl std::fmt::Display) -> Error {
        Error::data(format!("{} is not a readable Arrow file: {what}", self.path.display()))
            .with_hint("the file may be incomplete or damaged: compare it with its origin")
    }

    /// Runs `decode`, which the format library may leave by a panic when bytes contradict each other.
    pub(super) fn guarded<T>(&self, decode: impl FnOnce() -> Result<T, ArrowError>) -> Result<T> {
        let decoded = crate::io::parquet::guarded(|| decode().map_err(Into::into));
        decoded.map_err(|error| self.damaged(error))
    }
}
