//! A file that appears under its name only when it is complete.
//!
//! Memory: none; every write goes straight to the system, so callers hand over whole blocks.
//! All calls go through [`Disk`], where tests make them fail. Pipes and devices cannot be replaced and are written directly.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::spill::{Disk, PendingFile};

/// An output that replaces its target as a whole or not at all. Dropped without [`OutputFile::commit`] it leaves the
/// target as it was.
pub struct OutputFile {
    disk: Arc<Disk>,
    target: PathBuf,
    place: Place,
    written_bytes: u64,
}

/// Where the bytes are.
enum Place {
    /// In a file that is not at its target yet.
    Pending(PendingFile),
    /// In the target itself: a pipe or a device.
    Direct(File),
    /// In the target itself, which lies in a folder that is not in place yet and is made durable as a whole.
    Staged(File),
    /// At the target, complete; or given up.
    Done,
}

impl OutputFile {
    /// Opens an output that will replace `target`. A link is followed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the folder does not exist, [`crate::ErrorKind::Disk`] when it cannot be written.
    pub fn create(target: &Path) -> Result<Self> {
        Self::create_on(Disk::from_environment()?, target)
    }

    /// [`OutputFile::create`] on a given disk.
    ///
    /// # Errors
    /// As [`OutputFile::create`].
    pub fn create_on(disk: Arc<Disk>, target: &Path) -> Result<Self> {
        if let Some(stream) = open_stream(target) {
            let file = stream.map_err(|error| cannot_create(target, &error))?;
            return Ok(OutputFile { disk, target: target.into(), place: Place::Direct(file), written_bytes: 0 });
        }
        let target = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_path_buf());
        let failed = |error: io::Error| cannot_create(&target, &error);
        let existing = std::fs::metadata(&target).ok();
        let place = match &existing {
            Some(found) if found.is_dir() => {
                return Err(Error::usage(format!("cannot write {}: it is a folder", target.display()))
                    .with_hint("name a file inside it"));
            }
            Some(found) if !found.is_file() => {
                Place::Direct(OpenOptions::new().write(true).open(&target).map_err(failed)?)
            }
            _ => Place::Pending(disk.create_beside(&target).map_err(failed)?),
        };
        if let (Some(found), Place::Pending(pending)) = (&existing, &place) {
            pending.file().set_permissions(found.permissions()).map_err(failed)?;
        }
        Ok(OutputFile { disk, target, place, written_bytes: 0 })
    }

    /// Opens a new file in a folder that is put in place as a whole later.
    pub(crate) fn create_in_staging(disk: Arc<Disk>, target: &Path) -> io::Result<Self> {
        let place = Place::Staged(disk.create_new(target)?);
        Ok(OutputFile { disk, target: target.into(), place, written_bytes: 0 })
    }

    /// The file that will be there after [`OutputFile::commit`].
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Bytes written so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Whether the bytes go to a new file that takes the place of the target, and not into the target itself.
    pub(crate) fn replaces_target(&self) -> bool {
        matches!(self.place, Place::Pending(_))
    }

    /// Makes the bytes so far durable.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`].
    pub(crate) fn sync(&mut self) -> Result<()> {
        let done = match &self.place {
            Place::Pending(pending) => self.disk.sync(pending.file()),
            Place::Direct(file) => self.disk.sync(file).or_else(ignore_unsyncable),
            Place::Staged(file) => self.disk.sync(file),
            Place::Done => Ok(()),
        };
        done.map_err(|error| self.failed(&error))
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
        let done = match std::mem::replace(&mut self.place, Place::Done) {
            Place::Pending(pending) => self.disk.publish(pending),
            Place::Direct(file) => self.disk.sync(&file).or_else(ignore_unsyncable),
            Place::Staged(_) | Place::Done => Ok(()),
        };
        done.map_err(|error| self.failed(&error))
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Pending(pending) => self.disk.write_all_at(pending.file(), bytes, self.written_bytes)?,
            Place::Direct(file) => file.write_all(bytes)?,
            Place::Staged(file) => self.disk.write_all_at(file, bytes, self.written_bytes)?,
            Place::Done => return Err(io::Error::other("the file is complete already")),
        }
        self.written_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a name that means a stream of this process: `/dev/stdout`, `/dev/fd/3`. Whatever it was redirected to belongs to
/// the caller, even if it is a file, and is written from where it stands.
fn open_stream(target: &Path) -> Option<io::Result<File>> {
    let number = match target.to_str()? {
        "/dev/stdout" => "1",
        "/dev/stderr" => "2",
        name => ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|folder| name.strip_prefix(folder))?,
    };
    Some(match number {
        "1" => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        "2" => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        _ => OpenOptions::new().append(true).open(target),
    })
}

/// Whether `path` is there and neither a file nor a folder: a pipe, a terminal, a device.
pub(crate) fn is_pipe_or_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
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
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::usage(format!("cannot create {}: its folder does not exist", target.display()))
                .with_hint("make the folder first")
        }
        _ => Error::disk(format!("cannot create {}: {error}", target.display())),
    }
}

/// Pipes and terminals cannot be synced and need not be.
fn ignore_unsyncable(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ErrorKind;
    use crate::spill::Fault;

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
    fn every_failing_call_is_a_disk_error_and_leaves_a_whole_file() {
        for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
            for n in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let target = folder.path().join("out");
                std::fs::write(&target, "old").unwrap();
                let disk = Disk::faulty(n, fault);
                let write = || {
                    let mut file = OutputFile::create_on(disk.clone(), &target)?;
                    file.append(b"some")?;
                    file.append(b" more")?;
                    file.commit()
                };
                let result = write();
                assert_eq!(names_in(folder.path()), ["out"]);
                let content = std::fs::read_to_string(&target).unwrap();
                match result {
                    Ok(()) => assert_eq!(content, "some more"),
                    // Only the very last call, which makes the new name durable, comes after the exchange.
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Disk);
                        assert!(content == "old" || content == "some more");
                    }
                }
                if disk.calls() < n {
                    break;
                }
            }
        }
    }

    #[test]
    fn targets_that_cannot_be_are_wrong_usage() {
        let folder = tempfile::tempdir().unwrap();
        for target in [folder.path().to_path_buf(), folder.path().join("no/such/folder.csv")] {
            assert_eq!(OutputFile::create(&target).err().unwrap().kind(), ErrorKind::Usage);
        }
    }

    #[test]
    fn a_stream_of_the_process_is_continued_and_not_replaced() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "before ").unwrap();
        let redirected = OpenOptions::new().append(true).open(&path).unwrap();
        for name in ["/dev/fd", "/proc/self/fd"] {
            let target = PathBuf::from(format!("{name}/{}", redirected.as_raw_fd()));
            let mut file = OutputFile::create(&target).unwrap();
            file.append(b"more ").unwrap();
            file.commit().unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before more more ");
    }

    #[test]
    fn devices_are_written_directly() {
        let mut file = OutputFile::create(Path::new("/dev/null")).unwrap();
        file.append(b"gone").unwrap();
        file.commit().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }
}
