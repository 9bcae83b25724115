//! The folder in which a run keeps what is finished and not published yet, and how a set of files is published.
//!
//! It is `.brimful/NAME` beside the outputs, on their file system, so that publishing is renaming. Only one run at a time
//! may use it. A file in it is complete: it gets its name only when all of it is on disk (see [`OutputFile`]).
//!
//! Memory: one buffer of [`BUFFER_BYTES`] while a checksum is made.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::OutputFile;
use crate::error::{Error, Result};
use crate::exec::CancelToken;
use crate::spill::Disk;

/// Bytes that are read at once for a checksum.
const BUFFER_BYTES: usize = 256 << 10;

const LOCK: &str = "lock";

/// A folder of this run's own.
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes and locks the folder for runs called `name` whose outputs are in `beside`, which is made, too.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`] when it cannot be made, [`crate::ErrorKind::Usage`] when another run uses it.
    pub fn open(beside: &Path, name: &str) -> Result<Self> {
        let path = beside.join(".brimful").join(name);
        make_folder(&path)?;
        let lock_path = path.join(LOCK);
        let failed = |error: std::io::Error| Error::disk(format!("cannot lock {}: {error}", lock_path.display()));
        let lock = File::options().create(true).append(true).open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(RunFolder { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Error::usage(format!("another run of this pipeline is writing to {}", beside.display()))
                    .with_hint("wait for it, or write to another folder"))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where a file called `name` is or will be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The text of a small file, if it is there.
    pub fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.file(name)).ok()
    }

    /// Writes a small file as a whole or not at all.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Disk`].
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let mut file = OutputFile::create(&self.file(name))?;
        file.append(text.as_bytes())?;
        file.commit()
    }

    /// Removes every file but those that `is_kept`. What cannot be removed stays; it is only in the way.
    pub fn keep_only(&self, is_kept: impl Fn(&str) -> bool) {
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name != LOCK && !name.to_str().is_some_and(&is_kept) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A complete file and the place that it is to have.
#[derive(Debug, Clone)]
pub struct Move {
    /// Where it is.
    pub from: PathBuf,
    /// Where it will be; on the same file system.
    pub to: PathBuf,
}

/// Puts all files in their places, or none: when one cannot be, those before it are put back as they were.
///
/// A process that is killed in between leaves some in their new place and the others where they were; both are whole.
///
/// # Errors
/// [`crate::ErrorKind::Disk`] naming the file that could not be put in its place.
pub fn publish_set(disk: &Arc<Disk>, moves: &[Move]) -> Result<()> {
    let mut done: Vec<(&Move, Option<PathBuf>)> = Vec::with_capacity(moves.len());
    for step in moves {
        match publish_one(disk, step) {
            Ok(backup) => done.push((step, backup)),
            Err(error) => {
                done.into_iter().rev().for_each(|(step, backup)| take_back(step, backup));
                return Err(Error::write_failed(&step.to, &error).with_hint("all outputs are what they were before"));
            }
        }
    }
    for (_, backup) in done {
        // An old output that stays under a hidden name is removed by the next run.
        let _ = backup.map(std::fs::remove_file);
    }
    let mut folders: Vec<&Path> = moves.iter().filter_map(|step| step.to.parent()).collect();
    folders.dedup();
    for folder in folders {
        // The names are there; only after a power cut could they be the old ones.
        let _ = File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).map(|f| f.sync_all());
    }
    Ok(())
}

/// Renames, and gives the hidden name of what was there before.
fn publish_one(disk: &Disk, step: &Move) -> std::io::Result<Option<PathBuf>> {
    let backup = match std::fs::metadata(&step.to) {
        Ok(found) => {
            std::fs::set_permissions(&step.from, found.permissions())?;
            let mut name = step.from.clone().into_os_string();
            name.push(".old");
            let backup = PathBuf::from(name);
            let _ = std::fs::remove_file(&backup);
            // Some file systems have no hard links; the name is then free for a moment.
            std::fs::hard_link(&step.to, &backup).or_else(|_| std::fs::rename(&step.to, &backup))?;
            Some(backup)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    disk.rename(&step.from, &step.to).inspect_err(|_| {
        // Where both are names of one file this changes nothing but the number of its names.
        let _ = backup.as_ref().map(|backup| std::fs::rename(backup, &step.to));
        let _ = backup.as_ref().map(std::fs::remove_file);
    })?;
    Ok(backup)
}

/// Undoes one step as well as that is possible.
fn take_back(step: &Move, backup: Option<PathBuf>) {
    let _ = std::fs::hard_link(&step.to, &step.from).or_else(|_| std::fs::rename(&step.to, &step.from));
    let _ = match backup {
        Some(backup) => std::fs::rename(backup, &step.to),
        None => std::fs::remove_file(&step.to),
    };
}

/// Makes a folder with those around it; one that is there is fine.
fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::disk(format!("cannot make {}: {error}", folder.display())))
}

/// What the system says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub modified_ns: i128,
}

impl FileFacts {
    /// Asks the system.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when the file is not there or cannot be looked at.
    pub fn of(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|error| Error::read_failed(path, &error))?;
        let modified_ns = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
        Ok(FileFacts { bytes: found.len(), modified_ns })
    }
}

/// What is wrong with `path` as a place for an output, seen before anything runs; the folder may be made later.
///
/// # Errors
/// [`crate::ErrorKind::Disk`] when it is a folder or no regular file, or stands below a file.
pub fn check_target(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(Error::disk(format!("cannot write {}: it is a folder", path.display()))
                .with_hint("name a file inside it"));
        }
        Ok(found) if !found.is_file() => {
            return Err(Error::disk(format!("cannot write {}: outputs of a pipeline must be files", path.display())));
        }
        _ => {}
    }
    let mut folder = path.parent();
    while let Some(here) = folder.filter(|here| !here.as_os_str().is_empty()) {
        match std::fs::metadata(here) {
            Ok(found) if found.is_dir() => {
                let writable = rustix::fs::access(here, rustix::fs::Access::WRITE_OK).is_ok();
                let refused =
                    || Error::disk(format!("cannot write {}: {} may not be written", path.display(), here.display()));
                return if writable { Ok(()) } else { Err(refused()) };
            }
            Ok(_) => {
                return Err(Error::disk(format!("cannot write {}: {} is no folder", path.display(), here.display())));
            }
            Err(_) => folder = here.parent(),
        }
    }
    Ok(())
}

/// Links that are followed; more of them go round in a circle.
const MOST_LINKS: usize = 40;

/// The only name of a file that may not be there yet: absolute, links followed.
pub fn resolved(path: &Path) -> PathBuf {
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for _ in 0..MOST_LINKS {
        if let Ok(found) = path.canonicalize() {
            return found;
        }
        // A link to a file that is not there yet.
        match std::fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("/")).join(to),
            Err(_) => break,
        }
    }
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => resolved(folder).join(name),
        // It ends in `..`.
        (Some(folder), None) => {
            let folder = resolved(folder);
            folder.parent().unwrap_or(&folder).to_path_buf()
        }
        (None, _) => path,
    }
}

/// The SHA-256 of a file, as `sha256sum` writes it.
///
/// # Errors
/// [`crate::ErrorKind::Data`] when it cannot be read, [`crate::ErrorKind::Cancelled`].
pub fn sha256(path: &Path, cancel: &CancelToken) -> Result<String> {
    let failed = |error: std::io::Error| Error::read_failed(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        cancel.check()?;
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spill::Fault;

    #[test]
    fn a_set_is_published_as_a_whole_or_not_at_all() {
        for n in 1..=4 {
            let folder = tempfile::tempdir().unwrap();
            let run = RunFolder::open(folder.path(), "p").unwrap();
            let moves: Vec<Move> = ["a", "b", "c"]
                .iter()
                .map(|name| {
                    run.write(name, &format!("new {name}")).unwrap();
                    Move { from: run.file(name), to: folder.path().join(name) }
                })
                .collect();
            // One of them is new.
            ["a", "b"].iter().for_each(|name| std::fs::write(folder.path().join(name), "old").unwrap());
            let done = publish_set(&Disk::faulty(n, Fault::Io), &moves);
            let found: Vec<_> = moves.iter().map(|step| std::fs::read_to_string(&step.to).ok()).collect();
            let found: Vec<_> = found.iter().map(|text| text.as_deref().unwrap_or("-")).collect();
            match done {
                Ok(()) => assert_eq!((n, found), (4, vec!["new a", "new b", "new c"])),
                Err(error) => {
                    assert_eq!(error.kind(), crate::ErrorKind::Disk);
                    assert_eq!(found, ["old", "old", "-"]);
                    assert!(moves.iter().all(|step| step.from.exists()), "finished files are kept");
                }
            }
        }
    }

    #[test]
    fn a_file_has_one_name_before_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink("a/new", real.join("link")).unwrap();
        std::os::unix::fs::symlink("round", real.join("round")).unwrap();
        for (path, expected) in [
            ("a/../x", "x"),
            ("./a//x", "a/x"),
            ("b/../c/x", "c/x"),
            ("link", "a/new"),
            ("link/y", "a/new/y"),
            ("round", "round"),
        ] {
            assert_eq!(resolved(&folder.path().join(path)), real.join(expected), "{path}");
        }
    }

    #[test]
    fn one_run_at_a_time_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunFolder::open(folder.path(), "p").unwrap();
        assert_eq!(RunFolder::open(folder.path(), "p").err().unwrap().kind(), crate::ErrorKind::Usage);
        drop(first);
        assert!(RunFolder::open(folder.path(), "p").is_ok());
    }

    #[test]
    fn checksums_are_those_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path, &CancelToken::default()).unwrap(), known);
    }
}
