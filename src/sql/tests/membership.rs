//! IN and NOT IN with NULLs, wherever a condition may stand.

use expect_test::{Expect, expect};

use super::{check_error, check_sorted};

/// A list with a NULL, and rows that are in it, not known to be, and NULL.
const TABLES: &str = "WITH s AS (SELECT * FROM (VALUES (1), (NULL)) AS v(y)), \
     t AS (SELECT * FROM (VALUES (1, 10, 7), (2, 20, 7), (3, 30, 1), (NULL, 40, 1), (NULL, 50, 7)) AS v(x, id, z)) ";

#[track_caller]
fn check(text: &str, expected: Expect) {
    check_sorted(&format!("{TABLES}{text}"), expected);
}

#[test]
fn a_condition_of_an_inner_join_knows_nulls() {
    check(
        "SELECT a.id FROM t a JOIN t b ON a.id = b.id AND (a.x NOT IN (SELECT y FROM s) OR a.z = 1)",
        expect![[r#"
        id
        30
        40"#]],
    );
    check(
        "SELECT count(*) AS n FROM t a JOIN t b ON a.id = b.id AND a.x NOT IN (SELECT y FROM s)",
        expect![[r#"
        n
        0"#]],
    );
    check(
        "SELECT a.id FROM t a JOIN t b ON a.id = b.id AND a.x IN (SELECT y FROM s) AND b.z = 7",
        expect![[r#"
        id
        10"#]],
    );
}

#[test]
fn a_condition_of_an_outer_join_knows_nulls() {
    check(
        "SELECT a.id, b.id AS m FROM t a LEFT JOIN t b ON a.id = b.id AND (b.x NOT IN (SELECT y FROM s) OR b.z = 1)",
        expect![[r#"
        id, m
        10, _
        20, _
        30, 30
        40, 40
        50, _"#]],
    );
}

#[test]
fn a_derived_column_knows_nulls() {
    check(
        "SELECT id FROM (SELECT id, x NOT IN (SELECT y FROM s) AS m FROM t) q WHERE m OR id = 50",
        expect![[r#"
        id
        50"#]],
    );
    check(
        "SELECT id FROM (SELECT id, x NOT IN (SELECT y FROM s) AS m FROM t) q WHERE m IS NULL",
        expect![[r#"
        id
        20
        30
        40
        50"#]],
    );
}

#[test]
fn a_list_that_may_change_is_refused() {
    check_error(
        "SELECT x FROM 'many.csv' WHERE x NOT IN (SELECT qty FROM 'sales.csv' LIMIT 2) OR x = 1",
        expect![[r#"
        Usage: this IN may give something else each time it is run, and is run again to know its NULLs
          hint: CREATE TEMP TABLE .. AS keeps the rows of the list; ORDER BY goes before LIMIT"#]],
    );
}

#[test]
fn a_place_where_no_join_can_be_made_is_refused() {
    for text in [
        "SELECT count(DISTINCT x IN (SELECT 1)) FROM 'many.csv'",
        "SELECT a.x FROM 'many.csv' a LEFT JOIN 'many.csv' b ON a.x = b.x AND a.x + b.x NOT IN (SELECT qty FROM 'sales.csv')",
    ] {
        check_error(
            text,
            expect![[r#"
                Usage: IN or EXISTS with a subquery is not supported outside of SELECT lists, WHERE and HAVING
                  hint: write it as a LEFT JOIN, or as a count: (SELECT count(*) FROM .. WHERE ..) > 0"#]],
        );
    }
}
