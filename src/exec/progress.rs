//! The progress line on stderr.
//!
//! Memory: one thread that draws a few times a second; nothing grows. It never touches stdout.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Monitor, format_bytes, group_digits};
use crate::memory::{Memory, ResidentSet};

/// Often enough to look alive, seldom enough to cost nothing.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Short queries show nothing.
const SHOW_AFTER: Duration = Duration::from_millis(400);

/// Draws until dropped, then clears its line.
pub struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows what `monitor` counts on stderr. `on_terminal` redraws one line; otherwise lines are printed now and then.
    pub fn show(monitor: Arc<Monitor>, memory: Memory, on_terminal: bool) -> Self {
        let (stop, stopped) = channel::<()>();
        let draw = move || {
            let mut line = if on_terminal { Line::on_terminal() } else { Line::Printed { n_samples: 0 } };
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(DRAW_EVERY) {
                if monitor.elapsed() >= SHOW_AFTER {
                    line.draw(&describe(&monitor, &memory));
                }
            }
            line.clear();
        };
        let thread = std::thread::Builder::new().name("brimful-progress".into()).spawn(draw).ok();
        Progress { stop: Some(stop), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop.take();
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
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
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
                    anstream::eprintln!("{text}");
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

/// `12,345,678 rows · 1.2 GiB of 4.8 GiB (25 %), 12 s left · memory 800 MiB of 1.00 GiB · spilled 2.1 GiB`
fn describe(monitor: &Monitor, memory: &Memory) -> String {
    let totals = monitor.totals();
    let mut parts = vec![format!("{} rows", group_digits(monitor.rows_in()))];
    if totals.total_bytes > 0 {
        let (read, total) = (totals.read_bytes.min(totals.total_bytes), totals.total_bytes);
        let percent = read * 100 / total;
        let left = time_left(monitor.elapsed(), read, total).map_or(String::new(), |left| format!(", {left} left"));
        parts.push(format!("{} of {} ({percent} %){left}", format_bytes(read), format_bytes(total)));
    } else if totals.read_bytes > 0 {
        parts.push(format_bytes(totals.read_bytes));
    }
    let (pipeline, n_pipelines) = monitor.pipeline();
    if n_pipelines > 1 {
        parts.push(format!("step {} of {n_pipelines}", pipeline + 1));
    }
    let resident = ResidentSet::read().map_or(0, |set| set.resident_bytes);
    parts.push(format!("memory {} of {}", format_bytes(resident), format_bytes(memory.budget().bytes())));
    if totals.spilled_raw_bytes > 0 {
        parts.push(format!("spilled {}", format_bytes(totals.spilled_raw_bytes)));
    }
    parts.join(" · ")
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
