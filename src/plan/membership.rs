//! IN and NOT IN with a subquery, where it matters whether the answer is false or not known.
//!
//! The planner's rules turn `x IN (list)` inside of other conditions into a column that says whether there is a match, true
//! or false, and a join for NOT IN that knows NULLs but only one comparison. Both are right only where "not known" and
//! "false" (for NOT IN: where nothing but the comparison decides) come to the same. Everywhere else this rule spells out
//! what is asked, before they see it: `x IN (list)` is not false when a value of the list is equal to x, or NULL, or when x is NULL
//! and the list has a value.
//!
//! Memory: the plan. The subquery is run up to three times, each time in a join by key or without any condition, so one that
//! may give other rows the next time is refused.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DataFusionError, JoinType, Result, ScalarValue, Spans};
use datafusion_expr::expr::{BinaryExpr, Exists, InSubquery};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, ExprSchemable, Filter, Join, LogicalPlan, Operator, Projection, Subquery, lit, when};

use crate::error::Error;

/// Spells out what has to be. Conditions are in filters and joins; what a projection computes may become one when it is
/// pushed down.
///
/// # Errors
/// When an expression has no type, and where IN with a subquery stands anywhere else.
pub(super) fn spell_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Filter(filter) if has_membership(&filter.predicate) => {
            let Filter { predicate, input, .. } = filter;
            let rewriter = Rewriter { outer: input.schema() };
            let predicate = rewriter.rewrite(predicate, Asked::IsTrue, true)?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
        }
        LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_membership) => {
            Ok(Transformed::yes(spell_out_join(join)?))
        }
        LogicalPlan::Projection(Projection { expr, input, .. }) if expr.iter().any(has_membership) => {
            let rewriter = Rewriter { outer: input.schema() };
            let names = NamePreserver::new_for_projection();
            let expr = expr.into_iter().map(|expr| {
                let name = names.save(&expr);
                Ok(name.restore(rewriter.rewrite(expr, Asked::Which, false)?))
            });
            let expr: Vec<Expr> = expr.collect::<Result<_>>()?;
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(expr, input)?)))
        }
        other if other.expressions().iter().any(has_membership) => Err(out_of_place()),
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

/// Gives converted values of lists a name of their own. A conversion is called as what it converts, and a subquery that
/// depends on the row around it may need that, too.
///
/// # Errors
/// None of its own.
pub(super) fn name_converted_lists(plan: LogicalPlan) -> Result<LogicalPlan> {
    let name = |part: Expr| {
        let Expr::InSubquery(InSubquery { expr, mut subquery, negated }) = part else {
            return Ok(Transformed::no(part));
        };
        let converted = match subquery.subquery.as_ref() {
            LogicalPlan::Projection(list) => list.expr.first().filter(|value| matches!(value, Expr::Cast(_))).cloned(),
            _ => None,
        };
        let is_renamed = converted.is_some();
        if let (Some(value), LogicalPlan::Projection(list)) = (converted, subquery.subquery.as_ref()) {
            let list = Projection::try_new(vec![value.alias(LISTED)], list.input.clone())?;
            subquery.subquery = Arc::new(LogicalPlan::Projection(list));
        }
        Ok(Transformed::new_transformed(Expr::InSubquery(InSubquery { expr, subquery, negated }), is_renamed))
    };
    let renamed = plan.transform_up_with_subqueries(|node| node.map_expressions(|expr| expr.transform_up(name)))?;
    Ok(renamed.data)
}

/// The name of a converted value of a list.
const LISTED: &str = "listed value";

/// Makes sure that every IN and EXISTS has become a join.
///
/// # Errors
/// A usage error when one stands where no rule makes a join of it.
pub(super) fn check_none_left(plan: &LogicalPlan) -> Result<()> {
    let is_left = |expr: &Expr| Ok(matches!(expr, Expr::InSubquery(_) | Expr::Exists(_)));
    let node_has = |node: &LogicalPlan| Ok(node.expressions().iter().any(|expr| expr.exists(is_left).unwrap_or(false)));
    if plan.exists(node_has)? { Err(out_of_place()) } else { Ok(()) }
}

fn out_of_place() -> DataFusionError {
    refused(
        "IN or EXISTS with a subquery is not supported outside of SELECT lists, WHERE and HAVING",
        "write it as a LEFT JOIN, or as a count: (SELECT count(*) FROM .. WHERE ..) > 0",
    )
}

/// The conditions of an inner join may as well be checked above it, where all of them can be lowered.
fn spell_out_join(mut join: Join) -> Result<LogicalPlan> {
    let both = join.left.schema().join(join.right.schema())?;
    let rewriter = Rewriter { outer: &both };
    let Some(filter) = join.filter.take() else { return Ok(LogicalPlan::Join(join)) };
    if join.join_type != JoinType::Inner {
        join.filter = Some(rewriter.rewrite(filter, Asked::IsTrue, true)?);
        return Ok(LogicalPlan::Join(join));
    }
    let (above, stays): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter).into_iter().partition(has_membership);
    join.filter = conjunction(stays);
    let joined = Arc::new(LogicalPlan::Join(join));
    match conjunction(above) {
        None => Ok(Arc::unwrap_or_clone(joined)),
        Some(above) => {
            let above = rewriter.rewrite(above, Asked::IsTrue, true)?;
            Ok(LogicalPlan::Filter(Filter::try_new(above, joined)?))
        }
    }
}

fn has_membership(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_)))).unwrap_or(false)
}

fn refused(message: &str, hint: &str) -> DataFusionError {
    DataFusionError::External(Box::new(Error::usage(message).with_hint(hint)))
}

/// Whether running the list again may give other rows.
pub(super) fn may_change(list: &LogicalPlan) -> Result<bool> {
    let mut changes = false;
    list.apply_with_subqueries(|node| {
        let is_cut = matches!(node, LogicalPlan::Limit(limit) if !is_sorted(&limit.input));
        changes |= is_cut || node.expressions().iter().any(Expr::is_volatile);
        Ok(if changes { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(changes)
}

fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        _ => false,
    }
}

/// What whoever reads a condition wants to know of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether it is true; false and NULL are the same.
    IsTrue,
    /// Whether it is false; true and NULL are the same.
    IsFalse,
    /// Which of the three it is.
    Which,
}

impl Asked {
    /// What is asked of the operand of a NOT.
    fn negated(self) -> Self {
        match self {
            Asked::IsTrue => Asked::IsFalse,
            Asked::IsFalse => Asked::IsTrue,
            Asked::Which => Asked::Which,
        }
    }
}

struct Rewriter<'a> {
    /// Of the plan that the condition is about.
    outer: &'a DFSchema,
}

impl Rewriter<'_> {
    /// `is_conjunct`: whether a row is kept only when the condition is true, whatever else there is.
    fn rewrite(&self, expr: Expr, asked: Asked, is_conjunct: bool) -> Result<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let is_conjunct = is_conjunct && op == Operator::And;
                let left = self.rewrite(*left, asked, is_conjunct)?;
                let right = self.rewrite(*right, asked, is_conjunct)?;
                Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
            }
            Expr::Not(inner) => match *inner {
                Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                    let flipped = InSubquery { expr, subquery, negated: !negated };
                    self.rewrite_membership(flipped, asked, is_conjunct)
                }
                inner => Ok(!self.rewrite(inner, asked.negated(), false)?),
            },
            Expr::InSubquery(membership) => self.rewrite_membership(membership, asked, is_conjunct),
            other if has_membership(&other) => {
                let rewritten =
                    other.map_children(|child| self.rewrite(child, Asked::Which, false).map(Transformed::yes))?;
                Ok(rewritten.data)
            }
            other => Ok(other),
        }
    }

    fn rewrite_membership(&self, membership: InSubquery, asked: Asked, is_conjunct: bool) -> Result<Expr> {
        let asked_of_in = if membership.negated { asked.negated() } else { asked };
        let is_correlated = !membership.subquery.outer_ref_columns.is_empty();
        let is_column = membership.expr.any_column_refs();
        let is_join = is_conjunct && membership.negated && !is_correlated && is_column;
        if asked_of_in == Asked::IsTrue || is_join {
            return Ok(Expr::InSubquery(membership));
        }
        let InSubquery { expr, subquery, negated } = membership;
        let may_be_null = subquery.subquery.schema().field(0).is_nullable() || expr.nullable(self.outer)?;
        if may_be_null && (expr.is_volatile() || may_change(&subquery.subquery)?) {
            return Err(refused(
                "this IN may give something else each time it is run, and is run again to know its NULLs",
                "CREATE TEMP TABLE .. AS keeps the rows of the list; ORDER BY goes before LIMIT",
            ));
        }
        let known = Expr::InSubquery(InSubquery::new(expr.clone(), subquery.clone(), negated));
        let not_known = self.not_known(&expr, &subquery)?;
        if asked_of_in == Asked::Which {
            let null = Expr::Literal(ScalarValue::Boolean(None), None);
            let is_in = Expr::InSubquery(InSubquery::new(expr, subquery, false));
            let parts = not_known.into_iter().map(|(part, _)| part).reduce(Expr::or);
            let Some(not_known) = parts else { return Ok(known) };
            return when(is_in, lit(!negated)).when(not_known, null).otherwise(lit(negated));
        }
        // Asked whether it is false: what is not known counts as a match. Standing alone, NOT IN would become the join
        // that knows NULLs but only one comparison.
        let known = if is_conjunct { Expr::IsTrue(Box::new(known)) } else { known };
        Ok(match negated {
            true => not_known.into_iter().fold(known, |all, (_, negated_part)| all.and(negated_part)),
            false => not_known.into_iter().fold(known, |all, (part, _)| all.or(part)),
        })
    }

    /// When it is not known whether `expr` is in the list, if it is not: two conditions, each with its negation.
    fn not_known(&self, expr: &Expr, list: &Subquery) -> Result<Vec<(Expr, Expr)>> {
        let mut parts = Vec::new();
        if list.subquery.schema().field(0).is_nullable() {
            let (exists, not_exists) = self.exists_null(list)?;
            parts.push((exists, not_exists));
        }
        if expr.nullable(self.outer)? {
            let exists = |negated| Expr::Exists(Exists { subquery: list.clone(), negated });
            parts.push((expr.clone().is_null().and(exists(false)), expr.clone().is_not_null().or(exists(true))));
        }
        Ok(parts)
    }

    /// Whether the list has a NULL.
    fn exists_null(&self, list: &Subquery) -> Result<(Expr, Expr)> {
        let value = Expr::Column(Column::from(list.subquery.schema().qualified_field(0)));
        let nulls = LogicalPlan::Filter(Filter::try_new(value.is_null(), list.subquery.clone())?);
        let subquery = Subquery {
            subquery: Arc::new(nulls),
            outer_ref_columns: list.outer_ref_columns.clone(),
            spans: Spans::new(),
        };
        let exists = |negated| Expr::Exists(Exists { subquery: subquery.clone(), negated });
        Ok((exists(false), exists(true)))
    }
}
