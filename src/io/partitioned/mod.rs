//! Output as a folder of files, a folder for each combination of values of some columns: `year=2024/month=04/part-0.parquet`.
//!
//! Memory: one open file a worker, whatever the number of partitions: rows come sorted by the partition columns (see
//! [`PartitionedOutput::clustering`]), so a partition is complete when the next one begins.
//!
//! The surprising part: nothing is there before everything is. Files are written into a hidden folder beside the target,
//! made durable all at once, and put in place by one rename; see `staging`.

mod files;
mod sink;
mod staging;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::OutputFormat;
use super::parquet::ParquetSinkOptions;
use super::suggest::closest;
use crate::error::{Error, Result};
use crate::exec::Sink;
use crate::spill::Disk;

/// A folder that a result is written to, partitioned by the values of some of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionedOutput {
    /// The folder that appears when all files are complete.
    pub folder: PathBuf,
    /// The format of the files.
    pub format: OutputFormat,
    /// The columns whose values make the folders, outermost first; the files are without them.
    pub partition_by: Vec<String>,
    /// Whether a folder that is there already and not empty is replaced, all of it.
    pub overwrite: bool,
    /// How Parquet files are written.
    pub parquet: ParquetSinkOptions,
}

impl PartitionedOutput {
    /// Files of `format` in a new `folder`, by the values of `partition_by`.
    pub fn new(folder: impl Into<PathBuf>, format: OutputFormat, partition_by: Vec<String>) -> Self {
        let (overwrite, parquet) = (false, ParquetSinkOptions::default());
        PartitionedOutput { folder: folder.into(), format, partition_by, overwrite, parquet }
    }

    /// The columns by which the rows must come sorted, equal values in one morsel, for [`PartitionedOutput::sink`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for a column that is not there or cannot make folders, and when no column is left.
    pub fn clustering(&self, schema: &Schema) -> Result<Vec<usize>> {
        let mut columns = Vec::new();
        for name in &self.partition_by {
            let Some((idx, field)) = schema.column_with_name(name) else { return Err(unknown(name, schema)) };
            check_type(field)?;
            if columns.contains(&idx) {
                return Err(Error::usage(format!("the output is to be partitioned by {name:?} twice")));
            }
            columns.push(idx);
        }
        if columns.is_empty() {
            return Err(Error::usage("a partitioned output needs a column to partition by"));
        }
        if columns.len() == schema.fields().len() {
            return Err(Error::usage("no column is left for the files: all of them make folders")
                .with_hint("partition by fewer columns"));
        }
        Ok(columns)
    }

    /// The sink for rows of `schema`, which come as [`PartitionedOutput::clustering`] says.
    ///
    /// # Errors
    /// As there, and [`crate::ErrorKind::Disk`] when the folder cannot be made.
    pub fn sink(&self, schema: SchemaRef) -> Result<Arc<dyn Sink>> {
        self.sink_on(Disk::from_environment()?, schema)
    }

    /// [`PartitionedOutput::sink`] on a given disk.
    ///
    /// # Errors
    /// As there.
    pub fn sink_on(&self, disk: Arc<Disk>, schema: SchemaRef) -> Result<Arc<dyn Sink>> {
        let keys = self.clustering(&schema)?;
        Ok(Arc::new(sink::PartitionedSink::new(self, disk, schema, keys)?))
    }
}

fn unknown(name: &str, schema: &Schema) -> Error {
    let error = Error::usage(format!("the output is to be partitioned by {name:?}, which is not a column of it"));
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    match closest(name, names.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean {near:?}?")),
        None => error.with_hint(format!("its columns are {}", names.join(", "))),
    }
}

/// Folders are called after texts, so the values must have one that tells them apart.
fn check_type(field: &Field) -> Result<()> {
    let data_type = field.data_type();
    // 0.0 and -0.0 are equal, and sorted among each other, and still two texts.
    let has_text = !data_type.is_nested()
        && !data_type.is_floating()
        && !matches!(
            data_type,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
        );
    match has_text {
        true => Ok(()),
        false => Err(Error::usage(format!("column {:?} of type {data_type} cannot make folders", field.name()))
            .with_hint("partition by text, integers, decimals, dates or booleans; CAST makes one of another type")),
    }
}
