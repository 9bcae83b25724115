//! The plan of a frame, and what is known of the order of its rows.
//!
//! Windows leave rows in the order of their partitions, but a verb of the frame leaves them where they were. Rather than sort
//! after every window, the rows carry their number in a hidden column, and are brought back in order only when somebody
//! looks: a grouping or a sort never does.

use std::collections::HashSet;

use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_expr::expr::Sort;
use datafusion_expr::utils::{find_aggregate_exprs, find_window_exprs};
use datafusion_expr::{Expr as Planned, LogicalPlanBuilder};

use super::expr::{Aggregate, Expr, Node};
use super::resolve::{Over, Resolver, expand, find_column, output_name};
use crate::error::{Error, Result};
use crate::physical::NumberRows;
use crate::plan::LogicalPlan;
use crate::sql::plan_failure;

/// The hidden column with the number of each row.
const ROW: &str = "__brimful_row";

/// Whether a column is none of the user's.
pub(super) fn is_hidden(name: &str) -> bool {
    name == ROW
}

/// A plan and the order of its rows.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) plan: LogicalPlan,
    order: RowOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowOrder {
    /// That of the plan.
    Kept,
    /// None that anybody could rely on.
    Any,
    /// That of the hidden column.
    Hidden,
}

impl Rows {
    /// The rows of `plan` in its order.
    pub(super) fn ordered(plan: LogicalPlan) -> Self {
        Rows { plan, order: RowOrder::Kept }
    }

    /// The rows of `plan` in any order.
    pub(super) fn unordered(plan: LogicalPlan) -> Self {
        Rows { plan, order: RowOrder::Any }
    }

    fn with_plan(&self, plan: LogicalPlan) -> Self {
        Rows { plan, order: self.order }
    }

    /// The user's columns.
    pub(super) fn columns(&self) -> Vec<Column> {
        let schema = self.plan.schema();
        schema.columns().into_iter().filter(|column| !is_hidden(&column.name)).collect()
    }

    /// The names of the user's columns.
    pub(super) fn names(&self) -> Vec<String> {
        self.columns().into_iter().map(|column| column.name).collect()
    }

    fn hidden(&self) -> Option<Planned> {
        find_column(self.plan.schema(), ROW).map(Planned::Column)
    }

    /// How expressions over single rows, and windows, are resolved.
    pub(super) fn resolver(&self) -> Resolver<'_> {
        Resolver::new(self.plan.schema(), Over::all_rows(), self.hidden())
    }

    /// With the number of each row, unless nothing is known of their order.
    pub(super) fn numbered(self) -> Result<Self> {
        if self.order == RowOrder::Any || self.hidden().is_some() {
            return Ok(self);
        }
        let plan = NumberRows::plan(self.plan.clone(), ROW).map_err(plan_failure)?;
        Ok(self.with_plan(plan))
    }

    /// With a number for each row even where the order is not known, and the column that it is in.
    pub(super) fn counted(self) -> Result<(Self, Planned)> {
        let rows = match self.order {
            RowOrder::Any => Rows::ordered(self.plan).numbered()?,
            _ => self.numbered()?,
        };
        match rows.hidden() {
            Some(row) => Ok((rows, row)),
            None => Err(Error::query("rows have lost their number")),
        }
    }

    /// The plan with the rows in order and without the hidden column.
    pub(super) fn in_order(self) -> Result<LogicalPlan> {
        let Some(row) = self.hidden() else { return Ok(self.plan) };
        let columns = self.columns();
        let mut builder = LogicalPlanBuilder::from(self.plan);
        if self.order == RowOrder::Hidden {
            builder = builder.sort(vec![Sort::new(row, true, false)]).map_err(plan_failure)?;
        }
        builder
            .project(columns.into_iter().map(Planned::Column))
            .and_then(LogicalPlanBuilder::build)
            .map_err(plan_failure)
    }

    /// The rows for a verb that keeps their order: as [`Rows::in_order`].
    pub(super) fn settled(self) -> Result<Self> {
        let order = if self.order == RowOrder::Any { RowOrder::Any } else { RowOrder::Kept };
        Ok(Rows { plan: self.in_order()?, order })
    }

    /// The plan without the hidden column, for a verb that does not look at the order.
    pub(super) fn in_any_order(self) -> Result<LogicalPlan> {
        match self.hidden() {
            Some(_) => self.project_plan(self.columns().into_iter().map(Planned::Column).collect()),
            None => Ok(self.plan),
        }
    }

    fn project_plan(&self, exprs: Vec<Planned>) -> Result<LogicalPlan> {
        LogicalPlanBuilder::from(self.plan.clone())
            .project(exprs)
            .and_then(LogicalPlanBuilder::build)
            .map_err(plan_failure)
    }

    /// The columns `exprs` of these rows; what is hidden stays. No two may have one name.
    pub(super) fn project(&self, mut exprs: Vec<Planned>) -> Result<Self> {
        check_names(&exprs)?;
        exprs.extend(self.hidden());
        Ok(self.with_plan(self.project_plan(exprs)?))
    }

    /// The rows for which `predicate` holds.
    pub(super) fn filter(self, predicate: Planned) -> Result<Self> {
        let plan = LogicalPlanBuilder::from(self.plan.clone()).filter(predicate).and_then(LogicalPlanBuilder::build);
        Ok(self.with_plan(plan.map_err(plan_failure)?))
    }

    /// Ready for `exprs`: with numbers where any of them looks at the order of rows, or puts them out of order.
    pub(super) fn ready_for(self, exprs: &[Expr]) -> Result<Self> {
        if exprs.iter().any(makes_window) { self.numbered() } else { Ok(self) }
    }

    /// These rows with the windows in `exprs` as columns, and the expressions over those.
    pub(super) fn with_windows(self, exprs: Vec<Planned>) -> Result<(Self, Vec<Planned>)> {
        let (mut rows, mut exprs) = (self, exprs);
        loop {
            let windows = innermost_windows(&exprs)?;
            if windows.is_empty() {
                return Ok((rows, exprs));
            }
            let plan = LogicalPlanBuilder::window_plan(rows.plan, windows.clone()).map_err(plan_failure)?;
            let order = if rows.order == RowOrder::Any { RowOrder::Any } else { RowOrder::Hidden };
            rows = Rows { plan, order };
            exprs = exprs.into_iter().map(|expr| with_columns_for(expr, &windows)).collect::<Result<_>>()?;
        }
    }

    /// One row for each group of rows that are equal in `keys`: the keys, then `exprs`.
    pub(super) fn aggregate(self, keys: &[Expr], exprs: &[Expr]) -> Result<Self> {
        let rows = if exprs.iter().any(looks_at_order) { self.numbered()? } else { self };
        let schema = rows.plan.schema().clone();
        let keys = expand(keys, &schema)?;
        let rows = rows.ready_for(&keys)?;
        let by_row = rows.resolver();
        let keys: Vec<Planned> = keys.iter().map(|key| by_row.resolve_named(key)).collect::<Result<_>>()?;
        let plain_keys: Vec<Planned> = keys.iter().map(|key| key.clone().unalias()).collect();
        let by_group = Resolver::new(rows.plan.schema(), Over::Group { keys: plain_keys }, rows.hidden());
        let exprs = expand(exprs, &schema)?;
        let exprs: Vec<Expr> = exprs.into_iter().filter(|expr| !names_key(expr, &keys)).collect();
        let results = exprs.iter().map(|expr| by_group.resolve_named(expr)).collect::<Result<Vec<_>>>()?;
        let n_keys = keys.len();
        let (rows, planned) = rows.clone().with_windows(keys.into_iter().chain(results).collect())?;
        rows.group(planned, n_keys)
    }

    /// Groups by the first `n_keys` of `exprs`; the others have aggregates in them.
    fn group(self, mut exprs: Vec<Planned>, n_keys: usize) -> Result<Self> {
        let results = exprs.split_off(n_keys);
        let aggregates = find_aggregate_exprs(&results);
        let named = under_names_of_their_own(&aggregates);
        let plan = LogicalPlanBuilder::from(self.plan)
            .aggregate(exprs.clone(), named)
            .and_then(LogicalPlanBuilder::build)
            .map_err(plan_failure)?;
        let columns = plan.schema().columns();
        let mut known: Vec<(Planned, Planned)> = Vec::new();
        for (expr, column) in exprs.iter().map(|key| key.clone().unalias()).chain(aggregates).zip(&columns) {
            known.push((expr, Planned::Column(column.clone())));
        }
        let mut output: Vec<Planned> = columns[..n_keys].iter().map(|column| Planned::Column(column.clone())).collect();
        for result in results {
            output.push(replaced(result, &known)?);
        }
        Rows::unordered(plan).project(output)
    }
}

/// The same, where the planner would call two of them the same: a cast is not a part of its names.
fn under_names_of_their_own(aggregates: &[Planned]) -> Vec<Planned> {
    let mut names = HashSet::new();
    let named = aggregates.iter().enumerate().map(|(idx, aggregate)| {
        let name = aggregate.schema_name().to_string();
        let other = format!("{name} ({idx})");
        if names.insert(name) { aggregate.clone() } else { aggregate.clone().alias(other) }
    });
    named.collect()
}

/// Whether `expr` only repeats a key.
fn names_key(expr: &Expr, keys: &[Planned]) -> bool {
    match expr.node.as_ref() {
        Node::Column(name) => keys.iter().any(|key| key.qualified_name().1 == *name),
        _ => false,
    }
}

/// The windows in `exprs` that have no others in them, each once.
fn innermost_windows(exprs: &[Planned]) -> Result<Vec<Planned>> {
    let mut found: Vec<Planned> = Vec::new();
    for expr in exprs {
        let visited = expr.apply(|part| {
            if let Planned::WindowFunction(call) = part {
                let params = &call.params;
                let order = params.order_by.iter().map(|key| &key.expr);
                let inside = params.args.iter().chain(&params.partition_by).chain(order);
                let inside = inside.chain(params.filter.as_deref());
                if find_window_exprs(inside).is_empty() && !found.contains(part) {
                    found.push(part.clone());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visited.map_err(plan_failure)?;
    }
    Ok(found)
}

/// `expr` with the columns of `windows` in place of the windows.
fn with_columns_for(expr: Planned, windows: &[Planned]) -> Result<Planned> {
    let column = |window: &Planned| Planned::Column(Column::new_unqualified(window.schema_name().to_string()));
    let known: Vec<(Planned, Planned)> = windows.iter().map(|window| (window.clone(), column(window))).collect();
    replaced(expr, &known)
}

/// `expr` with each of the known expressions in it replaced by its column, under the same name.
fn replaced(expr: Planned, known: &[(Planned, Planned)]) -> Result<Planned> {
    let name = expr.qualified_name().1;
    let replace = |part: Planned| match known.iter().find(|(from, _)| *from == part) {
        Some((_, column)) => Ok(Transformed::new(column.clone(), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(part)),
    };
    let replaced = expr.transform_down(replace).data().map_err(plan_failure)?;
    let same = replaced.qualified_name().1 == name;
    Ok(if same { replaced } else { replaced.alias(name) })
}

fn check_names(exprs: &[Planned]) -> Result<()> {
    let mut names = std::collections::HashSet::new();
    for expr in exprs {
        let name = expr.qualified_name().1;
        if is_hidden(&name) {
            return Err(Error::usage(format!("a column cannot be called {name:?}")));
        }
        if !names.insert(name.clone()) {
            return Err(Error::usage(format!("two columns are called {name:?}"))
                .with_hint("give one of them another name with alias(\"..\")"));
        }
    }
    Ok(())
}

/// Whether `expr` makes a window when it stands among rows.
pub(super) fn makes_window(expr: &Expr) -> bool {
    match expr.node.as_ref() {
        Node::Running(..) | Node::Over { .. } | Node::Aggregate(..) => true,
        node => node.children().into_iter().any(makes_window),
    }
}

/// Whether the value of `expr` depends on the order of rows.
fn looks_at_order(expr: &Expr) -> bool {
    match expr.node.as_ref() {
        Node::Running(..) | Node::Column(_) => matches!(expr.node.as_ref(), Node::Running(..)),
        Node::Aggregate(Aggregate::First | Aggregate::Last | Aggregate::Implode, _) => true,
        node => node.children().into_iter().any(looks_at_order),
    }
}

/// Whether `expr` is one value, whatever the number of rows, and whether there is an aggregate in it.
pub(super) fn is_one_value(expr: &Expr) -> (bool, bool) {
    match expr.node.as_ref() {
        Node::Literal(_) => (true, false),
        Node::Aggregate(..) => (true, true),
        Node::Column(_) | Node::Columns(_) | Node::Running(..) | Node::Over { .. } => (false, false),
        node => {
            let children = node.children().into_iter().map(is_one_value);
            children.fold((true, false), |(all, any), (one, has)| (all && one, any || has))
        }
    }
}

/// The names of the columns that `exprs` make.
pub(super) fn output_names(exprs: &[Expr]) -> Result<Vec<String>> {
    exprs.iter().map(output_name).collect()
}
