//! `--report FILE.html`: what queries took, as one page that needs nothing else.
//!
//! Styles, charts and the few lines of script stand in the page; nothing is fetched. Everything that a user or a file
//! could have written is escaped. The page replaces its file only when it is complete, also when a query failed.
//!
//! Memory: a page is about 100 KiB a query.

mod chart;
mod page;
mod plan;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::exec::{RunMetrics, Sample};
use crate::io::{OutputFile, WrittenFile};
use crate::session::Session;

/// What is to be said of one query.
pub(super) struct Section {
    /// The text of the query.
    pub(super) query: String,
    /// What it took.
    pub(super) metrics: RunMetrics,
    /// Its course.
    pub(super) samples: Vec<Sample>,
}

/// A report in the making.
pub(super) struct Report {
    path: PathBuf,
    sections: Vec<Section>,
}

impl Report {
    /// A report on queries of `session` that will be written to `path`.
    pub(super) fn new(path: &Path, session: &Session) -> Result<Self> {
        let written = WrittenFile::new(path, "the report", "name another file: --report FILE.html");
        session.files().written.add(written)?;
        Ok(Report { path: path.to_path_buf(), sections: Vec::new() })
    }

    /// Adds a query and writes what there is so far.
    pub(super) fn add(&mut self, section: Section) -> Result<()> {
        self.sections.push(section);
        let mut file = OutputFile::create(&self.path)?;
        file.append(page::page(&self.sections).as_bytes())?;
        file.commit()
    }
}

#[cfg(test)]
mod tests;
