//! The plan as a tree with what each operator took.

use std::fmt::Write;

use super::page::{escape, seconds_text};
use crate::exec::{NodeIdx, OperatorMetrics, format_bytes, group_digits};

/// A row an operator, inputs below and to the right of what reads them.
pub(super) fn plan_table(operators: &[OperatorMetrics]) -> String {
    let mut rows = String::new();
    let total: f64 = operators.iter().map(|operator| operator.seconds).sum();
    if let Some(root) = operators.len().checked_sub(1) {
        add_rows(operators, root, 0, total, &mut rows);
    }
    format!(
        "<div class=\"scroll\"><table class=\"plan\">\n<thead><tr><th>Operator</th><th class=\"time\">Time of all threads</th>\
         <th>Rows in</th><th>Rows out</th><th>Peak memory</th><th>Spilled</th><th>Read back</th><th class=\"more\">More</th></tr></thead>\n\
         <tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn add_rows(operators: &[OperatorMetrics], node: NodeIdx, depth: usize, total: f64, rows: &mut String) {
    let Some(operator) = operators.get(node) else { return };
    let percent = if total > 0.0 { 100.0 * operator.seconds / total } else { 0.0 };
    // Nothing reads the output of a query.
    let rows_out = if depth == 0 { String::new() } else { group_digits(operator.rows_out) };
    let rows_in = if operator.inputs.is_empty() { String::new() } else { group_digits(operator.rows_in) };
    // Writing to a String does not fail.
    let _ = writeln!(
        rows,
        "<tr><td class=\"operator\" style=\"--depth:{depth}\"><b>{}</b><small>{}</small></td>\
         <td class=\"time\"><span class=\"bar\" style=\"--part:{percent:.1}%\"></span>{} <small>{percent:.0} %</small></td>\
         <td>{rows_in}</td><td>{rows_out}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"more\">{}</td></tr>",
        escape(operator.name),
        escape(&operator.detail),
        seconds_text(operator.seconds),
        bytes(operator.peak_bytes),
        spilled(operator),
        bytes(operator.restored_bytes),
        more(operator),
    );
    // A plan is a tree whose inputs come before their readers; a malformed one must not recurse forever.
    for &input in operator.inputs.iter().filter(|&&input| input < node) {
        add_rows(operators, input, depth + 1, total, rows);
    }
}

fn bytes(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format_bytes(bytes) }
}

fn spilled(operator: &OperatorMetrics) -> String {
    match operator.spilled_raw_bytes {
        0 => String::new(),
        raw => format!("{} <small>{} on disk</small>", format_bytes(raw), format_bytes(operator.spilled_stored_bytes)),
    }
}

/// What only some operators have.
fn more(operator: &OperatorMetrics) -> String {
    let counted = |n: u64, text: &dyn Fn(String) -> String| (n > 0).then(|| text(group_digits(n)));
    let parts = [
        (operator.read_bytes > 0).then(|| format!("read {}", format_bytes(operator.read_bytes))),
        counted(operator.n_partitions, &|n| format!("{n} partitions")),
        counted(operator.n_runs, &|n| format!("{n} runs")),
        counted(operator.depth, &|n| format!("depth {n}")),
        counted(operator.n_bad_rows, &|n| format!("{n} malformed rows")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
