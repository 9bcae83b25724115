//! Frames one after the other.

use arrow::datatypes::DataType;
use datafusion_common::{ExprSchema, ScalarValue};
use datafusion_expr::type_coercion::binary::type_union_resolution;
use datafusion_expr::{Expr as Planned, LogicalPlanBuilder, cast, lit};

use super::lazy::LazyFrame;
use super::resolve::{find_column, is_text};
use super::rows::Rows;
use crate::error::{Error, Result};
use crate::plan::LogicalPlan;
use crate::sql::plan_failure;

/// How frames are put one after the other.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "id" => [1])?.lazy();
/// let wider = df!(session, "id" => [2.5])?.lazy();
/// let all = concat([rows, wider], ConcatHow::VerticalRelaxed)?.collect()?;
/// assert_eq!(all.texts("id"), ["1.0", "2.5"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConcatHow {
    /// All have the same columns of the same types, in the same order.
    #[default]
    Vertical,
    /// All have the same columns in the same order; types are widened.
    VerticalRelaxed,
    /// Columns that a frame does not have are NULL.
    Diagonal,
    /// The same, and types are widened.
    DiagonalRelaxed,
}

/// The rows of all `frames`, one frame after the other.
///
/// ```
/// # use brimful::frame::*;
/// # use brimful::{Session, SessionOptions, df};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let session = Session::new(SessionOptions::default())?;
/// let old = df!(session, "id" => [1, 2])?.lazy();
/// let new = df!(session, "id" => [3], "plan" => ["gold"])?.lazy();
/// let all = concat([old.clone(), new.clone()], ConcatHow::Diagonal)?.collect()?;
/// assert_eq!((all.text(0, "plan"), all.text(2, "plan")), (None, Some("gold".to_string())));
/// let mistake = concat([old, new], ConcatHow::Vertical)?.collect().unwrap_err();
/// assert!(mistake.to_string().contains("ConcatHow::Diagonal"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`crate::ErrorKind::Usage`] without frames; other mistakes are kept in the frame.
pub fn concat(frames: impl IntoIterator<Item = LazyFrame>, how: ConcatHow) -> Result<LazyFrame> {
    let frames: Vec<LazyFrame> = frames.into_iter().collect();
    let Some(first) = frames.first() else { return Err(Error::usage("concat of no frames")) };
    let session = first.session().clone();
    let together = || -> Result<Rows> {
        let plans = frames.iter().map(LazyFrame::plan_in_order).collect::<Result<Vec<_>>>()?;
        let columns = match how {
            ConcatHow::Vertical | ConcatHow::VerticalRelaxed => same_columns(&plans)?,
            ConcatHow::Diagonal | ConcatHow::DiagonalRelaxed => all_columns(&plans),
        };
        let relaxed = matches!(how, ConcatHow::VerticalRelaxed | ConcatHow::DiagonalRelaxed);
        let columns = columns.into_iter().map(|name| Ok((common_type(&plans, &name, relaxed)?, name)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut aligned = plans.into_iter().map(|plan| align(plan, &columns));
        let first = aligned.next().ok_or_else(|| Error::usage("concat of no frames"))??;
        aligned
            .try_fold(LogicalPlanBuilder::from(first), |all, next| all.union(next?).map_err(plan_failure))?
            .build()
            .map(Rows::ordered)
            .map_err(plan_failure)
    };
    Ok(LazyFrame::new(&session, together()))
}

fn names(plan: &LogicalPlan) -> Vec<String> {
    plan.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn same_columns(plans: &[LogicalPlan]) -> Result<Vec<String>> {
    let first = plans.first().map(names).unwrap_or_default();
    for (idx, other) in plans.iter().map(names).enumerate().skip(1) {
        if other != first {
            let differing = other.iter().find(|name| !first.contains(name));
            let missing = first.iter().find(|name| !other.contains(name));
            let what = match (differing, missing) {
                (Some(extra), _) => format!("has a column {extra:?} that the first has not"),
                (None, Some(missing)) => format!("has no column {missing:?}"),
                (None, None) => "has the columns in another order".to_string(),
            };
            return Err(Error::usage(format!("frame {} of concat {what}", idx + 1))
                .with_hint("ConcatHow::Diagonal fills what is missing with NULL"));
        }
    }
    Ok(first)
}

fn all_columns(plans: &[LogicalPlan]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in plans.iter().flat_map(names) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn common_type(plans: &[LogicalPlan], name: &str, relaxed: bool) -> Result<DataType> {
    let types = plans.iter().filter_map(|plan| plan.schema().field_with_unqualified_name(name).ok());
    let mut types: Vec<DataType> = types.map(|field| field.data_type().clone()).filter(|one| !one.is_null()).collect();
    types.dedup();
    let differs = || {
        let shown = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        Error::usage(format!("column {name:?} has the types {shown}"))
    };
    match types.as_slice() {
        [] => Ok(DataType::Null),
        [one] => Ok(one.clone()),
        several if relaxed => {
            let mixes_text = several.iter().any(is_text) && !several.iter().all(is_text);
            let common = type_union_resolution(several).filter(|_| !mixes_text);
            common.ok_or_else(|| differs().with_hint("convert it with cast before"))
        }
        _ => Err(differs().with_hint("ConcatHow::VerticalRelaxed and DiagonalRelaxed widen types")),
    }
}

/// `plan` with exactly these columns.
fn align(plan: LogicalPlan, columns: &[(DataType, String)]) -> Result<LogicalPlan> {
    let mut exprs = Vec::with_capacity(columns.len());
    for (data_type, name) in columns {
        let expr = match find_column(plan.schema(), name) {
            None => lit(ScalarValue::try_from(data_type).map_err(plan_failure)?),
            Some(column) => {
                let given = plan.schema().field_from_column(&column).map_err(plan_failure)?.data_type().clone();
                let column = Planned::Column(column);
                if given == *data_type { column } else { cast(column, data_type.clone()) }
            }
        };
        exprs.push(expr.alias(name));
    }
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(plan_failure)
}
