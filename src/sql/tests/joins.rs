//! Joins from text to rows: every type, and NULLs above all.

use expect_test::expect;

use super::{check_plan, check_sorted};

/// `l(a, b)` and `r(c, d)`: keys that match once, twice, never and NULL on both sides.
const TABLES: &str = "WITH l AS (SELECT * FROM (VALUES (1, 10), (2, 20), (2, 21), (3, 30), (NULL, 40)) AS v(a, b)), \
     r AS (SELECT * FROM (VALUES (2, 200), (2, 201), (3, 300), (4, 400), (NULL, 500)) AS v(c, d)) ";

#[track_caller]
fn check(text: &str, expected: expect_test::Expect) {
    check_sorted(&format!("{TABLES}{text}"), expected);
}

#[test]
fn pairs_and_rows_without_a_match() {
    check(
        "SELECT a, b, d FROM l JOIN r ON a = c",
        expect![[r#"
        a, b, d
        2, 20, 200
        2, 20, 201
        2, 21, 200
        2, 21, 201
        3, 30, 300"#]],
    );
    check(
        "SELECT a, b, c, d FROM l LEFT JOIN r ON a = c",
        expect![[r#"
        a, b, c, d
        1, 10, _, _
        2, 20, 2, 200
        2, 20, 2, 201
        2, 21, 2, 200
        2, 21, 2, 201
        3, 30, 3, 300
        _, 40, _, _"#]],
    );
    check(
        "SELECT a, b, c, d FROM l RIGHT JOIN r ON a = c",
        expect![[r#"
        a, b, c, d
        2, 20, 2, 200
        2, 20, 2, 201
        2, 21, 2, 200
        2, 21, 2, 201
        3, 30, 3, 300
        _, _, 4, 400
        _, _, _, 500"#]],
    );
    check(
        "SELECT a, b, c, d FROM l FULL JOIN r ON a = c",
        expect![[r#"
        a, b, c, d
        1, 10, _, _
        2, 20, 2, 200
        2, 20, 2, 201
        2, 21, 2, 200
        2, 21, 2, 201
        3, 30, 3, 300
        _, 40, _, _
        _, _, 4, 400
        _, _, _, 500"#]],
    );
}

#[test]
fn conditions_and_nulls_decide_what_is_a_match() {
    check(
        "SELECT a, b, c, d FROM l FULL JOIN r ON a = c AND b + 180 < d",
        expect![[r#"
        a, b, c, d
        1, 10, _, _
        2, 20, 2, 201
        2, 21, _, _
        3, 30, 3, 300
        _, 40, _, _
        _, _, 2, 200
        _, _, 4, 400
        _, _, _, 500"#]],
    );
    check(
        "SELECT a, b, c, d FROM l LEFT JOIN r ON a = c AND d > 200",
        expect![[r#"
        a, b, c, d
        1, 10, _, _
        2, 20, 2, 201
        2, 21, 2, 201
        3, 30, 3, 300
        _, 40, _, _"#]],
    );
    check(
        "SELECT a, b, c, d FROM l JOIN r ON a IS NOT DISTINCT FROM c",
        expect![[r#"
        a, b, c, d
        2, 20, 2, 200
        2, 20, 2, 201
        2, 21, 2, 200
        2, 21, 2, 201
        3, 30, 3, 300
        _, 40, _, 500"#]],
    );
    check(
        "SELECT a, b, c, d FROM l FULL JOIN r ON a IS NOT DISTINCT FROM c",
        expect![[r#"
        a, b, c, d
        1, 10, _, _
        2, 20, 2, 200
        2, 20, 2, 201
        2, 21, 2, 200
        2, 21, 2, 201
        3, 30, 3, 300
        _, 40, _, 500
        _, _, 4, 400"#]],
    );
}

#[test]
fn conditions_without_equality() {
    check(
        "SELECT a, c FROM l CROSS JOIN r WHERE b < 20",
        expect![[r#"
        a, c
        1, 2
        1, 2
        1, 3
        1, 4
        1, _"#]],
    );
    check(
        "SELECT a, c FROM l JOIN r ON a < c",
        expect![[r#"
        a, c
        1, 2
        1, 2
        1, 3
        1, 4
        2, 3
        2, 3
        2, 4
        2, 4
        3, 4"#]],
    );
    check(
        "SELECT a, c FROM l FULL JOIN r ON a > c + 0",
        expect![[r#"
        a, c
        1, _
        2, _
        2, _
        3, 2
        3, 2
        _, 3
        _, 4
        _, _
        _, _"#]],
    );
    check(
        "SELECT a, c FROM l LEFT JOIN r ON a > c + 1 OR d = 500",
        expect![[r#"
        a, c
        1, _
        2, _
        2, _
        3, _
        _, _"#]],
    );
    check(
        "SELECT a, c FROM l JOIN r ON a + 1 = c - 1",
        expect![[r#"
        a, c
        1, 3
        2, 4
        2, 4"#]],
    );
}

#[test]
fn in_and_exists() {
    check(
        "SELECT a, b FROM l WHERE a IN (SELECT c FROM r)",
        expect![[r#"
        a, b
        2, 20
        2, 21
        3, 30"#]],
    );
    check(
        "SELECT a, b FROM l WHERE EXISTS (SELECT 1 FROM r WHERE c = a AND d > b + 250)",
        expect![[r#"
        a, b
        3, 30"#]],
    );
    check(
        "SELECT a, b FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE c = a)",
        expect![[r#"
        a, b
        1, 10
        _, 40"#]],
    );
    check(
        "SELECT a, b FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE c = a AND d > 200)",
        expect![[r#"
        a, b
        1, 10
        _, 40"#]],
    );
    check(
        "SELECT a, b FROM l WHERE a IN (SELECT c FROM r) OR b = 10",
        expect![[r#"
        a, b
        1, 10
        2, 20
        2, 21
        3, 30"#]],
    );
    check(
        "SELECT a, b FROM l WHERE EXISTS (SELECT 1 FROM r WHERE c = a) OR b = 40",
        expect![[r#"
        a, b
        2, 20
        2, 21
        3, 30
        _, 40"#]],
    );
    check(
        "SELECT c FROM r INTERSECT SELECT a FROM l",
        expect![[r#"
        c
        2
        3
        _"#]],
    );
    check(
        "SELECT c FROM r EXCEPT SELECT a FROM l",
        expect![[r#"
        c
        4"#]],
    );
    check(
        "SELECT c, d FROM r EXCEPT ALL SELECT a, 200 FROM l",
        expect![[r#"
        c, d
        2, 201
        3, 300
        4, 400
        _, 500"#]],
    );
}

#[test]
fn not_in_knows_null() {
    // A NULL in the list: no row is known not to be in it.
    check(
        "SELECT count(*) AS n FROM l WHERE a NOT IN (SELECT c FROM r)",
        expect![[r#"
        n
        0"#]],
    );
    // A NULL outside: not known either.
    check(
        "SELECT a, b FROM l WHERE a NOT IN (SELECT c FROM r WHERE c IS NOT NULL)",
        expect![[r#"
        a, b
        1, 10"#]],
    );
    // Nothing is in an empty list, NULL included.
    check(
        "SELECT a, b FROM l WHERE a NOT IN (SELECT c FROM r WHERE d > 900)",
        expect![[r#"
        a, b
        1, 10
        2, 20
        2, 21
        3, 30
        _, 40"#]],
    );
    // Correlated: each row has a list of its own.
    check(
        "SELECT count(*) AS n FROM l WHERE a NOT IN (SELECT c FROM r WHERE d > b * 10)",
        expect![[r#"
        n
        0"#]],
    );
    check(
        "SELECT a, b FROM l WHERE b NOT IN (SELECT d / 10 FROM r WHERE c = a)",
        expect![[r#"
        a, b
        1, 10
        2, 21
        _, 40"#]],
    );
    check(
        "SELECT a, b FROM l WHERE 200 NOT IN (SELECT d FROM r WHERE c = a)",
        expect![[r#"
            a, b
            1, 10
            3, 30
            _, 40"#]],
    );
}

#[test]
fn in_among_other_conditions_knows_null() {
    // Not known whether 1 is in a list with NULL, nor whether NULL is in any list.
    check(
        "SELECT a, b FROM l WHERE a NOT IN (SELECT c FROM r) OR b = 10",
        expect![[r#"
        a, b
        1, 10"#]],
    );
    check(
        "SELECT count(*) AS n FROM l WHERE NOT (a IN (SELECT c FROM r) OR b = 10)",
        expect![[r#"
        n
        0"#]],
    );
    check(
        "SELECT a, b FROM l WHERE a NOT IN (SELECT c FROM r WHERE d < 500) OR b = 20",
        expect![[r#"
        a, b
        1, 10
        2, 20"#]],
    );
    check(
        "SELECT a, b FROM l WHERE NOT (a IN (SELECT c FROM r WHERE d < 500) AND b > 0)",
        expect![[r#"
        a, b
        1, 10"#]],
    );
    check(
        "SELECT a, b FROM l WHERE (a IN (SELECT c FROM r)) IS NULL",
        expect![[r#"
        a, b
        1, 10
        _, 40"#]],
    );
    check(
        "SELECT a, b FROM l WHERE (a IN (SELECT c FROM r WHERE d < 500)) IS NULL",
        expect![[r#"
        a, b
        _, 40"#]],
    );
    check(
        "SELECT a, b FROM l WHERE (a NOT IN (SELECT c FROM r WHERE d < 500)) = (b = 10)",
        expect![[r#"
        a, b
        1, 10
        2, 20
        2, 21
        3, 30"#]],
    );
    check(
        "SELECT a, b FROM l WHERE (a NOT IN (SELECT c FROM r WHERE d > 900)) IS NOT NULL",
        expect![[r#"
        a, b
        1, 10
        2, 20
        2, 21
        3, 30
        _, 40"#]],
    );
    check(
        "SELECT a, b FROM l WHERE (b NOT IN (SELECT d / 10 FROM r WHERE c = a)) OR b = 20",
        expect![[r#"
        a, b
        1, 10
        2, 20
        2, 21
        _, 40"#]],
    );
}

#[test]
fn subqueries_that_give_one_value() {
    check(
        "SELECT a, b, (SELECT max(d) FROM r) AS m FROM l",
        expect![[r#"
        a, b, m
        1, 10, 500
        2, 20, 500
        2, 21, 500
        3, 30, 500
        _, 40, 500"#]],
    );
    check(
        "SELECT a, b, (SELECT max(d) FROM r WHERE c = a) AS m FROM l",
        expect![[r#"
        a, b, m
        1, 10, _
        2, 20, 201
        2, 21, 201
        3, 30, 300
        _, 40, _"#]],
    );
    check(
        "SELECT a, b FROM l WHERE b * 10 = (SELECT min(d) FROM r WHERE c = a)",
        expect![[r#"
        a, b
        2, 20
        3, 30"#]],
    );
    check(
        "SELECT a, (SELECT count(*) FROM r WHERE c = a) AS n FROM l",
        expect![[r#"
        a, n
        1, 0
        2, 2
        2, 2
        3, 1
        _, 0"#]],
    );
}

#[test]
fn joins_over_joins_unions_and_groups() {
    check(
        "SELECT l.a, x.a, c FROM l JOIN l AS x ON l.a = x.a JOIN r ON x.a = c AND l.b <= x.b",
        expect![[r#"
        a, a_1, c
        2, 2, 2
        2, 2, 2
        2, 2, 2
        2, 2, 2
        2, 2, 2
        2, 2, 2
        3, 3, 3"#]],
    );
    check(
        "SELECT a, count(*), sum(d) FROM l LEFT JOIN r ON a = c GROUP BY a",
        expect![[r#"
        a, count(*), sum(d)
        1, 1, _
        2, 4, 802
        3, 1, 300
        _, 1, _"#]],
    );
    check(
        "SELECT k, c FROM (SELECT a AS k FROM l UNION ALL SELECT b / 10 FROM l) u FULL JOIN r ON k = c",
        expect![[r#"
        k, c
        1, _
        1, _
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        3, 3
        3, 3
        4, 4
        _, _
        _, _"#]],
    );
    check(
        "SELECT a, c FROM l FULL JOIN r ON a = c UNION ALL SELECT c, a FROM r LEFT JOIN l ON a = c",
        expect![[r#"
        a, c
        1, _
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        2, 2
        3, 3
        3, 3
        4, _
        _, 4
        _, _
        _, _
        _, _"#]],
    );
    check(
        "SELECT a, d FROM l, r WHERE a = c ORDER BY d DESC, b LIMIT 2",
        expect![[r#"
        a, d
        2, 201
        3, 300"#]],
    );
}

#[test]
fn keys_of_every_type() {
    check_sorted(
        "SELECT s.id, t.qty FROM 'sales.csv' s JOIN 'sales.csv' t ON s.id = t.id AND s.day = t.day",
        expect![[r#"
        id, qty
        a, 3
        a, _
        b, 1
        b, 2
        c, 7"#]],
    );
    check_sorted(
        "SELECT s.id, t.id FROM 'sales.csv' s LEFT JOIN 'sales.csv' t ON s.\"Price\" = t.qty",
        expect![[r#"
        id, id_1
        _, _
        a, _
        a, _
        b, _
        b, _
        b, b
        c, b"#]],
    );
    check_sorted(
        "SELECT x FROM 'many.csv' WHERE x NOT IN (SELECT qty FROM 'sales.csv' WHERE qty IS NOT NULL)",
        expect![[r#"
        x
        0
        10
        11
        12
        20
        21
        22
        30
        31
        32"#]],
    );
    check_sorted(
        "SELECT count(*) AS n FROM 'pairs.csv' p JOIN 'pairs.csv' q ON p.s = q.s AND p.g = q.g",
        expect![[r#"
        n
        12000"#]],
    );
}

#[test]
fn the_plan_says_what_is_joined() {
    check_plan(
        "SELECT s.id, m.x FROM 'many.csv' m LEFT JOIN 'sales.csv' s ON m.x = s.qty AND s.\"Price\" > m.x",
        expect![[r#"
            Output
              Join: left, x = qty AND Price > CAST(x AS Float64), build left
                Scan: mem many.csv, 1 of 1 columns
                Scan: mem sales.csv, 3 of 5 columns
        "#]],
    );
    check_plan(
        "SELECT x FROM 'many.csv' WHERE x NOT IN (SELECT qty FROM 'sales.csv')",
        expect![[r#"
        Output
          Join: left anti (NOT IN), x = qty, build left
            Scan: mem many.csv, 1 of 1 columns
            Scan: mem sales.csv, 1 of 5 columns
    "#]],
    );
    check_plan(
        "SELECT x FROM 'many.csv' WHERE x + 1 IN (SELECT qty FROM 'sales.csv')",
        expect![[r#"
        Output
          Join: left semi, x + 1 = qty, build left
            Project: adding x + 1
              Scan: mem many.csv, 1 of 1 columns
            Scan: mem sales.csv, 1 of 5 columns
    "#]],
    );
}
