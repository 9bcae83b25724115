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
use super::scan_options::{CsvScanOptions, NdjsonScanOptions, ParquetScanOptions};
use crate::error::{Error, Result};
use crate::io::csv::CsvOptions;
use crate::io::files::{FileFormat, find_files};
use crate::io::{FileTables, HiveFolders, Table};
use crate::memory::Memory;
use crate::physical::FileTable;
use crate::session::Session;
use crate::sql::plan_failure;

/// Paths of one table: one path, or several. Each may be a file, a glob or a folder.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let folder = tempfile::tempdir()?;
/// for (name, text) in [("a.csv", "n\n1\n"), ("b.csv", "n\n2\n")] {
///     std::fs::write(folder.path().join(name), text)?;
/// }
/// let glob = format!("{}/*.csv", folder.path().display());
/// assert_eq!(session.read_csv(glob)?.texts("n"), ["1", "2"]);
/// let both = [folder.path().join("b.csv"), folder.path().join("a.csv")];
/// assert_eq!(session.read_csv(both)?.height(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "id,day\n1,2024-01-15\n2,2024-01-16\n")?;
    /// let found = session.scan(path.display().to_string()).filter(col("id").gt(1)).collect()?;
    /// assert_eq!(found.texts("day"), ["2024-01-16"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan(&self, path: impl AsRef<str>) -> LazyFrame {
        let path = path.as_ref().to_string();
        let table = self.files().open_all(std::slice::from_ref(&path), self.memory());
        LazyFrame::new(self, table.and_then(|table| rows_of(table, &path)))
    }

    /// The rows of CSV files, with everything found out. Files with different columns are united by name.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "id,day\n1,2024-01-15\n2,2024-01-16\n")?;
    /// let found = session.scan_csv(&path).select([col("day").dt().weekday()]).collect()?;
    /// assert_eq!(found.texts("day"), ["1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_csv(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_csv_with(paths, CsvScanOptions::default())
    }

    /// The rows of CSV files.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "id;day\n1;15.01.2024\n")?;
    /// let options = CsvScanOptions::new().with_separator(b';').with_date_format("%d.%m.%Y");
    /// assert_eq!(session.scan_csv_with(&path, options).collect()?.texts("day"), ["2024-01-15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_csv_with(&self, paths: impl IntoPaths, options: CsvScanOptions) -> LazyFrame {
        let paths = paths.into_paths();
        LazyFrame::new(self, self.open_csv(&paths, options).and_then(|table| rows_of(table, &paths.join(", "))))
    }

    /// The rows of Parquet files. Only the columns and row groups that the query needs are read.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.parquet");
    /// df!(session, "id" => [1, 2, 3])?.lazy().sink_parquet(&path, Default::default())?;
    /// assert_eq!(session.scan_parquet(&path).select([col("id").max()]).collect()?.texts("id"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_parquet(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_format(paths.into_paths(), FileFormat::Parquet)
    }

    /// The rows of Parquet files.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.parquet");
    /// df!(session, "id" => [1, 2, 3])?.lazy().sink_parquet(&path, Default::default())?;
    /// let options = ParquetScanOptions::new().with_hive_partitioning(false);
    /// assert_eq!(session.scan_parquet_with(&path, options).collect()?.height(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_parquet_with(&self, paths: impl IntoPaths, options: ParquetScanOptions) -> LazyFrame {
        let mut files = self.files().clone();
        match options.hive {
            Some(true) => files.hive = HiveFolders::Columns,
            Some(false) => files.hive = HiveFolders::Ignored,
            None => {}
        }
        self.scan_with(&files, paths.into_paths(), FileFormat::Parquet)
    }

    /// The rows of files of JSON, an object a line.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.ndjson");
    /// std::fs::write(&path, "{\"id\":1,\"user\":{\"name\":\"Ada\"}}\n")?;
    /// let found = session.scan_ndjson(&path).unnest("user").collect()?;
    /// assert_eq!(found.texts("name"), ["Ada"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_ndjson(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_format(paths.into_paths(), FileFormat::NdJson)
    }

    /// The rows of files of JSON, an object a line.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.ndjson");
    /// std::fs::write(&path, "{\"id\":1,\"user\":{\"name\":\"Ada\"}}\n")?;
    /// let options = NdjsonScanOptions::new().with_schema_overrides([("user", DataType::Utf8)]);
    /// let found = session.scan_ndjson_with(&path, options).collect()?;
    /// assert_eq!(found.texts("user"), ["{\"name\":\"Ada\"}"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_ndjson_with(&self, paths: impl IntoPaths, options: NdjsonScanOptions) -> LazyFrame {
        let options = options.shared();
        if options.has_rejects() {
            return LazyFrame::new(self, Err(no_rejects()));
        }
        let files = FileTables { csv: options.over(&self.files().csv), ..self.files().clone() };
        self.scan_with(&files, paths.into_paths(), FileFormat::NdJson)
    }

    /// The rows of Arrow IPC files or streams.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.arrow");
    /// df!(session, "id" => [1, 2])?.lazy().sink_ipc(&path)?;
    /// assert_eq!(session.scan_ipc(&path).tail(1).collect()?.texts("id"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_ipc(&self, paths: impl IntoPaths) -> LazyFrame {
        self.scan_format(paths.into_paths(), FileFormat::Ipc)
    }

    fn scan_format(&self, paths: Vec<String>, format: FileFormat) -> LazyFrame {
        self.scan_with(self.files(), paths, format)
    }

    fn scan_with(&self, files: &FileTables, paths: Vec<String>, format: FileFormat) -> LazyFrame {
        let open = || {
            check_format(&paths, format, self.memory())?;
            rows_of(files.open_all(&paths, self.memory())?, &paths.join(", "))
        };
        LazyFrame::new(self, open())
    }

    /// All rows of CSV files, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "id,day\n1,2024-01-15\n2,2024-01-16\n")?;
    /// assert_eq!(session.read_csv(&path)?.texts("id"), ["1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_csv(&self, paths: impl IntoPaths) -> Result<DataFrame> {
        self.scan_csv(paths).collect()
    }

    /// All rows of CSV files, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "id,day\n1,2024-01-15\n2,2024-01-16\n")?;
    /// let options = CsvScanOptions::new().with_try_parse_dates(false);
    /// assert_eq!(session.read_csv_with(&path, options)?.dtypes()[1], DataType::Utf8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_csv_with(&self, paths: impl IntoPaths, options: CsvScanOptions) -> Result<DataFrame> {
        self.scan_csv_with(paths, options).collect()
    }

    /// All rows of files of JSON, an object a line, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.ndjson");
    /// std::fs::write(&path, "{\"id\":1,\"user\":{\"name\":\"Ada\"}}\n")?;
    /// assert_eq!(session.read_ndjson(&path)?.texts("id"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_ndjson(&self, paths: impl IntoPaths) -> Result<DataFrame> {
        self.scan_ndjson(paths).collect()
    }

    /// All rows of files of JSON, an object a line, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.ndjson");
    /// std::fs::write(&path, "{\"id\":1,\"user\":{\"name\":\"Ada\"}}\n")?;
    /// let options = NdjsonScanOptions::new().with_infer_schema_length(100);
    /// assert_eq!(session.read_ndjson_with(&path, options)?.shape(), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_ndjson_with(&self, paths: impl IntoPaths, options: NdjsonScanOptions) -> Result<DataFrame> {
        self.scan_ndjson_with(paths, options).collect()
    }

    /// All rows of Arrow IPC files or streams, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.arrow");
    /// df!(session, "id" => [1, 2])?.lazy().sink_ipc(&path)?;
    /// assert_eq!(session.read_ipc(&path)?.shape(), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_ipc(&self, paths: impl IntoPaths) -> Result<DataFrame> {
        self.scan_ipc(paths).collect()
    }

    /// All rows of Parquet files, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.parquet");
    /// df!(session, "id" => [1, 2, 3])?.lazy().sink_parquet(&path, Default::default())?;
    /// assert_eq!(session.read_parquet_with(&path, ParquetScanOptions::new())?.height(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_parquet_with(&self, paths: impl IntoPaths, options: ParquetScanOptions) -> Result<DataFrame> {
        self.scan_parquet_with(paths, options).collect()
    }

    /// All rows of Parquet files, in memory.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.parquet");
    /// df!(session, "id" => [1, 2, 3])?.lazy().sink_parquet(&path, Default::default())?;
    /// assert_eq!(session.read_parquet(&path)?.texts("id"), ["1", "2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn read_parquet(&self, paths: impl IntoPaths) -> Result<DataFrame> {
        self.scan_parquet(paths).collect()
    }

    /// Rows that are in memory, counted against the budget as long as they live.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// use std::sync::Arc;
    /// use arrow::array::{Int64Array, RecordBatch};
    /// let n = Arc::new(Int64Array::from(vec![1, 2]));
    /// let batch = RecordBatch::try_from_iter([("n", n as _)])?;
    /// assert_eq!(session.data_frame(vec![batch])?.shape(), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// use std::sync::Arc;
    /// use arrow::array::{Int64Array, RecordBatch};
    /// let n = Arc::new(Int64Array::from(vec![1, 2]));
    /// let batch = RecordBatch::try_from_iter([("n", n as _)])?;
    /// assert_eq!(session.from_batches(vec![batch]).select([col("n").sum()]).collect()?.texts("n"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_batches(&self, batches: Vec<RecordBatch>) -> LazyFrame {
        match self.data_frame(batches) {
            Ok(frame) => frame.lazy(),
            Err(error) => LazyFrame::new(self, Err(error)),
        }
    }

    fn open_csv(&self, paths: &[String], options: CsvScanOptions) -> Result<Arc<dyn Table>> {
        if options.has_rejects() {
            return Err(no_rejects());
        }
        check_format(paths, FileFormat::Csv, self.memory())?;
        let keep_dates_as_text = options.keeps_dates_as_text();
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

fn no_rejects() -> Error {
    Error::usage("one scan cannot have a reject file of its own")
        .with_hint("name it in the options of the session, where it takes the bad rows of all scans")
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
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.lazy().select([col("n").sum()]).collect()?.texts("n"), ["6"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lazy(&self) -> LazyFrame {
        let table: Arc<dyn Table> = Arc::new(MemoryTable::new(self.clone()));
        LazyFrame::new(self.session(), rows_of(table, "DataFrame"))
    }
}
