//! The files that a command writes: none of them is read by it, and no two of them are the same.
//!
//! Memory: a path a file. The surprising part: what is no regular file, such as a pipe or `/dev/null`, holds nothing that
//! could be lost, so anything may go there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::OutputFile;
use super::run_folder::resolved;
use crate::error::{Error, Result};

/// A file that will be written.
#[derive(Debug, Clone)]
pub struct WrittenFile {
    path: PathBuf,
    /// What is written, in words.
    what: &'static str,
    hint: &'static str,
}

/// Which file a path names, through whatever links.
#[derive(PartialEq)]
enum Place {
    There { device: u64, inode: u64 },
    NotYet(PathBuf),
}

impl Place {
    /// `None` for what is no regular file.
    fn of(path: &Path) -> Option<Self> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Some(Place::There { device: found.dev(), inode: found.ino() }),
            Ok(_) => None,
            Err(_) => Some(Place::NotYet(resolved(path))),
        }
    }
}

impl WrittenFile {
    /// `what` is written to `path`; `hint` says how another file is named.
    pub fn new(path: impl Into<PathBuf>, what: &'static str, hint: &'static str) -> Self {
        WrittenFile { path: path.into(), what, hint }
    }

    /// The result of a query, in `path`.
    pub fn result(path: &Path) -> Self {
        Self::new(path, "the result", "write to another file, and rename it when you have looked at it")
    }

    /// Whether there is a file that would be lost.
    pub fn is_there(&self) -> bool {
        matches!(Place::of(&self.path), Some(Place::There { .. }))
    }

    /// Makes and forgets a file in its place; what is no regular file is left alone.
    fn check(&self) -> Result<()> {
        match std::fs::metadata(&self.path) {
            Ok(found) if !found.is_file() && !found.is_dir() => Ok(()),
            _ => OutputFile::create(&self.path).map(|_| ()),
        }
    }

    /// Refuses to write when one of `others` is the same file. `is` says in words what they are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`].
    pub fn refuse(&self, others: &[PathBuf], is: &str) -> Result<()> {
        let Some(own) = Place::of(&self.path) else { return Ok(()) };
        match others.iter().any(|other| Place::of(other).is_some_and(|other| other == own)) {
            true => Err(Error::usage(format!("{} cannot go to {}: it is {is}", self.what, self.path.display()))
                .with_hint(self.hint)),
            false => Ok(()),
        }
    }
}

/// What a command writes beside the results of its queries. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct WrittenFiles {
    files: Arc<Mutex<Vec<WrittenFile>>>,
}

impl WrittenFiles {
    /// Another file will be written. Whether it can be is found out now and not when the results are there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when something else is written there, and what [`OutputFile::create`] says.
    pub fn add(&self, file: WrittenFile) -> Result<()> {
        let mut files = self.lock();
        for known in files.iter() {
            file.refuse(std::slice::from_ref(&known.path), &format!("where {} go", known.what))?;
        }
        // A folder that is missing now may be made by whoever writes there; the place is taken all the same.
        let checked = file.check();
        files.push(file);
        checked
    }

    /// Refuses to read a file that will be written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`].
    pub fn refuse_inputs(&self, inputs: &[PathBuf]) -> Result<()> {
        self.lock().iter().try_for_each(|file| file.refuse(inputs, "an input of the query"))
    }

    /// Refuses to write a result where something else goes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`].
    pub fn refuse_output(&self, output: &Path) -> Result<()> {
        let output = [output.to_path_buf()];
        self.lock().iter().try_for_each(|file| file.refuse(&output, "the output of the query"))
    }

    /// Where they are.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.lock().iter().map(|file| file.path.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<WrittenFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn inputs_and_outputs_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (input, link, new) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("new"));
        std::fs::write(&input, "x").unwrap();
        std::fs::hard_link(&input, &link).unwrap();
        let written = |path: &Path| {
            let files = WrittenFiles::default();
            files.add(WrittenFile::new(path, "the metrics", "name another file")).unwrap();
            files
        };
        let error = written(&link).refuse_inputs(&[new.clone(), input.clone()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let detour = folder.path().join(".").join("new");
        assert_eq!(written(&new).refuse_output(&detour).unwrap_err().kind(), ErrorKind::Usage);
        let twice = written(&new).add(WrittenFile::new(&detour, "the report", "name another file"));
        assert!(twice.unwrap_err().to_string().contains("the report cannot go to"));
        written(&new).refuse_inputs(&[input]).unwrap();
        written(&new).refuse_output(&folder.path().join("other")).unwrap();
        written(Path::new("/dev/null")).refuse_output(Path::new("/dev/null")).unwrap();
    }
}
