//! Subqueries in place of a value that depend on the row around them by more than equality:
//! `(SELECT max(b.x) FROM b WHERE b.t < a.t)`.
//!
//! The planner's rule groups a subquery by the columns that are equal to outer ones, which are none here. This one takes the
//! different values of the outer columns, joins the subquery's rows to them by its own conditions, groups by them, and joins
//! the result back. Outer values without a row keep their group, so that a count is 0; every aggregate leaves the row that
//! stands for none out by its FILTER.
//!
//! Memory: the plan. The surprising part: the outer rows are asked for twice, so where they may differ from one time to the
//! next nothing is done.

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, NullEquality, Result};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    Aggregate, BinaryExpr, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, lit,
};
use datafusion_optimizer::optimizer::ApplyOrder;
use datafusion_optimizer::{OptimizerConfig, OptimizerRule};

use super::membership::may_change;

/// See the module.
#[derive(Debug)]
pub(super) struct JoinSubqueriesByDomain;

const VALUE: &str = "value";
const THERE: &str = "is_there";

impl OptimizerRule for JoinSubqueriesByDomain {
    fn name(&self) -> &str {
        "join_subqueries_by_domain"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let input = match &plan {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            _ => return Ok(Transformed::no(plan)),
        };
        let mut joined = input.as_ref().clone();
        let names = NamePreserver::new(&plan);
        let mut changed = false;
        let mut exprs = Vec::new();
        for expr in plan.expressions() {
            let name = names.save(&expr);
            let replaced = expr.transform_down(|part| {
                let Expr::ScalarSubquery(subquery) = &part else { return Ok(Transformed::no(part)) };
                let Some(found) = Dependent::of(subquery, input)? else { return Ok(Transformed::no(part)) };
                changed = true;
                let (plan, value) = found.join_to(joined.clone(), config)?;
                joined = plan;
                Ok(Transformed::yes(value))
            })?;
            exprs.push(name.restore(replaced.data));
        }
        if !changed {
            return Ok(Transformed::no(plan));
        }
        let builder = LogicalPlanBuilder::from(joined);
        let rewritten = match &plan {
            LogicalPlan::Projection(_) => builder.project(exprs)?,
            _ => {
                let kept = plan.schema().columns().into_iter().map(Expr::Column);
                builder.filter(conjunction(exprs).unwrap_or(lit(true)))?.project(kept)?
            }
        };
        Ok(Transformed::yes(rewritten.build()?))
    }
}

/// A subquery taken apart.
struct Dependent<'a> {
    /// Over which it is evaluated.
    outer: &'a LogicalPlan,
    /// The outer columns that it reads.
    columns: Vec<Column>,
    /// What is above its aggregation, from the top.
    above: Vec<&'a Projection>,
    aggregate: &'a Aggregate,
    conditions: Vec<Expr>,
    base: &'a LogicalPlan,
}

impl<'a> Dependent<'a> {
    /// `None` where the planner's rule does it, or neither of them can.
    fn of(subquery: &'a Subquery, outer: &'a LogicalPlan) -> Result<Option<Self>> {
        let mut columns: Vec<Column> = Vec::new();
        for expr in &subquery.outer_ref_columns {
            let Expr::OuterReferenceColumn(_, column) = expr else { return Ok(None) };
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        let mut above = Vec::new();
        let mut node = subquery.subquery.as_ref();
        let aggregate = loop {
            match node {
                LogicalPlan::Projection(projection) => {
                    above.push(projection);
                    node = &projection.input;
                }
                LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => break aggregate,
                _ => return Ok(None),
            }
        };
        let mut conditions = Vec::new();
        let mut base = aggregate.input.as_ref();
        loop {
            base = match base {
                LogicalPlan::Filter(filter) => {
                    conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                    &filter.input
                }
                // It only leaves columns out.
                LogicalPlan::Projection(picked) if picked.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) => {
                    &picked.input
                }
                _ => break,
            };
        }
        let is_dependent = |node: &LogicalPlan| Ok(node.expressions().iter().any(Expr::contains_outer));
        let by_library = conditions.iter().all(is_equality) && !aggregate.aggr_expr.iter().any(Expr::contains_outer);
        let known = columns.iter().all(|column| outer.schema().has_column(column));
        if columns.is_empty() || !known || by_library || base.exists(is_dependent)? || may_change(outer)? {
            return Ok(None);
        }
        Ok(Some(Dependent { outer, columns, above, aggregate, conditions, base }))
    }

    /// `joined`, which has the rows of the outer plan, with the value of the subquery for each, and that value.
    fn join_to(&self, joined: LogicalPlan, config: &dyn OptimizerConfig) -> Result<(LogicalPlan, Expr)> {
        let domain = config.alias_generator().next("__domain");
        let alias = config.alias_generator().next("__value");
        let names: Vec<String> = (0..self.columns.len()).map(|idx| format!("d{idx}")).collect();
        let inside: Vec<Column> = names.iter().map(|name| Column::new(Some(domain.clone()), name)).collect();
        let local = |expr: Expr| {
            expr.transform(|part| match &part {
                Expr::OuterReferenceColumn(_, column) => {
                    let at = self.columns.iter().position(|known| known == column).unwrap_or_default();
                    Ok(Transformed::yes(Expr::Column(inside[at].clone())))
                }
                _ => Ok(Transformed::no(part)),
            })
            .data()
        };
        let values = self.columns.iter().zip(&names).map(|(column, name)| Expr::Column(column.clone()).alias(name));
        let values =
            LogicalPlanBuilder::from(self.outer.clone()).project(values)?.distinct()?.alias(domain.as_str())?;
        let there = Column::new(Some(alias.clone()), THERE);
        let all = self.base.schema().columns().into_iter().map(Expr::Column);
        let all = all.chain([lit(true).alias_qualified(Some(alias.clone()), THERE)]);
        let base = LogicalPlanBuilder::from(self.base.clone()).project(all)?.build()?;
        let conditions = self.conditions.iter().cloned().map(local).collect::<Result<Vec<_>>>()?;
        let rows = values.join_on(base, JoinType::Left, conditions)?;
        let aggregates = self.aggregate.aggr_expr.iter().map(|expr| {
            let name = expr.schema_name().to_string();
            Ok(only_there(local(expr.clone().unalias())?, &there)?.alias(name))
        });
        let groups = inside.iter().cloned().map(Expr::Column);
        let mut found = rows.aggregate(groups, aggregates.collect::<Result<Vec<_>>>()?)?;
        for projection in self.above.iter().rev() {
            let exprs = projection.expr.iter().cloned().map(local).collect::<Result<Vec<_>>>()?;
            found = found.project(exprs.into_iter().chain(inside.iter().cloned().map(Expr::Column)))?;
        }
        let schema = found.schema();
        let at = if self.above.is_empty() { self.columns.len() } else { 0 };
        let value = Expr::Column(Column::from(schema.qualified_field(at))).alias(VALUE);
        let keys = inside.iter().zip(&names).map(|(column, name)| Expr::Column(column.clone()).alias(name));
        let found = found.clone().project(std::iter::once(value).chain(keys))?.alias(alias.as_str())?.build()?;
        let right: Vec<Column> = names.iter().map(|name| Column::new(Some(alias.clone()), name)).collect();
        let keys = (self.columns.clone(), right);
        let plan = LogicalPlanBuilder::from(joined)
            .join_detailed(found, JoinType::Left, keys, None, NullEquality::NullEqualsNull)?
            .build()?;
        Ok((plan, Expr::Column(Column::new(Some(alias), VALUE))))
    }
}

/// Whether the planner's rule understands a condition: it has no outer column, or is equal to one.
fn is_equality(condition: &Expr) -> bool {
    match condition {
        _ if !condition.contains_outer() => true,
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            left.contains_outer() != right.contains_outer()
        }
        _ => false,
    }
}

/// The aggregate over the rows that are there.
fn only_there(aggregate: Expr, there: &Column) -> Result<Expr> {
    let is_there = Expr::Column(there.clone()).is_not_null();
    aggregate
        .transform_down(|part| match part {
            Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
                let filter = match params.filter.take() {
                    Some(filter) => filter.and(is_there.clone()),
                    None => is_there.clone(),
                };
                params.filter = Some(Box::new(filter));
                Ok(Transformed::new(
                    Expr::AggregateFunction(AggregateFunction { func, params }),
                    true,
                    datafusion_common::tree_node::TreeNodeRecursion::Jump,
                ))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
}
