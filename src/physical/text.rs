//! Expressions as a person would write them: `sum(v1)`, not `sum(sales.csv.v1)`; `a + 1`, not `a + Int64(1)`.

use std::collections::HashSet;

use datafusion_expr::Expr;
use datafusion_expr::expr::Sort;

/// `expr` without the names of the tables its columns come from.
pub(super) fn text(expr: &Expr) -> String {
    let relations: HashSet<String> =
        expr.column_refs().iter().filter_map(|column| Some(column.relation.as_ref()?.to_string())).collect();
    let mut relations: Vec<String> = relations.into_iter().collect();
    relations.sort_by_key(|name| std::cmp::Reverse(name.len()));
    match expr {
        Expr::Column(column) => column.name.clone(),
        _ => shorten(&expr.human_display().to_string(), &relations),
    }
}

/// All of `exprs`, separated by commas.
pub(super) fn list<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> String {
    exprs.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// The keys of an ORDER BY. NULLs are mentioned where they are not where they would be by default.
pub(super) fn sort_keys(keys: &[Sort]) -> String {
    let one = |key: &Sort| {
        let direction = if key.asc { "" } else { " DESC" };
        let nulls = match (key.asc, key.nulls_first) {
            (true, true) => " NULLS FIRST",
            (false, false) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", text(&key.expr))
    };
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A name without `relations` (longest first) in front of columns and without the types of literals.
pub(crate) fn shorten(name: &str, relations: &[String]) -> String {
    let mut short = name.to_string();
    for relation in relations {
        short = without_qualifier(&short, &format!("{relation}."));
    }
    for literal in ["Int64", "Float64", "Utf8", "Boolean"] {
        short = without_type(&short, literal);
    }
    short
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
        let relations = ["data/sales.csv".to_string(), "s".to_string()];
        let check = |name: &str, short: &str| assert_eq!(shorten(name, &relations), short);
        check("sum(data/sales.csv.v1)", "sum(v1)");
        check("sum(s.v1 + Int64(1))", "sum(v1 + 1)");
        check("max(s.v1) - min(s.v2)", "max(v1) - min(v2)");
        check("substr(s.a,Int64(1),Utf8(\"x.y\"))", "substr(a,1,'x.y')");
        check("f(xs.v1)", "f(xs.v1)");
        check("Price", "Price");
    }
}
