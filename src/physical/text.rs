//! Expressions as a person would write them: `sum(v1)`, not `sum(sales.csv.v1)`; `a + 1`, not `a + Int64(1)`.

use std::collections::HashSet;

use chrono::DateTime;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_expr::expr::Sort;
use datafusion_expr::{Expr, LogicalPlan, Operator};

/// Literals are printed with their type in front; these are dropped.
const LITERAL_TYPES: [&str; 18] = [
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float32",
    "Float64",
    "LargeUtf8",
    "Utf8View",
    "Utf8",
    "Boolean",
    "Date32",
    "Date64",
    "TimestampSecond",
    "IntervalMonthDayNano",
];

/// Writes expressions of one query.
pub(crate) struct Namer {
    /// The tables and aliases of the query, longest first, so that no name is cut in the middle.
    relations: Vec<String>,
}

impl Namer {
    /// Knows the tables and aliases of `plan`.
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        let mut relations = HashSet::new();
        let visited = plan.apply_with_subqueries(|node| {
            match node {
                LogicalPlan::TableScan(scan) => relations.insert(scan.table_name.to_string()),
                LogicalPlan::SubqueryAlias(alias) => relations.insert(alias.alias.to_string()),
                _ => false,
            };
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(visited.is_ok(), "the visitor does not fail");
        let mut relations: Vec<String> = relations.into_iter().collect();
        relations.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Namer { relations }
    }

    /// Whether `path` begins with a table or alias and a dot.
    pub(crate) fn has_relation(&self, path: &str) -> bool {
        self.relations
            .iter()
            .any(|relation| path.strip_prefix(relation.as_str()).is_some_and(|rest| rest.starts_with('.')))
    }

    /// `expr` as text.
    pub(super) fn text(&self, expr: &Expr) -> String {
        let text = match expr {
            Expr::Column(column) => self.name(&column.name),
            Expr::Alias(alias) => self.name(&alias.name),
            _ => self.shorten(&expr.to_string()),
        };
        // The planner turns the one into the other.
        text.replace("count(1)", "count(*)")
    }

    /// All of `exprs`, separated by commas.
    pub(super) fn list<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>) -> String {
        exprs.into_iter().map(|expr| self.text(expr)).collect::<Vec<_>>().join(", ")
    }

    /// All of `conditions`, which must all hold.
    pub(super) fn all_of(&self, conditions: &[Expr]) -> String {
        let one = |condition: &Expr| match condition {
            Expr::BinaryExpr(either) if either.op == Operator::Or && conditions.len() > 1 => {
                format!("({})", self.text(condition))
            }
            _ => self.text(condition),
        };
        conditions.iter().map(one).collect::<Vec<_>>().join(" AND ")
    }

    /// The keys of an ORDER BY. NULLs are mentioned where they are not where they would be by default.
    pub(super) fn sort_keys(&self, keys: &[Sort]) -> String {
        let one = |key: &Sort| {
            let direction = if key.asc { "" } else { " DESC" };
            let nulls = match (key.asc, key.nulls_first) {
                (true, true) => " NULLS FIRST",
                (false, false) => " NULLS LAST",
                _ => "",
            };
            format!("{}{direction}{nulls}", self.text(&key.expr))
        };
        keys.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The name of a column. Only names that are expressions are shortened: a column may be called anything.
    pub(crate) fn name(&self, name: &str) -> String {
        if name.contains('(') || name.contains(' ') { self.shorten(name) } else { name.to_string() }
    }

    fn shorten(&self, text: &str) -> String {
        let mut short = text.to_string();
        for relation in &self.relations {
            short = without_qualifier(&short, &format!("{relation}."));
        }
        for (unit, per_second) in
            [("Second", 1), ("Millisecond", 1000), ("Microsecond", 1_000_000), ("Nanosecond", 1_000_000_000)]
        {
            short = readable_stamps(&short, &format!("Timestamp{unit}("), per_second);
        }
        for literal in LITERAL_TYPES {
            short = without_type(&short, literal);
        }
        short.replace("IN ([", "IN (").replace("])", ")")
    }
}

/// Drops `qualifier` wherever it does not continue a longer name.
fn without_qualifier(name: &str, qualifier: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(qualifier) {
        let before = &rest[..at];
        short.push_str(before);
        let continues = short.chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '/'));
        if continues {
            short.push_str(qualifier);
        }
        rest = &rest[at + qualifier.len()..];
    }
    short + rest
}

/// `TimestampSecond(1717200000, None)` becomes `'2024-06-01 00:00:00'`.
fn readable_stamps(name: &str, prefix: &str, per_second: i64) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(prefix) {
        let after = &rest[at + prefix.len()..];
        let parts = after.split_once(", ").and_then(|(value, behind)| Some((value, behind.split_once(')')?)));
        let stamp = parts.and_then(|(value, (zone, tail))| {
            let value: i64 = value.parse().ok()?;
            let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
            let moment = DateTime::from_timestamp(value.div_euclid(per_second), u32::try_from(nanos).ok()?)?;
            let zone = if zone == "None" { "" } else { " UTC" };
            // `Some("UTC")` ends with a parenthesis of its own.
            let tail = if zone.is_empty() { tail } else { tail.strip_prefix(')').unwrap_or(tail) };
            Some((format!("'{}{zone}'", moment.format("%Y-%m-%d %H:%M:%S%.f")), tail))
        });
        short.push_str(&rest[..at]);
        rest = match stamp {
            Some((text, tail)) => {
                short.push_str(&text);
                tail
            }
            None => {
                short.push_str(prefix);
                after
            }
        };
    }
    short + rest
}

/// `Int64(1)` becomes `1` and `Utf8("a")` becomes `'a'`.
fn without_type(name: &str, literal: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    let prefix = format!("{literal}(");
    while let Some(at) = rest.find(&prefix) {
        let after = &rest[at + prefix.len()..];
        let quoted = after.strip_prefix('"').and_then(|text| text.split_once("\")"));
        let value = match quoted {
            Some((text, tail)) => Some((format!("'{text}'"), tail)),
            None => after.split_once(')').map(|(text, tail)| (text.to_string(), tail)),
        };
        let inside_name = rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        match value.filter(|(text, _)| !inside_name && !text.contains('(')) {
            Some((text, tail)) => {
                short.push_str(&rest[..at]);
                short.push_str(&text);
                rest = tail;
            }
            None => {
                short.push_str(&rest[..at + prefix.len()]);
                rest = after;
            }
        }
    }
    short + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_tables_and_literal_types() {
        let namer = Namer { relations: vec!["data/sales.csv".to_string(), "s".to_string()] };
        let check = |name: &str, short: &str| assert_eq!(namer.name(name), short);
        check("sum(data/sales.csv.v1)", "sum(v1)");
        check("sum(s.v1 + Int64(1))", "sum(v1 + 1)");
        check("max(s.v1) - min(s.v2)", "max(v1) - min(v2)");
        check("substr(s.a,Int64(1),Utf8(\"x.y\"))", "substr(a,1,'x.y')");
        check("f(xs.v1)", "f(xs.v1)");
        check("Price", "Price");
        check("a IN ([Int64(1), Int64(2)])", "a IN (1, 2)");
        check("day > Date32(\"2024-01-01\")", "day > '2024-01-01'");
        check("s.x", "s.x");
        check("s.t > TimestampMicrosecond(1717200000000000, None)", "t > '2024-06-01 00:00:00'");
        check("f(s.t,TimestampSecond(-1, Some(\"UTC\")))", "f(t,'1969-12-31 23:59:59 UTC')");
    }
}
