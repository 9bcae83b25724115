//! From YAML to checks: a mapping of rules for the last step, or a list of such mappings, each perhaps for another step.

use super::fields::{self, Fields, Text};
use super::source::Source;
use super::spec::{Check, Rule};
use super::yaml::{Key, Node, Value};
use crate::error::Result;

/// The checks of `node`.
pub(super) fn read_checks(source: &Source, node: &Node) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    match &node.value {
        Value::List(items) => items.iter().try_for_each(|item| read_item(source, item, &mut checks))?,
        _ => read_item(source, node, &mut checks)?,
    }
    Ok(checks)
}

fn read_item(source: &Source, node: &Node, checks: &mut Vec<Check>) -> Result<()> {
    if let Value::Scalar(_) = &node.value {
        let condition = fields::text(source, node, "validate")?;
        refuse_query(source, &condition)?;
        checks.push(Check { place: node.place, step: None, rule: Rule::Sql { condition, name: None } });
        return Ok(());
    }
    let of = Fields::of(source, node, "validate")?;
    let step = of.text(&["step", "output", "of"])?;
    let mut add = |place, rule| checks.push(Check { place, step: step.clone(), rule });
    if let Some(node) = of.take(&["rows", "row_count"])? {
        add(node.place, read_rows(source, node)?);
    }
    let (min, max) = (of.take(&["min_rows"])?, of.take(&["max_rows"])?);
    if let Some(node) = min.or(max) {
        let bound = |node: Option<&Node>| node.map(|node| fields::count(source, node, "rows")).transpose();
        add(node.place, rows_between(source, node, bound(min)?, bound(max)?)?);
    }
    if let Some(node) = of.take(&["columns", "columns_present", "required_columns"])? {
        add(node.place, Rule::Columns(fields::texts(source, node, "columns")?));
    }
    if let Some(node) = of.take(&["not_null", "no_nulls"])? {
        add(node.place, Rule::NotNull(fields::texts(source, node, "not_null")?));
    }
    if let Some(node) = of.take(&["unique"])? {
        for key in unique_keys(source, node)? {
            add(node.place, Rule::Unique(key));
        }
    }
    if let Some(node) = of.take(&["ranges", "range"])? {
        for (place, rule) in read_ranges(source, node)? {
            add(place, rule);
        }
    }
    if let Some(node) = of.take(&["finite"])? {
        add(node.place, Rule::Finite(fields::texts(source, node, "finite")?));
    }
    let name = of.text(&["name"])?;
    if let Some(node) = of.take(&["sql", "condition", "conditions", "expression"])? {
        for condition in fields::texts(source, node, "sql")? {
            refuse_query(source, &condition)?;
            add(condition.place, Rule::Sql { condition, name: name.clone() });
        }
    }
    of.finish()
}

/// A check is a condition on every row, and not a query that looks for rows.
fn refuse_query(source: &Source, condition: &Text) -> Result<()> {
    let first = condition.text.split(|letter: char| !letter.is_alphabetic()).find(|word| !word.is_empty());
    match first.is_some_and(|word| ["select", "with"].iter().any(|query| word.eq_ignore_ascii_case(query))) {
        false => Ok(()),
        true => Err(source
            .error(condition.place, "a check is a condition that holds for every row, and this is a query")
            .with_hint("write what must hold: sql: \"heart_rate > 0\"; or make the query a step, and check its rows")),
    }
}

/// `12`, or `{min: 1, max: 100}`, or `{exact: 12}`.
fn read_rows(source: &Source, node: &Node) -> Result<Rule> {
    if let Value::Scalar(_) = &node.value {
        let exact = Some(fields::count(source, node, "rows")?);
        return Ok(Rule::Rows { min: exact, max: exact });
    }
    let of = Fields::of(source, node, "rows")?;
    let exact = of.count(&["exact", "equal", "equals"])?;
    let (min, max) = (of.count(&["min"])?.or(exact), of.count(&["max"])?.or(exact));
    of.finish()?;
    rows_between(source, node, min, max)
}

fn rows_between(source: &Source, node: &Node, min: Option<u64>, max: Option<u64>) -> Result<Rule> {
    match (min, max) {
        (Some(least), Some(most)) if least > most => Err(source
            .error(node.place, format!("no number of rows is at least {least} and at most {most}"))
            .with_hint("swap min and max")),
        _ => Ok(Rule::Rows { min, max }),
    }
}

/// `[a, b]` is one key of two columns, `[[a], [b, c]]` are two keys.
fn unique_keys(source: &Source, node: &Node) -> Result<Vec<Vec<Text>>> {
    match &node.value {
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::List(_))) => {
            items.iter().map(|item| fields::texts(source, item, "unique")).collect()
        }
        _ => Ok(vec![fields::texts(source, node, "unique")?]),
    }
}

/// `{age: [0, 120], price: {min: 0}}`, or `{column: age, min: 0, max: 120}`, or a list of these.
fn read_ranges(source: &Source, node: &Node) -> Result<Vec<(super::source::Place, Rule)>> {
    let entries = match &node.value {
        Value::List(items) => {
            let parts = items.iter().map(|item| read_ranges(source, item)).collect::<Result<Vec<_>>>()?;
            return Ok(parts.into_iter().flatten().collect());
        }
        _ => fields::entries(source, node, "ranges")?,
    };
    if entries.iter().any(|(key, _)| key.name == "column") {
        let of = Fields::of(source, node, "a range")?;
        let column = fields::text(source, of.need(&["column"], "column: age")?, "column")?;
        let (min, max) = (of.text(&["min"])?, of.text(&["max"])?);
        of.finish()?;
        return Ok(vec![(node.place, Rule::Range { column, min, max })]);
    }
    entries.iter().map(|(key, node)| Ok((node.place, read_range(source, key, node)?))).collect()
}

fn read_range(source: &Source, key: &Key, node: &Node) -> Result<Rule> {
    let bound = |node: &Node| (!node.is_null()).then(|| fields::text(source, node, &key.name)).transpose();
    let column = Text::from(key);
    match &node.value {
        Value::List(items) => match items.as_slice() {
            [min, max] => Ok(Rule::Range { column, min: bound(min)?, max: bound(max)? }),
            _ => Err(source.error(node.place, "a range has two ends").with_hint("age: [0, 120]")),
        },
        _ => {
            let of = Fields::of(source, node, format!("the range of {:?}", key.name))?;
            let (min, max) = (of.text(&["min"])?, of.text(&["max"])?);
            of.finish()?;
            Ok(Rule::Range { column, min, max })
        }
    }
}
