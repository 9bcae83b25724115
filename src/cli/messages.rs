//! What is said: errors, warnings and where a mistake of ours happened on stderr, short answers on stdout.
//!
//! For people, with colour only on terminals and never with `NO_COLOR` (`anstream` strips it otherwise); or as JSON, one
//! object a line with `time`, `level` and `message`.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use super::args::LogFormat;
use crate::error::{Error, Result};
use crate::exec::{RunMetrics, group_digits};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const RESET: &str = "\x1b[0m";

/// Set once, before anything is said.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Says everything in this format from now on.
pub(super) fn write_as(format: LogFormat) {
    AS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Whether messages are JSON.
pub(super) fn are_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

/// Says `text` on stderr. Nobody can be told when that fails.
fn say(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Says an object with these further fields.
fn say_json(level: &str, message: &str, mut fields: Value) {
    if let Value::Object(object) = &mut fields {
        object.insert("time".into(), Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true).into());
        object.insert("level".into(), level.into());
        object.insert("message".into(), message.into());
        object.retain(|_, value| !value.is_null());
    }
    say(fields);
}

/// Says how something went.
pub(super) fn note(text: impl Display) {
    match are_json() {
        true => say_json("info", &text.to_string(), json!({})),
        false => say(text),
    }
}

/// Warns of something.
pub(super) fn warn(text: impl Display) {
    match are_json() {
        true => say_json("warning", &text.to_string(), json!({})),
        false => say(format_args!("{YELLOW}warning{RESET}: {text}")),
    }
}

/// Writes `text` to stdout. A reader that goes away is no error.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::disk(format!("cannot write standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says what went wrong.
pub(super) fn say_error(error: &Error, exit_code: u8) {
    if are_json() {
        let fields = json!({ "exit_code": exit_code, "location": error.location(), "hint": error.hint() });
        return say_json("error", error.message(), fields);
    }
    say(format_args!("{RED}error{RESET}: {error}"));
}

/// Says what went wrong and gives the exit code.
pub(super) fn fail(error: &Error, exit_code: u8) -> ExitCode {
    say_error(error, exit_code);
    ExitCode::from(exit_code)
}

/// Says how many rows `--on-bad-row` left out, and of which scan.
pub(super) fn report_bad_rows(metrics: &RunMetrics) {
    for scan in metrics.operators.iter().filter(|operator| operator.n_bad_rows > 0) {
        let rows = if scan.n_bad_rows == 1 { "row" } else { "rows" };
        let n_rows = group_digits(scan.n_bad_rows);
        // `csv dirty.csv, 2 of 2 columns`
        let files = scan.detail.split(", ").next().unwrap_or_default();
        let files = files.split_once(' ').map_or(files, |(_, files)| files);
        warn(format_args!("{n_rows} malformed {rows} left out of {files}"));
    }
}

/// A finished query, for those who read logs by program.
pub(super) fn report_done(metrics: &RunMetrics) {
    if are_json() {
        let fields = json!({
            "rows_in": metrics.rows_in,
            "rows_out": metrics.rows_out,
            "seconds": metrics.wall_seconds,
            "peak_resident_bytes": metrics.peak_resident_bytes,
            "spilled_bytes": metrics.spilled_raw_bytes,
        });
        say_json("info", "query done", fields);
    }
}

/// A panic becomes an error of the query (see [`crate::exec::run`]); this adds where it happened.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), |place| format!(" at {}:{}", place.file(), place.line()));
        note(format_args!("internal error{place}"));
    }));
}
