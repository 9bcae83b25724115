//! `brimful run`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use super::args::{RunArgs, When, session_options_over};
use super::messages;
use crate::error::{Error, Result};
use crate::exec::{CancelToken, Monitor, Progress};
use crate::memory::Memory;
use crate::pipeline::{Notice, Onlooker, PipelineFile, RunOptions};
use crate::session::Session;

/// Runs a pipeline file, or shows what that would do.
pub(super) fn run(args: &RunArgs, cancel: &CancelToken) -> Result<()> {
    let file = PipelineFile::load(&args.file, &args.set)?;
    let session = Session::new(session_options_over(&args.session, file.session_options()))?;
    if args.dry_run {
        return print(&file.dry_run(&session)?);
    }
    let on_terminal = std::io::stderr().is_terminal();
    let shows_progress = match args.progress {
        When::Always => true,
        When::Never => false,
        When::Auto => on_terminal,
    };
    let watch = |monitor: Arc<Monitor>, memory: &Memory| -> Option<Onlooker> {
        shows_progress.then(|| Box::new(Progress::show(monitor, memory.clone(), on_terminal)) as Onlooker)
    };
    let tell = |notice: &Notice| match notice {
        Notice::Note(text) => messages::note(text),
        Notice::Warning(text) => messages::warn(text),
    };
    let options = RunOptions { resume: args.resume, cancel: cancel.clone(), watch: &watch, tell: &tell };
    let summary = file.run(&session, &options)?;
    summary.lines.iter().try_for_each(|line| print(&format!("{line}\n")))
}

/// A reader that goes away is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::disk(format!("cannot write standard output: {error}")))
        }
        _ => Ok(()),
    }
}
