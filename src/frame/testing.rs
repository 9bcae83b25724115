//! Frames for tests, and their rows as text.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{DataFrame, LazyFrame};
use crate::error::Result;
use crate::memory::Budget;
use crate::session::{Session, SessionOptions};

/// One session for all tests: starting one takes a moment.
pub(super) fn session() -> &'static Session {
    static SESSION: OnceLock<Session> = OnceLock::new();
    SESSION.get_or_init(|| {
        let budget = Some(Budget::from_bytes(8 << 30));
        Session::new(SessionOptions { budget, threads: Some(2), ..Default::default() }).unwrap()
    })
}

/// A frame of columns.
pub(super) fn frame(columns: Vec<(&str, ArrayRef)>) -> LazyFrame {
    session().from_batches(vec![
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, values)| (name, values, true)))
            .unwrap(),
    ])
}

pub(super) fn array<A: arrow::array::Array + 'static>(values: impl Into<A>) -> ArrayRef {
    Arc::new(values.into())
}

/// `a,b|1,x|2,-`: names, then rows; NULL is `-`.
pub(super) fn text(frame: &DataFrame) -> String {
    let mut lines = vec![frame.get_column_names().join(",")];
    let options = FormatOptions::default().with_null("-");
    for batch in frame.batches() {
        let columns: Vec<ArrayFormatter> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(","));
        }
    }
    lines.join("|")
}

/// The rows of `frame` as text, or its error.
pub(super) fn shown(frame: Result<DataFrame>) -> String {
    match frame {
        Ok(frame) => text(&frame),
        Err(error) => error.to_string(),
    }
}

/// Checks the rows of `frame`.
pub(super) fn check(frame: LazyFrame, want: &str) {
    assert_eq!(shown(frame.collect()), want);
}

/// As [`check`], with the rows sorted as texts.
pub(super) fn check_unordered(frame: LazyFrame, want: &str) {
    let found = shown(frame.collect());
    let mut lines: Vec<&str> = found.split('|').collect();
    lines[1..].sort_unstable();
    assert_eq!(lines.join("|"), want);
}
