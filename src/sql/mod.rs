//! SQL text to an optimized logical plan.
//!
//! Tables are named by path: `FROM 'data/*.parquet'`, `FROM "sales.csv"`. Unquoted names are lower-cased, as in
//! PostgreSQL; a column with upper-case letters is written in double quotes.
//!
//! Memory: a plan takes a few MiB at most, whatever the size of the files.
//! Planning runs on a thread of its own with a deep stack, since a long chain of conditions is a deep tree.

mod catalog;
mod clauses;
mod dialect;
mod failure;
mod functions;
mod names;

use datafusion_expr::LogicalPlan;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::Statement;
use datafusion_sql::sqlparser::parser::Parser;

use crate::error::{Error, Result};
use crate::io::OpenTable;
use crate::memory::Memory;
use crate::plan::{self, Effort};

use catalog::Catalog;

/// Stack of a thread that plans or drops plans: enough for thousands of conditions in a chain. Only touched pages become resident.
pub(crate) const STACK_BYTES: usize = 256 << 20;

/// The longest query, so that even one chain of operators from end to end fits that stack.
const MOST_TEXT_BYTES: usize = 1 << 20;

/// A query that was understood, and what to do with it.
#[derive(Debug, Clone)]
pub struct PlannedQuery {
    /// The optimized plan; ready to be lowered.
    pub plan: LogicalPlan,
    /// Whether the user asked for the plan instead of the rows.
    pub explain: Option<Explain>,
}

/// `EXPLAIN` in front of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explain {
    /// `EXPLAIN ANALYZE`: run the query and show figures.
    pub analyze: bool,
}

/// Plans one statement. Tables are opened through `opener`.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] with a location where the text is wrong; whatever `opener` says for a table.
pub fn plan(text: &str, opener: &dyn OpenTable, memory: &Memory) -> Result<PlannedQuery> {
    plan_with(text, opener, memory, Effort::Full)
}

/// Plans one statement with a choice of optimizer rules.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(text: &str, opener: &dyn OpenTable, memory: &Memory, effort: Effort) -> Result<PlannedQuery> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("planner".into()).stack_size(STACK_BYTES);
        let planner = builder.spawn_scoped(scope, || plan_here(text, opener, memory, effort));
        let planner = planner.map_err(|error| Error::query(format!("cannot start a thread: {error}")))?;
        planner.join().unwrap_or_else(|_| Err(Error::query("the planner failed on this query; this is a bug")))
    })
}

fn plan_here(text: &str, opener: &dyn OpenTable, memory: &Memory, effort: Effort) -> Result<PlannedQuery> {
    let (statement, explain) = parse(text)?;
    let options = plan::options();
    let catalog = Catalog::new(opener, memory, options.clone());
    let planner = SqlToRel::new_with_options(&catalog, ParserOptions::from(&options.sql_parser));
    let fail = |error| failure::usage(error, text);
    let logical = planner.sql_statement_to_plan(statement).map_err(fail)?;
    let logical = names::shorten_output_names(logical).map_err(fail)?;
    let plan = plan::optimize(logical, &options, effort).map_err(fail)?;
    Ok(PlannedQuery { plan, explain })
}

/// The query of the only statement, without an EXPLAIN in front of it.
fn parse(text: &str) -> Result<(Statement, Option<Explain>)> {
    if text.len() > MOST_TEXT_BYTES {
        return Err(Error::usage(format!("the query is {} bytes long; the most is {MOST_TEXT_BYTES}", text.len()))
            .with_hint("put long lists of values into a file and read it as a table"));
    }
    let fail = |error| failure::syntax(&error);
    let mut statements =
        Parser::new(&dialect::SqlDialect).try_with_sql(text).map_err(fail)?.parse_statements().map_err(fail)?;
    if statements.len() > 1 {
        return Err(Error::usage(format!("{} statements at once", statements.len()))
            .with_hint("run them one by one; a query may use WITH to build on another"));
    }
    let Some(statement) = statements.pop() else {
        return Err(Error::usage("there is no query").with_hint("for example: SELECT count(*) FROM 'data.csv'"));
    };
    match statement {
        Statement::Explain { statement, analyze, .. } => Ok((only_query(*statement)?, Some(Explain { analyze }))),
        statement => Ok((only_query(statement)?, None)),
    }
}

fn only_query(statement: Statement) -> Result<Statement> {
    match statement {
        Statement::Query(mut query) => {
            clauses::check(&mut query)?;
            Ok(Statement::Query(query))
        }
        other => {
            let text = other.to_string();
            let verb = text.split_whitespace().next().unwrap_or_default().to_uppercase();
            Err(Error::usage(format!("{verb} is not supported"))
                .with_hint("only queries are: SELECT, WITH, VALUES, and EXPLAIN in front of them"))
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
