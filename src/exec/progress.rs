//! The progress line on stderr.
//!
//! Memory: one thread that draws a few times a second; nothing grows. It never touches stdout.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use super::{Monitor, format_bytes, group_digits};
use crate::memory::{Memory, ResidentSet};

/// Often enough to look alive, seldom enough to cost nothing.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Short queries show nothing.
const SHOW_AFTER: Duration = Duration::from_millis(400);

/// Draws until dropped, or until the result is about to be written; then clears its line.
pub struct Progress {
    monitor: Arc<Monitor>,
    thread: Option<JoinHandle<()>>,
}

/// How progress is written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressStyle {
    /// One line that is drawn again and again, for terminals.
    Redrawn,
    /// A line now and then.
    Lines,
    /// A JSON object a line now and then.
    Json,
}

impl Progress {
    /// Shows what `monitor` counts on stderr.
    pub fn show(monitor: Arc<Monitor>, memory: Memory, style: ProgressStyle) -> Self {
        let leave = monitor.look_on();
        let counted = monitor.clone();
        let draw = move || {
            let mut line = match style {
                ProgressStyle::Redrawn => Line::on_terminal(),
                ProgressStyle::Lines | ProgressStyle::Json => Line::Printed { n_samples: 0 },
            };
            let asked = loop {
                match leave.recv_timeout(DRAW_EVERY) {
                    Err(RecvTimeoutError::Timeout) if counted.elapsed() < SHOW_AFTER => {}
                    Err(RecvTimeoutError::Timeout) => {
                        let text = match style {
                            ProgressStyle::Json => describe_as_json(&counted, &memory),
                            _ => describe(&counted, &memory),
                        };
                        line.draw(&text);
                    }
                    Err(RecvTimeoutError::Disconnected) => break None,
                    Ok(gone) => break Some(gone),
                }
            };
            line.clear();
            asked.map(|gone| gone.send(()));
        };
        let thread = std::thread::Builder::new().name("brimful-progress".into()).spawn(draw).ok();
        Progress { monitor, thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.monitor.send_onlooker_away();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Line {
    Redrawn(ProgressBar),
    Printed { n_samples: u32 },
}

impl Line {
    /// Printed lines come every 5 seconds.
    const SAMPLES_PER_PRINT: u32 = 25;

    fn on_terminal() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Line::Redrawn(bar)
    }

    fn draw(&mut self, text: &str) {
        match self {
            Line::Redrawn(bar) => {
                bar.set_message(text.to_string());
                bar.tick();
            }
            Line::Printed { n_samples } => {
                if n_samples.is_multiple_of(Self::SAMPLES_PER_PRINT) {
                    // A progress line that cannot be shown is not worth an error.
                    let _ = writeln!(anstream::stderr(), "{text}");
                }
                *n_samples += 1;
            }
        }
    }

    fn clear(self) {
        if let Line::Redrawn(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// `25 % · 1.21 GiB of 4.84 GiB · 12 s left · 12,345,678 rows · memory 80 MiB of 128 MiB · spilled 2.10 GiB · step 1 of 2`
fn describe(monitor: &Monitor, memory: &Memory) -> String {
    let totals = monitor.totals();
    let mut parts = Vec::new();
    if totals.total_bytes > 0 {
        let (read, total) = (totals.read_bytes.min(totals.total_bytes), totals.total_bytes);
        parts.push(format!("{} %", read * 100 / total));
        parts.push(format!("{} of {}", format_bytes(read), format_bytes(total)));
        parts.extend(time_left(monitor.elapsed(), read, total).map(|left| format!("{left} left")));
    } else if totals.read_bytes > 0 {
        parts.push(format_bytes(totals.read_bytes));
    }
    parts.push(format!("{} rows", group_digits(monitor.rows_in())));
    let resident = ResidentSet::read().map_or(0, |set| set.resident_bytes);
    parts.push(format!("memory {} of {}", format_bytes(resident), format_bytes(memory.budget().bytes())));
    if totals.spilled_raw_bytes > 0 {
        parts.push(format!("spilled {}", format_bytes(totals.spilled_raw_bytes)));
    }
    let (pipeline, n_pipelines) = monitor.pipeline();
    if n_pipelines > 1 {
        parts.push(format!("step {} of {n_pipelines}", pipeline + 1));
    }
    parts.join(" · ")
}

/// The same figures as an object.
fn describe_as_json(monitor: &Monitor, memory: &Memory) -> String {
    let totals = monitor.totals();
    let (pipeline, n_pipelines) = monitor.pipeline();
    json!({
        "time": chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "level": "info",
        "message": "progress",
        "seconds": monitor.elapsed().as_secs_f64(),
        "rows_in": monitor.rows_in(),
        "rows_out": monitor.rows_out(),
        "read_bytes": totals.read_bytes,
        "total_bytes": totals.total_bytes,
        "resident_bytes": ResidentSet::read().map_or(0, |set| set.resident_bytes),
        "budget_bytes": memory.budget().bytes(),
        "spilled_bytes": totals.spilled_raw_bytes,
        "step": pipeline + 1,
        "steps": n_pipelines,
    })
    .to_string()
}

/// How long reading the rest takes at the pace so far.
fn time_left(elapsed: Duration, read: u64, total: u64) -> Option<String> {
    if read == 0 || read >= total {
        return None;
    }
    let seconds = (elapsed.as_secs_f64() * (total - read) as f64 / read as f64) as u64;
    Some(match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    })
}
