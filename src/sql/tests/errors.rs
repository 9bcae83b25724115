//! What a wrong query is told.

use expect_test::expect;

use super::check_error;

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
fn the_same_column_twice_needs_a_name() {
    check_error("SELECT id, qty, id FROM 'sales.csv'", expect![[r#"
        Usage: sales.csv.id is selected twice
          hint: give one of them another name with AS"#]]);
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
