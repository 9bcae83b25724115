//! Arrow files as a table: schema, number of rows, and how a scan is prepared.
//!
//! Memory: schemas are united file by file; no file stays open.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::datatypes::{FieldRef, SchemaRef};

use super::file::OpenFile;
use super::layout::is_readable;
use super::scan::IpcScan;
use crate::error::{Error, Result};
use crate::io::drift::{UnitedSchema, engine_field};
use crate::io::{Scan, ScanRequest, Table, TableFacts, TableStatistics};
use crate::memory::Memory;

/// Record batches whose sizes are looked at when a table is opened, a small read each.
const MAX_LOOKED_AT: usize = 4096;

/// One or more Arrow files or streams as one table, columns united by name.
pub struct IpcTable {
    definition: Arc<Definition>,
    statistics: TableStatistics,
    memory: Memory,
}

/// Everything that is settled before a scan.
pub(super) struct Definition {
    pub(super) paths: Vec<PathBuf>,
    pub(super) schema: SchemaRef,
    pub(super) file_bytes: u64,
    /// What the largest record batch takes, as far as it was looked at.
    pub(super) largest_batch_bytes: u64,
}

impl IpcTable {
    /// Opens `paths` as one table.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for a file that is not Arrow, is damaged, has a type that is not read, or does not fit
    /// the others.
    pub fn open(paths: &[PathBuf], memory: &Memory) -> Result<Self> {
        if paths.is_empty() {
            return Err(Error::usage("no Arrow file to read"));
        }
        let read_bytes = Arc::new(AtomicU64::new(0));
        let mut united = UnitedSchema::default();
        let (mut file_bytes, mut largest, mut n_rows, mut n_left) = (0, 0, Some(0), MAX_LOOKED_AT);
        for path in paths {
            let mut file = OpenFile::open(path, &read_bytes, memory)?;
            file_bytes += file.input.n_bytes();
            if let Some(field) = file.fields().iter().find(|field| !is_readable(field.data_type())) {
                let (path, name, data_type) = (path.display(), field.name(), field.data_type());
                return Err(Error::data(format!("{path}: column {name} is {data_type}, which is not read"))
                    .with_hint("write the file again with another type for this column"));
            }
            let fields: Vec<FieldRef> = file.fields().iter().map(|field| Arc::new(engine_field(field))).collect();
            united.add(&fields, path)?;
            while let Some(message) = if n_left == 0 { None } else { file.look_at_next()? } {
                n_left -= 1;
                largest = message.expected_bytes(&file.input)?.max(largest);
                n_rows = n_rows.zip(Some(message.n_rows(&file.input)?)).map(|(sum, more): (u64, u64)| sum + more);
            }
            if n_left == 0 {
                n_rows = None;
            }
        }
        let schema = united.finish();
        let statistics = TableStatistics { n_rows, file_bytes, columns: Vec::new() };
        let definition =
            Arc::new(Definition { paths: paths.to_vec(), schema, file_bytes, largest_batch_bytes: largest });
        Ok(IpcTable { definition, statistics, memory: memory.clone() })
    }
}

impl Table for IpcTable {
    fn schema(&self) -> SchemaRef {
        self.definition.schema.clone()
    }

    fn statistics(&self) -> TableStatistics {
        self.statistics.clone()
    }

    fn scan(&self, request: ScanRequest) -> Result<Scan> {
        IpcScan::prepare(self.definition.clone(), request, &self.memory)
    }

    fn facts(&self) -> Result<TableFacts> {
        Ok(TableFacts { format: "arrow".into(), n_files: self.definition.paths.len(), ..TableFacts::default() })
    }

    fn describe(&self) -> String {
        match &self.definition.paths[..] {
            [path] => format!("arrow {}", path.display()),
            paths => format!("arrow {} and {} more files", paths[0].display(), paths.len() - 1),
        }
    }
}
