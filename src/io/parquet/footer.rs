//! Opening a file: its footer, checked and matched with the columns of the table.
//!
//! Memory: a parsed footer is about five times as large as it is on disk; both are reserved before it is read and given
//! back when the last reader of the file drops it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use super::input::{InputFile, from_parquet, guarded};
use super::schema::{FileColumn, FileSchema};
use crate::error::{Error, Result};
use crate::memory::{Memory, Reservation};

const MAGIC: &[u8; 4] = b"PAR1";
const ENCRYPTED_MAGIC: &[u8; 4] = b"PARE";
/// Length of the footer and magic bytes.
const TAIL_BYTES: u64 = 8;
/// Read in the hope that the whole footer is in it. Most footers of ten columns and a hundred row groups are.
const FIRST_READ_BYTES: u64 = 64 * 1024;
/// A parsed footer in relation to its bytes on disk, as measured on files of 10 to 1000 columns.
const PARSED_BYTES_PER_BYTE: u64 = 5;

/// A file whose footer is in memory.
pub(super) struct OpenFile {
    pub(super) input: Arc<InputFile>,
    pub(super) metadata: ParquetMetaData,
    pub(super) schema: FileSchema,
    pub(super) memory: Memory,
    _reserved: Reservation,
}

impl OpenFile {
    /// Opens `path` and reads its footer. Bytes that are read later are added to `read_bytes`.
    pub(super) fn open(path: &Path, read_bytes: &Arc<AtomicU64>, memory: &Memory) -> Result<Self> {
        let input = Arc::new(InputFile::open(path, read_bytes.clone())?);
        let mut reserved = memory.reserve("Scan");
        let metadata = read_metadata(&input, &mut reserved)?;
        check_row_groups(&input, &metadata)?;
        let schema = FileSchema::of(&metadata)
            .map_err(|error| from_parquet(error, |what| input.damaged(format!("its schema: {what}"))))?;
        Ok(OpenFile { input, metadata, schema, memory: memory.clone(), _reserved: reserved })
    }

    pub(super) fn row_group(&self, idx: usize) -> &RowGroupMetaData {
        self.metadata.row_group(idx)
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.metadata.row_groups().iter().map(|group| group.num_rows() as u64).sum()
    }

    /// The column called `name`.
    pub(super) fn column(&self, name: &str) -> Option<&FileColumn> {
        self.schema.columns.iter().find(|column| column.field.name() == name)
    }
}

fn read_metadata(input: &InputFile, reserved: &mut Reservation) -> Result<ParquetMetaData> {
    let n_bytes = input.n_bytes();
    if n_bytes < TAIL_BYTES + MAGIC.len() as u64 {
        return Err(not_parquet(input, "it is too short"));
    }
    let first = FIRST_READ_BYTES.min(n_bytes);
    reserved.try_resize(first)?;
    let mut end = vec![0; first as usize];
    input.read_at(&mut end, n_bytes - first)?;
    let (rest, tail) = end.split_at(end.len() - TAIL_BYTES as usize);
    let (length, magic) = tail.split_at(4);
    if magic == ENCRYPTED_MAGIC {
        return Err(input.damaged("it is encrypted, which is not supported"));
    }
    if magic != MAGIC {
        return Err(not_parquet(input, "it does not end with PAR1"));
    }
    let footer_bytes = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
    if footer_bytes + TAIL_BYTES + MAGIC.len() as u64 > n_bytes {
        return Err(input.damaged("its footer is longer than the file"));
    }
    reserved.try_resize(footer_bytes * (1 + PARSED_BYTES_PER_BYTE))?;
    let parsed = match rest.len().checked_sub(footer_bytes as usize) {
        Some(start) => decode(input, &rest[start..])?,
        None => {
            let mut footer = vec![0; footer_bytes as usize];
            input.read_at(&mut footer, n_bytes - TAIL_BYTES - footer_bytes)?;
            decode(input, &footer)?
        }
    };
    reserved.try_resize(parsed.memory_size() as u64)?;
    Ok(parsed)
}

fn decode(input: &InputFile, footer: &[u8]) -> Result<ParquetMetaData> {
    guarded(|| ParquetMetaDataReader::decode_metadata(footer))
        .map_err(|error| from_parquet(error, |what| input.damaged(format!("its footer: {what}"))))
}

fn not_parquet(input: &InputFile, what: &str) -> Error {
    let path = input.path().display();
    Error::data(format!("{path} is not a Parquet file: {what}"))
        .with_hint("the file may be cut off, or of another format")
}

/// Counts in the footer are trusted from here on, so they are checked here.
fn check_row_groups(input: &InputFile, metadata: &ParquetMetaData) -> Result<()> {
    let n_columns = metadata.file_metadata().schema_descr().num_columns();
    for (idx, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 || group.num_columns() != n_columns {
            return Err(input.damaged(format!("row group {idx} has a wrong number of rows or columns")));
        }
        for chunk in group.columns() {
            if chunk.num_values() < 0 || chunk.compressed_size() < 0 || chunk.uncompressed_size() < 0 {
                return Err(input.damaged(format!("row group {idx}, column {}: a negative size", chunk.column_path())));
            }
            let is_flat = chunk.column_descr().max_rep_level() == 0;
            if is_flat && chunk.num_values() != group.num_rows() {
                let (found, rows) = (chunk.num_values(), group.num_rows());
                let column = chunk.column_path();
                return Err(
                    input.damaged(format!("row group {idx}, column {column} has {found} values for {rows} rows"))
                );
            }
        }
    }
    Ok(())
}
