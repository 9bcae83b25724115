//! How files are read that a frame begins with.

use arrow::datatypes::DataType;

use crate::io::csv::{CsvOptions, Encoding, OnBadRow, Quote, Ragged};

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
    date_format: Option<String>,
    timestamp_format: Option<String>,
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
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a,b\n1,x\n")?;
    /// let options = CsvScanOptions::new();
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("b"), ["x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The byte between fields.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a|b\n1|x\n")?;
    /// let options = CsvScanOptions::new().with_separator(b'|');
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("b"), ["x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_separator(self, separator: u8) -> Self {
        CsvScanOptions { separator: Some(separator), ..self }
    }

    /// The byte around fields that hold separators; `None` when quotes are text.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a,b\n1,'x,y'\n")?;
    /// let options = CsvScanOptions::new().with_quote_char(Some(b'\''));
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("b"), ["x,y"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_quote_char(self, quote: Option<u8>) -> Self {
        CsvScanOptions { quote: Some(quote.map_or(Quote::Off, Quote::Byte)), ..self }
    }

    /// Lines at the start of each file that are passed over.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "made on Monday\na,b\n1,x\n")?;
    /// let options = CsvScanOptions::new().with_skip_rows(1);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("b"), ["x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_skip_rows(self, skip_rows: u64) -> Self {
        CsvScanOptions { skip_rows, ..self }
    }

    /// Lines that begin with this are no rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a,b\n# nothing yet\n1,x\n")?;
    /// let options = CsvScanOptions::new().with_comment_prefix("#");
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("a"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_comment_prefix(self, prefix: impl Into<String>) -> Self {
        CsvScanOptions { comment_prefix: Some(prefix.into()), ..self }
    }

    /// How the files are encoded.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, b"city\nZ\xFCrich\n")?;
    /// let options = CsvScanOptions::new().with_encoding(brimful::io::csv::Encoding::parse("latin1")?);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("city"), ["Zürich"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        CsvScanOptions { encoding: Some(encoding), ..self }
    }

    /// Whether fractions are written with a comma.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a;b\n1,5;x\n")?;
    /// let options = CsvScanOptions::new().with_decimal_comma(true);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("a"), ["1.5"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_decimal_comma(self, decimal_comma: bool) -> Self {
        CsvScanOptions { decimal_comma, ..self }
    }

    /// How dates are written, besides ISO 8601: `%d.%m.%Y`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "day\n31.12.2024\n")?;
    /// let options = CsvScanOptions::new().with_date_format("%d.%m.%Y");
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("day"), ["2024-12-31"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_date_format(self, format: impl Into<String>) -> Self {
        CsvScanOptions { date_format: Some(format.into()), ..self }
    }

    /// How datetimes are written, besides ISO 8601: `%d/%m/%Y %H:%M`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "at\n31/12/2024 10:30\n")?;
    /// let options = CsvScanOptions::new().with_timestamp_format("%d/%m/%Y %H:%M");
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("at"), ["2024-12-31T10:30:00"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_timestamp_format(self, format: impl Into<String>) -> Self {
        CsvScanOptions { timestamp_format: Some(format.into()), ..self }
    }

    /// What happens to a row with more or fewer fields than there are columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a,b\n1,x\n2\n")?;
    /// let options = CsvScanOptions::new().with_ragged(brimful::io::csv::Ragged::Pad);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("b"), ["x", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_ragged(self, ragged: Ragged) -> Self {
        CsvScanOptions { ragged: Some(ragged), ..self }
    }

    /// Whether the first row names the columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "1,x\n2,y\n")?;
    /// let options = CsvScanOptions::new().with_has_header(false);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("column_2"), ["x", "y"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_has_header(self, has_header: bool) -> Self {
        CsvScanOptions { has_header: Some(has_header), ..self }
    }

    /// Texts that mean NULL besides the empty field.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a\nyes\nn/a\n")?;
    /// let options = CsvScanOptions::new().with_null_values(["n/a"]);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("a"), ["yes", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_null_values<S: Into<String>>(mut self, values: impl IntoIterator<Item = S>) -> Self {
        self.null_values.extend(values.into_iter().map(Into::into));
        self
    }

    /// Rows to look at for the types.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a\n1\nx\n")?;
    /// let options = CsvScanOptions::new().with_infer_schema_length(1_000);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("a"), ["1", "x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_infer_schema_length(self, n_rows: u64) -> Self {
        CsvScanOptions { infer_rows: Some(n_rows), ..self }
    }

    /// Types of columns that are not to be found out.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "zip\n01001\n")?;
    /// let options = CsvScanOptions::new().with_schema_overrides([("zip", DataType::Utf8)]);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("zip"), ["01001"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_schema_overrides<S: Into<String>>(mut self, types: impl IntoIterator<Item = (S, DataType)>) -> Self {
        self.schema_overrides.extend(types.into_iter().map(|(name, data_type)| (name.into(), data_type)));
        self
    }

    /// What happens to a row that cannot be read. A reject file is said for all scans of a session, in its
    /// [`crate::SessionOptions`], because it appears when a query is complete.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "a,b\n1,x\n2\n")?;
    /// let options = CsvScanOptions::new().with_on_bad_row(brimful::io::csv::OnBadRow::Skip);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("a"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_on_bad_row(self, on_bad_row: OnBadRow) -> Self {
        CsvScanOptions { on_bad_row: Some(on_bad_row), ..self }
    }

    /// Whether columns that look like dates and datetimes are read as such; they are, unless this says no.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("a.csv");
    /// std::fs::write(&path, "day\n2024-01-15\n")?;
    /// let options = CsvScanOptions::new().with_try_parse_dates(false);
    /// assert_eq!(session.read_csv_with(&path, options)?.texts("day"), ["2024-01-15"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_try_parse_dates(self, try_parse_dates: bool) -> Self {
        CsvScanOptions { keep_dates_as_text: !try_parse_dates, ..self }
    }

    pub(super) fn keeps_dates_as_text(&self) -> bool {
        self.keep_dates_as_text
    }

    pub(super) fn has_rejects(&self) -> bool {
        matches!(self.on_bad_row, Some(OnBadRow::Reject(_)))
    }

    pub(super) fn over(self, session: &CsvOptions) -> CsvOptions {
        let mut options = session.clone();
        options.delimiter = self.separator.or(options.delimiter);
        options.quote = self.quote.unwrap_or(options.quote);
        options.skip_rows = if self.skip_rows > 0 { self.skip_rows } else { options.skip_rows };
        options.comment = self.comment_prefix.or(options.comment);
        options.encoding = self.encoding.or(options.encoding);
        options.decimal_comma |= self.decimal_comma;
        options.date_format = self.date_format.or(options.date_format);
        options.timestamp_format = self.timestamp_format.or(options.timestamp_format);
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

/// How files of JSON lines are read. What is not said is found out from the first rows.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("rows.ndjson");
/// std::fs::write(&path, "{\"id\":1,\"at\":\"2024-01-15 08:30:00\",\"tags\":[\"a\"]}\n")?;
/// let at = DataType::Timestamp(TimeUnit::Microsecond, None);
/// let options = NdjsonScanOptions::new().with_schema_overrides([("at", at), ("tags", DataType::Utf8)]);
/// let rows = session.read_ndjson_with(&path, options)?;
/// assert_eq!(rows.text(0, "at"), Some("2024-01-15T08:30:00".to_string())); // a text without the option
/// assert_eq!(rows.text(0, "tags"), Some("[\"a\"]".to_string())); // a list without the option
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct NdjsonScanOptions {
    infer_rows: Option<u64>,
    schema_overrides: Vec<(String, DataType)>,
    on_bad_row: Option<OnBadRow>,
}

impl NdjsonScanOptions {
    /// Everything is found out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows to look at for fields and types.
    pub fn with_infer_schema_length(self, n_rows: u64) -> Self {
        NdjsonScanOptions { infer_rows: Some(n_rows), ..self }
    }

    /// Types of fields that are not to be found out. A text takes any value, objects and lists as their JSON.
    pub fn with_schema_overrides<S: Into<String>>(mut self, types: impl IntoIterator<Item = (S, DataType)>) -> Self {
        self.schema_overrides.extend(types.into_iter().map(|(name, data_type)| (name.into(), data_type)));
        self
    }

    /// What happens to a row that cannot be read; see [`CsvScanOptions::with_on_bad_row`].
    pub fn with_on_bad_row(self, on_bad_row: OnBadRow) -> Self {
        NdjsonScanOptions { on_bad_row: Some(on_bad_row), ..self }
    }

    /// What of it CSV files have, too.
    pub(super) fn shared(self) -> CsvScanOptions {
        let NdjsonScanOptions { infer_rows, schema_overrides, on_bad_row } = self;
        CsvScanOptions { infer_rows, schema_overrides, on_bad_row, ..CsvScanOptions::default() }
    }
}

/// How Parquet files are read.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// # let folder = tempfile::tempdir()?;
/// std::fs::create_dir(folder.path().join("year=2024"))?;
/// df!(session, "id" => [1, 2])?.lazy().sink_parquet(folder.path().join("year=2024/a.parquet"), Default::default())?;
/// let names = |options| session.read_parquet_with(folder.path(), options).map(|rows| rows.get_column_names().join(" "));
/// assert_eq!(names(ParquetScanOptions::new())?, "id year");
/// assert_eq!(names(ParquetScanOptions::new().with_hive_partitioning(false))?, "id");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct ParquetScanOptions {
    pub(super) hive: Option<bool>,
}

impl ParquetScanOptions {
    /// As the session reads them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether folders called `key=value` are columns of the files in them; they are, unless this or the session says no.
    pub fn with_hive_partitioning(self, hive: bool) -> Self {
        ParquetScanOptions { hive: Some(hive) }
    }
}
