//! The commands of the prompt, which begin with a backslash.

use super::Repl;
use crate::cli::input::quoted;
use crate::cli::messages;
use crate::error::{Error, Result};
use crate::exec::format_bytes;
use crate::io::closest;
use crate::memory::{Budget, ResidentSet};

/// Name, arguments and what it does.
pub(super) const COMMANDS: [(&str, &str, &str); 6] = [
    ("help", "", "this list"),
    ("tables", "", "views and temporary tables"),
    ("schema", "NAME|FILE", "the columns of a table, a view or a file"),
    ("timing", "[on|off]", "whether to say how long each statement took"),
    ("budget", "[BYTES]", "the memory budget and what is used of it; with BYTES begins anew with another one"),
    ("q", "", "end"),
];

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    End,
}

impl Repl<'_> {
    /// Carries out `\name arguments`.
    pub(super) fn command(&mut self, line: &str) -> Result<Next> {
        let line = line.trim().trim_start_matches('\\').trim_end_matches(';').trim();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        match name.to_ascii_lowercase().as_str() {
            "q" | "quit" | "exit" => return Ok(Next::End),
            "help" | "h" | "?" | "" => messages::print(&help())?,
            "tables" | "dt" | "d" if argument.is_empty() => self.run("SHOW TABLES")?,
            "schema" | "d" if !argument.is_empty() => {
                self.run(&format!("DESCRIBE {}", quoted(argument.trim_matches('\''))))?;
            }
            "schema" => return Err(Error::usage("which table?").with_hint("for example: \\schema trips.csv")),
            "timing" => self.set_timing(argument)?,
            "budget" if argument.is_empty() => messages::print(&self.memory_text())?,
            "budget" => self.begin_anew(Budget::parse(argument)?)?,
            _ => return Err(unknown(name)),
        }
        Ok(Next::GoOn)
    }

    fn set_timing(&mut self, argument: &str) -> Result<()> {
        self.timing = match argument {
            "on" => true,
            "off" => false,
            "" => !self.timing,
            _ => return Err(Error::usage("\\timing is on or off")),
        };
        messages::print(if self.timing { "timing is on\n" } else { "timing is off\n" })
    }

    fn memory_text(&self) -> String {
        let session = self.session.borrow();
        let Some(memory) = session.as_ref().map(|session| session.memory()) else { return String::new() };
        let resident = ResidentSet::read();
        let (now, peak) = resident.map_or((0, 0), |set| (set.resident_bytes, set.peak_bytes));
        let lines = [
            ("budget", memory.budget().bytes()),
            ("for operators", memory.governed_bytes()),
            ("reserved now", memory.reserved_bytes()),
            ("resident now", now),
            ("resident at most", peak),
        ];
        lines.iter().map(|(label, bytes)| format!("{label:<18}{}\n", format_bytes(*bytes))).collect()
    }
}

fn help() -> String {
    let line =
        |(name, arguments, what): &(&str, &str, &str)| format!("  {:<20}  {what}\n", format!("\\{name} {arguments}"));
    let commands: String = COMMANDS.iter().map(line).collect();
    format!("Statements end with ; and may take several lines. Ctrl-C ends the query that runs.\n{commands}")
}

fn unknown(name: &str) -> Error {
    let error = Error::usage(format!("there is no command \\{name}"));
    match closest(name, COMMANDS.iter().map(|(name, ..)| *name)) {
        Some(near) => error.with_hint(format!("did you mean \\{near}?")),
        None => error.with_hint("\\help lists them"),
    }
}
