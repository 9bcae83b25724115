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

use serde::{Deserialize, Serialize};
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
        let path = Self::place(beside, name);
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

    /// Where the folder for runs called `name` is, if there is one.
    pub fn place(beside: &Path, name: &str) -> PathBuf {
        beside.join(".brimful").join(name)
    }

    /// Where a file called `name` is or will be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
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
                remove(&entry.path());
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
        let _ = backup.map(|backup| remove(&backup));
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
            remove(&backup);
            // Folders and some file systems have no hard links; the name is then free for a moment.
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

/// Removes a file or a folder, if it can be.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
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

/// What the system says of a file. A file whose facts are the same has the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub modified_ns: i128,
    /// When the file or what the system says of it was changed last, which no program can set.
    pub changed_ns: i128,
    /// Tells it from another file that took its place.
    pub inode: u64,
}

impl FileFacts {
    /// Asks the system.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when the file is not there or cannot be looked at.
    pub fn of(path: &Path) -> Result<Self> {
        let found = std::fs::metadata(path).map_err(|error| Error::read_failed(path, &error))?;
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Ok(FileFacts {
            bytes: found.len(),
            modified_ns: nanoseconds(found.mtime(), found.mtime_nsec()),
            changed_ns: nanoseconds(found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
        })
    }
}

/// A file of a folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartFacts {
    /// Its path in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: String,
}

/// What a file holds, or a folder of files as one.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Bytes of all files.
    pub bytes: u64,
    /// The checksum of the file; of a folder that of a text with a line a file, as `sha256sum` writes it.
    pub sha256: String,
    /// The files of a folder, by name.
    pub parts: Vec<PartFacts>,
}

impl Contents {
    /// Reads all of `path`.
    ///
    /// # Errors
    /// As [`sha256`].
    pub fn of(path: &Path, cancel: &CancelToken) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Contents {
                bytes: FileFacts::of(path)?.bytes,
                sha256: sha256(path, cancel)?,
                parts: Vec::new(),
            });
        }
        let mut parts = Vec::new();
        let mut waiting = vec![path.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            let failed = |error: std::io::Error| Error::read_failed(&folder, &error);
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?.path();
                if entry.is_dir() {
                    waiting.push(entry);
                    continue;
                }
                let name = entry.strip_prefix(path).unwrap_or(&entry).to_string_lossy().into_owned();
                let (bytes, sha256) = (FileFacts::of(&entry)?.bytes, sha256(&entry, cancel)?);
                parts.push(PartFacts { name, bytes, sha256 });
            }
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(format!("{}  {}\n", part.sha256, part.name)));
        Ok(Contents { bytes: parts.iter().map(|part| part.bytes).sum(), sha256: hexadecimal(hasher), parts })
    }
}

fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is wrong with `path` as a folder of partitions by `column` that replaces what is there: only such a folder may be.
///
/// # Errors
/// As [`check_target`].
pub fn check_folder_target(path: &Path, column: &str) -> Result<()> {
    let refused = |why: String| {
        let error = Error::disk(format!("cannot write the folder {}: {why}", path.display()));
        Err(error
            .with_hint("name a new folder: one that is there is replaced only when it holds such partitions alone"))
    };
    match std::fs::metadata(path) {
        Err(_) => {}
        Ok(found) if !found.is_dir() => return refused("there is a file of that name".into()),
        Ok(_) => {
            for entry in std::fs::read_dir(path).map_err(|error| Error::read_failed(path, &error))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if !name.starts_with(&format!("{column}=")) {
                    return refused(format!("it holds {name}"));
                }
            }
        }
    }
    check_beside(path)
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
    check_beside(path)
}

/// Whether something may be made beside `path`.
fn check_beside(path: &Path) -> Result<()> {
    let mut folder = path.parent();
    while let Some(here) = folder.filter(|here| !here.as_os_str().is_empty()) {
        match std::fs::metadata(here) {
            Ok(found) if found.is_dir() => {
                let writable = rustix::fs::access(here, rustix::fs::Access::WRITE_OK).is_ok();
                let refused =
                    || Error::disk(format!("cannot write {}: {} may not be written", path.display(), here.display()));
                return if writable { can_make_files(path, here) } else { Err(refused()) };
            }
            Ok(_) => {
                return Err(Error::disk(format!("cannot write {}: {} is no folder", path.display(), here.display())));
            }
            Err(_) => folder = here.parent(),
        }
    }
    Ok(())
}

/// Whether a file can be made in `folder`, which is found out by making one without a name. Some file systems allow none.
fn can_make_files(path: &Path, folder: &Path) -> Result<()> {
    tempfile::tempfile_in(folder).map(|_| ()).map_err(|error| {
        let reason =
            error.raw_os_error().map_or(error.to_string(), |code| std::io::Error::from_raw_os_error(code).to_string());
        let folder = folder.display();
        Error::disk(format!("cannot write {}: no file can be made in {folder}: {reason}", path.display()))
            .with_hint("write to another folder")
    })
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
    Ok(hexadecimal(hasher))
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
