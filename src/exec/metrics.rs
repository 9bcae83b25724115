//! The figures of a finished or failed query, for `--metrics` and EXPLAIN ANALYZE.
//!
//! Memory: one entry a plan node.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::monitor::MonitoredNode;
use super::{Monitor, NodeIdx, OperatorReport, QueryContext};
use crate::error::Error;
use crate::memory::{ResidentSet, process_cpu_time};

/// What a query took. Serializes to the JSON of `--metrics`.
#[derive(Debug, Clone, Serialize)]
pub struct RunMetrics {
    /// Elapsed time of the run, planning not included.
    pub wall_seconds: f64,
    /// Processor time of the run, user and system, all threads.
    pub cpu_seconds: f64,
    /// Rows that the scans produced.
    pub rows_in: u64,
    /// Rows of the result.
    pub rows_out: u64,
    /// Bytes of input files that were read.
    pub read_bytes: u64,
    /// Rows of input that were skipped or rejected as malformed.
    pub n_bad_rows: u64,
    /// The most memory that was ever resident in this process (VmHWM).
    pub peak_resident_bytes: u64,
    /// The memory budget.
    pub budget_bytes: u64,
    /// What of the budget operators may reserve.
    pub governed_bytes: u64,
    /// The most that was ever reserved.
    pub peak_reserved_bytes: u64,
    /// Worker threads.
    pub threads: usize,
    /// Page bytes that were spilled, before compression.
    pub spilled_raw_bytes: u64,
    /// What they took on disk.
    pub spilled_stored_bytes: u64,
    /// Page bytes that were read back.
    pub restored_bytes: u64,
    /// Why the query failed, if it did; the figures are then those up to that moment.
    pub error: Option<RunError>,
    /// One entry a plan node; the root is the last one.
    pub operators: Vec<OperatorMetrics>,
}

/// Why a query failed.
#[derive(Debug, Clone, Serialize)]
pub struct RunError {
    /// The exit code of the command.
    pub exit_code: u8,
    /// What and where.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl From<&Error> for RunError {
    fn from(error: &Error) -> Self {
        RunError {
            exit_code: error.kind().exit_code(),
            message: error.message().to_string(),
            hint: error.hint().map(str::to_string),
        }
    }
}

/// What one plan node took. Zero where something does not apply.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorMetrics {
    /// The operator's name.
    pub name: &'static str,
    /// What it does, in the user's terms.
    pub detail: String,
    /// The entries it reads from.
    pub inputs: Vec<NodeIdx>,
    /// Rows it was given.
    pub rows_in: u64,
    /// Rows it emitted.
    pub rows_out: u64,
    /// Batches it emitted.
    pub batches_out: u64,
    /// Bytes it emitted.
    pub bytes_out: u64,
    /// Time in this operator alone, summed over workers.
    pub seconds: f64,
    /// The most memory it held at once.
    pub peak_bytes: u64,
    /// Page bytes it spilled, before compression.
    pub spilled_raw_bytes: u64,
    /// What they took on disk.
    pub spilled_stored_bytes: u64,
    /// Page bytes it read back.
    pub restored_bytes: u64,
    /// Hash partitions in use.
    pub n_partitions: u64,
    /// Sorted runs made.
    pub n_runs: u64,
    /// Deepest level of re-partitioning, or merge levels.
    pub depth: u64,
    /// Bytes of input files read.
    pub read_bytes: u64,
    /// Rows of input that were skipped or rejected as malformed.
    pub n_bad_rows: u64,
    /// Rows of all input files before any filter; for scans that have read all of them.
    pub all_rows: Option<u64>,
    /// Pairs of a join beyond those that there would be if its key were unique on one side, where they are counted.
    pub n_repeated_pairs: Option<u64>,
}

/// Elapsed and processor time from a moment on.
pub(super) struct ProcessClock {
    wall: Instant,
    cpu: Duration,
}

impl ProcessClock {
    pub(super) fn start() -> Self {
        ProcessClock { wall: Instant::now(), cpu: process_cpu_time() }
    }
}

impl RunMetrics {
    pub(super) fn collect(monitor: &Monitor, cx: &QueryContext, clock: &ProcessClock) -> Self {
        let totals = monitor.totals();
        RunMetrics {
            wall_seconds: clock.wall.elapsed().as_secs_f64(),
            cpu_seconds: process_cpu_time().saturating_sub(clock.cpu).as_secs_f64(),
            rows_in: monitor.rows_in(),
            rows_out: monitor.rows_out(),
            read_bytes: totals.read_bytes,
            n_bad_rows: totals.n_bad_rows,
            peak_resident_bytes: ResidentSet::read().map_or(0, |set| set.peak_bytes),
            budget_bytes: cx.memory.budget().bytes(),
            governed_bytes: cx.memory.governed_bytes(),
            peak_reserved_bytes: cx.memory.peak_reserved_bytes(),
            threads: cx.memory.sizes().threads,
            spilled_raw_bytes: totals.spilled_raw_bytes,
            spilled_stored_bytes: totals.spilled_stored_bytes,
            restored_bytes: totals.restored_bytes,
            error: None,
            operators: monitor.nodes().iter().map(OperatorMetrics::of).collect(),
        }
    }

    /// EXPLAIN ANALYZE as text: the plan as a tree, root first, with what each operator took.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{:.3} s wall, {:.3} s cpu, {} threads; {} rows in, {} rows out\npeak memory {} of {}",
            self.wall_seconds,
            self.cpu_seconds,
            self.threads,
            group_digits(self.rows_in),
            group_digits(self.rows_out),
            format_bytes(self.peak_resident_bytes),
            format_bytes(self.budget_bytes),
        );
        if self.spilled_raw_bytes > 0 {
            let (raw, stored) = (format_bytes(self.spilled_raw_bytes), format_bytes(self.spilled_stored_bytes));
            let _ = write!(out, "; spilled {raw} ({stored} on disk)");
        }
        out.push_str("\n\n");
        if let Some(root) = self.operators.len().checked_sub(1) {
            self.write_tree(&mut out, root, 0);
        }
        out
    }

    fn write_tree(&self, out: &mut String, node: NodeIdx, depth: usize) {
        let Some(operator) = self.operators.get(node) else { return };
        let indent = "  ".repeat(depth);
        let separator = if operator.detail.is_empty() { "" } else { ": " };
        let _ = writeln!(out, "{indent}{}{separator}{}", operator.name, operator.detail);
        let _ = writeln!(out, "{indent}    {}", operator.figures_text());
        // A plan is a tree whose inputs come before their readers; a malformed one must not recurse forever.
        for &input in operator.inputs.iter().filter(|&&input| input < node) {
            self.write_tree(out, input, depth + 1);
        }
    }
}

impl OperatorMetrics {
    fn of(node: &MonitoredNode) -> Self {
        let figures = node.figures();
        let OperatorReport {
            peak_bytes,
            spilled_raw_bytes,
            spilled_stored_bytes,
            restored_bytes,
            n_partitions,
            n_runs,
            depth,
            read_bytes,
            total_bytes: _,
            n_bad_rows,
            all_rows,
            n_repeated_pairs,
        } = node.report();
        OperatorMetrics {
            name: node.name,
            detail: node.detail.clone(),
            inputs: node.inputs.clone(),
            rows_in: figures.rows_in,
            rows_out: figures.rows_out,
            batches_out: figures.batches_out,
            bytes_out: figures.bytes_out,
            seconds: Duration::from_nanos(figures.nanos).as_secs_f64(),
            peak_bytes,
            spilled_raw_bytes,
            spilled_stored_bytes,
            restored_bytes,
            n_partitions,
            n_runs,
            depth,
            read_bytes,
            n_bad_rows,
            all_rows,
            n_repeated_pairs,
        }
    }

    /// `rows in -> out, time` and whatever else is not zero.
    fn figures_text(&self) -> String {
        let (rows_in, rows_out) = (group_digits(self.rows_in), group_digits(self.rows_out));
        let rows = match (self.inputs.is_empty(), self.batches_out) {
            (true, _) => rows_out,
            // The output of a query, or nothing came out.
            (false, 0) if self.name == "Output" => rows_in,
            _ => format!("{rows_in} -> {rows_out}"),
        };
        let mut text = format!("rows {rows}, {:.3} s", self.seconds);
        let mut add_bytes = |label: &str, bytes: u64| {
            if bytes > 0 {
                let _ = write!(text, ", {label} {}", format_bytes(bytes));
            }
        };
        add_bytes("read", self.read_bytes);
        add_bytes("peak", self.peak_bytes);
        add_bytes("spilled", self.spilled_raw_bytes);
        add_bytes("on disk", self.spilled_stored_bytes);
        add_bytes("restored", self.restored_bytes);
        for (label, n) in [
            ("partitions", self.n_partitions),
            ("runs", self.n_runs),
            ("depth", self.depth),
            ("bad rows", self.n_bad_rows),
        ] {
            if n > 0 {
                let _ = write!(text, ", {label} {}", group_digits(n));
            }
        }
        text
    }
}

/// `1234567` as `1,234,567`.
pub fn group_digits(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1610612736` as `1.50 GiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if scaled < 10.0 => format!("{scaled:.2} {}", UNITS[unit]),
        _ if scaled < 100.0 => format!("{scaled:.1} {}", UNITS[unit]),
        _ => format!("{scaled:.0} {}", UNITS[unit]),
    }
}
