//! From text to plans, rows and errors.

mod chains;
mod errors;
mod joins;
mod membership;
mod partitions;
mod partners;
mod plans;
mod pressure;
mod range_joins;
mod recursion;
mod rows;
mod rules;
mod set_operations;
mod shared;
mod statements;
mod tpch;
mod unnest;
mod windows;

use std::sync::Arc;

use expect_test::Expect;

use super::testing::{Output, TestTables, run};
use crate::error::Result;
use crate::exec::{Query, QueryContext, Sink};
use crate::operators::testing::task_context;
use crate::{physical, plan};

fn lower(text: &str) -> Result<(Query, Output)> {
    let cx = task_context();
    let cx = QueryContext { memory: cx.memory, pages: cx.pages, cancel: cx.cancel };
    let planned = super::plan(text, &TestTables::default(), &cx.memory)?;
    let output = Output::default();
    let sink: Arc<dyn Sink> = Arc::new(output.clone());
    Ok((physical::lower(&planned.plan, |_, _| Ok(sink), &cx)?, output))
}

/// Checks the plan of a query.
fn check_plan(text: &str, expected: Expect) {
    match lower(text) {
        Ok((query, _)) => expected.assert_eq(&plan::explain_text(&query)),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn rows_of(text: &str) -> Result<(String, Vec<String>)> {
    let (query, output) = lower(text)?;
    run(&query)?;
    let batches = output.batches.lock().unwrap();
    let mut rows = Vec::new();
    let mut header = String::new();
    for batch in batches.iter() {
        let schema = batch.data.schema();
        header = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        for row in 0..batch.n_rows() {
            let cell = |column| arrow::util::display::array_value_to_string(column, row).unwrap();
            let cells = batch.data.columns().iter().map(|column| match cell(column) {
                empty if empty.is_empty() => "_".to_string(),
                full => full,
            });
            rows.push(cells.collect::<Vec<_>>().join(", "));
        }
    }
    Ok((header, rows))
}

/// Checks the rows of a query whose order is defined.
fn check(text: &str, expected: Expect) {
    match rows_of(text) {
        Ok((header, rows)) => expected.assert_eq(&format!("{header}\n{}", rows.join("\n"))),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// Checks the rows of a query whose order is not defined.
fn check_sorted(text: &str, expected: Expect) {
    match rows_of(text) {
        Ok((header, mut rows)) => {
            rows.sort();
            expected.assert_eq(&format!("{header}\n{}", rows.join("\n")));
        }
        Err(error) => panic!("{text}: {error}"),
    }
}

fn check_error(text: &str, expected: Expect) {
    match rows_of(text) {
        Ok((_, rows)) => panic!("{text} gave {rows:?}"),
        Err(error) => expected.assert_eq(&format!("{error:?}")),
    }
}
