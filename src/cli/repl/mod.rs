//! `brimful repl`: statements at a prompt, one session for all of them.
//!
//! An error ends its statement and nothing else; Ctrl-C ends the query that runs. From a pipe the same statements run one
//! after the other, and the exit code is that of the first that failed.
//!
//! Memory: what the statements keep (temporary tables, which spill), and a history of bounded length.

mod commands;
mod complete;
mod lines;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Instant;

use super::args::{ExplainFormat, ReplArgs, session_options};
use super::delivery::Delivery;
use super::signals::Signals;
use super::{explain, messages};
use crate::error::{Error, Result};
use crate::exec::CancelToken;
use crate::io::{Output, OutputFormat};
use crate::memory::Budget;
use crate::session::{Prepared, Session, SessionOptions};
use crate::sql::split;
use commands::Next;
use complete::SharedSession;
use lines::{Lines, Typed};

/// The prompt.
struct Repl<'a> {
    session: SharedSession,
    options: SessionOptions,
    args: &'a ReplArgs,
    signals: &'a Signals,
    output: Output,
    timing: bool,
}

/// Runs statements until the end of the input; gives the exit code.
pub(super) fn run(args: &ReplArgs, signals: &Signals) -> Result<u8> {
    let options = session_options(&args.session, &args.reading);
    let session = Rc::new(RefCell::new(Some(Session::new(options.clone())?)));
    let usual = if std::io::stdout().is_terminal() { OutputFormat::Table } else { OutputFormat::Csv };
    let output = Output::Stdout(args.format.map_or(usual, OutputFormat::from));
    let mut lines = Lines::open(&session)?;
    let mut repl = Repl { session, options, args, signals, output, timing: false };
    if lines.is_terminal() {
        messages::note(format_args!("Brimful {}. Statements end with ; and \\help helps.", env!("CARGO_PKG_VERSION")));
    }
    let mut exit_code = 0;
    loop {
        let (text, is_end) = match lines.read()? {
            Typed::Text(text) => (text, false),
            Typed::Nothing => continue,
            Typed::End(text) => (text, true),
        };
        match repl.take(&text) {
            Ok(Next::GoOn) if is_end => break,
            Ok(Next::GoOn) => {}
            Ok(Next::End) => break,
            Err(error) => {
                let code = signals.exit_code().unwrap_or(error.kind().exit_code());
                messages::say_error(&error, code);
                if exit_code == 0 {
                    exit_code = code;
                }
                if is_end || signals.exit_code().is_some() {
                    break;
                }
            }
        }
    }
    let is_terminal = lines.is_terminal();
    lines.close();
    Ok(if is_terminal { 0 } else { exit_code })
}

impl Repl<'_> {
    /// Runs what was typed: a command, or statements.
    fn take(&mut self, text: &str) -> Result<Next> {
        if split::gives_up(text) {
            return Ok(Next::End);
        }
        if split::is_command(text) {
            return self.command(text);
        }
        let (whole, rest) = split::split(text);
        let rest = Some(rest).filter(|rest| !split::is_blank(rest));
        for statement in whole.into_iter().chain(rest).filter(|text| !split::is_blank(text.trim_end_matches(';'))) {
            self.run(statement)?;
        }
        Ok(Next::GoOn)
    }

    /// Runs one statement.
    fn run(&self, statement: &str) -> Result<()> {
        let started = Instant::now();
        let done = self.signals.while_query(|cancel| self.run_statement(statement, cancel));
        if self.timing {
            messages::note(format_args!("{:.3} s", started.elapsed().as_secs_f64()));
        }
        done
    }

    fn run_statement(&self, statement: &str, cancel: &CancelToken) -> Result<()> {
        let session = self.session.borrow();
        let Some(session) = &*session else { return Err(Error::query("there is no session")) };
        let mut delivery = Delivery::new(session, &self.args.messages, cancel);
        let mut statements = session.statements(statement)?;
        while let Some(prepared) = statements.prepare_next()? {
            let Prepared::Query(query) = prepared else { continue };
            match query.explain() {
                Some(asked) => explain::show(*query, asked.analyze, ExplainFormat::Text, cancel)?,
                None => delivery.run(*query, &self.output).map(|_| ())?,
            }
        }
        Ok(())
    }

    /// Another session with another budget: what a session keeps was measured out for the old one.
    fn begin_anew(&mut self, budget: Budget) -> Result<()> {
        let options = SessionOptions { budget: Some(budget), ..self.options.clone() };
        *self.session.borrow_mut() = None;
        match Session::new(options.clone()) {
            Ok(session) => {
                *self.session.borrow_mut() = Some(session);
                self.options = options;
                messages::print("a new session has begun; views and temporary tables are gone\n")
            }
            Err(error) => {
                *self.session.borrow_mut() = Some(Session::new(self.options.clone())?);
                Err(error)
            }
        }
    }
}
