//! `brimful explain`.

use super::args::{ExplainArgs, ExplainFormat, session_options};
use super::{messages, sql};
use crate::error::{Error, Result};
use crate::exec::CancelToken;
use crate::io::Output;
use crate::session::{PreparedQuery, Session};

/// Shows the plan, and with `--analyze` what it took.
pub(super) fn run(args: &ExplainArgs, cancel: &CancelToken) -> Result<()> {
    let text = sql::read_text(&args.query)?;
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let query = session.sql(&text)?;
    let analyze = args.analyze || query.explain().is_some_and(|asked| asked.analyze);
    show(query, analyze, args.format, cancel)
}

/// Prints the plan of `query`, or runs it and prints what it took.
pub(super) fn show(query: PreparedQuery<'_>, analyze: bool, format: ExplainFormat, cancel: &CancelToken) -> Result<()> {
    let run = query.into_run(&Output::Discard, cancel.clone())?;
    let text = match (analyze, format) {
        (false, ExplainFormat::Text) => run.explain_text(),
        (false, ExplainFormat::Json) => pretty(&run.explain_json())?,
        (true, _) => {
            let metrics = run.execute()?;
            messages::report_bad_rows(&metrics);
            if format == ExplainFormat::Json { pretty(&metrics)? } else { metrics.to_text() }
        }
    };
    messages::print(&text)
}

/// `value` as JSON for a person.
pub(super) fn pretty(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n").map_err(|error| Error::query(format!("cannot write this as JSON: {error}")))
}
