//! WITH RECURSIVE.

use expect_test::expect;

use super::{check, check_error, check_plan, check_sorted};

#[test]
fn rounds_go_on_until_no_rows_are_added() {
    check(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t ORDER BY n",
        expect![[r#"
            n
            1
            2
            3
            4
            5"#]],
    );
    check(
        "WITH RECURSIVE t (n, text) AS (SELECT 1, 'x' UNION ALL SELECT n * 2, text || text FROM t WHERE n < 2000)
         SELECT count(*), max(n), max(length(text)) FROM t",
        expect![[r#"
            count(*), max(n), max(length(text))
            12, 2048, 2048"#]],
    );
    check(
        "WITH RECURSIVE t (n) AS (SELECT 1 WHERE 1 > 2 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
        expect![[r#"
            count(*)
            0"#]],
    );
}

#[test]
fn union_ends_where_only_old_rows_come() {
    check(
        "WITH RECURSIVE t (n) AS (SELECT 0 UNION SELECT (n + 3) % 7 FROM t) SELECT n FROM t ORDER BY n",
        expect![[r#"
            n
            0
            1
            2
            3
            4
            5
            6"#]],
    );
    // A graph with a circle: 1 -> 2 -> 3 -> 1, 3 -> 4, 5 -> 6.
    check_sorted(
        "WITH RECURSIVE edges (a, b) AS (VALUES (1, 2), (2, 3), (3, 1), (3, 4), (5, 6)),
         reached (node) AS (SELECT 1 UNION SELECT b FROM reached JOIN edges ON node = a)
         SELECT node FROM reached",
        expect![[r#"
            node
            1
            2
            3
            4"#]],
    );
    check_sorted(
        "WITH RECURSIVE t (n) AS ((SELECT 1 UNION ALL SELECT 1) UNION SELECT n FROM t) SELECT n FROM t",
        expect![[r#"
            n
            1"#]],
    );
}

#[test]
fn a_recursion_may_be_used_twice_and_inside_another() {
    check_sorted(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3)
         SELECT a.n, b.n AS m FROM t AS a, t AS b WHERE a.n < b.n",
        expect![[r#"
            n, m
            1, 2
            1, 3
            2, 3"#]],
    );
    check_sorted(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3),
         u (m) AS (SELECT max(n) FROM t UNION ALL SELECT m * 2 FROM u WHERE m < (SELECT sum(n) * 2 FROM t))
         SELECT m FROM u",
        expect![[r#"
            m
            12
            3
            6"#]],
    );
}

#[test]
fn a_recursion_is_explained() {
    check_plan(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
        expect![[r#"
            Output
              Project: sum(n)
                Aggregate: sum(n)
                  Recursion: t, UNION ALL until no rows are added
                    Project: n
                      Values: one row
                    Project: n + 1
                      Filter: n < 5
                        Scan: the rows of the last round of t, 1 of 1 columns
        "#]],
    );
    check_plan(
        "WITH RECURSIVE t (n) AS (SELECT x FROM 'one.csv' UNION SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t",
        expect![[r#"
            Output
              Recursion: t, UNION until no rows are added
                Distinct: n
                  Project: n
                    Scan: mem one.csv, 1 of 1 columns
                Distinct: rows that are not there yet
                  Project: n
                    Project: c0, n_left, n_right
                      Filter: n < 5
                        Scan: the rows of the last round of t, 1 of 1 columns
        "#]],
    );
}

#[test]
fn errors_inside_of_a_round_are_those_of_the_query() {
    check_error(
        "WITH RECURSIVE t (n) AS (SELECT 6 UNION ALL SELECT 6 / (n - 1) FROM t) SELECT n FROM t",
        expect![[r#"
            Query: division of a whole number or decimal by zero
              hint: x / nullif(y, 0) is NULL where y is 0"#]],
    );
    check_error(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n, n + 1 FROM t) SELECT n FROM t",
        expect!["Usage: Non-recursive term and recursive term must have the same number of columns (1 != 2)"],
    );
}

#[test]
fn a_limit_ends_a_recursion_that_has_no_end() {
    check_sorted(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n AS m FROM t LIMIT 4",
        expect![[r#"
            m
            1
            2
            3
            4"#]],
    );
    check_sorted(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION SELECT n * 2 FROM t) SELECT n FROM t LIMIT 3 OFFSET 2",
        expect![[r#"
            n
            16
            4
            8"#]],
    );
}

#[test]
fn rounds_of_a_distinct_recursion_do_not_read_all_earlier_ones() {
    let start = std::time::Instant::now();
    check(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION SELECT (n + 1) % 2000 FROM t) SELECT count(*), sum(n) FROM t",
        expect![[r#"
            count(*), sum(n)
            2000, 1999000"#]],
    );
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
