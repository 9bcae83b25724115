//! What every file format offers to the planner: a schema, statistics, and a scan.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::TableFacts;
use super::selected_files::SelectedFiles;
use crate::error::{Error, Result};
use crate::exec::{CancelToken, Report, Source};
use crate::memory::Memory;

/// One or more files of one format that are read as one table.
pub trait Table: Send + Sync {
    /// The columns, after schemas of several files are united by name.
    fn schema(&self) -> SchemaRef;

    /// What is known without reading the data.
    fn statistics(&self) -> TableStatistics;

    /// Prepares to read. Nothing is read before the first `next`.
    fn scan(&self, request: ScanRequest) -> Result<Scan>;

    /// Whether rows may be refused one by one, as malformed text is. Which of its files are read then decides whether a
    /// query fails, so that must follow from the query alone.
    fn may_refuse_rows(&self) -> bool {
        false
    }

    /// What the table is, for EXPLAIN: format and path.
    fn describe(&self) -> String;

    /// Paths, globs and folders that the user named its files by; none if it has no files.
    fn named(&self) -> &[String] {
        &[]
    }

    /// What there is to know about its files, for `inspect`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for files that cannot be read.
    fn facts(&self) -> Result<TableFacts> {
        Ok(TableFacts { format: self.describe(), ..TableFacts::default() })
    }

    /// The same with what a scan for `request` will read of it, where that is less than all.
    fn describe_scan(&self, _request: &ScanRequest) -> String {
        self.describe()
    }
}

/// What a query needs of a table.
#[derive(Clone, Default)]
pub struct ScanRequest {
    /// Columns to produce, as indices into the table's schema, in this order. May be empty: batches then only count rows.
    pub projection: Vec<usize>,
    /// Rows must pass all of these. A scan applies them exactly: rows that fail are not produced.
    pub filters: Vec<Arc<dyn RowFilter>>,
    /// Conditions implied by the filters, simple enough to skip row groups and pages by their statistics.
    pub comparisons: Vec<Comparison>,
    /// Columns (indices into the table's schema) that may be produced as dictionaries of the declared type, because the
    /// operators above profit. Every batch decides for itself.
    pub dictionary_columns: Vec<usize>,
    /// Whether something above waits for file order (an output that keeps it, LIMIT without ORDER BY). Morsels are then
    /// small, so that the batches that wait for an earlier morsel are few. Batches carry their place in any case.
    pub in_order: bool,
    /// The only files to read, if not all; a scan notes in it where each of them begins.
    pub files: Option<Arc<SelectedFiles>>,
    /// What stops the query: all its scans have the same, scans of other queries another.
    pub query: Option<CancelToken>,
}

/// A predicate over some columns of a table.
pub trait RowFilter: Send + Sync {
    /// The columns it reads, as indices into the table's schema.
    fn columns(&self) -> &[usize];

    /// One value a row of `batch`, which has exactly [`RowFilter::columns`] in that order. NULL drops the row.
    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray>;

    /// Whether it is worth asking now. A scan may ask before each batch; every row passes a filter that is not.
    fn is_active(&self) -> bool {
        true
    }

    /// Whether it has an answer for every row, so that it may be asked about rows that other filters leave out.
    fn is_total(&self) -> bool {
        false
    }

    /// Whether a scan that has begun may leave out whole files by it before other filters have seen their rows.
    fn may_skip_files(&self) -> bool {
        false
    }

    /// Conditions that it implies and that are known only once the scan has begun.
    fn late_comparisons(&self) -> Vec<Comparison> {
        Vec::new()
    }
}

/// `column op value`, for pruning by statistics.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Index into the table's schema.
    pub column: usize,
    /// The operator.
    pub op: ComparisonOp,
    /// One value of the column's type; several for [`ComparisonOp::In`]; none for the NULL tests.
    pub values: ArrayRef,
}

/// Operators that statistics can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonOp {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// One of the values.
    In,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// A prepared scan. Its batches carry sequence numbers in file order.
pub struct Scan {
    /// Produces the batches.
    pub source: Arc<dyn Source>,
    /// Bytes read and to read, rows skipped.
    pub report: Arc<dyn Report>,
    /// Bytes of memory one worker's reader will reserve at most, as far as it is known beforehand.
    pub bytes_per_worker: u64,
}

/// What is known of a table before it is read.
#[derive(Debug, Clone, Default)]
pub struct TableStatistics {
    /// Exact number of rows, when known.
    pub n_rows: Option<u64>,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// One entry a column of the schema; empty when nothing is known.
    pub columns: Vec<ColumnStatistics>,
}

/// What is known of one column over all files.
#[derive(Debug, Clone, Default)]
pub struct ColumnStatistics {
    /// A value that no value is below, as an array of one row; `None` when not known for every file.
    pub min: Option<ArrayRef>,
    /// A value that no value is above.
    pub max: Option<ArrayRef>,
    /// Exact number of NULLs.
    pub n_nulls: Option<u64>,
    /// No more distinct values than this, when every page of the column is dictionary-encoded: the sum of the sizes of
    /// all dictionaries.
    pub max_distinct: Option<u64>,
    /// About how many distinct values there are, for guesses only: from the dictionaries of a few row groups.
    pub likely_distinct: Option<u64>,
}

/// Which table a path names.
pub trait OpenTable: Send + Sync {
    /// Opens `path`: a file, a glob or a directory.
    fn open(&self, path: &str, memory: &Memory) -> Result<Arc<dyn Table>>;

    /// Opens `path` as CSV, with options that hold for it alone.
    fn open_csv(&self, path: &str, _options: &[(String, String)], _memory: &Memory) -> Result<Arc<dyn Table>> {
        Err(Error::usage(format!("{path} cannot be read as CSV here")))
    }
}
