//! Which table a path in FROM names.
//!
//! Memory: that of the formats.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};

use super::csv::{CsvOptions, CsvTable, OnBadRow, RejectFile};
use super::files::{FileFormat, find_files, n_parts_above};
use super::hive::{BYTES_PER_FILE, HiveTable, Partitions};
use super::ipc::IpcTable;
use super::ndjson::NdJsonTable;
use super::parquet::{ParquetOptions, ParquetTable};
use super::stdin;
use super::{OpenTable, Scan, ScanRequest, Table, TableFacts, TableStatistics, WrittenFiles};
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};
use crate::spill::SpillConfig;

/// Opens files, globs and directories; the format is told by the first bytes or the name.
#[derive(Debug, Clone, Default)]
pub struct FileTables {
    /// How CSV files are read.
    pub csv: CsvOptions,
    /// How Parquet files are read.
    pub parquet: ParquetOptions,
    /// What folders called `key=value` mean.
    pub hive: HiveFolders,
    /// What is written meanwhile and therefore not read.
    pub written: WrittenFiles,
    /// Where standard input is put that is read at several places at once.
    pub spool: SpillConfig,
}

/// What folders called `key=value` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HiveFolders {
    /// They are columns of the files in them.
    #[default]
    Columns,
    /// Nothing.
    Ignored,
}

impl FileTables {
    /// The same, with a reject file of its own: every session has one, whatever the number of its tables and views.
    pub(crate) fn for_session(self) -> Self {
        let mut files = FileTables { written: WrittenFiles::default(), ..self };
        if let OnBadRow::Reject(rejects) = &mut files.csv.on_bad_row {
            *rejects = rejects.for_session();
            // Nothing else is written yet.
            let _ = files.written.add(rejects.written());
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
        let (mut files, mut n_above) = (Vec::new(), Vec::new());
        for path in paths {
            files.extend(find_files(path)?);
            n_above.resize(files.len(), n_parts_above(path));
        }
        self.written.refuse_inputs(&files)?;
        for file in &mut files {
            if stdin::is_stream(file) && FileFormat::detect(file, memory)?.wants_a_file() {
                *file = stdin::spooled(&self.spool, memory)?;
            }
        }
        let (table, reserved) = self.open_found(files, &n_above, memory)?;
        if let Some(shared) = &self.csv.shared_schema {
            let schema = table.schema();
            let names = self.csv.schema_overrides.iter().map(|(name, _)| name);
            names.filter(|name| schema.field_with_name(name).is_ok()).for_each(|name| shared.note_used(name));
        }
        Ok(Arc::new(NamedFiles { inner: table, named: paths.to_vec(), _reserved: reserved }))
    }

    /// `files`, with the columns that their folders are, and what covers their paths if not the table itself does; the
    /// first parts of each path, `n_above` many, are none.
    fn open_found(
        &self,
        files: Vec<PathBuf>,
        n_above: &[usize],
        memory: &Memory,
    ) -> Result<(Arc<dyn Table>, Option<Reservation>)> {
        let declared = &self.csv.schema_overrides;
        let partitions = match self.hive {
            HiveFolders::Columns => Partitions::find(&files, n_above, declared, memory)?,
            HiveFolders::Ignored => None,
        };
        let Some(partitions) = partitions else {
            let reserved = reserve_paths(&files, memory)?;
            let inner = self.open_files(&files, declared.clone(), memory)?;
            return Ok((inner, Some(reserved)));
        };
        let is_folder = |name: &String| partitions.fields().iter().any(|field| field.name() == name);
        let of_files = declared.iter().filter(|(name, _)| !is_folder(name)).cloned().collect();
        let inner = self.open_files(&files, of_files, memory)?;
        Ok((Arc::new(HiveTable::new(inner, partitions, memory)?), None))
    }
}

impl FileTables {
    /// `files` as one table; `declared` are types of columns.
    fn open_files(
        &self,
        files: &[PathBuf],
        declared: Vec<(String, DataType)>,
        memory: &Memory,
    ) -> Result<Arc<dyn Table>> {
        let csv = CsvOptions { schema_overrides: declared, ..self.csv.clone() };
        Ok(match one_format(files, memory)? {
            FileFormat::Csv => Arc::new(CsvTable::open(files, csv, memory)?),
            FileFormat::Tsv => {
                let delimiter = csv.delimiter.or(Some(b'\t'));
                Arc::new(CsvTable::open(files, CsvOptions { delimiter, ..csv }, memory)?)
            }
            FileFormat::Parquet => Arc::new(ParquetTable::open(files, self.parquet.clone(), memory)?),
            FileFormat::NdJson => Arc::new(NdJsonTable::open(files, csv.into(), memory)?),
            FileFormat::Ipc => Arc::new(IpcTable::open(files, memory)?),
        })
    }
}

impl FileTables {
    /// `path` as CSV with options that hold for it alone.
    fn open_as_csv(&self, path: &str, options: &[(String, String)], memory: &Memory) -> Result<Arc<dyn Table>> {
        let mut tables = self.clone();
        options.iter().try_for_each(|(name, value)| tables.csv.set(name, value))?;
        let files = find_files(path)?;
        match one_format(&files, memory)? {
            FileFormat::Csv | FileFormat::Tsv => tables.open_all(&[path.to_string()], memory),
            _ => Err(Error::usage(format!("{path} is no CSV file, which read_csv reads"))
                .with_hint(format!("write FROM '{path}'"))),
        }
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

/// Files from which on their paths are worth a reservation.
const MANY_FILES: usize = 256;

/// Covers the paths of `files` in all lists of them, if they are many.
fn reserve_paths(files: &[PathBuf], memory: &Memory) -> Result<Reservation> {
    let mut reserved = memory.reserve("Scan");
    if files.len() >= MANY_FILES {
        let bytes = files.iter().map(|path| BYTES_PER_FILE + 2 * path.as_os_str().len() as u64).sum();
        reserved.try_grow(bytes)?;
    }
    Ok(reserved)
}

/// A table that knows what the user called its files.
struct NamedFiles {
    inner: Arc<dyn Table>,
    named: Vec<String>,
    /// Covers the paths of the files, if they are many.
    _reserved: Option<Reservation>,
}

impl Table for NamedFiles {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn statistics(&self) -> TableStatistics {
        self.inner.statistics()
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        self.inner.scan(request)
    }

    fn may_refuse_rows(&self) -> bool {
        self.inner.may_refuse_rows()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn describe_scan(&self, request: &ScanRequest) -> String {
        self.inner.describe_scan(request)
    }

    fn named(&self) -> &[String] {
        &self.named
    }

    fn facts(&self) -> Result<TableFacts> {
        self.inner.facts()
    }
}

/// The format of all `files`: detected from the first; the names of the others must not say something else.
fn one_format(files: &[PathBuf], memory: &Memory) -> Result<FileFormat> {
    let Some((first, others)) = files.split_first() else { return Err(Error::data("no file to read")) };
    let format = FileFormat::detect(first, memory)?;
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
