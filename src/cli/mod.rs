//! The command line: flags to a session, a session's answer to the streams and the exit code.
//!
//! Results go to stdout and everything else to stderr. Memory: nothing that grows.

mod args;
mod explain;
mod messages;
mod query;
mod signals;
mod types;

use std::process::ExitCode;

use clap::Parser;

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
    let done = match command_line.command {
        Command::Sql(args) => query::run(&args, &signals.cancel_token()),
        Command::Explain(args) => explain::run(&args, &signals.cancel_token()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => messages::fail(&error, signals.exit_code().unwrap_or(error.kind().exit_code())),
    }
}
