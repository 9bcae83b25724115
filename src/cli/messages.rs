//! What is said on stderr: errors, warnings, and where a mistake of ours happened.
//!
//! Colour only on terminals and never with `NO_COLOR`; `anstream` strips it otherwise.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::error::Error;
use crate::exec::{RunMetrics, group_digits};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const RESET: &str = "\x1b[0m";

/// Says `text` on stderr. Nobody can be told when that fails.
fn say(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Says something that may be a mistake of the user's.
pub(super) fn warn(text: &str) {
    say(format_args!("{YELLOW}warning{RESET}: {text}"));
}

/// Says something that needs no action.
pub(super) fn note(text: &str) {
    say(format_args!("note: {text}"));
}

/// Prints `error` and gives the exit code.
pub(super) fn fail(error: &Error, exit_code: u8) -> ExitCode {
    say(format_args!("{RED}error{RESET}: {error}"));
    ExitCode::from(exit_code)
}

/// Says how many rows `--on-bad-row` left out, and of which scan.
pub(super) fn report_bad_rows(metrics: &RunMetrics) {
    for scan in metrics.operators.iter().filter(|operator| operator.n_bad_rows > 0) {
        let rows = if scan.n_bad_rows == 1 { "row" } else { "rows" };
        let n_rows = group_digits(scan.n_bad_rows);
        say(format_args!("{YELLOW}warning{RESET}: {n_rows} malformed {rows} left out of {}", scan.detail));
    }
}

/// A panic becomes an error of the query (see [`crate::exec::run`]); this adds where it happened.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), |place| format!(" at {}:{}", place.file(), place.line()));
        say(format_args!("internal error{place}"));
    }));
}
