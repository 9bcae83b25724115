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
        .with_metrics(args.metrics.clone())
        .with_report(args.report.as_deref());
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
        (_, Some(file)) if file.as_os_str() != "-" => std::fs::read_to_string(file)
            .map_err(|error| Error::usage(format!("cannot read the query in {}: {error}", file.display()))),
        (None, None) if std::io::stdin().is_terminal() => {
            Err(Error::usage("there is no query").with_hint("for example: brimful sql \"SELECT * FROM 'data.csv'\""))
        }
        _ => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Error::usage(format!("cannot read the query on stdin: {error}")))?;
            Ok(text)
        }
    }
}
