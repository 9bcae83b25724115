//! Rows in memory: what `collect` gives.
//!
//! Memory: reserved as long as the frame or a copy of it lives; copies share the rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches;

use super::counted::concat_counted;
use super::resolve::unknown_column;
use crate::error::{Error, Result};
use crate::memory::Reservation;
use crate::session::Session;

/// Rows shown of a long frame, half of them from its end.
const SHOWN_ROWS: usize = 10;

/// Rows in memory, counted against the budget of their session.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [3, 1, 2])?.lazy();
/// let frame = rows.clone().sort("a", SortOptions::new()).collect()?;
/// assert_eq!((frame.shape(), frame.text(0, "a")), ((3, 1), Some("1".to_string())));
/// assert_eq!(frame.column("a")?.len(), 3);
/// assert!(frame.estimated_size() > 0);
/// println!("{frame}");
/// // It can be the beginning of another query, which does not copy it.
/// assert_eq!(frame.lazy().select([col("a").sum()]).collect()?.text(0, "a"), Some("6".to_string()));
/// assert_eq!(frame.lazy().describe()?.height(), 9);
/// // Any number of rows in little memory:
/// for batch in rows.collect_batches()? {
///     println!("{} rows", batch?.num_rows());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DataFrame {
    shared: Arc<Shared>,
}

struct Shared {
    session: Session,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    n_rows: usize,
    reservation: Reservation,
}

impl DataFrame {
    /// `batches`, of which `reservation` has the bytes.
    pub(super) fn new(
        session: &Session,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        reservation: Reservation,
    ) -> Self {
        let batches: Vec<RecordBatch> = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
        DataFrame { shared: Arc::new(Shared { session: session.clone(), schema, batches, n_rows, reservation }) }
    }

    /// `batches`, whose bytes are still to be reserved.
    pub(super) fn counted(session: &Session, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        let mut reservation = session.memory().reserve("DataFrame");
        for batch in &batches {
            if batch.schema().fields() != schema.fields() {
                return Err(Error::usage("the batches of a frame have different columns or types"));
            }
            reservation.try_grow(batch.get_array_memory_size() as u64)?;
        }
        Ok(Self::new(session, schema, batches, reservation))
    }

    pub(super) fn session(&self) -> &Session {
        &self.shared.session
    }

    /// The columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.schema().field(1).name(), "n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schema(&self) -> SchemaRef {
        self.shared.schema.clone()
    }

    /// Rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.height(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn height(&self) -> usize {
        self.shared.n_rows
    }

    /// Columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.width(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn width(&self) -> usize {
        self.shared.schema.fields().len()
    }

    /// Rows and columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.shape(), (3, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shape(&self) -> (usize, usize) {
        (self.height(), self.width())
    }

    /// Whether there are no rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert!(!frame.is_empty());
    /// assert!(frame.lazy().filter(col("n").gt(9)).collect()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.height() == 0
    }

    /// The names of the columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.get_column_names(), ["city", "n"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_column_names(&self) -> Vec<&str> {
        self.shared.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// The types of the columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.dtypes(), [DataType::Utf8, DataType::Int64]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dtypes(&self) -> Vec<DataType> {
        self.shared.schema.fields().iter().map(|field| field.data_type().clone()).collect()
    }

    /// Bytes that the rows take in memory, as they are counted against the budget.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert!(frame.estimated_size() >= 3 * 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn estimated_size(&self) -> u64 {
        self.shared.reservation.bytes()
    }

    /// The rows as Arrow batches. What is kept of them when the frame is gone is no longer counted.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.batches().iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batches(&self) -> &[RecordBatch] {
        &self.shared.batches
    }

    /// The rows as one Arrow batch: a copy, which is counted as long as any of its columns lives, unless the frame has one
    /// batch.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.to_batch()?.num_columns(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] when the copy does not fit, and when a column of text has more than 2 GiB.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let columns = (0..self.width()).map(|idx| self.column_at(idx)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.height()));
        Ok(RecordBatch::try_new_with_options(self.schema(), columns, &options)?)
    }

    /// A column as one Arrow array: a copy, which is counted as long as it lives, unless the frame has one batch.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// let n = frame.column("n")?;
    /// let n = n.as_any().downcast_ref::<arrow::array::Int64Array>().unwrap();
    /// assert_eq!(n.values(), &[3, 1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] when there is no such column; [`crate::ErrorKind::Budget`] when the copy does not fit.
    pub fn column(&self, name: &str) -> Result<ArrayRef> {
        let names = self.get_column_names();
        match names.iter().position(|known| *known == name) {
            Some(idx) => self.column_at(idx),
            None => Err(unknown_column(name, names.into_iter())),
        }
    }

    fn column_at(&self, idx: usize) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.shared.batches.iter().map(|batch| batch.column(idx).as_ref()).collect();
        match parts.is_empty() {
            true => Ok(arrow::array::new_empty_array(self.shared.schema.field(idx).data_type())),
            false => concat_counted(&parts, self.shared.session.memory()),
        }
    }

    /// `length` rows from number `offset` on. They share memory with this frame, which they keep alive.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.slice(1, 2).iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slice(&self, offset: usize, length: usize) -> Vec<RecordBatch> {
        let (mut skip, mut left) = (offset, length);
        let mut slices = Vec::new();
        for batch in &self.shared.batches {
            let n_rows = left.min(batch.num_rows().saturating_sub(skip));
            if n_rows > 0 {
                slices.push(batch.slice(skip, n_rows));
                left -= n_rows;
            }
            skip = skip.saturating_sub(batch.num_rows());
        }
        slices
    }

    /// The first `n` rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.head(1)[0].num_rows(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn head(&self, n: usize) -> Vec<RecordBatch> {
        self.slice(0, n)
    }

    /// The last `n` rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.tail(2).iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tail(&self, n: usize) -> Vec<RecordBatch> {
        self.slice(self.height().saturating_sub(n), n)
    }

    /// Whether both have the same columns with the same values in the same order; NULL is equal to NULL. Nothing is copied.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert!(frame.equals(&frame.lazy().collect()?));
    /// assert!(!frame.equals(&frame.lazy().head(2).collect()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn equals(&self, other: &DataFrame) -> bool {
        let mut columns = self.shared.schema.fields().iter().zip(other.shared.schema.fields());
        self.shape() == other.shape()
            && columns.all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
            && self.same_values(other)
    }

    /// Compares frames of as many rows and columns, however their rows lie in batches.
    fn same_values(&self, other: &DataFrame) -> bool {
        let (mut ours, mut theirs) = (self.shared.batches.iter(), other.shared.batches.iter());
        let (mut one, mut two) = (ours.next().cloned(), theirs.next().cloned());
        while let (Some(a), Some(b)) = (&one, &two) {
            let n_rows = a.num_rows().min(b.num_rows());
            let mut columns = a.columns().iter().zip(b.columns());
            if !columns.all(|(a, b)| a.slice(0, n_rows).to_data() == b.slice(0, n_rows).to_data()) {
                return false;
            }
            let rest = |batch: &RecordBatch| batch.slice(n_rows, batch.num_rows() - n_rows);
            let (a, b) = (rest(a), rest(b));
            one = if a.num_rows() > 0 { Some(a) } else { ours.next().cloned() };
            two = if b.num_rows() > 0 { Some(b) } else { theirs.next().cloned() };
        }
        true
    }

    /// The value in a row of a column as text; `None` of NULL, and where there is none.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.text(1, "city"), Some("Oslo".to_string()));
    /// assert_eq!(frame.text(9, "city"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn text(&self, row: usize, column: &str) -> Option<String> {
        let idx = self.shared.schema.index_of(column).ok()?;
        let slice = self.slice(row, 1);
        let values = slice.first()?.column(idx);
        if values.is_null(0) {
            return None;
        }
        let formatter = ArrayFormatter::try_new(values, &FormatOptions::default()).ok()?;
        formatter.value(0).try_to_string().ok()
    }

    /// The values of a column as texts, to look at: NULL is `null`. Nothing where there is no such column.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(3), None])?.lazy();
    /// let frame = rows.collect()?;
    /// assert_eq!(frame.texts("n"), ["3", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn texts(&self, column: &str) -> Vec<String> {
        let text = |row| self.text(row, column).unwrap_or_else(|| "null".to_string());
        let is_there = self.shared.schema.index_of(column).is_ok();
        (0..if is_there { self.height() } else { 0 }).map(text).collect()
    }
}

/// The shape, then the rows as a table; of many rows the first and last.
impl fmt::Display for DataFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "shape: ({}, {})", self.height(), self.width())?;
        let shown = match self.height() > SHOWN_ROWS {
            true => [self.head(SHOWN_ROWS / 2), self.tail(SHOWN_ROWS / 2)].concat(),
            false => self.shared.batches.clone(),
        };
        let shown = if shown.is_empty() { vec![RecordBatch::new_empty(self.schema())] } else { shown };
        match pretty_format_batches(&shown) {
            Ok(table) => write!(f, "{table}"),
            Err(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Debug for DataFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
