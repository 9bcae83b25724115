//! The page holds what it should, nothing of it comes from elsewhere, and no text of a user becomes markup.

use super::chart::short_count;
use super::page::{page, seconds_text};
use super::*;
use crate::exec::{OperatorMetrics, RunError};

fn metrics() -> RunMetrics {
    let operator = |name, inputs: &[usize]| OperatorMetrics {
        name,
        detail: "<script>alert('x')</script> & \"more\"".into(),
        inputs: inputs.to_vec(),
        rows_in: 1_000_000,
        rows_out: 5,
        batches_out: 1,
        bytes_out: 40,
        seconds: 1.5,
        peak_bytes: 64 << 20,
        spilled_raw_bytes: 200 << 20,
        spilled_stored_bytes: 90 << 20,
        restored_bytes: 200 << 20,
        n_partitions: 16,
        n_runs: 0,
        depth: 1,
        read_bytes: 0,
        n_bad_rows: 0,
        all_rows: None,
        n_repeated_pairs: None,
    };
    RunMetrics {
        wall_seconds: 2.0,
        cpu_seconds: 3.0,
        rows_in: 1_000_000,
        rows_out: 5,
        read_bytes: 80 << 20,
        n_bad_rows: 0,
        peak_resident_bytes: 120 << 20,
        budget_bytes: 128 << 20,
        governed_bytes: 70 << 20,
        peak_reserved_bytes: 69 << 20,
        threads: 2,
        spilled_raw_bytes: 200 << 20,
        spilled_stored_bytes: 90 << 20,
        restored_bytes: 200 << 20,
        error: Some(RunError { exit_code: 5, message: "the <disk> is full".into(), hint: None }),
        operators: vec![operator("Scan", &[]), operator("Aggregate", &[0]), operator("Output", &[1])],
    }
}

fn section() -> Section {
    let sample = |n: u64| Sample {
        seconds: n as f64 / 10.0,
        resident_bytes: (6 * n) << 20,
        spilled_bytes: n * 1000,
        rows_in: n * 50_000,
        ..Sample::default()
    };
    Section { query: "SELECT '</pre><b>' FROM t".into(), metrics: metrics(), samples: (0..20).map(sample).collect() }
}

#[test]
fn texts_are_escaped_and_nothing_is_fetched() {
    let html = page(&[section()]);
    assert!(html.contains("SELECT &#39;&lt;/pre&gt;&lt;b&gt;&#39; FROM t"));
    assert!(html.contains("&lt;script&gt;alert") && html.contains("the &lt;disk&gt; is full"));
    assert_eq!(html.matches("<script").count(), 1);
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_page_has_charts_and_a_row_for_every_operator() {
    let html = page(&[section(), section()]);
    assert_eq!(html.matches("<svg").count(), 8);
    assert_eq!(html.matches("<tr><td class=\"operator\"").count(), 6);
    assert!(html.contains("budget 128 MiB") && html.contains("94 % of the budget"));
    let short = page(&[Section { samples: Vec::new(), ..section() }]);
    assert_eq!(short.matches("<svg").count(), 0, "a run without samples has no charts");
}

#[test]
fn figures_are_short() {
    let counts = [(0.0, "0"), (999.0, "999"), (1000.0, "1 k"), (1_250_000.0, "1.2 M"), (45e6, "45 M"), (2e9, "2 G")];
    counts.iter().for_each(|(value, text)| assert_eq!(short_count(*value), *text));
    let times = [(0.0, "0 ms"), (0.085, "85 ms"), (3.214, "3.21 s"), (45.67, "45.7 s"), (250.0, "4 min 10 s")];
    times.iter().for_each(|(value, text)| assert_eq!(seconds_text(*value), *text));
}
