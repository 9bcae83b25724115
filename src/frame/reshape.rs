//! Long to wide, wide to long, and lists to rows.

use arrow::datatypes::DataType;
use datafusion_common::{Column, ScalarValue, UnnestOptions};
use datafusion_expr::type_coercion::binary::type_union_resolution;
use datafusion_expr::{Expr as Planned, LogicalPlanBuilder, lit};

use super::cleaning::as_type;
use super::expr::{Expr, IntoColumns, col};
use super::lazy::{LazyFrame, plain_names};
use super::resolve::{is_text, scalar};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::sql::plan_failure;

/// How the values of one cell of a pivot become one.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let wide = df!(
///     session,
///     "city" => ["Rome", "Oslo"],
///     "jan" => [1, 2],
///     "feb" => [3, 4]
/// )?
/// .lazy();
/// let long = wide.clone().unpivot_named(["jan", "feb"], "city", "month", "n");
/// assert_eq!(long.clone().collect()?.shape(), (4, 3));
/// let again = long.pivot("month", ["jan", "feb"], "city", "n", PivotAgg::Sum).sort("city", SortOptions::new());
/// assert_eq!(again.collect()?.text(1, "feb"), Some("3".to_string()));
/// let letters = wide.select([col("city").str().split("o").alias("part")]).explode("part");
/// assert_eq!(letters.collect()?.height(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PivotAgg {
    /// The first.
    #[default]
    First,
    /// The last.
    Last,
    /// The sum.
    Sum,
    /// The mean.
    Mean,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The middle.
    Median,
    /// Rows.
    Len,
}

impl PivotAgg {
    fn of(self, values: Expr) -> Expr {
        match self {
            PivotAgg::First => values.first(),
            PivotAgg::Last => values.last(),
            PivotAgg::Sum => values.sum(),
            PivotAgg::Mean => values.mean(),
            PivotAgg::Min => values.min(),
            PivotAgg::Max => values.max(),
            PivotAgg::Median => values.median(),
            PivotAgg::Len => values.len(),
        }
    }
}

impl LazyFrame {
    /// Columns to rows: for every row one for each column of `on`, with its name in `variable` and its value in `value`,
    /// beside the columns `index`. The rows of one input row stay together.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome"], "jan" => [1], "feb" => [3])?.lazy();
    /// let found = rows.unpivot(["jan", "feb"], "city").collect()?;
    /// assert_eq!(found.texts("variable"), ["jan", "feb"]);
    /// assert_eq!(found.texts("value"), ["1", "3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unpivot(self, on: impl IntoColumns, index: impl IntoColumns) -> Self {
        self.unpivot_named(on, index, "variable", "value")
    }

    /// As [`LazyFrame::unpivot`], with names for the two new columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome"], "jan" => [1], "feb" => [3])?.lazy();
    /// let found = rows.unpivot_named(["jan", "feb"], "city", "month", "n").collect()?;
    /// assert_eq!(found.texts("month"), ["jan", "feb"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unpivot_named(
        self,
        on: impl IntoColumns,
        index: impl IntoColumns,
        variable_name: &str,
        value_name: &str,
    ) -> Self {
        let (on, index) = (on.into_columns(), index.into_columns());
        self.then(|rows| {
            let on = plain_names(&rows, &on, "unpivot")?;
            let index = plain_names(&rows, &index, "unpivot")?;
            unpivoted(rows.settled()?, &on, &index, [variable_name, value_name])
        })
    }

    /// Rows to columns: one row for each value of `index`, with a column for each of `on_values`, in which `values` of the
    /// rows stand whose `on` is that value.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Rome"], "month" => ["jan", "feb"], "n" => [1, 3])?.lazy();
    /// let found = rows.pivot("month", ["jan", "feb"], "city", "n", PivotAgg::First).collect()?;
    /// assert_eq!(found.get_column_names(), ["city", "jan", "feb"]);
    /// assert_eq!(found.texts("feb"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pivot<V: Into<Expr> + ToString>(
        self,
        on: &str,
        on_values: impl IntoIterator<Item = V>,
        index: impl IntoColumns,
        values: &str,
        agg: PivotAgg,
    ) -> Self {
        let cells = on_values.into_iter().map(|value| {
            let name = value.to_string();
            agg.of(col(values).filter(col(on).eq(value.into()))).alias(name)
        });
        let cells: Vec<Expr> = cells.collect();
        self.group_by(index).agg(cells)
    }

    /// Lists to rows: a row for each element of the lists in `columns`, of which several are taken side by side. An empty
    /// list is one row with NULL.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "id" => [1, 2], "tags" => ["a b", "c"])?.lazy();
    /// let found = rows.with_column(col("tags").str().split(" ")).explode("tags").collect()?;
    /// assert_eq!(found.texts("tags"), ["a", "b", "c"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explode(self, columns: impl IntoColumns) -> Self {
        let columns = columns.into_columns();
        self.then(|rows| {
            let names = plain_names(&rows, &columns, "explode")?;
            let rows = rows.settled()?;
            check_lists(&rows, &names)?;
            exploded(rows, &names)
        })
    }

    /// Fields of structs to columns.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "a" => [1], "b" => [2])?.lazy();
    /// let pair = function("named_struct", [lit("x"), col("a"), lit("y"), col("b")]).alias("pair");
    /// let found = rows.select([pair]).unnest("pair").collect()?;
    /// assert_eq!(found.get_column_names(), ["x", "y"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unnest(self, columns: impl IntoColumns) -> Self {
        let columns = columns.into_columns();
        self.then(|rows| {
            let names = plain_names(&rows, &columns, "unnest")?;
            fields_of(&rows, &names).and_then(|exprs| rows.project(exprs))
        })
    }
}

fn check_lists(rows: &Rows, names: &[String]) -> Result<()> {
    let resolver = rows.resolver();
    for name in names {
        let data_type = resolver.type_of(&resolver.column(name)?)?;
        if !matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) {
            return Err(Error::usage(format!("explode wants lists, and {name:?} has the type {data_type}"))
                .with_hint("a text becomes a list with str().split(..)"));
        }
    }
    Ok(())
}

fn exploded(rows: Rows, names: &[String]) -> Result<Rows> {
    // Unnesting looks columns up by name alone, so they leave their table behind.
    let plain = rows.columns().into_iter().map(|column| {
        let name = column.name.clone();
        Planned::Column(column).alias(name)
    });
    let columns = names.iter().map(|name| Column::new_unqualified(name.as_str())).collect();
    let options = UnnestOptions::default();
    let plan = LogicalPlanBuilder::from(rows.plan.clone())
        .project(plain.collect::<Vec<_>>())
        .and_then(|plain| plain.unnest_columns_with_options(columns, options))
        .and_then(LogicalPlanBuilder::build);
    Ok(Rows::ordered(plan.map_err(plan_failure)?))
}

fn unpivoted(rows: Rows, on: &[String], index: &[String], [variable, value]: [&str; 2]) -> Result<Rows> {
    let resolver = rows.resolver();
    let values = on.iter().map(|name| resolver.column(name)).collect::<Result<Vec<_>>>()?;
    let types = values.iter().map(|value| resolver.type_of(value)).collect::<Result<Vec<_>>>()?;
    if values.is_empty() {
        return Err(Error::usage("unpivot of no columns").with_hint("name them in `on`"));
    }
    let mixes_text = types.iter().any(is_text) && !types.iter().all(is_text);
    let common = match types.iter().all(|one| *one == types[0]) {
        true => Some(types[0].clone()),
        false => type_union_resolution(&types).filter(|_| !mixes_text),
    };
    let common = common.ok_or_else(|| {
        Error::usage("the columns of unpivot have types that do not fit together")
            .with_hint("convert them with cast before")
    })?;
    let values = values.into_iter().zip(&types).map(|(value, from)| as_type(value, from, &common)).collect();
    let names = on.iter().map(|name| lit(ScalarValue::from(name.as_str()))).collect();
    let mut exprs = Vec::with_capacity(index.len() + 2);
    for name in index {
        exprs.push(resolver.column(name)?.alias(name));
    }
    exprs.push(scalar("make_array", names)?.alias(variable));
    exprs.push(scalar("make_array", values)?.alias(value));
    let wide = rows.project(exprs)?;
    exploded(wide, &[variable.to_string(), value.to_string()])
}

fn fields_of(rows: &Rows, names: &[String]) -> Result<Vec<Planned>> {
    let mut exprs = Vec::new();
    for column in rows.columns() {
        let planned = Planned::Column(column.clone());
        if !names.contains(&column.name) {
            exprs.push(planned);
            continue;
        }
        let DataType::Struct(fields) = rows.resolver().type_of(&planned)? else {
            return Err(Error::usage(format!("unnest wants structs, and {:?} is none", column.name))
                .with_hint("explode makes rows of lists"));
        };
        for field in &fields {
            exprs.push(scalar("get_field", vec![planned.clone(), lit(field.name().as_str())])?.alias(field.name()));
        }
    }
    Ok(exprs)
}
