//! What one file declares to be its columns.
//!
//! Memory: one field a column.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use super::columns::flat_leaf;
use super::input::guarded;
use crate::io::drift::engine_field;

/// The columns of one file.
pub(super) struct FileSchema {
    pub(super) columns: Vec<FileColumn>,
}

/// A column as it is read from one file.
#[derive(Debug, Clone)]
pub(super) struct FileColumn {
    /// Name and type, of the engine's types.
    pub(super) field: FieldRef,
    /// Index among the root columns of the file.
    pub(super) root: usize,
    /// The leaf column, unless the column is nested.
    pub(super) leaf: Option<usize>,
}

impl FileSchema {
    pub(super) fn of(metadata: &ParquetMetaData) -> ParquetResult<Self> {
        let file = metadata.file_metadata();
        let descriptor = file.schema_descr();
        // An embedded Arrow schema that does not fit the file is ignored, as the format asks for.
        let declared = guarded(|| parquet_to_arrow_schema(descriptor, file.key_value_metadata()))
            .or_else(|_| guarded(|| parquet_to_arrow_schema(descriptor, None)))?;
        let roots = descriptor.root_schema().get_fields();
        if declared.fields().len() != roots.len() {
            return Err(ParquetError::General("a column has no fields".into()));
        }
        let columns = declared.fields().iter().enumerate();
        let columns = columns.map(|(root, field)| FileColumn {
            field: Arc::new(engine_field(field)),
            root,
            leaf: flat_leaf(descriptor, root),
        });
        Ok(FileSchema { columns: columns.collect() })
    }
}
