//! Which joins are done by order, and how their plans look.

use expect_test::expect;

use super::{check_plan, check_sorted};

#[test]
fn a_point_in_an_interval_is_looked_for_in_one_sweep() {
    check_plan(
        "SELECT s.id FROM 'sales.csv' AS s JOIN 'pairs.csv' AS p ON s.qty BETWEEN p.g AND p.x",
        expect![[r#"
            Output
              RangeJoin: inner, qty >= g AND qty <= x
                Sort: by qty
                  Union: both sides
                    Project: rows of the left side
                      Scan: mem sales.csv, 2 of 5 columns
                    Project: rows of the right side
                      Scan: mem pairs.csv, 2 of 3 columns
        "#]],
    );
    // What is neither is checked for the pairs that are found.
    check_plan(
        "SELECT count(*) FROM 'many_pairs.csv' AS a JOIN 'many_pairs.csv' AS b \
         ON a.x < b.x + 5 AND a.x > b.x AND a.s <> b.s",
        expect![[r#"
            Output
              Project: count(*)
                Aggregate: count(*)
                  RangeJoin: inner, x < x + 5 AND x > x AND s != s
                    Sort: by x
                      Union: both sides
                        Project: rows of the left side
                          Project: adding x + 5
                            Scan: mem many_pairs.csv, 2 of 3 columns
                        Project: rows of the right side
                          Scan: mem many_pairs.csv, 2 of 3 columns
        "#]],
    );
    check_plan(
        "SELECT count(*) FROM 'pairs.csv' AS p WHERE NOT EXISTS (SELECT 1 FROM 'sales.csv' AS s WHERE s.qty < p.x)",
        expect![[r#"
            Output
              Project: count(*)
                Aggregate: count(*)
                  RangeJoin: left anti, qty < x
                    Sort: by x
                      Union: both sides
                        Project: rows of the left side
                          Scan: mem pairs.csv, 1 of 3 columns
                        Project: rows of the right side
                          Scan: mem sales.csv, 1 of 5 columns
        "#]],
    );
}

/// Whether `condition` between two tables of 5000 rows with columns ts, ms, d, c and k makes a join by order.
fn is_range_join(condition: &str) -> bool {
    let rows = "SELECT CAST(x AS TIMESTAMP(6)) AS ts, CAST(x AS TIMESTAMP(3)) AS ms, CAST(CAST(x AS INT) AS DATE) AS d, \
         CAST(x AS DECIMAL(12, 2)) AS c, CAST(x AS DECIMAL(9, 1)) AS e, x AS k FROM 'many_pairs.csv'";
    let text = format!("SELECT count(*) FROM ({rows}) AS a JOIN ({rows}) AS b ON {condition}");
    let (query, _) = super::lower(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    crate::plan::explain_text(&query).contains("RangeJoin")
}

#[test]
fn sides_of_different_types_are_joined_by_order() {
    for condition in [
        "a.ts >= b.d AND a.ts < b.d + INTERVAL '1 hour'",
        "a.ts >= b.d",
        "a.ms BETWEEN b.ts - INTERVAL '1 minute' AND b.ts",
        "a.c BETWEEN b.k - 1 AND b.k",
        "a.c > b.e",
    ] {
        assert!(is_range_join(condition), "{condition}");
    }
}

#[test]
fn few_pairs_are_compared_one_by_one() {
    check_plan(
        "SELECT a.x FROM (VALUES (1), (2)) AS a (x) JOIN (VALUES (1), (3)) AS b (x) ON a.x < b.x",
        expect![[r#"
            Output
              Join: inner, x < x, build right
                Project: x
                  Values: 2 rows
                Project: x
                  Values: 2 rows
        "#]],
    );
    // Equal keys leave few pairs.
    check_plan(
        "SELECT a.x FROM 'pairs.csv' AS a JOIN 'pairs.csv' AS b ON a.g = b.g AND a.x < b.x",
        expect![[r#"
            Output
              Join: inner, g = g AND x < x, build right
                Scan: mem pairs.csv, 2 of 3 columns, only joined g
                Scan: mem pairs.csv, 2 of 3 columns
        "#]],
    );
    // Text has no place on a line.
    check_plan(
        "SELECT a.x FROM 'pairs.csv' AS a JOIN 'pairs.csv' AS b ON a.s < b.s",
        expect![[r#"
            Output
              Join: inner, s < s, build right
                Scan: mem pairs.csv, 2 of 3 columns
                Scan: mem pairs.csv, 1 of 3 columns, dictionaries s
        "#]],
    );
}

#[test]
fn rows_of_joins_by_order() {
    check_sorted(
        "SELECT s.day, p.x, o.x FROM 'sales.csv' AS s LEFT JOIN 'one.csv' AS o ON o.x > s.qty \
         JOIN 'many.csv' AS p ON p.x BETWEEN s.qty AND s.qty + 4",
        expect![[r#"
            day, x, x_1
            1970-01-02, 1, _
            1970-01-02, 2, _
            1970-01-04, 2, _
            1970-01-05, 2, _
            1970-01-06, 10, _
            1970-01-06, 11, _"#]],
    );
}

#[test]
fn an_asof_join_sorts_both_sides_together() {
    check_plan(
        "SELECT s.id, p.s FROM 'sales.csv' AS s ASOF LEFT JOIN 'pairs.csv' AS p ON s.qty % 2 = p.g AND s.day > p.x",
        expect![[r#"
            Output
              Project: id, s
                AsofJoin: left, qty % 2 = g AND day > CAST(x AS Date32)
                  Sort: by qty % 2, day, side
                    Union: both sides
                      Project: rows of the left side
                        Project: adding qty % 2
                          Scan: mem sales.csv, 3 of 5 columns
                      Project: rows of the right side
                        Project: adding CAST(x AS Date32)
                          Scan: mem pairs.csv, 3 of 3 columns
        "#]],
    );
    check_plan(
        "SELECT s.id, p.x FROM 'sales.csv' AS s ASOF JOIN 'pairs.csv' AS p MATCH_CONDITION (s.qty <= p.x)",
        expect![[r#"
            Output
              Project: id, x
                AsofJoin: left, qty <= x
                  Sort: by qty DESC, side DESC
                    Union: both sides
                      Project: rows of the left side
                        Scan: mem sales.csv, 2 of 5 columns
                      Project: rows of the right side
                        Scan: mem pairs.csv, 1 of 3 columns
        "#]],
    );
    check_sorted(
        "SELECT s.day, s.qty, p.x FROM 'sales.csv' AS s ASOF LEFT JOIN 'many.csv' AS p ON p.x <= s.qty",
        expect![[r#"
            day, qty, x
            1970-01-01, 3, 2
            1970-01-02, 1, 1
            1970-01-03, _, _
            1970-01-04, 2, 2
            1970-01-05, 2, 2
            1970-01-06, 7, 2"#]],
    );
}

#[test]
fn asof_joins_that_are_not_understood() {
    let hint = |text: &str| match super::rows_of(text) {
        Ok((_, rows)) => panic!("{text} gave {rows:?}"),
        Err(error) => error.to_string(),
    };
    let errors = [
        "SELECT 1 FROM 'one.csv' AS a ASOF JOIN 'one.csv' AS b USING (x)",
        "SELECT 1 FROM 'one.csv' AS a ASOF FULL JOIN 'one.csv' AS b ON a.x >= b.x",
        "SELECT 1 FROM 'one.csv' AS a ASOF JOIN 'one.csv' AS b ON a.x = b.x",
        "SELECT 1 FROM 'sales.csv' AS a ASOF JOIN 'sales.csv' AS b ON a.note >= b.note",
        "SELECT 1 FROM 'one.csv' AS a GLOBAL JOIN 'one.csv' AS b ON a.x >= b.x",
    ]
    .map(hint);
    expect![[r#"
        ASOF JOIN needs ON with a comparison
          hint: write a ASOF [LEFT] JOIN b ON a.k = b.k AND a.t >= b.t
        ASOF JOIN is inner or LEFT
          hint: write a ASOF [LEFT] JOIN b ON a.k = b.k AND a.t >= b.t
        the condition of an ASOF JOIN is not made of equalities and one comparison
          hint: between the two tables: a.k = b.k AND a.t >= b.t; other conditions go into WHERE
        an as-of join needs numbers, dates or times to compare, not Utf8
        syntax error: GLOBAL JOIN is not supported"#]]
    .assert_eq(&errors.join("\n"));
}
