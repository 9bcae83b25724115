//! IN and NOT IN with a subquery, where it matters whether the answer is false or not known.
//!
//! The planner's rules turn `x IN (list)` inside of other conditions into a column that says whether there is a match, true
//! or false, and a join for NOT IN that knows NULLs but only one comparison. Both are right only where "not known" and
//! "false" (for NOT IN: where nothing but the comparison decides) come to the same. Everywhere else this rule spells out
//! what is asked, before they see it: `x IN (list)` is not false when a value of the list is equal to x, or NULL, or when x is NULL
//! and the list has a value.
//!
//! Memory: the plan. The subquery is run up to three times, each time in a join by key or without any condition.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result, ScalarValue, Spans};
use datafusion_expr::expr::{BinaryExpr, Exists, InSubquery};
use datafusion_expr::{Expr, ExprSchemable, Filter, LogicalPlan, Operator, Subquery, lit, when};

/// Spells out what has to be.
///
/// # Errors
/// When an expression has no type.
pub(super) fn spell_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Filter(filter) if has_membership(&filter.predicate) => {
            let Filter { predicate, input, .. } = filter;
            let rewriter = Rewriter { outer: input.schema() };
            let predicate = rewriter.rewrite(predicate, Asked::IsTrue, true)?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

fn has_membership(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_)))).unwrap_or(false)
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
