//! The single place through which spilling and the output sinks make file calls that can fail.
//!
//! Memory: none. The surprising part: a disk can be made to fail at its n-th call, which is how tests visit every point
//! where a full or broken disk can show. This is compiled always, because the command is tested as users run it.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Advice, AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use tempfile::TempPath;

use crate::error::{Error, Result};

/// Set by tests of the command, as `n:nospace`, `n:io` or `n:short`.
const FAULT_VARIABLE: &str = "BRIMFUL_TEST_DISK_FAULT";

/// File calls, counted. One for the whole process or session.
#[derive(Debug, Default)]
pub struct Disk {
    n_calls: AtomicU64,
    plan: Option<FaultPlan>,
}

#[derive(Debug)]
struct FaultPlan {
    fails_at_call: u64,
    fault: Fault,
    short_write_made: AtomicBool,
    full_reported: AtomicBool,
}

/// How a disk that is made to fail does so.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call reports that the disk is full.
    NoSpace,
    /// The call reports an I/O error.
    Io,
    /// The first write from that call on writes half of its bytes, and the write after it finds the disk full.
    ShortWrite,
}

/// A file that is not at its target yet. Dropping it leaves nothing behind; nor does the end of the process, because the
/// file has no name where the file system allows that.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    target: PathBuf,
    /// Where the file system knows no nameless files.
    name: Option<TempPath>,
}

impl PendingFile {
    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }
}

impl Disk {
    /// The disk as it is.
    pub fn real() -> Arc<Self> {
        Arc::new(Disk::default())
    }

    /// A disk whose call number `fails_at_call` (from 1) fails. Other calls work, apart from what [`Fault`] says.
    #[doc(hidden)]
    pub fn faulty(fails_at_call: u64, fault: Fault) -> Arc<Self> {
        let (short_write_made, full_reported) = Default::default();
        let plan = FaultPlan { fails_at_call, fault, short_write_made, full_reported };
        Arc::new(Disk { n_calls: AtomicU64::new(0), plan: Some(plan) })
    }

    /// The real disk, unless a test of the command asks for a failing one in `BRIMFUL_TEST_DISK_FAULT`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when the variable is set to something else.
    pub fn from_environment() -> Result<Arc<Self>> {
        match std::env::var(FAULT_VARIABLE) {
            Ok(text) => Self::parse_fault(&text),
            Err(_) => Ok(Self::real()),
        }
    }

    fn parse_fault(text: &str) -> Result<Arc<Self>> {
        let parsed = text.split_once(':').and_then(|(call, fault)| {
            let fault = match fault {
                "nospace" => Fault::NoSpace,
                "io" => Fault::Io,
                "short" => Fault::ShortWrite,
                _ => return None,
            };
            Some(Self::faulty(call.parse().ok()?, fault))
        });
        parsed.ok_or_else(|| {
            Error::usage(format!("{FAULT_VARIABLE}={text} is not a fault")).with_hint("for example 12:nospace")
        })
    }

    /// Calls made so far, of every kind.
    pub fn calls(&self) -> u64 {
        self.n_calls.load(Ordering::Relaxed)
    }

    /// Creates a file without a name in `dir`, readable by this user only.
    ///
    /// # Errors
    /// What the system reports.
    pub fn create_unlinked(&self, dir: &Path) -> io::Result<File> {
        self.count()?;
        tempfile::tempfile_in(dir)
    }

    /// Creates a file that was not there before.
    ///
    /// # Errors
    /// What the system reports.
    pub fn create_new(&self, path: &Path) -> io::Result<File> {
        self.count()?;
        File::options().write(true).create_new(true).open(path)
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// What the system reports, also when it is there already.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.count()?;
        std::fs::create_dir(path)
    }

    /// Creates a file that will replace `target` when it is complete.
    ///
    /// # Errors
    /// What the system reports.
    pub fn create_beside(&self, target: &Path) -> io::Result<PendingFile> {
        self.count()?;
        let dir = directory_of(target);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, name) = match rustix::fs::open(dir, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => (File::from(file), None),
            Err(_) => {
                let (file, name) = create_named(dir)?;
                (file, Some(name))
            }
        };
        Ok(PendingFile { file, target: target.to_path_buf(), name })
    }

    /// Makes `pending` durable and puts it at its target in one step: the target is the old file or the complete new one.
    ///
    /// # Errors
    /// What the system reports. The target is the old file then, except when the last step fails: making the directory
    /// entry durable. A directory that may not be read or cannot be synced is no error: the new file is there.
    pub fn publish(&self, pending: PendingFile) -> io::Result<()> {
        self.sync(&pending.file)?;
        let name = match pending.name {
            Some(name) => name,
            None => self.give_name(&pending.file, &pending.target)?,
        };
        self.rename(&name, &pending.target)?;
        // The name is gone from its old place, so nothing is left for the guard to remove.
        let _ = name.keep();
        self.sync_directory(directory_of(&pending.target))
    }

    /// Makes the entries of a directory durable. One that may not be read or cannot be synced is no error.
    ///
    /// # Errors
    /// What the system reports.
    pub fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.count()?;
        match File::open(directory) {
            Ok(directory) => directory.sync_all().or_else(ignore_unsyncable),
            Err(_) => Ok(()),
        }
    }

    /// Makes everything durable that was written to the file system of `directory`, in one call for any number of files.
    ///
    /// # Errors
    /// What the system reports.
    pub fn sync_file_system(&self, directory: &Path) -> io::Result<()> {
        self.count()?;
        Ok(rustix::fs::syncfs(File::open(directory)?)?)
    }

    /// Links a nameless file to a hidden name beside `target`, removed on drop.
    fn give_name(&self, file: &File, target: &Path) -> io::Result<TempPath> {
        self.count()?;
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        for attempt in 0..1000 {
            // Short, whatever the target is called: names have a limit.
            let hidden = format!(".brimful-{}-{attempt}", std::process::id());
            let name = directory_of(target).join(hidden);
            match rustix::fs::linkat(CWD, &opened, CWD, &name, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return TempPath::try_from_path(name),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Writes all of `bytes` at `offset`, however many calls that takes.
    ///
    /// # Errors
    /// What the system reports.
    pub fn write_all_at(&self, file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let allowed = self.count_write(bytes.len())?;
            match file.write_at(&bytes[..allowed], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n_written) => {
                    bytes = &bytes[n_written..];
                    offset += n_written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills `into` from `offset`.
    ///
    /// # Errors
    /// What the system reports, or an unexpected end.
    pub fn read_exact_at(&self, file: &File, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.count()?;
        file.read_exact_at(into, offset)
    }

    /// Waits until the file is on disk.
    ///
    /// # Errors
    /// What the system reports.
    pub fn sync(&self, file: &File) -> io::Result<()> {
        self.count()?;
        file.sync_all()
    }

    /// Puts `from` in the place of `to`.
    ///
    /// # Errors
    /// What the system reports.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.count()?;
        std::fs::rename(from, to)
    }

    /// Swaps what two names stand for, in one step.
    ///
    /// # Errors
    /// What the system reports; [`io::ErrorKind::Unsupported`] where the file system cannot do that: in several steps, a
    /// process that is killed between them would lose one of the two.
    pub fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.count()?;
        match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this file system cannot replace a folder in one step; write to a new folder",
                ))
            }
            exchanged => Ok(exchanged?),
        }
    }

    /// Gives a range of the file back to the file system; it reads as zeros then.
    ///
    /// # Errors
    /// What the system reports; some file systems cannot do this.
    pub fn punch_hole(&self, file: &File, offset: u64, bytes: u64) -> io::Result<()> {
        self.count()?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(file, flags, offset, bytes)?)
    }

    /// Starts writing a range out and drops what is already written from the page cache.
    ///
    /// # Errors
    /// What the system reports; it is only advice, so a caller may go on.
    pub fn drop_behind(&self, file: &File, offset: u64, bytes: u64) -> io::Result<()> {
        self.advise(file, offset, bytes, Advice::DontNeed)
    }

    /// Starts reading a range in the background.
    ///
    /// # Errors
    /// What the system reports; it is only advice, so a caller may go on.
    pub fn read_ahead(&self, file: &File, offset: u64, bytes: u64) -> io::Result<()> {
        self.advise(file, offset, bytes, Advice::WillNeed)
    }

    /// Keeps the system from reading ahead on its own in a file where neighbours are not read one after the other.
    ///
    /// # Errors
    /// What the system reports; it is only advice, so a caller may go on.
    pub fn expect_random_access(&self, file: &File) -> io::Result<()> {
        self.advise(file, 0, 0, Advice::Random)
    }

    fn advise(&self, file: &File, offset: u64, bytes: u64, advice: Advice) -> io::Result<()> {
        self.count()?;
        Ok(rustix::fs::fadvise(file, offset, NonZeroU64::new(bytes), advice)?)
    }

    /// Bytes that this user may still write in the file system of `dir`.
    ///
    /// # Errors
    /// What the system reports.
    pub fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.count()?;
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Counts a call that is not a write.
    fn count(&self) -> io::Result<()> {
        let call = self.n_calls.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.plan {
            Some(plan) if plan.fails_at_call == call => plan.fail(),
            _ => Ok(()),
        }
    }

    /// Counts a write of `wanted` bytes; returns how many of them it may write.
    fn count_write(&self, wanted: usize) -> io::Result<usize> {
        let call = self.n_calls.fetch_add(1, Ordering::Relaxed) + 1;
        let Some(plan) = self.plan.as_ref().filter(|plan| call >= plan.fails_at_call) else { return Ok(wanted) };
        if plan.fault == Fault::ShortWrite {
            if !plan.short_write_made.swap(true, Ordering::Relaxed) {
                return Ok((wanted / 2).max(1));
            }
            if !plan.full_reported.swap(true, Ordering::Relaxed) {
                return Err(rustix::io::Errno::NOSPC.into());
            }
        } else if call == plan.fails_at_call {
            plan.fail()?;
        }
        Ok(wanted)
    }
}

impl FaultPlan {
    fn fail(&self) -> io::Result<()> {
        match self.fault {
            Fault::NoSpace => Err(rustix::io::Errno::NOSPC.into()),
            Fault::Io => Err(rustix::io::Errno::IO.into()),
            Fault::ShortWrite => Ok(()),
        }
    }
}

/// A file under a hidden name of its own in `dir`, with the permissions that any new file has; the name is removed on drop.
fn create_named(dir: &Path) -> io::Result<(File, TempPath)> {
    let anyone = std::fs::Permissions::from_mode(0o666);
    let named = tempfile::Builder::new().prefix(".brimful-").permissions(anyone).tempfile_in(dir)?;
    Ok(named.into_parts())
}

/// The directories of some file systems cannot be synced.
fn ignore_unsyncable(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP | libc::EACCES | libc::EBADF) => Ok(()),
        _ => Err(error),
    }
}

fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(disk: &Disk, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let pending = disk.create_beside(target)?;
        disk.write_all_at(pending.file(), bytes, 0)?;
        disk.publish(pending)
    }

    #[test]
    fn a_target_is_the_old_file_or_the_whole_new_one_whatever_call_fails() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.csv");
        for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite] {
            std::fs::write(&target, "old").unwrap();
            for n in 1.. {
                let disk = Disk::faulty(n, fault);
                let published = publish(&disk, &target, b"complete");
                let found = std::fs::read_to_string(&target).unwrap();
                assert!(found == "old" || found == "complete", "{found}");
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the target is there");
                if disk.calls() < n {
                    assert_eq!(found, "complete");
                    published.unwrap();
                    break;
                }
            }
        }
    }

    #[test]
    fn a_name_of_any_length_can_be_published() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["o".repeat(255), "é".repeat(127)] {
            publish(&Disk::real(), &dir.path().join(&name), b"complete").unwrap();
            assert_eq!(std::fs::read_to_string(dir.path().join(&name)).unwrap(), "complete");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_made_under_a_name_has_the_permissions_of_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let (file, _name) = create_named(dir.path()).unwrap();
        let other = File::create(dir.path().join("other")).unwrap();
        let mode = |file: &File| file.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&other));
    }

    #[test]
    fn dropping_a_pending_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Disk::real().create_beside(&dir.path().join("out")).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_short_write_goes_on_and_then_finds_the_disk_full() {
        let disk = Disk::faulty(2, Fault::ShortWrite);
        let file = disk.create_unlinked(&std::env::temp_dir()).unwrap();
        let error = disk.write_all_at(&file, &[7; 100], 0).unwrap_err();
        assert_eq!((error.kind(), file.metadata().unwrap().len()), (io::ErrorKind::StorageFull, 50));
        disk.write_all_at(&file, &[7; 100], 0).unwrap();
    }

    #[test]
    fn faults_are_read_from_text() {
        for good in ["1:nospace", "20:io", "3:short"] {
            Disk::parse_fault(good).unwrap();
        }
        for bad in ["", "1", "x:io", "1:fire"] {
            assert_eq!(Disk::parse_fault(bad).unwrap_err().kind(), crate::ErrorKind::Usage, "{bad}");
        }
    }
}
