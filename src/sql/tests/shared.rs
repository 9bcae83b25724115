//! Subplans that occur more than once.

use expect_test::expect;

use super::{check_plan, check_sorted};

#[test]
fn a_cte_that_is_used_twice_is_computed_once() {
    let query = "WITH g AS (SELECT id, sum(qty) AS s FROM 'sales.csv' GROUP BY id) \
                 SELECT id FROM g WHERE s = (SELECT max(s) FROM g)";
    check_plan(
        query,
        expect![[r#"
            Output
              Join: inner, s = max(s), build right
                Project: id, s
                  Shared: 1, computed elsewhere in this plan
                Aggregate: max(s)
                  Project: s
                    Shared: 1, computed once
                      Aggregate: sum(qty) by id
                        Scan: mem sales.csv, 2 of 5 columns, dictionaries id
        "#]],
    );
    check_sorted(
        query,
        expect![[r#"
        id
        c"#]],
    );
    check_sorted(
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 4) \
         SELECT a.n FROM t AS a JOIN t AS b ON a.n = b.n - 2",
        expect![[r#"
            n
            1
            2"#]],
    );
}

#[test]
fn what_is_not_the_same_is_computed_each_time() {
    check_plan(
        "SELECT count(*) FROM (SELECT DISTINCT id FROM 'sales.csv') UNION ALL SELECT sum(qty) FROM 'sales.csv'",
        expect![[r#"
            Output
              Union: all of 2 inputs
                Project: count(*)
                  Project: count(*)
                    Aggregate: count(*)
                      Project
                        Distinct: id
                          Scan: mem sales.csv, 1 of 5 columns, dictionaries id
                Project: count(*)
                  Aggregate: sum(qty)
                    Scan: mem sales.csv, 1 of 5 columns
        "#]],
    );
    check_plan(
        "WITH g AS (SELECT max(random()) AS r FROM 'sales.csv') SELECT r FROM g UNION ALL SELECT r FROM g",
        expect![[r#"
            Output
              Union: all of 2 inputs
                Project: r
                  Aggregate: max(random())
                    Project: random()
                      Scan: mem sales.csv, 0 of 5 columns
                Project: r
                  Aggregate: max(random())
                    Project: random()
                      Scan: mem sales.csv, 0 of 5 columns
        "#]],
    );
}
