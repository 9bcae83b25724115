//! Types that set operations agree on, told to the subqueries that depend on their rows.
//!
//! Memory: none beside the plan.
//! The planner gives a UNION the types of its first branch and makes the others agree much later. By then a correlated
//! subquery has noted the type of each outer column that it reads. So what they agree on is found out before, and every
//! outer column is given the type that it has now.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DFSchemaRef, Result};
use datafusion_expr::{Expr, LogicalPlan, Subquery, Union};
use datafusion_optimizer::analyzer::type_coercion::coerce_union_schema;

/// Gives the unions of `plan` the types that their branches agree on, and all that read their rows.
///
/// # Errors
/// When branches have nothing in common.
pub(super) fn agree_on_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut has_union = false;
    plan.apply_with_subqueries(|node| {
        has_union |= matches!(node, LogicalPlan::Union(_));
        Ok(TreeNodeRecursion::Continue)
    })?;
    if has_union { agree(plan, &[]) } else { Ok(plan) }
}

/// `outer`: the columns around `plan`, innermost first.
fn agree(plan: LogicalPlan, outer: &[DFSchemaRef]) -> Result<LogicalPlan> {
    // What stands on the right of a lateral join depends on its left side.
    let plan = match plan {
        LogicalPlan::Join(mut join) => {
            join.left = Arc::new(agree(Arc::unwrap_or_clone(join.left), outer)?);
            let around: Vec<DFSchemaRef> =
                std::iter::once(join.left.schema().clone()).chain(outer.iter().cloned()).collect();
            join.right = Arc::new(agree(Arc::unwrap_or_clone(join.right), &around)?);
            LogicalPlan::Join(join)
        }
        LogicalPlan::Subquery(subquery) => LogicalPlan::Subquery(agree_in(subquery, outer)?),
        other => other.map_children(|child| agree(child, outer).map(Transformed::yes))?.data,
    };
    let plan = match plan {
        LogicalPlan::Union(Union { inputs, schema }) => {
            let schema = agreed_schema(&inputs, schema)?;
            LogicalPlan::Union(Union { inputs, schema })
        }
        other => other,
    };
    let inputs = plan.inputs().into_iter().map(|input| input.schema().clone());
    let around: Vec<DFSchemaRef> = inputs.chain(outer.iter().cloned()).collect();
    let plan = plan.map_expressions(|expr| {
        expr.transform_up(|part| {
            Ok(match part {
                Expr::ScalarSubquery(subquery) => Transformed::yes(Expr::ScalarSubquery(agree_in(subquery, &around)?)),
                Expr::Exists(mut exists) => {
                    exists.subquery = agree_in(exists.subquery, &around)?;
                    Transformed::yes(Expr::Exists(exists))
                }
                Expr::InSubquery(mut membership) => {
                    membership.subquery = agree_in(membership.subquery, &around)?;
                    Transformed::yes(Expr::InSubquery(membership))
                }
                Expr::SetComparison(mut comparison) => {
                    comparison.subquery = agree_in(comparison.subquery, &around)?;
                    Transformed::yes(Expr::SetComparison(comparison))
                }
                Expr::OuterReferenceColumn(..) => Transformed::yes(as_it_is(part, outer)),
                other => Transformed::no(other),
            })
        })
    })?;
    plan.data.recompute_schema()
}

/// `schema` with the types of the branches; as it is where the analyzer will say what is wrong with them.
fn agreed_schema(branches: &[Arc<LogicalPlan>], schema: DFSchemaRef) -> Result<DFSchemaRef> {
    let Ok(agreed) = coerce_union_schema(branches) else { return Ok(schema) };
    let fields = schema.iter().zip(agreed.fields()).map(|((qualifier, field), agreed)| {
        let field = field.as_ref().clone().with_data_type(agreed.data_type().clone());
        (qualifier.cloned(), Arc::new(field.with_nullable(agreed.is_nullable())))
    });
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?))
}

fn agree_in(subquery: Subquery, around: &[DFSchemaRef]) -> Result<Subquery> {
    let plan = Arc::new(agree(Arc::unwrap_or_clone(subquery.subquery), around)?);
    let outer_ref_columns = subquery.outer_ref_columns.into_iter().map(|column| as_it_is(column, around)).collect();
    Ok(Subquery { subquery: plan, outer_ref_columns, spans: subquery.spans })
}

/// An outer column with the type that it has in the innermost plan that has it.
fn as_it_is(expr: Expr, outer: &[DFSchemaRef]) -> Expr {
    match expr {
        Expr::OuterReferenceColumn(field, column) => {
            let found = outer.iter().find_map(|schema| schema.qualified_field_from_column(&column).ok());
            Expr::OuterReferenceColumn(found.map_or(field, |(_, found)| found.clone()), column)
        }
        other => other,
    }
}
