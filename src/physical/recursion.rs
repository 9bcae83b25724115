//! WITH RECURSIVE: the static term once, then the recursive term over the rows that the last round added, until a round
//! adds none.
//!
//! All rows lie in one place on evictable pages, round after round; the working table is the pages of the last round.
//! With UNION instead of UNION ALL a round keeps only rows that are not there yet: `plan/` has put an EXCEPT with the
//! table of rows seen so far on top of the recursive term.
//!
//! Memory: that of one round. The surprising part: a round is lowered anew, because operators run once, and it runs inside
//! of the first call to the source, before that pipeline has any rows.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::{LogicalPlan, RecursiveQuery, TableScan, TableSource};

use super::failure::query_failure;
use super::lower::{Lowering, Stream, Wishes};
use crate::error::{Error, Result};
use crate::exec::{self, LocalSource, Node, OperatorReport, QueryContext, Report, Source, Step, TaskContext};
use crate::operators::stored::{PageRange, StoredRows};

/// Rounds after which a query is taken for one that never ends. A round takes a millisecond or so.
const MOST_ROUNDS: usize = 100_000;

/// The rows that a recursive term reads: those of the last round, or all so far.
pub struct WorkTable {
    name: String,
    schema: SchemaRef,
    role: WorkRole,
    current: Mutex<Option<(Arc<StoredRows>, PageRange)>>,
}

/// Which rows a [`WorkTable`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkRole {
    /// Those that the last round added.
    LastRound,
    /// All.
    Seen,
}

impl WorkTable {
    /// The table of the recursive query `name`.
    pub fn new(name: &str, schema: SchemaRef, role: WorkRole) -> Arc<Self> {
        Arc::new(WorkTable { name: name.to_string(), schema, role, current: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Arc<StoredRows>, PageRange)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TableSource for WorkTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Reads a work table as it is when the round begins.
struct WorkSource {
    table: Arc<dyn TableSource>,
    projection: Vec<usize>,
    source: OnceLock<Arc<dyn Source>>,
}

impl Source for WorkSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let current = self.table.downcast_ref::<WorkTable>().and_then(|table| table.lock().clone());
        let (rows, range) = current.ok_or_else(|| Error::query("a recursive query was read outside of itself"))?;
        self.source.get_or_init(|| rows.source_of(range, self.projection.clone(), vec![])).local(cx)
    }
}

/// All rows of the recursion.
struct RecursionSource {
    round: Arc<LogicalPlan>,
    name: String,
    rows: Arc<StoredRows>,
    cx: QueryContext,
    done: Mutex<Option<Arc<dyn Source>>>,
}

impl Source for RecursionSource {
    fn local(&self, cx: &TaskContext) -> Result<Box<dyn LocalSource>> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let source = match &*done {
            Some(source) => source.clone(),
            None => {
                self.run_rounds()?;
                let all = (0..self.rows.schema().fields().len()).collect();
                done.insert(self.rows.source(all, vec![])).clone()
            }
        };
        source.local(cx)
    }
}

impl RecursionSource {
    fn run_rounds(&self) -> Result<()> {
        let tables = work_tables(&self.round, &self.name)?;
        let mut last = 0..self.rows.n_pages();
        for _ in 0..MOST_ROUNDS {
            if last.is_empty() {
                return Ok(());
            }
            self.cx.cancel.check()?;
            for source in &tables {
                let Some(table) = source.downcast_ref::<WorkTable>() else { continue };
                let range = if table.role == WorkRole::Seen { 0..last.end } else { last.clone() };
                *table.lock() = Some((self.rows.clone(), range));
            }
            let query = super::lower(&self.round, |_, _| Ok(self.rows.sink()), &self.cx)?;
            exec::run_within(&query, &self.cx)?;
            last = last.end..self.rows.n_pages();
        }
        let message = format!(
            "the recursive query {} still finds new rows after {MOST_ROUNDS} rounds, the most there are",
            self.name
        );
        Err(Error::query(message).with_hint(
            "give its recursive part a condition that ends it (a LIMIT outside is none), or write UNION instead of UNION \
             ALL; unnest(range(1, 1000001)) gives numbers at once",
        ))
    }
}

/// What a scan of the rounds reports. Its figures are not kept, but the rows that it leaves out are: it is the scan that
/// tells of them, since those that run in the rounds read the same table later.
struct OnlyBadRows(Arc<dyn Report>);

impl Report for OnlyBadRows {
    fn report(&self) -> OperatorReport {
        OperatorReport { n_bad_rows: self.0.report().n_bad_rows, ..OperatorReport::default() }
    }
}

/// The rows left out, of all that `report` says.
pub(super) fn only_bad_rows(report: Arc<dyn Report>) -> Arc<dyn Report> {
    Arc::new(OnlyBadRows(report))
}

impl Lowering<'_> {
    pub(super) fn lower_recursion(&mut self, recursion: &RecursiveQuery) -> Result<Stream> {
        let static_term = &recursion.static_term;
        let first = self.lower_plan(static_term, &Wishes::none(static_term.schema().fields().len()))?;
        let shown = self.show_round(&recursion.recursive_term)?;
        // Later rounds may have NULLs where the first has none.
        let fields = recursion.schema.inner().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = StoredRows::new("Recursion", schema.clone(), false, self.cx)?;
        let kind = if recursion.is_distinct { "UNION" } else { "UNION ALL" };
        let detail = format!("{}, {kind} until no rows are added", recursion.name);
        let inputs = vec![first.top(), shown];
        let node = self.add_node(Node { name: "Recursion", detail, inputs, report: Some(rows.clone()) });
        self.close(first, node, rows.sink());
        let source = RecursionSource {
            round: recursion.recursive_term.clone(),
            name: recursion.name.clone(),
            rows,
            cx: self.cx.clone(),
            done: Mutex::default(),
        };
        Ok(Stream::new(Step { node, role: Arc::new(source) }, schema, false))
    }

    pub(super) fn lower_work_scan(&mut self, scan: &TableScan, table: &WorkTable) -> Result<Stream> {
        let n_columns = table.schema.fields().len();
        let projection = scan.projection.clone().unwrap_or_else(|| (0..n_columns).collect());
        let rows = if table.role == WorkRole::Seen { "all rows so far" } else { "the rows of the last round" };
        let detail = format!("{rows} of {}, {} of {n_columns} columns", table.name, projection.len());
        let node = self.add_node(Node { name: "Scan", detail, inputs: vec![], report: None });
        let source = WorkSource { table: scan.source.clone(), projection, source: OnceLock::new() };
        Ok(Stream::new(Step { node, role: Arc::new(source) }, scan.projected_schema.inner().clone(), false))
    }
}

/// The work tables of the recursion `name` in `round`.
fn work_tables(round: &LogicalPlan, name: &str) -> Result<Vec<Arc<dyn TableSource>>> {
    let mut found = Vec::new();
    let visited = round.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.source.downcast_ref::<WorkTable>().is_some_and(|table| table.name == name)
        {
            found.push(scan.source.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(query_failure)?;
    Ok(found)
}
