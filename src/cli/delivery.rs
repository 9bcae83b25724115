//! From a query to its output: progress while it runs, figures and warnings after it.
//!
//! Memory: figures of an entry a plan node and statement.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::{OutputArgs, ProgressArgs, When};
use super::messages;
use super::report::{Report, Section};
use crate::error::{Error, Result};
use crate::exec::{CancelToken, Progress, ProgressStyle, Recorder, RunMetrics};
use crate::io::{Output, OutputFile, OutputFormat, WrittenFile};
use crate::session::{MakeSink, PreparedQuery, QueryRun, Session};

/// How the queries of a command are run.
pub(super) struct Delivery<'a> {
    session: &'a Session,
    cancel: CancelToken,
    progress: When,
    metrics_file: Option<PathBuf>,
    metrics: Vec<RunMetrics>,
    warns: bool,
    report: Option<Report>,
    /// The text of the query that comes next, for the report.
    text: String,
}

impl<'a> Delivery<'a> {
    /// With progress as asked.
    pub(super) fn new(session: &'a Session, messages: &ProgressArgs, cancel: &CancelToken) -> Self {
        let (progress, cancel) = (messages.progress, cancel.clone());
        Delivery {
            session,
            cancel,
            progress,
            metrics_file: None,
            metrics: Vec::new(),
            warns: true,
            report: None,
            text: String::new(),
        }
    }

    /// Without progress, for commands that are done at once.
    pub(super) fn quiet(session: &'a Session, cancel: &CancelToken) -> Self {
        Self::new(session, &ProgressArgs { progress: When::Never }, cancel)
    }

    /// Says nothing of rows that are left out, for who tells that otherwise.
    pub(super) fn without_warnings(mut self) -> Self {
        self.warns = false;
        self
    }

    /// Also writes what queries took to a file.
    pub(super) fn with_metrics(mut self, file: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = &file {
            let written = WrittenFile::new(path, "the metrics", "name another file: --metrics FILE.json");
            self.session.files().written.add(written)?;
        }
        self.metrics_file = file;
        Ok(self)
    }

    /// Also writes a page about every query.
    pub(super) fn with_report(mut self, file: Option<&Path>) -> Result<Self> {
        self.report = file.map(|path| Report::new(path, self.session)).transpose()?;
        Ok(self)
    }

    /// Says what the next query is, for the report.
    pub(super) fn describe(&mut self, text: &str) {
        self.text = text.to_string();
    }

    /// Runs `query` into `output`.
    pub(super) fn run(&mut self, query: PreparedQuery<'_>, output: &Output) -> Result<RunMetrics> {
        let run = query.into_run(output, self.cancel.clone())?;
        self.execute(run, streams_to_terminal(output))
    }

    /// Runs `query` into a sink that is made of that of `output`.
    pub(super) fn run_with(
        &mut self,
        query: PreparedQuery<'_>,
        output: &Output,
        make_sink: &MakeSink<'_>,
    ) -> Result<RunMetrics> {
        let file = match output {
            Output::File(path, _) => Some(path.as_path()),
            _ => None,
        };
        let run = query.into_run_with(file, make_sink, self.cancel.clone())?;
        self.execute(run, streams_to_terminal(output))
    }

    fn execute(&mut self, run: QueryRun<'_>, streams_to_terminal: bool) -> Result<RunMetrics> {
        let shown = shows_progress(self.progress, streams_to_terminal);
        let memory = self.session.memory().clone();
        let style = progress_style();
        let progress = shown.then(|| Progress::show(run.monitor().clone(), memory, style));
        let memory = self.session.memory().clone();
        let recorder = self.report.is_some().then(|| Recorder::start(run.monitor().clone(), memory));
        let (metrics, done) = run.execute_measured();
        let samples = recorder.map(Recorder::finish).unwrap_or_default();
        drop(progress);
        self.metrics.push(metrics.clone());
        let written = self.metrics_file.as_ref().map_or(Ok(()), |path| write_metrics(path, &self.metrics));
        let reported = self.report.as_mut().map_or(Ok(()), |report| {
            report.add(Section { query: self.text.clone(), metrics: metrics.clone(), samples })
        });
        done?;
        if self.warns {
            messages::report_bad_rows(&metrics);
        }
        messages::report_done(&metrics);
        written.and(reported).map(|()| metrics)
    }
}

/// Where a result goes that the user said this about.
pub(super) fn output_of(args: &OutputArgs) -> Result<Output> {
    let asked = args.format.map(OutputFormat::from);
    match &args.output {
        None => Ok(Output::Stdout(asked.unwrap_or(usual_format()))),
        Some(path) => file_output(path, asked),
    }
}

/// The format of standard output.
fn usual_format() -> OutputFormat {
    if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Csv }
}

/// The file `path` or, as `-`, standard output, in the format that is asked for or that its name tells.
pub(super) fn file_output(path: &Path, asked: Option<OutputFormat>) -> Result<Output> {
    if path == Path::new("-") {
        return Ok(Output::Stdout(asked.unwrap_or(usual_format())));
    }
    match asked.or_else(|| OutputFormat::from_path(path)) {
        // Into a terminal or a pipe one may look.
        Some(OutputFormat::Table) if !crate::io::is_pipe_or_device(path) => {
            Err(Error::usage("a table is drawn for people to look at, with the first and last 20 rows only")
                .with_hint("write a file as csv, json, parquet or arrow; or redirect stdout: --format table > file"))
        }
        Some(format) => Ok(Output::File(path.to_path_buf(), format)),
        None => Err(Error::usage(format!("the name {} does not tell a format", path.display()))
            .with_hint("end it in .csv, .ndjson, .parquet or .arrow, or add --format")),
    }
}

/// Rows that stream to a terminal would be torn by a progress line.
fn streams_to_terminal(output: &Output) -> bool {
    matches!(output, Output::Stdout(OutputFormat::Csv | OutputFormat::JsonLines)) && std::io::stdout().is_terminal()
}

pub(super) fn shows_progress(when: When, streams_to_terminal: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stderr().is_terminal() && !streams_to_terminal && !messages::are_json(),
    }
}

pub(super) fn progress_style() -> ProgressStyle {
    match (messages::are_json(), std::io::stderr().is_terminal()) {
        (true, _) => ProgressStyle::Json,
        (false, true) => ProgressStyle::Redrawn,
        (false, false) => ProgressStyle::Lines,
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
