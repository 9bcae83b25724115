//! Which rows window functions give.

use expect_test::expect;

use super::{check_plan, check_sorted};

#[test]
fn ranking() {
    check_sorted(
        "SELECT id, qty, row_number() OVER (PARTITION BY id ORDER BY qty) AS n, \
         rank() OVER (ORDER BY qty) AS r, dense_rank() OVER (ORDER BY qty) AS d, \
         percent_rank() OVER (ORDER BY qty) AS p, cume_dist() OVER (ORDER BY qty) AS c, \
         ntile(4) OVER (ORDER BY qty) AS t FROM 'sales.csv'",
        expect![[r#"
            id, qty, n, r, d, p, c, t
            _, 2, 1, 2, 2, 0.2, 0.5, 2
            a, 3, 1, 4, 3, 0.6, 0.6666666666666666, 2
            a, _, 2, 6, 5, 1.0, 1.0, 4
            b, 1, 1, 1, 1, 0.0, 0.16666666666666666, 1
            b, 2, 2, 2, 2, 0.2, 0.5, 1
            c, 7, 1, 5, 4, 0.8, 0.8333333333333334, 3"#]],
    );
}

#[test]
fn running_aggregates() {
    check_sorted(
        "SELECT x, sum(x) OVER (ORDER BY x) AS s, count(*) OVER () AS n, max(x) OVER (ORDER BY x DESC) AS m, \
         avg(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a FROM 'many.csv'",
        expect![[r#"
            x, s, n, m, a
            0, 0, 12, 32, 0.5
            1, 1, 12, 32, 1.0
            10, 13, 12, 32, 7.666666666666667
            11, 24, 12, 32, 11.0
            12, 36, 12, 32, 14.333333333333334
            2, 3, 12, 32, 4.333333333333333
            20, 56, 12, 32, 17.666666666666668
            21, 77, 12, 32, 21.0
            22, 99, 12, 32, 24.333333333333332
            30, 129, 12, 32, 27.666666666666668
            31, 160, 12, 32, 31.0
            32, 192, 12, 32, 31.5"#]],
    );
    check_sorted(
        "SELECT id, day, sum(qty) OVER (PARTITION BY id ORDER BY day) AS s, \
         sum(\"Price\") OVER (PARTITION BY id) AS t, count(qty) OVER (PARTITION BY id) AS n FROM 'sales.csv'",
        expect![[r#"
            id, day, s, t, n
            _, 1970-01-04, 2, 4.0, 1
            a, 1970-01-01, 3, 2.0, 1
            a, 1970-01-03, 3, 2.0, 1
            b, 1970-01-02, 1, 10.0, 2
            b, 1970-01-05, 3, 10.0, 2
            c, 1970-01-06, 7, 1.0, 1"#]],
    );
}

#[test]
fn frames_of_values() {
    check_sorted(
        "SELECT day, count(*) OVER (ORDER BY day RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) AS a, \
         sum(qty) OVER (ORDER BY day DESC RANGE BETWEEN INTERVAL '2 days' PRECEDING AND INTERVAL '1 day' PRECEDING) AS b, \
         count(*) OVER (ORDER BY qty RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c, \
         count(*) OVER (ORDER BY qty GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) AS g FROM 'sales.csv'",
        expect![[r#"
            day, a, b, c, g
            1970-01-01, 1, 1, 3, 3
            1970-01-02, 2, 2, 3, 1
            1970-01-03, 2, 4, 1, 2
            1970-01-04, 2, 9, 4, 3
            1970-01-05, 2, 7, 4, 3
            1970-01-06, 2, _, 1, 2"#]],
    );
}

#[test]
fn values_of_other_rows() {
    check_sorted(
        "SELECT day, qty, lag(qty) OVER (ORDER BY day) AS l1, lag(qty, 2, -1) OVER (ORDER BY day) AS l2, \
         lead(qty) OVER (ORDER BY day) AS f1, lead(qty) IGNORE NULLS OVER (ORDER BY day) AS f2, \
         first_value(qty) OVER (ORDER BY day) AS a, last_value(qty) OVER (ORDER BY day) AS z, \
         nth_value(qty, 2) OVER (ORDER BY day) AS n, \
         last_value(qty) IGNORE NULLS OVER (ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS i \
         FROM 'sales.csv'",
        expect![[r#"
            day, qty, l1, l2, f1, f2, a, z, n, i
            1970-01-01, 3, _, -1, 1, 1, 3, 3, _, _
            1970-01-02, 1, 3, -1, _, 2, 3, 1, 1, 3
            1970-01-03, _, 1, 3, 2, 2, 3, _, 1, 1
            1970-01-04, 2, _, 1, 2, 2, 3, 2, 1, 1
            1970-01-05, 2, 2, _, 7, 7, 3, 2, 1, 2
            1970-01-06, 7, 2, 2, _, _, 3, 7, 1, 2"#]],
    );
}

#[test]
fn functions_of_the_library_and_filters() {
    check_sorted(
        "SELECT x, median(x) OVER (ORDER BY x) AS m, array_agg(x) OVER (ORDER BY x ROWS 1 PRECEDING) AS a, \
         count(DISTINCT x % 2) OVER (ORDER BY x) AS d, sum(x) FILTER (WHERE x > 10) OVER (ORDER BY x) AS f, \
         count(*) FILTER (WHERE x > 10) OVER () AS c, \
         string_agg(x::varchar, '+') FILTER (WHERE x > 1) OVER (ORDER BY x ROWS 2 PRECEDING) AS s FROM 'many.csv'",
        expect![[r#"
            x, m, a, d, f, c, s
            0, 0.0, [0], 1, _, 8, _
            1, 0.5, [0, 1], 2, _, 8, _
            10, 1.5, [2, 10], 2, _, 8, 2+10
            11, 2.0, [10, 11], 2, 11, 8, 2+10+11
            12, 6.0, [11, 12], 2, 23, 8, 10+11+12
            2, 1.0, [1, 2], 2, _, 8, 2
            20, 10.0, [12, 20], 2, 43, 8, 11+12+20
            21, 10.5, [20, 21], 2, 64, 8, 12+20+21
            22, 11.0, [21, 22], 2, 86, 8, 20+21+22
            30, 11.5, [22, 30], 2, 116, 8, 21+22+30
            31, 12.0, [30, 31], 2, 147, 8, 22+30+31
            32, 16.0, [31, 32], 2, 179, 8, 30+31+32"#]],
    );
}

#[test]
fn windows_over_nothing() {
    check_sorted(
        "SELECT count(n), sum(s) FROM (SELECT row_number() OVER () AS n, sum(x) OVER (ORDER BY x) AS s FROM 'empty.csv')",
        expect![[r#"
            count(n), sum(s)
            0, _"#]],
    );
    check_sorted(
        "SELECT row_number() OVER () AS n FROM 'many.csv'",
        expect![[r#"
        n
        1
        10
        11
        12
        2
        3
        4
        5
        6
        7
        8
        9"#]],
    );
    check_sorted(
        "SELECT * FROM (SELECT x, sum(x) OVER () AS s FROM 'many.csv') WHERE s > x + 150",
        expect![[r#"
            x, s
            0, 192
            1, 192
            10, 192
            11, 192
            12, 192
            2, 192
            20, 192
            21, 192
            22, 192
            30, 192
            31, 192
            32, 192"#]],
    );
}

#[test]
fn plans() {
    check_plan(
        "SELECT id, row_number() OVER (PARTITION BY id ORDER BY qty), sum(qty) OVER (PARTITION BY id) FROM 'sales.csv'",
        expect![[r#"
            Output
              Project: id, row_number() OVER (PARTITION BY id ORDER BY qty), sum(qty) OVER (PARTITION BY id)
                Window: row_number(), sum(qty) by id in order of qty
                  Sort: by id, qty
                    Scan: mem sales.csv, 2 of 5 columns
        "#]],
    );
    check_plan(
        "SELECT id, row_number() OVER (PARTITION BY id ORDER BY qty), sum(qty + 1) OVER (ORDER BY day) FROM 'sales.csv'",
        expect![[r#"
            Output
              Project: id, row_number() OVER (PARTITION BY id ORDER BY qty), sum(qty + 1) OVER (ORDER BY day)
                Project: without the columns of windows
                  Window: sum(qty + 1) in order of day
                    Sort: by day
                      Window: row_number() by id in order of qty
                        Sort: by id, qty
                          Project: all columns, qty + 1
                            Scan: mem sales.csv, 3 of 5 columns
        "#]],
    );
}

#[test]
fn the_first_rows_of_groups() {
    check_sorted(
        "SELECT id, qty, n, q FROM (SELECT id, qty, row_number() OVER (PARTITION BY id ORDER BY qty DESC) AS n, \
         lag(qty) OVER (PARTITION BY id ORDER BY qty DESC) AS q FROM 'sales.csv') WHERE n <= 1",
        expect![[r#"
            id, qty, n, q
            _, 2, 1, _
            a, _, 1, _
            b, 2, 1, _
            c, 7, 1, _"#]],
    );
    check_sorted(
        "SELECT x, r FROM (SELECT x, rank() OVER (ORDER BY x / 10 DESC) AS r FROM 'many.csv') WHERE r < 5",
        expect![[r#"
            x, r
            20, 4
            21, 4
            22, 4
            30, 1
            31, 1
            32, 1"#]],
    );
    check_sorted(
        "SELECT x, n, c FROM (SELECT x, row_number() OVER (ORDER BY x) AS n, count(*) OVER () AS c FROM 'many.csv') \
         WHERE n = 2",
        expect![[r#"
            x, n, c
            1, 2, 12"#]],
    );
    check_plan(
        "SELECT id, qty FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY qty DESC) AS n FROM 'sales.csv') \
         WHERE n <= 2 AND id IS NOT NULL",
        expect![[r#"
            Output
              Project: id, qty
                Filter: row_number() PARTITION BY [id] ORDER BY [qty DESC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW <= 2
                  Window: row_number() by id in order of qty DESC
                    Sort: by id, qty; the first 2 of each partition are wanted
                      Scan: mem sales.csv, 2 of 5 columns, where id IS NOT NULL, pruning by id IS NOT NULL
        "#]],
    );
    check_plan(
        "SELECT id, qty, n FROM (SELECT id, qty, row_number() OVER (ORDER BY qty DESC) AS n FROM 'sales.csv') s WHERE 3 > n",
        expect![[r#"
            Output
              Project: id, qty, n
                Filter: row_number() ORDER BY [qty DESC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW < 3
                  Window: row_number() in order of qty DESC
                    Sort: by qty; the first 2 of all are wanted
                      Scan: mem sales.csv, 2 of 5 columns
        "#]],
    );
}

/// The rows of equal rank are told apart only by the key behind those of the rank.
#[test]
fn rows_of_equal_rank_are_kept_when_another_window_has_a_longer_order() {
    for descending in ["", " DESC"] {
        check_sorted(
            &format!(
                "SELECT a, b, r FROM (SELECT a, b, rank() OVER (PARTITION BY p ORDER BY a) AS r, \
                 row_number() OVER (PARTITION BY p ORDER BY a, b{descending}) AS n \
                 FROM (VALUES (1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 0)) AS t (p, a, b)) WHERE r <= 1"
            ),
            expect![[r#"
                a, b, r
                1, 1, 1
                1, 2, 1
                1, 3, 1"#]],
        );
    }
}

#[test]
fn frames_beyond_the_smallest_and_largest_number() {
    let before = "RANGE BETWEEN 10 PRECEDING AND 5 PRECEDING";
    let after = "RANGE BETWEEN 5 FOLLOWING AND 10 FOLLOWING";
    check_sorted(
        &format!(
            "SELECT u, count(*) OVER (ORDER BY u {before}) AS b, count(*) OVER (ORDER BY u DESC {after}) AS a, \
             count(*) OVER (ORDER BY u RANGE 10 PRECEDING) AS r \
             FROM (SELECT CAST(x AS BIGINT UNSIGNED) AS u FROM 'many.csv' WHERE x < 12 UNION ALL SELECT NULL)"
        ),
        expect![[r#"
            u, b, a, r
            0, 0, 0, 1
            1, 0, 0, 2
            10, 3, 3, 4
            11, 2, 2, 4
            2, 0, 0, 3
            _, 1, 1, 1"#]],
    );
    check_sorted(
        &format!(
            "SELECT t, count(*) OVER (ORDER BY t {after}) AS a, count(*) OVER (ORDER BY t DESC {before}) AS b \
             FROM (SELECT CAST(x + 107 AS TINYINT) AS t FROM 'many.csv' WHERE x < 21)"
        ),
        expect![[r#"
            t, a, b
            107, 1, 1
            108, 2, 2
            109, 3, 3
            117, 1, 1
            118, 1, 1
            119, 1, 1
            127, 0, 0"#]],
    );
}

#[test]
fn frames_around_a_constant() {
    check_sorted(
        "SELECT x, sum(x) OVER (ORDER BY 5 RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s, \
         sum(x) OVER (ORDER BY 5 RANGE BETWEEN 2 PRECEDING AND 1 PRECEDING) AS e, \
         sum(x) OVER (ORDER BY x RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS o, \
         sum(x) OVER (ORDER BY 5) AS a FROM 'many.csv' WHERE x < 12",
        expect![[r#"
            x, s, e, o, a
            0, 24, _, 1, 24
            1, 24, _, 3, 24
            10, 24, _, 21, 24
            11, 24, _, 21, 24
            2, 24, _, 3, 24"#]],
    );
}

/// There is one zero and one NaN, also inside of lists.
#[test]
fn floats_that_are_equal_are_peers_and_groups() {
    let rows =
        "(SELECT x, CASE x WHEN 0 THEN -0.0 WHEN 1 THEN 0.0 ELSE 1.0 END::DOUBLE AS f FROM 'many.csv' WHERE x < 11)";
    for f in ["f", "arrow_cast(f, 'Float16')", "[f]"] {
        check_sorted(
            &format!(
                "SELECT x, count(*) OVER (PARTITION BY {f}) AS p, rank() OVER (ORDER BY {f}) AS r, \
                 count(*) OVER (ORDER BY {f}) AS c FROM {rows}"
            ),
            expect![[r#"
                x, p, r, c
                0, 2, 1, 2
                1, 2, 1, 2
                10, 2, 3, 4
                2, 2, 3, 4"#]],
        );
        check_sorted(
            &format!(
                "SELECT n, s, m FROM (SELECT {f} AS k, count(*) AS n, array_agg(x ORDER BY x) AS s, median(x) AS m FROM {rows} GROUP BY {f})"
            ),
            expect![[r#"
                n, s, m
                2, [0, 1], 0.5
                2, [2, 10], 6.0"#]],
        );
    }
}

/// A month after January 30th, 8:00, comes after a month after the 31st, 7:00.
#[test]
fn months_that_do_not_go_on() {
    check_sorted(
        "SELECT day, count(*) OVER (ORDER BY day RANGE BETWEEN CURRENT ROW AND INTERVAL '1 month' FOLLOWING) AS n \
         FROM (SELECT CAST(text AS TIMESTAMP) AS day FROM (VALUES ('2026-01-30T08:00:00'), ('2026-01-31T07:00:00'), \
         ('2026-02-28T07:30:00'), ('2026-02-28T09:00:00')) AS t (text))",
        expect![[r#"
            day, n
            2026-01-30T08:00:00, 3
            2026-01-31T07:00:00, 2
            2026-02-28T07:30:00, 2
            2026-02-28T09:00:00, 1"#]],
    );
}
