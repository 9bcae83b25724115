//! The command line: flags to a session, a session's answer to the streams and the exit code.
//!
//! Results go to stdout and everything else to stderr. Memory: nothing that grows.

mod args;
mod explain;
mod messages;
mod run;
mod signals;
mod sql;

use std::process::ExitCode;

use clap::Parser;

use crate::error::{Error, Result};
use args::{Command, CommandLine};
use signals::Signals;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    messages::report_panics();
    let command_line = CommandLine::parse();
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => return messages::fail(&error, error.kind().exit_code()),
    };
    let cancel = signals.cancel_token();
    let done = on_deep_stack(|| match command_line.command {
        Command::Sql(args) => sql::run(&args, &cancel),
        Command::Explain(args) => explain::run(&args, &cancel),
        Command::Run(args) => run::run(&args, &cancel),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => messages::fail(&error, signals.exit_code().unwrap_or(error.kind().exit_code())),
    }
}

/// A plan is as deep as the longest chain of conditions, and so is dropping it.
fn on_deep_stack(command: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("brimful-query".into()).stack_size(crate::sql::STACK_BYTES);
        let thread = builder.spawn_scoped(scope, command);
        let thread = thread.map_err(|error| Error::query(format!("cannot start a thread: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::query("internal error").with_hint("please report it with the query")))
    })
}
