//! What a user can say about a CSV file.

use std::sync::Arc;

use arrow::datatypes::DataType;

use super::reject_file::RejectFile;
use crate::memory::Memory;

/// How to read CSV files. The default finds out delimiter, header and types from the first rows.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// The byte between fields; `None` picks among comma, semicolon, tab and `|`.
    pub delimiter: Option<u8>,
    /// The byte around fields that hold delimiters or newlines; doubled inside such a field it stands for itself.
    pub quote: u8,
    /// Whether the first row names the columns; `None` looks.
    pub header: Option<bool>,
    /// Texts that mean NULL besides the empty field. In text columns only unquoted fields count.
    pub null_values: Vec<String>,
    /// Rows to look at for the types; `None` is 10,000 rows or 1 MiB, whichever ends first.
    pub infer_rows: Option<u64>,
    /// Types that are declared instead of inferred, by column name.
    pub schema_overrides: Vec<(String, DataType)>,
    /// What happens to a row that cannot be read.
    pub on_bad_row: OnBadRow,
    /// The longest row; `None` is 16 MiB or an eighth of the governed memory, whichever is less.
    pub max_row_bytes: Option<u64>,
    /// Test setting: bytes a worker reads at once, instead of the size that follows from the budget.
    #[doc(hidden)]
    pub block_bytes: Option<usize>,
}

/// What happens to a row with the wrong number of fields or with a value that does not fit its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnBadRow {
    /// The query fails with an error that says where.
    Fail,
    /// The row is left out and counted.
    Skip,
    /// The row is left out, counted, and written to this CSV file: file, line, byte offset, column, reason, raw record.
    /// All tables of a query share one such file, and whoever runs the query publishes it.
    Reject(Arc<RejectFile>),
}

impl OnBadRow {
    /// The reject file, if there is one.
    pub(crate) fn rejects(&self) -> Option<&Arc<RejectFile>> {
        match self {
            OnBadRow::Reject(rejects) => Some(rejects),
            OnBadRow::Fail | OnBadRow::Skip => None,
        }
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            delimiter: None,
            quote: b'"',
            header: None,
            null_values: Vec::new(),
            infer_rows: None,
            schema_overrides: Vec::new(),
            on_bad_row: OnBadRow::Fail,
            max_row_bytes: None,
            block_bytes: None,
        }
    }
}

/// The longest row when nothing else is said.
const MAX_ROW_BYTES: u64 = 16 << 20;

impl CsvOptions {
    /// The bound on one row.
    pub(super) fn max_row_bytes(&self, memory: &Memory) -> u64 {
        let bytes = self.max_row_bytes.unwrap_or_else(|| MAX_ROW_BYTES.min(memory.governed_bytes() / 8));
        bytes.clamp(1, 1 << 30)
    }

    /// Bytes of one block.
    pub(super) fn block_bytes(&self, memory: &Memory) -> usize {
        self.block_bytes.unwrap_or(memory.sizes().io_block_bytes).max(1)
    }
}
