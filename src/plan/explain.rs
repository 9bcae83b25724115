//! EXPLAIN: the nodes of a query as an indented tree or as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::exec::{NodeIdx, Query};

/// The tree, root first, two spaces a level.
pub fn explain_text(query: &Query) -> String {
    let mut text = String::new();
    if let Some(root) = query.nodes.len().checked_sub(1) {
        write_node(query, root, 0, &mut text);
    }
    text
}

fn write_node(query: &Query, node_idx: NodeIdx, depth: usize, text: &mut String) {
    let node = &query.nodes[node_idx];
    let separator = if node.detail.is_empty() { "" } else { ": " };
    // Writing to a String does not fail.
    let _ = writeln!(text, "{:width$}{}{separator}{}", "", node.name, node.detail, width = 2 * depth);
    for &input in &node.inputs {
        write_node(query, input, depth + 1, text);
    }
}

/// The same as nested objects: `operator`, `detail`, `node` (its number, for metrics) and `inputs`.
pub fn explain_json(query: &Query) -> Value {
    match query.nodes.len().checked_sub(1) {
        Some(root) => node_json(query, root),
        None => Value::Null,
    }
}

fn node_json(query: &Query, node_idx: NodeIdx) -> Value {
    let node = &query.nodes[node_idx];
    let inputs: Vec<Value> = node.inputs.iter().map(|&input| node_json(query, input)).collect();
    json!({ "operator": node.name, "detail": node.detail, "node": node_idx, "inputs": inputs })
}
