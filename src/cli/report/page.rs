//! The page around charts and plans.

use super::Section;
use super::chart::{Chart, Series, Unit, short_count};
use super::plan::plan_table;
use crate::exec::{RunMetrics, Sample, format_bytes, group_digits};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("hover.js");

/// The whole page.
pub(super) fn page(sections: &[Section]) -> String {
    let date = chrono::Local::now().format("%Y-%m-%d %H:%M");
    let version = env!("CARGO_PKG_VERSION");
    let body: String = sections.iter().map(section).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Brimful report</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header><h1>Brimful report</h1><p>{date} · version {version}</p></header>\n\
         {body}<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn section(section: &Section) -> String {
    let Section { query, metrics, samples } = section;
    let failed = metrics.error.as_ref().map_or(String::new(), |error| {
        let hint = error.hint.as_ref().map_or(String::new(), |hint| format!("<br>{}", escape(hint)));
        format!(
            "<p class=\"failed\"><b>Failed</b> with exit code {}: {}{hint}</p>\n",
            error.exit_code,
            escape(&error.message)
        )
    });
    format!(
        "<main>\n<pre class=\"query\">{}</pre>\n{failed}{}{}<h2>Plan</h2>\n{}</main>\n",
        escape(query.trim()),
        tiles(metrics),
        charts(metrics, samples),
        plan_table(&metrics.operators),
    )
}

fn tiles(metrics: &RunMetrics) -> String {
    let wall = metrics.wall_seconds.max(1e-9);
    let busy = 100.0 * metrics.cpu_seconds / wall / metrics.threads.max(1) as f64;
    let part = 100.0 * metrics.peak_resident_bytes as f64 / metrics.budget_bytes.max(1) as f64;
    let spilled = match metrics.spilled_raw_bytes {
        0 => ("nothing".to_string(), "all in memory".to_string()),
        bytes => (
            format_bytes(bytes),
            format!(
                "{} on disk, {} read back",
                format_bytes(metrics.spilled_stored_bytes),
                format_bytes(metrics.restored_bytes)
            ),
        ),
    };
    let rows_per_second = short_count(metrics.rows_in as f64 / wall);
    let tiles = [
        ("Time", seconds_text(metrics.wall_seconds), format!("{busy:.0} % of {} threads", metrics.threads)),
        (
            "Peak memory",
            format_bytes(metrics.peak_resident_bytes),
            format!("{part:.0} % of the budget of {}", format_bytes(metrics.budget_bytes)),
        ),
        ("Spilled", spilled.0, spilled.1),
        ("Rows in", group_digits(metrics.rows_in), format!("{rows_per_second} a second")),
        ("Rows out", group_digits(metrics.rows_out), bad_rows(metrics.n_bad_rows)),
        (
            "Read",
            format_bytes(metrics.read_bytes),
            format!("{} a second", format_bytes((metrics.read_bytes as f64 / wall) as u64)),
        ),
    ];
    let tile = |(label, value, note): (&str, String, String)| {
        format!("<div class=\"tile\"><dt>{label}</dt><dd>{}</dd><p>{}</p></div>\n", escape(&value), escape(&note))
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.into_iter().map(tile).collect::<String>())
}

fn bad_rows(n: u64) -> String {
    match n {
        0 => "no malformed rows".into(),
        n => format!("{} malformed left out", group_digits(n)),
    }
}

/// `85 ms`, `3.2 s`, `4 min 10 s`
pub(super) fn seconds_text(seconds: f64) -> String {
    match seconds {
        _ if seconds < 0.0005 => "0 ms".into(),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        _ if seconds < 10.0 => format!("{seconds:.2} s"),
        _ if seconds < 100.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60),
    }
}

fn charts(metrics: &RunMetrics, samples: &[Sample]) -> String {
    if samples.len() < 2 {
        return String::new();
    }
    let times: Vec<f64> = samples.iter().map(|sample| sample.seconds).collect();
    let of = |value: fn(&Sample) -> u64| samples.iter().map(|sample| value(sample) as f64).collect::<Vec<f64>>();
    let steps: Vec<f64> =
        samples.windows(2).filter(|pair| pair[0].pipeline != pair[1].pipeline).map(|pair| pair[1].seconds).collect();
    // A line far above would press the others to the ground.
    let most_resident = samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(0);
    let is_near = most_resident.saturating_mul(5) >= metrics.budget_bytes;
    let memory = Chart {
        title: "Memory",
        unit: Unit::Bytes,
        times: &times,
        series: vec![
            Series { name: "resident", values: of(|sample| sample.resident_bytes) },
            Series { name: "reserved by operators", values: of(|sample| sample.reserved_bytes) },
        ],
        ceiling: is_near.then_some(("budget", metrics.budget_bytes as f64)),
        steps: &steps,
        note: (!is_near).then(|| format!("far below the budget of {}", format_bytes(metrics.budget_bytes))),
    };
    let spill = Chart {
        title: "Spilled so far",
        unit: Unit::Bytes,
        times: &times,
        series: vec![
            Series { name: "spilled", values: of(|sample| sample.spilled_bytes) },
            Series { name: "read back", values: of(|sample| sample.restored_bytes) },
        ],
        ceiling: None,
        steps: &steps,
        note: None,
    };
    let rows = Chart {
        title: "Rows scanned a second",
        unit: Unit::CountPerSecond,
        series: vec![Series { name: "rows", values: rates(&times, &of(|sample| sample.rows_in)) }],
        ..spill.like(&times, &steps)
    };
    let bytes = Chart {
        title: "Input read a second",
        unit: Unit::BytesPerSecond,
        series: vec![Series { name: "input", values: rates(&times, &of(|sample| sample.read_bytes)) }],
        ..spill.like(&times, &steps)
    };
    let spill = match metrics.spilled_raw_bytes {
        0 => "<figure class=\"empty\"><figcaption>Spilled so far</figcaption><p>Nothing was spilled.</p></figure>\n"
            .into(),
        _ => spill.to_html(),
    };
    format!("<div class=\"charts\">\n{}{spill}{}{}</div>\n", memory.to_html(), rows.to_html(), bytes.to_html())
}

/// What came in between two samples, a second; over enough samples at a time that batches do not show.
fn rates(times: &[f64], totals: &[f64]) -> Vec<f64> {
    let reach = (times.len() / 60).max(1);
    let at = |idx: usize| {
        let (from, to) = (idx.saturating_sub(reach), (idx + reach).min(times.len() - 1));
        (totals[to] - totals[from]).max(0.0) / (times[to] - times[from]).max(1e-3)
    };
    (0..times.len()).map(at).collect()
}
