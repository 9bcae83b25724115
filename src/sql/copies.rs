//! How large a query becomes when every WITH is put in where it is named, counted on the parsed text: the planner makes these
//! copies before there is a plan to count.
//!
//! Memory: a number for each WITH. The surprising part: sixteen WITH on top of one another, each used twice, are a short text
//! and 65,536 copies of the first.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{Expr, ObjectName, ObjectNamePart, Query, TableFactor, Visit, Visitor};

use super::clauses::folded;
use crate::error::{Error, Result};
use crate::memory::Memory;

/// What the planner holds for a table or a subquery, and for a part of an expression; as in [`crate::plan::check_size`].
const BYTES_PER_TABLE: u64 = 4096;
const BYTES_PER_EXPR: u64 = 768;

/// Refuses a query whose copies do not fit into memory.
///
/// # Errors
/// [`crate::ErrorKind::Budget`].
pub(super) fn check_copies(query: &Query, memory: &Memory) -> Result<()> {
    check_bytes(copied_bytes(query), memory)
}

/// What the planner holds for all of `query`.
pub(super) fn copied_bytes(query: &Query) -> u64 {
    let mut count = Count { open: vec![Scope::default()] };
    let _ = query.visit(&mut count);
    count.open.first().map_or(0, |scope| scope.bytes)
}

/// Refuses so many bytes if they do not fit into memory.
///
/// # Errors
/// [`crate::ErrorKind::Budget`].
pub(super) fn check_bytes(bytes: u64, memory: &Memory) -> Result<()> {
    if bytes <= memory.governed_bytes() {
        return Ok(());
    }
    let error = Error::budget(format!("planning this takes more than {} MiB", memory.governed_bytes() >> 20));
    Err(error.with_hint(
        "a WITH or view is put in wherever it is named, so using each twice doubles the query every time: CREATE TEMP \
         TABLE .. AS keeps the rows of one",
    ))
}

/// Queries that are being counted, the innermost last.
struct Count {
    open: Vec<Scope>,
}

/// A query, of which the WITH come before anything else.
#[derive(Default)]
struct Scope {
    bytes: u64,
    /// Names of its WITH, and how large those that are known are.
    names: Vec<String>,
    sizes: Vec<u64>,
}

impl Visitor for Count {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let names = with.map(|with| folded(&with.alias.name)).collect();
        self.open.push(Scope { bytes: BYTES_PER_TABLE, names, sizes: Vec::new() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        if let Some(closed) = self.open.pop()
            && let Some(around) = self.open.last_mut()
        {
            if around.sizes.len() < around.names.len() {
                around.sizes.push(closed.bytes);
            }
            // A WITH is planned once more, whether it is named or not.
            around.bytes = around.bytes.saturating_add(closed.bytes);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        self.add(match table {
            TableFactor::Table { name, .. } => self.size_of(name).unwrap_or(BYTES_PER_TABLE),
            _ => BYTES_PER_TABLE,
        })
    }

    fn pre_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
        self.add(BYTES_PER_EXPR)
    }
}

impl Count {
    fn add(&mut self, bytes: u64) -> ControlFlow<()> {
        if let Some(scope) = self.open.last_mut() {
            scope.bytes = scope.bytes.saturating_add(bytes);
        }
        ControlFlow::Continue(())
    }

    /// How large the WITH of that name is.
    fn size_of(&self, name: &ObjectName) -> Option<u64> {
        let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return None };
        let name = folded(name);
        self.open.iter().rev().find_map(|scope| {
            let mut known = scope.names.iter().zip(&scope.sizes);
            known.find(|(known, _)| **known == name).map(|(_, size)| *size)
        })
    }
}
