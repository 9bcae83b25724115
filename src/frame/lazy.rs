//! The lazy frame: a plan that verbs add to, and that nothing runs until somebody asks for rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_expr::expr::Sort;
use datafusion_expr::{Expr as Planned, LogicalPlanBuilder};

use super::expr::{Expr, IntoColumns, col};
use super::group_by::LazyGroupBy;
use super::resolve::{expand, find_column, unknown_column, visible_names};
use super::rows::{Rows, is_one_value, output_names};
use super::sort_options::SortMultipleOptions;
use crate::error::{Error, Result};
use crate::plan::LogicalPlan;
use crate::session::Session;
use crate::sql::{on_deep_stack, plan_failure};

/// Rows that are not there yet: files, and what is to be done with them.
///
/// Every verb gives a new frame. A mistake (a column that is not there, types that do not fit) is kept and told by
/// whatever comes next and can fail: [`LazyFrame::collect_schema`], [`LazyFrame::explain`], [`LazyFrame::collect`] or a sink.
///
/// Columns and rows:
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(
///     session,
///     "name" => ["Ada", "Bo", "Cy"],
///     "born" => [1990, 1985, 2001],
///     "city" => ["Rome", "Oslo", "Rome"]
/// )?
/// .lazy();
/// let young = rows
///     .clone()
///     .filter(col("born").gt(1986) & col("city").eq("Rome"))
///     .select([col("name"), (lit(2024) - col("born")).alias("age")])
///     .with_columns([(col("age") * 12).alias("months"), col("name").str().to_uppercase()])
///     .rename(["name"], ["who"])
///     .cast([("age", DataType::Float64)])
///     .drop("months");
/// assert_eq!(young.collect()?.text(1, "who"), Some("CY".to_string()));
/// let oldest = rows.clone().sort("born", SortOptions::new()).head(1).collect()?;
/// assert_eq!(oldest.text(0, "name"), Some("Bo".to_string()));
/// let ends = rows.clone().tail(2).slice(1, Some(1)).collect()?;
/// assert_eq!(ends.text(0, "name"), Some("Cy".to_string()));
/// assert_eq!(rows.clone().top_k(2, "born").collect()?.text(1, "name"), Some("Ada".to_string()));
/// assert_eq!(rows.clone().bottom_k(1, "born").collect()?.height(), 1);
/// // Aggregates alone give one row; beside columns they stand in every row.
/// assert_eq!(rows.clone().select([col("born").min(), len()]).collect()?.shape(), (1, 2));
/// let spread = rows.with_columns([(col("born") - col("born").mean()).alias("off")]);
/// assert_eq!(spread.collect_schema()?.field(3).name(), "off");
/// println!("{}", spread.explain()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LazyFrame {
    pub(super) session: Session,
    pub(super) rows: Result<Rows, Arc<Error>>,
}

/// Levels of an expression that any stack has room for.
const PLAIN_DEPTH: usize = 40;

/// Levels of the deepest expression.
const MOST_DEPTH: usize = 5_000;

impl LazyFrame {
    pub(super) fn new(session: &Session, rows: Result<Rows>) -> Self {
        LazyFrame { session: session.clone(), rows: rows.map_err(Arc::new) }
    }

    /// The frame after `verb`, unless something went wrong before.
    pub(super) fn then(self, verb: impl FnOnce(Rows) -> Result<Rows>) -> Self {
        let rows = self.rows.and_then(|rows| verb(rows).map_err(Arc::new));
        LazyFrame { session: self.session, rows }
    }

    /// As [`LazyFrame::then`], for a verb that looks into expressions: deep ones need a deep stack.
    pub(super) fn then_over(self, exprs: Vec<Expr>, verb: impl FnOnce(Rows, &[Expr]) -> Result<Rows> + Send) -> Self {
        let depth = exprs.iter().map(|expr| expr.depth).max().unwrap_or(0);
        self.then(|rows| match depth {
            depth if depth <= PLAIN_DEPTH => verb(rows, &exprs),
            depth if depth <= MOST_DEPTH => on_deep_stack(|| verb(rows, &exprs)),
            _ => Err(Error::usage(format!("an expression of {depth} levels is too deep"))
                .with_hint("use is_in for many values, or compute parts of it with with_columns before")),
        })
    }

    /// The rows, or the first mistake.
    pub(super) fn checked(&self) -> Result<Rows> {
        match &self.rows {
            Ok(rows) => Ok(rows.clone()),
            Err(error) => Err(error.repeated()),
        }
    }

    pub(super) fn plan_in_order(&self) -> Result<LogicalPlan> {
        self.checked()?.in_order()
    }

    /// The session that it runs in.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1])?.lazy();
    /// // Whatever is computed counts against one budget.
    /// assert!(rows.session().memory().governed_bytes() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The columns, found out without reading rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let schema = rows.with_columns([(col("n") / 2).alias("half")]).collect_schema()?;
    /// assert_eq!(schema.field_with_name("half")?.data_type(), &DataType::Float64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The first mistake in the verbs before.
    pub fn collect_schema(&self) -> Result<SchemaRef> {
        let plan = self.plan_in_order()?;
        let query = self.session.prepare_plan(plan)?;
        Ok(query.schema())
    }

    /// These columns and no others. Aggregates without other columns give one row.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.clone().select([col("city"), (col("n") * 10).alias("tens")]).collect()?;
    /// assert_eq!(found.texts("tens"), ["30", "10", "20"]);
    /// let one = rows.select([col("n").sum()]).collect()?;
    /// assert_eq!(one.texts("n"), ["6"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn select(self, exprs: impl IntoColumns) -> Self {
        self.then_over(exprs.into_columns(), |rows, exprs| {
            let exprs = expand(exprs, rows.plan.schema())?;
            let kinds: Vec<(bool, bool)> = exprs.iter().map(is_one_value).collect();
            let one_row = kinds.iter().all(|(one, _)| *one);
            match one_row {
                true if kinds.iter().any(|(_, has)| *has) => Ok(Rows::ordered(rows.aggregate(&[], &exprs)?.plan)),
                true if !exprs.is_empty() => constants(&rows, &exprs),
                _ => select_rows(rows, &exprs),
            }
        })
    }

    /// All columns and these; one of the same name is replaced.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.with_columns([(col("n") * 2).alias("twice"), col("city").str().to_uppercase()]).collect()?;
    /// assert_eq!(found.texts("city"), ["ROME", "OSLO", "BERN"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_columns(self, exprs: impl IntoColumns) -> Self {
        self.then_over(exprs.into_columns(), |rows, exprs| {
            let exprs = expand(exprs, rows.plan.schema())?;
            let names = output_names(&exprs)?;
            let mut all = Vec::new();
            let mut left: Vec<Option<Expr>> = exprs.into_iter().map(Some).collect();
            for name in rows.names() {
                let replaced = names.iter().position(|other| *other == name).and_then(|idx| left[idx].take());
                all.push(replaced.unwrap_or_else(|| col(name)));
            }
            all.extend(left.into_iter().flatten());
            select_rows(rows, &all)
        })
    }

    /// All columns and this one.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.with_column((col("n") + 1).alias("next")).collect()?;
    /// assert_eq!(found.texts("next"), ["4", "2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_column(self, expr: Expr) -> Self {
        self.with_columns([expr])
    }

    /// The rows for which `predicate` holds; not those for which it is NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [Some(3), None, Some(2)])?.lazy();
    /// let found = rows.filter(col("n").gt(2)).collect()?;
    /// assert_eq!(found.texts("city"), ["Rome"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(self, predicate: impl Into<Expr>) -> Self {
        self.then_over(vec![predicate.into()], |rows, predicate| {
            let rows = rows.ready_for(predicate)?;
            let columns = rows.columns();
            let resolver = rows.resolver();
            let planned = resolver.resolve_all(predicate)?;
            planned.iter().try_for_each(|planned| resolver.expect_boolean(planned, "filter"))?;
            let n_fields = rows.plan.schema().fields().len();
            let (rows, planned) = rows.clone().with_windows(planned)?;
            let has_windows = rows.plan.schema().fields().len() > n_fields;
            let rows = planned.into_iter().try_fold(rows, Rows::filter)?;
            match has_windows {
                true => rows.project(columns.into_iter().map(Planned::Column).collect()),
                false => Ok(rows),
            }
        })
    }

    /// All columns but these.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// assert_eq!(rows.drop("n").collect()?.get_column_names(), ["city"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop(self, columns: impl IntoColumns) -> Self {
        let columns = columns.into_columns();
        self.then(|rows| {
            let dropped = plain_names(&rows, &columns, "drop")?;
            let kept = rows.columns().into_iter().filter(|column| !dropped.contains(&column.name));
            let kept = kept.map(Planned::Column).collect();
            rows.project(kept)
        })
    }

    /// Gives the columns `from` the names `to`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// assert_eq!(rows.rename(["n"], ["trips"]).collect()?.get_column_names(), ["city", "trips"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rename<F: AsRef<str>, T: AsRef<str>>(
        self,
        from: impl IntoIterator<Item = F>,
        to: impl IntoIterator<Item = T>,
    ) -> Self {
        let from: Vec<String> = from.into_iter().map(|name| name.as_ref().to_string()).collect();
        let to: Vec<String> = to.into_iter().map(|name| name.as_ref().to_string()).collect();
        self.then(|rows| {
            if from.len() != to.len() {
                return Err(Error::usage(format!("{} columns and {} new names", from.len(), to.len())));
            }
            check_known(&rows, &from)?;
            let renamed = rows.columns().into_iter().map(|column| {
                let new = from.iter().position(|name| *name == column.name).and_then(|idx| to.get(idx));
                match new {
                    Some(new) => Planned::Column(column).alias(new),
                    None => Planned::Column(column),
                }
            });
            rows.project(renamed.collect())
        })
    }

    /// Converts columns to other types. A value that cannot be converted is an error; see [`Expr::cast_or_null`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "code" => ["007", "12"])?.lazy();
    /// let found = rows.cast([("code", DataType::Int32)]).collect()?;
    /// assert_eq!(found.texts("code"), ["7", "12"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cast<S: Into<String>>(self, types: impl IntoIterator<Item = (S, DataType)>) -> Self {
        let casts: Vec<Expr> = types.into_iter().map(|(name, to)| col(name.into()).cast(to)).collect();
        self.with_columns(casts)
    }

    /// Sorts. NULLs come first, whatever the direction, unless the options say otherwise; rows that are equal keep their
    /// order.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(2), None, Some(3)])?.lazy();
    /// let found = rows.clone().sort("n", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("n"), ["null", "2", "3"]);
    /// let largest = SortOptions::new().with_order_descending(true).with_nulls_last(true);
    /// assert_eq!(rows.sort("n", largest).collect()?.texts("n"), ["3", "2", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sort(self, by: impl IntoColumns, options: impl Into<SortMultipleOptions>) -> Self {
        let options = options.into();
        self.then_over(by.into_columns(), |rows, by| sorted(rows, by, &options))
    }

    /// The first `n` rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.head(2).collect()?;
    /// assert_eq!(found.texts("city"), ["Rome", "Oslo"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn head(self, n: u64) -> Self {
        self.slice(0, Some(n))
    }

    /// The first `n` rows; the same as [`LazyFrame::head`].
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.limit(1).collect()?;
    /// assert_eq!(found.texts("city"), ["Rome"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limit(self, n: u64) -> Self {
        self.head(n)
    }

    /// The first row.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.first().collect()?;
    /// assert_eq!(found.texts("n"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn first(self) -> Self {
        self.head(1)
    }

    /// `length` rows from number `offset` on, or all of them. A negative offset counts from the end.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.slice(-2, Some(1)).collect()?;
    /// assert_eq!(found.texts("city"), ["Oslo"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slice(self, offset: i64, length: Option<u64>) -> Self {
        match u64::try_from(offset) {
            Ok(offset) => self.then(|rows| limited(rows, offset, length)),
            Err(_) => {
                let from_end = offset.unsigned_abs();
                let n_behind = length.map_or(0, |length| from_end.saturating_sub(length));
                self.last_rows(from_end, n_behind)
            }
        }
    }

    /// The last `n` rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.tail(2).collect()?;
    /// assert_eq!(found.texts("city"), ["Oslo", "Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tail(self, n: u64) -> Self {
        self.last_rows(n, 0)
    }

    /// The last `n` rows without the last `n_behind` of them.
    fn last_rows(self, n: u64, n_behind: u64) -> Self {
        self.then(|rows| {
            let (rows, row) = rows.counted()?;
            let columns = rows.columns();
            let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            let last = LogicalPlanBuilder::from(rows.plan)
                .sort_with_limit(vec![Sort::new(row.clone(), false, false)], Some(number(n)))
                .and_then(|last| if n_behind > 0 { last.limit(number(n_behind), None) } else { Ok(last) })
                .and_then(|last| last.sort(vec![Sort::new(row, true, false)]))
                .and_then(|last| last.project(columns.into_iter().map(Planned::Column)))
                .and_then(LogicalPlanBuilder::build);
            Ok(Rows::ordered(last.map_err(plan_failure)?))
        })
    }

    /// The last row.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.last().collect()?;
    /// assert_eq!(found.texts("city"), ["Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last(self) -> Self {
        self.tail(1)
    }

    /// The `k` rows with the greatest values in `by`, greatest first; NULLs come last.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.top_k(2, "n").collect()?;
    /// assert_eq!(found.texts("city"), ["Rome", "Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn top_k(self, k: u64, by: impl IntoColumns) -> Self {
        self.sort(by, SortMultipleOptions::new().with_order_descending(true).with_nulls_last(true)).head(k)
    }

    /// The `k` rows with the least values in `by`, least first; NULLs come last.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Bern"], "n" => [3, 1, 2])?.lazy();
    /// let found = rows.bottom_k(2, "n").collect()?;
    /// assert_eq!(found.texts("city"), ["Oslo", "Bern"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bottom_k(self, k: u64, by: impl IntoColumns) -> Self {
        self.sort(by, SortMultipleOptions::new().with_nulls_last(true)).head(k)
    }

    /// Groups rows that are equal in `keys`; [`LazyGroupBy::agg`] follows. The groups come in any order.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.group_by("city").agg([col("n").mean()]).sort("city", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("n"), ["2.0", "3.0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by(self, keys: impl IntoColumns) -> LazyGroupBy {
        LazyGroupBy::new(self, keys.into_columns(), false)
    }

    /// As [`LazyFrame::group_by`]; the groups come in the order of their first rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.group_by_stable("city").agg([col("n").sum()]).collect()?;
    /// assert_eq!(found.texts("city"), ["Rome", "Oslo"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group_by_stable(self, keys: impl IntoColumns) -> LazyGroupBy {
        LazyGroupBy::new(self, keys.into_columns(), true)
    }
}

/// The columns `exprs` of every row.
pub(super) fn select_rows(rows: Rows, exprs: &[Expr]) -> Result<Rows> {
    let rows = rows.ready_for(exprs)?;
    let resolver = rows.resolver();
    let planned = exprs.iter().map(|expr| resolver.resolve_named(expr)).collect::<Result<Vec<_>>>()?;
    let (rows, planned) = rows.clone().with_windows(planned)?;
    rows.project(planned)
}

/// One row of values that depend on no rows.
fn constants(rows: &Rows, exprs: &[Expr]) -> Result<Rows> {
    let resolver = rows.resolver();
    let planned = exprs.iter().map(|expr| resolver.resolve_named(expr)).collect::<Result<Vec<_>>>()?;
    let plan = LogicalPlanBuilder::empty(true).build().map_err(plan_failure)?;
    Rows::ordered(plan).project(planned)
}

fn sorted(rows: Rows, by: &[Expr], options: &SortMultipleOptions) -> Result<Rows> {
    let by = expand(by, rows.plan.schema())?;
    let rows = rows.ready_for(&by)?;
    let columns = rows.columns();
    let resolver = rows.resolver();
    let planned = by.iter().map(|expr| resolver.resolve(expr)).collect::<Result<Vec<_>>>()?;
    let row_order = resolver.row_order.clone();
    let (rows, planned) = rows.clone().with_windows(planned)?;
    let mut keys = Vec::with_capacity(planned.len());
    for (idx, expr) in planned.into_iter().enumerate() {
        let (descending, nulls_last) = options.of_key(idx, by.len())?;
        keys.push(Sort::new(expr, !descending, !nulls_last));
    }
    // Rows that are equal in the keys keep the order they had, which may be that of the hidden column.
    keys.extend(row_order.map(|row| Sort::new(row, true, false)));
    let plan = LogicalPlanBuilder::from(rows.plan).sort(keys).and_then(LogicalPlanBuilder::build);
    let columns = columns.into_iter().map(Planned::Column);
    let plan = LogicalPlanBuilder::from(plan.map_err(plan_failure)?).project(columns);
    Ok(Rows::ordered(plan.and_then(LogicalPlanBuilder::build).map_err(plan_failure)?))
}

/// `length` rows after the first `offset`.
pub(super) fn limited(rows: Rows, offset: u64, length: Option<u64>) -> Result<Rows> {
    let rows = rows.settled()?;
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let plan = LogicalPlanBuilder::from(rows.plan.clone()).limit(count(offset), length.map(count));
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(plan_failure)?;
    Ok(Rows::ordered(plan))
}

/// The names that `columns` are, which must be columns as they are.
pub(super) fn plain_names(rows: &Rows, columns: &[Expr], verb: &str) -> Result<Vec<String>> {
    let columns = expand(columns, rows.plan.schema())?;
    let mut names = Vec::with_capacity(columns.len());
    for column in &columns {
        match column.node.as_ref() {
            super::expr::Node::Column(name) => names.push(name.clone()),
            _ => return Err(Error::usage(format!("{verb} wants the names of columns, not expressions"))),
        }
    }
    check_known(rows, &names)?;
    Ok(names)
}

fn check_known(rows: &Rows, names: &[String]) -> Result<()> {
    let schema = rows.plan.schema();
    match names.iter().find(|name| find_column(schema, name).is_none()) {
        Some(missing) => Err(unknown_column(missing, visible_names(schema))),
        None => Ok(()),
    }
}
