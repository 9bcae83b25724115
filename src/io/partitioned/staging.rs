//! The hidden folder in which a set of files grows before it takes the place of its target in one step.
//!
//! Memory: none.
//!
//! The surprising part: a folder cannot be nameless like a file, so `kill -9` leaves it behind. Each is locked as long as
//! its process lives; whoever writes beside it next removes those that nobody holds any more.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::spill::Disk;

const PREFIX: &str = ".brimful-";
const SUFFIX: &str = ".partial";

/// A folder that is not at its target yet. Dropped without [`Staging::commit`] it is removed with all it holds.
pub(super) struct Staging {
    disk: Arc<Disk>,
    target: PathBuf,
    path: PathBuf,
    overwrite: bool,
    /// Holds the lock.
    _folder: File,
    is_committed: bool,
}

impl Staging {
    /// Makes a folder that will be `target`. One that is there already must be empty, unless it is to be overwritten.
    pub(super) fn create(disk: Arc<Disk>, target: &Path, overwrite: bool) -> Result<Self> {
        let target = std::fs::canonicalize(target).unwrap_or_else(|_| target.components().collect());
        check_target(&target, overwrite)?;
        let parent = parent_of(&target);
        if !parent.is_dir() {
            return Err(Error::disk(format!("cannot create {}: its folder does not exist", target.display()))
                .with_hint("make the folder first"));
        }
        remove_abandoned(parent);
        let failed = |error: io::Error| Error::disk(format!("cannot create {}: {error}", target.display()));
        for attempt in 0..1000 {
            let path = parent.join(format!("{PREFIX}{}-{attempt}{SUFFIX}", std::process::id()));
            match disk.create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            }
            match lock(&path) {
                Ok(Some(folder)) => {
                    return Ok(Staging { disk, target, path, overwrite, _folder: folder, is_committed: false });
                }
                // Another process took it for abandoned before it was locked.
                Ok(None) => {}
                Err(error) => {
                    let _ = std::fs::remove_dir(&path);
                    return Err(failed(error));
                }
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Where the files go.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where they will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Makes all files durable and puts the folder in the place of its target: it is the old one or the whole new one.
    pub(super) fn commit(mut self) -> Result<()> {
        self.publish().map_err(|error| crate::io::output_file::write_error(&self.target, &error))
    }

    fn publish(&mut self) -> io::Result<()> {
        self.disk.sync_file_system(&self.path)?;
        match self.disk.rename(&self.path, &self.target) {
            Ok(()) => self.is_committed = true,
            Err(error) if self.overwrite && is_in_the_way(&error) => {
                // What was at the target is then at our path, and goes when this is dropped.
                self.disk.exchange(&self.path, &self.target)?;
            }
            Err(error) => return Err(error),
        }
        self.disk.sync_directory(parent_of(&self.target))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_committed {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn is_in_the_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

fn check_target(target: &Path, overwrite: bool) -> Result<()> {
    let shown = target.display();
    match std::fs::metadata(target) {
        Ok(found) if !found.is_dir() => {
            Err(Error::usage(format!("cannot write the folder {shown}: there is a file of that name"))
                .with_hint("name another folder"))
        }
        Ok(_) if overwrite => Ok(()),
        Ok(_) => {
            let mut entries = std::fs::read_dir(target).map_err(|error| Error::write_failed(target, &error))?;
            match entries.next() {
                None => Ok(()),
                Some(_) => Err(Error::usage(format!("cannot write {shown}: the folder is not empty")).with_hint(
                    "name a new folder, or empty this one; COPY .. TO with the option OVERWRITE replaces all that is in it",
                )),
            }
        }
        Err(_) => Ok(()),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Locks the folder at `path`; `None` when another process holds it or has removed it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = match File::open(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        // Where there are no locks, nothing is ever taken for abandoned.
        Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::NOLCK | rustix::io::Errno::NOSYS) => {
            return Ok(Some(folder));
        }
        Err(error) => return Err(error.into()),
    }
    let is_still_there =
        std::fs::metadata(path).is_ok_and(|found| folder.metadata().is_ok_and(|own| own.ino() == found.ino()));
    Ok(is_still_there.then_some(folder))
}

/// Removes the folders beside a target that a killed process left.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if !is_ours {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
