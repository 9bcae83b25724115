//! `brimful run`.

use std::cell::RefCell;
use std::sync::Arc;

use super::args::{RunArgs, session_options_over};
use super::delivery::{progress_style, shows_progress};
use super::messages;
use super::report::{Report, Section};
use crate::error::Result;
use crate::exec::{CancelToken, Monitor, Progress, Recorder, RunMetrics};
use crate::memory::Memory;
use crate::pipeline::{Notice, Onlooker, PipelineFile, RunOptions};
use crate::session::Session;

/// Runs a pipeline file, or shows what that would do.
pub(super) fn run(args: &RunArgs, cancel: &CancelToken) -> Result<()> {
    let file = PipelineFile::load(&args.file, &args.set)?;
    let usual = args.usual.as_ref().unwrap_or(&args.session);
    let session = Session::new(session_options_over(&args.session, file.session_options(), usual))?;
    if args.dry_run {
        return messages::print(&file.dry_run(&session, args.resume, cancel)?);
    }
    let shows_progress = shows_progress(args.progress.progress, false);
    let report = RefCell::new(args.report.as_deref().map(|path| Report::new(path, &session)).transpose()?);
    session.files().written.refuse_inputs(std::slice::from_ref(&args.file))?;
    let recorder = RefCell::new(None);
    let watch = |monitor: Arc<Monitor>, memory: &Memory| -> Option<Onlooker> {
        if report.borrow().is_some() {
            *recorder.borrow_mut() = Some(Recorder::start(monitor.clone(), memory.clone()));
        }
        shows_progress.then(|| Box::new(Progress::show(monitor, memory.clone(), progress_style())) as Onlooker)
    };
    let tell = |notice: &Notice| match notice {
        Notice::Note(text) if messages::are_json() => messages::note(text),
        Notice::Note(text) => messages::note(format_args!("note: {text}")),
        Notice::Warning(text) => messages::warn(text),
    };
    let finished = |stage: &str, metrics: &RunMetrics| -> Result<()> {
        let samples = recorder.borrow_mut().take().map(Recorder::finish).unwrap_or_default();
        let section = Section { query: stage.to_string(), metrics: metrics.clone(), samples };
        report.borrow_mut().as_mut().map_or(Ok(()), |report| report.add(section))
    };
    let (resume, cancel) = (args.resume, cancel.clone());
    let options = RunOptions { resume, cancel, watch: &watch, finished: &finished, tell: &tell };
    let summary = file.run(&session, &options)?;
    summary.lines.iter().try_for_each(|line| messages::print(&format!("{line}\n")))
}
