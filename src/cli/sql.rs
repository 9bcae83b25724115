//! `brimful sql`.

use std::io::{IsTerminal, Read};
use std::path::Path;

use super::args::{ExplainFormat, QueryText, SqlArgs, When, session_options};
use super::{explain, messages};
use crate::error::{Error, Result};
use crate::exec::{CancelToken, Progress, RunMetrics};
use crate::io::{Output, OutputFile, OutputFormat};
use crate::session::{Prepared, PreparedQuery, Session};

/// Runs the statements one after the other and writes their results.
pub(super) fn run(args: &SqlArgs, cancel: &CancelToken) -> Result<()> {
    let text = read_text(&args.query)?;
    let output = output_of(args)?;
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
    let mut metrics = Vec::new();
    while let Some(statement) = statements.prepare_next()? {
        if let Prepared::Query(query) = statement {
            run_query(&session, *query, &output, args, &mut metrics, cancel)?;
        }
    }
    Ok(())
}

fn run_query(
    session: &Session,
    query: PreparedQuery<'_>,
    output: &Output,
    args: &SqlArgs,
    all_metrics: &mut Vec<RunMetrics>,
    cancel: &CancelToken,
) -> Result<()> {
    if let Some(asked) = query.explain() {
        if let Output::File(path, _) = output {
            return Err(nothing_for(path).with_hint("EXPLAIN writes its plan to standard output: leave out -o"));
        }
        return explain::show(query, asked.analyze, ExplainFormat::Text, cancel);
    }
    let run = query.into_run(output, cancel.clone())?;
    let progress = shows_progress(args.progress, output)
        .then(|| Progress::show(run.monitor().clone(), session.memory().clone(), std::io::stderr().is_terminal()));
    let (metrics, done) = run.execute_measured();
    drop(progress);
    all_metrics.push(metrics);
    let written = args.metrics.as_ref().map_or(Ok(()), |path| write_metrics(path, all_metrics));
    done?;
    all_metrics.last().into_iter().for_each(messages::report_bad_rows);
    written
}

fn nothing_for(output: &Path) -> Error {
    Error::usage(format!("nothing would be written to {}", output.display()))
}

/// The query on the command line, in the file of -f, or on stdin.
pub(super) fn read_text(query: &QueryText) -> Result<String> {
    match (&query.sql, &query.file) {
        (Some(sql), _) if sql != "-" => Ok(sql.clone()),
        (_, Some(file)) => std::fs::read_to_string(file)
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

fn output_of(args: &SqlArgs) -> Result<Output> {
    let asked = args.format.map(OutputFormat::from);
    match &args.output {
        None => {
            let usual = if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Csv };
            Ok(Output::Stdout(asked.unwrap_or(usual)))
        }
        Some(path) => match asked.or_else(|| OutputFormat::from_path(path)) {
            Some(format) => Ok(Output::File(path.clone(), format)),
            None => Err(Error::usage(format!("the name {} does not tell a format", path.display()))
                .with_hint("end it in .csv, .json or .parquet, or add --format")),
        },
    }
}

/// Rows that stream to a terminal would be torn by a progress line.
fn shows_progress(when: When, output: &Output) -> bool {
    let streams_to_terminal = matches!(output, Output::Stdout(OutputFormat::Csv | OutputFormat::JsonLines))
        && std::io::stdout().is_terminal();
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stderr().is_terminal() && !streams_to_terminal,
    }
}

/// One object for one statement, an array of them for several.
fn write_metrics(path: &Path, metrics: &[RunMetrics]) -> Result<()> {
    let text = match metrics {
        [only] => serde_json::to_vec_pretty(only),
        several => serde_json::to_vec_pretty(several),
    };
    let mut text = text.map_err(|error| Error::query(format!("cannot write the metrics as JSON: {error}")))?;
    text.push(b'\n');
    let mut file = OutputFile::create(path)?;
    file.append(&text)?;
    file.commit()
}
