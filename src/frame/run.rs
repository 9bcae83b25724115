//! From a plan to rows: in memory, in pieces, in files, or as a description of how they would be computed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::batches::{BatchIter, Exchange, ExchangeSink};
use super::collect::{Collect, CollectSink};
use super::data_frame::DataFrame;
use super::lazy::LazyFrame;
use crate::error::{Error, Result};
use crate::exec::{CancelToken, QueryContext, RunMetrics, Sink};
use crate::io::parquet::{ParquetSink, ParquetSinkOptions};
use crate::io::partitioned::PartitionedOutput;
use crate::io::{Output, OutputFormat};
use crate::session::PreparedQuery;
use crate::sql::on_deep_stack;

fn collected(query: PreparedQuery<'_>, cancel: CancelToken) -> Result<DataFrame> {
    let session = query.session();
    let collect: Mutex<Option<Arc<Collect>>> = Mutex::new(None);
    let make_sink = |schema, _, cx: &QueryContext| {
        let made = Collect::new(schema, cx);
        *collect.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(Arc::new(CollectSink(made)) as Arc<dyn Sink>)
    };
    on_deep_stack(|| query.into_run_to(cancel, make_sink))?.execute()?;
    match collect.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(collect) => Ok(collect.into_frame(session)),
        None => Err(Error::usage("this statement gives no rows to keep in memory")),
    }
}

impl PreparedQuery<'_> {
    /// The rows of a SQL query in memory, as [`LazyFrame::collect`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df};
    /// # fn main() -> brimful::Result<()> {
    /// # let session = Session::new(SessionOptions::default())?;
    /// // SQL over frames, and frames over what SQL gives.
    /// df!(session, "city" => ["Oslo", "Rome"], "n" => [1, 2])?.lazy().create_view("cities")?;
    /// let rome = session.sql("SELECT * FROM cities WHERE n > 1")?.collect()?;
    /// assert_eq!(rome.lazy().head(1).collect()?.text(0, "city"), Some("Rome".to_string()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`]; [`crate::ErrorKind::Usage`] for EXPLAIN and for statements that make a table.
    pub fn collect(self) -> Result<DataFrame> {
        match self.explain() {
            Some(_) => Err(Error::usage("EXPLAIN gives no rows").with_hint("use into_run and explain_text")),
            None => collected(self, CancelToken::default()),
        }
    }
}

impl LazyFrame {
    /// How the rows would be computed, as an indented tree.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let plan = rows.filter(col("n").gt(1)).explain()?;
    /// assert!(plan.contains("where n > 1"), "{plan}"); // settled while reading
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake in the verbs before.
    pub fn explain(&self) -> Result<String> {
        let query = self.session.prepare_plan(self.plan_in_order()?)?;
        Ok(on_deep_stack(|| query.into_run(&Output::Discard, CancelToken::default()))?.explain_text())
    }

    /// The rows in memory. They count against the budget as long as the frame lives.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.filter(col("n").lt(3)).collect()?;
    /// assert_eq!(found.shape(), (2, 2));
    /// assert_eq!(found.texts("city"), ["Oslo", "Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake in the verbs before; whatever goes wrong while the query runs; [`crate::ErrorKind::Budget`] when the
    /// rows do not fit, which says what to do instead.
    pub fn collect(&self) -> Result<DataFrame> {
        self.collect_with(CancelToken::default())
    }

    /// As [`LazyFrame::collect`]; `cancel` ends the query from another thread.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let cancel = brimful::exec::CancelToken::default();
    /// assert_eq!(rows.collect_with(cancel)?.height(), 3); // another thread may call cancel.cancel()
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::collect`].
    pub fn collect_with(&self, cancel: CancelToken) -> Result<DataFrame> {
        collected(self.session.prepare_plan(self.plan_in_order()?)?, cancel)
    }

    /// Makes the frame a view of its session: [`Session::sql`](crate::Session::sql) may name it in FROM. A view of that name is replaced.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// rows.create_view("cities")?;
    /// let found = session.sql("SELECT city FROM cities ORDER BY n")?.collect()?;
    /// assert_eq!(found.texts("city"), ["Oslo", "Bern", "Rome"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake in the verbs before; [`crate::ErrorKind::Usage`] when there is a temporary table of that name.
    pub fn create_view(&self, name: &str) -> Result<()> {
        self.session.add_view_of(name, self.plan_in_order()?)
    }

    /// The rows a batch at a time, while the query goes on: any number of them in little memory. The query runs on threads of
    /// its own, so that others may run meanwhile; dropping the iterator ends it.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let mut n_rows = 0;
    /// for batch in rows.collect_batches()? {
    ///     n_rows += batch?.num_rows();
    /// }
    /// assert_eq!(n_rows, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake in the verbs before. What goes wrong while the query runs comes as an item.
    pub fn collect_batches(&self) -> Result<BatchIter> {
        let (session, plan) = (self.session.clone(), self.plan_in_order()?);
        let schema = session.prepare_plan(plan.clone())?.schema();
        let (cancel, exchange) = (CancelToken::default(), Exchange::new());
        let (running, output) = (cancel.clone(), exchange.clone());
        BatchIter::start(schema, exchange, cancel, move || {
            let query = session.prepare_plan(plan)?;
            let make_sink =
                |_, ordered, cx: &QueryContext| Ok(Arc::new(ExchangeSink::new(output, ordered, cx)) as Arc<dyn Sink>);
            on_deep_stack(|| query.into_run_to(running, make_sink))?.execute_apart().map(|_| ())
        })
    }

    /// Writes the rows to a CSV file, which appears when it is complete.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let folder = tempfile::tempdir()?;
    /// rows.sink_csv(folder.path().join("cities.csv"))?;
    /// let text = std::fs::read_to_string(folder.path().join("cities.csv"))?;
    /// assert_eq!(text, "city,n\nRome,3\nOslo,1\nBern,2\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake in the verbs before; whatever goes wrong while the query runs.
    pub fn sink_csv(&self, path: impl AsRef<Path>) -> Result<RunMetrics> {
        self.sink(&Output::File(path.as_ref().to_path_buf(), OutputFormat::Csv))
    }

    /// Writes the rows to a file of JSON, an object a line, which appears when it is complete.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let folder = tempfile::tempdir()?;
    /// rows.head(1).sink_ndjson(folder.path().join("cities.ndjson"))?;
    /// let text = std::fs::read_to_string(folder.path().join("cities.ndjson"))?;
    /// assert_eq!(text, "{\"city\":\"Rome\",\"n\":3}\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::sink_csv`].
    pub fn sink_ndjson(&self, path: impl AsRef<Path>) -> Result<RunMetrics> {
        self.sink(&Output::File(path.as_ref().to_path_buf(), OutputFormat::JsonLines))
    }

    /// Writes the rows to a Parquet file, which appears when it is complete. The default compresses with zstd.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let folder = tempfile::tempdir()?;
    /// let took = rows.sink_parquet(folder.path().join("cities.parquet"), Default::default())?;
    /// assert_eq!(took.rows_out, 3);
    /// assert_eq!(session.read_parquet(folder.path().join("cities.parquet"))?.texts("n"), ["3", "1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::sink_csv`].
    pub fn sink_parquet(&self, path: impl AsRef<Path>, options: ParquetSinkOptions) -> Result<RunMetrics> {
        let path = path.as_ref();
        let query = self.session.prepare_plan(self.plan_in_order()?)?;
        let make_sink = |schema, ordered, cx: &QueryContext| {
            let sink = ParquetSink::new(path, schema, &options, ordered, &cx.memory)?;
            Ok(Arc::new(sink) as Arc<dyn Sink>)
        };
        on_deep_stack(|| query.into_run_to(CancelToken::default(), make_sink))?.execute()
    }

    /// Writes the rows to an Arrow IPC file, which appears when it is complete.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let folder = tempfile::tempdir()?;
    /// rows.sink_ipc(folder.path().join("cities.arrow"))?;
    /// assert_eq!(session.read_ipc(folder.path().join("cities.arrow"))?.shape(), (3, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::sink_csv`].
    pub fn sink_ipc(&self, path: impl AsRef<Path>) -> Result<RunMetrics> {
        self.sink(&Output::File(path.as_ref().to_path_buf(), OutputFormat::Ipc))
    }

    /// Writes the rows to files of `format` in a new folder, a folder for each combination of values of `partition_by`:
    /// `year=2024/month=04/part-0.parquet`. It appears when all files are complete.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let folder = tempfile::tempdir()?;
    /// let target = folder.path().join("by_city");
    /// rows.sink_partitioned(&target, brimful::io::OutputFormat::Csv, ["city"])?;
    /// assert_eq!(std::fs::read_to_string(target.join("city=Oslo/part-0.csv"))?, "n\n1\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::sink_csv`]; [`crate::ErrorKind::Usage`] for a column that cannot make folders.
    pub fn sink_partitioned<S: Into<String>>(
        &self,
        folder: impl AsRef<Path>,
        format: OutputFormat,
        partition_by: impl IntoIterator<Item = S>,
    ) -> Result<RunMetrics> {
        let partition_by = partition_by.into_iter().map(Into::into).collect();
        self.sink(&Output::Partitioned(PartitionedOutput::new(folder.as_ref(), format, partition_by)))
    }

    /// Writes the rows to any output.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let folder = tempfile::tempdir()?;
    /// use brimful::io::{Output, OutputFormat};
    /// let output = Output::File(folder.path().join("cities.tsv"), OutputFormat::Csv);
    /// assert_eq!(rows.sink(&output)?.rows_out, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`LazyFrame::sink_csv`].
    pub fn sink(&self, output: &Output) -> Result<RunMetrics> {
        let query = self.session.prepare_plan(self.plan_in_order()?)?;
        on_deep_stack(|| query.into_run(output, CancelToken::default()))?.execute()
    }
}
