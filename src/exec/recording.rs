//! The figures of a query over time, for its report.
//!
//! Memory: at most [`MOST_SAMPLES`] samples. When they are full, each two become one and the pace halves, so that a run of
//! seconds and one of days take the same room.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Monitor;
use crate::memory::{Memory, ResidentSet};

/// As many as a chart is wide.
const MOST_SAMPLES: usize = 600;

/// The pace at the start.
const FIRST_PACE: Duration = Duration::from_millis(20);

/// One moment of a run. What is counted is counted from the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Since the start.
    pub seconds: f64,
    /// The most resident memory since the sample before.
    pub resident_bytes: u64,
    /// The most reserved memory since the sample before.
    pub reserved_bytes: u64,
    /// Page bytes spilled, before compression.
    pub spilled_bytes: u64,
    /// Page bytes read back.
    pub restored_bytes: u64,
    /// Bytes of input read.
    pub read_bytes: u64,
    /// Rows that scans produced.
    pub rows_in: u64,
    /// The pipeline that runs, from 0.
    pub pipeline: usize,
}

/// Takes samples until it is told to stop.
pub struct Recorder {
    stop: Sender<()>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

impl Recorder {
    /// Starts taking samples of what `monitor` counts.
    pub fn start(monitor: Arc<Monitor>, memory: Memory) -> Self {
        let (stop, stopped) = channel();
        let record = move || {
            let started = Instant::now();
            let (mut samples, mut pace) = (Vec::with_capacity(MOST_SAMPLES), FIRST_PACE);
            loop {
                samples.push(take(&monitor, &memory, started));
                match stopped.recv_timeout(pace) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => break,
                }
                if samples.len() == MOST_SAMPLES {
                    halve(&mut samples);
                    pace *= 2;
                }
            }
            samples.push(take(&monitor, &memory, started));
            samples
        };
        let thread = std::thread::Builder::new().name("brimful-recorder".into()).spawn(record).ok();
        Recorder { stop, thread }
    }

    /// The samples, in order of time; none when the system had no thread for them.
    pub fn finish(mut self) -> Vec<Sample> {
        let _ = self.stop.send(());
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

fn take(monitor: &Monitor, memory: &Memory, started: Instant) -> Sample {
    let totals = monitor.totals();
    Sample {
        seconds: started.elapsed().as_secs_f64(),
        resident_bytes: ResidentSet::read().map_or(0, |set| set.resident_bytes),
        reserved_bytes: memory.reserved_bytes(),
        spilled_bytes: totals.spilled_raw_bytes,
        restored_bytes: totals.restored_bytes,
        read_bytes: totals.read_bytes,
        rows_in: monitor.rows_in(),
        pipeline: monitor.pipeline().0,
    }
}

/// Makes one of each two samples; peaks stay.
fn halve(samples: &mut Vec<Sample>) {
    let mut n_kept = 0;
    for idx in (0..samples.len()).step_by(2) {
        let (first, second) = (samples[idx], *samples.get(idx + 1).unwrap_or(&samples[idx]));
        samples[n_kept] = Sample {
            resident_bytes: first.resident_bytes.max(second.resident_bytes),
            reserved_bytes: first.reserved_bytes.max(second.reserved_bytes),
            ..second
        };
        n_kept += 1;
    }
    samples.truncate(n_kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_keeps_the_peaks_and_the_end() {
        let sample = |seconds, resident_bytes| Sample { seconds, resident_bytes, ..Sample::default() };
        let mut samples = vec![sample(0.0, 9), sample(1.0, 5), sample(2.0, 1), sample(3.0, 7), sample(4.0, 2)];
        halve(&mut samples);
        assert_eq!(samples, [sample(1.0, 9), sample(3.0, 7), sample(4.0, 2)]);
    }
}
