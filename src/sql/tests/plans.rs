//! Which pipelines a query becomes.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::super::testing::{Output, TestTables};
use super::{check_plan, check_sorted, lower};
use crate::exec::{QueryContext, Sink};
use crate::operators::testing::task_context;
use crate::{physical, plan, sql};

#[test]
fn plans_name_our_operators() {
    check_plan(
        "SELECT id, sum(qty * 2) AS s FROM 'sales.csv' WHERE \"Price\" > 1 AND qty IN (1, 2, 3, 4) AND note LIKE 'note%' \
         GROUP BY id HAVING sum(qty * 2) > 3 ORDER BY s DESC LIMIT 5",
        expect![[r#"
            Output: in order
              TopN: 5 rows by s DESC
                Project: id, s
                  Filter: sum(qty * 2) > 3
                    Aggregate: sum(qty * 2) by id
                      Project: id, qty * 2
                        Scan: mem sales.csv, 4 of 5 columns, where qty IN (1, 2, 3, 4) AND Price > 1 AND note LIKE 'note%', pruning by qty IN 4 values AND note >= note AND note < notf, dictionaries id, note
        "#]],
    );
    check_plan(
        "SELECT DISTINCT id, note FROM 'sales.csv' s WHERE day BETWEEN '1970-01-02' AND '1970-01-04'",
        expect![[r#"
            Output
              Distinct: id, note
                Scan: mem sales.csv, 3 of 5 columns, where day >= '1970-01-02' AND day <= '1970-01-04', pruning by day >= 1970-01-02 AND day <= 1970-01-04, dictionaries id, note
        "#]],
    );
    check_plan(
        "SELECT * FROM 'sales.csv' LIMIT 3 OFFSET 2",
        expect![[r#"
        Output: in order
          Limit: 3 after 2
            Scan: mem sales.csv, 5 of 5 columns
    "#]],
    );
    check_plan(
        "SELECT count(*) FROM 'sales.csv'",
        expect![[r#"
            Output
              Project: count(*)
                Aggregate: count(*)
                  Scan: mem sales.csv, 0 of 5 columns
        "#]],
    );
    check_plan(
        "SELECT x FROM 'one.csv' UNION ALL SELECT qty + 1 FROM 'sales.csv' WHERE id IS NOT NULL",
        expect![[r#"
            Output: in order
              Union: all of 2 inputs
                Scan: mem one.csv, 1 of 1 columns
                Project: x
                  Scan: mem sales.csv, 2 of 5 columns, where id IS NOT NULL, pruning by id IS NOT NULL, dictionaries id
        "#]],
    );
}

#[test]
fn plans_name_the_groups_and_orders() {
    check_plan(
        "SELECT id, qty, grouping(id), count(*) FROM 'sales.csv' GROUP BY ROLLUP (id, qty)",
        expect![[r#"
            Output
              Project: id, qty, grouping(id), count(*)
                Aggregate: count(*) by ROLLUP (id, qty)
                  Expand: 3 grouping sets
                    Project: id, qty
                      Scan: mem sales.csv, 2 of 5 columns, dictionaries id
        "#]],
    );
    check_plan(
        "SELECT id, count(DISTINCT qty) FROM 'sales.csv' GROUP BY id",
        expect![[r#"
        Output
          Project: id, count(DISTINCT qty)
            Aggregate: count(alias1) by id
              Distinct: id, alias1
                Scan: mem sales.csv, 2 of 5 columns, dictionaries id
    "#]],
    );
    check_plan(
        "SELECT id FROM 'sales.csv' ORDER BY lower(note), id",
        expect![[r#"
        Output: in order
          Project: id
            Project: without the computed sort keys
              Sort: by lower(note), id
                Project: all columns, lower(note)
                  Scan: mem sales.csv, 2 of 5 columns
    "#]],
    );
    check_plan(
        "SELECT id || '!' AS loud, count(*) FROM 'sales.csv' WHERE id = 'a' OR id = 'b' GROUP BY 1",
        expect![[r#"
            Output
              Project: loud, count(*)
                Aggregate: count(*) by id || '!'
                  Project: id || '!'
                    Scan: mem sales.csv, 1 of 5 columns, where id = 'a' OR id = 'b', pruning by id IN 2 values
        "#]],
    );
    check_plan(
        "VALUES (1, 'a'), (2, 'b')",
        expect![[r#"
        Output: in order
          Values: 2 rows
    "#]],
    );
    check_plan(
        "SELECT 1 + 1 AS two",
        expect![[r#"
            Output: in order
              Project: two
                Values: one row
        "#]],
    );
}

#[test]
fn statistics_prune_only_what_they_can_decide() {
    let check = |condition: &str, expected: Expect| {
        let (query, _) = lower(&format!("SELECT id FROM 'sales.csv' WHERE {condition}")).unwrap();
        expected.assert_eq(query.nodes[0].detail.split_once("pruning by ").map_or("nothing", |(_, pruning)| pruning));
    };
    check("5 < qty AND qty <= 9", expect!["qty > 5 AND qty <= 9"]);
    check("qty = 1 OR qty = 3 OR qty IN (4, 5, 6, 7)", expect!["qty IN 6 values"]);
    check("qty = 1 OR id = 'a'", expect!["nothing"]);
    check("qty <> 1", expect!["nothing"]);
    check("qty > 1.5", expect!["nothing"]);
    check("qty + 1 = 3", expect!["nothing"]);
    check("\"Price\" > 2", expect!["nothing"]);
    check("\"Price\" = 2", expect!["Price = 2.0"]);
    check("day = '1970-01-03' AND id IS NULL", expect!["day = 1970-01-03 AND id IS NULL"]);
    check("id LIKE 'ab%c' AND note NOT LIKE 'x%'", expect!["id >= ab AND id < ac, dictionaries note"]);
    check("id LIKE '%c'", expect!["nothing"]);
    check("NOT (qty > 3)", expect!["qty <= 3"]);
    check("qty IN (1, NULL, 2, 3, 4)", expect!["nothing"]);
}

#[test]
fn dictionaries_are_asked_for_where_only_groups_are_formed() {
    let check = |text: &str, expected: Expect| {
        let (query, _) = lower(text).unwrap();
        expected.assert_eq(query.nodes[0].detail.split_once("dictionaries ").map_or("none", |(_, columns)| columns));
    };
    check("SELECT id, count(*) FROM 'sales.csv' WHERE id <> 'x' GROUP BY id", expect!["id"]);
    check("SELECT id, max(upper(id)) FROM 'sales.csv' GROUP BY id", expect!["none"]);
    check("SELECT id, min(note) FROM 'sales.csv' GROUP BY id", expect!["id"]);
    check("SELECT upper(id), note FROM 'sales.csv' GROUP BY id, note", expect!["id, note"]);
    check("SELECT id FROM 'sales.csv'", expect!["none"]);
    check("SELECT id, count(*) FROM (SELECT id, note FROM 'sales.csv' LIMIT 5) GROUP BY id", expect!["id"]);
    check_sorted(
        "SELECT id, max(upper(id)), min(id) FROM 'sales.csv' WHERE id <> 'c' GROUP BY id",
        expect![[r#"
        id, max(upper(id)), min(id)
        a, A, a
        b, B, b"#]],
    );
}

#[test]
fn scans_keep_the_order_only_where_somebody_waits_for_it() {
    let check = |text: &str, expected: &[bool]| {
        let tables = TestTables::default();
        let cx = task_context();
        let cx = QueryContext { memory: cx.memory, pages: cx.pages, cancel: cx.cancel };
        let planned = sql::plan(text, &tables, &cx.memory).unwrap();
        let sink: Arc<dyn Sink> = Arc::new(Output::default());
        physical::lower(&planned.plan, |_, _| Ok(sink), &cx).unwrap();
        assert_eq!(*tables.in_order.lock().unwrap(), expected, "{text}");
    };
    check("SELECT x + 1 FROM 'one.csv' UNION ALL SELECT x FROM 'empty.csv'", &[true, true]);
    check("SELECT sum(x) FROM 'one.csv'", &[false]);
    check("SELECT x FROM 'one.csv' ORDER BY x", &[false]);
    check("SELECT sum(x) FROM (SELECT x FROM 'one.csv' LIMIT 5)", &[true]);
    check("SELECT x FROM (SELECT DISTINCT x FROM 'one.csv') LIMIT 5", &[false]);
}

#[test]
fn the_plan_is_json_too() {
    let (query, _) = lower("SELECT count(*) AS n FROM 'many.csv'").unwrap();
    expect![[r#"
        {
          "detail": "in order",
          "inputs": [
            {
              "detail": "n",
              "inputs": [
                {
                  "detail": "count(*) from the metadata of mem many.csv",
                  "inputs": [],
                  "node": 0,
                  "operator": "Values"
                }
              ],
              "node": 1,
              "operator": "Project"
            }
          ],
          "node": 2,
          "operator": "Output"
        }"#]]
    .assert_eq(&format!("{:#}", plan::explain_json(&query)));
}

#[test]
fn explain_is_recognized() {
    let memory = task_context().memory;
    let explain = |text: &str| sql::plan(text, &TestTables::default(), &memory).unwrap().explain;
    assert_eq!(explain("SELECT 1"), None);
    assert_eq!(explain("EXPLAIN SELECT 1"), Some(sql::Explain { analyze: false }));
    assert_eq!(explain("explain analyze SELECT 1"), Some(sql::Explain { analyze: true }));
}

#[test]
fn ordered_aggregates_are_a_sort_and_a_pass() {
    check_plan(
        "SELECT id, median(qty), stddev(qty) FROM 'sales.csv' GROUP BY id",
        expect![[r#"
        Output
          Project: id, median(qty), stddev(qty)
            OrderedAggregate: median(__common_expr_1 AS qty), stddev(__common_expr_1 AS qty) by id
              Sort: by id, __common_expr_1
                Arrange: one order
                  Project: __common_expr_1, id
                    Scan: mem sales.csv, 2 of 5 columns, dictionaries id
    "#]],
    );
    check_plan(
        "SELECT count(DISTINCT id), median(qty), array_agg(id ORDER BY qty DESC) FROM 'sales.csv'",
        expect![[r#"
            Output
              Project: count(DISTINCT id), median(qty), array_agg(id) ORDER BY [qty DESC NULLS FIRST]
                OrderedAggregate: count(DISTINCT id), median(CAST(qty AS Float64)), array_agg(id) ORDER BY [qty DESC NULLS FIRST]
                  Sort: by (id) and (CAST(qty AS Float64)) and (qty DESC)
                    Arrange: 3 orders
                      Project: id, CAST(qty AS Float64), qty
                        Scan: mem sales.csv, 2 of 5 columns
        "#]],
    );
    check_plan(
        "SELECT id, count(DISTINCT qty), count(*) FROM 'sales.csv' GROUP BY id",
        expect![[r#"
            Output
              Project: id, count(DISTINCT qty), count(*)
                Aggregate: count(DISTINCT qty), count(*) by id
                  Aggregate: each value once, by id, qty
                    Arrange: one set of DISTINCT arguments
                      Scan: mem sales.csv, 2 of 5 columns, dictionaries id
        "#]],
    );
    check_plan(
        "SELECT count(DISTINCT id), count(DISTINCT qty), count(DISTINCT note) FILTER (WHERE qty > 1), sum(qty), avg(qty) FROM 'sales.csv'",
        expect![[r#"
            Output
              Project: count(DISTINCT id), count(DISTINCT qty), count(DISTINCT note) FILTER (WHERE qty > 1), sum(qty), avg(qty)
                Project: parts put together
                  Aggregate: count(DISTINCT id), count(DISTINCT qty), count(DISTINCT note) FILTER (WHERE qty > 1), sum(qty), avg(CAST(qty AS Float64))
                    Project: the set each value is of
                      Aggregate: each value once, by (id) and (qty) and (note)
                        Arrange: 3 sets of DISTINCT arguments
                          Project: id, qty, qty > 1, note, CAST(qty AS Float64)
                            Scan: mem sales.csv, 3 of 5 columns
        "#]],
    );
    check_plan(
        "SELECT median(x), quantile_cont(x, 0.2), count(*) FROM 'many.csv'",
        expect![[r#"
            Output
              Project: median(x), quantile_cont(x,0.2), count(*)
                Quantile: median(__common_expr_1 AS x), percentile_cont(__common_expr_1 AS x, 0.2), count(*)
                  Project: __common_expr_1
                    Scan: mem many.csv, 1 of 1 columns
        "#]],
    );
    // The number of rows is known and small.
    check_plan(
        "SELECT x, median(x) FROM 'many.csv' GROUP BY x",
        expect![[r#"
        Output
          Project: x, median(x)
            Aggregate: median(CAST(x AS Float64)) by x
              Project: x, CAST(x AS Float64)
                Scan: mem many.csv, 1 of 1 columns
    "#]],
    );
}
