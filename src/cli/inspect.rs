//! `brimful inspect`.
//!
//! Figures come from footers and from the first rows; --exact reads everything, within the budget as any query does.

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use arrow::util::display::array_value_to_string;
use serde_json::{Value, json};

use super::args::{InspectArgs, InspectFormat, session_options};
use super::delivery::Delivery;
use super::input::Input;
use super::schema::{as_json, as_text};
use super::{explain, messages};
use crate::error::Result;
use crate::exec::{CancelToken, format_bytes, group_digits};
use crate::io::csv::OnBadRow;
use crate::io::{Output, TableFacts, TableStatistics};
use crate::memory::{Budget, machine_bytes};
use crate::session::Session;

/// Rows whose size in memory is taken for that of all.
const SAMPLE_ROWS: u64 = 10_000;

/// Any query runs in this.
const SMALLEST_BUDGET: u64 = 128 << 20;

/// A figure, and whether it is exact.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figure {
    value: u64,
    exact: bool,
}

/// What was found out about one table.
struct Inspection<'a> {
    input: &'a Input,
    facts: TableFacts,
    statistics: TableStatistics,
    n_rows: Option<Figure>,
    memory_bytes: Option<Figure>,
    /// Rows that cannot be read, and of how many.
    n_bad_rows: u64,
    n_seen_rows: u64,
}

/// Sizes up each path.
pub(super) fn run(args: &InspectArgs, cancel: &CancelToken) -> Result<()> {
    let mut options = session_options(&args.session, &args.reading);
    if options.files.csv.on_bad_row == OnBadRow::Fail {
        // Malformed rows are among what is to be found out.
        options.files.csv.on_bad_row = OnBadRow::Skip;
    }
    let session = Session::new(options)?;
    let mut delivery = Delivery::quiet(&session, cancel).without_warnings();
    let mut found = Vec::new();
    for (idx, path) in args.paths.iter().enumerate() {
        let input = Input::open(&session, std::slice::from_ref(path))?;
        let inspection = inspect(&session, &mut delivery, &input, args.exact)?;
        match args.format {
            InspectFormat::Text if idx > 0 => messages::print(&format!("\n{}", inspection.to_text()))?,
            InspectFormat::Text => messages::print(&inspection.to_text())?,
            InspectFormat::Json => found.push(inspection.to_json()),
        }
    }
    match args.format {
        InspectFormat::Text => Ok(()),
        InspectFormat::Json => messages::print(&explain::pretty(&found)?),
    }
}

fn inspect<'a>(
    session: &Session,
    delivery: &mut Delivery<'_>,
    input: &'a Input,
    exact: bool,
) -> Result<Inspection<'a>> {
    let facts = input.table().facts()?;
    let statistics = input.table().statistics();
    let limit = if exact { String::new() } else { format!(" LIMIT {SAMPLE_ROWS}") };
    let sql = format!("SELECT * FROM {}{limit}", input.sql());
    let metrics = delivery.run(session.sql(&sql)?, &Output::Discard)?;
    let known = statistics.n_rows.or_else(|| (exact || metrics.rows_out < SAMPLE_ROWS).then_some(metrics.rows_out));
    let n_rows = match (known, &facts.likely_rows) {
        (Some(value), _) => Some(Figure { value, exact: true }),
        (None, Some((value, _))) => Some(Figure { value: *value, exact: false }),
        (None, None) => None,
    };
    // What the scan gave, which is what the rows take in memory.
    let scanned = metrics.operators.iter().find(|operator| operator.inputs.is_empty());
    let (seen_rows, seen_bytes) = scanned.map_or((0, 0), |scan| (scan.rows_out, scan.bytes_out));
    let memory_bytes = n_rows.filter(|_| seen_rows > 0).map(|rows| Figure {
        value: (rows.value as f64 * seen_bytes as f64 / seen_rows as f64) as u64,
        exact: rows.exact && rows.value == seen_rows,
    });
    Ok(Inspection {
        input,
        facts,
        statistics,
        n_rows,
        memory_bytes,
        n_bad_rows: metrics.n_bad_rows,
        n_seen_rows: seen_rows,
    })
}

impl Figure {
    fn shown(self, text: String) -> String {
        if self.exact { text } else { format!("about {text}") }
    }

    fn to_json(self) -> Value {
        json!({ "value": self.value, "exact": self.exact })
    }
}

/// Long values are cut: they are there to be looked at.
fn cut(text: &str) -> String {
    const MOST_LETTERS: usize = 24;
    match text.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_string(),
    }
}

impl Inspection<'_> {
    /// A budget in which a sort or join of all rows does not spill: they are held twice for a moment.
    fn roomy_budget(&self) -> Option<u64> {
        const MIB: u64 = 1 << 20;
        let bytes = self.memory_bytes?.value.saturating_mul(2).saturating_add(SMALLEST_BUDGET / 2);
        Some(bytes.max(SMALLEST_BUDGET).div_ceil(64 * MIB) * 64 * MIB)
    }

    fn fits(&self) -> Option<bool> {
        self.memory_bytes.map(|bytes| bytes.value <= machine_bytes())
    }

    fn budget_text(&self) -> String {
        let smallest = format_bytes(SMALLEST_BUDGET);
        let usual = Budget::default_for_machine().bytes();
        match self.roomy_budget() {
            Some(roomy) if roomy <= SMALLEST_BUDGET => format!("{smallest} is plenty"),
            Some(roomy) if roomy <= usual => {
                format!("{smallest} will do; {} sorts all rows without spilling", format_bytes(roomy))
            }
            _ => format!("{smallest} will do; the usual {} spills less", format_bytes(usual)),
        }
    }

    fn rows_text(&self) -> String {
        let Some(rows) = self.n_rows else { return "not known; --exact counts them".into() };
        let text = rows.shown(group_digits(rows.value));
        match &self.facts.likely_rows {
            Some((_, from)) if !rows.exact && !from.is_empty() => format!("{text} ({from}; --exact counts them)"),
            _ if !rows.exact => format!("{text} (--exact counts them)"),
            _ => text,
        }
    }

    fn to_text(&self) -> String {
        let files = if self.facts.n_files == 1 { "file" } else { "files" };
        let n_files = group_digits(self.facts.n_files as u64);
        let mut lines = vec![
            ("format", self.facts.format.clone()),
            (
                "on disk",
                match self.statistics.file_bytes {
                    0 if self.input.is_stdin() => "nothing: standard input, read once".into(),
                    bytes => format!("{} in {n_files} {files}", format_bytes(bytes)),
                },
            ),
            ("rows", self.rows_text()),
        ];
        if let Some(bytes) = self.memory_bytes {
            lines.push(("in memory", bytes.shown(format_bytes(bytes.value))));
            let machine = format_bytes(machine_bytes());
            let fits = if self.fits() == Some(true) { "yes" } else { "no" };
            lines.push(("fits in RAM", format!("{fits}, of {machine}")));
        }
        lines.push(("budget", self.budget_text()));
        lines.extend(self.facts.lines.iter().cloned());
        if self.n_bad_rows > 0 {
            let (bad, seen) = (group_digits(self.n_bad_rows), group_digits(self.n_bad_rows + self.n_seen_rows));
            lines.push(("malformed", format!("{bad} of {seen} rows looked at: see --on-bad-row")));
        }
        let mut text = format!("{}\n", self.input.name());
        for (label, value) in lines {
            text.push_str(&format!("  {label:<12}  {value}\n"));
        }
        let schema = self.input.schema();
        text.push_str(&format!("  {:<12}  {}\n", "columns", schema.fields().len()));
        let fields: Vec<&Field> = schema.fields().iter().map(AsRef::as_ref).collect();
        let lines = as_text(&fields);
        let width = lines.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        for (idx, line) in lines.lines().enumerate() {
            let line = format!("    {line:width$}  {}", self.column_text(idx));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// What is known of a column: bytes on disk, least and greatest value, NULLs.
    fn column_text(&self, idx: usize) -> String {
        let statistics = self.statistics.columns.get(idx);
        let text = |bound: &ArrayRef| array_value_to_string(bound, 0).ok();
        // Parquet files give -0.0 as the least zero, whether there is one or not.
        let plain = |text: String| if text == "-0.0" { "0.0".to_string() } else { text };
        let value = |bound: &Option<ArrayRef>| bound.as_ref().and_then(text).map(plain);
        let bounds = statistics.and_then(|known| Some((value(&known.min)?, value(&known.max)?)));
        let n_nulls = statistics.and_then(|known| known.n_nulls);
        let parts = [
            self.facts.column_bytes.get(idx).map(|bytes| format!("{:>8}", format_bytes(*bytes))),
            bounds.map(|(min, max)| format!("{} to {}", cut(&min), cut(&max))),
            n_nulls.filter(|n| *n > 0).map(|n| format!("{} null", group_digits(n))),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }

    fn to_json(&self) -> Value {
        let schema = self.input.schema();
        let columns = schema.fields().iter().enumerate().map(|(idx, field)| {
            let mut column = as_json(field);
            if let Some(bytes) = self.facts.column_bytes.get(idx) {
                column["disk_bytes"] = json!(bytes);
            }
            column
        });
        let facts = self.facts.lines.iter().map(|(label, text)| json!({ "fact": label, "text": text }));
        json!({
            "path": self.input.name(),
            "format": self.facts.format,
            "files": self.facts.n_files,
            "disk_bytes": self.statistics.file_bytes,
            "rows": self.n_rows.map(Figure::to_json),
            "memory_bytes": self.memory_bytes.map(Figure::to_json),
            "fits_in_ram": self.fits(),
            "smallest_budget_bytes": SMALLEST_BUDGET,
            "roomy_budget_bytes": self.roomy_budget(),
            "malformed_rows": self.n_bad_rows,
            "facts": facts.collect::<Vec<_>>(),
            "columns": columns.collect::<Vec<_>>(),
        })
    }
}
