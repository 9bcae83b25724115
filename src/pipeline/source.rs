//! The text of a pipeline file, what the command line puts over it, and where in them something stands.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A pipeline file as text, and the values that `--set` gives.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
    /// Each `key=value`.
    sets: Vec<String>,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Line and column, from 1.
    File { line: u32, column: u32 },
    /// In the n-th `--set`.
    Set(usize),
}

impl Source {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when it cannot be read or is too large to be one.
    pub(super) fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let text = crate::io::files::read_text(path, super::yaml::MOST_TEXT_BYTES)?;
        Ok(Source { path: path.to_path_buf(), text, sets: sets.to_vec() })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn sets(&self) -> &[String] {
        &self.sets
    }

    /// `pipeline.yaml:3:7`, or the `--set`.
    pub(super) fn at(&self, place: Place) -> String {
        match place {
            Place::File { line, column } => format!("{}:{line}:{column}", self.path.display()),
            Place::Set(idx) => format!("--set {}", self.sets.get(idx).map_or("", String::as_str)),
        }
    }

    /// What is wrong at `place`.
    pub(super) fn error(&self, place: Place, message: impl Into<String>) -> Error {
        Error::usage(message).with_location(self.at(place))
    }
}
