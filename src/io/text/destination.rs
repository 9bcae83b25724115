//! Where text goes: standard output, or a file that appears when it is complete.
//!
//! A reader that goes away (`| head`) is no error: the destination then wants nothing more.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::TextCompression;
use crate::error::{Error, Result};
use crate::exec::Flow;
use crate::io::OutputFile;

/// A place for text; shared by all workers, written by one at a time.
pub struct Destination {
    writer: Mutex<Writer>,
    compression: TextCompression,
}

enum Writer {
    Stdout(File),
    File(OutputFile),
    /// The reader went away, or the file was committed.
    Closed,
}

impl Destination {
    /// Standard output, without a buffer of its own.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when there is none.
    pub fn stdout() -> Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(|error| stdout_failed(&error))?;
        Ok(Self::of(Writer::Stdout(File::from(stdout))))
    }

    /// A file that replaces `target` when the query has succeeded. Text in it is compressed as its name says.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when it cannot be made.
    pub fn file(target: &Path) -> Result<Self> {
        let compression = TextCompression::from_path(target);
        Ok(Destination { compression, ..Self::to(OutputFile::create(target)?) })
    }

    /// How text is to be compressed before it is written.
    pub fn compression(&self) -> TextCompression {
        self.compression
    }

    /// An output file that is open already.
    pub fn to(file: OutputFile) -> Self {
        Self::of(Writer::File(file))
    }

    fn of(writer: Writer) -> Self {
        Destination { writer: Mutex::new(writer), compression: TextCompression::None }
    }

    /// Writes all of `text`. [`Flow::Done`] when nobody reads it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`].
    pub fn write(&self, text: &[u8]) -> Result<Flow> {
        let mut writer = self.lock();
        let failed = match &mut *writer {
            Writer::Stdout(stdout) => match stdout.write_all(text) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
                Err(error) => Some(stdout_failed(&error)),
                Ok(()) => return Ok(Flow::More),
            },
            Writer::File(file) => match file.write_all(text) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
                Err(error) => Some(file.failed(&error)),
                Ok(()) => return Ok(Flow::More),
            },
            Writer::Closed => None,
        };
        *writer = Writer::Closed;
        failed.map_or(Ok(Flow::Done), Err)
    }

    /// Puts a file in its place.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`]; the target is then what it was before.
    pub fn commit(&self) -> Result<()> {
        match std::mem::replace(&mut *self.lock(), Writer::Closed) {
            Writer::File(file) => file.commit(),
            Writer::Stdout(_) | Writer::Closed => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn stdout_failed(error: &io::Error) -> Error {
    Error::disk(format!("cannot write standard output: {error}"))
}
