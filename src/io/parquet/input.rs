//! An open Parquet file: positioned reads that count their bytes, and errors that name the file.
//!
//! Memory: what a caller asks to read.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::{Error, Result};

/// A file that several readers read at positions of their own.
pub(super) struct InputFile {
    file: File,
    path: PathBuf,
    n_bytes: u64,
    read_bytes: Arc<AtomicU64>,
}

impl InputFile {
    /// Opens `path`; bytes read are added to `read_bytes`.
    pub(super) fn open(path: &Path, read_bytes: Arc<AtomicU64>) -> Result<Self> {
        let failed = |error| Error::read_failed(path, &error);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::data(format!("cannot read {}: it is a folder", path.display())));
        }
        Ok(InputFile { file, path: path.to_path_buf(), n_bytes: metadata.len(), read_bytes })
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
            std::io::ErrorKind::UnexpectedEof => self.damaged("it is shorter than its footer says"),
            _ => Error::read_failed(&self.path, &error),
        })
    }

    /// Appends `n_bytes` from `offset` on to `buffer`, which has room for them.
    pub(super) fn append_at(&self, buffer: &mut Vec<u8>, n_bytes: usize, offset: u64) -> Result<()> {
        self.read_bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
        let end = buffer.len() + n_bytes;
        buffer.reserve_exact(n_bytes);
        while buffer.len() < end {
            let at = offset + (n_bytes - (end - buffer.len())) as u64;
            let n_missing = end - buffer.len();
            // The spare capacity may be larger than what is asked for.
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(buffer), at) {
                Ok(0) => return Err(self.damaged("it is shorter than its footer says")),
                Ok(n_read) if n_read > n_missing => buffer.truncate(end),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::read_failed(&self.path, &error.into())),
            }
        }
        Ok(())
    }

    /// The error for a file that does not hold what it should.
    pub(super) fn damaged(&self, what: impl std::fmt::Display) -> Error {
        Error::data(format!("{} is not a readable Parquet file: {what}", self.path.display()))
            .with_hint("the file may be incomplete or damaged: compare it with its origin")
    }
}

impl Length for InputFile {
    fn len(&self) -> u64 {
        self.n_bytes
    }
}

/// For what the format library reads by itself: footers, indexes, bloom filters.
impl ChunkReader for InputFile {
    type T = std::io::Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let length = self.n_bytes.saturating_sub(start).min(64 * 1024) as usize;
        Ok(std::io::Cursor::new(self.get_bytes(start, length)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.n_bytes) {
            return Err(ParquetError::EOF("a part lies beyond the end of the file".into()));
        }
        let mut buffer = vec![0; length];
        self.read_at(&mut buffer, start).map_err(into_parquet)?;
        Ok(buffer.into())
    }
}

thread_local! {
    /// Calls of [`guarded`] that this thread is in.
    static N_GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Runs `decode`, which the format library may leave by a panic when bytes contradict each other. Nothing is said about
/// such a panic: it is the error of a damaged file, and the caller says which.
pub(in crate::io) fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    static QUIET_HOOK: Once = Once::new();
    if !std::thread::panicking() {
        QUIET_HOOK.call_once(install_quiet_hook);
    }
    N_GUARDS.set(N_GUARDS.get() + 1);
    let contradiction = |_| Err(ParquetError::General("its bytes contradict each other".into()));
    let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode)).unwrap_or_else(contradiction);
    N_GUARDS.set(N_GUARDS.get() - 1);
    decoded
}

/// Keeps panics inside [`guarded`] from the hook that is there, which would report them.
fn install_quiet_hook() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if N_GUARDS.get() == 0 {
            report(panic);
        }
    }));
}

/// Carries our error through the format library.
pub(super) fn into_parquet(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// Takes our error out of the library's again, or lets `describe` make one of what the library says.
pub(super) fn from_parquet(error: ParquetError, describe: impl FnOnce(String) -> Error) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => describe(other.to_string()),
        },
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::ArrowError(text) => describe(text),
        other => describe(other.to_string()),
    }
}
