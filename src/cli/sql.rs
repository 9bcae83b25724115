//! `brimful sql`.

use std::io::{IsTerminal, Read};
use std::path::Path;

use super::args::{ExplainFormat, QueryText, SqlArgs, session_options};
use super::delivery::{Delivery, output_of};
use super::explain;
use crate::error::{Error, Result};
use crate::exec::CancelToken;
use crate::io::Output;
use crate::session::{Prepared, PreparedQuery, Session};
use crate::sql::MOST_TEXT_BYTES;

/// Runs the statements one after the other and writes their results.
pub(super) fn run(args: &SqlArgs, cancel: &CancelToken) -> Result<()> {
    let text = read_text(&args.query)?;
    let output = output_of(&args.output)?;
    let session = Session::new(session_options(&args.session, &args.reading))?;
    let mut statements = session.statements(&text)?;
    if matches!(output, Output::File(..)) && statements.n_results() > 1 {
        return Err(Error::usage(format!("{} results for one output file", statements.n_results()))
            .with_hint("write each to a file of its own with COPY (SELECT ..) TO 'file'"));
    }
    if let Output::File(path, _) = &output
        && statements.n_results() == 0
    {
        return Err(nothing_for(path).with_hint("leave out -o: no statement here gives rows to write"));
    }
    let mut delivery = Delivery::new(&session, &args.messages, cancel)
        .with_metrics(args.metrics.clone())?
        .with_report(args.report.as_deref())?;
    if let Some(file) = &args.query.file {
        session.files().written.refuse_inputs(std::slice::from_ref(file))?;
    }
    delivery.describe(&text);
    while let Some(statement) = statements.prepare_next()? {
        if let Prepared::Query(query) = statement {
            run_query(*query, &output, &mut delivery, cancel)?;
        }
    }
    Ok(())
}

fn run_query(
    query: PreparedQuery<'_>,
    output: &Output,
    delivery: &mut Delivery<'_>,
    cancel: &CancelToken,
) -> Result<()> {
    if let Some(asked) = query.explain() {
        if let Output::File(path, _) = output {
            return Err(nothing_for(path).with_hint("EXPLAIN writes its plan to standard output: leave out -o"));
        }
        return explain::show(query, asked.analyze, ExplainFormat::Text, cancel);
    }
    delivery.run(query, output).map(|_| ())
}

fn nothing_for(output: &Path) -> Error {
    Error::usage(format!("nothing would be written to {}", output.display()))
}

/// The query on the command line, in the file of -f, or on stdin.
pub(super) fn read_text(query: &QueryText) -> Result<String> {
    match (&query.sql, &query.file) {
        (Some(sql), _) if sql != "-" => Ok(sql.clone()),
        (_, Some(file)) if file.as_os_str() != "-" => {
            let name = format!("in {}", file.display());
            let open = std::fs::File::open(file);
            bounded(open.map_err(|error| Error::usage(format!("cannot read the query {name}: {error}")))?, &name)
        }
        (None, None) if std::io::stdin().is_terminal() => {
            Err(Error::usage("there is no query").with_hint("for example: brimful sql \"SELECT * FROM 'data.csv'\""))
        }
        _ => bounded(std::io::stdin().lock(), "on stdin"),
    }
}

/// All of a text that is not longer than a query may be; data that was piped here by mistake is not read to its end.
fn bounded(from: impl Read, name: &str) -> Result<String> {
    let mut text = Vec::new();
    let failed = |error: &dyn std::fmt::Display| Error::usage(format!("cannot read the query {name}: {error}"));
    from.take(MOST_TEXT_BYTES as u64 + 1).read_to_end(&mut text).map_err(|error| failed(&error))?;
    if text.len() > MOST_TEXT_BYTES {
        return Err(Error::usage(format!("the query {name} has more than {MOST_TEXT_BYTES} bytes"))
            .with_hint("data is named in the query: brimful sql \"SELECT * FROM 'data.csv'\""));
    }
    String::from_utf8(text).map_err(|_| failed(&"stream did not contain valid UTF-8"))
}
