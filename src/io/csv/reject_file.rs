//! The file that rows left out of a query go to.
//!
//! Memory: at most 64 KiB of text for a file, whatever the length of a row.
//! All scans of a query write into one such file, and it takes its place only when the query succeeds; until then the
//! target is what it was. The statements of a text share one: each begins with a copy of what those before it left.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::io::{OutputFile, WrittenFile};

/// Text that is collected before it is written.
const BUFFER_BYTES: usize = 16 * 1024;

const HEADER: &[u8] = b"file,line,byte_offset,column,reason,raw\n";

/// Where the bad rows of a text go; shared by all scans of its statements.
pub struct RejectFile {
    target: PathBuf,
    state: Mutex<State>,
}

enum State {
    /// No scan has begun.
    Unused,
    Open(Writer),
    /// In its place, with the rows of the statements so far.
    Published,
}

struct Writer {
    file: OutputFile,
    buffer: Vec<u8>,
    /// Whether statements before this one have published theirs.
    follows: bool,
}

impl RejectFile {
    /// A reject file that will be at `target`. Nothing is made before a scan begins.
    pub fn new(target: impl Into<PathBuf>) -> Arc<Self> {
        Arc::new(RejectFile { target: target.into(), state: Mutex::new(State::Unused) })
    }

    /// The same target, for another session.
    pub(crate) fn for_session(&self) -> Arc<Self> {
        Self::new(self.target.clone())
    }

    /// Another text begins: its rejected rows replace those of earlier ones.
    pub(crate) fn start_text(&self) {
        *self.lock() = State::Unused;
    }

    /// The file that is written.
    pub(crate) fn written(&self) -> WrittenFile {
        WrittenFile::new(&self.target, "rejected rows", "name another file: --on-bad-row reject=FILE")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file, so that a target that cannot be written is an error before the query has run. It has no name yet.
    pub(super) fn begin(&self) -> Result<()> {
        let mut state = self.lock();
        match &*state {
            State::Unused => {
                let file = OutputFile::create(&self.target)?;
                *state = State::Open(Writer { file, buffer: HEADER.to_vec(), follows: false });
            }
            State::Published => {
                let mut writer = Writer { file: OutputFile::create(&self.target)?, buffer: Vec::new(), follows: true };
                // A pipe or a device has what was written to it.
                if self.target.is_file() && writer.file.replaces_target() {
                    writer.copy(&self.target)?;
                }
                *state = State::Open(writer);
            }
            State::Open(_) => {}
        }
        Ok(())
    }

    /// Calls `write` with the open file.
    pub(super) fn append(&self, write: impl FnOnce(&mut dyn AppendRecord) -> Result<()>) -> Result<()> {
        self.begin()?;
        match &mut *self.lock() {
            State::Open(writer) => write(writer),
            State::Unused | State::Published => Ok(()),
        }
    }

    /// Makes what was appended durable, so that little is left to fail in [`RejectFile::publish`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`].
    pub(crate) fn seal(&self) -> Result<()> {
        match &mut *self.lock() {
            State::Open(writer) => {
                writer.flush()?;
                writer.file.sync()
            }
            State::Unused | State::Published => Ok(()),
        }
    }

    /// The query failed: its rows are forgotten, those of the statements before it stay.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        if let State::Open(writer) = &*state {
            *state = if writer.follows { State::Published } else { State::Unused };
        }
    }

    /// Puts the file in its place, if any scan began. For when the query has succeeded; dropped without this, the target
    /// stays what it was.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`].
    pub fn publish(&self) -> Result<()> {
        let mut state = self.lock();
        if let State::Open(writer) = &mut *state {
            writer.flush()?;
            if let State::Open(Writer { file, .. }) = std::mem::replace(&mut *state, State::Published) {
                file.commit()?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RejectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RejectFile").field(&self.target).finish()
    }
}

impl PartialEq for RejectFile {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target
    }
}

impl Eq for RejectFile {}

/// Appending one record of CSV.
pub(super) trait AppendRecord {
    /// Appends `fields`; bytes that are not UTF-8 become replacement characters.
    fn append_record(&mut self, fields: &[&[u8]]) -> Result<()>;
}

impl AppendRecord for Writer {
    fn append_record(&mut self, fields: &[&[u8]]) -> Result<()> {
        for (idx, field) in fields.iter().enumerate() {
            if idx > 0 {
                self.buffer.push(b',');
            }
            self.append_field(field)?;
        }
        self.buffer.push(b'\n');
        Ok(())
    }
}

impl Writer {
    /// Begins with what is at `earlier`.
    fn copy(&mut self, earlier: &Path) -> Result<()> {
        let failed =
            |error| Error::disk(format!("cannot read back the rejected rows in {}: {error}", earlier.display()));
        let mut earlier = File::open(earlier).map_err(failed)?;
        let mut block = vec![0; BUFFER_BYTES];
        loop {
            match earlier.read(&mut block).map_err(failed)? {
                0 => return Ok(()),
                n => self.file.append(&block[..n])?,
            }
        }
    }

    fn append_field(&mut self, field: &[u8]) -> Result<()> {
        let is_quoted = field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
        if is_quoted {
            self.buffer.push(b'"');
        }
        for chunk in field.utf8_chunks() {
            for part in chunk.valid().as_bytes().chunks(BUFFER_BYTES) {
                part.split_inclusive(|&byte| byte == b'"').for_each(|text| {
                    self.buffer.extend_from_slice(text);
                    if text.ends_with(b"\"") {
                        self.buffer.push(b'"');
                    }
                });
                self.flush_if_full()?;
            }
            if !chunk.invalid().is_empty() {
                self.buffer.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
        if is_quoted {
            self.buffer.push(b'"');
        }
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn nothing_is_there_before_the_query_has_succeeded() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("rejects.csv");
        let rejects = RejectFile::new(&target);
        rejects.publish().unwrap();
        assert_eq!(names_in(folder.path()), 0, "no scan began");
        let long = vec![b'"'; 3 * BUFFER_BYTES];
        rejects.append(|out| out.append_record(&[b"a", &long, b"\xE9,"])).unwrap();
        assert_eq!(names_in(folder.path()), 0);
        rejects.publish().unwrap();
        let want = [HEADER, b"a,\"", &vec![b'"'; 6 * BUFFER_BYTES], b"\",\"\xEF\xBF\xBD,\"\n"].concat();
        assert!(std::fs::read(&target).unwrap() == want);
        rejects.append(|out| out.append_record(&[b"b"])).unwrap();
        rejects.abandon();
        assert!(std::fs::read(&target).unwrap() == want, "a failed query leaves the file of the one before");
        rejects.append(|out| out.append_record(&[b"c"])).unwrap();
        rejects.seal().unwrap();
        assert!(std::fs::read(&target).unwrap() == want);
        rejects.publish().unwrap();
        assert!(std::fs::read(&target).unwrap() == [&want, &b"c\n"[..]].concat(), "later statements append");
        rejects.start_text();
        rejects.begin().unwrap();
        rejects.publish().unwrap();
        assert!(std::fs::read(&target).unwrap() == HEADER, "another text begins anew");
        assert_eq!(names_in(folder.path()), 1);
    }
}
