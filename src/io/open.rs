//! Which table a path in FROM names.
//!
//! Memory: that of the formats.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::csv::{CsvOptions, CsvTable, OnBadRow, RejectFile};
use super::files::{FileFormat, find_files};
use super::parquet::{ParquetOptions, ParquetTable};
use super::{OpenTable, Table};
use crate::error::{Error, Result};
use crate::memory::Memory;

/// Opens files, globs and directories; the format is told by the first bytes or the name.
#[derive(Debug, Clone, Default)]
pub struct FileTables {
    /// How CSV files are read.
    pub csv: CsvOptions,
    /// How Parquet files are read.
    pub parquet: ParquetOptions,
}

impl FileTables {
    /// The same, with a reject file of its own: every session has one, whatever the number of its tables and views.
    pub(crate) fn for_session(self) -> Self {
        let mut files = self;
        if let OnBadRow::Reject(rejects) = &mut files.csv.on_bad_row {
            *rejects = rejects.for_session();
        }
        files.csv.shared_schema = Some(Arc::default());
        files
    }

    /// Another text of statements begins.
    pub(crate) fn start_text(&self) {
        if let Some(rejects) = self.rejects() {
            rejects.start_text();
        }
        if let Some(schema) = &self.csv.shared_schema {
            schema.start_text();
        }
    }

    /// All tables of a text have been opened.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for a declared column that none of them has.
    pub(crate) fn end_text(&self) -> Result<()> {
        self.csv.shared_schema.as_ref().map_or(Ok(()), |schema| schema.end_text())
    }

    /// Where bad rows go.
    pub(crate) fn rejects(&self) -> Option<&Arc<RejectFile>> {
        self.csv.on_bad_row.rejects()
    }
}

impl FileTables {
    /// Opens files, globs and directories as one table.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for files that are not there or cannot be read as one table.
    pub fn open_all(&self, paths: &[String], memory: &Memory) -> Result<Arc<dyn Table>> {
        let mut files = Vec::new();
        for path in paths {
            files.extend(find_files(path)?);
        }
        if let Some(rejects) = self.rejects() {
            files.iter().try_for_each(|file| rejects.refuse_input(file))?;
        }
        Ok(match one_format(&files)? {
            FileFormat::Csv => Arc::new(CsvTable::open(&files, self.csv.clone(), memory)?),
            FileFormat::Tsv => {
                let delimiter = self.csv.delimiter.or(Some(b'\t'));
                Arc::new(CsvTable::open(&files, CsvOptions { delimiter, ..self.csv.clone() }, memory)?)
            }
            FileFormat::Parquet => Arc::new(ParquetTable::open(&files, self.parquet.clone(), memory)?),
            FileFormat::NdJson => return Err(unsupported(&files, "JSON lines")),
            FileFormat::Ipc => return Err(unsupported(&files, "Arrow IPC")),
        })
    }
}

impl FileTables {
    /// `path` as CSV, whatever its name says, with options that hold for it alone.
    fn open_as_csv(&self, path: &str, options: &[(String, String)], memory: &Memory) -> Result<Arc<dyn Table>> {
        let files = find_files(path)?;
        let mut csv = self.csv.clone();
        options.iter().try_for_each(|(name, value)| csv.set(name, value))?;
        if let Some(rejects) = self.rejects() {
            files.iter().try_for_each(|file| rejects.refuse_input(file))?;
        }
        Ok(Arc::new(CsvTable::open(&files, csv, memory)?))
    }
}

impl OpenTable for FileTables {
    fn open(&self, path: &str, memory: &Memory) -> Result<Arc<dyn Table>> {
        self.open_all(&[path.to_string()], memory)
    }

    fn open_csv(&self, path: &str, options: &[(String, String)], memory: &Memory) -> Result<Arc<dyn Table>> {
        self.open_as_csv(path, options, memory)
    }
}

fn unsupported(files: &[PathBuf], format: &str) -> Error {
    let path = files.first().map_or_else(|| "the input".into(), |path| path.display().to_string());
    Error::usage(format!("{path} looks like {format}, which cannot be read yet"))
        .with_hint("CSV and Parquet files can be read")
}

/// The format of all `files`: detected from the first; the names of the others must not say something else.
fn one_format(files: &[PathBuf]) -> Result<FileFormat> {
    let Some((first, others)) = files.split_first() else { return Err(Error::data("no file to read")) };
    let format = FileFormat::detect(first)?;
    let differs = |file: &&PathBuf| FileFormat::from_name(file).is_some_and(|named| named != format);
    match others.iter().find(differs) {
        None => Ok(format),
        Some(other) => Err(mixed(first, other)),
    }
}

fn mixed(first: &Path, other: &Path) -> Error {
    Error::data(format!("{} and {} are in different formats", first.display(), other.display()))
        .with_hint("name the files of one format with a glob, for example 'data/*.parquet'")
}
