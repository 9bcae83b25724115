//! A session: one budget, one pool of threads, and any number of queries one after the other.
//!
//! ```no_run
//! use brimful::io::{Output, OutputFormat};
//! use brimful::{Session, SessionOptions};
//!
//! # fn main() -> brimful::Result<()> {
//! let session = Session::new(SessionOptions::default())?;
//! let query = session.sql("SELECT city, avg(price) FROM 'sales.csv' GROUP BY city")?;
//! let metrics = query.into_run(&Output::Stdout(OutputFormat::Csv), Default::default())?.execute()?;
//! println!("{} rows", metrics.rows_out);
//! # Ok(())
//! # }
//! ```
//!
//! Memory: what the process holds when the session begins counts against the budget, so what start-up costs for good
//! (threads, function tables) is touched before it is measured. Code that only planning needs is let go again.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use rayon::ThreadPool;

use crate::error::{Error, Result};
use crate::exec::{self, CancelToken, LocalSink, Monitor, NodeIdx, Query, QueryContext, RunMetrics, Sink, TaskContext};
use crate::io::csv::RejectFile;
use crate::io::{FileTables, Output, Table, WrittenFile};
use crate::memory::{
    Budget, Memory, PagePool, ResidentGuard, ResidentSet, release_freed_memory, release_program_pages,
};
use crate::operators::stored::StoredRows;
use crate::physical;
use crate::plan::{self, Effort, LogicalPlan};
use crate::spill::{Disk, SpillConfig, SpillStore};
use crate::sql::{self, Defined, Explain, ParsedStatement, Planned, PlannedQuery, Registry, Script, Target};

/// What a session is made with.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// The most memory this process may hold; 60 % of the machine's, or 75 % of the container's, when not given.
    pub budget: Option<Budget>,
    /// Worker threads; one a core when not given.
    pub threads: Option<usize>,
    /// Where to spill and how much.
    pub spill: SpillConfig,
    /// How files are read.
    pub files: FileTables,
    /// Test setting: how the session is made to work harder.
    #[doc(hidden)]
    pub strain: Strain,
}

/// How tests make a session work harder than its queries would.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Strain {
    /// Governed memory, whatever the process holds; the budget is not watched then.
    pub governed_bytes: Option<u64>,
    /// The most rows of a batch.
    pub batch_rows: Option<usize>,
    /// Evict every page as soon as it is unpinned.
    pub evict_always: bool,
    /// Refuse every n-th reservation; 0 never.
    pub refuse_every: u64,
    /// Run only the rules that make a plan possible.
    pub without_optimizer: bool,
}

/// Runs queries within one memory budget. Cheap to clone: clones are the same session, and it ends with the last of them.
///
/// Several sessions may live in one process. Each keeps what it reserves, together with the program itself and all memory
/// that no session has reserved, within its own budget; the process stays below the sum of the budgets.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

/// What the clones of a session share.
struct Shared {
    memory: Memory,
    pages: Arc<PagePool>,
    spill: Arc<SpillStore>,
    threads: ThreadPool,
    n_threads: usize,
    files: FileTables,
    registry: Registry,
    _guard: Option<ResidentGuard>,
}

/// The statements of a text.
pub struct Statements<'s> {
    session: &'s Session,
    script: Script,
}

/// A statement that was understood.
pub enum Prepared<'s> {
    /// It is to be run.
    Query(Box<PreparedQuery<'s>>),
    /// It had no rows to give and has been carried out: CREATE VIEW, DROP.
    Done,
}

impl<'s> Statements<'s> {
    /// How many statements that are left have rows for the user.
    pub fn n_results(&self) -> usize {
        self.script.n_results()
    }

    /// Plans the next statement; `None` after the last.
    ///
    /// # Errors
    /// As [`Session::sql`].
    pub fn prepare_next(&mut self) -> Result<Option<Prepared<'s>>> {
        match self.script.next_statement()? {
            Some(statement) => {
                let prepared = self.session.prepare(&statement, self.script.text())?;
                if self.script.n_statements() == 0 {
                    self.session.shared.files.end_text()?;
                }
                Ok(Some(prepared))
            }
            None => Ok(None),
        }
    }
}

/// Makes the sink of a result, given its schema and whether its rows have an order to keep.
pub type MakeSink<'a> = dyn Fn(SchemaRef, bool, &QueryContext) -> Result<Arc<dyn Sink>> + 'a;

/// A query that was understood.
pub struct PreparedQuery<'s> {
    session: &'s Session,
    planned: PlannedQuery,
    rejects: Option<Arc<RejectFile>>,
}

/// A query that is ready to run into its output.
pub struct QueryRun<'s> {
    session: &'s Session,
    query: Query,
    cx: QueryContext,
    monitor: Arc<Monitor>,
    rejects: Option<Arc<RejectFile>>,
    /// The table that there is afterwards.
    creates: Option<(String, Arc<StoredRows>)>,
    /// EXPLAIN without ANALYZE stood in front of the query.
    only_explains: bool,
}

/// Stack of a worker: expressions are evaluated from the top down. Only touched pages become resident.
const WORKER_STACK_BYTES: usize = 64 << 20;

/// What planning a statement makes resident, program pages included.
const PLANNING_BYTES: u64 = 48 << 20;

/// Touches what planning touches: a query with the usual clauses and no files.
const WARM_UP: &str = "SELECT a, sum(b) AS s FROM (VALUES (1, 2.0), (2, 3.5)) AS t (a, b) \
     WHERE a > 0 AND b < 10 GROUP BY a HAVING count(*) > 0 ORDER BY s DESC LIMIT 1";

impl Session {
    /// Starts the threads and takes the budget.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] when the budget is below what the program itself needs, [`crate::ErrorKind::Disk`]
    /// when a spill directory cannot be used.
    pub fn new(options: SessionOptions) -> Result<Self> {
        let budget = options.budget.unwrap_or_else(Budget::default_for_machine);
        let n_threads = options.threads.unwrap_or_else(available_threads).max(1);
        let threads = start_threads(n_threads)?;
        threads.broadcast(|_| ());
        warm_up(n_threads);
        let planning_bytes = ResidentSet::read().map_or(0, |set| set.resident_bytes);
        release_freed_memory();
        release_program_pages();
        let memory = governed_memory(budget, planning_bytes, n_threads, options.strain)?;
        let spill = SpillStore::new(&options.spill, &memory, Disk::from_environment()?)?;
        let pages = PagePool::new(memory.clone(), spill.clone())?;
        pages.evict_always(options.strain.evict_always);
        memory.refuse_every(options.strain.refuse_every);
        let watched = options.strain.governed_bytes.is_none();
        let guard = watched.then(|| ResidentGuard::watch(memory.clone()));
        let effort = if options.strain.without_optimizer { Effort::Least } else { Effort::Full };
        let registry = Registry::new(effort);
        let files = FileTables { spool: options.spill.clone(), ..options.files }.for_session();
        let shared = Shared { memory, pages, spill, threads, n_threads, files, registry, _guard: guard };
        Ok(Session { shared: Arc::new(shared) })
    }

    /// Plans one SQL query. Tables are named by path: `FROM 'data/*.parquet'`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with a location where the text is wrong; [`crate::ErrorKind::Data`] for files that
    /// cannot be read.
    pub fn sql(&self, text: &str) -> Result<PreparedQuery<'_>> {
        self.shared.files.start_text();
        let prepared = self.prepare(&sql::parse_one(text, &self.shared.memory)?, text)?;
        self.shared.files.end_text()?;
        match prepared {
            Prepared::Query(query) => Ok(*query),
            Prepared::Done => Err(Error::usage("this statement gives no rows").with_hint("run it with `statements`")),
        }
    }

    /// Plans the query `text` once and gives it a name that later queries can read, in the place of what had it before.
    ///
    /// # Errors
    /// As [`Session::sql`]; the name then stands for what it did before.
    pub(crate) fn define(&self, name: &str, text: &str) -> Result<Defined> {
        self.shared.memory.set_overrun(0);
        self.make_room_for_planning();
        let defined = sql::define(name, text, &self.shared.files, &self.shared.registry, &self.shared.memory)?;
        self.shared.memory.check_overrun()?;
        Ok(defined)
    }

    /// Gives an open table a name that later queries can read, in the place of what had it before.
    pub(crate) fn add_table(&self, name: &str, table: Arc<dyn Table>) {
        self.shared.registry.add_open_table(name.to_string(), table);
    }

    /// Plans one more query of the same text: what its scans reject follows what earlier ones did.
    ///
    /// # Errors
    /// As [`Session::sql`].
    pub(crate) fn further_query(&self, text: &str) -> Result<PreparedQuery<'_>> {
        match self.prepare(&sql::parse_one(text, &self.shared.memory)?, text)? {
            Prepared::Query(query) => Ok(*query),
            Prepared::Done => Err(Error::usage("this statement gives no rows")),
        }
    }

    /// The statements of a text, to be run one after the other: each is planned when the ones before it have run.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] with a location where the text is wrong, also when there is none.
    pub fn statements(&self, text: &str) -> Result<Statements<'_>> {
        let script = Script::read(text, &self.shared.memory)?;
        if script.n_statements() == 0 {
            return Err(sql::nothing_asked());
        }
        self.shared.files.start_text();
        Ok(Statements { session: self, script })
    }

    /// Temporary tables may fill the memory, and planning brings program pages back that were let go before.
    fn make_room_for_planning(&self) {
        if self.shared.pages.evictable_bytes() > 0 {
            let bytes = PLANNING_BYTES.min(self.shared.memory.governed_bytes() / 2);
            // Reserving evicts. Planning goes ahead in any case.
            let _ = self.shared.memory.reserve("planning").try_grow(bytes);
        }
    }

    fn prepare(&self, statement: &ParsedStatement, text: &str) -> Result<Prepared<'_>> {
        self.shared.memory.set_overrun(0);
        self.make_room_for_planning();
        let planned =
            sql::plan_statement(statement, text, &self.shared.files, &self.shared.registry, &self.shared.memory)?;
        self.shared.memory.check_overrun()?;
        Ok(match planned {
            Planned::Done => Prepared::Done,
            Planned::Query(planned) => {
                let rejects = self.shared.files.rejects().cloned();
                Prepared::Query(Box::new(PreparedQuery { session: self, planned: *planned, rejects }))
            }
        })
    }

    /// Opens files, globs and folders as one table, which queries of this session then know as `name`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] for files that are not there or cannot be read as one table.
    pub fn add_files(&self, name: &str, paths: &[String]) -> Result<Arc<dyn Table>> {
        self.shared.files.start_text();
        let table = self.shared.files.open_all(paths, &self.shared.memory)?;
        self.shared.files.end_text()?;
        self.shared.registry.add_open_table(name.to_string(), table.clone());
        Ok(table)
    }

    /// The views and temporary tables, by name.
    pub fn table_names(&self) -> Vec<String> {
        self.shared.registry.names()
    }

    /// Makes a plan that a front door wrote ready to run.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] where the plan is wrong, [`crate::ErrorKind::Budget`] where planning outgrows the budget.
    pub(crate) fn prepare_plan(&self, plan: LogicalPlan) -> Result<PreparedQuery<'_>> {
        self.shared.files.start_text();
        self.shared.memory.set_overrun(0);
        self.make_room_for_planning();
        let planned = sql::plan_frame(plan, &self.shared.registry)?;
        self.shared.memory.check_overrun()?;
        let rejects = self.shared.files.rejects().cloned();
        Ok(PreparedQuery { session: self, planned, rejects })
    }

    /// Makes `plan` a view that SQL may name.
    pub(crate) fn add_view_of(&self, name: &str, plan: LogicalPlan) -> Result<()> {
        self.shared.registry.may_create(name, true, sql::IfExists::Replace)?;
        self.shared.registry.add_planned(name.to_string(), plan);
        Ok(())
    }

    /// How files are read unless a scan says otherwise.
    pub(crate) fn files(&self) -> &FileTables {
        &self.shared.files
    }

    /// What operators are made with.
    pub(crate) fn query_context(&self, cancel: CancelToken) -> QueryContext {
        QueryContext { memory: self.shared.memory.clone(), pages: self.shared.pages.clone(), cancel }
    }

    /// The ledger of this session's budget.
    pub fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    /// Where this session spills.
    pub fn spill(&self) -> &SpillStore {
        &self.shared.spill
    }
}

fn start_threads(n_threads: usize) -> Result<ThreadPool> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .thread_name(|idx| format!("brimful-{idx}"))
        .stack_size(WORKER_STACK_BYTES);
    threads.build().map_err(|error| Error::query(format!("cannot start {n_threads} threads: {error}")))
}

/// Governed memory whatever the budget is, for tests of the program: its code alone takes more than some of them govern.
const GOVERNED_VARIABLE: &str = "BRIMFUL_TEST_GOVERNED";

fn governed_memory(budget: Budget, planning_bytes: u64, n_threads: usize, strain: Strain) -> Result<Memory> {
    let governed = match std::env::var(GOVERNED_VARIABLE) {
        Ok(text) => Some(crate::memory::parse_bytes(&text)?),
        Err(_) => strain.governed_bytes,
    };
    let memory = match governed {
        Some(governed) => Memory::with_governed(governed, n_threads),
        None => Memory::for_process(budget, planning_bytes, n_threads)?,
    };
    Ok(match strain.batch_rows {
        Some(n_rows) => memory.with_batch_rows(n_rows),
        None => memory,
    })
}

fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Plans a query on borrowed memory, so that what planning keeps for good is resident before the budget is taken. A
/// failure shows when the user's query is planned.
fn warm_up(n_threads: usize) {
    let memory = Memory::with_governed(16 << 20, n_threads);
    let _ = sql::plan(WARM_UP, &FileTables::default(), &memory);
}

impl<'s> PreparedQuery<'s> {
    /// The session that it runs in.
    pub(crate) fn session(&self) -> &'s Session {
        self.session
    }

    /// The names of the columns of its result.
    pub fn column_names(&self) -> Vec<String> {
        self.planned.column_names()
    }

    /// What an EXPLAIN in front of the query asked for.
    pub fn explain(&self) -> Option<Explain> {
        self.planned.explain
    }

    /// The columns of the result.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.planned.plan.schema().inner().clone()
    }

    /// What the query will hold and give, about.
    pub(crate) fn footprint(&self) -> plan::Footprint {
        plan::footprint(&self.planned.plan)
    }

    /// Makes the operators and the output. Nothing is read yet; `cancel` ends the run from another thread.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Usage`] for SQL that is not supported yet, [`crate::ErrorKind::Disk`] when the output cannot
    /// be made.
    pub fn into_run(self, output: &Output, cancel: CancelToken) -> Result<QueryRun<'s>> {
        let file = match output {
            Output::File(path, _) => Some(path.as_path()),
            Output::Stdout(_) | Output::Partitioned(_) | Output::Discard => None,
        };
        let clusters = output.clustering(self.planned.plan.schema().as_arrow())?;
        self.into_copy_or(file, clusters, &|schema, ordered, cx| output.sink(schema, ordered, cx), cancel)
    }

    /// As [`PreparedQuery::into_run`], into a sink that the caller makes. `file` is the file that it writes, if any.
    ///
    /// # Errors
    /// As [`PreparedQuery::into_run`], and those of `make_sink`.
    pub fn into_run_with(
        self,
        file: Option<&Path>,
        make_sink: &MakeSink<'_>,
        cancel: CancelToken,
    ) -> Result<QueryRun<'s>> {
        self.into_copy_or(file, Vec::new(), make_sink, cancel)
    }

    /// A COPY says itself where its rows go; other rows go into the sink of `make_sink`, clustered as it wants them.
    fn into_copy_or(
        self,
        file: Option<&Path>,
        clusters: Vec<usize>,
        make_sink: &MakeSink<'_>,
        cancel: CancelToken,
    ) -> Result<QueryRun<'s>> {
        let is_run = self.planned.explain.is_none_or(|asked| asked.analyze);
        let copied = match &self.planned.target {
            Target::File { path, format } => Some(Output::File(path.clone(), *format)),
            Target::Partitioned(to) => Some(Output::Partitioned(to.clone())),
            Target::Table { .. } | Target::Result => None,
        };
        let clusters = match &copied {
            Some(output) => output.clustering(self.planned.plan.schema().as_arrow())?,
            None => clusters,
        };
        let copied = copied.filter(|_| is_run);
        let file = match &copied {
            Some(Output::File(path, _)) => Some(path.as_path()),
            _ => file,
        };
        if let Some(path) = file {
            self.refuse_overwriting(path)?;
        }
        self.into_clustered(cancel, &clusters, |schema, ordered, cx| match &copied {
            Some(output) => output.sink(schema, ordered, cx),
            None => make_sink(schema, ordered, cx),
        })
    }

    /// Refuses an output that the query reads, or that something else is written to.
    fn refuse_overwriting(&self, path: &Path) -> Result<()> {
        self.session.shared.files.written.refuse_output(path)?;
        let result = WrittenFile::result(path);
        // What is not there yet is not read.
        if !result.is_there() {
            return Ok(());
        }
        plan::for_each_input(&self.planned.plan, &|files| result.refuse(files, "an input of the query"))
    }

    /// The same, into a sink that is made from the schema of the result and whether its order must be kept.
    pub(crate) fn into_run_to(
        self,
        cancel: CancelToken,
        output: impl FnOnce(SchemaRef, bool, &QueryContext) -> Result<Arc<dyn Sink>>,
    ) -> Result<QueryRun<'s>> {
        self.into_clustered(cancel, &[], output)
    }

    /// The same, for a sink that takes the rows sorted by the columns `clusters`, equal ones in one morsel.
    fn into_clustered(
        self,
        cancel: CancelToken,
        clusters: &[usize],
        output: impl FnOnce(SchemaRef, bool, &QueryContext) -> Result<Arc<dyn Sink>>,
    ) -> Result<QueryRun<'s>> {
        let PreparedQuery { session, planned, rejects } = self;
        let cx = session.query_context(cancel);
        let is_run = planned.explain.is_none_or(|asked| asked.analyze);
        let stored = Mutex::new(None);
        let final_sink = |schema, ordered| match &planned.target {
            Target::Table { name, .. } if is_run => {
                let rows = StoredRows::new("Table", schema, ordered, &cx)?;
                let sink = rows.sink();
                *stored.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((name.clone(), rows));
                Ok(sink)
            }
            _ => output(schema, ordered, &cx),
        };
        let sink = |schema, ordered| -> Result<Arc<dyn Sink>> {
            let output = final_sink(schema, ordered)?;
            Ok(match &rejects {
                Some(rejects) => Arc::new(AfterRejects { rejects: rejects.clone(), output }),
                None => output,
            })
        };
        let query = physical::lower_clustered(&planned.plan, clusters, sink, &cx)?;
        let monitor = Monitor::new(&query);
        let creates = stored.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(QueryRun { session, query, cx, monitor, rejects, creates, only_explains: !is_run })
    }
}

impl QueryRun<'_> {
    /// The plan as an indented tree.
    pub fn explain_text(&self) -> String {
        plan::explain_text(&self.query)
    }

    /// The plan as JSON.
    pub fn explain_json(&self) -> serde_json::Value {
        plan::explain_json(&self.query)
    }

    /// Views and aliases with the operator whose rows they are.
    pub(crate) fn labels(&self) -> &[(String, NodeIdx)] {
        &self.query.labels
    }

    /// Figures that can be read while the query runs.
    pub fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// Runs the query on threads of its own: its output may wait for a reader, who may run other queries meanwhile.
    pub(crate) fn execute_apart(self) -> Result<RunMetrics> {
        let threads = start_threads(self.session.shared.n_threads)?;
        let (metrics, done) = self.measure_on(&threads);
        done.map(|()| metrics)
    }

    /// Runs the query to its end.
    ///
    /// # Errors
    /// The first error of any operator; [`crate::ErrorKind::Usage`] for EXPLAIN without ANALYZE. The output and the reject file are then what they were before, and the session
    /// can go on.
    pub fn execute(self) -> Result<RunMetrics> {
        if self.only_explains {
            return Err(Error::usage("EXPLAIN shows how a query is run, and does not run it")
                .with_hint("`explain_text` has the plan; EXPLAIN ANALYZE runs the query"));
        }
        let (metrics, done) = self.execute_measured();
        done.map(|()| metrics)
    }

    /// The same as [`QueryRun::execute`], with what a query took that failed.
    pub fn execute_measured(self) -> (RunMetrics, Result<()>) {
        let session = self.session;
        self.measure_on(&session.shared.threads)
    }

    fn measure_on(self, threads: &ThreadPool) -> (RunMetrics, Result<()>) {
        // What planning used and running does not.
        release_freed_memory();
        release_program_pages();
        let (metrics, done) = exec::measure(&self.query, &self.cx, threads, &self.monitor);
        let done = match &self.rejects {
            Some(rejects) => done.and_then(|()| rejects.publish()).inspect_err(|_| rejects.abandon()),
            None => done,
        };
        if let (Ok(()), Some((name, rows))) = (&done, self.creates) {
            self.session.shared.registry.add_table(name, rows);
        }
        (metrics, done)
    }
}

/// The output of a query with a reject file: it is complete only when the rejected rows are on disk, so that a disk that
/// is full of them leaves the output as it was.
struct AfterRejects {
    rejects: Arc<RejectFile>,
    output: Arc<dyn Sink>,
}

impl Sink for AfterRejects {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSink>> {
        self.output.local(cx)
    }

    fn finish(&self, cx: &TaskContext) -> Result<()> {
        self.rejects.seal()?;
        self.output.finish(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::io::OutputFormat;

    fn session() -> Session {
        let budget = Some(Budget::from_bytes(8 << 30));
        Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() }).unwrap()
    }

    fn run(session: &Session, sql: &str, output: &Output) -> Result<RunMetrics> {
        session.sql(sql)?.into_run(output, CancelToken::default())?.execute()
    }

    #[test]
    fn a_session_outlives_failed_and_cancelled_queries() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), "a,b\n1,x\n2,y\n3,\n").unwrap();
        std::fs::write(folder.path().join("bad.csv"), "a\n1\nx,y\n").unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let session = session();
        let output = Output::File(folder.path().join("out.csv"), OutputFormat::Csv);
        for _ in 0..2 {
            let error = run(&session, &format!("SELECT * FROM '{}'", path("bad.csv")), &output).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(!folder.path().join("out.csv").exists());
            let cancel = CancelToken::default();
            cancel.cancel();
            let query = session.sql(&format!("SELECT a FROM '{}'", path("a.csv"))).unwrap();
            let error = query.into_run(&output, cancel).unwrap().execute().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert!(!folder.path().join("out.csv").exists());
        }
        let before = session.memory().reserved_outside_pages();
        let sql = format!("SELECT b, sum(a) AS s FROM '{}' GROUP BY b ORDER BY b NULLS FIRST", path("a.csv"));
        let metrics = run(&session, &sql, &output).unwrap();
        assert_eq!((metrics.rows_in, metrics.rows_out), (3, 3));
        assert_eq!(std::fs::read_to_string(folder.path().join("out.csv")).unwrap(), "b,s\n,3\nx,1\ny,2\n");
        assert_eq!(session.memory().reserved_outside_pages(), before, "a query gives back what it took");
    }

    #[test]
    fn rejected_rows_of_all_tables_go_to_one_file_when_the_query_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.csv"), "a,t\n1,x\n2\n").unwrap();
        std::fs::write(path("b.csv"), "a,t\n3,y,z\n4,v\n").unwrap();
        let session_to = |target: &str| {
            let mut files = FileTables::default();
            files.csv.on_bad_row = crate::io::csv::OnBadRow::Reject(RejectFile::new(path(target)));
            let budget = Some(Budget::from_bytes(8 << 30));
            Session::new(SessionOptions { budget, threads: Some(2), files, ..Default::default() }).unwrap()
        };
        let session = session_to("rejects.csv");
        let (a, b) = (path("a.csv").display().to_string(), path("b.csv").display().to_string());
        let sql = format!("SELECT a FROM '{a}' UNION ALL SELECT a FROM '{b}'");
        drop(session.sql(&sql).unwrap().into_run(&Output::Discard, CancelToken::default()).unwrap());
        assert!(!path("rejects.csv").exists(), "planning makes no file");
        run(&session, &sql, &Output::Discard).unwrap();
        let rejected = std::fs::read_to_string(path("rejects.csv")).unwrap();
        assert_eq!(rejected.lines().count(), 3, "{rejected}");
        assert!(rejected.contains(&a) && rejected.contains(&b), "{rejected}");
        let mut statements = session.statements(&format!("SELECT a FROM '{a}'; SELECT a FROM '{b}'")).unwrap();
        while let Some(Prepared::Query(query)) = statements.prepare_next().unwrap() {
            query.into_run(&Output::Discard, CancelToken::default()).unwrap().execute().unwrap();
        }
        let by_both = std::fs::read_to_string(path("rejects.csv")).unwrap();
        assert_eq!(by_both, rejected, "the statements of a text share the file");
        run(&session, &format!("SELECT a / (a - 1) FROM '{a}'"), &Output::Discard).unwrap_err();
        assert_eq!(std::fs::read_to_string(path("rejects.csv")).unwrap(), rejected, "a failed query changes nothing");
        let error = session_to("a.csv").sql(&sql).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let output = Output::File(path("rejects.csv"), OutputFormat::Csv);
        assert_eq!(run(&session, &sql, &output).unwrap_err().kind(), ErrorKind::Usage);
    }

    /// The rows of `sql` with at most `batch_rows` rows a batch.
    fn rows_at(batch_rows: usize, sql: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let strain = Strain { governed_bytes: Some(64 << 20), batch_rows: Some(batch_rows), ..Strain::default() };
        let session = Session::new(SessionOptions { threads: Some(2), strain, ..Default::default() })?;
        run(&session, sql, &Output::File(folder.path().join("out.csv"), OutputFormat::Csv))?;
        Ok(std::fs::read_to_string(folder.path().join("out.csv")).unwrap())
    }

    #[test]
    fn ties_after_unnest_come_in_the_same_order_at_any_size_of_a_batch() {
        for sql in [
            "SELECT v FROM (SELECT unnest(range(0, 3000)) AS v) t ORDER BY v % 2 LIMIT 5",
            "SELECT v FROM (SELECT unnest(range(0, 3000)) AS v) t ORDER BY 1 + 0 * v",
        ] {
            let expected = rows_at(8192, sql).unwrap();
            for batch_rows in [100, 999] {
                assert!(rows_at(batch_rows, sql).unwrap() == expected, "{sql} at {batch_rows}");
            }
        }
        let expected = "v\n0\n2\n4\n6\n8\n";
        let sql = "SELECT v FROM (SELECT unnest(range(0, 3000)) AS v) t ORDER BY v % 2 LIMIT 5";
        assert_eq!(rows_at(64, sql).unwrap(), expected);
    }

    #[test]
    fn a_limit_is_reached_before_a_bad_value_at_any_size_of_a_batch() {
        for batch_rows in [64, 8192] {
            let from = "FROM (SELECT unnest(range(0, 3000)) AS v) t";
            let divided = |n| rows_at(batch_rows, &format!("SELECT 60 / (5 - v) AS q {from} LIMIT {n}"));
            assert_eq!(divided(5).unwrap(), "q\n12\n15\n20\n30\n60\n", "{batch_rows}");
            assert_eq!(divided(6).unwrap_err().kind(), ErrorKind::Query);
            let kept = |n| rows_at(batch_rows, &format!("SELECT v {from} WHERE 60 / (5 - v) > 14 LIMIT {n}"));
            assert_eq!(kept(4).unwrap(), "v\n1\n2\n3\n4\n", "{batch_rows}");
            assert_eq!(kept(5).unwrap_err().kind(), ErrorKind::Query);
        }
    }

    #[test]
    fn files_of_several_formats_are_not_one_table() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), "a\n1\n").unwrap();
        std::fs::write(folder.path().join("b.parquet"), "PAR1").unwrap();
        let sql = format!("SELECT * FROM '{}'", folder.path().display());
        let error = session().sql(&sql).err().unwrap();
        assert!(error.to_string().contains("are in different formats"), "{error}");
    }
}
