//! UNION, INTERSECT and EXCEPT, with and without ALL.

use expect_test::expect;

use super::{check_error, check_plan, check_sorted};

/// `a`: 1 three times, 2 twice, 3, NULL twice; `b`: 1 twice, 2 three times, 4, NULL.
const A: &str = "(SELECT * FROM (VALUES (1), (1), (1), (2), (2), (3), (NULL), (NULL)) AS a (x))";
const B: &str = "(SELECT * FROM (VALUES (1), (1), (2), (2), (2), (4), (NULL)) AS b (y))";

#[test]
fn rows_come_as_often_as_the_standard_says() {
    let check = |operation: &str, expected| {
        check_sorted(&format!("SELECT x, count(*) AS n FROM ({A} {operation} {B}) AS t (x) GROUP BY x"), expected);
    };
    check(
        "INTERSECT ALL",
        expect![[r#"
        x, n
        1, 2
        2, 2
        _, 1"#]],
    );
    check(
        "INTERSECT",
        expect![[r#"
        x, n
        1, 1
        2, 1
        _, 1"#]],
    );
    check(
        "EXCEPT ALL",
        expect![[r#"
        x, n
        1, 1
        3, 1
        _, 1"#]],
    );
    check(
        "EXCEPT",
        expect![[r#"
        x, n
        3, 1"#]],
    );
    check(
        "UNION ALL",
        expect![[r#"
        x, n
        1, 5
        2, 5
        3, 1
        4, 1
        _, 3"#]],
    );
    check(
        "UNION",
        expect![[r#"
        x, n
        1, 1
        2, 1
        3, 1
        4, 1
        _, 1"#]],
    );
}

#[test]
fn sides_are_whole_queries() {
    check_sorted(
        "SELECT id, qty FROM 'sales.csv' WHERE \"Price\" < 5 INTERSECT SELECT id, qty FROM 'sales.csv' WHERE qty < 3",
        expect![[r#"
            id, qty
            _, 2
            b, 1"#]],
    );
    check_sorted(
        "SELECT DISTINCT id FROM 'sales.csv' EXCEPT ALL SELECT id FROM 'sales.csv' WHERE qty > 2",
        expect![[r#"
            id
            _
            b"#]],
    );
    check_sorted(
        "SELECT x + 0.5 FROM 'one.csv' EXCEPT SELECT x FROM 'many.csv' ORDER BY 1",
        expect![[r#"
        x + 0.5
        1.5"#]],
    );
    check_sorted(
        "SELECT x FROM 'many.csv' EXCEPT (SELECT x FROM 'many.csv' WHERE x < 20 INTERSECT SELECT x FROM 'many.csv' WHERE x > 5)",
        expect![[r#"
            x
            0
            1
            2
            20
            21
            22
            30
            31
            32"#]],
    );
    check_error(
        "SELECT id, qty FROM 'sales.csv' EXCEPT SELECT id FROM 'sales.csv'",
        expect![[r#"
        Usage: EXCEPT queries have different number of columns
          --> sql:1:1"#]],
    );
}

#[test]
fn both_sides_are_counted_in_one_aggregation() {
    check_plan(
        "SELECT x FROM 'one.csv' INTERSECT ALL SELECT x FROM 'many.csv'",
        expect![[r#"
        Output
          Project: x
            Repeat: as often as counted
              Project: c0, n_times
                Aggregate: n_left, n_right by c0
                  Union: all of 2 inputs
                    Project: c0, n_left, n_right
                      Scan: mem one.csv, 1 of 1 columns
                    Project: c0, n_left, n_right
                      Scan: mem many.csv, 1 of 1 columns
    "#]],
    );
    check_plan(
        "SELECT x FROM 'one.csv' EXCEPT SELECT x FROM 'many.csv' WHERE x > 3",
        expect![[r#"
        Output
          Project: x
            Filter: n_left > 0 AND n_right = 0
              Aggregate: n_left, n_right by c0
                Union: all of 2 inputs
                  Project: c0, n_left, n_right
                    Scan: mem one.csv, 1 of 1 columns
                  Project: c0, n_left, n_right
                    Scan: mem many.csv, 1 of 1 columns, where x > 3, pruning by x > 3
    "#]],
    );
}
