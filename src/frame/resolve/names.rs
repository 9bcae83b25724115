//! What the columns of a result are called, and expressions that stand for several columns.

use datafusion_common::DFSchema;

use super::{unknown_column, visible_names};
use crate::error::{Error, Result};
use crate::frame::expr::{Expr, Node, Selection};

/// The name of the column that `expr` makes: the last alias, else the first column in it.
pub(in crate::frame) fn output_name(expr: &Expr) -> Result<String> {
    match expr.node.as_ref() {
        Node::Alias(_, name) => Ok(name.clone()),
        Node::Affix { input, prefix, suffix } => {
            let root = root_name(input).ok_or_else(|| {
                Error::usage("an expression without columns has no name to keep")
                    .with_hint("name it with alias(\"..\")")
            })?;
            Ok(format!("{prefix}{root}{suffix}"))
        }
        // The value decides, as in Polars.
        Node::Case { branches, otherwise } => match branches.first().map(|(_, value)| value).or(otherwise.as_ref()) {
            Some(value) => output_name(value),
            None => Ok("literal".to_string()),
        },
        Node::Literal(_) => Ok("literal".to_string()),
        Node::Column(name) => Ok(name.clone()),
        Node::Named(name, args) if args.is_empty() => Ok(name.clone()),
        node => match node.children().first() {
            Some(first) => output_name(first),
            None => Ok("literal".to_string()),
        },
    }
}

/// The first column in `expr`.
fn root_name(expr: &Expr) -> Option<String> {
    match expr.node.as_ref() {
        Node::Column(name) => Some(name.clone()),
        node => node.children().into_iter().find_map(root_name),
    }
}

/// Expressions with a selection of columns in them, once for each column.
pub(in crate::frame) fn expand(exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Expr>> {
    let mut expanded = Vec::with_capacity(exprs.len());
    for expr in exprs {
        match selection(expr) {
            None => expanded.push(expr.clone()),
            Some(selection) => {
                for name in selected(selection, schema)? {
                    expanded.push(with_column(expr, &name));
                }
            }
        }
    }
    Ok(expanded)
}

/// The first selection of columns in `expr`.
fn selection(expr: &Expr) -> Option<&Selection> {
    match expr.node.as_ref() {
        Node::Columns(selection) => Some(selection),
        node => node.children().into_iter().find_map(selection),
    }
}

fn selected(selection: &Selection, schema: &DFSchema) -> Result<Vec<String>> {
    let known = || visible_names(schema);
    match selection {
        Selection::Named(names) => match names.iter().find(|name| !known().any(|known| known == *name)) {
            Some(missing) => Err(unknown_column(missing, known())),
            None => Ok(names.clone()),
        },
        Selection::AllExcept(left_out) => match left_out.iter().find(|name| !known().any(|known| known == *name)) {
            Some(missing) => Err(unknown_column(missing, known())),
            None => Ok(known().filter(|name| !left_out.iter().any(|out| out == name)).map(str::to_string).collect()),
        },
    }
}

/// `expr` with the column `name` in place of every selection.
fn with_column(expr: &Expr, name: &str) -> Expr {
    let of = |expr: &Expr| with_column(expr, name);
    let all = |exprs: &[Expr]| exprs.iter().map(of).collect::<Vec<_>>();
    Expr::new(match expr.node.as_ref() {
        Node::Columns(_) => Node::Column(name.to_string()),
        Node::Column(_) | Node::Literal(_) => return expr.clone(),
        Node::Alias(input, alias) => Node::Alias(of(input), alias.clone()),
        Node::Affix { input, prefix, suffix } => {
            Node::Affix { input: of(input), prefix: prefix.clone(), suffix: suffix.clone() }
        }
        Node::Binary { left, op, right } => Node::Binary { left: of(left), op: *op, right: of(right) },
        Node::Not(input) => Node::Not(of(input)),
        Node::Negative(input) => Node::Negative(of(input)),
        Node::Cast { input, to, strict } => Node::Cast { input: of(input), to: to.clone(), strict: *strict },
        Node::Case { branches, otherwise } => Node::Case {
            branches: branches.iter().map(|(condition, value)| (of(condition), of(value))).collect(),
            otherwise: otherwise.as_ref().map(of),
        },
        Node::IsIn(input, values) => Node::IsIn(of(input), all(values)),
        Node::Call(function, args) => Node::Call(function.clone(), all(args)),
        Node::Named(function, args) => Node::Named(function.clone(), all(args)),
        Node::Aggregate(aggregate, args) => Node::Aggregate(*aggregate, all(args)),
        Node::Filtered(input, predicate) => Node::Filtered(of(input), of(predicate)),
        Node::Running(running, args) => Node::Running(*running, all(args)),
        Node::Over { input, options } => Node::Over { input: of(input), options: options.clone() },
    })
}
