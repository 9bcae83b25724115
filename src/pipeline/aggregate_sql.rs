//! From a `group_by` step to SQL: keys, and functions by the names that frames have for them.

use super::fields::Text;
use super::relations::Relation;
use super::spec::{Aggregation, Item, Measure};
use super::sql_text::{SqlText, quoted};
use super::step_sql::{StepCx, is_word};
use super::traps;
use crate::error::Result;

/// Functions whose SQL has another name.
const FUNCTIONS: [(&str, &str); 13] = [
    ("mean", "avg"),
    ("average", "avg"),
    ("std", "stddev"),
    ("variance", "var"),
    ("first", "first_value"),
    ("last", "last_value"),
    ("list", "array_agg"),
    ("collect", "array_agg"),
    ("implode", "array_agg"),
    ("any", "bool_or"),
    ("all", "bool_and"),
    ("minimum", "min"),
    ("maximum", "max"),
];

/// Functions that count rows, whatever is in them.
const ROW_COUNTS: [&str; 4] = ["len", "size", "n_rows", "rows"];

/// Functions that count different values.
const DISTINCT_COUNTS: [&str; 4] = ["n_unique", "nunique", "count_distinct", "approx_n_unique"];

/// The query, and the names of its keys.
pub(super) fn group_by(
    cx: &StepCx<'_>,
    keys: &[Item],
    aggregations: &[Aggregation],
    input: &str,
    relation: &Relation,
) -> Result<(SqlText, Vec<String>)> {
    let mut sql = SqlText::new("SELECT ");
    let mut names = Vec::with_capacity(keys.len());
    for (idx, key) in keys.iter().enumerate() {
        sql.push(if idx > 0 { ", " } else { "" });
        let name = key.alias.as_ref().unwrap_or(&key.expr);
        if relation.has(key.expr.as_str()) {
            sql.user_name(&key.expr);
        } else if is_word(key.expr.as_str()) {
            return Err(traps::missing_key(cx, &key.expr, input, relation));
        } else {
            sql.user_expr(&key.expr);
        }
        sql.push(" AS ").user_name(name);
        names.push(name.text.clone());
    }
    for (idx, aggregation) in aggregations.iter().enumerate() {
        sql.push(if idx + keys.len() > 0 { ", " } else { "" });
        add_measure(cx, &mut sql, aggregation, input, relation)?;
        let name = alias(aggregation);
        if names.contains(&name.text) {
            let error = cx.source.error(name.place, format!("{:?} is the name of another column already", name.text));
            return Err(error.with_hint("give it another name with alias"));
        }
        sql.push(" AS ").user_name(&name);
    }
    sql.push(" FROM ").name(input);
    if !keys.is_empty() {
        let numbers: Vec<String> = (1..=keys.len()).map(|number| number.to_string()).collect();
        sql.push(&format!(" GROUP BY {}", numbers.join(", ")));
    }
    Ok((sql, names))
}

fn alias(aggregation: &Aggregation) -> Text {
    if let Some(alias) = &aggregation.alias {
        return alias.clone();
    }
    let name = match &aggregation.measure {
        Measure::Expr(expr) => expr.text.clone(),
        Measure::Function { function, column: Some(column), .. } if column.text != "*" => {
            format!("{}_{}", column.text, function.text)
        }
        Measure::Function { function, .. } => function.text.clone(),
    };
    Text::made(name, aggregation.place)
}

fn add_measure(
    cx: &StepCx<'_>,
    sql: &mut SqlText,
    aggregation: &Aggregation,
    input: &str,
    relation: &Relation,
) -> Result<()> {
    let (function, column, other, quantile) = match &aggregation.measure {
        Measure::Expr(expr) => {
            sql.user_sql(expr);
            return Ok(());
        }
        Measure::Function { function, column, other, quantile } => (function, column, other, *quantile),
    };
    let name = function.text.to_ascii_lowercase();
    let is_count = name == "count" && column.as_ref().is_none_or(|column| column.text == "*");
    if is_count || ROW_COUNTS.contains(&name.as_str()) {
        sql.push("count(*)");
        return Ok(());
    }
    let Some(column) = column else {
        let error = cx.source.error(aggregation.place, format!("{:?} needs a column", function.text));
        return Err(error.with_hint(format!("{{column: price, function: {}}}", function.text)));
    };
    let argument = |column: &Text| column_or_expr(cx, column, input, relation);
    if DISTINCT_COUNTS.contains(&name.as_str()) {
        sql.push("count(DISTINCT ").append(argument(column)?).push(")");
        return Ok(());
    }
    match (name.as_str(), quantile, other) {
        ("quantile" | "percentile" | "quantile_cont", Some(quantile), _) => {
            sql.push("quantile_cont(").append(argument(column)?).push(&format!(", {quantile:?})"));
        }
        ("quantile" | "percentile" | "quantile_cont", None, _) => {
            let error = cx.source.error(aggregation.place, "a quantile needs to know which");
            return Err(error.with_hint("{column: price, function: quantile, quantile: 0.9}"));
        }
        (_, _, Some(other)) => {
            sql.user_sql(&renamed(function, &name)).push("(").append(argument(column)?).push(", ");
            sql.append(argument(other)?).push(")");
        }
        _ => {
            sql.user_sql(&renamed(function, &name)).push("(").append(argument(column)?).push(")");
        }
    }
    Ok(())
}

/// A function under its name in SQL, standing for what the user wrote.
fn renamed(function: &Text, name: &str) -> Text {
    let sql_name = FUNCTIONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, sql_name)| sql_name);
    Text { text: sql_name.to_string(), ..function.clone() }
}

fn column_or_expr(cx: &StepCx<'_>, column: &Text, input: &str, relation: &Relation) -> Result<SqlText> {
    let mut sql = SqlText::default();
    if relation.has(column.as_str()) {
        sql.user_sql(&Text { text: quoted(&column.text), ..Text::made("", column.place) });
    } else if is_word(column.as_str()) {
        return Err(relation.no_column(cx.source, input, column));
    } else {
        sql.user_sql(column);
    }
    Ok(sql)
}
