//! Joins, as Polars means them: key columns come out once, and names that clash get a suffix.

use datafusion_common::{Column, NullEquality, TableReference};
use datafusion_expr::expr::Expr as Planned;
use datafusion_expr::{Join, JoinConstraint, JoinType as PlannedJoin, LogicalPlanBuilder, cast};

use super::expr::{Expr, IntoColumns};
use super::lazy::LazyFrame;
use super::resolve::{expand, output_name};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::plan::LogicalPlan;
use crate::sql::plan_failure;

/// Which rows a join gives.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "id" => [1, 2])?.lazy();
/// let other = df!(session, "id" => [2, 3])?.lazy();
/// let n_rows = |how| rows.clone().join_on(other.clone(), "id", how).collect().map(|found| found.height());
/// assert_eq!((n_rows(JoinType::Inner)?, n_rows(JoinType::Left)?, n_rows(JoinType::Full)?), (1, 2, 3));
/// assert_eq!((n_rows(JoinType::Semi)?, n_rows(JoinType::Anti)?), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JoinType {
    /// Pairs of rows with equal keys.
    #[default]
    Inner,
    /// These, and rows of the left side without a partner.
    Left,
    /// Pairs, and rows of the right side without a partner.
    Right,
    /// Pairs, and rows of either side without a partner.
    Full,
    /// Rows of the left side that have a partner.
    Semi,
    /// Rows of the left side that have none.
    Anti,
    /// All pairs.
    Cross,
}

/// How two frames are joined.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let orders = df!(
///     session,
///     "id" => [1, 2, 3],
///     "customer" => ["a", "b", "x"]
/// )?
/// .lazy();
/// let customers = df!(
///     session,
///     "key" => ["a", "b", "c"],
///     "id" => [10, 20, 30]
/// )?
/// .lazy();
/// let joined = |how: JoinType| orders.clone().join(customers.clone(), "customer", "key", how).collect();
/// let inner = joined(JoinType::Inner)?;
/// assert_eq!(inner.get_column_names(), ["id", "customer", "id_right"]);
/// assert_eq!(inner.height(), 2);
/// assert_eq!(joined(JoinType::Left)?.height(), 3);
/// assert_eq!(joined(JoinType::Right)?.get_column_names(), ["id", "key", "id_right"]);
/// // A full join keeps the keys of both sides, unless told otherwise.
/// assert_eq!(joined(JoinType::Full)?.shape(), (4, 4));
/// let coalesced = JoinArgs::new(JoinType::Full).with_coalesce(true).with_suffix("_of_customer");
/// let coalesced = orders.clone().join(customers.clone(), "customer", "key", coalesced).collect()?;
/// assert_eq!(coalesced.get_column_names(), ["id", "customer", "id_of_customer"]);
/// assert_eq!(joined(JoinType::Semi)?.shape(), (2, 2));
/// assert_eq!(joined(JoinType::Anti)?.text(0, "customer"), Some("x".to_string()));
/// assert_eq!(orders.clone().cross_join(customers).collect()?.height(), 9);
/// assert_eq!(orders.clone().join_on(orders, "id", JoinType::Inner).collect()?.height(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinArgs {
    how: JoinType,
    suffix: String,
    coalesce: Option<bool>,
    nulls_equal: bool,
}

impl JoinArgs {
    /// A join of this type.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2])?.lazy();
    /// let found = rows.clone().join_on(rows, "id", JoinArgs::new(JoinType::Semi)).collect()?;
    /// assert_eq!(found.height(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(how: JoinType) -> Self {
        JoinArgs { how, suffix: "_right".to_string(), coalesce: None, nulls_equal: false }
    }

    /// What is added to the names of right columns that the left side has, too.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1], "n" => [10])?.lazy();
    /// let args = JoinArgs::new(JoinType::Inner).with_suffix("_before");
    /// let found = rows.clone().join_on(rows, "id", args).collect()?;
    /// assert_eq!(found.get_column_names(), ["id", "n", "n_before"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_suffix(self, suffix: impl Into<String>) -> Self {
        JoinArgs { suffix: suffix.into(), ..self }
    }

    /// Whether the keys of both sides become one column. By default they do, except in a full join.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1])?.lazy();
    /// let other = df!(session, "id" => [2])?.lazy();
    /// let args = JoinArgs::new(JoinType::Full).with_coalesce(true);
    /// let found = rows.join_on(other, "id", args).sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("id"), ["1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_coalesce(self, coalesce: bool) -> Self {
        JoinArgs { coalesce: Some(coalesce), ..self }
    }

    /// Whether NULL is equal to NULL in keys.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [Some(1), None])?.lazy();
    /// let args = |equal| JoinArgs::new(JoinType::Inner).with_nulls_equal(equal);
    /// assert_eq!(rows.clone().join_on(rows.clone(), "id", args(false)).collect()?.height(), 1);
    /// assert_eq!(rows.clone().join_on(rows, "id", args(true)).collect()?.height(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_nulls_equal(self, nulls_equal: bool) -> Self {
        JoinArgs { nulls_equal, ..self }
    }
}

impl Default for JoinArgs {
    fn default() -> Self {
        JoinArgs::new(JoinType::Inner)
    }
}

impl From<JoinType> for JoinArgs {
    fn from(how: JoinType) -> Self {
        JoinArgs::new(how)
    }
}

impl LazyFrame {
    /// Joins with `other` where `left_on` is equal to `right_on`. The rows come in any order.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.join(other, "id", "key", JoinType::Left).sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("city"), ["null", "Oslo"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(
        self,
        other: LazyFrame,
        left_on: impl IntoColumns,
        right_on: impl IntoColumns,
        args: impl Into<JoinArgs>,
    ) -> LazyFrame {
        let (left_on, right_on, args) = (left_on.into_columns(), right_on.into_columns(), args.into());
        let right = other.checked();
        self.then(|left| joined(left, right?, &left_on, &right_on, &args))
    }

    /// Joins with `other` where the columns `on`, which both have, are equal.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let more = df!(session, "id" => [2], "n" => [7])?.lazy();
    /// let found = rows.join_on(more, "id", JoinType::Inner).collect()?;
    /// assert_eq!(found.get_column_names(), ["id", "n", "n_right"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_on(self, other: LazyFrame, on: impl IntoColumns, args: impl Into<JoinArgs>) -> LazyFrame {
        let on = on.into_columns();
        self.join(other, on.clone(), on, args)
    }

    /// Pairs of rows with equal keys.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.inner_join(other, "id", "key").sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("city"), ["Oslo"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn inner_join(self, other: LazyFrame, left_on: impl IntoColumns, right_on: impl IntoColumns) -> LazyFrame {
        self.join(other, left_on, right_on, JoinType::Inner)
    }

    /// Pairs, and rows of this frame without a partner.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.left_join(other, "id", "key").sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("id"), ["1", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn left_join(self, other: LazyFrame, left_on: impl IntoColumns, right_on: impl IntoColumns) -> LazyFrame {
        self.join(other, left_on, right_on, JoinType::Left)
    }

    /// Pairs, and rows of either frame without a partner.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.full_join(other, "id", "key").sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("key"), ["3", "null", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn full_join(self, other: LazyFrame, left_on: impl IntoColumns, right_on: impl IntoColumns) -> LazyFrame {
        self.join(other, left_on, right_on, JoinType::Full)
    }

    /// Rows that have a partner in `other`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.semi_join(other, "id", "key").sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("n"), ["20"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn semi_join(self, other: LazyFrame, left_on: impl IntoColumns, right_on: impl IntoColumns) -> LazyFrame {
        self.join(other, left_on, right_on, JoinType::Semi)
    }

    /// Rows that have no partner in `other`.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.anti_join(other, "id", "key").sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("n"), ["10"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn anti_join(self, other: LazyFrame, left_on: impl IntoColumns, right_on: impl IntoColumns) -> LazyFrame {
        self.join(other, left_on, right_on, JoinType::Anti)
    }

    /// All pairs of rows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "n" => [10, 20])?.lazy();
    /// let other = df!(session, "key" => [2, 3], "city" => ["Oslo", "Rome"])?.lazy();
    /// let found = rows.cross_join(other).sort("id", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("id"), ["1", "1", "2", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cross_join(self, other: LazyFrame) -> LazyFrame {
        let none: [Expr; 0] = [];
        self.join(other, none.clone(), none, JoinType::Cross)
    }
}

/// One side of a join under a name of its own, since both may read the same file.
pub(super) struct Side {
    pub(super) plan: LogicalPlan,
    /// The user's columns.
    pub(super) columns: Vec<Column>,
    pub(super) keys: Vec<Planned>,
    /// The columns that keys are as they are.
    key_names: Vec<Option<String>>,
}

impl Side {
    pub(super) fn new(rows: Rows, keys: &[Expr], alias: &str) -> Result<Self> {
        let plan = rows.in_any_order()?;
        let unqualified = plan.schema().columns().into_iter().map(|column| {
            let name = column.name.clone();
            Planned::Column(column).alias(name)
        });
        let unqualified: Vec<Planned> = unqualified.collect();
        let plan = LogicalPlanBuilder::from(plan)
            .project(unqualified)
            .and_then(|plan| plan.alias(TableReference::bare(alias)))
            .and_then(LogicalPlanBuilder::build)
            .map_err(plan_failure)?;
        let rows = Rows::unordered(plan);
        let keys = expand(keys, rows.plan.schema())?;
        let resolver = rows.resolver();
        let planned = keys.iter().map(|key| resolver.resolve(key)).collect::<Result<Vec<_>>>()?;
        let key_names = planned.iter().map(|key| match key {
            Planned::Column(column) => Some(column.name.clone()),
            _ => None,
        });
        let key_names = key_names.collect();
        for key in &keys {
            output_name(key)?;
        }
        Ok(Side { columns: rows.columns(), keys: planned, key_names, plan: rows.plan })
    }

    pub(super) fn is_key(&self, column: &Column) -> Option<usize> {
        self.key_names.iter().position(|name| name.as_deref() == Some(column.name.as_str()))
    }
}

fn joined(left: Rows, right: Rows, left_on: &[Expr], right_on: &[Expr], args: &JoinArgs) -> Result<Rows> {
    let left = Side::new(left, left_on, "left")?;
    let right = Side::new(right, right_on, "right")?;
    check_keys(&left, &right, args)?;
    let plan = plan_join(&left, &right, args)?;
    Rows::unordered(plan).project(output_columns(&left, &right, args)?)
}

fn check_keys(left: &Side, right: &Side, args: &JoinArgs) -> Result<()> {
    let (n_left, n_right) = (left.keys.len(), right.keys.len());
    if n_left != n_right {
        return Err(Error::usage(format!("the left side has {n_left} keys and the right side {n_right}")));
    }
    match (args.how, n_left) {
        (JoinType::Cross, 0) => Ok(()),
        (JoinType::Cross, _) => Err(Error::usage("a cross join has no keys").with_hint("use JoinType::Inner")),
        (_, 0) => Err(Error::usage("a join without keys").with_hint("name them, or use cross_join for all pairs")),
        _ => Ok(()),
    }
}

fn plan_join(left: &Side, right: &Side, args: &JoinArgs) -> Result<LogicalPlan> {
    let how = match args.how {
        JoinType::Inner | JoinType::Cross => PlannedJoin::Inner,
        JoinType::Left => PlannedJoin::Left,
        JoinType::Right => PlannedJoin::Right,
        JoinType::Full => PlannedJoin::Full,
        JoinType::Semi => PlannedJoin::LeftSemi,
        JoinType::Anti => PlannedJoin::LeftAnti,
    };
    if args.how == JoinType::Cross {
        return LogicalPlanBuilder::from(left.plan.clone())
            .cross_join(right.plan.clone())
            .and_then(LogicalPlanBuilder::build)
            .map_err(plan_failure);
    }
    let mut on = Vec::with_capacity(left.keys.len());
    for (one, other) in left.keys.iter().zip(&right.keys) {
        on.push(same_type(left, one, right, other)?);
    }
    let equality = if args.nulls_equal { NullEquality::NullEqualsNull } else { NullEquality::NullEqualsNothing };
    let (left, right) = (left.plan.clone().into(), right.plan.clone().into());
    Join::try_new(left, right, on, None, how, JoinConstraint::On, equality, false)
        .map(LogicalPlan::Join)
        .map_err(plan_failure)
}

/// Both keys in a type that has the values of both.
pub(super) fn same_type(left: &Side, one: &Planned, right: &Side, other: &Planned) -> Result<(Planned, Planned)> {
    use datafusion_expr::ExprSchemable;
    let left_type = one.get_type(left.plan.schema().as_ref()).map_err(plan_failure)?;
    let right_type = other.get_type(right.plan.schema().as_ref()).map_err(plan_failure)?;
    if left_type == right_type {
        return Ok((one.clone(), other.clone()));
    }
    let both_numbers = left_type.is_numeric() && right_type.is_numeric();
    let is_text = |data_type: &arrow::datatypes::DataType| super::resolve::is_text(data_type);
    // A number is no date, text or flag, even where one could be made of it.
    let is_mixed = left_type.is_numeric() != right_type.is_numeric() && !left_type.is_null() && !right_type.is_null();
    let common = datafusion_expr::type_coercion::binary::comparison_coercion(&left_type, &right_type)
        .filter(|_| both_numbers || !is_mixed && is_text(&left_type) == is_text(&right_type));
    let Some(common) = common else {
        return Err(Error::usage(format!("the keys of a join have the types {left_type} and {right_type}"))
            .with_hint("convert one of them: col(\"..\").cast(..) may stand as a key"));
    };
    let as_common = |expr: &Planned, given| match given == common {
        true => expr.clone(),
        false => cast(expr.clone(), common.clone()),
    };
    Ok((as_common(one, left_type), as_common(other, right_type)))
}

/// The columns of both sides: keys once where they are coalesced, with the suffix where names clash.
fn output_columns(left: &Side, right: &Side, args: &JoinArgs) -> Result<Vec<Planned>> {
    use JoinType::*;
    let plain = |column: &Column| {
        let name = column.name.clone();
        Planned::Column(column.clone()).alias(name)
    };
    if matches!(args.how, Semi | Anti) {
        return Ok(left.columns.iter().map(plain).collect());
    }
    let coalesces = args.coalesce.unwrap_or(args.how != Full) && args.how != Cross;
    let mut output = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for column in &left.columns {
        let planned = match left.is_key(column).filter(|_| coalesces) {
            // The keys of a right join are those of the right side.
            Some(_) if args.how == Right => continue,
            Some(idx) if args.how == Full => coalesce_keys(column, right, idx)?,
            _ => plain(column),
        };
        names.push(column.name.clone());
        output.push(planned);
    }
    for column in &right.columns {
        if coalesces && args.how != Right && right.is_key(column).is_some() {
            continue;
        }
        output.push(with_suffix(column, &names, &args.suffix));
    }
    Ok(output)
}

/// A column of the right side, with the suffix when its name is one of `names`.
pub(super) fn with_suffix(column: &Column, names: &[String], suffix: &str) -> Planned {
    let clashes = names.contains(&column.name);
    let name = if clashes { format!("{}{suffix}", column.name) } else { column.name.clone() };
    Planned::Column(column.clone()).alias(name)
}

fn coalesce_keys(column: &Column, right: &Side, idx: usize) -> Result<Planned> {
    let other = right.keys.get(idx).cloned().unwrap_or_else(|| Planned::Column(column.clone()));
    let first = super::resolve::scalar("coalesce", vec![Planned::Column(column.clone()), other])?;
    Ok(first.alias(column.name.clone()))
}
