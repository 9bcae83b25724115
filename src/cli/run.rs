//! `brimful run`.

use std::sync::Arc;

use super::args::{RunArgs, session_options_over};
use super::delivery::{progress_style, shows_progress};
use super::messages;
use crate::error::Result;
use crate::exec::{CancelToken, Monitor, Progress};
use crate::memory::Memory;
use crate::pipeline::{Notice, Onlooker, PipelineFile, RunOptions};
use crate::session::Session;

/// Runs a pipeline file, or shows what that would do.
pub(super) fn run(args: &RunArgs, cancel: &CancelToken) -> Result<()> {
    let file = PipelineFile::load(&args.file, &args.set)?;
    let session = Session::new(session_options_over(&args.session, file.session_options()))?;
    if args.dry_run {
        return messages::print(&file.dry_run(&session)?);
    }
    let shows_progress = shows_progress(args.progress.progress, false);
    let watch = |monitor: Arc<Monitor>, memory: &Memory| -> Option<Onlooker> {
        shows_progress.then(|| Box::new(Progress::show(monitor, memory.clone(), progress_style())) as Onlooker)
    };
    let tell = |notice: &Notice| match notice {
        Notice::Note(text) => messages::note(text),
        Notice::Warning(text) => messages::warn(text),
    };
    let options = RunOptions { resume: args.resume, cancel: cancel.clone(), watch: &watch, tell: &tell };
    let summary = file.run(&session, &options)?;
    summary.lines.iter().try_for_each(|line| messages::print(&format!("{line}\n")))
}
