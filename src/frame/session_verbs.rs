//! Where frames begin: files, and rows that are in memory already.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_expr::LogicalPlanBuilder;

use super::data_frame::DataFrame;
use super::lazy::LazyFrame;
use super::memory_table::MemoryTable;
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::io::csv::{CsvOptions, Encoding, OnBadRow, Quote, Ragged};
use crate::io::files::{FileFormat, find_files};
use crate::io::{FileTables, Table};
use crate::memory::Memory;
use crate::physical::FileTable;
use crate::session::Session;
use crate::sql::plan_failure;

/// How CSV files are read. What is not said is found out from the first rows.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("rows.csv");
/// std::fs::write(&path, "id;zip;day\n1;01001;2024-01-15\n2;n/a;2024-02-29\n")?;
/// let options = CsvScanOptions::new()
///     .with_separator(b';')
///     .with_null_values(["n/a"])
///     .with_schema_overrides([("id", DataType::Int32), ("zip", DataType::Utf8)])
///     .with_try_parse_dates(true);
/// let rows = session.scan_csv_with(&path, options).collect()?;
/// assert_eq!((rows.text(0, "zip"), rows.text(1, "zip")), (Some("01001".to_string()), None));
/// // Everything else goes in and out as Parquet, CSV or JSON lines.
/// let parquet = folder.path().join("rows.parquet");
/// rows.lazy().sink_parquet(&parquet, Default::default())?;
/// rows.lazy().sink_csv(folder.path().join("copy.csv"))?;
/// assert!(session.read_parquet(&parquet)?.equals(&rows));
/// assert_eq!(session.scan(parquet.display().to_string()).collect_schema()?.fields().len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct CsvScanOptions {
    separator: Option<u8>,
    quote: Option<Quote>,
    skip_rows: u64,
    comment_prefix: Option<String>,
    encoding: Option<Encoding>,
    decimal_comma: bool,
    ragged: Option<Ragged>,
    has_header: Option<bool>,
    null_values: Vec<String>,
    infer_rows: Option<u64>,
    schema_overrides: Vec<(String, DataType)>,
    on_bad_row: Option<OnBadRow>,
    keep_dates_as_text: bool,
}

impl CsvScanOptions {
    /// Everything is found out.
    pub fn new() -> Self {
        Self::default()
    }

    /// The byte between fields.
    pub fn with_separator(self, separator: u8) -> Self {
        CsvScanOptions { separator: Some(separator), ..self }
    }

    /// The byte around fields that hold separators; `None` when quotes are text.
    pub fn with_quote_char(self, quote: Option<u8>) -> Self {
        CsvScanOptions { quote: Some(quote.map_or(Quote::Off, Quote::Byte)), ..self }
    }

    /// Lines at the start of each file that are passed over.
    pub fn with_skip_rows(self, skip_rows: u64) -> Self {
        CsvScanOptions { skip_rows, ..self }
    }

    /// Lines that begin with this are no rows.
    pub fn with_comment_prefix(self, prefix: impl Into<String>) -> Self {
        CsvScanOptions { comment_prefix: Some(prefix.into()), ..self }
    }

    /// How the files are encoded.
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        CsvScanOptions { encoding: Some(encoding), ..self }
    }

    /// Whether fractions are written with a comma.
    pub fn with_decimal_comma(self, decimal_comma: bool) -> Self {
        CsvScanOptions { decimal_comma, ..self }
    }

    /// What happens to a row with more or fewer fields than there are columns.
    pub fn with_ragged(self, ragged: Ragged) -> Self {
        CsvScanOptions { ragged: Some(ragged), ..self }
    }

    /// Whether the first row names the columns.
    pub fn with_has_header(self, has_header: bool) -> Self {
        CsvScanOptions { has_header: Some(has_header), ..self }
    }

    /// Texts that mean NULL besides the empty field.
    pub fn with_null_values<S: Into<String>>(mut self, values: impl IntoIterator<Item = S>) -> Self {
        self.null_values.extend(values.into_iter().map(Into::into));
        self
    }

    /// Rows to look at for the types.
    pub fn with_infer_schema_length(self, n_rows: u64) -> Self {
        CsvScanOptions { infer_rows: Some(n_rows), ..self }
    }

    /// Types of columns that are not to be found out.
    pub fn with_schema_overrides<S: Into<String>>(mut self, types: impl IntoIterator<Item = (S, DataType)>) -> Self {
        self.schema_overrides.extend(types.into_iter().map(|(name, data_type)| (name.into(), data_type)));
        self
    }

    /// What happens to a row that cannot be read. A reject file is said for all scans of a session, in its
    /// [`crate::SessionOptions`], because it appears when a query is complete.
    pub fn with_on_bad_row(self, on_bad_row: OnBadRow) -> Self {
        CsvScanOptions { on_bad_row: Some(on_bad_row), ..self }
    }

    /// Whether columns that look like dates and datetimes are read as such; they are, unless this says no.
    pub fn with_try_parse_dates(self, try_parse_dates: bool) -> Self {
        CsvScanOptions { keep_dates_as_text: !try_parse_dates, ..self }
    }

    fn over(self, session: &CsvOptions) -> CsvOptions {
        let mut options = session.clone();
        options.delimiter = self.separator.or(options.delimiter);
        options.quote = self.quote.unwrap_or(options.quote);
        options.skip_rows = if self.skip_rows > 0 { self.skip_rows } else { options.skip_rows };
        options.comment = self.comment_prefix.or(options.comment);
        options.encoding = self.encoding.or(options.encoding);
        options.decimal_comma |= self.decimal_comma;
        options.ragged = self.ragged.unwrap_or(options.ragged);
        options.header = self.has_header.or(options.header);
        options.null_values.extend(self.null_values);
        options.infer_rows = self.infer_rows.or(options.infer_rows);
        options.schema_overrides.extend(self.schema_overrides);
        // A column that is declared here is one of this table, so one that it has not is a slip.
        options.shared_schema = options.shared_schema.filter(|_| !session.schema_overrides.is_empty());
        options.on_bad_row = self.on_bad_row.unwrap_or(options.on_bad_row);
        options
    }
}

/// Paths of one table: one path, or several. Each may be a file, a glob or a folder.
pub trait IntoPaths {
    /// The paths as text.
    fn into_paths(self) -> Vec<String>;
}

impl IntoPaths for &str {
    fn into_paths(self) -> Vec<String> {
        vec![self.to_string()]
    }
}

impl IntoPaths for String {
    fn into_paths(self) -> Vec<String> {
        vec![self]
    }
}

impl IntoPaths for &std::path::Path {
    fn into_paths(self) -> Vec<String> {
        vec![self.to_string_lossy().into_owned()]
    }
}

impl IntoPaths for PathBuf {
    fn into_paths(self) -> Vec<String> {
        self.as_path().into_paths()
    }
}

impl IntoPaths for &PathBuf {
    fn into_paths(self) -> Vec<String> {
        self.as_path().into_paths()
    }
}

impl<P: IntoPaths> IntoPaths for Vec<P> {
    fn into_paths(self) -> Vec<String> {
        self.into_iter().flat_map(IntoPaths::into_paths).collect()
    }
}

impl<P: IntoPaths, const N: usize> IntoPaths for [P; N] {
    fn into_paths(self) -> Vec<String> {
        self.into_iter().flat_map(IntoPaths::into_paths).collect()
    }
}

impl Session {
    /// The rows of a file, a glob or a folder, in whichever format they are.
    pub fn scan(&self, path: impl AsRef<str>) -> LazyFrame {
        let path = path.as_ref().to_string();
        let table = self.files().open_all(std::slice::from_ref(&path), self.memory());
        LazyFrame::new(self, table.and_then(|table| rows_of(table, &path)))
    }

    /// The rows of CSV files, with everything found out. Files with different columns are united by name.
    pub fn scan_csv(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_csv_with(paths, CsvScanOptions::default())
    }

    /// The rows of CSV files.
    pub fn scan_csv_with(&self, paths: impl IntoPaths, options: CsvScanOptions) -> LazyFrame {
        let paths = paths.into_paths();
        LazyFrame::new(self, self.open_csv(&paths, options).and_then(|table| rows_of(table, &paths.join(", "))))
    }

    /// The rows of Parquet files. Only the columns and row groups that the query needs are read.
    pub fn scan_parquet(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_format(paths.into_paths(), FileFormat::Parquet)
    }

    /// The rows of files of JSON, an object a line.
    pub fn scan_ndjson(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_format(paths.into_paths(), FileFormat::NdJson)
    }

    /// The rows of Arrow IPC files or streams.
    pub fn scan_ipc(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_format(paths.into_paths(), FileFormat::Ipc)
    }

    fn scan_format(&self, paths: Vec<String>, format: FileFormat) -> LazyFrame {
        let open = || {
            check_format(&paths, format, self.memory())?;
            rows_of(self.files().open_all(&paths, self.memory())?, &paths.join(", "))
        };
        LazyFrame::new(self, open())
    }

    /// All rows of CSV files, in memory.
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_csv(&self, paths: impl IntoPaths) -> Result<DataFrame> {
        self.scan_csv(paths).collect()
    }

    /// All rows of Parquet files, in memory.
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_parquet(&self, paths: impl IntoPaths) -> Result<DataFrame> {
        self.scan_parquet(paths).collect()
    }

    /// Rows that are in memory, counted against the budget as long as they live.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for a batch with other columns than the first, [`crate::ErrorKind::Budget`] when they
    /// do not fit.
    pub fn data_frame(&self, batches: Vec<RecordBatch>) -> Result<DataFrame> {
        let schema = match batches.first() {
            Some(first) => first.schema(),
            None => return Err(Error::usage("a frame of no batches has no columns")),
        };
        DataFrame::counted(self, schema, batches)
    }

    /// As [`Session::data_frame`], as a lazy frame.
    pub fn from_batches(&self, batches: Vec<RecordBatch>) -> LazyFrame {
        match self.data_frame(batches) {
            Ok(frame) => frame.lazy(),
            Err(error) => LazyFrame::new(self, Err(error)),
        }
    }

    fn open_csv(&self, paths: &[String], options: CsvScanOptions) -> Result<Arc<dyn Table>> {
        if let Some(OnBadRow::Reject(_)) = options.on_bad_row {
            return Err(Error::usage("one scan cannot have a reject file of its own")
                .with_hint("name it in the options of the session, where it takes the bad rows of all scans"));
        }
        check_format(paths, FileFormat::Csv, self.memory())?;
        let keep_dates_as_text = options.keep_dates_as_text;
        let mut files = FileTables { csv: options.over(&self.files().csv), ..self.files().clone() };
        let table = files.open_all(paths, self.memory())?;
        if !keep_dates_as_text {
            return Ok(table);
        }
        let texts = dates_as_texts(&table.schema(), &files.csv);
        if texts.is_empty() {
            return Ok(table);
        }
        files.csv.schema_overrides.extend(texts);
        files.open_all(paths, self.memory())
    }
}

/// The columns that were found to be dates or times, as texts.
fn dates_as_texts(schema: &SchemaRef, options: &CsvOptions) -> Vec<(String, DataType)> {
    let is_declared = |name: &String| options.schema_overrides.iter().any(|(declared, _)| declared == name);
    let found = schema.fields().iter().filter(|field| field.data_type().is_temporal() && !is_declared(field.name()));
    found.map(|field| (field.name().clone(), DataType::Utf8)).collect()
}

/// Whether the first file is in the format that the verb reads.
fn check_format(paths: &[String], wanted: FileFormat, memory: &Memory) -> Result<()> {
    let Some(path) = paths.first() else { return Err(Error::usage("no path to read")) };
    let Some(file) = find_files(path)?.into_iter().next() else { return Ok(()) };
    let found = FileFormat::detect(&file, memory)?;
    let same = found == wanted || (found, wanted) == (FileFormat::Tsv, FileFormat::Csv);
    match same {
        true => Ok(()),
        false => Err(Error::usage(format!("{} looks like {found:?}, not {wanted:?}", file.display()))
            .with_hint("session.scan(..) reads every format")),
    }
}

/// All rows of `table`.
fn rows_of(table: Arc<dyn Table>, name: &str) -> Result<Rows> {
    let source = Arc::new(FileTable::new(table));
    let plan = LogicalPlanBuilder::scan(datafusion_common::TableReference::bare(name), source, None);
    plan.and_then(LogicalPlanBuilder::build).map(Rows::ordered).map_err(plan_failure)
}

impl DataFrame {
    /// The rows as the beginning of another query. They are not copied, and counted once.
    pub fn lazy(&self) -> LazyFrame {
        let table: Arc<dyn Table> = Arc::new(MemoryTable::new(self.clone()));
        LazyFrame::new(self.session(), rows_of(table, "DataFrame"))
    }
}
