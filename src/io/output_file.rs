//! A file that appears under its name only when it is complete.
//!
//! Memory: none; every write goes straight to the system, so callers hand over whole blocks.
//! Why a nameless file: bytes go to an `O_TMPFILE` beside the target, which vanishes with the process however that ends,
//! and gets its name in [`OutputFile::commit`]. On file systems without nameless files a hidden part file beside the
//! target takes its place; the next write of the same target reuses one that a killed process left behind.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, linkat};

use crate::error::{Error, Result};

/// Another process may link or rename the same part file between two of our calls; each retry needs such a rival.
const MAX_RENAME_ATTEMPTS: usize = 16;

/// An output that replaces its target as a whole or not at all. Dropped without [`OutputFile::commit`] it leaves the
/// target as it was.
pub struct OutputFile {
    file: File,
    target: PathBuf,
    place: Place,
    written_bytes: u64,
    #[cfg(any(test, feature = "fault-injection"))]
    faults: Option<std::sync::Arc<faults::Faults>>,
}

/// Where the bytes are until they are committed.
enum Place {
    /// In a file without a name.
    Nameless,
    /// In a locked, hidden file beside the target.
    Part(PathBuf),
    /// In the target itself: a pipe or a device, which cannot be replaced.
    Target,
}

impl OutputFile {
    /// Opens an output that will replace `target`. A link is followed; pipes and devices are written directly.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when the folder does not exist or cannot be written.
    pub fn create(target: &Path) -> Result<Self> {
        let target = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
        let failed = |error: io::Error| cannot_create(&target, &error);
        let existing = std::fs::metadata(&target).ok();
        let (file, place) = match &existing {
            Some(found) if found.is_dir() => {
                return Err(Error::disk(format!("cannot write {}: it is a folder", target.display()))
                    .with_hint("name a file inside it"));
            }
            Some(found) if !found.is_file() => {
                (OpenOptions::new().write(true).open(&target).map_err(failed)?, Place::Target)
            }
            _ => open_beside(&target).map_err(failed)?,
        };
        if let (Some(found), Place::Nameless | Place::Part(_)) = (&existing, &place) {
            file.set_permissions(found.permissions()).map_err(failed)?;
        }
        Ok(OutputFile {
            file,
            target,
            place,
            written_bytes: 0,
            #[cfg(any(test, feature = "fault-injection"))]
            faults: None,
        })
    }

    /// The file that will be there after [`OutputFile::commit`].
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Bytes written so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Writes all of `bytes`, with an error that names the target.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|error| self.failed(&error))
    }

    /// The error for a failed write of this file.
    pub fn failed(&self, error: &io::Error) -> Error {
        write_error(&self.target, error)
    }

    /// Makes the bytes durable and puts them under the target's name, replacing what was there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`]; the target is then what it was before.
    pub fn commit(mut self) -> Result<()> {
        self.publish()
    }

    /// [`OutputFile::commit`] for a writer that lends the file but does not give it back. Nothing may be written later.
    pub(crate) fn publish(&mut self) -> Result<()> {
        self.put_in_place().map_err(|error| self.failed(&error))
    }

    fn put_in_place(&mut self) -> io::Result<()> {
        self.fault(Call::Sync)?;
        match &self.place {
            Place::Target => return self.file.sync_all().or_else(|error| ignore_unsyncable(&error)),
            Place::Nameless | Place::Part(_) => self.file.sync_all()?,
        }
        self.fault(Call::Name)?;
        match &self.place {
            Place::Nameless => self.name_and_rename()?,
            Place::Part(part) => std::fs::rename(part, &self.target)?,
            Place::Target => {}
        }
        self.place = Place::Target;
        sync_folder(&self.target)
    }

    /// A new target is linked in one step. An existing one is replaced by linking under the part file's name and renaming
    /// that; a rival that does the same at the same time can only make us try again.
    fn name_and_rename(&self) -> io::Result<()> {
        match self.link_as(&self.target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        let part = part_path(&self.target);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..MAX_RENAME_ATTEMPTS {
            match self.link_as(&part).and_then(|()| std::fs::rename(&part, &self.target)) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let _ = std::fs::remove_file(&part);
                    last = error;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn link_as(&self, name: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(linkat(CWD, own.as_str(), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    #[cfg(any(test, feature = "fault-injection"))]
    fn fault(&self, call: Call) -> io::Result<Option<usize>> {
        self.faults.as_ref().map_or(Ok(None), |faults| faults.at(call))
    }

    #[cfg(not(any(test, feature = "fault-injection")))]
    #[inline]
    fn fault(&self, _call: Call) -> io::Result<Option<usize>> {
        Ok(None)
    }

    /// Makes chosen calls on this file fail.
    #[cfg(any(test, feature = "fault-injection"))]
    pub fn with_faults(mut self, faults: std::sync::Arc<faults::Faults>) -> Self {
        self.faults = Some(faults);
        self
    }
}

/// The calls of an output at which a test can make the disk fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A write of so many bytes.
    Write(usize),
    /// Making the bytes durable.
    Sync,
    /// Giving the file its name.
    Name,
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = match self.fault(Call::Write(bytes.len()))? {
            Some(short) => &bytes[..short.min(bytes.len())],
            None => bytes,
        };
        let n_written = self.file.write(bytes)?;
        self.written_bytes += n_written as u64;
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Place::Part(part) = &self.place {
            let _ = std::fs::remove_file(part);
        }
    }
}

/// The error for a failed write to `target`, with what to try when the disk is full.
pub fn write_error(target: &Path, error: &io::Error) -> Error {
    let failed = Error::write_failed(target, error);
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            failed.with_hint("the disk is full: free some space or write to another disk")
        }
        _ => failed,
    }
}

fn cannot_create(target: &Path, error: &io::Error) -> Error {
    let failed = Error::disk(format!("cannot create {}: {error}", target.display()));
    match error.kind() {
        io::ErrorKind::NotFound => failed.with_hint("the folder does not exist: make it first"),
        _ => failed,
    }
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn part_path(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".brimful-part");
    folder_of(target).join(name)
}

fn open_beside(target: &Path) -> io::Result<(File, Place)> {
    let nameless = OpenOptions::new().write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(folder_of(target));
    match nameless {
        Ok(file) => Ok((file, Place::Nameless)),
        Err(error) if lacks_nameless_files(&error) => {
            let part = part_path(target);
            Ok((open_part(&part)?, Place::Part(part)))
        }
        Err(error) => Err(error),
    }
}

/// File systems without nameless files answer in several ways.
fn lacks_nameless_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL | libc::ENOSYS))
}

/// Opens the part file, empties what a killed process left in it, and locks it against rivals.
fn open_part(part: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o666).open(part)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let text = format!("another process is writing it ({} is locked)", part.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            // Some network file systems have no locks; the part file then is only as safe as its user.
            Err(std::fs::TryLockError::Error(_)) => {}
        }
        // A rival may have renamed the file away between the two calls.
        if std::fs::metadata(part).is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino())) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Pipes and terminals cannot be synced and need not be.
fn ignore_unsyncable(error: &io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP) => Ok(()),
        _ => Err(io::Error::from(error.kind())),
    }
}

/// Makes the new name durable, where folders can be synced.
fn sync_folder(target: &Path) -> io::Result<()> {
    match File::open(folder_of(target)).and_then(|folder| folder.sync_all()) {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Err(error),
        _ => Ok(()),
    }
}

/// Failing disks for tests.
#[cfg(any(test, feature = "fault-injection"))]
pub mod faults {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Call;

    /// How a call fails.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Fault {
        /// The disk is full.
        NoSpace,
        /// The device reports an error.
        Device,
        /// One write takes only half of its bytes, which is no error; the one after it finds the disk full.
        ShortThenNoSpace,
    }

    /// Makes the `n`-th call fail in one way.
    #[derive(Debug)]
    pub struct Faults {
        fault: Fault,
        fails_at: u64,
        n_calls: AtomicU64,
    }

    impl Faults {
        /// Fails at call `n`, counted from 1.
        pub fn at_call(n: u64, fault: Fault) -> Self {
            Faults { fault, fails_at: n, n_calls: AtomicU64::new(0) }
        }

        /// Whether the call was reached.
        pub fn has_struck(&self) -> bool {
            self.n_calls.load(Ordering::Relaxed) >= self.fails_at
        }

        pub(super) fn at(&self, call: Call) -> io::Result<Option<usize>> {
            let n = self.n_calls.fetch_add(1, Ordering::Relaxed) + 1;
            if n < self.fails_at {
                return Ok(None);
            }
            match (self.fault, call) {
                (Fault::Device, _) => Err(io::Error::from_raw_os_error(libc::EIO)),
                (Fault::ShortThenNoSpace, Call::Write(bytes)) if n == self.fails_at && bytes > 1 => Ok(Some(bytes / 2)),
                _ => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::faults::{Fault, Faults};
    use super::*;
    use crate::ErrorKind;

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_target_appears_only_when_committed_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.csv");
        for content in ["first", "second, which replaces the first"] {
            let before = std::fs::read(&target).ok();
            let mut file = OutputFile::create(&target).unwrap();
            file.append(content.as_bytes()).unwrap();
            assert_eq!(std::fs::read(&target).ok(), before);
            assert_eq!(file.written_bytes(), content.len() as u64);
            file.commit().unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), content);
            assert_eq!(names_in(folder.path()), ["out.csv"]);
        }
        drop(OutputFile::create(&target).unwrap());
        assert_eq!(names_in(folder.path()), ["out.csv"]);
    }

    #[test]
    fn a_replaced_target_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out");
        std::fs::write(&target, "old").unwrap();
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
        OutputFile::create(&target).unwrap().commit().unwrap();
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_part_file_left_by_a_killed_process_is_reused() {
        let folder = tempfile::tempdir().unwrap();
        let part = part_path(&folder.path().join("out"));
        std::fs::write(&part, "half of something").unwrap();
        let mut file = open_part(&part).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&part).unwrap(), "new");
        assert_eq!(open_part(&part).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn every_failing_call_is_a_disk_error_and_leaves_the_old_file() {
        for fault in [Fault::NoSpace, Fault::Device, Fault::ShortThenNoSpace] {
            for n in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let target = folder.path().join("out");
                std::fs::write(&target, "old").unwrap();
                let faults = Arc::new(Faults::at_call(n, fault));
                let mut file = OutputFile::create(&target).unwrap().with_faults(faults.clone());
                let result = file.append(b"some").and_then(|()| file.append(b" more")).and_then(|()| file.commit());
                if !faults.has_struck() {
                    result.unwrap();
                    assert_eq!(std::fs::read_to_string(&target).unwrap(), "some more");
                    break;
                }
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Disk);
                assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
                assert_eq!(names_in(folder.path()), ["out"]);
            }
        }
    }

    #[test]
    fn targets_that_cannot_be_are_disk_errors() {
        let folder = tempfile::tempdir().unwrap();
        for target in [folder.path().to_path_buf(), folder.path().join("no/such/folder.csv")] {
            assert_eq!(OutputFile::create(&target).err().unwrap().kind(), ErrorKind::Disk);
        }
    }

    #[test]
    fn devices_are_written_directly() {
        let mut file = OutputFile::create(Path::new("/dev/null")).unwrap();
        file.append(b"gone").unwrap();
        file.commit().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
