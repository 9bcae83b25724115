//! Which scans ask a join for partners, and which must not, because something between could fail.

use super::lower;
use crate::plan;

/// Whether the scan of pairs.csv in the plan of `text` leaves out rows whose `g` has no partner.
fn asks(text: &str) -> bool {
    match lower(text) {
        Ok((query, _)) => plan::explain_text(&query).contains("only joined g"),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn scans_ask_through_what_cannot_fail() {
    for text in [
        "SELECT f.x FROM 'pairs.csv' f JOIN 'sales.csv' d ON d.qty = f.g",
        "SELECT f.x FROM (SELECT g, x FROM 'pairs.csv' WHERE x > 1) f WHERE f.g IN (SELECT qty FROM 'sales.csv')",
        "SELECT t.n FROM (SELECT g, count(*) AS n FROM 'pairs.csv' GROUP BY g) t WHERE t.g IN (SELECT qty FROM 'sales.csv')",
        "SELECT f.x FROM (SELECT g, x FROM 'pairs.csv') f JOIN 'sales.csv' d ON d.qty = f.g",
    ] {
        assert!(asks(text), "{text}");
    }
}

#[test]
fn scans_do_not_ask_where_rows_matter_or_something_could_fail() {
    for text in [
        "SELECT f.x FROM 'pairs.csv' f LEFT JOIN 'sales.csv' d ON d.qty = f.g",
        "SELECT f.x FROM (SELECT * FROM 'pairs.csv' LIMIT 3) f JOIN 'sales.csv' d ON d.qty = f.g",
        "SELECT f.x FROM (SELECT g, 100 / x AS x FROM 'pairs.csv' ORDER BY x LIMIT 3) f JOIN 'sales.csv' d ON d.qty = f.g",
        "SELECT t.s FROM (SELECT g, sum(100 / x) AS s FROM 'pairs.csv' GROUP BY g) t WHERE t.g IN (SELECT qty FROM 'sales.csv')",
        "SELECT t.s FROM (SELECT g, sum(x) AS s FROM 'pairs.csv' GROUP BY g) t WHERE t.g IN (SELECT qty FROM 'sales.csv')",
        "SELECT f.x FROM 'pairs.csv' f JOIN 'sales.csv' d ON d.qty IS NOT DISTINCT FROM f.g",
    ] {
        assert!(!asks(text), "{text}");
    }
}
