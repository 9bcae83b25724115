//! UNNEST of lists and structs.

use expect_test::expect;

use super::{check, check_error, check_plan};

#[test]
fn lists_become_rows() {
    check(
        "SELECT unnest([1, 2, NULL]) AS a",
        expect![[r#"
        a
        1
        2
        _"#]],
    );
    check(
        "SELECT n, unnest(l) AS e FROM (VALUES (1, [10, 11]), (2, []), (3, NULL), (4, [40])) AS t (n, l)",
        expect![[r#"
            n, e
            1, 10
            1, 11
            4, 40"#]],
    );
    check(
        "SELECT unnest([1, 2, 3]) AS a, unnest(['x']) AS b",
        expect![[r#"
        a, b
        1, x
        2, _
        3, _"#]],
    );
    check(
        "SELECT unnest(unnest([[1, 2], [], [3]])) AS a",
        expect![[r#"
        a
        1
        2
        3"#]],
    );
    check(
        "SELECT sum(e) FROM (SELECT unnest([1, 2, 3]) AS e)",
        expect![[r#"
        sum(e)
        6"#]],
    );
    check(
        "SELECT * FROM unnest([3, 4]) AS u (v) WHERE v > 3",
        expect![[r#"
        v
        4"#]],
    );
    check(
        "SELECT count(*) FROM (SELECT unnest(range(0, 100000)))",
        expect![[r#"
        count(*)
        100000"#]],
    );
    check_error("SELECT unnest(1)", expect!["Usage: unnest() can only be applied to array, struct and null"]);
}

#[test]
fn structs_become_columns() {
    check(
        "SELECT unnest(named_struct('a', 1, 'b', 'x'))",
        expect![[r#"
        named_struct('a',1,'b','x').a, named_struct('a',1,'b','x').b
        1, x"#]],
    );
}

#[test]
fn unnest_is_a_step() {
    check_plan(
        "SELECT x, unnest([x, x + 1]) AS y FROM 'many.csv'",
        expect![[r#"
        Output: in order
          Project: x, y
            Unnest: __unnest_placeholder(make_array(x,x + 1))
              Project: x, __unnest_placeholder(make_array(x,x + 1))
                Scan: mem many.csv, 1 of 1 columns
    "#]],
    );
}
