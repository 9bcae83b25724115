//! Verbs that clean rows: duplicates, NULLs, samples, numbers.

use datafusion_expr::expr::Sort;
use datafusion_expr::{Expr as Planned, LogicalPlanBuilder, cast, lit};

use super::expr::{Aggregate, Expr, Node, OverOptions, all, col, row_number};
use super::lazy::{LazyFrame, plain_names, select_rows};
use super::resolve::sample_rank;
use super::rows::Rows;
use super::sort_options::SortOptions;
use crate::error::{Error, Result};
use crate::sql::plan_failure;
use arrow::datatypes::DataType;

/// Which of several equal rows is kept.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(
///     session,
///     "k" => [Some("a"), Some("a"), None, Some("b")],
///     "n" => [Some(1), Some(2), Some(3), None]
/// )?
/// .lazy();
/// let latest = rows.clone().unique(Some(&["k"]), UniqueKeep::Last).collect()?;
/// assert_eq!(latest.text(0, "n"), Some("2".to_string()));
/// assert_eq!(rows.clone().unique(None, UniqueKeep::Any).collect()?.height(), 4);
/// assert_eq!(rows.clone().drop_nulls(Some(&["n"])).collect()?.height(), 3);
/// assert_eq!(rows.clone().fill_null(0).collect()?.text(3, "n"), Some("0".to_string()));
/// let numbered = rows.clone().with_row_index("row", 1).collect()?;
/// assert_eq!(numbered.text(3, "row"), Some("4".to_string()));
/// assert_eq!(rows.clone().sample_n(2, 42).collect()?.height(), 2);
/// assert_eq!(rows.sample_fraction(1.0, 42).collect()?.height(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UniqueKeep {
    /// Any one of them.
    #[default]
    Any,
    /// The first.
    First,
    /// The last.
    Last,
    /// None: only rows that occur once.
    None,
}

/// The number of a row among equal ones, while duplicates are dropped.
const PLACE: &str = "__brimful_place";

impl LazyFrame {
    /// One row of those that are equal in all columns, or in `subset`. The rows that are kept stay in their order when
    /// `keep` is the first or last, and come in any order otherwise.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => ["a", "a", "b"], "n" => [1, 2, 3])?.lazy();
    /// let found = rows.unique(Some(&["k"]), UniqueKeep::Last).collect()?;
    /// assert_eq!(found.texts("n"), ["2", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unique(self, subset: Option<&[&str]>, keep: UniqueKeep) -> Self {
        let subset: Option<Vec<Expr>> = subset.map(|names| names.iter().map(|name| col(*name)).collect());
        match (subset, keep) {
            (None, UniqueKeep::Any) => self.then(|rows| {
                let plan = LogicalPlanBuilder::from(rows.in_any_order()?).distinct();
                Ok(Rows::unordered(plan.and_then(LogicalPlanBuilder::build).map_err(plan_failure)?))
            }),
            (subset, keep) => {
                let keys = subset.unwrap_or_else(|| vec![all()]);
                self.then(|rows| unique_rows(rows, &keys, keep))
            }
        }
    }

    /// The rows without NULL, in all columns or in `subset`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [Some("a"), None], "n" => [None, Some(2)])?.lazy();
    /// let found = rows.drop_nulls(Some(&["n"])).collect()?;
    /// assert_eq!(found.texts("n"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_nulls(self, subset: Option<&[&str]>) -> Self {
        let subset: Option<Vec<Expr>> = subset.map(|names| names.iter().map(|name| col(*name)).collect());
        self.then(|rows| {
            let names = match subset {
                Some(subset) => plain_names(&rows, &subset, "drop_nulls")?,
                None => rows.names(),
            };
            let resolver = rows.resolver();
            let mut tests = Vec::with_capacity(names.len());
            for name in &names {
                tests.push(resolver.column(name)?.is_not_null());
            }
            match tests.into_iter().reduce(Planned::and) {
                Some(test) => rows.clone().filter(test),
                None => Ok(rows),
            }
        })
    }

    /// `value` in place of NULL, in every column that can hold it.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [Some(1), None])?.lazy();
    /// let found = rows.fill_null(0).collect()?;
    /// assert_eq!(found.texts("n"), ["1", "0"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fill_null(self, value: impl Into<Expr>) -> Self {
        let value = value.into();
        self.then(|rows| {
            let resolver = rows.resolver();
            let given = resolver.type_of(&resolver.resolve(&value)?)?;
            let mut filled = Vec::new();
            for column in rows.columns() {
                let data_type = resolver.type_of(&Planned::Column(column.clone()))?;
                let one = col(&column.name);
                filled.push(if can_hold(&data_type, &given) { one.fill_null(value.clone()) } else { one });
            }
            select_rows(rows.clone(), &filled)
        })
    }

    /// Numbers the rows from `offset` on, in a new first column.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo"])?.lazy();
    /// let found = rows.with_row_index("row", 1).collect()?;
    /// assert_eq!(found.texts("row"), ["1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_row_index(self, name: &str, offset: u64) -> Self {
        self.then(|rows| {
            if rows.names().iter().any(|known| known == name) {
                return Err(Error::usage(format!("there is a column {name:?} already")));
            }
            let (rows, row) = rows.settled()?.counted()?;
            let number = match offset {
                0 => row,
                offset => row + lit(offset),
            };
            let columns = rows.columns().into_iter().map(Planned::Column);
            let exprs = std::iter::once(number.alias(name)).chain(columns).collect();
            rows.project(exprs)
        })
    }

    /// `n` rows at random, each as likely as any other, in their order. The same seed gives the same rows, whatever the
    /// budget and the threads.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => (0..100).collect::<Vec<i64>>())?.lazy();
    /// let found = rows.clone().sample_n(3, 42).collect()?;
    /// assert_eq!(found.height(), 3);
    /// assert!(rows.sample_n(3, 42).collect()?.equals(&found)); // the same for a seed
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sample_n(self, n: u64, seed: u64) -> Self {
        self.then(|rows| {
            let (rows, row) = rows.counted()?;
            let columns = rows.columns();
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            let drawn = Sort::new(sample_rank(row.clone(), seed), true, false);
            let plan = LogicalPlanBuilder::from(rows.plan)
                .sort_with_limit(vec![drawn], Some(n))
                .and_then(|drawn| drawn.sort(vec![Sort::new(row, true, false)]))
                .and_then(|drawn| drawn.project(columns.into_iter().map(Planned::Column)))
                .and_then(LogicalPlanBuilder::build);
            Ok(Rows::ordered(plan.map_err(plan_failure)?))
        })
    }

    /// Each row with the probability `fraction`, in their order: about that share of all rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => (0..1000).collect::<Vec<i64>>())?.lazy();
    /// let found = rows.sample_fraction(0.5, 42).collect()?;
    /// assert!((400..600).contains(&found.height()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sample_fraction(self, fraction: f64, seed: u64) -> Self {
        self.then(|rows| {
            if !(0.0..=1.0).contains(&fraction) {
                return Err(Error::usage(format!("{fraction} is not a share of rows")).with_hint("from 0 to 1"));
            }
            if fraction >= 1.0 {
                return Ok(rows);
            }
            let (rows, row) = rows.counted()?;
            let below = (fraction * u64::MAX as f64) as u64;
            rows.filter(sample_rank(row, seed).lt(lit(below)))
        })
    }
}

/// Numbers the rows of each group of equal ones, and keeps those that are wanted.
fn unique_rows(rows: Rows, keys: &[Expr], keep: UniqueKeep) -> Result<Rows> {
    let keys: Vec<Expr> = plain_names(&rows, keys, "unique")?.into_iter().map(col).collect();
    let columns = rows.names();
    let over = OverOptions::partition_by(keys);
    let place = match keep {
        UniqueKeep::None => Expr::new(Node::Aggregate(Aggregate::Rows, vec![])).over_with(over),
        UniqueKeep::Last => {
            let (numbered, row) = rows.counted()?;
            let Planned::Column(row) = row else { return Err(Error::query("rows have lost their number")) };
            let last_first = SortOptions::new().with_order_descending(true);
            let place = row_number().over_with(over.order_by(Expr::new(Node::Column(row.name)), last_first));
            return kept_places(numbered, place, columns);
        }
        UniqueKeep::First | UniqueKeep::Any => row_number().over_with(over),
    };
    kept_places(rows, place, columns)
}

fn kept_places(rows: Rows, place: Expr, columns: Vec<String>) -> Result<Rows> {
    let mut exprs: Vec<Expr> = columns.iter().map(col).collect();
    exprs.push(place.alias(PLACE));
    let placed = select_rows(rows, &exprs)?;
    let wanted = placed.resolver().column(PLACE)?.eq(lit(1i64));
    let kept = placed.filter(wanted)?;
    let columns = kept.columns().into_iter().filter(|column| column.name != PLACE).map(Planned::Column).collect();
    kept.project(columns)
}

/// Whether a column of `data_type` takes a value of type `given`.
fn can_hold(data_type: &DataType, given: &DataType) -> bool {
    use super::resolve::is_text;
    match (data_type, given) {
        (column, value) if column == value => true,
        (column, value) if is_text(column) || is_text(value) => is_text(column) && is_text(value),
        (column, value) if value.is_integer() => column.is_numeric(),
        (column, value) if value.is_floating() => column.is_floating() || column.is_decimal(),
        _ => false,
    }
}

/// `expr` in another type.
pub(super) fn as_type(expr: Planned, from: &DataType, to: &DataType) -> Planned {
    if from == to { expr } else { cast(expr, to.clone()) }
}
