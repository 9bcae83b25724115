//! From text to plans, rows and errors.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::testing::{Output, TestTables, run};
use crate::error::Result;
use crate::exec::{Query, QueryContext, Sink};
use crate::operators::testing::task_context;
use crate::{physical, plan};

fn lower(text: &str) -> Result<(Query, Output)> {
    let cx = task_context();
    let cx = QueryContext { memory: cx.memory, pages: cx.pages, cancel: cx.cancel };
    let planned = super::plan(text, &TestTables, &cx.memory)?;
    let output = Output::default();
    let sink: Arc<dyn Sink> = Arc::new(output.clone());
    Ok((physical::lower(&planned.plan, |_, _| Ok(sink), &cx)?, output))
}

/// Checks the plan of a query.
fn check_plan(text: &str, expected: Expect) {
    match lower(text) {
        Ok((query, _)) => expected.assert_eq(&plan::explain_text(&query)),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn rows_of(text: &str) -> Result<(String, Vec<String>)> {
    let (query, output) = lower(text)?;
    run(&query)?;
    let batches = output.batches.lock().unwrap();
    let mut rows = Vec::new();
    let mut header = String::new();
    for batch in batches.iter() {
        let schema = batch.data.schema();
        header = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        for row in 0..batch.n_rows() {
            let cell = |column| arrow::util::display::array_value_to_string(column, row).unwrap();
            let cells = batch.data.columns().iter().map(|column| match cell(column) {
                empty if empty.is_empty() => "_".to_string(),
                full => full,
            });
            rows.push(cells.collect::<Vec<_>>().join(", "));
        }
    }
    Ok((header, rows))
}

/// Checks the rows of a query whose order is defined.
fn check(text: &str, expected: Expect) {
    match rows_of(text) {
        Ok((header, rows)) => expected.assert_eq(&format!("{header}\n{}", rows.join("\n"))),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// Checks the rows of a query whose order is not defined.
fn check_sorted(text: &str, expected: Expect) {
    match rows_of(text) {
        Ok((header, mut rows)) => {
            rows.sort();
            expected.assert_eq(&format!("{header}\n{}", rows.join("\n")));
        }
        Err(error) => panic!("{text}: {error}"),
    }
}

fn check_error(text: &str, expected: Expect) {
    match rows_of(text) {
        Ok((_, rows)) => panic!("{text} gave {rows:?}"),
        Err(error) => expected.assert_eq(&format!("{error:?}")),
    }
}

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
                        Scan: mem sales.csv, 2 of 5 columns, where qty IN (1, 2, 3, 4) AND Price > 1 AND note LIKE 'note%', pruning by qty IN 4 values AND note >= note AND note < notf, dictionaries id
        "#]],
    );
    check_plan(
        "SELECT DISTINCT id, note FROM 'sales.csv' s WHERE day BETWEEN '1970-01-02' AND '1970-01-04'",
        expect![[r#"
            Output
              Distinct: id, note
                Scan: mem sales.csv, 2 of 5 columns, where day >= '1970-01-02' AND day <= '1970-01-04', pruning by day >= 1970-01-02 AND day <= 1970-01-04, dictionaries id, note
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
              Scan: mem sales.csv, 1 of 5 columns, where id IS NOT NULL, pruning by id IS NOT NULL
    "#]],
    );
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
    check("id LIKE 'ab%c' AND note NOT LIKE 'x%'", expect!["id >= ab AND id < ac"]);
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
fn rows_come_in_file_order() {
    check(
        "SELECT x + 1 AS y FROM 'many.csv' WHERE x % 10 < 2 LIMIT 5 OFFSET 1",
        expect![[r#"
        y
        2
        11
        12
        21
        22"#]],
    );
    check(
        "SELECT * FROM 'sales.csv' WHERE id = 'b'",
        expect![[r#"
        id, Price, qty, day, note
        b, 2.0, 1, 1970-01-02, note b
        b, 8.0, 2, 1970-01-05, note b"#]],
    );
    check(
        "SELECT x FROM 'one.csv' UNION ALL SELECT x FROM 'many.csv' WHERE x > 20 LIMIT 3",
        expect![[r#"
        x
        1
        21
        22"#]],
    );
}

#[test]
fn aggregates_of_every_kind() {
    check_sorted(
        "SELECT id, count(*), count(qty), sum(qty), avg(\"Price\"), min(day), max(note), \
         sum(qty) FILTER (WHERE \"Price\" > 1) AS f FROM 'sales.csv' GROUP BY id",
        expect![[r#"
            id, count(*), count(qty), sum(qty), avg(Price), min(day), max(note), f
            _, 1, 1, 2, 4.0, 1970-01-04, note -, 2
            a, 2, 1, 3, 1.0, 1970-01-01, note a, 3
            b, 2, 2, 3, 5.0, 1970-01-02, note b, 3
            c, 1, 1, 7, 1.0, 1970-01-06, note c, _"#]],
    );
    check(
        "SELECT count(*), sum(x), min(x), max(x), avg(x), stddev(x), median(x) FROM 'many.csv'",
        expect![[r#"
        count(*), sum(x), min(x), max(x), avg(x), stddev(x), median(x)
        12, 192, 0, 32, 16.0, 11.708582710597772, 16.0"#]],
    );
    check(
        "SELECT count(*), sum(x), max(x) FROM 'empty.csv'",
        expect![[r#"
        count(*), sum(x), max(x)
        0, _, _"#]],
    );
    check(
        "SELECT array_agg(x ORDER BY x DESC), first_value(x ORDER BY x DESC) FROM 'many.csv' WHERE x < 13",
        expect![[r#"
            array_agg(x) ORDER BY [x DESC NULLS FIRST], first_value(x) ORDER BY [x DESC NULLS FIRST]
            [12, 11, 10, 2, 1, 0], 12"#]],
    );
    check(
        "SELECT string_agg(id, '-' ORDER BY id), count(DISTINCT id), count(DISTINCT qty) FROM 'sales.csv'",
        expect![[r#"
            string_agg(id,'-') ORDER BY [id ASC NULLS LAST], count(DISTINCT id), count(DISTINCT qty)
            a-a-b-b-c, 3, 4"#]],
    );
    check(
        "SELECT bit_and(qty), approx_distinct(id), bool_and(qty > 0), corr(qty, \"Price\") FROM 'sales.csv'",
        expect![[r#"
            bit_and(qty), approx_distinct(id), bool_and(qty > 0), corr(qty,Price)
            0, 3, true, -0.44671751814760485"#]],
    );
    check_sorted(
        "SELECT id, median(qty), count(DISTINCT qty) FROM 'sales.csv' GROUP BY id",
        expect![[r#"
        id, median(qty), count(DISTINCT qty)
        _, 2.0, 1
        a, 3.0, 1
        b, 1.5, 2
        c, 7.0, 1"#]],
    );
}

#[test]
fn grouping_sets_null_the_keys_but_not_the_arguments() {
    check_sorted(
        "SELECT id, qty, grouping(id, qty) AS g, count(*), sum(qty) FROM 'sales.csv' GROUP BY ROLLUP (id, qty)",
        expect![[r#"
            id, qty, g, count(*), sum(qty)
            _, 2, 0, 1, 2
            _, _, 1, 1, 2
            _, _, 3, 6, 15
            a, 3, 0, 1, 3
            a, _, 0, 1, _
            a, _, 1, 2, 3
            b, 1, 0, 1, 1
            b, 2, 0, 1, 2
            b, _, 1, 2, 3
            c, 7, 0, 1, 7
            c, _, 1, 1, 7"#]],
    );
    check_sorted(
        "SELECT id, sum(qty) FROM 'sales.csv' GROUP BY GROUPING SETS ((id), (), ())",
        expect![[r#"
        id, sum(qty)
        _, 15
        _, 15
        _, 2
        a, 3
        b, 3
        c, 7"#]],
    );
    check_sorted(
        "SELECT id, qty > 2 AS many, count(*) FROM 'sales.csv' GROUP BY CUBE (id, qty > 2)",
        expect![[r#"
        id, many, count(*)
        _, _, 1
        _, _, 1
        _, _, 6
        _, false, 1
        _, false, 3
        _, true, 2
        a, _, 1
        a, _, 2
        a, true, 1
        b, _, 2
        b, false, 2
        c, _, 1
        c, true, 1"#]],
    );
}

#[test]
fn distinct_and_order() {
    check_sorted(
        "SELECT DISTINCT id FROM 'sales.csv'",
        expect![[r#"
        id
        _
        a
        b
        c"#]],
    );
    check(
        "SELECT id, qty FROM 'sales.csv' ORDER BY id DESC NULLS LAST, qty",
        expect![[r#"
        id, qty
        c, 7
        b, 1
        b, 2
        a, 3
        a, _
        _, 2"#]],
    );
    check(
        "SELECT id FROM 'sales.csv' ORDER BY qty + \"Price\" LIMIT 2 OFFSET 1",
        expect![[r#"
        id
        a
        _"#]],
    );
    check(
        "SELECT DISTINCT ON (id) id, qty FROM 'sales.csv' ORDER BY id, qty DESC",
        expect![[r#"
        id, qty
        a, _
        b, 2
        c, 7
        _, 2"#]],
    );
}

#[test]
fn tables_need_no_rows() {
    check(
        "SELECT 1 + 1 AS two, upper('a')",
        expect![[r#"
        two, upper('a')
        2, A"#]],
    );
    check(
        "VALUES (1, 'a'), (NULL, 'b')",
        expect![[r#"
        column1, column2
        1, a
        _, b"#]],
    );
    check(
        "WITH t(n) AS (VALUES (1), (2)) SELECT n * 2 AS m FROM t WHERE n > 1",
        expect![[r#"
        m
        4"#]],
    );
    check(
        "SELECT id, length(id) AS n FROM (SELECT id FROM \"sales.csv\" WHERE qty > 2) AS inner_table",
        expect![[r#"
        id, n
        a, 1
        c, 1"#]],
    );
    check(
        "SELECT x FROM many.csv WHERE x = 11",
        expect![[r#"
        x
        11"#]],
    );
}

#[test]
fn names_of_results_are_short() {
    check(
        "SELECT sum(s.qty + 1), max(s.note) FROM 'sales.csv' s",
        expect![[r#"
        sum(qty + 1), max(note)
        20, note c"#]],
    );
    check(
        "SELECT count(*) FROM 'sales.csv'",
        expect![[r#"
        count(*)
        6"#]],
    );
}

#[test]
fn wrong_names_are_corrected() {
    check_error(
        "SELECT prce FROM 'sales.csv'",
        expect![[r#"
        Usage: column "prce" not found in sales.csv
          --> sql:1:8   hint: did you mean "Price"?"#]],
    );
    check_error(
        "SELECT price FROM 'sales.csv'",
        expect![[r#"
        Usage: column "price" not found in sales.csv
          --> sql:1:8   hint: did you mean "Price"? A name with upper-case letters is written in double quotes"#]],
    );
    check_error(
        "SELECT id,\n  smu(qty) FROM 'sales.csv'",
        expect![[r#"
            Usage: there is no function "smu"
              --> sql:2:3   hint: did you mean "sum"?"#]],
    );
    check_error(
        "SELECT id FROM 'sale.csv'",
        expect![[r#"
        Data: cannot read sale.csv: no such file
          --> sql:1:16"#]],
    );
    check_error(
        "SELECT zzz FROM 'sales.csv'",
        expect![[r#"
        Usage: column "zzz" not found in sales.csv
          --> sql:1:8   hint: there are: id, Price, qty, day, note"#]],
    );
    check_error(
        "SELECT s.qtty FROM 'sales.csv' s",
        expect![[r#"
        Usage: column "qtty" not found in s
          --> sql:1:8   hint: did you mean "qty"?"#]],
    );
    check_error(
        "SELECT id FROM 'sales.csv' WHERE Price > 1",
        expect![[r#"
        Usage: column "price" not found in sales.csv
          --> sql:1:34   hint: did you mean "Price"? A name with upper-case letters is written in double quotes"#]],
    );
}

#[test]
fn wrong_text_is_located() {
    check_error("SELECT FROM WHERE", expect!["Data: cannot read where: no such file"]);
    check_error(
        "SELECT 1; SELECT 2",
        expect![[r#"
        Usage: 2 statements at once
          hint: run them one by one; a query may use WITH to build on another"#]],
    );
    check_error(
        "",
        expect![[r#"
        Usage: there is no query
          hint: for example: SELECT count(*) FROM 'data.csv'"#]],
    );
    check_error(
        "SELECT 'abc",
        expect![[r#"
        Usage: syntax error: Unterminated string literal
          --> sql:1:8"#]],
    );
    check_error(
        "DROP TABLE x",
        expect![[r#"
        Usage: DROP is not supported
          hint: only queries are: SELECT, WITH, VALUES, and EXPLAIN in front of them"#]],
    );
    check_error(
        "INSERT INTO t VALUES (1)",
        expect![[r#"
        Usage: INSERT is not supported
          hint: only queries are: SELECT, WITH, VALUES, and EXPLAIN in front of them"#]],
    );
    check_error(
        "SELECT id, sum(qty) FROM 'sales.csv'",
        expect![[r#"
            Usage: sales.csv.id is neither in GROUP BY nor inside an aggregate function
              --> sql:1:8   hint: add it to GROUP BY, or say which value of the group you mean: min, max, any_value"#]],
    );
    check_error(
        "SELECT id + 1 FROM 'sales.csv' WHERE note",
        expect!["Usage: Cannot create filter with non-boolean predicate 'sales.csv.note' returning Utf8"],
    );
}

#[test]
fn what_is_not_there_yet_is_named() {
    check_error(
        "SELECT * FROM 'sales.csv' a JOIN 'one.csv' b ON a.qty = b.x",
        expect!["Usage: JOIN (also a subquery that gives one value) is not supported yet"],
    );
    check_error(
        "SELECT * FROM 'sales.csv' WHERE qty IN (SELECT x FROM 'one.csv')",
        expect!["Usage: IN or EXISTS with a subquery, or INTERSECT, is not supported yet"],
    );
    check_error(
        "SELECT row_number() OVER (ORDER BY qty) FROM 'sales.csv'",
        expect!["Usage: a window function (OVER) is not supported yet"],
    );
    check_error("SELECT unnest([1, 2])", expect!["Usage: UNNEST is not supported yet"]);
    check_error(
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t",
        expect!["Usage: not supported: Recursive CTE is not implemented"],
    );
    check_error(
        "SELECT x FROM 'one.csv' EXCEPT SELECT x FROM 'many.csv'",
        expect!["Usage: NOT IN or NOT EXISTS with a subquery, or EXCEPT, is not supported yet"],
    );
    check_error(
        "SELECT nth_value(x, 2 ORDER BY x) FROM 'many.csv'",
        expect!["Usage: nth_value with ORDER BY is not supported yet"],
    );
}

#[test]
fn values_that_fail_are_query_errors() {
    check_error("SELECT 10 / (x - 1) FROM 'one.csv'", expect!["Query: Divide by zero error"]);
    check_error(
        "SELECT CAST(id AS INT) FROM 'sales.csv'",
        expect!["Query: Cast error: Cannot cast string 'a' to value of Int32 type"],
    );
}

#[test]
fn explain_is_recognized() {
    let memory = task_context().memory;
    let explain = |text: &str| super::plan(text, &TestTables, &memory).unwrap().explain;
    assert_eq!(explain("SELECT 1"), None);
    assert_eq!(explain("EXPLAIN SELECT 1"), Some(super::Explain { analyze: false }));
    assert_eq!(explain("explain analyze SELECT 1"), Some(super::Explain { analyze: true }));
}

#[test]
fn a_long_chain_of_conditions_does_not_overflow_the_stack() {
    let conditions: Vec<String> = (0..400).map(|n| format!("x + {n} = {n}")).collect();
    let text = format!("SELECT x FROM 'one.csv' WHERE {}", conditions.join(" OR "));
    let memory = task_context().memory;
    assert!(super::plan(&text, &TestTables, &memory).is_ok());
}
