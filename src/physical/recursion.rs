//! WITH RECURSIVE: the static term once, then the recursive term over the rows that the last round added, until a round
//! adds none.
//!
//! All rows lie in one place on evictable pages, round after round; the working table is the rows of the last round.
//! With UNION instead of UNION ALL a round keeps only rows that are not there yet: `plan/` has put an EXCEPT with the
//! table of rows seen so far on top of the recursive term. As long as these fit into a set in memory, that is asked instead
//! ([`crate::operators::seen`]); a round in which it gives up is run again with the EXCEPT.
//!
//! Where a LIMIT stands right above, no round begins once there are enough rows.
//!
//! Memory: that of one round, and of the set. The surprising part: a round is lowered anew, because operators run once, and it runs inside
//! of the first call to the source, before that pipeline has any rows.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{LogicalPlan, RecursiveQuery, TableScan, TableSource};

use super::failure::query_failure;
use super::lower::{Lowering, Stream, Wishes, lower_then};
use crate::error::{Error, Result};
use crate::exec::{
    self, LocalSink, LocalSource, Node, OperatorReport, QueryContext, Report, Source, Step, TaskContext,
};
use crate::operators::project::Column;
use crate::operators::seen::{KeepNew, SeenRows};
use crate::operators::stored::{PageRange, StoredRows};

/// Rounds after which a query is taken for one that never ends. A round takes a millisecond or so.
const MOST_ROUNDS: usize = 100_000;

/// A round on so many pages or fewer is copied to pages that rounds share: a page for each worker.
const FEW_PAGES: usize = 8;

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
    /// Rows after which no round is needed.
    wanted_rows: u64,
    is_distinct: bool,
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
                done.insert(self.rows.source(self.all_columns(), vec![])).clone()
            }
        };
        source.local(cx)
    }
}

impl RecursionSource {
    fn run_rounds(&self) -> Result<()> {
        let tables = work_tables(&self.round, &self.name)?;
        let mut seen = self.see_first_rows()?;
        let mut last = self.rows.another();
        last.add_pages_of(&self.rows);
        let mut few_rows = None;
        let mut n_rows = 0;
        for _ in 0..MOST_ROUNDS {
            n_rows += last.n_rows();
            if last.n_pages() == 0 || n_rows >= self.wanted_rows {
                return few_rows.map_or(Ok(()), LocalSink::combine);
            }
            self.cx.cancel.check()?;
            if seen.is_none()
                && self.is_distinct
                && let Some(few_rows) = few_rows.take()
            {
                LocalSink::combine(few_rows)?;
            }
            for source in &tables {
                let Some(table) = source.downcast_ref::<WorkTable>() else { continue };
                let rows = if table.role == WorkRole::Seen { &self.rows } else { &last };
                *table.lock() = Some((rows.clone(), 0..usize::MAX));
            }
            let mut next = self.rows.another();
            self.run_round(&next, seen.as_ref())?;
            if seen.as_ref().is_some_and(|seen| seen.gave_up()) {
                (seen, next) = (None, self.rows.another());
                if let Some(few_rows) = few_rows.take() {
                    LocalSink::combine(few_rows)?;
                }
                self.run_round(&next, None)?;
            }
            self.keep(&next, &mut few_rows)?;
            last = next;
        }
        let message = format!(
            "the recursive query {} still finds new rows after {MOST_ROUNDS} rounds, the most there are",
            self.name
        );
        Err(Error::query(message).with_hint(
            "give its recursive part a condition that ends it, or write UNION instead of UNION \
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

impl RecursionSource {
    /// Runs the recursive term once, with the EXCEPT or with the set.
    fn run_round(&self, into: &Arc<StoredRows>, seen: Option<&Arc<SeenRows>>) -> Result<()> {
        let sink = |_, _| Ok(into.sink());
        let query = match seen.zip(Candidates::of(&self.round, self.rows.schema())) {
            None => super::lower(&self.round, sink, &self.cx)?,
            Some((seen, candidates)) => {
                let keep = |lowering: &mut Lowering<'_>, stream| {
                    Ok(candidates.keep_new(lowering, stream, seen.clone(), self.rows.schema()))
                };
                lower_then(candidates.plan, keep, sink, &self.cx)?
            }
        };
        exec::run_within(&query, &self.cx)
    }

    /// Adds the rows of a round to all rows. Those of small rounds are copied together: a page a round would be mostly empty.
    fn keep(&self, round: &Arc<StoredRows>, few_rows: &mut Option<Box<dyn LocalSink>>) -> Result<()> {
        if round.n_pages() > FEW_PAGES {
            self.rows.add_pages_of(round);
            return Ok(());
        }
        let task = self.task();
        let few_rows = match few_rows {
            Some(few_rows) => few_rows,
            None => few_rows.insert(self.rows.sink().local(&task)?),
        };
        let mut source = round.source(self.all_columns(), vec![]).local(&task)?;
        while let Some(batch) = source.next()? {
            few_rows.push(batch)?;
        }
        Ok(())
    }

    fn all_columns(&self) -> Vec<usize> {
        (0..self.rows.schema().fields().len()).collect()
    }

    /// For reading and writing on this thread.
    fn task(&self) -> TaskContext {
        let QueryContext { memory, pages, cancel } = self.cx.clone();
        TaskContext { memory, pages, cancel, worker_idx: 0, n_workers: 1 }
    }

    /// The set with the rows of the static term; none where there is no use or no memory for it.
    fn see_first_rows(&self) -> Result<Option<Arc<SeenRows>>> {
        if !self.is_distinct || Candidates::of(&self.round, self.rows.schema()).is_none() {
            return Ok(None);
        }
        let seen = SeenRows::new(self.rows.schema(), &self.cx)?;
        let mut source = self.rows.source(self.all_columns(), vec![]).local(&self.task())?;
        while let Some(batch) = source.next()? {
            if seen.insert(&batch.data)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(seen))
    }
}

/// The rows that a round finds, before those that are there already are taken away.
struct Candidates<'a> {
    plan: &'a LogicalPlan,
    /// The columns that are the recursion's.
    columns: Vec<usize>,
}

impl<'a> Candidates<'a> {
    /// Of a round that is an EXCEPT by counting, as `plan/` writes it; see [`crate::plan`].
    fn of(round: &'a LogicalPlan, schema: &SchemaRef) -> Option<Self> {
        let mut node = round;
        let union = loop {
            node = match node {
                LogicalPlan::Projection(projection) => &projection.input,
                LogicalPlan::SubqueryAlias(alias) => &alias.input,
                LogicalPlan::Filter(filter) => &filter.input,
                LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.len() == schema.fields().len() => {
                    match aggregate.input.as_ref() {
                        LogicalPlan::Union(union) => break union,
                        _ => return None,
                    }
                }
                _ => return None,
            };
        };
        let [new, seen] = union.inputs.as_slice() else { return None };
        let reads_seen = |node: &LogicalPlan| match node {
            LogicalPlan::TableScan(scan) => {
                scan.source.downcast_ref::<WorkTable>().is_some_and(|table| table.role == WorkRole::Seen)
            }
            _ => false,
        };
        if !seen.exists(|node| Ok(reads_seen(node))).ok()? || new.exists(|node| Ok(reads_seen(node))).ok()? {
            return None;
        }
        let fields = union.schema.fields();
        let column = |idx: usize| {
            let at = fields.iter().position(|field| *field.name() == format!("c{idx}"))?;
            (new.schema().field(at).data_type() == schema.field(idx).data_type()).then_some(at)
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Option<Vec<_>>>()?;
        Some(Candidates { plan: new, columns })
    }

    fn keep_new(&self, lowering: &mut Lowering<'_>, stream: Stream, seen: Arc<SeenRows>, schema: &SchemaRef) -> Stream {
        let columns = self.columns.iter().map(|&column| Column::Input(column)).collect();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let stream = lowering.project(stream, columns, schema.clone(), names.join(", "));
        let node = lowering.add_step_node("Distinct", "rows that are not there yet".to_string(), &stream);
        stream.then(node, Arc::new(KeepNew(seen)), schema.clone())
    }
}

/// Whether `plan` is a recursive query under other names.
pub(super) fn gives_all_rows_of_one(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => gives_all_rows_of_one(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => gives_all_rows_of_one(&alias.input),
        LogicalPlan::RecursiveQuery(_) => true,
        _ => false,
    }
}

impl Lowering<'_> {
    pub(super) fn lower_recursion(&mut self, recursion: &RecursiveQuery) -> Result<Stream> {
        let wanted_rows = self.wanted_rows.take().unwrap_or(u64::MAX);
        let static_term = &recursion.static_term;
        let first = self.lower_plan(static_term, &Wishes::none(static_term.schema().fields().len()))?;
        // Later rounds may have NULLs where the first has none.
        let fields = recursion.schema.inner().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let shown = match Candidates::of(&recursion.recursive_term, &schema) {
            None => self.show_round(&recursion.recursive_term, |_, stream| Ok(stream))?,
            Some(candidates) => {
                let seen = SeenRows::new(&schema, self.cx)?;
                let keep = |lowering: &mut Self, stream| Ok(candidates.keep_new(lowering, stream, seen, &schema));
                self.show_round(candidates.plan, keep)?
            }
        };
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
            wanted_rows,
            is_distinct: recursion.is_distinct,
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
