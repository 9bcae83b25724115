//! The command line: flags to a session, a session's answer to the streams and the exit code.
//!
//! Results go to stdout and everything else to stderr. Memory: nothing that grows.

mod answer;
mod args;
mod completions;
mod convert;
mod delivery;
mod describe;
mod explain;
mod head;
mod input;
mod inspect;
mod messages;
mod repl;
mod report;
mod run;
mod sample;
mod schema;
mod settings;
mod signals;
mod sql;
mod validate;

use std::process::ExitCode;

use crate::error::{Error, Result};
use args::{Command, LogFormat};
use signals::Signals;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    messages::report_panics();
    let command_line = match settings::parse_command_line() {
        Ok(Ok(command_line)) => command_line,
        Ok(Err(said)) => {
            return say_of_flags(&said);
        }
        Err(error) => return messages::fail(&error, error.kind().exit_code()),
    };
    messages::write_as(command_line.log_format);
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => return messages::fail(&error, error.kind().exit_code()),
    };
    let done = on_deep_stack(|| dispatch(command_line.command, &signals));
    match done {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(error) => messages::fail(&error, signals.exit_code().unwrap_or(error.kind().exit_code())),
    }
}

/// Help, the version, or what is wrong with the flags.
fn say_of_flags(said: &clap::Error) -> ExitCode {
    if !said.use_stderr() || !settings::asks_for_json() {
        let _ = said.print();
        return ExitCode::from(if said.use_stderr() { 2 } else { 0 });
    }
    messages::write_as(LogFormat::Json);
    let text = said.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_string();
    let hint = lines.find_map(|line| line.strip_prefix("tip: ")).unwrap_or("brimful --help lists commands and flags");
    messages::fail(&Error::usage(message).with_hint(hint), 2)
}

/// Runs a command; gives the exit code.
fn dispatch(command: Command, signals: &Signals) -> Result<u8> {
    let cancel = signals.cancel_token();
    let done = match command {
        Command::Repl(args) => return repl::run(&args, signals),
        Command::Sql(args) => sql::run(&args, &cancel),
        Command::Explain(args) => explain::run(&args, &cancel),
        Command::Convert(args) => convert::run(&args, &cancel),
        Command::Inspect(args) => inspect::run(&args, &cancel),
        Command::Head(args) => head::run(&args, &cancel),
        Command::Sample(args) => sample::run(&args, &cancel),
        Command::Describe(args) => describe::run(&args, &cancel),
        Command::Schema(args) => schema::run(&args),
        Command::Validate(args) => validate::run(&args, &cancel),
        Command::Run(args) => run::run(&args, &cancel),
        Command::Completions(args) => completions::run(&args),
    };
    done.map(|()| 0)
}

/// A plan is as deep as the longest chain of conditions, and so is dropping it.
fn on_deep_stack(command: impl FnOnce() -> Result<u8> + Send) -> Result<u8> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("brimful-query".into()).stack_size(crate::sql::STACK_BYTES);
        let thread = builder.spawn_scoped(scope, command);
        let thread = thread.map_err(|error| Error::query(format!("cannot start a thread: {error}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::query("internal error").with_hint("please report it with the query")))
    })
}
