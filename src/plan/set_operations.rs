//! INTERSECT and EXCEPT by counting: both sides are tagged and united, every row is counted on either side, and comes out
//! as often as the two counts say.
//!
//! The planner writes them as semi and anti joins with equal NULLs, which is wrong with ALL: of three equal rows on the
//! left and one on the right, INTERSECT ALL keeps one and EXCEPT ALL two. Counting is one aggregation, bounded like any
//! other, and NULLs are equal as in any GROUP BY.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion_common::tree_node::{Transformed, TransformedResult};
use datafusion_common::{Column, DataFusionError, NullEquality};
use datafusion_expr::{
    Distinct, Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, RecursiveQuery, binary_expr, col, lit,
    when,
};
use datafusion_functions_aggregate::expr_fn::sum;

use crate::physical::{RepeatRows, WorkRole, WorkTable};

const ON_LEFT: &str = "n_left";
const ON_RIGHT: &str = "n_right";
const TIMES: &str = "n_times";

/// Rewrites all set operations of `plan`, which must come from the SQL planner as it is.
///
/// # Errors
/// When the sides do not fit together.
pub(super) fn rewrite_set_operations(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let rewrite = |node: LogicalPlan| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) => count_sides(join).map(Transformed::yes),
        LogicalPlan::RecursiveQuery(recursion) if recursion.is_distinct => {
            keep_new_rows(recursion).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up_with_subqueries(rewrite).data()
}

/// No query says that NULLs are equal in a semi or anti join.
fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.on.len() == join.left.schema().fields().len()
}

fn count_sides(join: Join) -> Result<LogicalPlan, DataFusionError> {
    let columns = join.left.schema().columns();
    let (left, all) = match join.left.as_ref() {
        // A side without twins: with ALL or without, a row comes once or not at all.
        LogicalPlan::Distinct(Distinct::All(input)) => (input.as_ref().clone(), false),
        other => (other.clone(), true),
    };
    let left = tagged(left, 1, 0)?;
    let right = tagged(join.right.as_ref().clone(), 0, 1)?;
    let keys: Vec<Expr> = (0..columns.len()).map(|idx| col(key_name(idx))).collect();
    let counted = LogicalPlanBuilder::from(left)
        .union(right)?
        .aggregate(keys.clone(), [sum(col(ON_LEFT)).alias(ON_LEFT), sum(col(ON_RIGHT)).alias(ON_RIGHT)])?;
    let keeps_common = join.join_type == JoinType::LeftSemi;
    let plan = if all {
        let (left, right) = (col(ON_LEFT), col(ON_RIGHT));
        let times = if keeps_common {
            when(left.clone().lt(right.clone()), left).otherwise(right)?
        } else {
            binary_expr(left, Operator::Minus, right)
        };
        let mut exprs = keys.clone();
        exprs.push(times.alias(TIMES));
        RepeatRows::plan(counted.project(exprs)?.build()?)?
    } else {
        let on_right = if keeps_common { col(ON_RIGHT).gt(lit(0i64)) } else { col(ON_RIGHT).eq(lit(0i64)) };
        counted.filter(col(ON_LEFT).gt(lit(0i64)).and(on_right))?.build()?
    };
    let named =
        keys.into_iter().zip(columns).map(|(key, Column { relation, name, .. })| key.alias_qualified(relation, name));
    LogicalPlanBuilder::from(plan).project(named)?.build()
}

/// UNION in WITH RECURSIVE: a round keeps rows that are new.
fn keep_new_rows(recursion: RecursiveQuery) -> Result<LogicalPlan, DataFusionError> {
    let schema = recursion.static_term.schema().inner();
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let seen = WorkTable::new(&recursion.name, schema, WorkRole::Seen);
    let seen = LogicalPlanBuilder::scan(format!("{} so far", recursion.name), seen, None)?.build()?;
    let round = LogicalPlanBuilder::from(recursion.recursive_term.as_ref().clone());
    let new = rewrite_set_operations(LogicalPlanBuilder::except(round.build()?, seen, false)?)?;
    let first = LogicalPlanBuilder::from(recursion.static_term.as_ref().clone()).distinct()?.build()?;
    RecursiveQuery::try_new(recursion.name, Arc::new(first), Arc::new(new), true).map(LogicalPlan::RecursiveQuery)
}

fn key_name(idx: usize) -> String {
    format!("c{idx}")
}

/// The columns of `plan` under neutral names, with the side it is.
fn tagged(plan: LogicalPlan, left: i64, right: i64) -> Result<LogicalPlan, DataFusionError> {
    let columns = plan.schema().columns().into_iter().enumerate();
    let mut exprs: Vec<Expr> = columns.map(|(idx, column)| Expr::Column(column).alias(key_name(idx))).collect();
    exprs.extend([lit(left).alias(ON_LEFT), lit(right).alias(ON_RIGHT)]);
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}
